//! The handshake.

use super::*;

async fn greeted(
    status: u16,
    headers: &'static [(&'static str, &'static str)],
    origin: &'static str,
) -> Greeting {
    let script = move |request: Request<Bytes>| {
        assert_eq!(request.method(), "OPTIONS");
        assert_eq!(request.uri(), "http://example.com/hook");
        let header = |name| request.headers()[name].to_str().unwrap();
        assert_eq!(header("webhook-request-origin"), origin);
        assert_eq!(header("webhook-request-rate"), "120");
        assert_eq!(header("x-own"), "v");
        assert_eq!(header("authorization"), "Bearer t0k");
        assert!(request.body().is_empty() && !request.headers().contains_key("webhook-id"));
        let mut reply = reply(status, "");
        for (name, value) in headers {
            reply.headers_mut().insert(*name, HeaderValue::from_static(value));
        }
        Ok(reply)
    };
    let mut webhook = Webhook::new(network(script), "9.9");
    if origin != "milkrun" {
        webhook = webhook.with_origin(origin).unwrap();
    }
    let target = Target { auth: Some(Auth::Bearer("t0k".into())), ..target() };
    webhook.greet(&target, 1_700_000_000, Some(120)).await
}

#[tokio::test]
async fn consent_is_in_the_headers_whatever_the_status() {
    let allowed = |per_minute| Greeting::Allowed { per_minute };
    for (status, origin, headers, expected) in [
        (200, "milkrun", &[("webhook-allowed-origin", "*")][..], allowed(None)),
        (
            204,
            "relay.example.com",
            &[("webhook-allowed-origin", "Relay.Example.com"), ("webhook-allowed-rate", "100")],
            allowed(Some(100)),
        ),
        (
            405,
            "milkrun",
            &[("webhook-allowed-origin", "milkrun"), ("webhook-allowed-rate", "*")],
            allowed(None),
        ),
        (
            200,
            "milkrun",
            &[("webhook-allowed-origin", "*"), ("webhook-allowed-rate", "99999999999")],
            allowed(Some(u32::MAX)),
        ),
    ] {
        assert_eq!(greeted(status, headers, origin).await, expected);
    }
}

#[tokio::test]
async fn anything_else_is_a_no() {
    for (status, headers, reason) in [
        (200, &[][..], "answered 200 without `webhook-allowed-origin`"),
        (405, &[("allow", "POST")], "answered 405 without `webhook-allowed-origin`"),
        (404, &[], "answered 404 without `webhook-allowed-origin`"),
        (
            200,
            &[("webhook-allowed-origin", "other.example.com")],
            "`webhook-allowed-origin` names another origin",
        ),
        (
            200,
            &[("webhook-allowed-origin", "*"), ("webhook-allowed-rate", "0")],
            "`webhook-allowed-rate`: expected `*` or a number of requests a minute from 1 on",
        ),
        (
            200,
            &[("webhook-allowed-origin", "*"), ("webhook-allowed-rate", "many")],
            "`webhook-allowed-rate`: expected `*` or a number of requests a minute from 1 on",
        ),
    ] {
        assert_eq!(greeted(status, headers, "milkrun").await, Greeting::Refused(reason.into()));
    }
}

#[tokio::test]
async fn not_now_is_not_a_no() {
    for status in [429, 502, 503, 504] {
        let greeting = greeted(status, &[("retry-after", "7")], "milkrun").await;
        let Greeting::Failed(Outcome::Answered(answer)) = greeting else { panic!("{greeting:?}") };
        assert_eq!((answer.status, answer.retry_after), (status, Some(RetryAfter::Seconds(7))));
    }
    let refused = network(|_| Err(ErrorKind::ConnectionRefused.into()));
    let greeting = Webhook::new(refused, "9.9").greet(&target(), 0, None).await;
    let Greeting::Failed(Outcome::Silent { kind, .. }) = greeting else { panic!("{greeting:?}") };
    assert_eq!(kind, SilentKind::Refused);
}

#[test]
fn who_gave_consent_is_reminded_of_it() {
    let target = Arc::new(Target { greeted: true, ..target() });
    let webhook = nowhere().with_origin("relay.example.com").unwrap();
    let drawn = webhook.draw(Parcel { target, ..parcel() }).unwrap();
    assert_eq!(drawn.headers()["webhook-request-origin"], "relay.example.com");
    assert!(!nowhere().draw(parcel()).unwrap().headers().contains_key("webhook-request-origin"));
    assert!(nowhere().with_origin("a\r\nb").is_err());
}
