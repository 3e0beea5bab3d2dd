//! What a subscription may ask for over the API: set, shown, changed, taken back, and refused.

use super::*;

const CERTIFICATE: &str = include_str!("../../../config/tests/client.pem");
const KEY: &str = include_str!("../../../config/tests/client.key");

fn full() -> Value {
    json!({
        "name": "full", "topic": "orders",
        "webhook": {
            "url": "https://a.example/", "handshake": true, "title_case_headers": true,
            "user_agent": "partner/1", "content_type": "application/json; charset=utf-8",
            "auth": {"oauth2": {"token_url": "https://id.example/t", "client_id": "me", "client_secret": "hidden-1"}},
            "tls": {"certificate": CERTIFICATE, "key": KEY},
        },
        "filter": {"prefix": {"type": "o"}}, "batch": {"max_events": 7}, "gzip": true,
        "order": "key", "on_dead": "stop_key", "rate": "20/m",
    })
}

fn secretless(text: &str) {
    for secret in ["hidden-", "PRIVATE KEY", "whsec_", "whsk_"] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
}

#[tokio::test]
async fn every_setting_is_set_shown_changed_and_taken_back() {
    let relay = Relay::new().await;
    let made = relay.post(PATH, full()).await.ok().json();
    let secret = made["secret"].as_str().unwrap().to_owned();
    let path = "/v1/subscriptions/full";
    let shown = relay.get(path).await.ok();
    secretless(shown.text());
    let shown = shown.json();
    assert_eq!(shown["webhook"]["auth"], "oauth2");
    assert_eq!(shown["webhook"]["tls"], json!({"certificate": true, "key": true, "ca": false}));
    assert_eq!(shown["webhook"]["handshake"], true);
    assert_eq!(shown["webhook"]["title_case_headers"], true);
    assert_eq!(shown["webhook"]["user_agent"], "partner/1");
    assert_eq!(shown["webhook"]["content_type"], "application/json; charset=utf-8");
    assert_eq!(shown["batch"], json!({"max_events": 7, "max_wait": "1s"}));
    for (field, value) in [
        ("filter", json!({"prefix": {"type": "o"}})),
        ("transform", Value::Null),
        ("format", json!("batch")),
        ("gzip", json!(true)),
        ("order", json!("key")),
        ("on_dead", json!("stop_key")),
        ("read_ahead", json!(4_096)),
        ("priority_max_wait", json!("1m")),
        ("rate", json!("20/m")),
    ] {
        assert_eq!(shown[field], value, "{field}");
    }

    let change = json!({
        "filter": null, "batch": null, "rate": null, "order": null, "on_dead": null, "gzip": null,
        "transform": {"n": "data.n"}, "read_ahead": 9, "concurrency": null,
        "webhook": {
            "auth": {"bearer": "hidden-2"}, "tls": null, "handshake": null, "timeout": null,
            "title_case_headers": null, "user_agent": null, "content_type": null,
        },
    });
    let changed = relay.with_json(Method::PATCH, path, &change).await.ok();
    secretless(changed.text());
    let changed = changed.json();
    for (field, value) in [
        ("filter", Value::Null),
        ("transform", json!({"n": "data.n"})),
        ("format", json!("data")),
        ("batch", Value::Null),
        ("rate", Value::Null),
        ("order", json!("none")),
        ("read_ahead", json!(9)),
        ("concurrency", json!(16)),
    ] {
        assert_eq!(changed[field], value, "{field}");
    }
    assert_eq!(changed["webhook"]["auth"], "bearer");
    assert_eq!(changed["webhook"]["tls"]["key"], false);
    let kept = relay.store.subscription(&"full".parse().unwrap()).await.unwrap().settings;
    assert_eq!(kept.secrets, [secret]);
    // Left out, everything stays.
    let same = relay.with_json(Method::PATCH, path, &json!({"webhook": {}})).await.ok().json();
    assert_eq!(same, changed);
    let unchanged = relay.store.subscription(&"full".parse().unwrap()).await.unwrap().settings;
    assert_eq!(unchanged, kept);
}

#[tokio::test]
async fn what_does_not_go_together_is_refused_by_name() {
    let relay = Relay::new().await;
    let auth = |auth: Value| json!({"webhook": {"url": "https://a.example/", "auth": auth}});
    let tls = |tls: Value| json!({"webhook": {"url": "https://a.example/", "tls": tls}});
    let own =
        |field: &str, text: &str| json!({"webhook": {"url": "https://a.example/", field: text}});
    for (change, field, part) in [
        (json!({"transform": {"a": "b"}, "format": "structured"}), "transform", "`format: data`"),
        (json!({"transform": {"a": "b"}, "batch": {}}), "transform", "not `batch`"),
        (json!({"batch": {}, "format": "data"}), "batch", "`format: batch`"),
        (json!({"on_dead": "stop_key"}), "on_dead", "`order: key`"),
        (json!({"order": "strict", "read_ahead": 5}), "read_ahead", "`order: none`"),
        (json!({"rate": "5"}), "rate", "is not a rate"),
        (json!({"format": "xml"}), "format", "unknown variant"),
        (json!({"batch": {"max_event": 5}}), "batch.max_event", "did you mean `max_events`?"),
        (json!({"filter": 5}), "filter", "expected"),
        (json!({"filter": {"not": "data."}}), "filter.not", ""),
        (json!({"transform": {"a": ["data."]}}), "transform.a[0]", ""),
        (json!({"transform": "{{ data.n }}"}), "transform", "object"),
        (json!({"topics": ["Bad"], "topic": null}), "topics[0]", "pattern"),
        (
            auth(json!({"basic": {"username": "a:b", "password": "x"}})),
            "webhook.auth.basic.username",
            "colon",
        ),
        (
            auth(json!({"bearer": {"env": "HOME"}})),
            "webhook.auth.bearer",
            "configuration file only",
        ),
        (auth(json!({"beare": "hidden-3"})), "webhook.auth", "`bearer`"),
        (
            auth(
                json!({"oauth2": {"token_url": "http://x/", "client_id": "a", "client_secret": "b"}}),
            ),
            "webhook.auth.oauth2.token_url",
            "expected https",
        ),
        (
            tls(json!({"key": {"file": "/etc/passwd"}})),
            "webhook.tls.key",
            "configuration file only",
        ),
        (tls(json!({"ca": "hidden-4"})), "webhook.tls.ca", "PEM"),
        (own("user_agent", ""), "webhook.user_agent", "visible ASCII"),
        (own("user_agent", "a\r\nb: c"), "webhook.user_agent", "visible ASCII"),
        (own("user_agent", &"x".repeat(257)), "webhook.user_agent", "256 bytes"),
        (own("content_type", "json"), "webhook.content_type", "`application/json`"),
        (own("content_type", "text/plain\r\nb: c"), "webhook.content_type", "media type"),
        (own("content_type", "text/plain; charset"), "webhook.content_type", "media type"),
        (tls(json!({"certificate": CERTIFICATE})), "webhook.tls.key", "`tls.certificate`"),
        (
            json!({"webhook": {"url": "https://a.example/", "secret_kind": "ed25519", "secret": "x"}}),
            "webhook.secret_kind",
            "no secret",
        ),
    ] {
        let mut body =
            json!({"name": "s", "topic": "orders", "webhook": {"url": "https://a.example/"}});
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let problem = relay.post(PATH, body).await.problem(422, "invalid");
        assert_eq!(problem["field"], field, "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(part), "{problem}");
        secretless(&problem.to_string());
    }
    relay.post(PATH, billing()).await.ok();
    for (change, field) in [
        (json!({"name": "other"}), "name"),
        (json!({"topic": "orders"}), "topic"),
        (json!({"from": "latest"}), "from"),
        (json!({"webhook": {"secret_kind": "shared"}}), "webhook.secret_kind"),
        (json!({"webhook": {"secrets": []}}), "webhook.secrets"),
    ] {
        let refused = relay.with_json(Method::PATCH, "/v1/subscriptions/billing", &change).await;
        assert_eq!(refused.problem(422, "invalid")["field"], field);
    }
}

#[tokio::test]
async fn secrets_are_rotated_with_an_overlap() {
    let relay = Relay::new().await;
    let first =
        relay.post(PATH, billing()).await.ok().json()["secret"].as_str().unwrap().to_owned();
    let path = "/v1/subscriptions/billing/secrets/rotate";
    let kept = async || {
        let settings =
            relay.store.subscription(&"billing".parse().unwrap()).await.unwrap().settings;
        let retiring: Vec<(String, Micros)> =
            settings.retiring.into_iter().map(|old| (old.secret, old.until)).collect();
        (settings.secrets, retiring)
    };
    let rotated = relay.post(path, json!({})).await.ok().json();
    let second = rotated["secret"].as_str().unwrap().to_owned();
    let day = NOW.plus(Duration::from_hours(24));
    assert_eq!(rotated["webhook"]["secrets"], 1);
    assert_eq!(rotated["webhook"]["retiring"], json!([day.to_string()]));
    assert_eq!(kept().await, (vec![second.clone()], vec![(first.clone(), day)]));
    let shown = relay.get("/v1/subscriptions/billing").await.ok();
    secretless(shown.text());

    // One that is given, and a shorter overlap: nobody signs longer than that.
    let third = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let hour = NOW.plus(Duration::from_hours(1));
    relay.post(path, json!({"secret": third, "overlap": "1h"})).await.ok();
    assert_eq!(kept().await, (vec![third.into()], vec![(second, hour), (first, hour)]));
    // Those whose time is up are forgotten, and no overlap drops them at once.
    relay.clock.advance(Duration::from_hours(2));
    relay.post(path, json!({"overlap": "2h"})).await.ok();
    assert_eq!(kept().await.1.len(), 1);
    relay.post(path, json!({"overlap": "0s"})).await.ok();
    assert_eq!(kept().await.1, []);

    // A secret is followed by one of its kind.
    let mut signed = billing();
    signed["name"] = json!("signed");
    signed["webhook"]["secret_kind"] = json!("ed25519");
    let made = relay.post(PATH, signed).await.ok().json();
    let keys = |view: &Value| view["webhook"]["public_keys"].as_array().unwrap().clone();
    assert!(made["secret"].as_str().unwrap().starts_with("whsk_"));
    assert!(keys(&made)[0].as_str().unwrap().starts_with("whpk_"));
    let next = relay.post("/v1/subscriptions/signed/secrets/rotate", json!({})).await.ok().json();
    assert!(next["secret"].as_str().unwrap().starts_with("whsk_"));
    assert_ne!(keys(&next), keys(&made));

    for (body, field) in [
        (json!({"overlap": "31d"}), "overlap"),
        (json!({"secret": "whsec_short"}), "secret"),
        (json!({"secrets": []}), "secrets"),
    ] {
        assert_eq!(relay.post(path, body).await.problem(422, "invalid")["field"], field);
    }
}

#[tokio::test]
async fn a_subscription_is_resumed_where_it_is_told() {
    let relay = Relay::new().await;
    relay.fill(1..=5).await;
    relay.post(PATH, billing()).await.ok();
    let steer = |word: &str| format!("/v1/subscriptions/billing/{word}");
    for (body, reach) in [
        (json!({}), 0),
        (json!({"from": "latest"}), 5),
        (json!({}), 5),
        (json!({"from": 2}), 1),
        (json!({"from": "earliest", "topic": "orders"}), 0),
    ] {
        relay.post(&steer("pause"), json!({})).await.ok();
        let resumed = relay.post(&steer("resume"), body.clone()).await.ok().json();
        assert_eq!(resumed["status"], "active");
        assert_eq!(resumed["positions"][0]["reach"], reach, "{body}");
    }
    relay.post(&steer("pause"), json!({})).await.ok();
    relay.post(&steer("resume"), json!({"from": 7})).await.problem(409, "history_changed");
    for (body, field) in [
        (json!({"topic": "orders"}), "from"),
        (json!({"from": 1, "topic": "other"}), "topic"),
        (json!({"to": 1}), "to"),
    ] {
        let problem = relay.post(&steer("resume"), body).await.problem(422, "invalid");
        assert_eq!(problem["field"], field);
    }
    // What was refused has not resumed it.
    assert_eq!(relay.get("/v1/subscriptions/billing").await.ok().json()["status"], "paused");
}
