//! A store of every release opens in this one, with everything in it.
//!
//! `upgrade/` has of each release a file and a dump of a database as they were left, packed, and what
//! their relays answered.
//! `MILKRUN_WRITE=1` keeps one of the present release, where there is
//! none.

use std::{
    fs,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use serde_json::{Value, json};

use crate::support::{
    Api, Place, eventually,
    postgres::{Database, Release},
    producer::Producer,
    receiver::{Answer, Receiver},
};

/// What the relay of a kept store is told besides; no producer and no consumer is there any more.
const YAML: &str = "topics: { orders: { retention: { age: null, owed: 3650d } }, \
    letters: { retention: { age: null, owed: 3650d } } }\n";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/process/upgrade")
}

async fn send(api: &Api, method: &str, path: &str, body: &Value) {
    api.send_json(method, path, body).await.ok();
}

/// A relay with something of everything.
async fn fill(api: &Api, dead: &Receiver) {
    let event = |id: &str, more: Value| {
        let mut event =
            json!({ "specversion": "1.0", "id": id, "source": "/shop", "type": "placed" });
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        api.event("orders", event.to_string())
    };
    for (id, more) in [
        ("1", json!({ "data": { "total": 1, "deep": [{ "a": null }] } })),
        ("2", json!({ "datacontenttype": "text/plain", "data": "käse" })),
        ("3", json!({ "data_base64": "AAEC/w==", "subject": "bytes" })),
        ("4", json!({ "time": "2026-11-30T01:02:03.000000004Z", "partitionkey": "k" })),
    ] {
        api.send(event(id, more)).await.ok();
    }
    // It waits until somebody commits it.
    let prepared = json!({ "specversion": "1.0", "id": "p", "source": "/shop", "type": "placed" });
    let request = api.request("POST", "/v1/topics/orders/events?prepare=true");
    let request = request.header("content-type", "application/cloudevents+json");
    api.send(request.body(prepared.to_string())).await.ok();
    let hook = json!({ "url": dead.url(), "secret": "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=" });
    for (name, retry) in
        [("refused", json!({ "never_retry": [400] })), ("waits", json!({ "schedule": ["30d"] }))]
    {
        let body = json!({ "name": name, "topics": ["orders"], "from": "earliest",
            "retry": retry, "hold": { "after": 1_000 }, "webhook": hook });
        send(api, "POST", "/v1/subscriptions", &body).await;
    }
    eventually("four dead letters and four exceptions", || async {
        let letters = api.get("/v1/subscriptions/refused/dead-letters").await.ok();
        let waits = api.get("/v1/subscriptions/waits").await.ok();
        let is_there = letters["dead_letters"].as_array()?.len() == 4;
        (is_there && waits["positions"][0]["exceptions"] == 4).then_some(())
    })
    .await;
    for name in ["refused", "waits"] {
        send(api, "POST", &format!("/v1/subscriptions/{name}/pause"), &json!({})).await;
    }
    let epoch = json!({ "reason": "to have two" });
    send(api, "POST", "/v1/topics/letters/new-epoch", &epoch).await;
    api.publish("letters", 1, 3).await;
}

/// What must be as it was.
async fn facts(api: &Api) -> Value {
    let mut facts = json!({});
    for topic in ["orders", "letters", "found"] {
        facts[topic] = json!(api.log(topic).await);
        let state = api.get(&format!("/v1/topics/{topic}")).await.ok();
        facts["topics"][topic] = json!([state["head"], state["oldest"], state["epochs"]]);
    }
    for name in ["refused", "waits"] {
        let one = api.get(&format!("/v1/subscriptions/{name}")).await.ok();
        let fields = ["status", "owed", "positions", "topics", "retry"];
        facts["subscriptions"][name] = fields.iter().map(|field| one[field].clone()).collect();
    }
    let letters = api.get("/v1/subscriptions/refused/dead-letters").await.ok();
    facts["dead_letters"] = letters["dead_letters"].clone();
    facts["pending"] = api.get("/v1/topics/orders/pending").await.ok()["pending"].clone();
    let source = api.get("/v1/sources/feed").await.ok();
    facts["source"] = json!([source["cursor"], source["topic"]]);
    facts
}

/// Keeps a store of this release: a file, and a dump of a database.
async fn keep(release: &str) {
    let producer = Producer::start(10).await;
    producer.emit(3);
    let source =
        format!("sources:\n  - {{ name: feed, topic: found, http: {} }}\n", producer.http(10));
    fs::write(folder().join(format!("{release}.yaml")), &source).unwrap();

    let place = Place::new(&format!("{YAML}{source}"));
    keep_facts(&place, &format!("{release}.json")).await;
    for (from, to) in [(place.store(), "db"), (place.path("milkrun.db-heads"), "db-heads")] {
        pack(&fs::read(from).unwrap(), &format!("{release}.{to}.gz"));
    }

    let database = Database::new(Release::Oldest).await;
    let place = Place::node(&database.url, "{}", &format!("{YAML}{source}"));
    keep_facts(&place, &format!("{release}.postgres.json")).await;
    let dump = place.path("dump.sql");
    database.program("pg_dump", &["--no-owner", "--file", dump.to_str().unwrap()]);
    pack(&fs::read(dump).unwrap(), &format!("{release}.sql.gz"));
}

/// Fills the store of a place, and keeps what its relay answered.
async fn keep_facts(place: &Place, name: &str) {
    let mut dead = Receiver::start(|_| Answer::status(400)).await;
    let relay = place.start().await;
    relay.until_head("found", 3).await;
    fill(relay.api(), &dead).await;
    dead.down();
    let facts = facts(relay.api()).await;
    assert!(relay.stop().await.success());
    let text = serde_json::to_string_pretty(&facts).unwrap();
    fs::write(folder().join(name), format!("{text}\n")).unwrap();
}

fn pack(bytes: &[u8], name: &str) {
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(bytes).unwrap();
    fs::write(folder().join(name), packed.finish().unwrap()).unwrap();
}

fn unpack(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let packed = fs::File::open(folder().join(name)).unwrap();
    GzDecoder::new(packed).read_to_end(&mut bytes).unwrap();
    bytes
}

/// The releases of which there is a file with this ending; keeps the present one when it is asked to.
async fn releases(ending: &str) -> Vec<String> {
    let present = env!("CARGO_PKG_VERSION");
    let is_kept = folder().join(format!("{present}{ending}")).exists();
    if std::env::var_os("MILKRUN_WRITE").is_some() && !is_kept {
        keep(present).await;
    }
    let kept = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name());
    let named = kept.filter_map(|name| Some(name.to_str()?.strip_suffix(ending)?.to_owned()));
    let mut releases: Vec<String> = named.collect();
    releases.sort();
    assert!(!releases.is_empty(), "no store is kept");
    releases
}

/// Starts this release on a kept store; answers what it says, and what was said when it was kept.
async fn start(place: &Place, kept: &str) -> (Value, Value) {
    let relay = place.start().await;
    let was: Value = serde_json::from_slice(&fs::read(folder().join(kept)).unwrap()).unwrap();
    let is = facts(relay.api()).await;
    // It goes on: what is known is known, what is new has the next version.
    let head = relay.api().head("letters").await;
    relay.api().publish("letters", 3, 4).await;
    assert_eq!(relay.api().head("letters").await, head + 1);
    assert!(relay.stop().await.success());
    let checked = place.run(&["check", "--store"]).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    (is, was)
}

/// Whether all that was said is said; a newer release may say more of a thing, not of more things.
fn says(is: &Value, was: &Value) -> bool {
    match (is, was) {
        (Value::Object(is), Value::Object(was)) => {
            was.iter().all(|(field, was)| is.get(field).is_some_and(|is| says(is, was)))
        }
        (Value::Array(is), Value::Array(was)) => {
            is.len() == was.len() && is.iter().zip(was).all(|(is, was)| says(is, was))
        }
        _ => is == was,
    }
}

fn yaml(release: &str) -> String {
    let source = fs::read_to_string(folder().join(format!("{release}.yaml"))).unwrap();
    format!("{YAML}{source}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_each_release_has_everything() {
    for release in releases(".db.gz").await {
        let place = Place::new(&yaml(&release));
        for (from, to) in [("db", "milkrun.db"), ("db-heads", "milkrun.db-heads")] {
            fs::write(place.path(to), unpack(&format!("{release}.{from}.gz"))).unwrap();
        }
        let (is, was) = start(&place, &format!("{release}.json")).await;
        assert!(says(&is, &was), "{release}: {is} does not say {was}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_of_each_release_has_everything() {
    for release in releases(".sql.gz").await {
        let database = Database::new(Release::Oldest).await;
        let place = Place::node(&database.url, "{}", &yaml(&release));
        let dump = place.path("dump.sql");
        fs::write(&dump, unpack(&format!("{release}.sql.gz"))).unwrap();
        let restore = ["--quiet", "--set=ON_ERROR_STOP=1", "--file", dump.to_str().unwrap()];
        database.program("psql", &restore);
        let (mut is, was) = start(&place, &format!("{release}.postgres.json")).await;
        // A dump that was put back is another history from there on.
        for (_, topic) in is["topics"].as_object_mut().unwrap() {
            let epochs = topic[2].as_array_mut().unwrap();
            assert!(epochs.len() > 1, "{release}: {epochs:?}");
            epochs.pop();
        }
        assert!(says(&is, &was), "{release}: {is} does not say {was}");
    }
}
