//! A real producer and a real verifier, neither written here: Kinto, and the official Python
//! libraries of Standard Webhooks and CloudEvents.

pub(crate) mod python;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::{Place, relay::SECRET, scaled};
use python::{Consumer, Kinto};

/// What a change of a record is known by: its id and its `last_modified`.
type Change = (String, u64);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_in_a_real_kinto_reaches_a_real_verifier_once_and_in_order() {
    let kinto = Kinto::start().await;
    let mut consumer = Consumer::start().await;
    let mut world = World { kinto, shown: Vec::new(), last: BTreeMap::new() };
    // More than two pages before the relay comes; one of them changed: only its last state shows.
    for record in 0..8 {
        world.put(record, 0).await;
    }
    world.shown.retain(|(id, _)| id != "record-3");
    world.put(3, 1).await;

    let place = recipe(&world.kinto, &consumer);
    let relay = place.start().await;
    let mut got: Vec<Value> = Vec::new();
    while got.len() < 8 {
        got.push(consumer.next().await);
    }

    let mut dice = crate::process::seeded();
    for step in 0..scaled(40, 300) {
        let record = dice.usize(0..10);
        match world.last.get(&record) {
            // A change of a record is made only when its last one has been seen.
            Some(false) if dice.usize(0..3) == 0 => world.delete(record).await,
            _ => world.put(record, step + 10).await,
        }
        let change = world.shown.last().unwrap().clone();
        while !got.iter().any(|event| changed(event) == change) {
            got.push(consumer.next().await);
        }
    }
    assert!(relay.stop().await.success());
    got.extend(consumer.rest().await);

    check(&got, &world.shown);
    let deleted = got.iter().filter(|event| event["data"]["deleted"] == true).count();
    assert!(deleted > 0, "no deletion was made");
    println!("{} changes, {deleted} of them deletions, each once and verified", got.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_verifier_refuses_what_is_not_signed() {
    let mut consumer = Consumer::start().await;
    let api = crate::support::Api::new(consumer.url());
    let request = api.request("POST", "").header("webhook-id", "t-0-1");
    let request = request
        .header("webhook-timestamp", "1")
        .header("webhook-signature", "v1,AAAA")
        .header("content-type", "application/cloudevents+json")
        .body("{}");
    assert_eq!(api.send(request).await.status, 401);
    assert!(consumer.line().await["refused"].is_string());
}

/// Every change once, at versions 1 to N in the order of arrival.
fn check(got: &[Value], shown: &[Change]) {
    for (at, event) in got.iter().enumerate() {
        assert_eq!(event["version"], json!(at + 1), "out of order: {event}");
        assert_eq!(event["stated_version"], event["version"]);
        assert_eq!(event["topic"], "orders");
    }
    let got: Vec<Change> = got.iter().map(changed).collect();
    assert_eq!(got, shown, "not the changes that were made, in their order");
}

fn changed(event: &Value) -> Change {
    let id = event["data"]["id"].as_str().unwrap_or_else(|| panic!("no record: {event}"));
    (id.to_owned(), event["data"]["last_modified"].as_u64().unwrap())
}

/// The collection, and what it must have shown.
struct World {
    kinto: Kinto,
    shown: Vec<Change>,
    /// Each record's last change: whether it was its deletion.
    last: BTreeMap<usize, bool>,
}

impl World {
    async fn put(&mut self, record: usize, value: usize) {
        let body = json!({ "data": { "value": value, "text": "naïve ☃" } });
        self.change("PUT", record, Some(&body)).await;
    }

    async fn delete(&mut self, record: usize) {
        self.change("DELETE", record, None).await;
    }

    async fn change(&mut self, method: &str, record: usize, body: Option<&Value>) {
        let id = format!("record-{record}");
        let said = self.kinto.send(method, &format!("/records/{id}"), body).await;
        let at = said["data"]["last_modified"].as_u64().unwrap();
        self.last.insert(record, body.is_none());
        self.shown.push((id, at));
    }
}

/// The recipe as shipped, told only where things are, and to deliver one event at a time.
fn recipe(kinto: &Kinto, consumer: &Consumer) -> Place {
    let mut place = Place::new("");
    let shipped = include_str!("../../config/recipes/kinto.yaml");
    assert!(shipped.ends_with("      secret: { env: CONSUMER_SECRET }\n"), "{shipped}");
    place.write_raw(&format!("{shipped}    concurrency: 1\n"));
    let (data, listen) = (place.path(""), place.base());
    for (name, value) in [
        ("MILKRUN_DATA", data.to_str().unwrap()),
        ("MILKRUN_LISTEN", listen.trim_start_matches("http://")),
        ("KINTO_URL", kinto.root().as_str()),
        ("KINTO_BUCKET", "shop"),
        ("KINTO_COLLECTION", "orders"),
        ("KINTO_USER", python::USER),
        ("KINTO_PASSWORD", python::PASSWORD),
        ("KINTO_PAGE", "3"),
        ("KINTO_INTERVAL", "50ms"),
        ("CONSUMER_URL", consumer.url().as_str()),
        ("CONSUMER_SECRET", SECRET),
    ] {
        place.env(name, value);
    }
    place
}
