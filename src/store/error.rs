//! What a store answers when it does not do what was asked.

use std::path::PathBuf;

use sqlx::{error::DatabaseError, postgres::PgDatabaseError, sqlite::SqliteError};

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
    #[error(
        "the disk is full: nothing new is kept until there is room; reading, deleting and \
         delivering go on, and it is safe to repeat"
    )]
    DiskFull,
    /// Somebody else holds the file for now (API: 503); the text says what.
    #[error("{0}")]
    Busy(&'static str),
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
    Database(#[source] sqlx::Error),
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
    /// The file cannot be opened as a store: another process has it, or it is not ours; the text
    /// says which.
    #[error("{0}")]
    Refused(String),
    /// Another process uses the file, which was only to be looked at; the text names it.
    #[error("{0}")]
    InUse(String),
    /// The database is there, and has no tables yet.
    #[error("the database has no tables of milkrun yet: `milkrun run` makes them")]
    NoTables,
    /// The store is closed or closing.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// A `NotFound`.
    pub fn not_found(what: &'static str, name: impl Into<String>) -> Self {
        Self::NotFound { what, name: name.into() }
    }

    /// The same once more, for others who asked along; what only one can be told is `Unknown`.
    #[must_use]
    pub fn again(&self) -> Self {
        match self {
            Self::DiskFull => Self::DiskFull,
            Self::Busy(why) => Self::Busy(why),
            Self::Lost(why) => Self::Lost(why.clone()),
            _ => Self::Unknown(None),
        }
    }

    /// Whether PostgreSQL refused what was in a statement, not the statement: data exceptions
    /// (class 22) and constraints (23).
    pub(super) fn is_of_the_data(&self) -> bool {
        let Self::Database(error) = self else { return false };
        sql_state(error).is_some_and(|state| state.starts_with("22") || state.starts_with("23"))
    }

    /// SQLite's primary result code.
    pub(super) fn sqlite_code(error: &sqlx::Error) -> Option<u32> {
        Some(extended_code(error)? & 0xff)
    }

    /// Whether somebody else holds the file. 5: `SQLITE_BUSY`, 6: `SQLITE_LOCKED`.
    pub(super) fn is_busy(error: &sqlx::Error) -> bool {
        matches!(Self::sqlite_code(error), Some(5 | 6))
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if let Some(state) = sql_state(&error) {
            return of_state(&state, error);
        }
        match extended_code(&error) {
            // SQLITE_FULL, and SQLITE_IOERR_SHMSIZE: the log's index found no room.
            Some(code) if code & 0xff == 13 || code == 4_874 => Self::DiskFull,
            Some(_) if Self::is_busy(&error) => {
                Self::Busy("another program has locked the store's file; it is safe to repeat")
            }
            _ if matches!(error, sqlx::Error::PoolTimedOut) => {
                Self::Busy("no connection to the store came free in time; it is safe to repeat")
            }
            // A damaged row: a value that is none, or of another type.
            _ if matches!(error, sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_)) => {
                Self::Unreadable { table: "store", problem: error.to_string() }
            }
            _ => Self::Database(error),
        }
    }
}

fn extended_code(error: &sqlx::Error) -> Option<u32> {
    let error = error.as_database_error()?.try_downcast_ref::<SqliteError>()?;
    DatabaseError::code(error)?.parse().ok()
}

/// PostgreSQL's code for what is wrong.
fn sql_state(error: &sqlx::Error) -> Option<String> {
    let error = error.as_database_error()?.try_downcast_ref::<PgDatabaseError>()?;
    Some(error.code().to_owned())
}

/// By the classes of PostgreSQL's documentation, appendix A.
fn of_state(state: &str, error: sqlx::Error) -> StoreError {
    match state {
        "53100" => StoreError::DiskFull,
        // lock_not_available, deadlock_detected
        "55P03" | "40P01" => {
            StoreError::Busy("somebody else holds rows of the database; it is safe to repeat")
        }
        // too_many_connections; operator intervention: it starts or stops.
        "53300" | "57P01" | "57P02" | "57P03" => {
            StoreError::Busy("the database takes no requests now; it is safe to repeat")
        }
        _ => StoreError::Database(error),
    }
}
