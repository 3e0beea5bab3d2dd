//! What one subscription is set to.

use std::{fmt, ops::RangeInclusive, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{HoldPolicy, Rate, RetryPolicy};
use crate::event::{Micros, Name};

/// What a subscription asks for, besides its topics and its place in them.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct SubscriptionSettings {
    /// Whose it is; `None`: only admins see and change it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Name>,
    /// Where to push.
    pub url: String,
    /// The URL as it may be shown, when a part of it came from the environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown_url: Option<String>,
    /// Signing secrets, newest first, as `whsec_…` or `whsk_…`; each signs.
    pub secrets: Vec<String>,
    /// Secrets that were replaced and still sign for a while.
    #[serde(default)]
    pub retiring: Vec<Retiring>,
    /// Extra headers of every request.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// How the relay says who it is.
    #[serde(default)]
    pub auth: Option<Auth>,
    /// Certificates of its own.
    #[serde(default)]
    pub tls: Tls,
    /// Whether the endpoint is asked for its consent first (CloudEvents webhook handshake).
    #[serde(default)]
    pub handshake: bool,
    /// Whether names of headers begin with capitals.
    #[serde(default)]
    pub title_case_headers: bool,
    /// Who asks, in the place of `milkrun/VERSION`.
    #[serde(default)]
    pub user_agent: Option<String>,
    /// What bodies are said to be, in the place of what their format is.
    #[serde(default)]
    pub content_type: Option<String>,
    /// Whether large bodies are compressed; the signature is over what they were before.
    #[serde(default)]
    pub gzip: bool,
    /// One deadline over connecting, sending and the whole answer.
    pub timeout: Duration,
    /// How an event is put into a request.
    #[serde(default)]
    pub format: Format,
    /// Several events in one request.
    #[serde(default)]
    pub batch: Option<BatchPolicy>,
    /// Which events are sent: CloudEvents dialects or an expression, as `expr::Filter` reads it.
    #[serde(default)]
    pub filter: Option<Value>,
    /// What is sent in the place of the event, as `expr::Transform` reads it.
    #[serde(default)]
    pub transform: Option<Value>,
    /// In which order events are tried.
    #[serde(default)]
    pub order: Order,
    /// What becomes of a key whose event died.
    #[serde(default)]
    pub on_dead: OnDead,
    /// How far events of a higher priority overtake.
    #[serde(default)]
    pub priority: PriorityPolicy,
    /// The most events started in a time, over all positions.
    #[serde(default)]
    pub rate: Option<Rate>,
    /// The most requests of one position under way at once.
    pub concurrency: usize,
    /// When a failed event is tried again.
    pub retry: RetryPolicy,
    /// When the endpoint is left alone.
    pub hold: HoldPolicy,
    /// The most exceptions of one position; when they are full nothing new starts.
    pub max_exceptions: usize,
}

impl SubscriptionSettings {
    /// The most secrets that sign at once, those that retire included.
    pub const SECRETS_MAX: usize = 10;
    /// The longest address of a webhook.
    pub const URL_BYTES_MAX: usize = 2_048;
    /// The most extra headers.
    pub const HEADERS_MAX: usize = 50;
    /// What `timeout` may be at most; it is more than zero.
    pub const TIMEOUT_MAX: Duration = Duration::from_mins(5);
    /// What `concurrency` may be.
    pub const CONCURRENCY: RangeInclusive<usize> = 1..=1_024;
    /// What `max_exceptions` may be.
    pub const MAX_EXCEPTIONS: RangeInclusive<usize> = 1..=1_000_000;

    /// The defaults, for a push to `url` signed with `secrets`.
    #[must_use]
    pub fn new(url: String, secrets: Vec<String>) -> Self {
        Self {
            owner: None,
            url,
            shown_url: None,
            secrets,
            retiring: Vec::new(),
            headers: Vec::new(),
            auth: None,
            tls: Tls::default(),
            handshake: false,
            title_case_headers: false,
            user_agent: None,
            content_type: None,
            gzip: false,
            timeout: Duration::from_secs(15),
            format: Format::default(),
            batch: None,
            filter: None,
            transform: None,
            order: Order::default(),
            on_dead: OnDead::default(),
            priority: PriorityPolicy::default(),
            rate: None,
            concurrency: 16,
            retry: RetryPolicy::default(),
            hold: HoldPolicy::default(),
            max_exceptions: 100_000,
        }
    }

    /// The URL as it may be shown.
    #[must_use]
    pub fn url_shown(&self) -> &str {
        self.shown_url.as_deref().unwrap_or(&self.url)
    }

    /// Sets the format that was `said`, or else the one that follows: a batch policy asks for
    /// batches, and a transform for its result alone.
    pub fn set_format(&mut self, said: Option<Format>) {
        let is_own_body = matches!(self.format, Format::Binary | Format::Data);
        self.format = match said {
            Some(format) => format,
            None if self.batch.is_some() && !is_own_body => Format::Batch,
            None if self.transform.is_some() && !is_own_body => Format::Data,
            None if self.format == Format::Batch => Format::Structured,
            None => self.format,
        };
        if said == Some(Format::Batch) {
            self.batch.get_or_insert_default();
        }
    }

    /// Whether an event is settled before it is sent, so that it is never sent twice: one attempt
    /// is all it gets.
    #[must_use]
    pub fn is_at_most_once(&self) -> bool {
        self.retry.max_attempts == Some(1)
    }
}

impl fmt::Debug for SubscriptionSettings {
    /// Without addresses, headers and secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubscriptionSettings")
            .field("format", &self.format)
            .field("order", &self.order)
            .field("concurrency", &self.concurrency)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Retiring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Retiring(until {})", self.until)
    }
}

/// A secret that was replaced.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retiring {
    /// As in [`SubscriptionSettings::secrets`].
    pub secret: String,
    /// It signs before this moment.
    #[serde(rename = "until_us")]
    pub until: Micros,
}

/// How the relay says who it is, towards an endpoint.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    /// `Authorization: Bearer …` (RFC 6750).
    Bearer(String),
    /// `Authorization: Basic …` (RFC 7617).
    Basic {
        /// Without a colon.
        username: String,
        /// Any text.
        password: String,
    },
    /// A token got with client credentials (RFC 6749, 4.4), kept until it expires or is refused.
    #[serde(rename = "oauth2")]
    OAuth2 {
        /// Where tokens are got; guarded as the endpoint is.
        token_url: String,
        /// The client.
        client_id: String,
        /// Its secret.
        client_secret: String,
        /// What is asked for, separated by spaces.
        scope: Option<String>,
    },
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bearer(_) => "Bearer(…)",
            Self::Basic { .. } => "Basic(…)",
            Self::OAuth2 { .. } => "OAuth2(…)",
        })
    }
}

/// Certificates of one subscription; PEM texts.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tls {
    /// The client's certificate chain, the leaf first.
    #[serde(default)]
    pub certificate: Option<String>,
    /// The client's private key; goes with `certificate`.
    #[serde(default)]
    pub key: Option<String>,
    /// Authorities that are trusted in the place of the system's.
    #[serde(default)]
    pub ca: Option<String>,
}

impl Tls {
    /// Whether nothing is out of the ordinary.
    #[must_use]
    pub const fn is_default(&self) -> bool {
        self.certificate.is_none() && self.key.is_none() && self.ca.is_none()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls(…)")
    }
}

/// How an event is put into a request.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// One CloudEvent in JSON, every attribute signed.
    #[default]
    Structured,
    /// The data as the body, the attributes as `ce-` headers.
    Binary,
    /// An array of CloudEvents in JSON.
    Batch,
    /// The data alone.
    Data,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Structured => "structured",
            Self::Binary => "binary",
            Self::Batch => "batch",
            Self::Data => "data",
        })
    }
}

/// When several events go in one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchPolicy {
    /// The most events of one request.
    pub max_events: usize,
    /// The longest that an event waits for others.
    pub max_wait: Duration,
}

impl BatchPolicy {
    /// What `max_events` may be.
    pub const MAX_EVENTS: RangeInclusive<usize> = 1..=1_000;
    /// What `max_wait` may be at most.
    pub const MAX_WAIT_MAX: Duration = Duration::from_mins(10);
}

impl Default for BatchPolicy {
    fn default() -> Self {
        Self { max_events: 100, max_wait: Duration::from_secs(1) }
    }
}

/// In which order events are tried.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// In parallel, without a promise.
    #[default]
    None,
    /// First in, first out per `partitionkey`, else `subject`; events without either are free.
    Key,
    /// One after the other.
    Strict,
}

/// What becomes of a key whose event died.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum OnDead {
    /// It goes on with the next event.
    #[default]
    Continue,
    /// It stops until the dead letter is redriven or deleted.
    StopKey,
}

/// How far events of a higher priority overtake others; only under [`Order::None`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriorityPolicy {
    /// So many events are looked at ahead of the reach.
    pub read_ahead: usize,
    /// The longest that an event is overtaken.
    pub max_wait: Duration,
}

impl PriorityPolicy {
    /// What `read_ahead` may be.
    pub const READ_AHEAD: RangeInclusive<usize> = 1..=100_000;
    /// What `max_wait` may be at most.
    pub const MAX_WAIT_MAX: Duration = super::days(1);
}

impl Default for PriorityPolicy {
    fn default() -> Self {
        Self { read_ahead: 4_096, max_wait: Duration::from_mins(1) }
    }
}
