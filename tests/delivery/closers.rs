//! Receivers that close what has been idle for a while, as the usual servers do: no event is
//! charged with it, and none dies of it.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::FAILED;
use crate::support::{Api, LONG, Place, eventually, full, relay::SECRET};

/// As many as go at once, so that each has a connection that becomes idle.
const BURST: u64 = 16;

/// A server's manner of closing what is idle.
#[derive(Debug, Clone, Copy)]
enum Manner {
    /// Says when, and closes then.
    Node,
    /// Closes.
    Nginx,
    /// Answers as the one before, reads nothing more when the time is over, and closes a little
    /// later: what comes meanwhile is reset.
    Go,
    /// Resets.
    Reset,
}

const MANNERS: [Manner; 4] = [Manner::Node, Manner::Nginx, Manner::Go, Manner::Reset];

/// How often each `webhook-id` came.
type Seen = Arc<Mutex<HashMap<String, usize>>>;

async fn closer(manner: Manner, idle: Duration) -> (SocketAddr, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Seen::default();
    let noted = seen.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, manner, idle, noted.clone()));
        }
    });
    (address, seen)
}

async fn serve(mut stream: TcpStream, manner: Manner, idle: Duration, seen: Seen) {
    let mut read = Vec::new();
    // Idle is what served before: for the first request all of them wait much longer.
    let mut patience = LONG;
    loop {
        let mut buffer = [0; 8192];
        match tokio::time::timeout(patience, stream.read(&mut buffer)).await {
            Ok(Ok(length @ 1..)) => read.extend_from_slice(&buffer[..length]),
            Ok(_) => return,
            Err(_) => break,
        }
        while let Some((id, length)) = request(&read) {
            *seen.lock().unwrap().entry(id).or_default() += 1;
            read.drain(..length);
            patience = idle;
            let said = match manner {
                Manner::Node => {
                    format!("connection: keep-alive\r\nkeep-alive: timeout={}\r\n", idle.as_secs())
                }
                _ => String::new(),
            };
            let answer = format!("HTTP/1.1 200 OK\r\n{said}content-length: 2\r\n\r\nok");
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }
    match manner {
        Manner::Go => tokio::time::sleep(Duration::from_millis(5)).await,
        Manner::Reset => stream.set_zero_linger().unwrap(),
        Manner::Node | Manner::Nginx => {}
    }
}

/// The id of the first request that is whole, and its length.
fn request(read: &[u8]) -> Option<(String, usize)> {
    let head = read.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&read[..head]).unwrap();
    let value = |name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)).expect("a header").trim().to_owned()
    };
    let length = head + value("content-length:").parse::<usize>().unwrap();
    (read.len() >= length).then(|| (value("webhook-id:"), length))
}

/// One receiver of a topic.
struct Consumer {
    name: String,
    once: bool,
    seen: Seen,
}

/// Two subscriptions to a topic of its own: one ordinary, one at most once.
async fn consumers(api: &Api, topic: &str, manner: Manner, idle: Duration) -> Vec<Consumer> {
    let mut made = Vec::new();
    for once in [false, true] {
        let (address, seen) = closer(manner, idle).await;
        let name = format!("{topic}-{}", if once { "once" } else { "usual" });
        let retry = if once { json!({ "max_attempts": 1 }) } else { json!({}) };
        let body = json!({
            "name": name, "topic": topic, "from": "earliest", "concurrency": BURST,
            "webhook": { "url": format!("http://{address}/"), "secret": SECRET }, "retry": retry,
        });
        api.post("/v1/subscriptions", &body).await.ok();
        made.push(Consumer { name, once, seen });
    }
    made
}

/// Publishes burst after burst, each when what the one before left idle is just being closed.
async fn publish(api: Api, topic: String, idle: Duration, bursts: u64) {
    for burst in 0..bursts {
        api.publish(&topic, burst * BURST + 1, (burst + 1) * BURST).await;
        // A little earlier, later and in between.
        let early = Duration::from_millis(6).saturating_sub(Duration::from_millis(burst % 9));
        tokio::time::sleep(idle.saturating_sub(early)).await;
    }
}

/// A counter's value for a subscription, or without labels.
async fn metric(api: &Api, name: &str) -> u64 {
    let text = api.get("/metrics").await.body;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.map_or(0, |value| value.trim().parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_closes_idle_connections_costs_no_attempt() {
    // 15,104 deliveries in full.
    let rounds: &[(u64, u64)] =
        if full() { &[(50, 100), (1_000, 13), (5_000, 5)] } else { &[(50, 12)] };
    let topics = MANNERS.iter().flat_map(|manner| {
        rounds.iter().map(move |(idle_ms, bursts)| {
            let topic = format!("{manner:?}-{idle_ms}").to_lowercase();
            (topic, *manner, Duration::from_millis(*idle_ms), *bursts)
        })
    });
    let topics: Vec<_> = topics.collect();
    let names: Vec<_> = topics.iter().map(|(topic, ..)| format!("{topic}: {{}}")).collect();
    let place = Place::new(&format!("topics: {{ {} }}\n", names.join(", ")));
    let relay = place.start().await;
    let api = relay.api();
    let (mut all, mut publishing) = (Vec::new(), Vec::new());
    for (topic, manner, idle, bursts) in topics {
        for consumer in consumers(api, &topic, manner, idle).await {
            all.push((consumer, bursts * BURST));
        }
        publishing.push(tokio::spawn(publish(api.clone(), topic, idle, bursts)));
    }
    for publisher in publishing {
        publisher.await.unwrap();
    }
    let (mut events, mut twice) = (0, 0);
    for (consumer, count) in all {
        let count = usize::try_from(count).unwrap();
        let Consumer { name, once, seen } = consumer;
        let look = || async { (seen.lock().unwrap().len() >= count).then_some(()) };
        eventually(&format!("{count} events at {name}"), look).await;
        for class in FAILED {
            let label =
                format!("milkrun_attempts_total{{subscription=\"{name}\",class=\"{class}\"}}");
            assert_eq!(metric(api, &label).await, 0, "{name}: {class}");
        }
        let seen = seen.lock().unwrap();
        let requests: usize = seen.values().sum();
        assert_eq!(seen.len(), count, "{name}");
        assert!(!once || requests == count, "{name}: {requests} requests for {count} events");
        events += count;
        twice += requests - count;
    }
    let resends = metric(api, "milkrun_resends_total").await;
    println!(
        "{events} deliveries, 0 charged, 0 dead, {resends} sent once more, {twice} came twice"
    );
    assert!(resends > 0, "no connection was closed under a request: the test shows nothing");
}
