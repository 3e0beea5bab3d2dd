//! Answers with very many header fields, and with too many.

use super::*;

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

#[tokio::test]
async fn a_head_is_read_up_to_its_bounds() {
    for (fields, length) in [(101, 0), (HEAD_FIELDS_MAX, 0), (2, HEAD_BYTES_MAX - 100)] {
        let address = with_head(fields, length).await;
        let answer = ask(&loopback(), &format!("http://{address}/")).await.unwrap();
        assert_eq!(answer.headers().len(), fields);
        assert_eq!(answer.body(), "ok");
    }
}

#[tokio::test]
async fn a_larger_head_is_refused_with_the_bounds() {
    assert!(TOO_LARGE.contains("1,000 fields") && HEAD_FIELDS_MAX == 1_000);
    assert!(TOO_LARGE.contains("262,144 bytes") && HEAD_BYTES_MAX == 262_144);
    // Up to what lies in the buffer by then, a little more than the bound is read too.
    for (fields, length) in [(HEAD_FIELDS_MAX + 1, 0), (2, 2 * HEAD_BYTES_MAX)] {
        let address = with_head(fields, length).await;
        let [probes, webhooks] = networks(&loopback());
        let answer = ask_by(probes, &format!("http://{address}/")).await;
        let error = answer.map(|answer| answer.headers().len()).unwrap_err();
        assert_eq!(error.to_string(), format!("{address}: {TOO_LARGE}"));
        // An event that was answered is not sent again to learn how.
        let answer = ask_by(webhooks, &format!("http://{address}/")).await.unwrap();
        assert_eq!((answer.status().as_u16(), &answer.body()[..]), (200, &b""[..]));
        assert_eq!(answer.extensions().get(), Some(&sinks::Cut(TOO_LARGE)));
    }
}
