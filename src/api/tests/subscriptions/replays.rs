//! Replay jobs over the API.

use super::*;

const REPLAYS: &str = "/v1/subscriptions/billing/replays";

#[tokio::test]
async fn a_replay_is_started_shown_and_cancelled() {
    let relay = Relay::new().await;
    relay.fill(1..=20).await;
    relay.post(PATH, billing()).await.ok();
    let made = relay.post(REPLAYS, json!({"from": 5, "to": 14, "rate": "100/s"})).await;
    assert_eq!(made.status.as_u16(), 201, "{}", made.text());
    let job = made.json();
    let place = format!("{REPLAYS}/{}", job["id"]);
    assert_eq!(made.header("location"), place);
    for (field, value) in [
        ("topic", json!("orders")),
        ("from", json!(5)),
        ("to", json!(14)),
        ("rate", json!("100/s")),
        ("status", json!("running")),
        ("reach", json!(4)),
        ("done_percent", json!(0)),
    ] {
        assert_eq!(job[field], value, "{field}");
    }
    let whole = relay.post(REPLAYS, json!({"from": "earliest"})).await.ok().json();
    assert_eq!((&whole["from"], &whole["to"]), (&json!(1), &json!(20)));
    let list = relay.get(REPLAYS).await.ok().json();
    assert_eq!(list["replays"].as_array().unwrap().len(), 2);
    assert_eq!(relay.get(&place).await.ok().json()["id"], job["id"]);
    // It is no part of where the subscription stands.
    let shown = relay.get("/v1/subscriptions/billing").await.ok().json();
    assert_eq!(shown["positions"].as_array().unwrap().len(), 1);
    assert_eq!(end(&relay, &place).await.ok().json()["status"], "cancelled");
    // Safe to repeat.
    assert_eq!(end(&relay, &place).await.ok().json()["status"], "cancelled");
    assert_eq!(relay.get(&format!("{REPLAYS}/999")).await.status.as_u16(), 404);
}

/// Who waits for a replay learns why nothing comes of it.
#[tokio::test]
async fn a_replay_of_a_subscription_that_is_not_served_waits() {
    let relay = Relay::new().await;
    relay.fill(1..=3).await;
    relay.post(PATH, billing()).await.ok();
    relay.post(&format!("{PATH}/billing/pause"), json!({})).await.ok();
    let job = relay.post(REPLAYS, json!({"from": 1})).await.ok().json();
    let place = format!("{REPLAYS}/{}", job["id"]);
    let listed = relay.get(REPLAYS).await.ok().json()["replays"][0].clone();
    for view in [&job, &listed, &relay.get(&place).await.ok().json()] {
        assert_eq!(view["status"], "waiting", "{view}");
        let why = view["waits"].as_str().unwrap();
        assert!(why.starts_with("subscription `billing` is paused"), "{why}");
        assert!(why.contains("milkrun subscriptions resume billing"), "{why}");
    }
    relay.post(&format!("{PATH}/billing/resume"), json!({})).await.ok();
    let resumed = relay.get(&place).await.ok().json();
    assert_eq!((&resumed["status"], &resumed["waits"]), (&json!("running"), &Value::Null));
    relay.post(&format!("{PATH}/billing/pause"), json!({})).await.ok();
    assert_eq!(end(&relay, &place).await.ok().json()["status"], "cancelled");
    assert_eq!(relay.get(&place).await.ok().json()["status"], "cancelled");
}

#[tokio::test]
async fn what_cannot_be_replayed_is_named() {
    let relay = Relay::new().await;
    relay.fill(1..=20).await;
    relay.post(PATH, billing()).await.ok();
    for (body, status, field) in [
        (json!({}), 422, ""),
        (json!({"from": "latest"}), 422, "from"),
        (json!({"from": 9, "to": 3}), 422, "from"),
        (json!({"from": 1, "to": "earliest"}), 422, "to"),
        (json!({"from": 1, "rate": "fast"}), 422, "rate"),
        (json!({"from": 1, "topic": "others"}), 422, "topic"),
        (json!({"from": 1, "speed": "1/s"}), 422, "speed"),
    ] {
        let answer = relay.post(REPLAYS, body.clone()).await;
        assert_eq!(answer.status.as_u16(), status, "{body}: {}", answer.text());
        assert_eq!(answer.json()["field"], field, "{body}: {}", answer.text());
    }
    let ahead = relay.post(REPLAYS, json!({"from": 1, "to": 21})).await;
    assert_eq!(ahead.status.as_u16(), 409, "{}", ahead.text());
}

async fn end(relay: &Relay, place: &str) -> Reply {
    relay.send(typed(Method::DELETE, place).body(Body::empty()).unwrap()).await
}
