//! What a filter or a draft makes of the newest events.

use super::*;

async fn tried(relay: &Relay, body: Value) -> Value {
    relay.post("/v1/trials", body).await.ok().json()
}

/// The version and the result of each.
fn results(answer: &Value) -> Vec<(u64, &str)> {
    let trials = answer["trials"].as_array().unwrap();
    let one = |one: &Value| one["version"].as_u64().unwrap();
    trials.iter().map(|trial| (one(trial), trial["result"].as_str().unwrap())).collect()
}

#[tokio::test]
async fn a_filter_is_tried_on_the_newest_events() {
    let relay = Relay::new().await;
    relay.fill(1..=9).await;
    let answer = tried(&relay, json!({"topic": "orders", "filter": "data.n > 7", "last": 3})).await;
    let expected = [(9, "wanted"), (8, "wanted"), (7, "passed_over")];
    assert_eq!(results(&answer), expected);
    let counts = json!([answer["wanted"], answer["passed_over"], answer["failed"], answer["cut"]]);
    assert_eq!(counts, json!([2, 1, 0, false]));
    assert_eq!(
        (&answer["trials"][0]["id"], &answer["trials"][0]["type"]),
        (&json!("9"), &json!("odd"))
    );
    let answer = tried(&relay, json!({"topic": "orders", "filter": "1 / (data.n - 8) > 0"})).await;
    assert_eq!(answer["trials"].as_array().unwrap().len(), 9, "all there are");
    let failed = &answer["trials"][1];
    assert!(failed["result"] == "failed" && failed["error"].is_string(), "{failed}");
}

#[tokio::test]
async fn a_draft_shows_the_bodies_that_would_be_sent() {
    let relay = Relay::new().await;
    relay.fill(1..=2).await;
    let draft = json!({"transform": {"twice": "data.n * 2"}, "filter": "data.n == 2"});
    let answer = tried(&relay, json!({"topic": "orders", "subscription": draft})).await;
    assert_eq!(results(&answer), [(2, "wanted"), (1, "passed_over")]);
    let body: Value = serde_json::from_str(answer["trials"][0]["body"].as_str().unwrap()).unwrap();
    assert_eq!(body, json!({"twice": 4}));
    assert_eq!(answer["trials"][1]["body"], Value::Null);
    assert!(relay.sent.lock().unwrap().is_empty(), "nothing is sent");
    assert_eq!(relay.get("/v1/subscriptions").await.ok().json()["subscriptions"], json!([]));
}

#[tokio::test]
async fn large_events_are_tried_until_enough_is_read() {
    let relay = Relay::new().await;
    let large = "x".repeat(900_000);
    for id in 1..=8 {
        let mut one = event(id);
        one["data"] = json!({"n": id, "large": large});
        relay.publish("application/cloudevents+json", one.to_string()).await.ok();
    }
    let answer = tried(&relay, json!({"topic": "orders", "filter": "true"})).await;
    let versions: Vec<u64> = results(&answer).into_iter().map(|(version, _)| version).collect();
    assert!(versions.len() < 8 && answer["cut"] == true, "{versions:?}");
    let expected: Vec<u64> = (1..=8).rev().take(versions.len()).collect();
    assert_eq!(versions, expected, "the newest, without a hole");
    assert_eq!(answer["trials"][0]["body"].as_str().unwrap().len(), 64 << 10);
}

#[tokio::test]
async fn what_is_wrong_with_a_draft_is_named() {
    let relay = Relay::new().await;
    for (body, field) in [
        (json!({"topic": "orders", "filter": "data.("}), "filter"),
        (json!({"topic": "orders", "filter": "true", "subscription": {}}), "filter"),
        (json!({"topic": "orders", "last": 0}), "last"),
        (json!({"topic": "orders", "last": 101}), "last"),
        (json!({"topic": "orders", "subscription": {"transform": {"a": "data.("}}}), "transform.a"),
        (
            json!({"topic": "orders", "subscription": {"webhook": {"url": "ftp://a"}}}),
            "webhook.url",
        ),
    ] {
        let problem = relay.post("/v1/trials", body.clone()).await.problem(422, "invalid");
        assert_eq!(problem["field"], field, "{body}");
    }
    relay.post("/v1/trials", json!({"topic": "none"})).await.problem(404, "not_found");
    assert_eq!(tried(&relay, json!({"topic": "orders"})).await["trials"], json!([]));
}
