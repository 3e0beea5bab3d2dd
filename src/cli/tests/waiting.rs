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

/// Ids that nothing was done for are told.
#[tokio::test]
async fn dead_letters_that_are_not_there_are_told() {
    for (words, answer, good) in [
        ("dead-letters b redrive 3 4", json!({ "redriven": 1 }), false),
        ("dead-letters b redrive 3 4 4", json!({ "redriven": 2 }), true),
        ("dead-letters b delete 3", json!({ "deleted": 0 }), false),
        ("dead-letters b delete --all", json!({ "deleted": 0 }), true),
    ] {
        let server = MockServer::start().await;
        let answer = ResponseTemplate::new(200).set_body_json(answer);
        Mock::given(wiremock::matchers::any()).respond_with(answer).mount(&server).await;
        match milkrun(&server, words).await {
            Ok(()) => assert!(good, "{words}"),
            Err(failure) => {
                assert!(!good && failure.code == 1, "{words}: {failure}");
                assert!(failure.message.contains("no dead letters of `b`"), "{failure}");
            }
        }
    }
}

/// A replay of a subscription that is not served is waited for with words.
#[tokio::test]
async fn a_replay_that_waits_is_followed_to_its_end() {
    let server = MockServer::start().await;
    let answers = |answer| ResponseTemplate::new(200).set_body_json(answer);
    let waiting = json!({ "id": 7, "status": "waiting", "waits": "subscription `b` is paused" });
    let get = || Mock::given(method("GET")).and(path("/v1/subscriptions/b/replays/7"));
    get().respond_with(answers(waiting)).up_to_n_times(1).mount(&server).await;
    get().respond_with(answers(json!({ "id": 7, "status": "done" }))).mount(&server).await;
    milkrun(&server, "replay wait b 7").await.unwrap();
    assert_eq!(server.received_requests().await.unwrap().len(), 2);
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
