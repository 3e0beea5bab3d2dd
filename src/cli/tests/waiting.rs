//! What waits for somebody: pending events, dead letters, replays.

use super::*;

#[test]
fn arguments_are_read() {
    for good in [
        "pending orders",
        "pending orders change 7 2026-01-31T12:00:00Z",
        "dead-letters billing redrive --reason attempts --from 5 --to 9 --rate 10/s",
        "dead-letters billing list --topic orders --status 503",
        "dead-letters billing delete --since 2026-01-31T12:00:00Z",
    ] {
        let words = std::iter::once("milkrun").chain(good.split(' '));
        Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{good}: {error}"));
    }
    for bad in [
        "pending orders change 7",
        "pending orders cancel",
        "dead-letters billing redrive --rate 10/s",
        "dead-letters billing redrive --all --reason age",
        "dead-letters billing redrive 7 --reason age",
        "dead-letters billing delete --rate 10/s 7",
    ] {
        let words = std::iter::once("milkrun").chain(bad.split(' '));
        assert!(Cli::try_parse_from(words).is_err(), "{bad}");
    }
}

#[tokio::test]
async fn commands_ask_the_api() {
    let dead = "/v1/subscriptions/b/dead-letters";
    for (words, verb, at, body) in [
        ("pending t", "GET", "/v1/topics/t/pending", None),
        ("pending t show 7", "GET", "/v1/topics/t/pending/7", None),
        ("pending t cancel 7", "DELETE", "/v1/topics/t/pending/7", None),
        ("pending t commit 7", "POST", "/v1/topics/t/pending/7/commit", Some(json!({}))),
        (
            "pending t change 7 2026-01-31T12:00:00Z",
            "PATCH",
            "/v1/topics/t/pending/7",
            Some(json!({ "deliverat": "2026-01-31T12:00:00Z" })),
        ),
        ("dead-letters b list --reason age", "GET", dead, None),
        (
            "dead-letters b redrive --reason age --from 5 --rate 10/s",
            "POST",
            "/v1/subscriptions/b/dead-letters/redrive",
            Some(json!({ "reason": "age", "from": 5, "rate": "10/s" })),
        ),
        ("dead-letters b delete --status 503", "DELETE", dead, Some(json!({ "status": 503 }))),
    ] {
        asks(words, verb, at, body).await;
    }
}
