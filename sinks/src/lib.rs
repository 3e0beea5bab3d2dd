//! Milkrun's way to consumers: one parcel to one address, and what came back.
//!
//! This crate knows nothing of events, versions, stores or producers and never reads a clock.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;

/// The network as it is handed in: guarded, without redirects. Its errors are told apart by
/// [`std::io::ErrorKind`]: `PermissionDenied` (a forbidden address), `HostUnreachable` (no such
/// name), `ConnectionRefused`, `ConnectionReset`, `InvalidData` (TLS), `TimedOut`, `Other`.
pub type Network = tower::util::BoxCloneSyncService<
    http::Request<Bytes>,
    http::Response<http_body_util::combinators::UnsyncBoxBody<Bytes, std::io::Error>>,
    std::io::Error,
>;

/// Bytes and headers for one address.
#[derive(Debug, Clone)]
pub struct Parcel {
    /// Where to.
    pub uri: http::Uri,
    /// `webhook-id`: the same on every attempt; without a dot.
    pub id: String,
    /// Seconds since 1970 of this attempt.
    pub timestamp: i64,
    /// Keys that sign; none: unsigned.
    pub secrets: Arc<[sign::Secret]>,
    /// Everything but what the sink itself adds (`webhook-*`, `user-agent`).
    pub headers: http::HeaderMap,
    /// The body, signed as it is.
    pub body: Bytes,
    /// One deadline over connecting, sending and the whole answer.
    pub timeout: Duration,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The endpoint answered, whatever it said.
    Answered(Answer),
    /// There was no HTTP answer.
    Silent {
        /// How so.
        kind: SilentKind,
        /// For a person.
        message: String,
    },
}

/// An HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// `Retry-After`, as sent.
    pub retry_after: Option<RetryAfter>,
    /// The header `milkrun-retry: no` was there.
    pub never_retry: bool,
    /// The first KiB of the body.
    pub body: Bytes,
}

/// `Retry-After` (RFC 9110, 10.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryAfter {
    /// So many seconds from the answer.
    Seconds(u64),
    /// Not before this moment, in seconds since 1970.
    At(i64),
}

/// Why there was no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SilentKind {
    /// The address is forbidden: ours to say, not the endpoint's.
    Forbidden,
    /// No such name.
    Dns,
    /// Nobody listens.
    Refused,
    /// The connection broke.
    Reset,
    /// The handshake failed.
    Tls,
    /// No whole answer in time.
    Timeout,
    /// Anything else, an answer that is no HTTP among it.
    Other,
}

impl SilentKind {
    /// The kind as a word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Forbidden => "forbidden_address",
            Self::Dns => "dns",
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Other => "other",
        }
    }
}

/// One way to deliver.
#[async_trait]
pub trait Sink: Send + Sync {
    /// Sends the parcel once.
    async fn push(&self, parcel: Parcel) -> Outcome;
}

pub mod sign;
pub mod webhook;
