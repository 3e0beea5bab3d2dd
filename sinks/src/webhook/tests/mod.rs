//! The webhook against scripted networks.

use std::{
    io::{self, ErrorKind, Read as _},
    time::Duration,
};

use http::Response;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use sha2::{Digest as _, Sha256};
use tower::{service_fn, util::BoxCloneSyncService};

use super::*;
use crate::{Cut, RetryAfter};

mod auth;
mod greet;

type Reply = Response<UnsyncBoxBody<Bytes, io::Error>>;

fn network(
    script: impl Fn(Request<Bytes>) -> io::Result<Reply> + Clone + Send + Sync + 'static,
) -> Network {
    BoxCloneSyncService::new(service_fn(move |request| std::future::ready(script(request))))
}

fn reply(status: u16, body: impl Into<Bytes>) -> Reply {
    let body = Full::new(body.into()).map_err(|never| match never {});
    Response::builder().status(status).body(body.boxed_unsync()).unwrap()
}

fn target() -> Target {
    let mut headers = http::HeaderMap::new();
    headers.insert("x-own", HeaderValue::from_static("v"));
    Target {
        uri: "http://example.com/hook".parse().unwrap(),
        headers,
        auth: None,
        identity: None,
        greeted: false,
        user_agent: None,
        manner: Manner::default(),
        timeout: Duration::from_millis(50),
    }
}

fn parcel() -> Parcel {
    let mut headers = http::HeaderMap::new();
    headers.insert("milkrun-attempt", 3.into());
    Parcel {
        target: Arc::new(target()),
        id: "t-0a1b2c3d-5".into(),
        timestamp: 1_700_000_000,
        secrets: Arc::new(["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap()]),
        headers,
        body: Bytes::from_static(b"{}"),
        gzip: false,
        is_batch: false,
    }
}

async fn push(
    script: impl Fn(Request<Bytes>) -> io::Result<Reply> + Clone + Send + Sync + 'static,
) -> Outcome {
    Webhook::new(network(script), "9.9").push(parcel()).await
}

fn nowhere() -> Webhook {
    Webhook::new(network(|_| Err(ErrorKind::Other.into())), "9.9")
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
        assert_eq!(header("x-own"), "v");
        let expected =
            sign::signature(&parcel().secrets, "t-0a1b2c3d-5", 1_700_000_000, request.body());
        assert_eq!(header("webhook-signature"), expected);
        let drawn = nowhere().draw(parcel()).unwrap();
        assert_eq!((drawn.uri(), drawn.headers()), (request.uri(), request.headers()));
        Ok(reply(204, "thanks"))
    })
    .await;
    let Outcome::Answered(answer) = outcome else { panic!("{outcome:?}") };
    assert_eq!((answer.status, &answer.body[..]), (204, &b"thanks"[..]));
    assert!(!answer.never_retry && answer.retry_after.is_none());
}

#[test]
fn a_post_without_a_body_says_so() {
    let length = |body: &'static [u8]| {
        let drawn = nowhere().draw(Parcel { body: body.into(), ..parcel() }).unwrap();
        drawn.headers().get("content-length").map(|value| value.to_str().unwrap().to_owned())
    };
    assert_eq!(length(b"").as_deref(), Some("0"));
    // What has a body is framed when it is sent.
    assert_eq!(length(b"{}"), None);
}

#[test]
fn what_the_sink_sets_wins_over_headers_of_the_target() {
    let mut own = target();
    for name in ["webhook-id", "user-agent", "authorization", "milkrun-attempt"] {
        own.headers.insert(name, HeaderValue::from_static("mine"));
    }
    own.auth = Some(Auth::Bearer("t0k".into()));
    let drawn = nowhere().draw(Parcel { target: Arc::new(own), ..parcel() }).unwrap();
    for (name, value) in [
        ("webhook-id", "t-0a1b2c3d-5"),
        ("user-agent", "milkrun/9.9"),
        ("authorization", "Bearer t0k"),
        ("milkrun-attempt", "3"),
    ] {
        let all: Vec<_> = drawn.headers().get_all(name).iter().collect();
        assert_eq!(all, [value], "{name}");
    }
}

#[test]
fn only_large_bodies_are_compressed_and_the_signature_is_over_what_they_were() {
    let drawn = |gzip, body: &[u8]| {
        let body = Bytes::copy_from_slice(body);
        nowhere().draw(Parcel { body, gzip, ..parcel() }).unwrap()
    };
    let large = "{\"a\": 1}".repeat(500).into_bytes();
    let noise: Vec<u8> = (0_u32..64).flat_map(|n| Sha256::digest(n.to_be_bytes())).collect();
    for (gzip, body, small) in [
        (true, &large[..], true),
        (true, &large[..1_024], true),
        (true, &large[..1_023], false),
        (false, &large[..], false),
        (true, &noise[..], false),
    ] {
        let sent = drawn(gzip, body);
        let encoding = sent.headers().get("content-encoding");
        assert_eq!(encoding.is_some(), small, "{} bytes", body.len());
        let mut read = Vec::new();
        if small {
            assert_eq!(encoding.unwrap(), "gzip");
            flate2::read::GzDecoder::new(&sent.body()[..]).read_to_end(&mut read).unwrap();
        } else {
            read.extend_from_slice(sent.body());
        }
        assert_eq!(read, body);
        let expected = sign::signature(&parcel().secrets, "t-0a1b2c3d-5", 1_700_000_000, body);
        assert_eq!(sent.headers()["webhook-signature"], expected);
    }
}

#[tokio::test]
async fn errors_of_the_network_are_told_apart() {
    for (from, to) in [
        (ErrorKind::PermissionDenied, SilentKind::Forbidden),
        (ErrorKind::NetworkDown, SilentKind::Proxy),
        (ErrorKind::ResourceBusy, SilentKind::Machine),
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

#[tokio::test]
async fn a_status_without_its_head_stands_but_not_for_a_batch() {
    let cut = |_| {
        let mut answer = reply(204, "");
        answer.extensions_mut().insert(Cut("too large"));
        Ok(answer)
    };
    let Outcome::Answered(answer) = push(cut).await else { panic!("no answer") };
    assert_eq!((answer.status, answer.note.as_deref()), (204, Some("too large")));
    let batch = Parcel { is_batch: true, ..parcel() };
    let outcome = Webhook::new(network(cut), "9.9").push(batch).await;
    assert_eq!(outcome, Outcome::Silent { kind: SilentKind::Other, message: "too large".into() });
}

#[tokio::test]
async fn a_target_has_a_user_agent_and_a_manner_of_its_own() {
    let sink = Webhook::new(network(|_| Ok(reply(200, ""))), "9.9");
    let usual = sink.draw(parcel()).unwrap();
    assert_eq!(usual.headers()["user-agent"], "milkrun/9.9");
    assert!(usual.extensions().is_empty());
    let mut own = target();
    own.user_agent = Some(HeaderValue::from_static("partner/1"));
    own.manner = Manner { once: true, title_case: true };
    let drawn = sink.draw(Parcel { target: Arc::new(own), ..parcel() }).unwrap();
    assert_eq!(drawn.headers()["user-agent"], "partner/1");
    assert_eq!(drawn.extensions().get(), Some(&Manner { once: true, title_case: true }));
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

    let outcome = push(|request| {
        let asked = request.extensions().get::<Asked>().unwrap();
        asked.note(Some("192.0.2.1:80".parse().unwrap()));
        Ok(streamed(futures_util::stream::pending()))
    })
    .await;
    let message = "192.0.2.1:80: no whole answer within 0.05 s".to_owned();
    assert_eq!(outcome, Outcome::Silent { kind: SilentKind::Timeout, message });

    let outcome = push(|_| {
        let cut = Err(io::Error::from(ErrorKind::ConnectionReset));
        Ok(streamed(futures_util::stream::iter([cut])))
    })
    .await;
    assert!(matches!(outcome, Outcome::Silent { kind: SilentKind::Reset, .. }), "{outcome:?}");
}

#[tokio::test]
async fn what_the_receiver_says_of_retries_and_batches_is_read() {
    let script = |_: Request<Bytes>| {
        let mut reply = reply(200, r#"{"accepted_up_to": 41}"#);
        reply.headers_mut().insert("retry-after", HeaderValue::from_static("120"));
        reply.headers_mut().insert("milkrun-retry", HeaderValue::from_static("No"));
        Ok(reply)
    };
    for is_batch in [false, true] {
        let webhook = Webhook::new(network(script), "9.9");
        let outcome = webhook.push(Parcel { is_batch, ..parcel() }).await;
        let Outcome::Answered(answer) = outcome else { panic!("{outcome:?}") };
        assert_eq!(answer.retry_after, Some(RetryAfter::Seconds(120)));
        assert!(answer.never_retry);
        assert_eq!(answer.accepted_up_to, is_batch.then_some(41));
    }
}

#[tokio::test]
async fn certificates_have_a_network_of_their_own() {
    let usual = network(|_| Ok(reply(200, "usual")));
    let webhook =
        Webhook::new(usual, "9.9").with_identities(|identity| match identity.ca.as_deref() {
            Some("good") => Ok(network(|_| Ok(reply(200, "own")))),
            _ => Err("`tls.ca`: no certificate".to_owned()),
        });
    for (ca, expected) in [(None, Ok("usual")), (Some("good"), Ok("own")), (Some("bad"), Err(()))] {
        let identity = |ca: &str| Identity { certificate: None, key: None, ca: Some(ca.into()) };
        let target = Target { identity: ca.map(|ca| Arc::new(identity(ca))), ..target() };
        match webhook.push(Parcel { target: Arc::new(target), ..parcel() }).await {
            Outcome::Answered(answer) => {
                assert_eq!(Ok(&answer.body[..]), expected.map(str::as_bytes));
            }
            Outcome::Silent { kind, message } => {
                assert_eq!((kind, expected), (SilentKind::Tls, Err(())));
                assert_eq!(message, "`tls.ca`: no certificate");
            }
        }
    }
}
