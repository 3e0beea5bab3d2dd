//! Keys: made, shown once, revoked, and used as often as they may be.

use super::*;

#[tokio::test]
async fn a_key_is_good_for_its_rate() {
    let mut guarded = Guarded::new().await;
    let slow = Grant { rate: Some("3/s".parse().unwrap()), ..grant("a", &[Scope::Read], &["*"]) };
    let (key, text) = AccessKey::fresh(None, slow, None, NOW).unwrap();
    guarded.relay.store.put_key(&key).await.unwrap();
    guarded.open().await;
    let ask = async || {
        let request = request(Method::GET, "/v1/topics")
            .header("authorization", format!("Bearer {}", text.reveal()));
        guarded.relay.send(request.body(Body::empty()).unwrap()).await
    };
    for _ in 0..3 {
        ask().await.ok();
    }
    let refused = ask().await;
    assert_eq!(refused.problem(429, "rate_limited")["retry_after_s"], 1);
    assert_eq!(refused.header("retry-after"), "1");
    // Another key has its own.
    guarded.call(Kind::ReadsAll, &Method::GET, "/v1/topics", json!({})).await.ok();
    guarded.relay.clock.advance(Duration::from_millis(334));
    ask().await.ok();
    ask().await.problem(429, "rate_limited");
}

#[tokio::test]
async fn keys_are_made_shown_once_and_revoked() {
    let mut relay = Relay::new().await;
    let reader = json!({"owner": "billing", "scopes": ["read"]});
    let first = relay.post("/v1/keys", reader.clone()).await.problem(422, "invalid");
    assert_eq!(first["field"], "scopes", "somebody has to make the others");
    let admin = json!({"id": "ops-1", "owner": "ops", "scopes": ["admin"]});
    let made = relay.post("/v1/keys", admin).await;
    assert_eq!(made.status.as_u16(), 201, "{}", made.text());
    let text = made.json()["key"].as_str().unwrap().to_owned();
    assert!(text.starts_with("mk_ops-1_"), "{text}");
    // From now on a key is needed, and any host is as good as another.
    relay.get("/v1/keys").await.problem(401, "key_missing");
    let ask = async |method: Method, path: &str, body: Value| {
        let request = Request::builder().method(method).uri(path).header("host", "relay.example");
        let request = request
            .header("content-type", "application/json")
            .header("authorization", format!("bearer {text}"));
        relay.send(request.body(Body::from(body.to_string())).unwrap()).await
    };
    let expires = "2027-01-01T00:00:00.000000Z";
    let mut limited = reader;
    (limited["expires"], limited["rate"]) = (json!(expires), json!("100/s"));
    let second = ask(Method::POST, "/v1/keys", limited).await.ok().json();
    assert_eq!((&second["expires"], &second["rate"]), (&json!(expires), &json!("100/s")));
    let list = ask(Method::GET, "/v1/keys", json!({})).await.ok();
    assert_eq!(list.json()["keys"].as_array().unwrap().len(), 2);
    assert!(!list.text().contains(&text[10..]), "never the key");
    let id = second["id"].as_str().unwrap();
    assert_eq!(second["topics"], json!(["*"]));
    ask(Method::DELETE, "/v1/keys/ops-1", json!({})).await.problem(409, "conflict");
    ask(Method::DELETE, &format!("/v1/keys/{id}"), json!({})).await.ok();
    ask(Method::DELETE, &format!("/v1/keys/{id}"), json!({})).await.problem(404, "not_found");
    for (body, field) in [
        (json!({"owner": "a", "scopes": []}), "scopes"),
        (json!({"owner": "a", "scopes": ["root"]}), "scopes[0]"),
        (json!({"owner": "A", "scopes": ["read"]}), "owner"),
        (json!({"owner": "a", "scopes": ["read"], "topics": []}), "topics"),
        (json!({"owner": "a", "scopes": ["read"], "expires": "2020-01-01T00:00:00Z"}), "expires"),
        (json!({"owner": "a", "scopes": ["read"], "expires": "soon"}), "expires"),
        (json!({"owner": "a", "scopes": ["read"], "rate": "fast"}), "rate"),
        (json!({"owner": "a", "scopes": ["read"], "id": "a_b"}), "id"),
    ] {
        let refused = ask(Method::POST, "/v1/keys", body.clone()).await.problem(422, "invalid");
        assert_eq!(refused["field"], field, "{body}");
    }
    let again = json!({"id": "ops-1", "owner": "ops", "scopes": ["admin"]});
    ask(Method::POST, "/v1/keys", again).await.problem(409, "exists");
    // On loopback the last one of all may go; then it is as it was.
    ask(Method::DELETE, "/v1/keys/ops-1", json!({})).await.ok();
    relay.get("/v1/keys").await.ok();
    relay.serve_to(Access::Keyed);
    relay.get("/v1/keys").await.problem(401, "key_missing");
}

#[tokio::test]
async fn what_is_open_by_a_key_ends_with_it() {
    let guarded = Guarded::new().await;
    guarded.fill().await;
    let text = guarded.key(Kind::One(Scope::Read)).unwrap().reveal();
    let ask = |path: &str, accept: &str| {
        let request = request(Method::GET, path).header("accept", accept);
        let request = request.header("authorization", format!("Bearer {text}"));
        guarded.relay.call(request.body(Body::empty()).unwrap())
    };
    let stream = ask("/v1/topics/orders/events", "text/event-stream").await;
    assert_eq!(stream.status().as_u16(), 200);
    let lines = ask("/v1/topics/orders/events?wait=5m", "application/x-ndjson").await;
    let revoke = async {
        tokio::task::yield_now().await;
        let path = format!("/v1/keys/{}", text.split('_').nth(1).unwrap());
        guarded.call(Kind::Admin, &Method::DELETE, &path, json!({})).await.ok();
    };
    let poll = ask("/v1/topics/orders/events?after=99999&wait=5m", "application/json");
    let ended = async {
        let (poll, ()) = tokio::join!(poll, revoke);
        stream.into_body().collect().await.unwrap();
        lines.into_body().collect().await.unwrap();
        poll
    };
    tokio::time::timeout(DEADLINE, ended).await.expect("all of it ends");
    guarded.call(Kind::Admin, &Method::GET, "/v1/keys", json!({})).await.ok();
}
