//! The listener: two stops, over a real socket on loopback.

use futures_util::StreamExt as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::api::serve::{Patience, serve_with};

pub(super) struct Server {
    pub(super) address: std::net::SocketAddr,
    soft: CancellationToken,
    task: tokio::task::JoinHandle<std::io::Result<()>>,
}

async fn serve(relay: &Relay) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (router, soft) = (relay.router.clone(), relay.stopping.clone());
    let hard = CancellationToken::new();
    let task =
        tokio::spawn(crate::api::serve(listener, router, relay.budget.clone(), soft.clone(), hard));
    Server { address, soft, task }
}

async fn open(server: &Server, accept: &str) -> TcpStream {
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "GET /v1/topics/orders/events HTTP/1.1\r\nhost: localhost\r\naccept: {accept}\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    socket
}

/// Reads until `part` has come.
async fn read_to(socket: &mut TcpStream, part: &str) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    while !text.contains(part) {
        let read = tokio::time::timeout(DEADLINE, socket.read(&mut buffer)).await.unwrap().unwrap();
        assert!(read > 0, "closed after {text}");
        text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
    }
    text
}

#[tokio::test]
async fn a_soft_stop_ends_streams_and_closes() {
    let relay = Relay::new().await;
    relay.fill(1..=1).await;
    let server = serve(&relay).await;
    let mut page = open(&server, "application/json").await;
    assert!(read_to(&mut page, "\"events\":[").await.starts_with("HTTP/1.1 200"));
    let mut stream = open(&server, "text/event-stream").await;
    read_to(&mut stream, "data: ").await;
    relay.fill(2..=2).await;
    read_to(&mut stream, "\"version\":2").await;
    server.soft.cancel();
    tokio::time::timeout(DEADLINE, server.task).await.unwrap().unwrap().unwrap();
    let mut rest = String::new();
    tokio::time::timeout(DEADLINE, stream.read_to_string(&mut rest)).await.unwrap().unwrap();
    // The last chunk: the stream was ended, not cut.
    assert!(rest.ends_with("0\r\n\r\n"), "{rest}");
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn a_soft_stop_does_not_wait_for_who_reads_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // More than the system buffers for both ends.
    let large = Router::new().route("/", axum::routing::get(|| async { vec![b'x'; 64 << 20] }));
    let (soft, hard) = (CancellationToken::new(), CancellationToken::new());
    let task = tokio::spawn(crate::api::serve(listener, large, budget(), soft.clone(), hard));
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    read_to(&mut socket, "\r\n\r\n").await;
    soft.cancel();
    tokio::time::timeout(DEADLINE, task).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_hard_stop_drops_what_is_left() {
    let relay = Relay::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stuck = Router::new().route("/", axum::routing::get(std::future::pending::<()>));
    let (soft, hard) = (relay.stopping.clone(), CancellationToken::new());
    let task =
        tokio::spawn(crate::api::serve(listener, stuck, budget(), soft.clone(), hard.clone()));
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    soft.cancel();
    hard.cancel();
    tokio::time::timeout(DEADLINE, task).await.unwrap().unwrap().unwrap();
    let mut rest = Vec::new();
    // Whether the end comes as a close or a reset depends on what had been read.
    let _ = tokio::time::timeout(DEADLINE, socket.read_to_end(&mut rest)).await.unwrap();
    assert!(rest.is_empty());
}

#[tokio::test]
async fn the_head_of_a_request_is_bounded() {
    let relay = Relay::new().await;
    let server = serve(&relay).await;
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    let head = format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: {}", "x".repeat(65_000));
    socket.write_all(head.as_bytes()).await.unwrap();
    // One more byte than fits, and the head has not ended.
    socket.write_all(&[b'x'; 600]).await.unwrap();
    assert!(read_to(&mut socket, "\r\n\r\n").await.starts_with("HTTP/1.1 431"));
    server.soft.cancel();
    tokio::time::timeout(DEADLINE, server.task).await.unwrap().unwrap().unwrap();
}

fn budget() -> Budget {
    Budget::new(1 << 20, Counter::default(), Counter::default())
}

/// A listener that loses patience soon, with a router of its own.
async fn impatient(router: Router) -> Server {
    impatient_with(router, budget()).await
}

/// As [`impatient`], with the budget of the router.
pub(super) async fn impatient_with(router: Router, budget: Budget) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (soft, hard) = (CancellationToken::new(), CancellationToken::new());
    let soon = Duration::from_millis(100);
    let patience = Patience { head: soon, ping: soon, send: soon, send_tight: soon };
    let task = tokio::spawn(serve_with(listener, router, budget, soft.clone(), hard, patience));
    Server { address, soft, task }
}

#[tokio::test]
async fn a_client_that_never_asks_loses_its_place() {
    let server = impatient(Router::new()).await;
    // Nothing at all, a part of the preface of HTTP/2, all of it, and half a head.
    for said in ["", "PRI * HTTP/2.0", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET / HTTP/1.1\r\nx: "]
    {
        let mut socket = TcpStream::connect(server.address).await.unwrap();
        socket.write_all(said.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        // Whether the end comes as a close or a reset does not matter.
        let ended = tokio::time::timeout(DEADLINE, socket.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "{said:?} keeps its place");
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_reader_that_stops_reading_loses_its_place() {
    let (alive, mut dropped) = tokio::sync::mpsc::channel::<()>(1);
    let endless = move || {
        let chunks = futures_util::stream::repeat(alive.clone())
            .map(|_alive| Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 16_384])));
        async move { Body::from_stream(chunks) }
    };
    let server = impatient(Router::new().route("/", axum::routing::get(endless))).await;
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    read_to(&mut socket, "200 OK").await;
    // The router's own handle goes with the listener, the answer's with the connection.
    server.soft.cancel();
    let ended = tokio::time::timeout(DEADLINE, server.task).await;
    ended.expect("the connection goes on for ever").unwrap().unwrap();
    assert!(tokio::time::timeout(DEADLINE, dropped.recv()).await.unwrap().is_none());
}
