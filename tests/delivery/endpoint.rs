//! An endpoint on a bare socket, as rude as a path asks it to be.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, rustls};

/// Answers until the test ends; see [`answer`].
pub(super) async fn start() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream));
        }
    });
    address
}

/// Speaks TLS with a certificate that nobody has heard of.
pub(super) async fn start_unknown() -> SocketAddr {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = signing_key.serialize_der().try_into().unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = acceptor.accept(stream).await;
        }
    });
    address
}

/// An address where nobody listens.
pub(super) async fn closed() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap()
}

async fn answer(mut stream: TcpStream) {
    let Some(path) = read_request(&mut stream).await else { return };
    let (what, status) = path.split_once('/').unwrap_or((&path, "200"));
    let head = format!("HTTP/1.1 {status} Said\r\nconnection: close\r\n");
    match what {
        "status" if matches!(status, "204" | "304") => say(&mut stream, &[&head, "\r\n"]).await,
        "status" => say(&mut stream, &[&head, "content-length: 2\r\n\r\nok"]).await,
        "not-http" => say(&mut stream, &["SSH-2.0-OpenSSH_9.9\r\n\r\n"]).await,
        "huge-header" => {
            let value = "x".repeat(1 << 20);
            say(&mut stream, &[&head, "x-huge: ", &value, "\r\ncontent-length: 0\r\n\r\n"]).await;
        }
        "cut-head" => say(&mut stream, &["HTTP/1.1 200 OK\r\ncontent-le"]).await,
        "cut-body" => say(&mut stream, &[&head, "content-length: 9\r\n\r\nhalf"]).await,
        "reset-before" => reset(stream),
        "reset-head" => {
            say(&mut stream, &["HTTP/1.1 200 OK\r\ncontent-le"]).await;
            reset(stream);
        }
        "reset-body" => {
            say(&mut stream, &[&head, "content-length: 9\r\n\r\nhalf"]).await;
            reset(stream);
        }
        "reset-after" => {
            say(&mut stream, &["HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"]).await;
            reset(stream);
        }
        "drip-head" => drip(&mut stream, &format!("HTTP/1.1 {status} Said\r\nx-slow: ")).await,
        "drip-body" => drip(&mut stream, &format!("{head}content-length: 99999\r\n\r\n")).await,
        "endless" => {
            say(&mut stream, &[&head, "transfer-encoding: chunked\r\n\r\n"]).await;
            let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
            while stream.write_all(chunk.as_bytes()).await.is_ok() {}
        }
        // Nothing is ever said.
        _ => drip(&mut stream, "").await,
    }
}

/// The path of a request that was read to its end, without the first slash: a connection that is
/// closed with something unread is reset by the system.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut read = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer).await {
            Ok(count @ 1..) => read.extend_from_slice(&buffer[..count]),
            _ => return None,
        }
        if !read[0].is_ascii_uppercase() {
            // A greeting in TLS gets what a server without it says to one.
            return Some("status/400".to_owned());
        }
        let text = String::from_utf8_lossy(&read);
        if text.ends_with("\r\n\r\n{}") {
            return Some(text.split(' ').nth(1)?.trim_start_matches('/').to_owned());
        }
    }
}

async fn say(stream: &mut TcpStream, parts: &[&str]) {
    for part in parts {
        let _ = stream.write_all(part.as_bytes()).await;
    }
    let _ = stream.flush().await;
}

/// Ends the connection with a reset.
fn reset(stream: TcpStream) {
    stream.set_zero_linger().unwrap();
    drop(stream);
}

/// Says something, and then one letter at a time for as long as somebody listens.
async fn drip(stream: &mut TcpStream, start: &str) {
    say(stream, &[start]).await;
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    loop {
        pace.tick().await;
        if start.is_empty() {
            // Only to learn of the end.
            match tokio::time::timeout(Duration::from_millis(20), stream.read(&mut [0; 1])).await {
                Ok(Ok(0) | Err(_)) => return,
                _ => continue,
            }
        }
        if stream.write_all(b"x").await.is_err() {
            return;
        }
    }
}
