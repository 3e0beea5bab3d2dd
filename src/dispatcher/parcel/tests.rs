//! What is put into a parcel, and what is sent of it.

use bytes::Bytes;
use serde_json::json;
use sinks::webhook::Webhook;
use tower::{service_fn, util::BoxCloneSyncService};

use super::*;
use crate::{
    event::{Data, Epoch},
    settings::{Retiring, Tls},
    store::{Origin, SubscriptionStatus},
};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const PRIVATE: &str = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbc=";
const ATTRIBUTES: &str = r#"{"id":"1","source":"/s","type":"t"}"#;
const NOW: Micros = Micros(1_700_000_000_999_999);

fn addressee(change: impl FnOnce(&mut SubscriptionSettings)) -> Addressee {
    let mut settings = SubscriptionSettings::new("http://h/x".into(), vec![SECRET.to_owned()]);
    change(&mut settings);
    Addressee::new(&Subscription {
        id: 4,
        name: "billing".parse().unwrap(),
        origin: Origin::Api,
        status: SubscriptionStatus::Active,
        reason: None,
        topics: Vec::new(),
        settings,
        positions: vec![],
        health: None,
        resets: 0,
        edit: 1,
        created: Micros(0),
        removed_at: None,
    })
}

fn event(version: u64, attributes: &str) -> Event {
    Event {
        version: Version(version),
        epoch: Epoch(0x0a1b_2c3d),
        recorded: Micros(0),
        attributes: attributes.into(),
        data: Data::Json(Bytes::from_static(b"{\"a\": 1}")),
    }
}

fn sent(addressee: &Addressee, events: &[Event], attempt: u32) -> Result<Parcel, NotSent> {
    let topic = "orders".parse().unwrap();
    let events: Vec<_> = events.iter().cloned().map(Arc::new).collect();
    addressee.parcel(&Delivery {
        events: &events,
        previous: events.first().map(|event| event.version.previous()),
        replay: None,
        topic: &topic,
        topic_uid: "00ff",
        attempt,
        now: NOW,
        believed: NOW,
    })
}

fn parcel(addressee: &Addressee, event: &Event, attempt: u32) -> Result<Parcel, NotSent> {
    sent(addressee, std::slice::from_ref(event), attempt)
}

/// What goes over the wire.
fn drawn(parcel: &Parcel) -> HeaderMap {
    let nowhere = BoxCloneSyncService::new(service_fn(|_| std::future::pending()));
    Webhook::new(nowhere, "9.9").draw(parcel.clone()).unwrap().headers().clone()
}

#[test]
fn a_parcel_has_what_the_design_says() {
    let addressee = addressee(|settings| settings.headers = vec![("x-own".into(), "v".into())]);
    let sent = parcel(&addressee, &event(42, ATTRIBUTES), 3).unwrap();
    assert_eq!(sent.id, "00ff-0a1b2c3d-42");
    let timeout = sent.target.timeout;
    assert_eq!((sent.timestamp, timeout), (1_700_000_000, Duration::from_secs(15)));
    let headers = drawn(&sent);
    for (name, value) in [
        ("content-type", "application/cloudevents+json"),
        ("milkrun-topic", "orders"),
        ("milkrun-version", "42"),
        ("milkrun-previous", "41"),
        ("milkrun-attempt", "3"),
        ("milkrun-subscription", "billing"),
        ("x-own", "v"),
    ] {
        assert_eq!(headers[name], value, "{name}");
    }
    for name in ["milkrun-count", "milkrun-replay", "content-encoding", "authorization"] {
        assert!(!headers.contains_key(name), "{name}");
    }
    assert!(headers["x-own"].is_sensitive() && !headers["milkrun-topic"].is_sensitive());
    assert!(sent.body.ends_with(b"\"data\":{\"a\": 1}}"));
    assert!(!sent.is_batch && !sent.gzip);
    let again = parcel(&addressee, &event(42, ATTRIBUTES), 4).unwrap();
    assert_eq!((again.id, again.body), (sent.id, sent.body));
}

#[test]
fn the_first_version_has_none_before_it() {
    let sent = parcel(&addressee(|_| {}), &event(1, ATTRIBUTES), 1).unwrap();
    assert!(!sent.headers.contains_key("milkrun-previous"));
}

#[test]
fn a_replay_is_marked() {
    let topic = "orders".parse().unwrap();
    let events = [Arc::new(event(7, ATTRIBUTES))];
    let parcel = addressee(|_| {}).parcel(&Delivery {
        events: &events,
        previous: None,
        replay: Some(12),
        topic: &topic,
        topic_uid: "00ff",
        attempt: 1,
        now: NOW,
        believed: NOW,
    });
    let headers = drawn(&parcel.unwrap());
    assert_eq!(headers["milkrun-replay"], "12");
    assert!(!headers.contains_key("milkrun-previous"));
}

#[test]
fn formats_are_as_the_settings_ask() {
    let of = |format| {
        let addressee = addressee(|settings| settings.format = format);
        let sent = parcel(&addressee, &event(7, ATTRIBUTES), 1).unwrap();
        let headers = drawn(&sent);
        assert_eq!(sent.id, "00ff-0a1b2c3d-7");
        assert_eq!(headers["milkrun-version"], "7");
        (headers, sent)
    };
    let (headers, sent) = of(Format::Binary);
    assert_eq!(
        (&headers["content-type"], &headers["ce-id"]),
        (&"application/json".parse().unwrap(), &"1".parse().unwrap())
    );
    assert_eq!(sent.body, "{\"a\": 1}");
    let (headers, sent) = of(Format::Data);
    assert_eq!(headers["content-type"], "application/json");
    assert!(headers.keys().all(|name| !name.as_str().starts_with("ce-")));
    assert_eq!(sent.body, "{\"a\": 1}");
    let (headers, sent) = of(Format::Batch);
    assert_eq!(headers["content-type"], "application/cloudevents-batch+json");
    assert_eq!(headers["milkrun-count"], "1");
    assert!(sent.is_batch && sent.body.starts_with(b"[{") && sent.body.ends_with(b"}]"));
}

#[test]
fn only_a_trace_that_is_one_goes_on() {
    let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let long = format!("{good}{}", "0".repeat(100_000));
    for (given, goes_on) in [
        (good, true),
        ("", false),
        ("mine", false),
        (&*long, false),
        (&good.to_uppercase(), false),
        (&good.replace("00-", "ff-"), false),
        (&good.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)), false),
        (&good.replace("00f067aa0ba902b7", "0000000000000000"), false),
        (&good.replace("-01", "-1"), false),
        (&good.replace("-01", "-01-x"), false),
        (&good.replace("-01", "-0é"), false),
    ] {
        let attributes = json!({"id": "1", "source": "/s", "type": "t", "traceparent": given});
        let event = event(7, &attributes.to_string());
        let headers = drawn(&parcel(&addressee(|_| {}), &event, 1).unwrap());
        let sent = headers["traceparent"].to_str().unwrap();
        assert_eq!(sent == given, goes_on, "{given}: {sent}");
        assert_eq!(sent.len(), 55);
    }
}

#[test]
fn several_events_are_one_batch() {
    let own = r#"{"id":"1","source":"/s","type":"t","traceparent":"mine"}"#;
    let events = [event(7, own), event(8, ATTRIBUTES), event(11, ATTRIBUTES)];
    for format in [Format::Batch, Format::Structured] {
        let sent = sent(&addressee(|settings| settings.format = format), &events, 1).unwrap();
        assert!(sent.is_batch);
        assert_eq!(sent.id, "00ff-0a1b2c3d-7-11");
        let headers = drawn(&sent);
        for (name, value) in [
            ("content-type", "application/cloudevents-batch+json"),
            ("milkrun-version", "11"),
            ("milkrun-previous", "6"),
            ("milkrun-count", "3"),
        ] {
            assert_eq!(headers[name], value, "{name}");
        }
        assert_ne!(headers["traceparent"], "mine");
        let body: Vec<serde_json::Value> = serde_json::from_slice(&sent.body).unwrap();
        assert_eq!(body.len(), 3);
        assert_eq!(body[2]["milkrunversion"], "00000000000000000011");
    }
    assert!(matches!(sent(&addressee(|_| {}), &[], 1), Err(NotSent::Settings(_))));
}

#[test]
fn retiring_secrets_sign_until_their_end() {
    let retiring = |until| Retiring { secret: PRIVATE.into(), until: Micros(until) };
    let signatures = |until| {
        let addressee = addressee(|settings| settings.retiring = vec![retiring(until)]);
        let headers = drawn(&parcel(&addressee, &event(7, ATTRIBUTES), 1).unwrap());
        let text = headers["webhook-signature"].to_str().unwrap().to_owned();
        text.split(' ').map(|one| one.split(',').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(signatures(NOW.0 + 1), ["v1", "v1a"]);
    assert_eq!(signatures(NOW.0), ["v1"]);
}

#[test]
fn who_the_relay_is_goes_with_the_target() {
    let addressee = addressee(|settings| {
        settings.auth = Some(settings::Auth::OAuth2 {
            token_url: "https://login.example.com/token".into(),
            client_id: "me".into(),
            client_secret: "hunter2".into(),
            scope: None,
        });
        settings.tls = Tls { ca: Some("PEM".into()), ..Tls::default() };
        settings.handshake = true;
        settings.gzip = true;
    });
    let sent = parcel(&addressee, &event(7, ATTRIBUTES), 1).unwrap();
    assert!(matches!(&sent.target.auth, Some(Auth::OAuth2(client)) if client.id == "me"));
    assert_eq!(sent.target.identity.as_ref().unwrap().ca.as_deref(), Some("PEM"));
    assert!(sent.gzip && sent.target.greeted);
    assert!(Arc::ptr_eq(&sent.target, &addressee.target().unwrap()));
    assert!(!format!("{sent:?}{addressee:?}").contains("hunter2"));
}

#[test]
fn a_receiver_may_be_told_who_asks_and_what_comes_in_its_own_words() {
    let own = addressee(|settings| {
        settings.user_agent = Some("partner-hooks/1".into());
        settings.content_type = Some("application/json".into());
        settings.title_case_headers = true;
    });
    let sent = parcel(&own, &event(7, ATTRIBUTES), 1).unwrap();
    assert_eq!(sent.target.user_agent.as_ref().unwrap(), "partner-hooks/1");
    assert_eq!(sent.headers["content-type"], "application/json");
    assert_eq!(sent.target.manner, Manner { once: false, title_case: true });
    let usual = parcel(&addressee(|_| {}), &event(7, ATTRIBUTES), 1).unwrap();
    assert_eq!(usual.headers["content-type"], "application/cloudevents+json");
    assert_eq!(usual.body, sent.body, "the body stays what it is");
    assert_eq!(usual.target.manner, Manner::default());
    let once = addressee(|settings| settings.retry.max_attempts = Some(1));
    let once = parcel(&once, &event(7, ATTRIBUTES), 1).unwrap();
    assert_eq!(once.target.manner, Manner { once: true, title_case: false });
}

#[test]
fn a_transform_is_the_body() {
    let transformed = |format, attributes| {
        let addressee = addressee(|settings| {
            settings.format = format;
            settings.transform = Some(json!({ "n": "data.a + 1", "kind": "type" }));
        });
        parcel(&addressee, &event(7, attributes), 1)
    };
    let typed = r#"{"id":"1","source":"/s","type":"t","datacontenttype":"text/json"}"#;
    for format in [Format::Data, Format::Structured, Format::Binary] {
        let sent = transformed(format, typed).unwrap();
        assert_eq!(sent.headers["content-type"], "application/json");
        let id = sent.headers.get("ce-id").map(|id| id.to_str().unwrap());
        assert_eq!(id, (format == Format::Binary).then_some("1"));
        let body: serde_json::Value = serde_json::from_slice(&sent.body).unwrap();
        assert_eq!(body, json!({ "n": 2, "kind": "t" }));
    }
    let refused = transformed(Format::Batch, typed).unwrap_err();
    assert!(matches!(refused, NotSent::Settings(_)), "{refused:?}");

    let failing = |transform| {
        let addressee = addressee(|settings| settings.transform = Some(transform));
        parcel(&addressee, &event(7, ATTRIBUTES), 1).unwrap_err()
    };
    let error = failing(json!({ "n": "data.a.b.c + 1" }));
    assert!(matches!(error, NotSent::Expression(_)), "{error:?}");
    let error = failing(json!({ "n": "1 +" }));
    assert!(matches!(error, NotSent::Settings(_)), "{error:?}");
}

#[test]
fn attempts_share_a_trace_and_the_producers_own_goes_on() {
    let trace = |event: &Event, attempt| {
        let sent = parcel(&addressee(|_| {}), event, attempt).unwrap();
        sent.headers["traceparent"].to_str().unwrap().to_owned()
    };
    let (one, two) = (trace(&event(7, ATTRIBUTES), 1), trace(&event(7, ATTRIBUTES), 2));
    assert_eq!((one.len(), &one[..35]), (55, &two[..35]));
    assert_ne!(one, two);
    assert_ne!(one[..35], trace(&event(8, ATTRIBUTES), 1)[..35]);
    let own = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let given = format!(r#"{{"id":"1","source":"/s","type":"t","traceparent":"{own}"}}"#);
    assert_eq!(trace(&event(7, &given), 1), own);
}

#[test]
fn settings_that_cannot_be_sent_are_named_without_secrets() {
    for (addressee, name) in [
        (addressee(|settings| settings.url = "http://[".into()), "`url`"),
        (addressee(|settings| settings.secrets = vec!["hunter2".into()]), "signing secret"),
        (
            addressee(|settings| {
                settings.retiring = vec![Retiring { secret: "hunter2".into(), until: NOW }];
            }),
            "signing secret",
        ),
        (addressee(|settings| settings.headers = vec![("a b".into(), "hunter2".into())]), "`a b`"),
        (
            addressee(|settings| settings.headers = vec![("a".into(), "hunter2\r\nb: c".into())]),
            "`a` is not a header",
        ),
    ] {
        let error = parcel(&addressee, &event(1, ATTRIBUTES), 1).unwrap_err();
        assert!(matches!(error, NotSent::Settings(_)), "{error:?}");
        let error = error.to_string();
        assert!(error.contains(name) && !error.contains("hunter2"), "{error}");
    }
}
