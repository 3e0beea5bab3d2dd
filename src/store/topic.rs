//! Topics as they stand, and what is missing in them.

use std::sync::Arc;

use async_trait::async_trait;

use super::StoreError;
use crate::{
    clock,
    event::{Cursor, Epoch, Micros, Topic, Version},
    settings::TopicSettings,
};

/// A topic as it stands.
#[derive(Debug, Clone)]
pub struct TopicState {
    /// Its row number; part of an event's rowid.
    pub id: i64,
    /// 16 hex digits that no other topic has or had: the `TOPICID` of webhook ids.
    pub uid: String,
    /// Its name.
    pub topic: Topic,
    /// The last version given out; 0 when none was.
    pub head: Version,
    /// The lowest version kept; head + 1 when none is.
    pub oldest: Version,
    /// Attributes and data kept.
    pub bytes: u64,
    /// When the head was recorded.
    pub recorded: Micros,
    /// The epochs in order of their first versions; never empty.
    pub epochs: Arc<[EpochStart]>,
    /// Raised when kept events were changed (erasure, compaction).
    pub edit: u64,
    /// What it is set to.
    pub settings: TopicSettings,
}

/// Where an epoch begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpochStart {
    /// The epoch.
    pub epoch: Epoch,
    /// Its first version.
    pub first: Version,
    /// When it was begun.
    pub started: Micros,
    /// Why it was begun.
    pub reason: String,
}

impl EpochStart {
    /// A new epoch that begins at `first`.
    pub(crate) fn fresh(first: Version, now: Micros, reason: &str) -> Self {
        let epoch = Epoch(clock::fresh_uuid().as_fields().0);
        Self { epoch, first, started: now, reason: reason.to_owned() }
    }
}

impl TopicState {
    /// How many versions are kept, those that are lost among them (see [`Topics::lost`]).
    #[must_use]
    pub fn span(&self) -> u64 {
        (self.head.0 + 1).saturating_sub(self.oldest.0)
    }

    /// The epoch of a version: the last that begins at or before it.
    #[must_use]
    pub fn epoch_of(&self, version: Version) -> Epoch {
        let after = self.epochs.partition_point(|start| start.first <= version);
        self.epochs[after.saturating_sub(1)].epoch
    }

    /// The cursor of a version. Version 0, and a head before a new epoch's first event, belong to
    /// the epoch that they stand in.
    #[must_use]
    pub fn cursor(&self, version: Version) -> Cursor {
        Cursor { epoch: self.epoch_of(version), version }
    }
}

/// A hole in what a producer showed, to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewGap {
    /// `bound_reached`, `cursor_lost`, …
    pub reason: String,
    /// For a person.
    pub detail: String,
}

/// A recorded gap.
#[derive(Debug, Clone)]
pub struct Gap {
    /// The source that has it.
    pub source: String,
    /// The head when it was recorded: what is missing would have come after it.
    pub version: Version,
    /// When.
    pub recorded: Micros,
    /// As in [`NewGap`].
    pub reason: String,
    /// As in [`NewGap`].
    pub detail: String,
}

/// Events that were acknowledged and are lost or damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Where they were.
    pub topic: Topic,
    /// The first version.
    pub from: Version,
    /// The last version.
    pub to: Version,
    /// `history_lost`, `events_missing` or `event_damaged`.
    pub reason: &'static str,
    /// For a person.
    pub detail: String,
}

/// Topics and their epochs.
#[async_trait]
pub trait Topics: Send + Sync {
    /// Creates the topic, or changes its settings. Every subscription with a pattern that matches
    /// a new one gets a position at its start.
    async fn put_topic(
        &self,
        topic: &Topic,
        settings: &TopicSettings,
        now: Micros,
    ) -> Result<Arc<TopicState>, StoreError>;
    /// Removes a topic with its events; refused with `Conflict` while a source or a subscription
    /// names it. Positions that subscriptions have there by a pattern go with it.
    async fn delete_topic(&self, topic: &Topic, now: Micros) -> Result<(), StoreError>;
    /// One topic, or `NotFound`.
    async fn topic(&self, topic: &Topic) -> Result<Arc<TopicState>, StoreError>;
    /// All topics by name.
    async fn topics(&self) -> Result<Vec<Arc<TopicState>>, StoreError>;
    /// Begins a new epoch at head + 1, because history may have been cut; `reason` is kept.
    async fn new_epoch(
        &self,
        topic: &Topic,
        reason: &str,
        now: Micros,
    ) -> Result<Cursor, StoreError>;
    /// The ranges from the oldest version kept to the head that are known to be lost, in order,
    /// first and last version of each; readers pass over them.
    async fn lost(&self, topic: &Topic) -> Result<Vec<(Version, Version)>, StoreError>;
    /// The gaps recorded for a topic, newest first, at most `limit`.
    async fn gaps(&self, topic: &Topic, limit: usize) -> Result<Vec<Gap>, StoreError>;
    /// Gaps of all topics that were recorded at `since` or later, newest first, at most `limit`.
    async fn recent_gaps(
        &self,
        since: Micros,
        limit: usize,
    ) -> Result<Vec<(Topic, Gap)>, StoreError>;
}
