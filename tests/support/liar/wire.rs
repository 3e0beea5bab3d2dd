//! An answer on its way out, whole or broken.

use std::io;

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use serde_json::Value;

/// An answer that is not sent yet.
pub(super) struct Answer {
    response: Response<Vec<u8>>,
    /// Whether the connection breaks half-way through the body.
    is_cut: bool,
}

impl Answer {
    pub(super) fn text(status: u16, body: &str) -> Self {
        let response = Response::builder().status(status).body(body.as_bytes().to_vec()).unwrap();
        Self { response, is_cut: false }
    }

    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self::text(status, &body.to_string()).with("content-type", "application/json")
    }

    /// With a header; its value may have any characters.
    pub(super) fn with(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        self.response.headers_mut().append(name, value);
        self
    }

    pub(super) fn paused(self, seconds: u64) -> Self {
        self.with("retry-after", &seconds.to_string())
    }

    pub(super) fn html(mut self) -> Self {
        let html = HeaderValue::from_static("text/html");
        self.response.headers_mut().insert(header::CONTENT_TYPE, html);
        self
    }

    pub(super) fn broken(mut self) -> Self {
        let body = self.response.body_mut();
        // One that says that nothing changed has none.
        let at = body.len().min(1);
        body.splice(at..at, *b"what,");
        self
    }

    pub(super) fn short(mut self) -> Self {
        let body = self.response.body_mut();
        body.truncate(body.len() / 2 + 1);
        self
    }

    pub(super) fn cut(mut self) -> Self {
        self.is_cut = true;
        self
    }

    pub(super) fn bad_gzip(mut self) -> Self {
        self.response.body_mut().splice(0..0, [0x1f, 0x8b, 8, 0]);
        self.with("content-encoding", "gzip")
    }

    #[expect(clippy::unnecessary_wraps, reason = "the other answer is none at all")]
    pub(super) fn send(self) -> io::Result<Response<UnsyncBoxBody<Bytes, io::Error>>> {
        let is_cut = self.is_cut;
        Ok(self.response.map(|body| {
            let body = Bytes::from(body);
            if is_cut {
                let half = http_body::Frame::data(body.slice(..body.len() / 2));
                let broken = Err(io::ErrorKind::ConnectionReset.into());
                StreamBody::new(futures_util::stream::iter([Ok(half), broken])).boxed_unsync()
            } else {
                Full::new(body).map_err(|never| match never {}).boxed_unsync()
            }
        }))
    }
}
