//! Answers as bytes, of every shape that HTTP has and has not: what each is to a webhook, and what
//! to a source that is polled. `shapes.txt` lists them.
//!
//! All go at once through one relay. Behind its odd answer each server is healthy: the event must
//! arrive then, the next one too, and of the list no event may be missing or come twice.

use std::{fmt::Write as _, time::Duration};

use futures_util::future::join_all;
use serde_json::{Value, json};

use self::{
    list::{Shape, Then, listed},
    server::Odd,
};
use super::watch;
use crate::support::{Api, LONG, Place, relay::SECRET};

mod list;
mod server;

/// How long an answer is waited for that never becomes whole.
const SHORT: Duration = Duration::from_secs(2);
/// No answer here is worth more memory.
const RESIDENT_BYTES_MAX: u64 = 400 << 20;
/// Less than any of the odd heads and bodies that must be refused.
const WIRE_BYTES_MAX: usize = 100_000;

/// So long an exchange may take.
fn patience(shape: &Shape) -> Duration {
    if shape.then == Then::Stall { SHORT } else { LONG }
}

/// Who is sent to, and asked.
struct Pair {
    name: String,
    shape: Shape,
    receiver: Odd,
    producer: Odd,
}

async fn pairs() -> Vec<Pair> {
    let shapes = listed(include_str!("shapes.txt"));
    assert!(shapes.len() >= 84, "only {} shapes", shapes.len());
    let pairs = shapes.into_iter().enumerate().map(async |(n, shape)| Pair {
        name: format!("s{n}"),
        receiver: Odd::start(&shape).await,
        producer: Odd::start(&shape).await,
        shape,
    });
    join_all(pairs).await
}

/// A topic of its own for each source, and one that all webhooks get.
fn config(pairs: &[Pair]) -> String {
    let mut yaml = "topics: { numbers: {} }\nsources:\n".to_owned();
    for Pair { name, shape, producer, .. } in pairs {
        let (url, timeout_s) = (producer.url(), patience(shape).as_secs());
        writeln!(
            yaml,
            "  - {{ name: {name}, topic: {name}, interval: 1h, http: {{ url: \"{url}\", id: id, \
             items: \"\", listed: oldest_first, start: earliest, timeout: {timeout_s}s, \
             cursor: {{ last_id: {{ query: after }} }}, limits: {{ wire_bytes: {WIRE_BYTES_MAX} }} \
             }} }}"
        )
        .unwrap();
    }
    yaml
}

async fn subscribe(api: &Api, pair: &Pair) {
    let timeout = format!("{}s", patience(&pair.shape).as_secs());
    let again = json!({ "initial": "20ms", "multiplier": 1, "max": "20ms", "jitter": 0 });
    let body = json!({
        "name": pair.name, "topic": "numbers", "from": "earliest",
        "webhook": { "url": pair.receiver.url(), "secret": SECRET, "timeout": timeout },
        "retry": { "exponential": again, "max_attempts": 9 },
    });
    api.post("/v1/subscriptions", &body).await.ok();
}

/// Whether the webhook fared as it should.
fn pushed_well(shape: &Shape, tried: &[Value]) -> bool {
    let (first, error) = (&tried[0], tried[0]["error"].as_str().unwrap_or_default());
    let (word, rest) = &shape.pushed;
    match word.as_str() {
        "any" => tried.len() <= 2,
        "delivered" => {
            tried.len() == 1 && error.contains(rest) && rest.is_empty() == error.is_empty()
        }
        "status" => tried.len() == 2 && first["status"].as_u64() == rest.parse().ok(),
        kind => tried.len() == 2 && error.starts_with(&format!("{kind}: ")) && error.contains(rest),
    }
}

/// Whether the source made of the odd answer what it should.
fn polled_well(shape: &Shape, source: &Value) -> bool {
    let (word, rest) = &shape.polled;
    let report = &source["report"];
    let said = report["message"].as_str().unwrap_or_default();
    let is_told = match word.as_str() {
        "any" => return true,
        "ok" | "empty" => said.contains(rest) && rest.is_empty() == said.is_empty(),
        _ => said.contains(rest),
    };
    let result = if word == "empty" { "ok" } else { word };
    let appended = if word == "ok" { 3 } else { 0 };
    is_told && report["result"] == result && source["appended"] == appended
}

/// Shows what went wrong; nothing must have.
fn none(what: &str, wrong: &[String]) {
    assert!(wrong.is_empty(), "{what}, {} shapes:\n{}", wrong.len(), wrong.join("\n"));
}

async fn push_all(api: &Api, pairs: &[Pair]) {
    join_all(pairs.iter().map(|pair| subscribe(api, pair))).await;
    let mut wrong = Vec::new();
    api.publish("numbers", 1, 1).await;
    watch::until_settled(api, 1).await;
    for Pair { name, shape, .. } in pairs {
        let tried = watch::attempts(api, name, 1).await;
        if !pushed_well(shape, &tried) {
            wrong.push(format!("`{}`: {}", shape.name, watch::told(&tried)));
        }
    }
    none("pushed", &wrong);
    api.publish("numbers", 2, 2).await;
    watch::until_settled(api, 2).await;
    for Pair { name, shape, .. } in pairs {
        let tried = watch::attempts(api, name, 2).await;
        if tried.len() > 1 {
            wrong.push(format!("`{}`: {}", shape.name, watch::told(&tried)));
        }
    }
    none("pushed behind it", &wrong);
}

async fn poll_all(api: &Api, pairs: &[Pair]) {
    let names: Vec<String> = pairs.iter().map(|pair| pair.name.clone()).collect();
    let polled = watch::poll(api, &names).await;
    let wrong = pairs.iter().filter(|pair| !polled_well(&pair.shape, &polled[&pair.name]));
    let wrong = wrong.map(|pair| {
        let source = &polled[&pair.name];
        let (appended, report) = (&source["appended"], &source["report"]);
        let (result, said) = (&report["result"], &report["message"]);
        format!("`{}`: {appended} events, {result}: {said}", pair.shape.name)
    });
    none("polled", &wrong.collect::<Vec<_>>());
    for pair in pairs {
        pair.producer.heal();
    }
    let ids = watch::until_whole(api, &names, 4).await;
    let wrong = pairs.iter().filter(|pair| ids[&pair.name] != ["a1", "a2", "a3", "a4"]);
    let wrong = wrong.map(|pair| format!("`{}`: {:?}", pair.shape.name, ids[&pair.name]));
    none("polled behind it", &wrong.collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_shape_of_an_answer_is_what_the_list_says() {
    let pairs = pairs().await;
    let place = Place::new(&config(&pairs));
    let relay = place.start().await;
    tokio::join!(push_all(relay.api(), &pairs), poll_all(relay.api(), &pairs));
    let resident = relay.resident_bytes();
    println!("{} shapes, each pushed to and polled; {} MiB", pairs.len(), resident >> 20);
    assert!(resident <= RESIDENT_BYTES_MAX, "{} MiB", resident >> 20);
    assert!(!place.printed().contains("panicked"), "a panic");
    assert!(relay.stop().await.success());
}
