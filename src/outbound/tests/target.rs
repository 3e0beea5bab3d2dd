//! What a request asks for arrives as it was written, byte for byte.

use proptest::{prelude::*, test_runner::TestRunner};
use tokio::{io::AsyncBufReadExt as _, sync::mpsc};

use super::*;

/// Tells the target of each request and answers it; connections are kept.
async fn telling() -> (SocketAddr, mpsc::UnboundedReceiver<Vec<u8>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (told, targets) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(tell(stream, told.clone()));
        }
    });
    (address, targets)
}

/// Reads heads without understanding them: the target lies between the first and the last blank.
async fn tell(mut stream: tokio::net::TcpStream, told: mpsc::UnboundedSender<Vec<u8>>) {
    let (read, mut write) = stream.split();
    let mut lines = tokio::io::BufReader::new(read);
    loop {
        let mut line = Vec::new();
        if !matches!(lines.read_until(b'\n', &mut line).await, Ok(1..)) {
            return;
        }
        let line = line.strip_prefix(b"GET ").unwrap().strip_suffix(b" HTTP/1.1\r\n").unwrap();
        told.send(line.to_vec()).unwrap();
        let mut other = Vec::new();
        while other != b"\r\n" {
            other.clear();
            lines.read_until(b'\n', &mut other).await.unwrap();
        }
        write.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    }
}

/// All that RFC 3986 allows, and what browsers and people send raw. `"` and braces are known to
/// lie outside of RFC 3986; beyond ASCII stands a letter.
const QUERY: &str = "[-A-Za-z0-9._~!$&'()*+,;=:@/?|^`{}\\[\\]\\\\é]|%[0-9A-Fa-f]{2}|%20|%2F|%27|%";
const PATH: &str = "[-A-Za-z0-9._~!$&'()*+,;=:@|\\[\\]]|/|//|/\\.|/\\.\\.|/%2e%2E/|%[0-9A-Fa-f]{2}";

fn targets() -> impl Strategy<Value = String> {
    let text = |part: &'static str| {
        proptest::collection::vec(part, 0..30).prop_map(|parts| parts.concat())
    };
    (text(PATH), proptest::option::of(text(QUERY))).prop_map(|(path, query)| match query {
        Some(query) => format!("/{path}?{query}"),
        None => format!("/{path}"),
    })
}

/// What is asked of `authority` by `network` for each target, as `server` heard it.
fn arrives(
    network: &sinks::Network,
    authority: &str,
    expected: impl Fn(&str) -> String,
    runtime: &tokio::runtime::Runtime,
    heard: &mut mpsc::UnboundedReceiver<Vec<u8>>,
) {
    let heard = std::cell::RefCell::new(heard);
    let ask = |target: &str| {
        let url = format!("http://{authority}{target}");
        let answer = runtime.block_on(ask_by(network.clone(), &url)).unwrap();
        assert_eq!(answer.status(), 204);
        String::from_utf8(heard.borrow_mut().blocking_recv().unwrap()).unwrap()
    };
    for target in [
        "/a?$filter=name eq 'x'".replace(' ', "%20").as_str(),
        "/a?filter[status]=open&sort=-created|id&q='(a+b)'",
        "/a/../b/./c//d;x=1/%2e%2e/?",
        "/?",
        "/a?x=%7e%7E&y=~&z=%zz",
        "/caf%C3%A9?q=é",
    ] {
        assert_eq!(ask(target), expected(target));
    }
    TestRunner::default()
        .run(&targets(), |target| {
            prop_assert_eq!(ask(&target), expected(&target));
            Ok(())
        })
        .unwrap();
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

#[test]
fn every_target_arrives_as_it_was_written() {
    let runtime = runtime();
    let (address, mut heard) = runtime.block_on(telling());
    for network in networks(&loopback()) {
        arrives(&network, &address.to_string(), str::to_owned, &runtime, &mut heard);
    }
}

/// A proxy is told the whole URL (RFC 9112 section 3.2.2).
#[test]
fn every_target_arrives_through_a_proxy_too() {
    let runtime = runtime();
    let (address, mut heard) = runtime.block_on(telling());
    let proxy = check_proxy(&format!("http://{address}")).unwrap();
    let guard =
        Guard::new(vec![]).with_names(|_| vec!["8.8.8.8".parse().unwrap()]).with_proxy(Some(proxy));
    let whole = |target: &str| format!("http://producer.example{target}");
    for network in networks(&guard) {
        arrives(&network, "producer.example", whole, &runtime, &mut heard);
    }
}

/// The host goes out as it was vetted; a fragment and a missing path are no part of the target.
#[tokio::test]
async fn what_is_no_target_is_put_right() {
    let (address, mut heard) = telling().await;
    for [url, target] in [["?a='b'", "/?a='b'"], ["", "/"], ["/a?b#c", "/a?b"]] {
        for network in networks(&loopback()) {
            ask_by(network, &format!("http://{address}{url}")).await.unwrap();
            assert_eq!(String::from_utf8(heard.recv().await.unwrap()).unwrap(), target);
        }
    }
}
