//! The cheapest HTTP/1.1 client that is still one: what publishes and reads are made with.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// A connection that stays open.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    read: Vec<u8>,
    filled: usize,
    out: Vec<u8>,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens.
    pub(crate) async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, read: vec![0; 256 << 10], filled: 0, out: Vec::new() })
    }

    /// Sends a request and reads the whole answer; `head` is the request line and the headers, each
    /// with its line end, without length. Answers the body.
    ///
    /// # Errors
    /// The connection broke, or the answer was no success.
    pub(crate) async fn ask(&mut self, head: &str, body: &[u8]) -> Result<&[u8]> {
        self.out.clear();
        self.out.extend_from_slice(head.as_bytes());
        self.out.extend_from_slice(b"host: 127.0.0.1\r\n");
        if !body.is_empty() {
            self.out.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
        }
        self.out.extend_from_slice(b"\r\n");
        self.out.extend_from_slice(body);
        self.stream.write_all(&self.out).await?;
        self.answer().await
    }

    async fn answer(&mut self) -> Result<&[u8]> {
        self.filled = 0;
        let end = loop {
            if let Some(end) = memchr::memmem::find(&self.read[..self.filled], b"\r\n\r\n") {
                break end + 4;
            }
            self.fill().await?;
        };
        let head = std::str::from_utf8(&self.read[..end])?.to_ascii_lowercase();
        let length = head.split("\r\ncontent-length: ").nth(1).and_then(|rest| rest.lines().next());
        let body_end = match length {
            Some(length) => {
                let whole = end + length.parse::<usize>()?;
                while self.filled < whole {
                    self.fill().await?;
                }
                whole
            }
            None if head.contains("\r\ntransfer-encoding: chunked") => self.unchunk(end).await?,
            None => end,
        };
        let status = head.split(' ').nth(1).unwrap_or_default();
        let body = &self.read[end..body_end];
        if !status.starts_with('2') {
            bail!("status {status}: {}", String::from_utf8_lossy(body));
        }
        Ok(body)
    }

    /// Reads chunks (RFC 9112, section 7.1) and moves them together from `at` on; answers the end
    /// of the body.
    async fn unchunk(&mut self, mut at: usize) -> Result<usize> {
        let mut body = at;
        loop {
            let line = loop {
                if let Some(end) = memchr::memmem::find(&self.read[at..self.filled], b"\r\n") {
                    break end;
                }
                self.fill().await?;
            };
            let size = usize::from_str_radix(std::str::from_utf8(&self.read[at..at + line])?, 16)?;
            at += line + 2;
            while self.filled < at + size + 2 {
                self.fill().await?;
            }
            if size == 0 {
                return Ok(body);
            }
            self.read.copy_within(at..at + size, body);
            (at, body) = (at + size + 2, body + size);
        }
    }

    async fn fill(&mut self) -> Result<()> {
        if self.filled == self.read.len() {
            self.read.resize(self.read.len() * 2, 0);
        }
        let count = self.stream.read(&mut self.read[self.filled..]).await?;
        self.filled += count;
        (count > 0).then_some(()).context("the connection ended")
    }

    /// A request with a JSON body, or without any; answers what came as JSON.
    ///
    /// # Errors
    /// As [`Client::ask`], or the answer was no JSON.
    pub(crate) async fn json(&mut self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let head = format!("{method} {path} HTTP/1.1\r\ncontent-type: application/json\r\n");
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.ask(&head, body.as_bytes()).await;
        let answer = answer.with_context(|| format!("{method} {path}"))?;
        if answer.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_slice(answer)?) }
    }
}
