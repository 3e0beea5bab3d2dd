//! Subscriptions times topics: what would not fit into memory is refused with words, and a healthy
//! client is served as before.

use std::fmt::Write as _;

use serde_json::json;

use super::readers::{BESIDE, healthy, judge};
use crate::support::{Place, full};

/// `limits.positions_max`, its default.
const POSITIONS_MAX: u64 = 50_000;
/// What one that has nothing to do takes (docs/memory.md).
const POSITION_BYTES: u64 = 7 << 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn measured_twenty_subscriptions_to_every_one_of_many_topics() {
    let (topics, positions_max) = if full() { (5_000, POSITIONS_MAX) } else { (500, 5_000) };
    let mut yaml = format!("limits: {{ positions_max: {positions_max} }}\ntopics:\n");
    for n in 0..topics {
        writeln!(yaml, "  \"many.{n}\": {{}}").unwrap();
    }
    yaml.push_str("  numbers: {}\n");
    let place = Place::new(&yaml);
    let relay = place.start().await;
    let before = healthy(relay.api(), 300).await;
    let mut refused = 0;
    for n in 0..20 {
        let body = json!({
            "name": format!("all-{n}"), "topic": "many.*",
            "webhook": { "url": "http://127.0.0.1:9/" },
        });
        let reply = relay.api().post("/v1/subscriptions", &body).await;
        if reply.status != 201 {
            let problem = reply.problem(429, "full");
            let detail = problem["detail"].as_str().unwrap();
            assert!(detail.contains("limits.positions_max"), "{detail}");
            refused += 1;
        }
    }
    assert_eq!(refused, 10);
    let during = healthy(relay.api(), 300).await;
    let bound = BESIDE + positions_max * POSITION_BYTES;
    judge(&format!("20 subscriptions to {topics} topics"), &relay, bound, before, during);
    assert!(relay.stop().await.success());
}
