//! Milkrun's way to consumers: one parcel to one address, and what came back.
//!
//! This crate knows nothing of events, versions, stores or producers and never reads a clock.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;

pub use self::{auth::Auth, identity::Identity};

/// The network as it is handed in: guarded, without redirects. Its errors are told apart by
/// [`std::io::ErrorKind`]: `PermissionDenied` (a forbidden address), `HostUnreachable` (no such
/// name), `ConnectionRefused`, `ConnectionReset`, `InvalidData` (TLS), `TimedOut`, `NetworkDown`
/// (the relay's own proxy), `ResourceBusy` (the relay's machine had no file, port or memory left),
/// `Other`. A request may carry a [`Manner`] and an [`Asked`], and an answer a [`Cut`], among its
/// extensions.
pub type Network = tower::util::BoxCloneSyncService<
    http::Request<Bytes>,
    http::Response<http_body_util::combinators::UnsyncBoxBody<Bytes, std::io::Error>>,
    std::io::Error,
>;

/// How requests are sent that are out of the ordinary.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Manner {
    /// Never twice, whatever becomes of it, and so over a connection that nobody used before: what
    /// was read over one that the other side closes meanwhile nobody knows.
    pub once: bool,
    /// Names of fields begin with capitals, as `Content-Type`, in HTTP/1.1.
    pub title_case: bool,
}

/// Whom a request was sent to last; one among its extensions is filled in by the network.
#[derive(Debug, Clone, Default)]
pub struct Asked(Arc<Mutex<Option<SocketAddr>>>);

impl Asked {
    /// Takes note of an address.
    pub fn note(&self, address: Option<SocketAddr>) {
        *self.0.lock() = address;
    }

    /// The address, if it is known.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        *self.0.lock()
    }
}

/// Of the answer only the status is known; why, for a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut(pub &'static str);

/// An endpoint, and how the relay shows itself there; the same for every parcel.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where to.
    pub uri: http::Uri,
    /// Sent with everything, the handshake included; lose against what the sink itself sets.
    pub headers: http::HeaderMap,
    /// How the relay says who it is.
    pub auth: Option<Auth>,
    /// Certificates of its own; for every request on the target's behalf.
    pub identity: Option<Arc<Identity>>,
    /// Whether the endpoint gave its consent by [`Sink::greet`], which every request then names.
    pub greeted: bool,
    /// Who asks, in the place of the relay's name and version.
    pub user_agent: Option<http::HeaderValue>,
    /// How requests go there.
    pub manner: Manner,
    /// One deadline over connecting, a token if need be, sending and the whole answer.
    pub timeout: Duration,
}

/// Bytes and headers for one address.
#[derive(Debug, Clone)]
pub struct Parcel {
    /// Where to.
    pub target: Arc<Target>,
    /// `webhook-id`: the same on every attempt; without a dot.
    pub id: String,
    /// Seconds since 1970 of this attempt; also what the age of a token is told by.
    pub timestamp: i64,
    /// Keys that sign; none: unsigned.
    pub secrets: Arc<[sign::Secret]>,
    /// Everything but what the target has and the sink itself adds (`webhook-*`, `user-agent`,
    /// `authorization`, `content-encoding`).
    pub headers: http::HeaderMap,
    /// The body, signed as it is.
    pub body: Bytes,
    /// Whether a large body is compressed, after it was signed.
    pub gzip: bool,
    /// Whether the answer may say how much of the parcel was accepted.
    pub is_batch: bool,
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
        /// For a person; without secrets.
        message: String,
    },
}

/// An HTTP answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// `Retry-After`, as sent.
    pub retry_after: Option<RetryAfter>,
    /// The header `milkrun-retry: no` was there.
    pub never_retry: bool,
    /// The last version of a batch that was accepted: a 2xx said so by the JSON object
    /// `{"accepted_up_to": VERSION}`, of at most 1 KiB.
    pub accepted_up_to: Option<u64>,
    /// The first KiB of the body.
    pub body: Bytes,
    /// What else a person should know of it; without secrets.
    pub note: Option<String>,
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
    /// The relay's own proxy did not do its work: ours, not the endpoint's.
    Proxy,
    /// The relay's machine had no file, port or memory left: ours, not the endpoint's.
    Machine,
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
    /// The endpoint's authorization server gave no token.
    Token,
    /// Anything else, an answer that is no HTTP among it.
    Other,
}

impl SilentKind {
    /// The kind as a word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Forbidden => "forbidden_address",
            Self::Proxy => "proxy",
            Self::Machine => "machine",
            Self::Dns => "dns",
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Token => "token",
            Self::Other => "other",
        }
    }
}

/// What an endpoint said to being asked for its consent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Greeting {
    /// It wants parcels.
    Allowed {
        /// At most so many requests a minute; `None`: as many as we like.
        per_minute: Option<u32>,
    },
    /// It answered, and did not say yes; the reason is for a person.
    Refused(String),
    /// It gave no answer, or one that says nothing but "not now" (429, 502, 503, 504).
    Failed(Outcome),
}

/// One way to deliver.
#[async_trait]
pub trait Sink: Send + Sync {
    /// Sends the parcel once.
    async fn push(&self, parcel: Parcel) -> Outcome;

    /// Asks the endpoint for its consent, once; `now` is in seconds since 1970. `per_minute` is
    /// the rate that is asked for. A sink without such a custom takes it as given.
    async fn greet(&self, _target: &Target, _now: i64, _per_minute: Option<u32>) -> Greeting {
        Greeting::Allowed { per_minute: None }
    }
}

mod answer;
pub mod auth;
mod hide;
mod identity;
mod recent;
pub mod sign;
pub mod webhook;
