//! Trying a subscription out: what would be sent, and sending it once.

use super::*;

const TEST: &str = "/v1/subscriptions/billing/test";

async fn relay(change: Value) -> Relay {
    let relay = Relay::new().await;
    relay.fill(1..=5).await;
    let mut body = billing();
    body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    relay.post(PATH, body).await.ok();
    relay
}

#[tokio::test]
async fn the_request_is_shown_and_nothing_is_sent() {
    let relay = relay(json!({})).await;
    let shown = relay.post(TEST, json!({})).await.ok();
    assert!(!shown.text().contains("secret-value"), "{}", shown.text());
    let shown = shown.json();
    assert_eq!((&shown["matches"], &shown["version"]), (&json!(true), &json!(5)));
    assert_eq!((&shown["answer"], &shown["error"]), (&Value::Null, &Value::Null));
    let request = &shown["request"];
    assert_eq!(request["method"], "POST");
    assert_eq!(request["url"], "https://billing.example/hooks");
    let headers = &request["headers"];
    assert_eq!((&headers["milkrun-attempt"], &headers["x-team"]), (&json!("1"), &json!("***")));
    assert_eq!(headers["milkrun-version"], "5");
    assert!(headers["webhook-signature"].as_str().unwrap().starts_with("v1,"), "{headers}");
    let body: Value = serde_json::from_str(request["body"].as_str().unwrap()).unwrap();
    assert_eq!(body["data"]["n"], 5);
    assert!(relay.sent.lock().unwrap().is_empty());

    let cursor = format!("{}-2", relay.epoch().await);
    for version in [json!(2), json!("2"), json!(cursor)] {
        let shown = relay.post(TEST, json!({"version": version})).await.ok().json();
        assert_eq!(shown["request"]["headers"]["milkrun-version"], "2", "{version}");
    }
    relay.post(TEST, json!({"version": 6})).await.problem(409, "history_changed");
    for (body, field) in [
        (json!({"version": 0}), "version"),
        (json!({"version": "latest"}), "version"),
        (json!({"topic": "other"}), "topic"),
        (json!({"vesion": 1}), "vesion"),
    ] {
        assert_eq!(relay.post(TEST, body).await.problem(422, "invalid")["field"], field);
    }
}

/// What is sent is what was shown, and leaves no trace in the subscription.
#[tokio::test]
async fn it_is_sent_once_when_asked() {
    let relay = relay(json!({})).await;
    let before = relay.get("/v1/subscriptions/billing").await.ok().json();
    let shown = relay.post(TEST, json!({"version": 3})).await.ok().json();
    let sent = relay.post(TEST, json!({"version": 3, "send": true})).await.ok().json();
    assert_eq!(sent["request"], shown["request"]);
    let answer = &sent["answer"];
    assert_eq!((&answer["status"], &answer["error"]), (&json!(418), &Value::Null));
    assert_eq!(answer["body"], "short and stout");
    let requests = std::mem::take(&mut *relay.sent.lock().unwrap());
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].headers()["x-team"], "secret-value");
    assert_eq!(std::str::from_utf8(requests[0].body()).unwrap(), shown["request"]["body"]);
    let after = relay.get("/v1/subscriptions/billing").await.ok().json();
    assert_eq!(before, after);
}

#[tokio::test]
async fn filters_and_transforms_show_what_they_make() {
    let relay = relay(json!({
        "filter": "data.n != 4",
        "transform": {"number": "data.n", "first": "data.n < 2"},
    }))
    .await;
    let shown = relay.post(TEST, json!({"version": 1})).await.ok().json();
    assert_eq!(shown["matches"], true);
    let body: Value = serde_json::from_str(shown["request"]["body"].as_str().unwrap()).unwrap();
    assert_eq!(body, json!({"number": 1, "first": true}));
    let skipped = relay.post(TEST, json!({"version": 4, "send": true})).await.ok().json();
    assert_eq!((&skipped["matches"], &skipped["answer"]), (&json!(false), &Value::Null));
    assert!(skipped["error"].as_str().unwrap().contains("filter"), "{skipped}");
    assert!(skipped["request"].is_object());
    let change = json!({"transform": {"number": "data.n // 0"}});
    relay.with_json(Method::PATCH, "/v1/subscriptions/billing", &change).await.ok();
    let failed = relay.post(TEST, json!({"version": 1, "send": true})).await.ok().json();
    assert_eq!((&failed["request"], &failed["answer"]), (&Value::Null, &Value::Null));
    assert!(failed["error"].as_str().unwrap().starts_with("`transform`"), "{failed}");
    assert!(relay.sent.lock().unwrap().is_empty());
}

/// Without its consent an endpoint gets nothing; a token is not shown.
#[tokio::test]
async fn consent_is_asked_for_and_tokens_are_hidden() {
    let relay = relay(json!({"webhook": {
        "url": "https://billing.example/hooks", "handshake": true,
        "auth": {"oauth2": {"token_url": "https://id.example/t", "client_id": "a", "client_secret": "b"}},
    }}))
    .await;
    let shown = relay.post(TEST, json!({})).await.ok().json();
    assert_eq!(shown["request"]["headers"]["authorization"], "***");
    let change = json!({"webhook": {"auth": null}});
    relay.with_json(Method::PATCH, "/v1/subscriptions/billing", &change).await.ok();
    let sent = relay.post(TEST, json!({"send": true})).await.ok().json();
    assert_eq!(sent["answer"]["status"], Value::Null);
    assert!(sent["answer"]["error"].as_str().unwrap().starts_with("handshake"), "{sent}");
    let requests = std::mem::take(&mut *relay.sent.lock().unwrap());
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].method(), Method::OPTIONS);
}

#[tokio::test]
async fn a_topic_without_events_has_nothing_to_try() {
    let relay = Relay::new().await;
    relay.post(PATH, billing()).await.ok();
    relay.post(TEST, json!({})).await.problem(409, "conflict");
}
