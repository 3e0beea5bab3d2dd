//! Answers that are no page: errors with a success's status, lists that are not ready, pauses.

use std::time::Duration;

use serde_json::{Value, json};

use super::{dry, dry_from, producer, source};
use crate::support::{Place, Relay, eventually};

/// The source as soon as it was polled so that `result` came of it.
async fn state(relay: &Relay, result: &str) -> Value {
    eventually(&format!("a poll that is {result}"), || async {
        let state = relay.api().get("/v1/sources/field").await.ok();
        (state["report"]["result"] == result).then_some(state)
    })
    .await
}

#[tokio::test]
async fn an_error_with_status_200_fails_the_walk_by_its_rule() {
    let producer = producer().await;
    let lines = "items: result\nfail_when: \"page.error\"";
    let failed = dry_from(&producer, "nozomi-error", lines, None).await;
    assert_eq!(failed.code, Some(1), "{failed:#?}");
    for told in ["error_page", "Syntax not supported (record_created_at)"] {
        assert!(failed.stderr.contains(told), "{told}: {failed:#?}");
    }
    let warned = dry(&producer, "nozomi-error", "items: result").await;
    assert!(warned.warning().contains("fail_when"), "{warned:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_page_leaves_the_cursor_where_it_was() {
    let producer = producer().await;
    let lines = "items: result\nfail_when: \"page.error\"\ncursor: { last_id: { query: after } }\n\
                 start: { cursor: \"41\" }";
    let place = Place::new(&source(&producer, "nozomi-error", lines));
    let relay = place.start().await;
    let state = state(&relay, "error_page").await;
    let message = state["report"]["message"].as_str().unwrap();
    assert!(message.contains("Syntax not supported (record_created_at)"), "{state}");
    assert_eq!((&state["walks"], &state["cursor"]["value"]), (&json!(0), &json!("41")), "{state}");
    relay.api().post("/v1/sources/field/poll", &json!({})).await.ok();
    producer.until_sent(2).await;
    assert_eq!(producer.targets()[..2], ["/nozomi-error?after=41", "/nozomi-error?after=41"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_is_not_ready_is_asked_for_again_soon() {
    let producer = producer().await;
    let place = Place::new(&source(&producer, "stats-202", "items: \"\""));
    let relay = place.start().await;
    let state = state(&relay, "waiting").await;
    assert_eq!((&state["walks"], &state["cursor"]), (&json!(0), &Value::Null), "{state}");
    // The interval is an hour.
    relay.until_head("field", 3).await;
    let sent = producer.sent();
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[1].header("if-none-match"), None);
    assert!(sent[1].at - sent[0].at < Duration::from_mins(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_seconds_may_be_written_with_a_fraction() {
    let producer = producer().await;
    let yaml = source(&producer, "retry-fraction", "items: \"\"");
    let place = Place::new(&yaml.replace("interval: 1h", "interval: 10ms"));
    let relay = place.start().await;
    relay.until_head("field", 3).await;
    let sent = producer.sent();
    let pause = sent[1].at - sent[0].at;
    assert!(pause >= Duration::from_millis(1_900), "asked again after {pause:?}");
}
