//! Connections that are kept, and those that are not.

use std::sync::{
    LazyLock,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use super::*;

/// How often was connected, and how many requests came.
#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    requests: AtomicUsize,
}

/// Answers each request of a connection with the next of `answers`, and closes after the last.
async fn scripted(answers: &'static [&'static [u8]]) -> (SocketAddr, Arc<Seen>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Seen::default());
    let counted = seen.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.connections.fetch_add(1, SeqCst);
            let counted = counted.clone();
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                for answer in answers {
                    if !matches!(stream.read(&mut buffer).await, Ok(1..)) {
                        return;
                    }
                    counted.requests.fetch_add(1, SeqCst);
                    stream.write_all(answer).await.unwrap();
                }
            });
        }
    });
    (address, seen)
}

async fn post(network: &sinks::Network, address: SocketAddr) -> Result<Bytes, Error> {
    let request = http::Request::post(format!("http://{address}/hook?a=b"));
    let request = request.body(Bytes::from_static(b"{}")).unwrap();
    let answer = network.clone().oneshot(request).await?;
    Ok(answer.into_body().collect().await?.to_bytes())
}

/// Gives the other side's close time to arrive.
async fn closed() {
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const EMPTY: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";
const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";

/// Of 20 KiB.
static LARGE_HEAD: LazyLock<String> = LazyLock::new(|| {
    let policy = "x".repeat(20 << 10);
    format!("HTTP/1.1 200 OK\r\nx-policy: {policy}\r\ncontent-length: 2\r\n\r\nok")
});

#[tokio::test]
async fn a_connection_serves_one_request_after_the_other() {
    let (address, seen) = scripted(&[OK, EMPTY, CHUNKED, OK]).await;
    let network = loopback().webhooks(None).unwrap();
    for expected in ["ok", "", "ok", "ok"] {
        assert_eq!(post(&network, address).await.unwrap(), expected);
    }
    assert_eq!((seen.connections.load(SeqCst), seen.requests.load(SeqCst)), (1, 4));
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_replaced() {
    let (address, seen) = scripted(&[OK]).await;
    let network = loopback().webhooks(None).unwrap();
    for _ in 0..3 {
        assert_eq!(post(&network, address).await.unwrap(), "ok");
        closed().await;
    }
    assert_eq!((seen.connections.load(SeqCst), seen.requests.load(SeqCst)), (3, 3));
}

/// The first polls find no budget left to look at a socket with, as when very many requests begin at
/// once; so it seems to be open still.
#[tokio::test]
async fn a_request_that_waits_in_an_ended_connection_goes_over_another() {
    let (address, seen) = scripted(&[OK]).await;
    let network = loopback().webhooks(None).unwrap();
    assert_eq!(post(&network, address).await.unwrap(), "ok");
    closed().await;
    let (sender, mut messages) = tokio::sync::mpsc::unbounded_channel();
    (0..10_000).for_each(|number| sender.send(number).unwrap());
    let mut polls = 0;
    let spend = std::future::poll_fn(|context| {
        polls += 1;
        // Two polls: one gives way, the other takes the connection.
        while polls <= 2 && messages.poll_recv(context).is_ready() {}
        context.waker().wake_by_ref();
        if polls > 2 { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    });
    let both = async { tokio::join!(biased; spend, post(&network, address)).1 };
    let answer = tokio::time::timeout(std::time::Duration::from_secs(10), both).await;
    assert_eq!(answer.expect("an answer").unwrap(), "ok");
    assert_eq!((seen.connections.load(SeqCst), seen.requests.load(SeqCst)), (2, 2));
}

#[tokio::test]
async fn an_answer_may_have_a_large_head_and_come_before_all_was_sent() {
    let (address, _) = scripted(vec![LARGE_HEAD.as_bytes()].leak()).await;
    let network = loopback().webhooks(None).unwrap();
    assert_eq!(post(&network, address).await.unwrap(), "ok");
    // It reads 4 KiB of eight MiB, answers, and reads no more: another connection is used then.
    let (address, seen) = scripted(&[EMPTY, OK]).await;
    let request = http::Request::post(format!("http://{address}/"));
    let request = request.body(Bytes::from(vec![b' '; 8 << 20])).unwrap();
    assert_eq!(network.clone().oneshot(request).await.unwrap().status(), 204);
    let answer = tokio::time::timeout(std::time::Duration::from_secs(10), post(&network, address));
    assert_eq!(answer.await.expect("an answer").unwrap(), "");
    assert_eq!(seen.connections.load(SeqCst), 2);
}

#[tokio::test]
async fn what_nobody_asked_for_is_nobodys_answer() {
    const TWO: &[u8] =
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
    let (address, seen) = scripted(&[TWO, OK]).await;
    let network = loopback().webhooks(None).unwrap();
    for _ in 0..3 {
        assert_eq!(post(&network, address).await.unwrap(), "ok");
        closed().await;
    }
    assert_eq!((seen.connections.load(SeqCst), seen.requests.load(SeqCst)), (3, 3));
}

#[tokio::test]
async fn what_may_have_arrived_is_not_sent_again() {
    // It takes the request, and closes.
    let (address, seen) = scripted(&[OK, b""]).await;
    let network = loopback().webhooks(None).unwrap();
    assert_eq!(post(&network, address).await.unwrap(), "ok");
    let error = post(&network, address).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
    assert_eq!((seen.connections.load(SeqCst), seen.requests.load(SeqCst)), (1, 2));
}

#[tokio::test]
async fn an_answer_that_is_not_read_to_its_end_costs_the_connection() {
    const LONG: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok";
    let (address, seen) = scripted(&[LONG, OK]).await;
    let network = loopback().webhooks(None).unwrap();
    for _ in 0..2 {
        let request = http::Request::post(format!("http://{address}/")).body(Bytes::new()).unwrap();
        drop(network.clone().oneshot(request).await.unwrap());
    }
    assert_eq!(seen.connections.load(SeqCst), 2);
}

#[tokio::test]
async fn other_schemes_and_users_are_refused_by_the_network_itself() {
    let network = loopback().webhooks(None).unwrap();
    for url in ["ftp://127.0.0.1/", "http://user:word@127.0.0.1/"] {
        let request = http::Request::get(url).body(Bytes::new()).unwrap();
        let error = network.clone().oneshot(request).await.map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{url}: {error}");
    }
}
