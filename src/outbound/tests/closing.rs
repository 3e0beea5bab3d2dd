//! Receivers that close connections which are kept, with and without notice.

use std::time::Instant;

use sinks::Manner;

use super::*;
use crate::outbound::heads::{FLOOD, INTERIM_BYTES_MAX};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// What a connection does with each request in turn; `None`: reads it and closes.
type Turns = &'static [Option<&'static [u8]>];

async fn turns(turns: Turns) -> (SocketAddr, Arc<Seen>) {
    serving(move |mut stream: TcpStream, seen: Arc<Seen>| async move {
        let mut buffer = [0; 4096];
        for turn in turns {
            let Ok(length @ 1..) = stream.read(&mut buffer).await else { return };
            seen.requests.fetch_add(1, SeqCst);
            let text = String::from_utf8_lossy(&buffer[..length]).to_lowercase();
            seen.closing.fetch_add(text.matches("connection: close").count(), SeqCst);
            let Some(answer) = turn else { return };
            stream.write_all(answer).await.unwrap();
        }
        let _ = stream.read(&mut buffer).await;
    })
    .await
}

async fn post(
    network: &sinks::Network,
    address: SocketAddr,
    manner: Manner,
) -> Result<Bytes, Error> {
    let request = http::Request::post(format!("http://{address}/")).extension(manner);
    let request = request.body(Bytes::from_static(b"{}")).unwrap();
    Ok(network.clone().oneshot(request).await?.into_body().collect().await?.to_bytes())
}

const USUAL: Manner = Manner { once: false, title_case: false };
const ONCE: Manner = Manner { once: true, title_case: false };

#[tokio::test]
async fn a_request_over_a_connection_that_is_being_closed_is_sent_once_more() {
    let guard = loopback();
    for (round, network) in (1..).zip(networks(&guard)) {
        let (address, seen) = turns(&[Some(OK), None]).await;
        for _ in 0..2 {
            assert_eq!(post(&network, address, USUAL).await.unwrap(), "ok");
        }
        // The second request met with an end, and went again.
        assert_eq!((seen.connections.load(SeqCst), seen.requests.load(SeqCst)), (2, 3));
        assert_eq!(guard.resends.get(), round);
    }
}

/// Some say 408 to what was idle; it crosses with a request.
#[tokio::test]
async fn a_farewell_is_no_answer() {
    const BYE: &[u8] =
        b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let guard = loopback();
    let network = guard.webhooks(None).unwrap();
    let (address, seen) = turns(&[Some(OK), Some(BYE)]).await;
    for _ in 0..2 {
        assert_eq!(post(&network, address, USUAL).await.unwrap(), "ok");
    }
    assert_eq!((seen.requests.load(SeqCst), guard.resends.get()), (3, 1));
    // What a new connection says first is meant.
    let (address, seen) = turns(&[Some(BYE)]).await;
    assert_eq!(post(&network, address, USUAL).await.unwrap(), "");
    assert_eq!((seen.requests.load(SeqCst), guard.resends.get()), (1, 1));
}

#[tokio::test]
async fn a_new_connection_that_ends_is_a_failure() {
    let guard = loopback();
    for network in networks(&guard) {
        let (address, seen) = turns(&[None]).await;
        let error = post(&network, address, USUAL).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
        assert!(error.to_string().starts_with(&format!("{address}: ")), "{error}");
        assert_eq!(seen.requests.load(SeqCst), 1);
    }
    assert_eq!(guard.resends.get(), 0);
}

/// Of an answer that has begun nobody can say what it would have been.
#[tokio::test]
async fn what_was_answered_in_part_is_not_sent_again() {
    let guard = loopback();
    for part in [&b"H"[..], b"HTTP/1.1 200 OK\r\ncontent-le", b"HTTP/1.1 100 Continue\r\n\r\n"] {
        for network in networks(&guard) {
            let (address, seen) = turns(vec![Some(OK), Some(part), None].leak()).await;
            assert_eq!(post(&network, address, USUAL).await.unwrap(), "ok");
            let cut = tokio::spawn({
                let network = network.clone();
                async move { post(&network, address, USUAL).await }
            });
            // Whoever waits for another request closes after a while.
            tokio::time::timeout(Duration::from_millis(200), cut).await.unwrap_err();
            assert_eq!(seen.requests.load(SeqCst), 2);
        }
    }
    assert_eq!(guard.resends.get(), 0);
}

#[tokio::test]
async fn what_must_not_be_sent_twice_goes_over_a_connection_of_its_own() {
    let guard = loopback();
    for network in networks(&guard) {
        let (address, seen) = turns(&[Some(OK), None]).await;
        // One lies ready, which would end under the request.
        assert_eq!(post(&network, address, USUAL).await.unwrap(), "ok");
        for _ in 0..3 {
            assert_eq!(post(&network, address, ONCE).await.unwrap(), "ok");
        }
        assert_eq!((seen.connections.load(SeqCst), seen.requests.load(SeqCst)), (4, 4));
        assert_eq!(seen.closing.load(SeqCst), 3);
    }
    assert_eq!(guard.resends.get(), 0);
}

/// What the names of fields look like on the wire.
async fn spelt(network: &sinks::Network, manner: Manner) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let network = network.clone();
    let sent = tokio::spawn(async move { post(&network, address, manner).await });
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut buffer = [0; 4096];
    let length = stream.read(&mut buffer).await.unwrap();
    stream.write_all(OK).await.unwrap();
    assert_eq!(sent.await.unwrap().unwrap(), "ok");
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

#[tokio::test]
async fn names_of_fields_begin_with_capitals_where_that_is_wanted() {
    for network in networks(&loopback()) {
        let text = spelt(&network, Manner { title_case: true, ..USUAL }).await;
        assert!(
            text.contains("\r\nContent-Length: 2\r\n") && text.contains("\r\nHost: "),
            "{text}"
        );
        let text = spelt(&network, USUAL).await;
        assert!(text.contains("\r\ncontent-length: 2\r\n"), "{text}");
    }
}

/// Answers and tells, as `Keep-Alive`, how long it waits; says after how long the relay closed.
async fn timed(
    said: &'static [u8],
) -> (SocketAddr, tokio::sync::mpsc::UnboundedReceiver<Duration>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (told, closed) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let told = told.clone();
            tokio::spawn(async move {
                let mut answered = Instant::now();
                while let Ok(1..) = stream.read(&mut [0; 4096]).await {
                    stream.write_all(said).await.unwrap();
                    answered = Instant::now();
                }
                let _ = told.send(answered.elapsed());
            });
        }
    });
    (address, closed)
}

#[tokio::test]
async fn the_relay_closes_before_the_receiver_does() {
    const SAID: &[u8] =
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nkeep-alive: timeout=1, max=9\r\n\r\nok";
    let (address, mut closed) = timed(SAID).await;
    let network = loopback().webhooks(None).unwrap();
    for _ in 0..5 {
        assert_eq!(post(&network, address, USUAL).await.unwrap(), "ok");
    }
    let after = closed.recv().await.unwrap();
    assert!(closed.try_recv().is_err(), "one connection is enough for five in a row");
    assert!((Duration::from_millis(450)..Duration::from_secs(1)).contains(&after), "{after:?}");
}

#[tokio::test]
async fn too_much_before_the_answer_ends_the_exchange() {
    const HINT: &str = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
    let some = format!("{}HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", HINT.repeat(16));
    let (address, _) = turns(vec![Some(some.leak().as_bytes())].leak()).await;
    for network in networks(&loopback()) {
        assert_eq!(post(&network, address, USUAL).await.unwrap(), "ok");
    }
    let many = format!("{}HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", HINT.repeat(17));
    let long = "x".repeat(INTERIM_BYTES_MAX / 4);
    let large = format!("HTTP/1.1 103 Early Hints\r\nlink: {long}\r\n\r\n").repeat(4);
    for text in [many, large] {
        let (address, seen) = turns(vec![Some(OK), Some(text.leak().as_bytes())].leak()).await;
        for network in networks(&loopback()) {
            assert_eq!(post(&network, address, USUAL).await.unwrap(), "ok");
            let error = post(&network, address, USUAL).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Other, "{error}");
            assert_eq!(error.to_string(), format!("{address}: {FLOOD}"));
        }
        assert_eq!(seen.requests.load(SeqCst), 4, "each was sent once");
    }
}

/// Says `100 Continue` for as long as somebody listens.
fn flooder() -> SocketAddr {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let flood = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(4_000);
        while let Ok((mut stream, _)) = listener.accept() {
            use std::io::Write as _;
            while stream.write_all(&flood).is_ok() {}
        }
    });
    address
}

/// One thread serves both, as it does for subscriptions that share one.
#[tokio::test]
async fn measured_a_receiver_that_floods_does_not_slow_down_its_neighbour() {
    let (flooding, (healthy, _)) = (flooder(), timed(OK).await);
    for network in networks(&loopback()) {
        let flooded = network.clone();
        let flood = tokio::spawn(async move {
            loop {
                let error = post(&flooded, flooding, USUAL).await.unwrap_err();
                // It may begin before it is asked, which is an end.
                let is_ended = error.kind() == ErrorKind::ConnectionReset;
                assert!(is_ended || error.to_string().ends_with(FLOOD), "{error}");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        let mut took = Vec::new();
        for _ in 0..100 {
            let began = Instant::now();
            assert_eq!(post(&network, healthy, USUAL).await.unwrap(), "ok");
            took.push(began.elapsed());
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        assert!(!flood.is_finished());
        flood.abort();
        took.sort_unstable();
        println!("beside a flood: p50 {:?}, p99 {:?}", took[50], took[98]);
        assert!(took[50] < Duration::from_millis(50), "{:?}", took[50]);
    }
}
