//! Connections that are kept, and those that are not.

use std::sync::LazyLock;

use super::*;

/// Answers each request of a connection with the next of `answers`, and closes after the last.
async fn scripted(answers: &'static [&'static [u8]]) -> (SocketAddr, Arc<Seen>) {
    serving(move |mut stream: TcpStream, seen: Arc<Seen>| async move {
        let mut buffer = [0; 4096];
        for answer in answers {
            if !matches!(stream.read(&mut buffer).await, Ok(1..)) {
                return;
            }
            seen.requests.fetch_add(1, SeqCst);
            stream.write_all(answer).await.unwrap();
        }
    })
    .await
}

/// Answers the beginning of the first request of each connection, and reads no more.
async fn deaf() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(EMPTY).await;
            open.push(stream);
        }
    });
    address
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

/// Each request is answered `ok` over a connection of its own.
async fn each_has_its_own(answers: &'static [&'static [u8]]) {
    let (address, seen) = scripted(answers).await;
    let network = loopback().webhooks(None).unwrap();
    for _ in 0..3 {
        assert_eq!(post(&network, address).await.unwrap(), "ok");
        closed().await;
    }
    assert_eq!((seen.connections.load(SeqCst), seen.requests.load(SeqCst)), (3, 3));
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_replaced() {
    each_has_its_own(&[OK]).await;
}

/// One task looks at very few sockets before it gives way to others; those that it did not look at
/// seem to be open still.
#[tokio::test]
async fn very_many_connections_may_end_at_once() {
    const MANY: usize = 400;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for _ in 0..2 {
            let mut streams = Vec::new();
            for _ in 0..MANY {
                streams.push(listener.accept().await.unwrap().0);
            }
            for stream in &mut streams {
                let mut buffer = [0; 4096];
                let _ = stream.read(&mut buffer).await.unwrap();
                stream.write_all(OK).await.unwrap();
            }
        }
    });
    let network = loopback().webhooks(None).unwrap();
    for _ in 0..2 {
        let all = futures_util::future::join_all((0..MANY).map(|_| post(&network, address)));
        let all = tokio::time::timeout(std::time::Duration::from_secs(10), all);
        for answer in all.await.expect("all answers") {
            assert_eq!(answer.unwrap(), "ok");
        }
        closed().await;
    }
}

#[tokio::test]
async fn an_answer_may_have_a_large_head_and_come_before_all_was_sent() {
    let (address, _) = scripted(vec![LARGE_HEAD.as_bytes()].leak()).await;
    let network = loopback().webhooks(None).unwrap();
    assert_eq!(post(&network, address).await.unwrap(), "ok");
    let address = deaf().await;
    let request = http::Request::post(format!("http://{address}/"));
    let request = request.body(Bytes::from(vec![b' '; 8 << 20])).unwrap();
    assert_eq!(network.clone().oneshot(request).await.unwrap().status(), 204);
    // What is left of the body is still in the way there.
    let answer = tokio::time::timeout(std::time::Duration::from_secs(10), post(&network, address));
    assert_eq!(answer.await.expect("an answer").unwrap(), "");
}

#[tokio::test]
async fn what_nobody_asked_for_is_nobodys_answer() {
    const TWO: &[u8] =
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
    each_has_its_own(&[TWO, OK]).await;
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
