//! What goes with time, what is wrong, and the end.

use async_trait::async_trait;

use super::{Damage, News, StoreError, Trouble};
use crate::event::{Micros, Name, Topic, Version};

/// What a trim did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trimmed {
    /// Whether there is more to remove.
    pub more: bool,
    /// What was owed and went.
    pub expired: Vec<Expired>,
    /// Dead letters that went, by age or because there were too many.
    pub dead_letters: u64,
    /// Events that were found lost or damaged since the last trim.
    pub damage: Vec<Damage>,
}

/// Events that retention removed although a subscription was owed them: a range among its dead
/// letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expired {
    /// Whose.
    pub subscription: Name,
    /// The topic.
    pub topic: Topic,
    /// The last version of the range.
    pub to: Version,
    /// How many of it were owed.
    pub count: u64,
}

/// Retention, what is wrong, sizes, the end.
#[async_trait]
pub trait Keeping: Send + Sync {
    /// Removes a bounded piece of what is past its time or limit (events, dedupe keys, dead
    /// letters, attempts, removed sources and subscriptions).
    async fn trim(&self, now: Micros) -> Result<Trimmed, StoreError>;
    /// The latest moment that is known to have come: what was last given to
    /// [`Keeping::keep_believed`], else when the newest event was recorded. `None`: nothing is known.
    async fn believed(&self) -> Result<Option<Micros>, StoreError>;
    /// Keeps a moment for [`Keeping::believed`] of the next process.
    async fn keep_believed(&self, moment: Micros) -> Result<(), StoreError>;
    /// Whether what is written now is kept: `Lost` while the file is not the one that was opened.
    async fn ready(&self) -> Result<(), StoreError>;
    /// What keeps the store from working as it should at present; empty when all is well.
    fn troubles(&self) -> Vec<Trouble>;
    /// What changed of that since this was asked last; whoever asks is to tell it.
    fn news(&self) -> Vec<News>;
    /// Sizes for the gauges: name and value, names as in `telemetry`.
    async fn gauges(&self) -> Vec<(&'static str, f64)>;
    /// Finishes what was accepted, checkpoints and closes.
    async fn close(&self);
}
