//! Topics: whose settings are whose, and what they may be.

use super::*;

#[tokio::test]
async fn what_the_file_names_is_changed_in_the_file() {
    let relay = Relay::new().await;
    let path = "/v1/topics/orders";
    let delete = || typed(Method::DELETE, path).body(Body::empty()).unwrap();
    let other = json!({"retention": {"age": "1d"}});
    relay.file_topics.send_replace(Arc::new(BTreeSet::from(["orders".parse().unwrap()])));
    relay.with_json(Method::PUT, path, &other).await.problem(409, "read_only");
    relay.send(delete()).await.problem(409, "read_only");
    let same = relay.with_json(Method::PUT, path, &json!({})).await.ok().json();
    assert_eq!(same["settings"]["retention"]["age"], "30d");
    relay.with_json(Method::PUT, "/v1/topics/billing", &other).await.ok();

    relay.file_topics.send_replace(Arc::default());
    relay.with_json(Method::PUT, path, &other).await.ok();
    relay.send(delete()).await.ok();
}

#[tokio::test]
async fn a_limit_of_nothing_is_refused_by_name() {
    let relay = Relay::new().await;
    for (name, nothing) in [("age", json!("0s")), ("count", json!(0)), ("max_bytes", json!(0))] {
        for topic in ["orders", "new"] {
            let body = json!({"retention": {name: nothing}});
            let refused = relay.with_json(Method::PUT, &format!("/v1/topics/{topic}"), &body).await;
            let problem = refused.problem(422, "invalid");
            assert_eq!(problem["field"], format!("retention.{name}"), "{problem}");
        }
    }
    relay.get("/v1/topics/new").await.problem(404, "not_found");
    let body = json!({"retention": {"age": null, "count": null, "owed": "0s"}});
    relay.with_json(Method::PUT, "/v1/topics/new", &body).await.ok();
}

#[tokio::test]
async fn counters_of_a_topic_come_and_go_with_it() {
    let relay = Relay::new().await;
    let path = "/v1/topics/billing";
    let counted = "milkrun_events_appended_total{topic=\"billing\"} 0\n";
    let duplicates = "milkrun_events_duplicate_total{topic=\"billing\"} 0\n";
    relay.with_json(Method::PUT, path, &json!({})).await.ok();
    let shown = relay.get("/metrics").await.ok();
    assert!(
        shown.text().contains(counted) && shown.text().contains(duplicates),
        "{}",
        shown.text()
    );
    relay.send(typed(Method::DELETE, path).body(Body::empty()).unwrap()).await.ok();
    assert!(!relay.get("/metrics").await.ok().text().contains("billing"));
}
