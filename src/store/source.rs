//! A source's place: cursor, mark, journal and what it reports.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr};
use utoipa::ToSchema;

use super::{Fence, NewEvent, NewGap, StoreError};
use crate::event::{Micros, Name, Topic};

/// The bytes of items that one reading of what was rejected gives at most.
pub const REJECTED_BYTES_MAX: usize = 8 << 20;

/// What the configuration says of a source.
#[derive(Debug, Clone)]
pub struct NewSource {
    /// Its name.
    pub name: Name,
    /// Where its events go; the topic must exist.
    pub topic: Topic,
    /// Identifies kind, URL and cursor rule: a stored cursor is good for one contract only.
    pub contract: String,
    /// The same contract as releases before 0.2 stored it; a cursor that is good for that one is
    /// good for this one.
    pub contract_before: Option<String>,
    /// What the CloudEvents `source` of its events may be.
    pub event_source: EventSource,
    /// Identifies the whole configuration.
    pub config_hash: String,
}

/// What the CloudEvents `source` of a source's events may be. An event is known by it, so it must
/// not change with the URL: what was stored first stays until the file sets another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventSource {
    /// What the file sets.
    pub set: Option<String>,
    /// For one that is new.
    pub default: String,
    /// For one of which an earlier release has put events into the log.
    pub before: String,
}

impl EventSource {
    /// One that is the same whatever is known of the source.
    #[must_use]
    pub fn fixed(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { set: None, default: text.clone(), before: text }
    }

    /// The one to use, for a source as the store knows it.
    #[must_use]
    pub fn chosen<'a>(&'a self, known: Option<&'a SourceState>) -> &'a str {
        let stored = known.and_then(|known| known.event_source.as_deref());
        let default = if known.is_some_and(SourceState::has_begun) {
            self.before.as_str()
        } else {
            self.default.as_str()
        };
        self.set.as_deref().or(stored).unwrap_or(default)
    }
}

/// Whether a source is polled.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, EnumString, IntoStaticStr, ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum SourceStatus {
    /// Polled when due.
    Active,
    /// Keeps its place, is not polled.
    Paused,
    /// Left the configuration; keeps its place 30 days.
    Removed,
}

/// A source as it stands.
#[derive(Debug, Clone)]
pub struct SourceState {
    /// Its row number.
    pub id: i64,
    /// Its name.
    pub name: Name,
    /// Where its events go.
    pub topic: Topic,
    /// Whether it is polled.
    pub status: SourceStatus,
    /// Compared by every progress.
    pub fence: Fence,
    /// What the stored cursor is good for; empty: it was set by hand and is good for any.
    pub contract: String,
    /// The contract it was last put with.
    pub put_contract: String,
    /// The CloudEvents `source` of its events; `None`: an earlier release put it last.
    pub event_source: Option<String>,
    /// Identifies the configuration it was last put with.
    pub config_hash: String,
    /// Where the next walk starts: JSON, opaque here. `None`: the first walk.
    pub cursor: Option<String>,
    /// The cursor that an operator's last one took the place of.
    pub old_cursor: Option<String>,
    /// Since when it stands still because its cursor is for another contract than it was put with.
    pub stuck_at: Option<Micros>,
    /// Where the walk under way is: JSON, opaque here.
    pub mark: Option<String>,
    /// When the mark was saved.
    pub mark_at: Micros,
    /// Events in the journal.
    pub journaled: u64,
    /// Complete walks so far.
    pub walks: u64,
    /// Not to be polled before.
    pub next_poll: Micros,
    /// When an operator last asked for a poll, resumed it or set its cursor; 0: never.
    pub asked_at: Micros,
    /// The last poll: JSON, opaque here.
    pub report: Option<String>,
    /// Events it appended, ever.
    pub appended: u64,
    /// Events it showed again, ever.
    pub duplicates: u64,
    /// Items that were rejected, ever.
    pub rejected: u64,
    /// When it was removed.
    pub removed_at: Option<Micros>,
}

impl SourceState {
    /// Whether the stored cursor can be used by a source with this contract.
    #[must_use]
    pub fn accepts(&self, contract: &str) -> bool {
        self.cursor.is_none() || self.contract.is_empty() || self.contract == contract
    }

    /// Whether the stored cursor can be used by the source as it is put now.
    #[must_use]
    pub fn goes_with(&self, new: &NewSource) -> bool {
        self.accepts(&new.contract) || self.is_before(new)
    }

    /// Whether the stored cursor's contract is the one of `new`, as releases before 0.2 stored it.
    #[must_use]
    pub fn is_before(&self, new: &NewSource) -> bool {
        new.contract_before.as_ref() == Some(&self.contract)
    }

    /// Whether it stands still until an operator sets a cursor or keeps the stored one.
    #[must_use]
    pub fn needs_cursor(&self) -> bool {
        !self.accepts(&self.put_contract)
    }

    /// Whether it may have put events into the log.
    fn has_begun(&self) -> bool {
        self.cursor.is_some() || self.mark.is_some() || self.walks > 0 || self.appended > 0
    }
}

/// What one page, one failed poll, or the end of a walk changes. Fields that are `None` stay.
#[derive(Debug, Clone, Default)]
pub struct SourceProgress {
    /// Which source.
    pub source: i64,
    /// Must be the source's.
    pub fence: Fence,
    /// A new mark, or `Some(None)` to drop it.
    pub mark: Option<Option<String>>,
    /// A new cursor; it is good for the contract that the source was put with.
    pub cursor: Option<String>,
    /// Whether a walk is complete with this; counts the walk.
    pub complete: bool,
    /// Events of a newest-first page, in listed order, for the journal.
    pub journal: Vec<NewEvent>,
    /// How many of the journal's last events this append numbers and so removes.
    pub journal_done: usize,
    /// Empties the journal first: the walk it belongs to is abandoned.
    pub journal_clear: bool,
    /// Items that were no events.
    pub rejected: Vec<NewRejected>,
    /// A hole to be recorded.
    pub gap: Option<NewGap>,
    /// When to poll next.
    pub next_poll: Option<Micros>,
    /// What the poll found: JSON.
    pub report: Option<String>,
}

/// An item that was no event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRejected {
    /// What was wrong, naming the field.
    pub reason: String,
    /// The item as the producer sent it, at most 64 KiB.
    pub item: Vec<u8>,
}

/// A kept rejected item.
#[derive(Debug, Clone)]
pub struct Rejected {
    /// When.
    pub at: Micros,
    /// As in [`NewRejected`].
    pub reason: String,
    /// As in [`NewRejected`].
    pub item: Vec<u8>,
}

/// What an operator does to a source.
#[derive(Debug, Clone)]
pub enum Steer {
    /// Keep the place, do not poll.
    Pause,
    /// Poll again.
    Resume,
    /// Poll as soon as may be.
    Poll,
    /// Start the next walk here; drops mark and journal and accepts the configured contract. The
    /// cursor that was there is kept as the old one.
    Cursor(String),
    /// The same, as at the first run, with what this makes of the cursor that was there.
    Reset(fn(&str) -> Option<String>),
    /// As [`Steer::Cursor`] with the cursor that is there, which there must be.
    KeepCursor,
    /// It left the configuration.
    Remove,
}

/// Sources and their journals.
#[async_trait]
pub trait Sources: Send + Sync {
    /// Creates the source, or finds it under its name and takes over topic and configuration. A
    /// changed `config_hash` raises the fence and drops the mark. With a `contract` that the stored
    /// cursor is not good for, the source needs a cursor ([`SourceState::needs_cursor`]) until one
    /// is set or kept, or the former contract is put again. A cursor for `contract_before` is
    /// taken over. The CloudEvents source is stored as [`EventSource::chosen`] says.
    async fn put_source(&self, source: &NewSource, now: Micros) -> Result<SourceState, StoreError>;
    /// One source, or `NotFound`.
    async fn source(&self, name: &Name) -> Result<SourceState, StoreError>;
    /// All sources by name, the removed ones included.
    async fn sources(&self) -> Result<Vec<SourceState>, StoreError>;
    /// Pauses, resumes, sets the cursor, asks for a poll now, or marks as removed. All but
    /// [`Steer::Poll`] raise the fence.
    async fn steer_source(
        &self,
        name: &Name,
        steer: Steer,
        now: Micros,
    ) -> Result<SourceState, StoreError>;
    /// The last events of the source's journal, at most `limit` and 4 MiB, newest-listed first order reversed: the
    /// one listed last comes first, which is the order to number them in.
    async fn journal(&self, name: &Name, limit: usize) -> Result<Vec<NewEvent>, StoreError>;
    /// The items of the source that were rejected, newest first, at most `limit` and
    /// [`REJECTED_BYTES_MAX`].
    async fn rejected(&self, name: &Name, limit: usize) -> Result<Vec<Rejected>, StoreError>;
}
