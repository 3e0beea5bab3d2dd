//! What is kept of an answer that is a refusal, late, or cannot be read.

use bytes::Bytes;
use http_body_util::{BodyExt as _, StreamBody};

use super::{
    super::{
        fetch::{Fault, fetch},
        limits::Limits,
    },
    packing::{gzip, joined, network, read, utf_16},
};
use crate::{Budget, FailureKind};

async fn refused(status: u16, headers: &[(&str, &str)], body: Vec<u8>) -> (u16, Bytes) {
    let network = network(status, headers, vec![body.into()]);
    let (budget, limits) = (Budget::new(64 << 20), Limits::default());
    let timeout = std::time::Duration::from_secs(5);
    let request = http::Request::new(Bytes::new());
    let answer = fetch(&network, &budget, request, &limits, None, timeout).await.unwrap();
    (answer.status.as_u16(), answer.body)
}

#[tokio::test]
async fn a_refusal_is_read_as_far_as_it_goes() {
    let long = vec![b'x'; 100_000];
    let (status, body) = refused(500, &[], long).await;
    assert_eq!((status, body.len()), (500, 64 << 10));
    for (headers, body, text) in [
        (&[("content-encoding", "gzip")][..], gzip(b"{\"error\":1}"), "{\"error\":1}"),
        (&[("content-encoding", "br")], b"no coding".to_vec(), "no coding"),
        (&[], gzip(b"<p>"), "<p>"),
        (&[], b"caf\xe9".to_vec(), "caf\u{fffd}"),
        (&[("content-type", "a/b; charset=latin1")], b"caf\xe9".to_vec(), "café"),
        (&[], utf_16("{}", true), "{}"),
        (&[], Vec::new(), ""),
    ] {
        assert_eq!(refused(404, headers, body).await, (404, text.into()), "{headers:?}");
    }
}

/// A body that never ends.
fn endless(status: u16, first: &'static [u8]) -> crate::Network {
    tower::util::BoxCloneSyncService::new(tower::service_fn(move |_| async move {
        use futures_util::StreamExt as _;
        let some = futures_util::stream::iter([Ok(http_body::Frame::data(Bytes::from(first)))]);
        let body = StreamBody::new(some.chain(futures_util::stream::pending())).boxed_unsync();
        Ok(http::Response::builder().status(status).body(body).unwrap())
    }))
}

#[tokio::test(start_paused = true)]
async fn a_deadline_hides_neither_the_status_nor_what_came() {
    let (budget, limits) = (Budget::new(64 << 20), Limits::default());
    let timeout = std::time::Duration::from_secs(5);
    let ask = async |status| {
        let network = endless(status, b"{\"error\": \"quota\"");
        let request = http::Request::new(Bytes::new());
        fetch(&network, &budget, request, &limits, None, timeout).await
    };
    let answer = ask(429).await.unwrap();
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (429, &b"{\"error\": \"quota\""[..]));
    drop(answer);
    let fault: Fault = ask(200).await.unwrap_err();
    assert_eq!(fault.kind, FailureKind::Timeout);
    let seen = fault.seen.unwrap();
    assert_eq!((seen.bytes, &seen.first[..]), (17, &b"{\"error\": \"quota\""[..]));
    assert_eq!(budget.held_bytes(), 0);
}

#[tokio::test]
async fn what_could_not_be_read_is_seen() {
    let limits = Limits::default();
    let mut half = gzip(format!("[{}]", "{\"id\":1},".repeat(500)).as_bytes());
    half.truncate(half.len() - 10);
    let bytes = half.len() as u64;
    let headers = [("content-encoding", "gzip"), ("x-a", "b")];
    let fault = read(&headers, vec![half.into()], None, &limits).await.unwrap_err();
    let seen = fault.seen.unwrap();
    assert_eq!(
        (seen.bytes, seen.first.len(), seen.headers["x-a"].as_bytes()),
        (bytes, 512, &b"b"[..])
    );
    assert!(seen.first.starts_with(b"[{\"id\":1},"), "{:?}", seen.first);
    let body = joined(&[b"\"", &[0xe9; 600]]).into();
    let fault = read(&[], vec![body], None, &limits).await.unwrap_err();
    assert!(fault.seen.unwrap().first.starts_with(b"\"\xe9"));
}
