//! Publishing, and that `data` comes back as it was sent.

use super::*;

/// JSON that any serialiser would write otherwise.
const DATA: &str =
    "{ \"n\" : 1.000, \"big\":12345678901234567890123, \"e\":\"\\u00e9\\/é\",\r\n\t\"n\": -0 }";

fn structured(id: &str) -> String {
    format!(r#"{{"specversion":"1.0","id":"{id}","source":"/s","type":"t","data":{DATA}}}"#)
}

#[tokio::test]
async fn data_is_the_same_bytes_in_every_form() {
    let relay = Relay::new().await;
    relay.publish(crate::wire::STRUCTURED, structured("1")).await.ok();
    relay.publish(crate::wire::BATCH, format!("[{} ]", structured("2"))).await.ok();
    let binary = request(Method::POST, "/v1/topics/orders/events")
        .header("content-type", "application/json")
        .header("ce-specversion", "1.0")
        .header("ce-id", "3")
        .header("ce-source", "/s")
        .header("ce-type", "t");
    relay.send(binary.body(Body::from(DATA)).unwrap()).await.ok();

    let json = relay.get("/v1/topics/orders/events").await.ok();
    assert_eq!(json.text().matches(DATA).count(), 3);
    let batch = relay.accept("/v1/topics/orders/events", crate::wire::BATCH).await.ok();
    assert_eq!(batch.text().matches(DATA).count(), 3);
    let one_line = DATA.replace(['\r', '\n'], " ");
    let lines = relay.accept("/v1/topics/orders/events", "application/x-ndjson").await.ok();
    assert_eq!(lines.text().matches(&one_line).count(), 3);
    assert_eq!(lines.text().lines().count(), 3);
    let events = relay.accept("/v1/topics/orders/events?limit=3", "text/event-stream").await.ok();
    assert_eq!(events.text().matches(&one_line).count(), 3);

    // A batch is the structured forms, byte for byte.
    let topic: Topic = "orders".parse().unwrap();
    let page =
        relay.store.read(&topic, store::Read::after(crate::event::Version(0))).await.unwrap();
    let pushed: Vec<String> = page
        .events
        .iter()
        .map(|event| String::from_utf8(crate::wire::structured(event, &topic)).unwrap())
        .collect();
    assert_eq!(batch.text(), format!("[{}]", pushed.join(",")));
}

#[tokio::test]
async fn a_text_is_a_json_string_to_readers() {
    let relay = Relay::new().await;
    let text = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","datacontenttype":"text/plain","data":"a \"b\"\n"}"#;
    relay.publish(crate::wire::STRUCTURED, text).await.ok();
    for media in ["application/json", crate::wire::BATCH, "application/x-ndjson"] {
        let read = relay.accept("/v1/topics/orders/events", media).await.ok();
        assert!(read.text().contains(r#""data":"a \"b\"\n""#), "{}", read.text());
    }
}

#[tokio::test]
async fn a_publish_tells_of_two_machines_when_it_is_held_to_them() {
    let mut relay = Relay::new().await;
    let state = relay.state(relay.store.clone(), Access::Loopback, Limits::default());
    relay.router = router(state.with_durability(Durability::Replicated), Router::new());
    let published = relay.publish(crate::wire::BATCH, json!([event(1)]).to_string()).await.ok();
    assert_eq!(published.json()["durability"], "replicated");
}

#[tokio::test]
async fn a_publish_answers_in_the_order_sent() {
    let relay = Relay::new().await;
    let body = json!([event(1), event(2), event(1)]).to_string();
    let first = relay.publish(crate::wire::BATCH, body.clone()).await.ok().json();
    let epoch = relay.epoch().await;
    let placed = |version: u64, duplicate: bool| json!({"version": version, "epoch": epoch, "duplicate": duplicate});
    assert_eq!(first["events"], json!([placed(1, false), placed(2, false), placed(1, true)]));
    assert_eq!(first["durability"], "disk");
    let again = relay.publish(crate::wire::BATCH, body).await.ok().json();
    assert_eq!(again["events"], json!([placed(1, true), placed(2, true), placed(1, true)]));
    let metrics = relay.get("/metrics").await.ok();
    assert!(metrics.header("content-type").starts_with("application/openmetrics-text"));
    let counted = "milkrun_events_appended_total{topic=\"orders\"} 2";
    assert!(metrics.text().contains(counted), "{}", metrics.text());
    assert!(metrics.text().ends_with("# EOF\n"));
}

#[tokio::test]
async fn one_bad_event_and_nothing_is_stored() {
    let relay = Relay::new().await;
    let mut bad = event(2);
    bad["type"] = json!("");
    let body = json!([event(1), bad]).to_string();
    let refused = relay.publish(crate::wire::BATCH, body).await.problem(422, "invalid");
    assert_eq!((&refused["index"], &refused["field"]), (&json!(1), &json!("type")));
    assert_eq!(relay.get("/v1/topics/orders").await.ok().json()["head"], 0);
}

#[tokio::test]
async fn topics_must_exist_and_be_the_users() {
    let relay = Relay::new().await;
    for (topic, status, code) in [("nowhere", 404, "not_found"), ("milkrun.x", 403, "reserved")] {
        let request = request(Method::POST, &format!("/v1/topics/{topic}/events"))
            .header("content-type", crate::wire::STRUCTURED);
        let reply = relay.send(request.body(Body::from(structured("1"))).unwrap()).await;
        reply.problem(status, code);
    }
    let too_large = relay.publish(crate::wire::STRUCTURED, vec![b' '; (8 << 20) + 1]).await;
    too_large.problem(413, "too_large");
    relay.publish("application/json", structured("1")).await.problem(415, "unsupported_media_type");
}

#[tokio::test]
async fn bodies_that_cannot_be_taken_are_not_waited_for() {
    let relay = Relay::new().await;
    for (name, value, status, code) in [
        ("content-length", "8388609", 413, "too_large"),
        ("content-encoding", "gzip", 415, "unsupported_media_type"),
        ("content-encoding", "identity, br", 415, "unsupported_media_type"),
    ] {
        let request = request(Method::POST, "/v1/topics/orders/events")
            .header("content-type", crate::wire::STRUCTURED)
            .header(name, value);
        let never = futures_util::stream::pending::<std::io::Result<Bytes>>();
        let refused = relay.send(request.body(Body::from_stream(never)).unwrap()).await;
        let problem = refused.problem(status, code);
        let told = problem["detail"].as_str().unwrap();
        assert!(status == 413 || told.contains("without an encoding"), "{told}");
    }
    let plain = request(Method::POST, "/v1/topics/orders/events")
        .header("content-type", crate::wire::STRUCTURED)
        .header("content-encoding", "Identity");
    relay.send(plain.body(Body::from(structured("1"))).unwrap()).await.ok();
}

#[tokio::test]
async fn what_was_done_is_told_whatever_encodings_are_refused() {
    let relay = Relay::new().await;
    let publish = |id: &str, accept: &str| {
        let request = request(Method::POST, "/v1/topics/orders/events")
            .header("content-type", crate::wire::STRUCTURED)
            .header("accept-encoding", accept);
        request.body(Body::from(structured(id))).unwrap()
    };
    for (id, accept) in [("1", "identity;q=0"), ("2", "*;q=0"), ("3", "br, identity;q=0")] {
        let reply = relay.send(publish(id, accept)).await.ok();
        assert_eq!(reply.status, 200, "{accept}");
        assert_eq!(reply.json()["events"][0]["duplicate"], false, "{accept}");
    }
    let absent = request(Method::GET, "/v1/topics/none").header("accept-encoding", "identity;q=0");
    relay.send(absent.body(Body::empty()).unwrap()).await.problem(404, "not_found");
}
