//! A server of bytes that is odd at first and healthy then.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::list::{LIST, Shape, Then};

/// A POST gets the odd answer once, a GET until [`Odd::heal`], and what comes early only who connects
/// first. Healthy, it takes every POST, and lists
/// four events, or those behind `?after=`.
pub(super) struct Odd {
    address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

struct State {
    shape: Shape,
    healthy: AtomicBool,
}

impl Odd {
    pub(super) async fn start(shape: &Shape) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State { shape: shape.clone(), healthy: AtomicBool::new(false) });
        let shared = state.clone();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let state = shared.clone();
                tokio::spawn(async move { state.serve(stream).await });
            }
        });
        Self { address, state, task }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// From now on it is healthy.
    pub(super) fn heal(&self) {
        self.state.healthy.store(true, SeqCst);
    }
}

impl Drop for Odd {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl State {
    /// Serves one connection to its end.
    async fn serve(&self, mut stream: TcpStream) {
        if self.shape.then == Then::Early && !self.healthy.swap(true, SeqCst) {
            let _ = stream.write_all(&self.shape.bytes).await;
            return close(stream).await;
        }
        while let Some(request) = request(&mut stream).await {
            if self.is_odd(&request) {
                match self.odd(stream).await {
                    Some(open) => stream = open,
                    None => return,
                }
            } else if stream.write_all(&healthy(&request)).await.is_err() {
                return;
            }
        }
    }

    fn is_odd(&self, request: &str) -> bool {
        if request.starts_with("POST ") {
            !self.healthy.swap(true, SeqCst)
        } else {
            !self.healthy.load(SeqCst)
        }
    }

    /// Gives the odd answer, and the connection if that goes on.
    async fn odd(&self, mut stream: TcpStream) -> Option<TcpStream> {
        let bytes = &self.shape.bytes;
        if self.shape.then == Then::Drip {
            for byte in bytes {
                stream.write_all(&[*byte]).await.ok()?;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            return Some(stream);
        }
        // Who has had enough may have gone.
        let _ = stream.write_all(bytes).await;
        match self.shape.then {
            Then::Keep => return Some(stream),
            Then::Reset => stream.set_zero_linger().unwrap(),
            Then::Stall => while !matches!(stream.read(&mut [0; 4096]).await, Ok(0) | Err(_)) {},
            Then::Close | Then::Drip | Then::Early => close(stream).await,
        }
        None
    }
}

/// Ends a connection without a reset: who closes with something unread resets it.
async fn close(mut stream: TcpStream) {
    let _ = stream.shutdown().await;
    while !matches!(stream.read(&mut [0; 4096]).await, Ok(0) | Err(_)) {}
}

/// The head of a request that was read to its end.
async fn request(stream: &mut TcpStream) -> Option<String> {
    let mut read = Vec::new();
    loop {
        let mut buffer = [0; 8192];
        match stream.read(&mut buffer).await {
            Ok(count @ 1..) => read.extend_from_slice(&buffer[..count]),
            _ => return None,
        }
        let Some(head) = read.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let text = String::from_utf8_lossy(&read[..head]).to_string();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
        if read.len() >= head + 4 + length.map_or(0, |length| length.parse().unwrap()) {
            return Some(text);
        }
    }
}

fn healthy(request: &str) -> Vec<u8> {
    let body = match request.split(' ').nth(1) {
        _ if request.starts_with("POST ") => String::new(),
        Some(target) if target.ends_with("after=a3") => r#"[{"id":"a4"}]"#.to_owned(),
        Some(target) if target.contains("after=") => "[]".to_owned(),
        _ => LIST.replace(']', r#",{"id":"a4"}]"#),
    };
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}
