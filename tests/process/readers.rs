//! Clients that take nothing and clients that send much: memory stays within its bound, and a healthy
//! client is served as before.

use std::{
    fs,
    time::{Duration, Instant},
};

use axum::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};

use crate::support::{Api, Place, Relay, full};

/// `limits.api_bytes_max`, its default.
const API_BYTES_MAX: u64 = 256 << 20;
/// All that is not held for clients: 64 MiB of `limits.tail_bytes`, 112 of the store's page caches, the
/// program (docs/memory.md).
pub(super) const BESIDE: u64 = 224 << 20;
/// What a connection costs beside what it is sent.
const CONNECTION_BYTES: u64 = 32 << 10;
/// Below this it is the noise of two cores that the clients share with a debug build.
const NOISE: Duration = Duration::from_millis(20);

/// The most memory that the relay ever had.
fn peak_bytes(relay: &Relay) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", relay.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// A relay with 32 MiB of events.
async fn filled() -> (Place, Relay) {
    let place = Place::new("topics: { numbers: {} }\n");
    let relay = place.start().await;
    let data = "x".repeat(64 << 10);
    for batch in 0..8 {
        let events: Vec<String> = (0..64)
            .map(|n| {
                let id = batch * 64 + n;
                format!(
                    r#"{{"specversion":"1.0","id":"{id}","source":"/s","type":"t","data":"{data}"}}"#
                )
            })
            .collect();
        let request = relay.api().request("POST", "/v1/topics/numbers/events");
        let request = request.header("content-type", "application/cloudevents-batch+json");
        let body = format!("[{}]", events.join(","));
        relay.api().send(request.body(body)).await.ok();
    }
    (place, relay)
}

/// The 99th percentile of what a healthy client waits for a page and for a publish.
pub(super) async fn healthy(api: &Api, times: u32) -> Duration {
    let mut took = Vec::new();
    for n in 0..times {
        let begun = Instant::now();
        api.get("/v1/topics/numbers/events?limit=1").await.ok();
        if n % 4 == 0 {
            let id = uuid::Uuid::new_v4();
            let event = format!(r#"{{"specversion":"1.0","id":"{id}","source":"/h","type":"t"}}"#);
            api.send(api.event("numbers", event)).await.ok();
        }
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    took[took.len() * 99 / 100]
}

/// Asks for something, and takes nothing of the answer.
async fn stuck(address: std::net::SocketAddr, head: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut socket = socket.connect(address).await.unwrap();
    socket.write_all(head.as_bytes()).await.unwrap();
    socket
}

fn address(place: &Place) -> std::net::SocketAddr {
    place.base().strip_prefix("http://").unwrap().parse().unwrap()
}

/// Holds what was measured to its bounds.
pub(super) fn judge(what: &str, relay: &Relay, bound: u64, before: Duration, during: Duration) {
    let peak = peak_bytes(relay);
    println!(
        "{what}: peak {} MiB of at most {} MiB; a healthy client's p99 {before:?}, during it {during:?}",
        peak >> 20,
        bound >> 20
    );
    assert!(peak <= bound, "{what}: {} MiB", peak >> 20);
    // A debug build that shares two cores with its clients is slow by itself.
    let times = if full() { 4 } else { 10 };
    assert!(during <= times * before.max(NOISE), "{what}: {before:?}, then {during:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn measured_two_hundred_readers_that_take_nothing() {
    let (place, relay) = filled().await;
    let before = healthy(relay.api(), 300).await;
    let mut readers = Vec::new();
    for n in 0..200 {
        let accept = ["application/json", "application/x-ndjson"][n % 2];
        let head = format!(
            "GET /v1/topics/numbers/events?after=0 HTTP/1.1\r\nhost: localhost\r\naccept: {accept}\r\n\r\n"
        )
        .replace("after=0 ", if n % 2 == 0 { "limit=1000 " } else { "after=0 " });
        readers.push(stuck(address(&place), &head).await);
    }
    let during = healthy(relay.api(), 300).await;
    judge("200 readers that take nothing", &relay, API_BYTES_MAX + BESIDE, before, during);
    drop(readers);
    assert!(relay.stop().await.success());
}

type Client = hyper::client::conn::http2::SendRequest<http_body_util::Empty<Bytes>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn measured_one_http2_connection_with_window_0() {
    let (place, relay) = filled().await;
    let before = healthy(relay.api(), 300).await;
    let socket = TokioIo::new(TcpStream::connect(address(&place)).await.unwrap());
    let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(0);
    let (client, connection): (Client, _) = builder.handshake(socket).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut asked = Vec::new();
    for _ in 0..300 {
        let mut client = client.clone();
        asked.push(tokio::spawn(async move {
            let page = "http://localhost/v1/topics/numbers/events?limit=1000";
            let request = http::Request::get(page).body(http_body_util::Empty::new()).unwrap();
            client.send_request(request).await.ok()
        }));
    }
    let during = healthy(relay.api(), 300).await;
    judge("one HTTP/2 connection with window 0", &relay, API_BYTES_MAX + BESIDE, before, during);
    asked.iter().for_each(tokio::task::JoinHandle::abort);
    connection.abort();
    assert!(relay.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn measured_1_500_json_bodies() {
    let (place, relay) = filled().await;
    let before = healthy(relay.api(), 300).await;
    let address = address(&place);
    // Lists of numbers are what JSON grows most by.
    let body: Bytes = format!("{{\"topics\": [{}1]}}", "0,".repeat((1 << 19) - 20)).into();
    let senders: Vec<_> = (0..1_500)
        .map(|n| {
            let body = body.clone();
            tokio::spawn(async move {
                let mut socket = TcpStream::connect(address).await.ok()?;
                let head = format!(
                    "POST /v1/subscriptions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
                     content-type: application/json\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                );
                socket.write_all(head.as_bytes()).await.ok()?;
                // One in three ends; the others keep what they have sent waiting.
                let sent = if n % 3 == 0 { &body[..] } else { &body[..body.len() - 1] };
                socket.write_all(sent).await.ok()?;
                let mut answer = String::new();
                socket.read_to_string(&mut answer).await.ok()?;
                answer.split(' ').nth(1).map(str::to_owned)
            })
        })
        .collect();
    let during = healthy(relay.api(), 300).await;
    let mut told = std::collections::BTreeMap::<Option<String>, usize>::new();
    for sender in senders {
        let answer = tokio::time::timeout(Duration::from_mins(1), sender).await;
        *told.entry(answer.expect("an end").unwrap()).or_default() += 1;
    }
    println!("they were answered: {told:?}");
    let bound = API_BYTES_MAX + BESIDE + 1_500 * CONNECTION_BYTES;
    judge("1,500 JSON bodies", &relay, bound, before, during);
    assert!(!told.contains_key(&Some("500".to_owned())), "{told:?}");
    assert!(relay.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn measured_ten_thousand_event_streams() {
    let readers = if full() { 9_900 } else { 2_000 };
    let (place, relay) = filled().await;
    let before = healthy(relay.api(), 300).await;
    let head = "GET /v1/topics/numbers/events HTTP/1.1\r\nhost: localhost\r\n\
                accept: text/event-stream\r\n\r\n";
    let mut streams = Vec::new();
    for _ in 0..readers {
        streams.push(stuck(address(&place), head).await);
    }
    let during = healthy(relay.api(), 300).await;
    let bound = API_BYTES_MAX + BESIDE + readers * CONNECTION_BYTES;
    judge(&format!("{readers} event streams that take nothing"), &relay, bound, before, during);
    drop(streams);
    assert!(relay.stop().await.success());
}
