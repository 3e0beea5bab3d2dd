//! Appends and reads.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

use super::{NewEvent, SourceProgress, StoreError, TopicState};
use crate::event::{Epoch, Event, Micros, Topic, Version};

/// Events of one topic, and the progress of the source they came from.
#[derive(Debug, Clone)]
pub struct Append {
    /// Where to.
    pub topic: Topic,
    /// At most 10,000; may be empty when there is progress to save.
    pub events: Vec<NewEvent>,
    /// Saved in the same transaction.
    pub progress: Option<SourceProgress>,
    /// The time of the append.
    pub now: Micros,
}

/// Where an event was put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// Its version; 0 while it is pending.
    pub version: Version,
    /// The epoch of that version.
    pub epoch: Epoch,
    /// Whether it was known already, in the log or pending.
    pub duplicate: bool,
    /// Its number while it is pending.
    pub pending: Option<i64>,
}

/// What to read: versions above `after`, up to `up_to`, stopping at either limit (but never
/// before one event).
#[derive(Debug, Clone, Copy)]
pub struct Read {
    /// Exclusive.
    pub after: Version,
    /// Inclusive.
    pub up_to: Version,
    /// At most 1,000.
    pub max_events: usize,
    /// Attributes and data; at most 4 MiB.
    pub max_bytes: usize,
}

impl Read {
    /// Everything above `after` that one read gives.
    #[must_use]
    pub const fn after(after: Version) -> Self {
        Self { after, up_to: Version::MAX, max_events: 1_000, max_bytes: 4 << 20 }
    }

    /// One version.
    #[must_use]
    pub fn one(version: Version) -> Self {
        Self { up_to: version, max_events: 1, ..Self::after(version.previous()) }
    }
}

/// One read's worth of a topic. `after` below the oldest version kept is answered from the oldest
/// on: compare with `state.oldest`. A version from there on that is neither here nor an error is
/// lost, and known to be.
#[derive(Debug, Clone)]
pub struct Page {
    /// In version order, without a gap but for versions that are lost.
    pub events: Vec<Arc<Event>>,
    /// When there are no events: the last version that is known to be lost, and passed over.
    pub passed: Option<Version>,
    /// The topic no later than the read: `head` is at least the last event's version, and `oldest`
    /// at most the first one's.
    pub state: Arc<TopicState>,
}

/// Appending and reading.
#[async_trait]
pub trait Log: Send + Sync {
    /// Numbers and keeps events; see the contract above. One that is to be delivered after
    /// `now` is kept as pending in the same transaction (`Full` when too many are). An event that
    /// is pending is known, and answers with its number. Answers one [`Placed`] per event in the
    /// order given. At most 10,000 events.
    async fn append(&self, append: Append) -> Result<Vec<Placed>, StoreError>;
    /// Events of a topic in version order; see [`Read`].
    async fn read(&self, topic: &Topic, read: Read) -> Result<Page, StoreError>;
    /// The last version recorded before `moment`; the version before the oldest when none was.
    async fn version_before(&self, topic: &Topic, moment: Micros) -> Result<Version, StoreError>;
    /// Wakes when the head of the topic moves; its value is the head as last seen here.
    async fn head(&self, topic: &Topic) -> Result<watch::Receiver<Version>, StoreError>;
    /// Wakes when a topic, source, subscription or position was changed by somebody other than
    /// its holder; its value rises.
    fn changes(&self) -> watch::Receiver<u64>;
}
