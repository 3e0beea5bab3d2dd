//! A connection for each worker, kept as long as the relay keeps it. An answer is read for a bounded
//! time, and a stream is left after a moment.

use std::{fmt, time::Duration};

use axum::http::HeaderMap;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

use super::calls::Call;

/// The longest that an answer may take.
const ANSWER: Duration = Duration::from_secs(30);
/// How long a stream is read, and a long poll waited for.
const MOMENT: Duration = Duration::from_millis(250);

/// What came back.
pub(super) struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    /// Whether the body was left before its end.
    pub left: bool,
}

impl Answer {
    /// The text of a header.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = String::from_utf8_lossy(&self.body[..self.body.len().min(400)]).into_owned();
        write!(f, "{} {:?} {} bytes {body:?}", self.status, self.headers, self.body.len())
    }
}

/// What became of a call: an answer, nothing because it was to wait, or a broken connection.
pub(super) type Came = Result<Option<Answer>, String>;

type Sender = SendRequest<Full<Bytes>>;

/// Sends call after call.
pub(super) struct Client {
    address: String,
    sender: Option<Sender>,
}

impl Client {
    /// A client of the relay at `address`.
    pub(super) fn new(address: String) -> Self {
        Self { address, sender: None }
    }

    /// Sends one call.
    pub(super) async fn send(&mut self, call: &Call) -> Came {
        if let Some(sender) = self.sender.take() {
            // The relay may end a connection behind an answer, which the next call finds out.
            if let Ok(answer) = self.send_over(sender, call).await {
                return Ok(answer);
            }
        }
        let stream = TcpStream::connect(&self.address).await.map_err(|error| error.to_string())?;
        let (sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        tokio::spawn(connection);
        self.send_over(sender, call).await
    }

    async fn send_over(&mut self, mut sender: Sender, call: &Call) -> Came {
        sender.ready().await.map_err(|error| format!("the connection has ended: {error:?}"))?;
        let limit = if call.waits() { MOMENT } else { ANSWER };
        let answer = match timeout(limit, sender.send_request(call.request(&self.address))).await {
            Err(_) if call.waits() => return Ok(None),
            Err(_) => return Err(format!("no answer within {ANSWER:?}")),
            Ok(answer) => answer.map_err(|error| format!("the connection broke: {error:?}"))?,
        };
        let (parts, body) = answer.into_parts();
        let mut answer = Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: Vec::new(),
            left: false,
        };
        let is_lines = answer.header("content-type") == "application/x-ndjson";
        let is_stream = is_lines || answer.header("content-type") == "text/event-stream";
        let limit = if is_stream || call.waits() { MOMENT } else { ANSWER };
        match timeout(limit, read(body, &mut answer.body)).await {
            Err(_) if limit == MOMENT => answer.left = true,
            Err(_) => return Err(format!("no end of {answer:?} within {ANSWER:?}")),
            // A stream of lines breaks off when its topic goes, so that nobody takes it for the end.
            Ok(Err(_)) if is_lines => answer.left = true,
            Ok(Err(error)) => return Err(format!("{answer:?} broke off: {error:?}")),
            Ok(Ok(())) if answer.header("connection") != "close" => self.sender = Some(sender),
            Ok(Ok(())) => {}
        }
        Ok(Some(answer))
    }
}

async fn read(mut body: Incoming, out: &mut Vec<u8>) -> Result<(), hyper::Error> {
    while let Some(frame) = body.frame().await {
        if let Some(piece) = frame?.data_ref() {
            out.extend_from_slice(piece);
        }
    }
    Ok(())
}
