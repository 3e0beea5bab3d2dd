//! A connection for HTTP/1.1 that knows how far the answer to its last request has come.

use std::{
    io::{Error, IoSlice},
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU16, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{heads::Heads, stream::Stream, with_address};

/// What whoever sends a request can tell of the connection when it fails.
#[derive(Debug)]
pub(super) struct Seen {
    /// Who is at the other end; `None`: a proxy.
    address: Option<SocketAddr>,
    /// An earlier request was answered.
    reused: AtomicBool,
    /// Something came after the last request.
    begun: AtomicBool,
    /// The status of the last answer; 0: it has none.
    status: AtomicU16,
}

impl Seen {
    /// Whether it was good for an earlier request and nothing has come of an answer to this one: as
    /// when the other side closes what was idle.
    pub(super) fn is_untouched(&self) -> bool {
        self.reused.load(Relaxed) && !self.begun.load(Relaxed)
    }

    /// The status of an answer whose head is not whole.
    pub(super) fn status(&self) -> Option<StatusCode> {
        StatusCode::from_u16(self.status.load(Relaxed)).ok()
    }

    /// Who is at the other end, if that is no proxy.
    pub(super) const fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// An error with the address that was asked.
    pub(super) fn locate(&self, error: Error) -> Error {
        match self.address {
            Some(address) => with_address(address, &error),
            None => error,
        }
    }
}

/// A stream whose answers are looked at.
pub(super) struct Watched {
    pub(super) stream: Stream,
    heads: Heads,
    seen: Arc<Seen>,
}

impl Watched {
    /// Of a connection that was just opened to `address`, or to a proxy.
    pub(super) fn new(stream: Stream, address: Option<SocketAddr>) -> Self {
        let seen = Seen {
            address,
            reused: AtomicBool::new(false),
            begun: AtomicBool::new(false),
            status: AtomicU16::new(0),
        };
        Self { stream, heads: Heads::default(), seen: Arc::new(seen) }
    }

    /// What is known of it from now on.
    pub(super) fn seen(&self) -> Arc<Seen> {
        self.seen.clone()
    }

    /// What is written after an answer is another request.
    fn begin(&mut self) {
        if self.heads.answered().is_some() {
            self.heads = Heads::default();
            self.seen.reused.store(true, Relaxed);
            self.seen.begun.store(false, Relaxed);
            self.seen.status.store(0, Relaxed);
        }
    }

    fn take_note(&mut self, bytes: &[u8]) -> Result<(), Error> {
        // Streams of HTTP/2 are bounded by their library.
        if self.heads.answered().is_some() || self.stream.speaks_http2() {
            return Ok(());
        }
        self.heads.feed(bytes)?;
        if !self.heads.is_silent() {
            self.seen.begun.store(true, Relaxed);
        }
        if let Some(status) = self.heads.answered() {
            self.seen.status.store(status, Relaxed);
        }
        Ok(())
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<(), Error>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        Poll::Ready(self.take_note(&buffer.filled()[before..]))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize, Error>> {
        self.begin();
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<Result<usize, Error>> {
        self.begin();
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
