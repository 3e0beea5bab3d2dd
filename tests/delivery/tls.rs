//! TLS as it goes wrong, and as it goes right: what each case is to a webhook, and to a source that is
//! polled, with an error that names the cause. Behind its odd time each server is well, and nothing
//! may be missing then.

use std::{fmt::Write as _, fs};

use futures_util::future::join_all;
use serde_json::{Value, json};

use self::{
    cases::{Case, OLD_AUTHORITY, World},
    server::Secure,
};
use super::watch;
use crate::support::{Api, Library, Place, eventually, relay::SECRET};

mod authority;
mod cases;
mod server;

/// Who is sent to, and asked.
struct Pair {
    name: String,
    case: Case,
    receiver: Secure,
    producer: Secure,
}

impl Pair {
    fn url(&self, server: &Secure) -> String {
        format!("{}:{}/", self.case.origin, server.address.port())
    }

    /// So long an exchange may take.
    fn timeout(&self) -> &'static str {
        if self.case.pushed.0 == "timeout" { "2s" } else { "1m" }
    }
}

async fn pairs(world: &World) -> Vec<Pair> {
    let cases = world.cases();
    assert!(cases.len() >= 18, "only {} cases", cases.len());
    let pairs = cases.into_iter().enumerate().map(async |(n, case)| Pair {
        name: format!("t{n}"),
        receiver: Secure::start(case.odd.clone(), case.well.clone()).await,
        producer: Secure::start(case.odd.clone(), case.well.clone()).await,
        case,
    });
    join_all(pairs).await
}

fn config(pairs: &[Pair]) -> String {
    let mut yaml = "topics: { numbers: {} }\nsources:\n".to_owned();
    for pair in pairs {
        let (name, url, timeout) = (&pair.name, pair.url(&pair.producer), pair.timeout());
        writeln!(
            yaml,
            "  - {{ name: {name}, topic: {name}, interval: 1h, http: {{ url: \"{url}\", id: id, \
             items: \"\", listed: oldest_first, start: earliest, timeout: {timeout}, \
             cursor: {{ last_id: {{ query: after }} }} }} }}"
        )
        .unwrap();
    }
    yaml
}

async fn subscribe(api: &Api, pair: &Pair) {
    let again = json!({ "initial": "300ms", "multiplier": 1, "max": "300ms", "jitter": 0 });
    let webhook = json!({
        "url": pair.url(&pair.receiver), "secret": SECRET, "timeout": pair.timeout(),
        "tls": pair.case.tls,
    });
    let body = json!({
        "name": pair.name, "topic": "numbers", "from": "earliest", "webhook": webhook,
        "retry": { "exponential": again, "max_attempts": 1_000 }, "hold": { "after": 1_000 },
    });
    api.post("/v1/subscriptions", &body).await.ok();
}

/// The first attempt on the event.
async fn first_attempt(api: &Api, pair: &Pair) -> Value {
    let look = || async {
        let shown =
            api.get(&format!("/v1/subscriptions/{}/attempts?limit=1000", pair.name)).await.ok();
        shown["attempts"].as_array().unwrap().last().cloned()
    };
    eventually(&format!("an attempt of `{}`", pair.case.name), look).await
}

/// Whether the first attempt came to what it should.
fn pushed_well(case: &Case, first: &Value) -> bool {
    let error = first["error"].as_str().unwrap_or_default();
    match case.pushed {
        ("delivered", _) => first["verdict"] == "delivered" && error.is_empty(),
        (kind, words) => error.starts_with(&format!("{kind}: ")) && error.contains(words),
    }
}

/// Whether the poll did.
fn polled_well(case: &Case, source: &Value) -> bool {
    let (result, words) = case.polled;
    let said = source["report"]["message"].as_str().unwrap_or_default();
    let appended = if result == "ok" { 3 } else { 0 };
    source["report"]["result"] == result && said.contains(words) && source["appended"] == appended
}

/// What went wrong before the servers are well.
async fn odd(api: &Api, pairs: &[Pair], names: &[String]) -> Vec<String> {
    let polled = watch::poll(api, names).await;
    let mut wrong = Vec::new();
    for pair in pairs {
        let (first, source) = (first_attempt(api, pair).await, &polled[&pair.name]);
        if !pushed_well(&pair.case, &first) {
            wrong.push(format!("`{}` pushed: {}", pair.case.name, watch::told(&[first])));
        }
        if !polled_well(&pair.case, source) {
            let (appended, report) = (&source["appended"], &source["report"]);
            let (result, said) = (&report["result"], &report["message"]);
            let name = pair.case.name;
            wrong.push(format!("`{name}` polled: {appended} events, {result}: {said}"));
        }
    }
    wrong
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_case_of_tls_is_told_and_loses_nothing() {
    let world = World::new();
    let pairs = pairs(&world).await;
    let names: Vec<String> = pairs.iter().map(|pair| pair.name.clone()).collect();
    let mut place = Place::new(&config(&pairs));
    let names_of_test = Library::build("delivery/names.c");
    names_of_test.load(&mut place);
    let system = place.path("system.pem");
    let trusted = [&world.ours.pem, &world.other.pem, OLD_AUTHORITY].concat();
    fs::write(&system, trusted).unwrap();
    place.env("SSL_CERT_FILE", system.to_str().unwrap());
    let relay = place.start().await;
    let api = relay.api();
    join_all(pairs.iter().map(|pair| subscribe(api, pair))).await;
    api.publish("numbers", 1, 1).await;
    let wrong = odd(api, &pairs, &names).await;
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
    for pair in &pairs {
        pair.receiver.heal();
        pair.producer.heal();
    }
    api.publish("numbers", 2, 2).await;
    watch::until_settled(api, 2).await;
    let ids = watch::until_whole(api, &names, 4).await;
    for pair in &pairs {
        assert_eq!(ids[&pair.name], ["a1", "a2", "a3", "a4"], "`{}`", pair.case.name);
    }
    println!("{} cases, each pushed to and polled", pairs.len());
    assert!(!place.printed().contains("panicked"), "a panic");
    assert!(relay.stop().await.success());
}
