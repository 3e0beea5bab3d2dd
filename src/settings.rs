//! What topics and subscriptions are set to: plain data, kept by the store as JSON.
//!
//! The file's types (`config`) and the API's request types (`api`) are made into these; these
//! never hold a reference to a secret, only its value, and their JSON never leaves the relay.

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::{
    check::Fault,
    header::check_header,
    policy::{Delays, HoldPolicy, RetryPolicy},
    rate::{Rate, RateError},
    subscription::{
        Auth, BatchPolicy, Format, OnDead, Order, PriorityPolicy, Retiring, SubscriptionSettings,
        Tls,
    },
};

mod check;
pub(crate) mod forms;
mod header;
mod policy;
mod rate;
mod subscription;
#[cfg(test)]
mod tests;
pub mod written;

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

impl TopicSettings {
    /// The limits that are zero, by the names they are written by: each would remove every event.
    pub(crate) fn limits_of_nothing(&self) -> impl Iterator<Item = &'static str> {
        let limits = [
            ("retention.age", self.max_age.is_some_and(|age| age.is_zero())),
            ("retention.count", self.max_count == Some(0)),
            ("retention.max_bytes", self.max_bytes == Some(0)),
        ];
        limits.into_iter().filter(|(_, is_zero)| *is_zero).map(|(limit, _)| limit)
    }
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
