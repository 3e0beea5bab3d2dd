//! The webhook against scripted networks.

use std::{io, sync::Arc, time::Duration};

use http::Response;
use http_body_util::{Full, StreamBody, combinators::UnsyncBoxBody};
use tower::{service_fn, util::BoxCloneSyncService};

use super::*;

type Reply = Response<UnsyncBoxBody<Bytes, io::Error>>;

fn network(
    script: impl Fn(Request<Bytes>) -> io::Result<Reply> + Clone + Send + Sync + 'static,
) -> Network {
    BoxCloneSyncService::new(service_fn(move |request| std::future::ready(script(request))))
}

fn reply(status: u16, body: &'static [u8]) -> Reply {
    let body = Full::new(Bytes::from_static(body)).map_err(|never| match never {});
    Response::builder().status(status).body(body.boxed_unsync()).unwrap()
}

fn parcel() -> Parcel {
    let mut headers = http::HeaderMap::new();
    headers.insert("milkrun-attempt", 3.into());
    Parcel {
        uri: "http://example.com/hook".parse().unwrap(),
        id: "t-0a1b2c3d-5".into(),
        timestamp: 1_700_000_000,
        secrets: Arc::new(["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap()]),
        headers,
        body: Bytes::from_static(b"{}"),
        timeout: Duration::from_millis(50),
    }
}

async fn push(
    script: impl Fn(Request<Bytes>) -> io::Result<Reply> + Clone + Send + Sync + 'static,
) -> Outcome {
    Webhook::new(network(script), "9.9").push(parcel()).await
}

#[tokio::test]
async fn a_parcel_becomes_one_signed_post() {
    let outcome = push(|request| {
        assert_eq!(request.method(), "POST");
        let header = |name| request.headers()[name].to_str().unwrap();
        assert_eq!(header("webhook-id"), "t-0a1b2c3d-5");
        assert_eq!(header("webhook-timestamp"), "1700000000");
        assert_eq!(header("user-agent"), "milkrun/9.9");
        assert_eq!(header("milkrun-attempt"), "3");
        let expected =
            sign::signature(&parcel().secrets, "t-0a1b2c3d-5", 1_700_000_000, request.body());
        assert_eq!(header("webhook-signature"), expected);
        Ok(reply(204, b"thanks"))
    })
    .await;
    let Outcome::Answered(answer) = outcome else { panic!("{outcome:?}") };
    assert_eq!((answer.status, &answer.body[..]), (204, &b"thanks"[..]));
    assert!(!answer.never_retry && answer.retry_after.is_none());
}

#[tokio::test]
async fn errors_of_the_network_are_told_apart() {
    for (from, to) in [
        (ErrorKind::PermissionDenied, SilentKind::Forbidden),
        (ErrorKind::HostUnreachable, SilentKind::Dns),
        (ErrorKind::ConnectionRefused, SilentKind::Refused),
        (ErrorKind::ConnectionReset, SilentKind::Reset),
        (ErrorKind::InvalidData, SilentKind::Tls),
        (ErrorKind::TimedOut, SilentKind::Timeout),
        (ErrorKind::Other, SilentKind::Other),
    ] {
        let outcome = push(move |_| Err(io::Error::new(from, "so"))).await;
        assert_eq!(outcome, Outcome::Silent { kind: to, message: "so".into() });
    }
}

fn streamed<S>(frames: S) -> Reply
where
    S: futures_util::Stream<Item = io::Result<http_body::Frame<Bytes>>> + Send + 'static,
{
    Response::new(UnsyncBoxBody::new(StreamBody::new(frames)))
}

#[tokio::test]
async fn a_body_that_does_not_end_is_cut_and_one_that_drips_times_out() {
    let outcome = push(|_| {
        let frame = || Ok(http_body::Frame::data(Bytes::from_static(&[b'x'; 4096])));
        Ok(streamed(futures_util::stream::repeat_with(frame)))
    })
    .await;
    let Outcome::Answered(answer) = outcome else { panic!("{outcome:?}") };
    assert_eq!((answer.status, answer.body.len()), (200, KEPT_BYTES));

    let outcome = push(|_| Ok(streamed(futures_util::stream::pending()))).await;
    assert!(matches!(outcome, Outcome::Silent { kind: SilentKind::Timeout, .. }), "{outcome:?}");

    let outcome = push(|_| {
        let cut = Err(io::Error::from(ErrorKind::ConnectionReset));
        Ok(streamed(futures_util::stream::iter([cut])))
    })
    .await;
    assert!(matches!(outcome, Outcome::Silent { kind: SilentKind::Reset, .. }), "{outcome:?}");
}

#[tokio::test]
async fn what_the_receiver_says_of_retries_is_read() {
    let outcome = push(|_| {
        let mut reply = reply(503, b"");
        reply.headers_mut().insert("retry-after", HeaderValue::from_static("120"));
        reply.headers_mut().insert("milkrun-retry", HeaderValue::from_static("No"));
        Ok(reply)
    })
    .await;
    let Outcome::Answered(answer) = outcome else { panic!("{outcome:?}") };
    assert_eq!(answer.retry_after, Some(RetryAfter::Seconds(120)));
    assert!(answer.never_retry);
}

#[test]
fn retry_after_has_seconds_and_three_dates() {
    for text in [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
    ] {
        assert_eq!(retry_after(text), Some(RetryAfter::At(784_111_777)), "{text}");
    }
    assert_eq!(retry_after(" 7 "), Some(RetryAfter::Seconds(7)));
    assert_eq!(retry_after("99999999999999999999999"), Some(RetryAfter::Seconds(u64::MAX)));
    for text in ["", "soon", "-1", "1.5", "+3"] {
        assert_eq!(retry_after(text), None, "{text}");
    }
}
