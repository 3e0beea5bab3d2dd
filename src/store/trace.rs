//! The records of attempts.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::{
    event::{Micros, Version},
    settings::days,
};

/// How long attempts are kept at most; fewer days when there are very many.
pub const ATTEMPTS_KEPT: Duration = days(7);

/// One attempt at one delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its number once it is kept, rising; 0 before.
    pub id: i64,
    /// The subscription's row number.
    pub subscription: i64,
    /// The topic's row number.
    pub topic: i64,
    /// The event.
    pub version: Version,
    /// 1 for the first try.
    pub attempt: u32,
    /// When it began.
    pub started: Micros,
    /// How long it took.
    pub duration_ms: u64,
    /// The status, when there was an answer.
    pub status: Option<u16>,
    /// The first KiB of the answer.
    pub answer: Vec<u8>,
    /// What went wrong, or what else is to be known of the answer.
    pub error: Option<String>,
    /// `delivered`, `retry`, `dead`, `gone`; `filtered` or `expired` when nothing was sent.
    pub verdict: String,
}

/// Which attempts; every field narrows.
#[derive(Debug, Clone, Default)]
pub struct AttemptQuery {
    /// Of this subscription.
    pub subscription: Option<i64>,
    /// Of one of these subscriptions.
    pub subscriptions: Option<Vec<i64>>,
    /// On events of this topic.
    pub topic: Option<i64>,
    /// On this version.
    pub version: Option<Version>,
    /// Those that did not deliver.
    pub failed: bool,
    /// Begun at or after.
    pub since: Option<Micros>,
    /// With this status.
    pub status: Option<u16>,
    /// Older than the one of this number.
    pub before: Option<i64>,
    /// At most 1,000.
    pub limit: usize,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LastAnswer {
    /// The status, when there was an answer.
    pub status: Option<u16>,
    /// What went wrong, or what else is to be known of the answer.
    pub error: Option<String>,
}

/// The trace: attempts as they ended.
#[async_trait]
pub trait Attempts: Send + Sync {
    /// Hands over the records of finished attempts; never waits, drops and counts when it cannot
    /// keep up, successes first.
    fn trace(&self, attempts: Vec<Attempt>);
    /// Attempts, newest first.
    async fn attempts(&self, query: AttemptQuery) -> Result<Vec<Attempt>, StoreError>;
}
