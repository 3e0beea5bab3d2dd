//! Every write there is, each as one that does something to the relay of the rig.

use std::collections::BTreeSet;

use serde_json::{Value, json};

/// Method, path in the document, path here, and a body that is good.
#[rustfmt::skip]
const WRITES: [(&str, &str, &str, &str); 27] = [
    ("POST", "/v1/topics/{topic}/events", "/v1/topics/orders/events", r#"{"specversion":"1.0","id":"evil","source":"/evil","type":"evil"}"#),
    ("POST", "/v1/subscriptions", "/v1/subscriptions", r#"{"name":"evil","topics":["*"],"webhook":{"url":"http://127.0.0.1:9/"}}"#),
    ("PUT", "/v1/topics/{topic}", "/v1/topics/evil", "{}"),
    ("POST", "/v1/topics/{topic}/new-epoch", "/v1/topics/orders/new-epoch", "{}"),
    ("POST", "/v1/reload", "/v1/reload", "{}"),
    ("PATCH", "/v1/topics/{topic}/pending/{id}", "/v1/topics/orders/pending/1", r#"{"deliverat":"2020-01-01T00:00:00Z"}"#),
    ("POST", "/v1/topics/{topic}/pending/{id}/commit", "/v1/topics/orders/pending/2/commit", "{}"),
    ("DELETE", "/v1/topics/{topic}/pending/{id}", "/v1/topics/orders/pending/3", "{}"),
    ("POST", "/v1/sources/{name}/poll", "/v1/sources/feed/poll", "{}"),
    ("POST", "/v1/sources/{name}/pause", "/v1/sources/feed/pause", "{}"),
    ("POST", "/v1/sources/{name}/resume", "/v1/sources/paused/resume", "{}"),
    ("POST", "/v1/sources/{name}/cursor", "/v1/sources/feed/cursor", r#"{"cursor":null}"#),
    ("PATCH", "/v1/subscriptions/{name}", "/v1/subscriptions/billing", r#"{"webhook":{"url":"http://127.0.0.1:9/"}}"#),
    ("POST", "/v1/subscriptions/{name}/pause", "/v1/subscriptions/billing/pause", "{}"),
    ("POST", "/v1/subscriptions/{name}/resume", "/v1/subscriptions/paused/resume", "{}"),
    ("POST", "/v1/subscriptions/{name}/rewind", "/v1/subscriptions/billing/rewind", r#"{"to":"earliest"}"#),
    ("POST", "/v1/subscriptions/{name}/test", "/v1/subscriptions/billing/test", r#"{"send":true}"#),
    ("POST", "/v1/subscriptions/{name}/secrets/rotate", "/v1/subscriptions/billing/secrets/rotate", r#"{"overlap":"0s"}"#),
    ("POST", "/v1/subscriptions/{name}/replays", "/v1/subscriptions/billing/replays", r#"{"from":"earliest"}"#),
    ("DELETE", "/v1/subscriptions/{name}/replays/{id}", "/v1/subscriptions/billing/replays/1", "{}"),
    ("POST", "/v1/subscriptions/{name}/dead-letters/redrive", "/v1/subscriptions/refused/dead-letters/redrive", r#"{"all":true}"#),
    ("DELETE", "/v1/subscriptions/{name}/dead-letters", "/v1/subscriptions/refused/dead-letters", r#"{"all":true}"#),
    ("DELETE", "/v1/subscriptions/{name}", "/v1/subscriptions/refused", "{}"),
    ("DELETE", "/v1/topics/{topic}", "/v1/topics/idle", "{}"),
    ("DELETE", "/v1/keys/{id}", "/v1/keys/none", "{}"),
    ("POST", "/v1/trials", "/v1/trials", r#"{"topic":"orders"}"#),
    ("POST", "/v1/keys", "/v1/keys", r#"{"owner":"evil","scopes":["admin"]}"#),
];

/// The writes as the browser is handed them.
pub(super) fn writes() -> Vec<Value> {
    let one = |(method, _, path, body): &(&str, &str, &str, &str)| json!({ "method": method, "path": path, "body": body });
    WRITES.iter().map(one).collect()
}

/// The writes of the document that the list lacks, and the other way round.
pub(super) fn forgotten(document: &Value) -> Vec<(String, String)> {
    let listed: BTreeSet<(String, String)> = WRITES
        .iter()
        .map(|(method, route, ..)| (route.to_string(), method.to_lowercase()))
        .collect();
    let mut there = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let methods = item.as_object().unwrap().keys().filter(|method| *method != "get");
        there.extend(methods.map(|method| (path.clone(), method.clone())));
    }
    listed.symmetric_difference(&there).cloned().collect()
}
