//! Events that are not in the log yet.

use async_trait::async_trait;
use tokio::sync::watch;

use super::{NewEvent, StoreError};
use crate::event::{Micros, Topic, Version};

/// An event that waits for its time, or for its commit. It has no version, and nobody reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Its row number; never given out again.
    pub id: i64,
    /// The topic that it will be in.
    pub topic: Topic,
    /// When it goes into the log; [`Pending::PREPARED`] until it is committed.
    pub due: Micros,
    /// When it was published.
    pub since: Micros,
    /// What was published.
    pub event: NewEvent,
}

impl Pending {
    /// Never due: prepared, to be committed or cancelled within 24 hours.
    pub const PREPARED: Micros = Micros(i64::MAX);

    /// Whether it waits for its commit.
    #[must_use]
    pub fn is_prepared(&self) -> bool {
        self.due == Self::PREPARED
    }
}

/// A pending event that went into the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedPending {
    /// The topic it is in.
    pub topic: Topic,
    /// The version that it got.
    pub version: Version,
    /// Its number while it waited.
    pub pending: i64,
    /// When it was published.
    pub since: Micros,
    /// When it was due.
    pub due: Micros,
}

/// Events that wait for their time or their commit.
#[async_trait]
pub trait PendingEvents: Send + Sync {
    /// The pending events of a topic by their numbers, above `after`, at most `limit` and 8 MiB.
    async fn pending(
        &self,
        topic: &Topic,
        after: i64,
        limit: usize,
    ) -> Result<Vec<Pending>, StoreError>;
    /// One pending event, or `NotFound`.
    async fn pending_event(&self, topic: &Topic, id: i64) -> Result<Pending, StoreError>;
    /// Makes a pending event due at another time; `Conflict` when it is prepared.
    async fn change_pending(&self, topic: &Topic, id: i64, due: Micros) -> Result<(), StoreError>;
    /// Commits a prepared event; `Conflict` when it is not prepared. Due at `now` already, it is in
    /// the log when this answers, which says where; else it waits until it is due.
    async fn commit_pending(
        &self,
        topic: &Topic,
        id: i64,
        due: Micros,
        now: Micros,
    ) -> Result<Option<LoggedPending>, StoreError>;
    /// Forgets a pending event, which is never in the log then; `Conflict` when it was committed.
    async fn cancel_pending(&self, topic: &Topic, id: i64) -> Result<(), StoreError>;
    /// Moves pending events that are due at `now` into the log, the longest due first, at most
    /// `limit` and 8 MiB: each is appended in the transaction that ends its waiting, so never
    /// twice. Answers what went.
    async fn release_pending(
        &self,
        now: Micros,
        limit: usize,
    ) -> Result<Vec<LoggedPending>, StoreError>;
    /// When the next pending event is due; `None` when none is. Wakes when that changes.
    fn next_pending(&self) -> watch::Receiver<Option<Micros>>;
    /// How an event of the log waited, if it did.
    async fn was_pending(
        &self,
        topic: &Topic,
        version: Version,
    ) -> Result<Option<LoggedPending>, StoreError>;
}
