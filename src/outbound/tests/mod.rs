//! Addresses in every spelling, and the network on loopback.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
};

use http_body_util::BodyExt as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tower::ServiceExt as _;

use super::*;

mod closing;
mod dial;
mod direct;
mod heads;
mod names;
mod proxy;
mod secure;
mod spellings;
mod target;
mod tls;

/// What a server of ours has seen.
#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    requests: AtomicUsize,
    /// Requests that asked for the connection to be closed.
    closing: AtomicUsize,
}

/// A server that counts connections, each of which `serve` looks after.
async fn serving<F>(
    serve: impl Fn(TcpStream, Arc<Seen>) -> F + Send + 'static,
) -> (SocketAddr, Arc<Seen>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Seen::default());
    let counted = seen.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.connections.fetch_add(1, SeqCst);
            tokio::spawn(serve(stream, counted.clone()));
        }
    });
    (address, seen)
}

#[test]
fn special_addresses_are_forbidden() {
    for text in [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.255",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.7",
        "203.0.113.7",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:10.1.2.3",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "64:ff9b::a00:1",
        "64:ff9b:1::1",
        "64:ff9b:1:ffff::808:808",
        "2002:7f00:1::",
        "2002:c0a8:101::1",
        "2002:a9fe:a9fe::",
        "2001:0:7f00:1::",
        "2001:0:808:808::80ff:fffe",
        "2001:2::1",
        "2001:10::1",
        "2001:db8::1",
        "3fff::1",
        "100::1",
        "fc00::1",
        "fdff::1",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "5f00::1",
        "2606:4700::5efe:127.0.0.1",
        "2606:4700:1:2:200:5efe:169.254.169.254",
        "2002:808:808::5efe:10.0.0.1",
    ] {
        assert!(is_forbidden(text.parse().unwrap()), "{text}");
    }
}

#[test]
fn public_addresses_are_not() {
    for text in [
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.0.1",
        "172.15.0.1",
        "172.32.0.1",
        "192.0.1.1",
        "192.167.0.1",
        "198.17.0.1",
        "198.20.0.1",
        "223.255.255.255",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
        "2002:808:808::1",
        "2606:4700::1111",
        "2a00:1450:4001::1",
        "2001:4860:4860::8888",
        "2001:0:808:808::f7f7:f7f7",
        "2606:4700::5efe:8.8.8.8",
        "2606:4700::1:5efe:a00:1",
    ] {
        assert!(!is_forbidden(text.parse().unwrap()), "{text}");
    }
}

#[test]
fn other_bad_urls_are_refused_by_name() {
    let guard = Guard::new(vec![]);
    assert!(matches!(guard.check_url("ftp://example.com"), Err(Refused::Scheme(_))));
    assert!(matches!(guard.check_url("file:///etc/passwd"), Err(Refused::Scheme(_))));
    assert!(matches!(guard.check_url("/hook"), Err(Refused::Malformed(_))));
    assert!(matches!(guard.check_url("http://"), Err(Refused::Malformed(_))));
    for url in ["http://u@example.com/", "http://u:p@example.com/", "http://:p@example.com/"] {
        let refused = guard.check_url(url).unwrap_err();
        assert_eq!(refused, Refused::UserInfo);
        assert!(!refused.to_string().contains("u:p"));
    }
    assert_eq!(guard.check_url("https://example.com/hook").unwrap().path(), "/hook");
}

#[test]
fn the_allow_list_opens_what_it_names() {
    let guard = Guard::new(vec!["127.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()]);
    for url in ["http://127.0.0.1:1/", "http://[::ffff:127.0.0.9]/", "http://[fd00::1]/"] {
        assert!(guard.check_url(url).is_ok(), "{url}");
    }
    assert!(guard.check_url("http://localhost/").is_ok());
    for url in ["http://10.0.0.1/", "http://[::1]/", "http://[fc00::1]/"] {
        assert!(guard.check_url(url).is_err(), "{url}");
    }
}

/// What probes are handed, and what webhooks are.
fn networks(guard: &Guard) -> [sinks::Network; 2] {
    [guard.network().unwrap(), guard.webhooks(None).unwrap()]
}

/// Asks by both networks, which have to say the same.
async fn ask(guard: &Guard, url: &str) -> Result<http::Response<Bytes>, Error> {
    let [probes, webhooks] = networks(guard);
    let one = ask_by(probes, url).await;
    let other = ask_by(webhooks, url).await;
    match (&one, &other) {
        (Ok(one), Ok(other)) => {
            assert_eq!((one.status(), one.body()), (other.status(), other.body()));
        }
        (Err(one), Err(other)) => assert_eq!(one.kind(), other.kind(), "{url}: {one}, {other}"),
        _ => panic!("{url}: {one:?}, {other:?}"),
    }
    other
}

async fn ask_by(network: sinks::Network, url: &str) -> Result<http::Response<Bytes>, Error> {
    let request = http::Request::get(url).body(Bytes::new()).unwrap();
    let (head, body) = network.oneshot(request).await?.into_parts();
    Ok(http::Response::from_parts(head, body.collect().await?.to_bytes()))
}

/// Answers every connection with `answer` and closes it.
async fn server(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(answer).await;
        }
    });
    address
}

fn loopback() -> Guard {
    Guard::new(vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()])
}

#[tokio::test]
async fn a_name_with_a_forbidden_address_is_refused_by_the_resolver() {
    let address = server(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let error = Guard::new(vec![]).vetted("localhost").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    let url = format!("http://localhost:{}/", address.port());
    let error = ask(&Guard::new(vec![]), &url).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
    let answer = ask(&loopback(), &url).await.unwrap();
    assert_eq!(answer.body(), "ok");
}

#[tokio::test]
async fn a_literal_is_vetted_although_no_resolver_is_asked() {
    let address = server(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    for host in ["127.0.0.1", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]"] {
        let url = format!("http://{host}:{}/", address.port());
        let error = ask(&Guard::new(vec![]), &url).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{host}: {error}");
    }
    assert_eq!(ask(&loopback(), &format!("http://{address}/")).await.unwrap().status(), 200);
}

#[tokio::test]
async fn redirects_are_answers_and_compressed_bodies_stay_compressed() {
    let address = server(
        b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\nabc",
    )
    .await;
    let answer = ask(&loopback(), &format!("http://{address}/")).await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.body()[..]), (302, &b"abc"[..]));
    assert_eq!(answer.headers()["content-encoding"], "gzip");
}

#[tokio::test]
async fn failures_have_the_documented_kinds_and_hide_the_url() {
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap();
    let cut = server(b"").await;
    let nonsense = server(b"SSH-2.0-x\r\n\r\n").await;
    let chunked: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunks = server([chunked, &b"zz\r\n"[..]].concat().leak()).await;
    let endless = server([chunked, &b"ffffffffffffffffffff\r\n"[..]].concat().leak()).await;
    for (url, kind) in [
        (format!("http://{closed}/?key=hunter2"), ErrorKind::ConnectionRefused),
        (format!("http://{cut}/?key=hunter2"), ErrorKind::ConnectionReset),
        (format!("http://{nonsense}/?key=hunter2"), ErrorKind::Other),
        (format!("https://{nonsense}/?key=hunter2"), ErrorKind::InvalidData),
        // A broken answer of plain HTTP has nothing to do with TLS.
        (format!("http://{chunks}/?key=hunter2"), ErrorKind::Other),
        (format!("http://{endless}/?key=hunter2"), ErrorKind::Other),
    ] {
        let error = ask(&loopback(), &url).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{url}: {error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
    let plain = ask(&loopback(), &format!("https://{nonsense}/")).await.unwrap_err().to_string();
    assert!(
        plain.contains("does not speak TLS at this port: expected a URL of `http://`"),
        "{plain}"
    );
    let strange = ask(&loopback(), &format!("http://{nonsense}/")).await.unwrap_err().to_string();
    assert!(strange.contains("the answer is not HTTP"), "{strange}");
    let error = loopback().vetted("no-such-name.invalid").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::HostUnreachable);
}
