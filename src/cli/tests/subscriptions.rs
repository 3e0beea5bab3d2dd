//! `milkrun subscriptions`: what each option asks of the API.

use super::*;

#[tokio::test]
async fn options_become_fields() {
    for (words, verb, at, body) in [
        (
            "subscriptions create b --url http://a.example --topic t --topic u.* --filter {\"not\":{}} --order key --batch-max-events 5 --rate 9/s --concurrency 2 --header x-a:b --max-attempts 1 --generate-ed25519",
            "POST",
            "/v1/subscriptions",
            Some(json!({
                "name": "b", "topics": ["t", "u.*"], "from": "latest",
                "webhook": { "url": "http://a.example", "headers": { "x-a": "b" }, "secret_kind": "ed25519" },
                "filter": { "not": {} }, "order": "key", "batch": { "max_events": 5 }, "rate": "9/s",
                "concurrency": 2, "retry": { "max_attempts": 1 },
            })),
        ),
        (
            "subscriptions create b --url http://a.example --topic t --filter type=='x'",
            "POST",
            "/v1/subscriptions",
            Some(
                json!({ "name": "b", "topics": ["t"], "from": "latest", "webhook": { "url": "http://a.example" }, "filter": "type=='x'" }),
            ),
        ),
        ("subscriptions resume b", "POST", "/v1/subscriptions/b/resume", Some(json!({}))),
        (
            "subscriptions resume b --from latest",
            "POST",
            "/v1/subscriptions/b/resume",
            Some(json!({ "from": "latest" })),
        ),
        (
            "subscriptions rotate-secret b --overlap 1h",
            "POST",
            "/v1/subscriptions/b/secrets/rotate",
            Some(json!({ "overlap": "1h" })),
        ),
        (
            "subscriptions test b --version 7 --send",
            "POST",
            "/v1/subscriptions/b/test",
            Some(json!({ "version": "7", "send": true })),
        ),
        (
            "subscriptions attempts b --failed --since 2026-01-31T12:00:00Z --status 500",
            "GET",
            "/v1/subscriptions/b/attempts",
            None,
        ),
    ] {
        asks(words, verb, at, body).await;
    }
}
