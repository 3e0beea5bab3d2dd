//! What a store answers when it does not do what was asked.

use std::path::PathBuf;

use crate::event::{Topic, Version};

/// Why an operation was not done. Every variant but `Unknown` means: nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such thing.
    #[error("{what} `{name}` does not exist")]
    NotFound {
        /// `topic`, `source`, `subscription`, `event`, …
        what: &'static str,
        /// As given.
        name: String,
    },
    /// The name is taken.
    #[error("{what} `{name}` exists already")]
    Exists {
        /// As in `NotFound`.
        what: &'static str,
        /// As given.
        name: String,
    },
    /// It cannot be done in the present state; the text says why.
    #[error("{0}")]
    Conflict(String),
    /// The fence has risen: somebody else holds the work, or it was steered.
    #[error("the fence has risen; this holder must let go")]
    Stale,
    /// Versions at or below this one are gone.
    #[error("history before version {oldest} is gone")]
    Trimmed {
        /// The oldest version that is kept.
        oldest: Version,
    },
    /// A limit is reached; the text names it.
    #[error("{0}")]
    Full(String),
    /// The disk is full (API: 507).
    #[error("the disk is full")]
    DiskFull,
    /// Not to be told whether it took effect; safe to repeat.
    #[error("the outcome is unknown; it is safe to repeat")]
    Unknown(#[source] Option<sqlx::Error>),
    /// A row that cannot be what we wrote.
    #[error("unreadable row in {table}: {problem}")]
    Unreadable {
        /// The table.
        table: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The database failed; the operation had no effect.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// Events that were acknowledged cannot be given: their rows are damaged or missing.
    #[error("topic `{topic}`: {problem}")]
    Damaged {
        /// The topic.
        topic: Topic,
        /// The first version.
        from: Version,
        /// The last version.
        to: Version,
        /// What is wrong, with the versions.
        problem: String,
    },
    /// The file is not the one that was opened any more: nothing is taken until it is back, or the
    /// process was started anew. The text names it.
    #[error("{0}")]
    Lost(String),
    /// The file is a store that cannot be opened.
    #[error("{}: the store cannot be opened", path.display())]
    Opening {
        /// The file.
        path: PathBuf,
        /// What failed.
        source: Box<StoreError>,
    },
    /// A row has no value where all have one.
    #[error("a row cannot be read: the file is damaged")]
    Broken,
    /// The file cannot be opened as a store: another process has it, or it is not ours; the text
    /// says which.
    #[error("{0}")]
    Refused(String),
    /// The store is closed or closing.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// A `NotFound`.
    pub fn not_found(what: &'static str, name: impl Into<String>) -> Self {
        Self::NotFound { what, name: name.into() }
    }
}
