//! Delivery under load, as consumers and operators were promised it: pending events, kills, many
//! subscriptions, throttling and order, end to end through the built binary.

mod hooks;
mod many;
mod notices;
mod order;
mod throttled;

use std::{fmt::Write as _, time::Duration};

use serde_json::{Value, json};

use crate::support::{Api, relay::SECRET};

/// What a whole run may take at most.
const RUN: Duration = Duration::from_mins(5);

/// A subscription to the topic `numbers` from its first event on; `more` is merged into it.
async fn subscribe(api: &Api, name: &str, url: &str, more: &Value) {
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

/// Publishes events `first..=last`; the key of event `n` is `n % keys`.
async fn publish_keyed(api: &Api, first: u64, last: u64, keys: u64) {
    for begin in (first..=last).step_by(1_000) {
        let mut batch = String::from("[");
        for n in begin..=last.min(begin + 999) {
            let comma = if n == begin { "" } else { "," };
            write!(
                batch,
                "{comma}{{\"specversion\":\"1.0\",\"id\":\"{n}\",\"source\":\"/numbers\",\
                 \"type\":\"number\",\"partitionkey\":\"k{}\",\"data\":{n}}}",
                n % keys
            )
            .unwrap();
        }
        batch.push(']');
        let request = api
            .request("POST", "/v1/topics/numbers/events")
            .header("content-type", "application/cloudevents-batch+json")
            .body(batch);
        api.send(request).await.ok();
    }
}
