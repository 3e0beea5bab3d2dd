//! Finding things by what somebody has of them.

use super::*;

/// What is found, as `kind name topic@version`.
async fn found(relay: &Relay, query: &str) -> Vec<String> {
    let answer = relay.get(&format!("/v1/find?q={query}")).await.ok().json();
    let short = |one: &Value| {
        let text = |field: &str| one[field].as_str().unwrap_or("-").to_owned();
        let version = one["version"].as_u64().unwrap_or_default();
        format!("{} {} {}@{version}", text("kind"), text("name"), text("topic"))
    };
    answer["found"].as_array().unwrap().iter().map(short).collect()
}

#[tokio::test]
async fn a_thing_is_found_by_its_name() {
    let relay = Relay::new().await;
    relay.fill(1..=3).await;
    let body = json!({ "name": "orders", "topic": "orders",
        "webhook": { "url": "https://billing.example/hooks" } });
    relay.post("/v1/subscriptions", body).await.ok();
    assert_eq!(found(&relay, "orders").await, ["topic orders -@0", "subscription orders -@0"]);
    assert!(found(&relay, "order").await.is_empty());
}

#[tokio::test]
async fn an_event_is_found_by_each_of_its_places_and_by_its_id() {
    let relay = Relay::new().await;
    relay.fill(1..=3).await;
    let topic = relay.get("/v1/topics/orders").await.ok().json();
    let (uid, epoch) = (topic["uid"].as_str().unwrap(), topic["epoch"].as_str().unwrap());
    let event = relay.get("/v1/topics/orders/events/2").await.ok().json();
    let id = event["id"].as_str().unwrap();
    let expected = [format!("event {id} orders@2")];
    for query in [
        "orders%402".to_owned(),
        format!("orders%40{epoch}-2"),
        format!("{epoch}-2"),
        format!("{uid}-{epoch}-2"),
        format!("{uid}-{epoch}-2-3"),
        id.to_owned(),
    ] {
        assert_eq!(found(&relay, &query).await, expected, "{query}");
    }
    for query in ["orders%404", "orders%400", "nothing%401", "00000000-2", "orders%40x"] {
        assert!(found(&relay, query).await.is_empty(), "{query}");
    }
    for query in ["", "?q=", "?q=%20", "?q=a&after=b", "?q=a&limit=3"] {
        relay.get(&format!("/v1/find{query}")).await.problem(400, "bad_parameter");
    }
}

#[tokio::test]
async fn what_is_looked_at_is_bounded_and_goes_on() {
    let relay = Relay::new().await;
    for first in (1..=24_000).step_by(1_000) {
        relay.fill(first..=first + 999).await;
    }
    let event = relay.get("/v1/topics/orders/events/2").await.ok().json();
    let id = event["id"].as_str().unwrap();
    let answer = relay.get(&format!("/v1/find?q={id}")).await.ok().json();
    assert_eq!((&answer["found"], &answer["looked_at"]), (&json!([]), &json!(20_000)));
    let next = answer["next"].as_str().unwrap();
    assert_eq!(next, "orders@4001");
    let answer = relay.get(&format!("/v1/find?q={id}&after=orders%404001")).await.ok().json();
    assert_eq!((&answer["found"][0]["version"], &answer["next"]), (&json!(2), &Value::Null));
    assert_eq!(answer["looked_at"], 4_000);
}

#[tokio::test]
async fn a_key_finds_what_it_may_read() {
    let mut relay = Relay::new().await;
    relay.fill(1..=3).await;
    let mut keys = Vec::new();
    for (scope, topics) in [("admin", "*"), ("read", "payments")] {
        let grant = serde_json::from_value(json!({
            "owner": "billing", "scopes": [scope], "topics": [topics]
        }));
        let (key, text) = crate::key::AccessKey::fresh(None, grant.unwrap(), None, NOW).unwrap();
        relay.store.put_key(&key).await.unwrap();
        keys.push(text);
    }
    let state = relay.state(relay.store.clone(), Access::Keyed, Limits::default());
    state.gate.refresh().await.unwrap();
    relay.router = router(state, Router::new());
    for (key, count) in keys.iter().zip([1, 0]) {
        for query in ["orders", "orders%402"] {
            let request = request(Method::GET, &format!("/v1/find?q={query}"))
                .header("authorization", format!("Bearer {}", key.reveal()));
            let answer = relay.send(request.body(Body::empty()).unwrap()).await.ok().json();
            assert_eq!(answer["found"].as_array().unwrap().len(), count, "{query}: {answer}");
        }
    }
}
