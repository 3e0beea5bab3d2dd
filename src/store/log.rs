//! Topics, appends and reads.

use std::sync::Arc;

use super::SourceProgress;
use crate::{
    event::{Cursor, Data, Epoch, Event, Micros, Topic, Version, attribute},
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

impl TopicState {
    /// How many events are kept.
    #[must_use]
    pub fn count(&self) -> u64 {
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

/// An event that was checked and is to be numbered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// CloudEvents `source`; with `id` what makes it known.
    pub source: String,
    /// CloudEvents `id`.
    pub id: String,
    /// See [`Event::attributes`]; holds `source` and `id` too.
    pub attributes: Arc<str>,
    /// The producer's bytes.
    pub data: Data,
    /// When it goes into the log; until then it is pending. `None`: now.
    pub deliver_at: Option<Micros>,
}

impl NewEvent {
    /// As [`Event::attribute`].
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<String> {
        attribute(&self.attributes, name)
    }
}

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
/// on: compare with `state.oldest`.
#[derive(Debug, Clone)]
pub struct Page {
    /// In version order, without a gap but for versions that are lost.
    pub events: Vec<Arc<Event>>,
    /// When there are no events: the last version that is known to be lost, and passed over.
    pub passed: Option<Version>,
    /// The topic no later than the read: `head` is at least the last event's version.
    pub state: Arc<TopicState>,
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
