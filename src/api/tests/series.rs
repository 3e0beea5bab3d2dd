//! How metrics went.

use super::*;
use crate::{api::record, key::AccessKey};

const NAME: &str = "milkrun_events_appended_total";

/// Looks at the metrics at this moment.
async fn look(state: &ApiState) {
    let stop = CancellationToken::new();
    let one = tokio::spawn(record(state.clone(), stop.clone()));
    let before = state.series.lock().looks();
    while state.series.lock().looks() == before {
        tokio::task::yield_now().await;
    }
    stop.cancel();
    one.await.unwrap();
}

#[tokio::test]
async fn a_rate_is_shown_and_a_key_sees_its_own() {
    let mut relay = Relay::new().await;
    let mut keys = Vec::new();
    for (scope, topics) in [("admin", "*"), ("read", "orders"), ("read", "payments")] {
        let grant = serde_json::from_value(json!({
            "owner": "billing", "scopes": [scope], "topics": [topics]
        }));
        let (key, text) = AccessKey::fresh(None, grant.unwrap(), None, NOW).unwrap();
        relay.store.put_key(&key).await.unwrap();
        keys.push(text);
    }
    let state = relay.state(relay.store.clone(), Access::Keyed, Limits::default());
    state.gate.refresh().await.unwrap();
    relay.router = router(state.clone(), Router::new());
    state.metrics.know_topic(&"orders".parse().unwrap());
    look(&state).await;
    let label = crate::telemetry::TopicLabel { topic: "orders".to_owned() };
    state.metrics.appended.get_or_create(&label).inc_by(50);
    relay.clock.advance(Duration::from_secs(10));
    look(&state).await;
    let get = async |key: usize, path: &str| {
        let request = request(Method::GET, path)
            .header("authorization", format!("Bearer {}", keys[key].reveal()));
        relay.send(request.body(Body::empty()).unwrap()).await
    };
    let path = format!("/v1/series?name={NAME}&label=topic=orders");
    let all = get(0, &path).await.ok().json();
    assert_eq!((&all["name"], &all["values_are"]), (&json!(NAME), &json!("per_second")));
    assert_eq!((&all["step_seconds"], &all["missing"]), (&json!(10), &json!(0)));
    let values = all["series"][0]["values"].as_array().unwrap();
    assert_eq!((values.len(), &values[0], &values[359]), (360, &Value::Null, &json!(5.0)));
    assert_eq!(get(1, &path).await.ok().json()["series"], all["series"]);
    assert_eq!(get(2, &path).await.ok().json()["series"], json!([]), "of another topic");
    let of_node = "/v1/series?name=milkrun_store_queue_operations";
    assert_eq!(get(1, of_node).await.ok().json()["series"], json!([]), "of all topics together");
    assert_eq!(get(0, of_node).await.ok().json()["series"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_wrong_is_said() {
    let relay = Relay::new().await;
    for (query, parameter, said) in [
        ("", "name", "expected a metric"),
        ("name=milkrun_topic_haed", "name", "did you mean `milkrun_topic_head`?"),
        ("name=milkrun_build_info", "name", "no series"),
        ("name=topic_head&label=topic", "label", "expected `label=value`"),
        ("name=topic_head&label=source=a", "label", "`topic`"),
        ("name=topic_head&step=15s", "step", "expected `10s`"),
        ("name=topic_head&step=10s&since=2026-01-31T00:00:00Z", "step", "`1m`"),
        ("name=topic_head&name=a", "name", "twice"),
    ] {
        let reply = relay.get(&format!("/v1/series?{query}")).await;
        let problem = reply.problem(400, "bad_parameter");
        assert_eq!(problem["parameter"], parameter, "{query}");
        assert!(problem["detail"].as_str().unwrap().contains(said), "{query}: {problem}");
    }
}
