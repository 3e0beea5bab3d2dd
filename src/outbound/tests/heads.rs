//! Answers with very many header fields, and with too many.

use super::{
    super::bounds::{Bounds, PRODUCERS, WEBHOOKS},
    *,
};

/// A real answer's head has a cookie for each of 150 things.
const MANY: &str = include_str!("many-headers.http");

/// An answer with `fields` fields in its head, and `length` more bytes in one of them.
async fn with_head(fields: usize, length: usize) -> SocketAddr {
    let fields = "x-field: y\r\n".repeat(fields.saturating_sub(2));
    let long = "z".repeat(length);
    let text = format!("HTTP/1.1 200 OK\r\nx-long: {long}\r\ncontent-length: 2\r\n{fields}\r\nok");
    server(text.into_bytes().leak()).await
}

#[tokio::test]
async fn a_hundred_and_fifty_cookies_are_read() {
    let (head, body) = MANY.split_once("\n\n").unwrap();
    let head = head.replace("auto", &body.len().to_string()).replace('\n', "\r\n");
    let address = server(format!("{head}\r\n\r\n{body}").into_bytes().leak()).await;
    let answer = ask(&loopback(), &format!("http://{address}/")).await.unwrap();
    assert!(answer.headers().get_all("set-cookie").iter().count() > 140);
    assert_eq!(answer.body(), body);
}

/// The networks of producers and of webhooks, this one without a proxy and as behind one.
fn bounded() -> [(sinks::Network, &'static Bounds, bool); 3] {
    let guard = loopback();
    let [probes, webhooks] = networks(&guard);
    let proxied = guard.pooled(super::super::tls::config(None).unwrap(), true).unwrap();
    [(probes, &PRODUCERS, false), (webhooks, &WEBHOOKS, true), (proxied, &WEBHOOKS, true)]
}

#[tokio::test]
async fn a_head_is_read_up_to_its_bounds() {
    for (network, bounds, _) in bounded() {
        for (fields, length) in [(101, 0), (bounds.fields, 0), (2, bounds.bytes - 100)] {
            let address = with_head(fields, length).await;
            let answer = ask_by(network.clone(), &format!("http://{address}/")).await.unwrap();
            assert_eq!(answer.headers().len(), fields);
            assert_eq!(answer.body(), "ok");
        }
    }
}

#[tokio::test]
async fn a_larger_head_is_refused_with_the_bounds() {
    let numbers = |text: &str| (text.contains("1,000 fields"), text.contains("262,144 bytes"));
    assert_eq!(numbers(PRODUCERS.exceeded), (true, true));
    assert_eq!((PRODUCERS.fields, PRODUCERS.bytes), (1_000, 262_144));
    let numbers = |text: &str| (text.contains("250 fields"), text.contains("32,768 bytes"));
    assert_eq!(numbers(WEBHOOKS.exceeded), (true, true));
    assert_eq!((WEBHOOKS.fields, WEBHOOKS.bytes), (250, 32_768));
    for (network, bounds, is_for_webhooks) in bounded() {
        // Whether it came in one piece or not.
        let larger = [1, 100, bounds.bytes, 9 * bounds.bytes].map(|more| (2, bounds.bytes + more));
        for (fields, length) in [(bounds.fields + 1, 0)].into_iter().chain(larger) {
            let address = with_head(fields, length).await;
            let answer = ask_by(network.clone(), &format!("http://{address}/")).await;
            if is_for_webhooks {
                // An event that was answered is not sent again to learn how.
                let answer = answer.unwrap();
                assert_eq!((answer.status().as_u16(), &answer.body()[..]), (200, &b""[..]));
                assert_eq!(answer.extensions().get(), Some(&sinks::Cut(bounds.exceeded)));
            } else {
                let error = answer.map(|answer| answer.headers().len()).unwrap_err();
                assert_eq!(error.to_string(), format!("{address}: {}", bounds.exceeded));
            }
        }
    }
}

/// How much of its head a server that never ends it gets rid of before it is given up.
#[tokio::test]
async fn of_an_endless_head_little_more_than_the_bound_is_read() {
    // What lies between both ends of a connection is large, so both of its buffers are made small.
    const BETWEEN: usize = 64 << 10;
    for (network, bounds, _) in bounded() {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_send_buffer_size(4 << 10).unwrap();
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await;
            let mut sent = 0;
            let line = format!("x: {}\r\n", "y".repeat(1_019));
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n").await;
            while stream.write_all(line.as_bytes()).await.is_ok() {
                sent += line.len();
            }
            sent
        });
        let _ = ask_by(network, &format!("http://{address}/")).await;
        let sent = server.await.unwrap();
        let most = 2 * bounds.bytes + BETWEEN;
        assert!((bounds.bytes..most).contains(&sent), "{sent} of at most {most}");
    }
}
