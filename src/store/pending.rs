//! Events that are not in the log yet.

use super::NewEvent;
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
pub struct Released {
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
