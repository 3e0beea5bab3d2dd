//! Rows on their way from a file to a database: in columns, which the database takes as arrays.

use std::sync::Arc;

use crate::{event::Version, store::TopicState};

/// What of a file is moved at once, before its rows.
#[derive(Debug)]
pub(crate) struct Header {
    /// Which store the file is, and how often it was opened to be written.
    pub(crate) store: String,
    pub(crate) run: u64,
    pub(crate) hash_key: Vec<u8>,
    /// The moment that is known to have come, as it is kept.
    pub(crate) believed: Option<Vec<u8>>,
    /// Each with the version up to which dedupe keys are gone.
    pub(crate) topics: Vec<(Arc<TopicState>, Version)>,
    /// The last number that was given out in each of these tables.
    pub(crate) numbers: Vec<(String, i64)>,
    /// The last change of a subscription.
    pub(crate) edit: i64,
}

/// What was moved.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Moved {
    /// Topics.
    pub topics: u64,
    /// Events of the log.
    pub events: u64,
    /// Sources.
    pub sources: u64,
    /// Subscriptions, deleted ones that are still remembered among them.
    pub subscriptions: u64,
    /// Positions.
    pub positions: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// Events that wait for their time.
    pub pending: u64,
    /// Hashes by which known events are recognised.
    pub dedupe_keys: u64,
    /// How often something was damaged or missing; gaps of the topics tell more.
    pub lost: u64,
}

/// What a column keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An integer of any size.
    Number,
    /// 0 or 1 in the file, a truth value in the database.
    Flag,
    /// Text; the database takes no NUL in it.
    Text,
    /// Bytes.
    Bytes,
}

/// A column of the database and where its value comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    /// What the database calls it.
    pub(crate) name: &'static str,
    /// What the query of the file calls it.
    pub(crate) from: &'static str,
    pub(crate) kind: Kind,
    /// Whether the checksum covers it: of a damaged row nothing of it is taken over.
    pub(crate) is_event: bool,
}

impl Field {
    pub(crate) const fn new(name: &'static str, kind: Kind) -> Self {
        Self { name, from: name, kind, is_event: false }
    }

    /// A part of an event.
    pub(crate) const fn event(name: &'static str, kind: Kind) -> Self {
        Self { is_event: true, ..Self::new(name, kind) }
    }

    /// The same, which the query of the file calls otherwise.
    pub(crate) const fn of(self, from: &'static str) -> Self {
        Self { from, ..self }
    }
}

/// Which event a row has, and what its checksum covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sum {
    /// None.
    Nothing,
    /// An event of the log.
    Logged,
    /// An event that the log may have let go of, or nothing.
    Kept,
    /// One that waits for its time.
    Pending,
    /// One that a walk has listed.
    Listed,
}

/// A table of the database and the query of the file that gives its rows.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    /// Takes the last `key` that is there already and the most rows, and gives rows by rising `key`.
    /// That of [`Sum::Logged`] also takes the last key that is wanted.
    pub(crate) read: &'static str,
    pub(crate) fields: &'static [Field],
    pub(crate) sum: Sum,
}

/// The values of one column.
#[derive(Debug)]
pub(crate) enum Column {
    Numbers(Vec<Option<i64>>),
    Texts(Vec<Option<String>>),
    Bytes(Vec<Option<Vec<u8>>>),
}

impl Column {
    /// An empty one.
    pub(crate) const fn new(kind: Kind) -> Self {
        match kind {
            Kind::Number | Kind::Flag => Self::Numbers(Vec::new()),
            Kind::Text => Self::Texts(Vec::new()),
            Kind::Bytes => Self::Bytes(Vec::new()),
        }
    }
}

/// Something that was in the file and is not whole.
#[derive(Debug)]
pub(crate) struct Lost {
    /// For a person.
    pub(crate) detail: String,
    /// What tells of it from now on.
    pub(crate) gap: Option<LostGap>,
}

/// What is recorded in a topic of what is lost there.
#[derive(Debug)]
pub(crate) struct LostGap {
    pub(crate) topic: i64,
    /// The version before it.
    pub(crate) after: Version,
    pub(crate) reason: &'static str,
    /// Versions whose rows are missing: readers pass over them.
    pub(crate) hole: Option<(Version, Version)>,
}

/// As many rows as go into one transaction.
#[derive(Debug)]
pub(crate) struct Batch {
    /// In the order of the table's fields.
    pub(crate) columns: Vec<Column>,
    /// How many rows there are.
    pub(crate) rows: u64,
    /// What they count for: rows, or keys.
    pub(crate) count: u64,
    /// What of them is not whole.
    pub(crate) lost: Vec<Lost>,
    /// The key of the last one.
    pub(crate) after: i64,
    /// Whether the table has no more.
    pub(crate) is_last: bool,
}

impl Batch {
    /// Without rows, behind a key.
    pub(crate) fn new(table: &Table, after: i64) -> Self {
        let columns = table.fields.iter().map(|field| Column::new(field.kind)).collect();
        Self { columns, rows: 0, count: 0, lost: Vec::new(), after, is_last: false }
    }
}
