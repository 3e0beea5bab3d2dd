//! A real Chromium on a hostile page: from another port, another name or no origin at all it changes
//! nothing and reads nothing, whether the relay is on loopback or open by the word of the operator.

mod rig;
mod writes;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};

use self::{rig::Rig, writes::writes};
use crate::support::{
    Server,
    server::{answer, header},
};

/// What a page may not read.
const READS: [&str; 5] =
    ["/v1/topics", "/v1/subscriptions", "/v1/topics/orders/events", "/metrics", "/openapi.json"];
const STREAM: &str = "/v1/topics/orders/events?follow=true";

/// A server of hostile pages.
async fn hostile() -> Server {
    let page = "<!doctype html><title>hostile</title><body>";
    Server::start(move |_| async move { answer(200, &[("content-type", "text/html")], page) }).await
}

/// From where the pages come, and by which name they ask for the relay.
fn pairs(hostile: &Server, insecure: bool) -> Vec<(String, &'static str)> {
    let port = hostile.address().port();
    let at = |host: &str| format!("http://{host}:{port}/");
    let mut pairs = vec![
        (at("127.0.0.1"), "127.0.0.1"),
        (at("localhost"), "localhost"),
        (at("evil.localhost"), "evil.localhost"),
        (at("evil.example"), "127.0.0.1"),
        // Its origin is `null`.
        ("data:text/html,<body>".to_owned(), "localhost"),
    ];
    if insecure {
        // To a name that is not this machine's a browser sends no `Sec-Fetch-Site`.
        pairs.push((at("evil.example"), "relay.example"));
    }
    pairs
}

async fn nothing_changes(insecure: bool) {
    let (rig, hostile) = (Rig::start(insecure).await, hostile().await);
    let document = rig.api().get("/openapi.json").await.ok();
    assert_eq!(writes::forgotten(&document), [], "in one list and not in the other");
    let mut steps = Vec::new();
    for (from, host) in pairs(&hostile, insecure) {
        let target = rig.named(host);
        let step = |kind: &str, mut more: Value| {
            more["kind"] = kind.into();
            more["from"] = from.as_str().into();
            more["target"] = target.as_str().into();
            more
        };
        // Every write from another port and from a foreign name; from elsewhere one of each kind.
        let is_whole = from == hostile.url("/") || from.contains("evil.example");
        let each = if is_whole { 1 } else { 5 };
        let writes: Vec<Value> = writes().into_iter().step_by(each).collect();
        steps.push(step("writes", json!({ "writes": writes })));
        steps.push(step("reads", json!({ "paths": READS, "stream": STREAM })));
        steps.push(step("frames", json!({ "paths": ["/docs/", "/v1/topics"] })));
        if !from.starts_with("data:") {
            steps.push(step("leaves", json!({ "writes": writes })));
        }
    }
    let before = rig.state().await;
    let found = rig.browse(&Value::from(steps.clone())).await;
    for (step, found) in steps.iter().zip(&found) {
        assert!(
            found.is_empty(),
            "{} from {} to {}: {found:#?}",
            step["kind"],
            step["from"],
            step["target"]
        );
    }
    assert_eq!(found.len(), steps.len());
    assert_eq!(rig.state().await, before);
    rebound(&rig, &before).await;
    own_page(&rig, &before).await;
}

/// A name of the attacker that leads to the relay, so that his page is of the relay's own origin.
async fn rebound(rig: &Rig, before: &Value) {
    let evil = rig.named("evil.example");
    let writes = Value::from(writes());
    let found = rig
        .browse(&json!([
            { "kind": "calls", "from": format!("{evil}/docs/"), "writes": writes }
        ]))
        .await;
    let is_refused = |told: &&String| !told.ends_with(": 403");
    let taken: Vec<_> = found[0].iter().filter(is_refused).collect();
    assert!(taken.is_empty(), "{taken:#?}");
    let host = evil.trim_start_matches("http://");
    for write in writes.as_array().unwrap() {
        let text = |field: &str| write[field].as_str().unwrap();
        let request = rig.api().request(text("method"), text("path"));
        let request = request.header("content-type", "application/json").header("origin", &evil);
        let reply =
            rig.api().send(request.header("host", host).body(text("body").to_owned())).await;
        assert_eq!(reply.status, 403, "{reply:?}");
    }
    assert_eq!(&rig.state().await, before);
}

/// What the relay's own page sends is done: so the others failed by where they come from.
async fn own_page(rig: &Rig, before: &Value) {
    let found = rig
        .browse(&json!([
            { "kind": "calls", "from": rig.named("localhost") + "/docs/", "writes": writes() }
        ]))
        .await;
    let failed: Vec<_> = found[0]
        .iter()
        .filter(|told| !told.contains(": 20") && !told.contains("/v1/keys/none"))
        .collect();
    assert!(failed.is_empty(), "{failed:#?}");
    let reply = rig.api().get("/v1/topics").await;
    reply.problem(401, "key_missing");
    assert_eq!(before["/v1/keys"]["keys"], json!([]));
}

#[tokio::test]
async fn no_foreign_page_changes_or_reads_anything_on_loopback() {
    nothing_changes(false).await;
}

#[tokio::test]
async fn no_foreign_page_changes_or_reads_anything_of_an_insecure_relay() {
    nothing_changes(true).await;
}

/// The attacks are real: a server without any defence takes every one of them.
#[tokio::test]
async fn an_undefended_server_gets_every_attack() {
    let seen = Arc::<Mutex<BTreeSet<(String, String)>>>::default();
    let noted = seen.clone();
    let prey = Server::start(move |asked| {
        let kind = header(&asked.parts.headers, "content-type").unwrap_or("none");
        let kind = kind.split(';').next().unwrap().to_owned();
        let (method, path) = (asked.parts.method.to_string(), asked.parts.uri.path().to_owned());
        noted.lock().unwrap().insert((format!("{method} {path}"), kind));
        let allow = [
            ("access-control-allow-origin", "*"),
            ("access-control-allow-methods", "*"),
            ("access-control-allow-headers", "*"),
        ];
        async move { answer(200, &allow, "taken") }
    })
    .await;
    let (hostile, folder) = (hostile().await, tempfile::tempdir().unwrap());
    let from = hostile.url("/");
    let steps =
        json!([{ "kind": "writes", "from": from, "target": prey.url(""), "writes": writes() }]);
    let found = rig::browse(folder.path(), &steps).await;
    assert!(found[0].len() > 100, "{found:#?}");
    let seen = seen.lock().unwrap();
    for write in writes() {
        let (method, path) = (write["method"].as_str().unwrap(), write["path"].as_str().unwrap());
        let mut kinds = vec!["application/json"];
        if method == "POST" {
            kinds.extend([
                "none",
                "text/plain",
                "application/x-www-form-urlencoded",
                "multipart/form-data",
            ]);
        }
        for kind in kinds {
            assert!(
                seen.contains(&(format!("{method} {path}"), kind.to_owned())),
                "{method} {path} with {kind}"
            );
        }
    }
}
