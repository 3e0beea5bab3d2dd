//! The whole way of events through the built binary, with consumers that fail.

mod dead;
mod poison;
mod quiet;
mod replay;

use serde_json::{Value, json};

use crate::support::{Api, relay::SECRET};

/// A subscription to the topic `numbers` from its first event on; `more` is merged into it.
pub(crate) async fn subscribe(api: &Api, name: &str, url: &str, more: &Value) {
    let mut body = json!({
        "name": name,
        "topic": "numbers",
        "from": "earliest",
        "webhook": { "url": url, "secret": SECRET },
    });
    for (field, value) in more.as_object().unwrap() {
        body[field] = value.clone();
    }
    api.post("/v1/subscriptions", &body).await.ok();
}

/// The subscription's position in `numbers`, as the API shows it.
pub(crate) async fn position(api: &Api, name: &str) -> Value {
    let shown = api.get(&format!("/v1/subscriptions/{name}")).await.ok();
    shown["positions"][0].clone()
}
