//! What topics and subscriptions are set to: plain data, kept by the store as JSON.
//!
//! The file's types (`config`) and the API's request types (`api`) are made into these; these
//! never hold a reference to a secret, only its value, and their JSON never leaves the relay.

use std::{ops::RangeInclusive, time::Duration};

use serde::{Deserialize, Serialize};

/// Days as a duration.
#[must_use]
pub const fn days(count: u64) -> Duration {
    Duration::from_secs(count * 86_400)
}

/// How long and how much of a topic is kept, and what is recognised as known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TopicSettings {
    /// Events older than this (by `recorded`) go.
    pub max_age: Option<Duration>,
    /// More events than this go, the oldest first.
    pub max_count: Option<u64>,
    /// The hard cap on attributes and data; what is owed goes too.
    pub max_bytes: Option<u64>,
    /// How long events that a subscription is owed outlive the limits; zero: not at all.
    pub owed: Duration,
    /// How far back a known event is recognised.
    pub dedupe_age: Duration,
    /// How many events back a known event is recognised.
    pub dedupe_count: u64,
    /// Whether anyone may read it without a key.
    pub public: bool,
}

impl Default for TopicSettings {
    fn default() -> Self {
        Self {
            max_age: Some(days(30)),
            max_count: None,
            max_bytes: None,
            owed: days(30),
            dedupe_age: days(7),
            dedupe_count: 1_000_000,
            public: false,
        }
    }
}

/// What a subscription asks for, besides its topics and its place in them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubscriptionSettings {
    /// Where to push.
    pub url: String,
    /// Signing secrets, newest first, as `whsec_…`; each signs.
    pub secrets: Vec<String>,
    /// Extra headers of every request.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// One deadline over connecting, sending and the whole answer.
    pub timeout: Duration,
    /// The most deliveries of one position under way at once.
    pub concurrency: usize,
    /// When a failed event is tried again.
    pub retry: RetryPolicy,
    /// When the endpoint is left alone.
    pub hold: HoldPolicy,
    /// The most exceptions of one position; when they are full nothing new starts.
    pub max_exceptions: usize,
}

impl SubscriptionSettings {
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
            url,
            secrets,
            headers: Vec::new(),
            timeout: Duration::from_secs(15),
            concurrency: 16,
            retry: RetryPolicy::default(),
            hold: HoldPolicy::default(),
            max_exceptions: 100_000,
        }
    }
}

/// Whether a subscription may ask for this extra header; what is wrong with it.
///
/// # Errors
/// It is none, or HTTP or the relay sets it.
pub fn check_header(name: &str, value: &str) -> Result<(), &'static str> {
    const TAKEN: [&str; 12] = [
        "host",
        "content-length",
        "content-type",
        "content-encoding",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "upgrade",
        "te",
        "trailer",
        "traceparent",
        "user-agent",
    ];
    let parsed = http::HeaderName::try_from(name).map_err(|_| "is not the name of a header")?;
    let text = parsed.as_str();
    if TAKEN.contains(&text) || text.starts_with("webhook-") || text.starts_with("milkrun-") {
        return Err("is set by the relay itself");
    }
    http::HeaderValue::try_from(value).map_err(|_| "has a character that no header may have")?;
    Ok(())
}

/// When a failed event is tried again, and when it is given up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// The delays between attempts.
    pub delays: Delays,
    /// The most attempts that count against an event; `None`: the length of the schedule plus
    /// one, and for exponential delays 10.
    pub max_attempts: Option<u32>,
    /// The longest time from the first attempt; stands still on hold and pause.
    pub max_age: Option<Duration>,
    /// Statuses after which an event dies at once.
    pub never_retry: Vec<u16>,
}

impl RetryPolicy {
    /// What `max_attempts` may be.
    pub const MAX_ATTEMPTS: RangeInclusive<u32> = 1..=1_000;
}

/// The delays between the attempts on one event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delays {
    /// One after the other, each varied by the share `jitter` (0.2: ±20 %).
    Schedule {
        /// The delays in order.
        delays: Vec<Duration>,
        /// The share by which a delay varies, 0 to 1.
        jitter: f64,
    },
    /// Growing by a factor up to a limit.
    Exponential {
        /// The first delay.
        initial: Duration,
        /// The factor, at least 1.
        multiplier: f64,
        /// The longest delay, jitter included.
        max: Duration,
        /// The share by which a delay varies, 0 to 1.
        jitter: f64,
    },
}

impl Default for RetryPolicy {
    fn default() -> Self {
        let minutes = |count: u64| Duration::from_secs(count * 60);
        let hours = |count: u64| minutes(count * 60);
        Self {
            delays: Delays::Schedule {
                delays: vec![
                    Duration::from_secs(5),
                    minutes(5),
                    minutes(30),
                    hours(2),
                    hours(5),
                    hours(10),
                    hours(14),
                    hours(20),
                    hours(24),
                ],
                jitter: 0.2,
            },
            max_attempts: None,
            max_age: None,
            never_retry: Vec::new(),
        }
    }
}

/// When an endpoint is put on hold, how often it is tried then, and when it is given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldPolicy {
    /// So many failed attempts in a row begin a hold.
    pub after: u32,
    /// The first pause between two trials; doubles.
    pub interval: Duration,
    /// The longest pause between two trials.
    pub max_interval: Duration,
    /// The longest `Retry-After` that is obeyed.
    pub max: Duration,
    /// An endless hold ends after this: the subscription is disabled.
    pub give_up_after: Duration,
}

impl Default for HoldPolicy {
    fn default() -> Self {
        Self {
            after: 5,
            interval: Duration::from_secs(5),
            max_interval: Duration::from_mins(1),
            max: Duration::from_hours(1),
            give_up_after: days(5),
        }
    }
}
