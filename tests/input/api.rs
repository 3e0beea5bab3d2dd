//! Requests to the API that cannot be meant so.

use serde_json::{Value, json};

use crate::support::{Place, relay::SECRET};

#[tokio::test]
async fn what_is_wrong_with_a_question_is_said() {
    let place = Place::new("topics: { numbers: {} }\n");
    let relay = place.start().await;
    relay.api().publish("numbers", 1, 3).await;
    let events = "/v1/topics/numbers/events";
    for (query, says) in [
        ("?aftr=1", "after"),
        ("?after=one", "after"),
        ("?after=-1", "after"),
        ("?limit=many", "limit"),
        ("?limit=100000", "limit"),
        ("?wait=soon", "wait"),
        ("?since=yesterday", "since"),
    ] {
        let said = relay.api().get(&format!("{events}{query}")).await;
        assert!(matches!(said.status, 400 | 422), "{query}: {said:?}");
        let problem = said.json();
        assert!(problem["code"].is_string(), "{query}: {said:?}");
        assert!(said.body.contains(says), "{query} does not name {says}: {said:?}");
    }
    assert_eq!(relay.api().get(&format!("{events}/three")).await.status / 100, 4);
    relay.api().get("/v1/topics/none/events").await.problem(404, "not_found");
    assert!(relay.stop().await.success());
}

#[tokio::test]
async fn a_subscriber_cannot_make_the_relay_read_its_own_files() {
    let place = Place::new("topics: { numbers: {} }\n");
    let relay = place.start().await;
    let honest = json!({ "name": "honest", "topic": "numbers",
        "webhook": { "url": "http://127.0.0.1:9/", "secret": SECRET } });
    relay.api().post("/v1/subscriptions", &honest).await.ok();
    for reference in [json!({ "env": "HOME" }), json!({ "file": "/etc/hostname" })] {
        for place in ["secret", "secrets", "headers", "url"] {
            let mut webhook = json!({ "url": "http://127.0.0.1:9/", "secret": SECRET });
            match place {
                "secrets" => {
                    webhook = json!({ "url": "http://127.0.0.1:9/", "secrets": [reference] });
                }
                "headers" => webhook["headers"] = json!({ "x-key": reference }),
                field => webhook[field] = reference.clone(),
            }
            let body = json!({ "name": "spy", "topic": "numbers", "webhook": webhook });
            let said = relay.api().post("/v1/subscriptions", &body).await;
            assert_eq!(said.status, 422, "{place}: {said:?}");
            assert!(said.json()["code"].is_string());
            let mut change = body["webhook"].clone();
            if place == "secrets" {
                change.as_object_mut().unwrap().remove("url");
            }
            let change = json!({ "webhook": change });
            let said = relay.api().send_json("PATCH", "/v1/subscriptions/honest", &change).await;
            assert_eq!(said.status, 422, "{place} changed: {said:?}");
        }
    }
    assert_eq!(relay.api().get("/v1/subscriptions/spy").await.status, 404);
    assert!(relay.stop().await.success());
}

#[tokio::test]
async fn a_webhook_inside_the_network_is_refused_unless_allowed() {
    let place = Place::new("");
    place.write_raw(&format!(
        "store: \"sqlite:{}\"\nlisten: {}\ntopics: {{ numbers: {{}} }}\n",
        place.store().display(),
        place.base().trim_start_matches("http://"),
    ));
    let relay = place.start().await;
    for url in [
        "http://127.0.0.1:9/",
        "http://169.254.169.254/latest/meta-data/",
        "http://0x7f.1/",
        "http://2130706433/",
        "http://[::ffff:127.0.0.1]/",
        "http://10.0.0.1/",
        "file:///etc/passwd",
    ] {
        let body = json!({ "name": "in", "topic": "numbers", "webhook": { "url": url, "secret": SECRET } });
        let said = relay.api().post("/v1/subscriptions", &body).await;
        assert_eq!(said.status, 422, "{url}: {said:?}");
        assert!(said.body.contains("url"), "{url} does not name the field: {said:?}");
    }
    assert_eq!(relay.api().get("/v1/subscriptions/in").await.status, 404);
    assert!(relay.stop().await.success());
}

#[tokio::test]
async fn a_bad_batch_is_refused_whole_and_names_its_event() {
    let place = Place::new("topics: { numbers: {} }\n");
    let relay = place.start().await;
    let good = |id: &str| json!({ "specversion": "1.0", "id": id, "source": "/s", "type": "t" });
    let mut bad: Value = good("c");
    bad.as_object_mut().unwrap().remove("source");
    let batch = json!([good("a"), good("b"), bad]);
    let request = relay.api().request("POST", "/v1/topics/numbers/events");
    let request = request.header("content-type", "application/cloudevents-batch+json");
    let said = relay.api().send(request.body(batch.to_string())).await;
    assert_eq!(said.status, 422, "{said:?}");
    let problem = said.json();
    assert_eq!((&problem["index"], &problem["field"]), (&json!(2), &json!("source")), "{said:?}");
    assert_eq!(relay.api().head("numbers").await, 0, "half a batch was stored");
    assert!(relay.stop().await.success());
}

#[tokio::test]
async fn a_foreign_page_cannot_use_a_browser_to_reach_the_api() {
    let place = Place::new("topics: { numbers: {} }\n");
    let relay = place.start().await;
    let ask =
        |name: &str, value: &str| relay.api().request("GET", "/v1/topics").header(name, value);
    for (name, value) in [("host", "evil.example"), ("origin", "https://evil.example")] {
        let said = relay.api().send(ask(name, value)).await;
        assert_eq!(said.status, 403, "{name}: {said:?}");
    }
    assert!(relay.stop().await.success());
}
