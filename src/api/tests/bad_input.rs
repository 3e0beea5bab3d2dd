//! Requests that are refused, each by name, and what they leave behind: nothing.

use super::*;

#[tokio::test]
async fn query_parameters_are_refused_by_name() {
    let relay = Relay::new().await;
    relay.fill(1..=1).await;
    for (path, parameter, part) in [
        ("/v1/topics/orders/events?aftr=1", "aftr", "did you mean `after`?"),
        ("/v1/topics/orders/events?subject=x", "subject", "unknown query parameter"),
        ("/v1/topics/orders/events?filter=(", "filter", "`filter`"),
        ("/v1/topics/orders/events?after=one", "after", "neither a version"),
        ("/v1/topics/orders/events?after=-1", "after", "neither a version"),
        ("/v1/topics/orders/events?after=1&at=1", "at", "cannot both"),
        ("/v1/topics/orders/events?at=0", "at", "begin at 1"),
        ("/v1/topics/orders/events?since=today", "since", "since=today"),
        ("/v1/topics/orders/events?limit=1001", "limit", "from 1 to 1000"),
        ("/v1/topics/orders/events?wait=30", "wait", "length of time"),
        ("/v1/topics/orders/events?wait=1h", "wait", "at most 300 s"),
        ("/v1/topics/orders/events?id=1", "source", "needs `source`"),
        ("/v1/topics/orders/events?source=/s", "id", "`id` only"),
        ("/v1/topics?page=2", "page", "known are `limit`, `after`"),
        ("/v1/topics/orders?x=1", "x", "none are known here"),
        ("/v1/sources?limit=0", "limit", "from 1 to 1000"),
    ] {
        let problem = relay.get(path).await.problem(400, "bad_parameter");
        assert_eq!(problem["parameter"], parameter, "{path}");
        assert!(problem["detail"].as_str().unwrap().contains(part), "{problem}");
    }
    let sse = relay.accept("/v1/topics/orders/events?wait=1s", "text/event-stream").await;
    assert_eq!(sse.problem(400, "bad_parameter")["parameter"], "wait");
    let resume = request(Method::GET, "/v1/topics/orders/events")
        .header("accept", "text/event-stream")
        .header("last-event-id", "x");
    relay.send(resume.body(Body::empty()).unwrap()).await.problem(400, "malformed");
    relay.accept("/v1/topics/orders/events", "image/png").await.problem(406, "not_acceptable");
}

#[tokio::test]
async fn references_in_secrets_and_headers_are_refused() {
    let relay = Relay::new().await;
    let url = "https://x.example/";
    for reference in [json!({"env": "HOME"}), json!({"file": "/etc/passwd"})] {
        for (field, webhook) in [
            ("webhook.secret", json!({"url": url, "secret": reference})),
            ("webhook.secrets[0]", json!({"url": url, "secrets": [reference]})),
            (
                "webhook.headers.authorization",
                json!({"url": url, "headers": {"authorization": reference}}),
            ),
        ] {
            let body = json!({"name": "s", "topic": "orders", "webhook": webhook});
            let problem = relay.post("/v1/subscriptions", body).await.problem(422, "invalid");
            assert_eq!(problem["field"], field);
            assert!(problem["detail"].as_str().unwrap().contains("configuration file only"));
            let change = json!({"webhook": webhook});
            let path = "/v1/subscriptions/s";
            relay.with_json(Method::PATCH, path, &change).await.problem(422, "invalid");
        }
    }
    relay.get("/v1/subscriptions/s").await.problem(404, "not_found");
}

#[tokio::test]
async fn bad_subscriptions_name_the_field() {
    let relay = Relay::new().await;
    let url = "https://x.example/";
    let hook = |more: Value| {
        let mut webhook = json!({"url": url});
        webhook.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"webhook": webhook})
    };
    for (change, field, part) in [
        (json!({"name": "Bad"}), "name", "is not a name"),
        (json!({"name": "milkrun.x"}), "name", "reserved"),
        (json!({"topic": "nowhere"}), "topics", "does not exist"),
        (json!({"topics": ["orders"]}), "topic", "either"),
        (json!({"webhok": {}}), "webhok", "did you mean `webhook`?"),
        (json!({"webhook": {}}), "webhook.url", "missing"),
        (json!({"webhook": {"url": "http://127.0.0.1/"}}), "webhook.url", "expected https"),
        (hook(json!({"secret": "short"})), "webhook.secret", "secret"),
        (hook(json!({"secret": "whsec_AAAA"})), "webhook.secret", "24 to 64"),
        (hook(json!({"secret": "x", "secrets": []})), "webhook.secret", "both"),
        (
            hook(json!({"headers": {"webhook-id": "1"}})),
            "webhook.headers.webhook-id",
            "set by the relay",
        ),
        (hook(json!({"headers": {"x": "a\nb"}})), "webhook.headers.x", "character"),
        (hook(json!({"timeout": "1h"})), "webhook.timeout", "at most 5m"),
        (hook(json!({"timeout": "soon"})), "webhook.timeout", "length of time"),
        (json!({"concurrency": 0}), "concurrency", "expected 1 to"),
        (
            json!({"retry": {"schedule": ["1s"], "exponential": {"initial": "1s", "max": "1m"}}}),
            "retry",
            "one of `schedule`",
        ),
        (
            json!({"retry": {"exponential": {"initial": "1s", "max": "1m", "multiplier": 0.5}}}),
            "retry.exponential.multiplier",
            "1 to 100",
        ),
        (
            json!({"retry": {"exponential": {"initial": "0s"}}}),
            "retry.exponential.initial",
            "more than zero",
        ),
        (
            json!({"retry": {"exponential": {"initial": "2m", "max": "1m"}}}),
            "retry.exponential.initial",
            "at most `max`",
        ),
        (json!({"hold": {"interval": "0s"}}), "hold.interval", "more than zero"),
        (
            json!({"hold": {"interval": "2m", "max_interval": "1m"}}),
            "hold.interval",
            "at most `max_interval`",
        ),
        (hook(json!({"headers": {"env": "PATH"}})), "webhook.headers", "configuration file only"),
        (
            hook(json!({"headers": {"file": "/etc/passwd"}})),
            "webhook.headers",
            "configuration file only",
        ),
        (json!({"hold": {"aftr": 1}}), "hold.aftr", "did you mean `after`?"),
        (json!({"from": "newest"}), "from", "expected `latest`"),
        (json!({"from": {"env": "X"}}), "from", "expected `latest`"),
    ] {
        let mut body = json!({"name": "s", "topic": "orders", "webhook": {"url": url}});
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let problem = relay.post("/v1/subscriptions", body).await.problem(422, "invalid");
        assert_eq!(problem["field"], field, "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(part), "{problem}");
    }
    assert_eq!(relay.get("/v1/subscriptions").await.ok().json()["subscriptions"], json!([]));
}

#[tokio::test]
async fn foreign_hosts_and_pages_are_refused() {
    let relay = Relay::new().await;
    for (host, origin, code) in [
        ("evil.example", None, "foreign_host"),
        ("127.0.0.1:8080", Some("https://evil.example"), "foreign_origin"),
        ("localhost", Some("null"), "foreign_origin"),
    ] {
        let mut request = Request::builder().uri("/v1/topics").header("host", host);
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        relay.send(request.body(Body::empty()).unwrap()).await.problem(403, code);
    }
    let none = Request::builder().uri("/healthz").body(Body::empty()).unwrap();
    relay.send(none).await.problem(403, "foreign_host");
    let own = Request::builder().uri("/healthz").header("host", "[::1]:8080");
    let own = own.header("origin", "http://[::1]:8080");
    relay.send(own.body(Body::empty()).unwrap()).await.ok();
}

#[tokio::test]
async fn paths_methods_and_bodies_are_refused_as_problems() {
    let relay = Relay::new().await;
    relay.get("/v2/topics").await.problem(404, "not_found");
    relay.get("/v1/topics/nowhere").await.problem(404, "not_found");
    relay.get("/v1/topics/BAD").await.problem(400, "malformed");
    let wrong = typed(Method::PUT, "/v1/topics").body(Body::empty()).unwrap();
    let wrong = relay.send(wrong).await;
    wrong.problem(405, "method_not_allowed");
    assert!(wrong.header("allow").contains("GET"), "{}", wrong.header("allow"));
    let path = "/v1/topics/new";
    let misspelt = relay.with_json(Method::PUT, path, &json!({"retention": {"aeg": "1d"}})).await;
    assert_eq!(misspelt.problem(422, "invalid")["field"], "retention.aeg");
    let broken = typed(Method::PUT, path).body(Body::from("{")).unwrap();
    relay.send(broken).await.problem(400, "malformed");
    let deep = typed(Method::PUT, path).body(Body::from("[".repeat(10_000))).unwrap();
    assert!(relay.send(deep).await.status.is_client_error());
    let large = typed(Method::PUT, path).body(Body::from(vec![b' '; (1 << 20) + 1])).unwrap();
    relay.send(large).await.problem(413, "too_large");
    let yaml = request(Method::PUT, path).header("content-type", "text/yaml");
    let yaml = relay.send(yaml.body(Body::from("a: 1")).unwrap()).await;
    yaml.problem(415, "unsupported_media_type");
    relay.get(path).await.problem(404, "not_found");
}

#[tokio::test]
async fn topics_are_made_listed_and_removed() {
    let relay = Relay::new().await;
    let body =
        json!({"retention": {"age": null, "count": 10}, "dedupe": {"age": "1h"}, "public": true});
    let made = relay.with_json(Method::PUT, "/v1/topics/billing", &body).await;
    assert_eq!(made.status.as_u16(), 201);
    let settings = &made.json()["settings"];
    assert_eq!(
        settings["retention"],
        json!({"age": null, "count": 10, "max_bytes": null, "owed": "30d"})
    );
    assert_eq!(settings["dedupe"], json!({"age": "1h", "count": 1_000_000}));
    let again = relay.with_json(Method::PUT, "/v1/topics/billing", &json!({})).await;
    assert_eq!(again.status.as_u16(), 200);
    assert_eq!(again.json()["settings"]["retention"]["age"], "30d");
    let list = relay.get("/v1/topics?limit=1").await.ok();
    assert_eq!(list.json()["topics"][0]["topic"], "billing");
    assert_eq!(list.header("link"), "</v1/topics?limit=1&after=billing>; rel=\"next\"");
    let rest = relay.get("/v1/topics?limit=1&after=billing").await.ok();
    assert_eq!(
        (rest.json()["topics"][0]["topic"].as_str(), rest.header("link")),
        (Some("orders"), "")
    );
    relay.fill(1..=6).await;
    let orders = relay.get("/v1/topics/orders").await.ok().json();
    assert_eq!(
        (&orders["head"], &orders["count"], &orders["rate"]),
        (&json!(6), &json!(6), &json!(0.1))
    );
    assert_eq!(relay.get("/v1/topics/orders/gaps").await.ok().json(), json!({"gaps": []}));
    let gone = typed(Method::DELETE, "/v1/topics/billing").body(Body::empty()).unwrap();
    assert_eq!(relay.send(gone).await.status.as_u16(), 204);
    relay.get("/v1/topics/billing").await.problem(404, "not_found");
    let reserved = relay.with_json(Method::PUT, "/v1/topics/milkrun.x", &json!({})).await;
    reserved.problem(403, "reserved");
}

#[tokio::test]
async fn sources_are_shown_and_steered() {
    let relay = Relay::new().await;
    let source = store::NewSource {
        name: "shop".parse().unwrap(),
        topic: "orders".parse().unwrap(),
        contract: "c".to_owned(),
        contract_before: None,
        event_source: store::EventSource::fixed("https://shop.example/"),
        config_hash: "h".to_owned(),
    };
    relay.store.put_source(&source, NOW).await.unwrap();
    let list = relay.get("/v1/sources").await.ok().json();
    assert_eq!(
        (&list["sources"][0]["name"], &list["sources"][0]["cursor"]),
        (&json!("shop"), &Value::Null)
    );
    for (word, body, key, value) in [
        ("pause", json!({}), "status", json!("paused")),
        ("resume", json!({}), "status", json!("active")),
        ("poll", json!({}), "status", json!("active")),
        ("cursor", json!({"cursor": {"value": "7"}}), "cursor", json!({"value": "7"})),
        ("cursor", json!({"cursor": null}), "cursor", Value::Null),
    ] {
        let steered = relay.post(&format!("/v1/sources/shop/{word}"), body).await.ok().json();
        assert_eq!(steered[key], value, "{word}");
    }
    let long = json!({"value": "7", "edge": {"hashes": "A".repeat(10_000)}});
    relay.post("/v1/sources/shop/cursor", json!({"cursor": long})).await.ok();
    let list = relay.get("/v1/sources").await.ok().json();
    assert_eq!(list["sources"][0]["cursor"], json!({"value": "7"}));
    assert_eq!(relay.get("/v1/sources/shop").await.ok().json()["cursor"], long);
    let kept = relay.post("/v1/sources/shop/cursor", json!({"keep": true})).await.ok().json();
    assert_eq!((&kept["cursor"], &kept["old_cursor"]), (&long, &long));
    assert_eq!(kept["event_source"], "https://shop.example/");
    for bad in [json!({}), json!({"keep": false}), json!({"keep": true, "cursor": null})] {
        relay.post("/v1/sources/shop/cursor", bad).await.problem(422, "invalid");
    }
    let typo = relay.post("/v1/sources/shop/cursor", json!({"cursor": {"valeu": "o-3"}})).await;
    let typo = typo.problem(422, "invalid");
    assert_eq!(typo["field"], "cursor");
    assert!(typo["detail"].as_str().unwrap().contains("a cursor has no `valeu`"), "{typo}");
    // Here is no file that could be applied first.
    let apply = json!({"cursor": null, "apply": true});
    relay.post("/v1/sources/none/cursor", apply.clone()).await.problem(404, "not_found");
    relay.post("/v1/sources/shop/cursor", apply).await.problem(409, "conflict");
    assert_eq!(relay.get("/v1/sources/shop").await.ok().json()["cursor"], long);
    relay.post("/v1/sources/shop/cursor", json!({"cursor": null})).await.ok();
    let none = relay.post("/v1/sources/shop/cursor", json!({"keep": true})).await;
    none.problem(409, "conflict");
    assert_eq!(relay.get("/v1/sources/shop/rejected").await.ok().json(), json!({"rejected": []}));
    relay.post("/v1/sources/none/poll", json!({})).await.problem(404, "not_found");
}

#[tokio::test]
async fn a_panic_is_a_problem_and_no_more() {
    let relay = Relay::new().await;
    let webhook = json!({"url": "https://panic.example/"});
    let body = json!({"name": "s", "topic": "orders", "webhook": webhook});
    relay.post("/v1/subscriptions", body).await.problem(500, "internal");
    relay.get("/healthz").await.ok();
}

/// What is not read would be taken for done.
#[tokio::test]
async fn a_call_that_asks_for_nothing_takes_nothing() {
    let relay = Relay::new().await;
    for (method, path) in [
        (Method::POST, "/v1/sources/none/pause"),
        (Method::POST, "/v1/subscriptions/none/pause"),
        (Method::POST, "/v1/topics/orders/pending/1/commit"),
        (Method::DELETE, "/v1/topics/orders"),
        (Method::DELETE, "/v1/keys/none"),
    ] {
        let problem = relay.with_json(method, path, &json!({"from": 1})).await;
        assert_eq!(problem.problem(422, "invalid")["field"], "from", "{path}");
    }
    relay.get("/v1/topics/orders").await.ok();
}

#[tokio::test]
async fn numbers_that_cannot_be_are_refused() {
    let relay = Relay::new().await;
    let most = i64::MAX.cast_unsigned() + 1;
    for (body, field) in [
        (json!({"retention": {"max_bytes": most}}), "retention.max_bytes"),
        (json!({"dedupe": {"count": most}}), "dedupe.count"),
    ] {
        let refused = relay.with_json(Method::PUT, "/v1/topics/orders", &body).await;
        assert_eq!(refused.problem(422, "invalid")["field"], field);
    }
    let path = "/v1/subscriptions/none/dead-letters";
    for (field, number) in [("status", 0_u64), ("status", 600), ("from", 1 << 40), ("to", 1 << 40)]
    {
        let refused = relay.with_json(Method::DELETE, path, &json!({field: number})).await;
        assert_eq!(refused.problem(422, "invalid")["field"], field);
    }
}
