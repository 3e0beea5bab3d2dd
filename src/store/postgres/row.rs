//! Rows and types: how each value is kept in a column, and read from one. No other file knows that.

use std::{fmt::Display, str::FromStr};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sqlx::{
    Decode, Postgres, Row as _, Type,
    error::BoxDynError,
    postgres::{PgRow, PgTypeInfo, PgValueRef},
};

use crate::{
    event::{Data, Epoch, Event, Micros, Name, Version},
    key::{KeyHash, KeyId},
    settings::Rate,
    store::{
        DeadReason, EpochStart, ExceptionKind, JobStatus, NewEvent, Origin, SourceStatus,
        StoreError, SubscriptionStatus, TopicState, rules::keys::Key,
    },
};

/// Reads types of ours from what a column keeps.
macro_rules! kept {
    ($kept:ty, $value:ident => $made:expr; $($type:ty),+) => { $(
        impl Type<Postgres> for $type {
            fn type_info() -> PgTypeInfo {
                <$kept as Type<Postgres>>::type_info()
            }

            fn compatible(kept: &PgTypeInfo) -> bool {
                <$kept as Type<Postgres>>::compatible(kept)
            }
        }

        impl<'r> Decode<'r, Postgres> for $type {
            fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
                let $value = <$kept as Decode<'r, Postgres>>::decode(value)?;
                Ok($made)
            }
        }
    )+ };
}

kept!(i64, number => Self(number.cast_unsigned()); Version);
kept!(i64, number => Self(number); Micros);
kept!(&[u8], bytes => Self(bytes.try_into()?); KeyHash);
kept!(&str, text => parsed(text)?;
    KeyId, Name, Rate, Origin, SubscriptionStatus, SourceStatus, JobStatus, ExceptionKind, DeadReason);

fn parsed<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error| format!("`{text}`: {error}"))
}

/// The columns of a row by their names.
#[derive(Clone, Copy)]
pub(super) struct Cells<'r> {
    row: &'r PgRow,
    table: &'static str,
}

impl<'r> Cells<'r> {
    /// Those that are of this table, which errors name.
    pub(super) const fn of(row: &'r PgRow, table: &'static str) -> Self {
        Self { row, table }
    }

    /// The value of a column.
    pub(super) fn get<T: Decode<'r, Postgres> + Type<Postgres>>(
        self,
        column: &'static str,
    ) -> Result<T, StoreError> {
        self.row.try_get(column).map_err(|error| match error {
            sqlx::Error::ColumnDecode { source, .. } => self.damaged(column, &source),
            error => self.damaged(column, &error),
        })
    }

    /// A count: PostgreSQL has no unsigned integers.
    pub(super) fn count(self, column: &'static str) -> Result<u64, StoreError> {
        Ok(self.get::<i64>(column)?.cast_unsigned())
    }

    /// A number that is smaller than its column allows.
    pub(super) fn small<T: TryFrom<i64, Error: Display>>(
        self,
        column: &'static str,
    ) -> Result<T, StoreError> {
        self.get::<i64>(column)?.try_into().map_err(|error| self.damaged(column, &error))
    }

    /// A status of HTTP.
    pub(super) fn status(self, column: &'static str) -> Result<Option<u16>, StoreError> {
        let status = self.get::<Option<i32>>(column)?;
        status
            .map(|status| status.try_into().map_err(|error| self.damaged(column, &error)))
            .transpose()
    }

    /// What the JSON in a column says.
    pub(super) fn json<T: Deserialize<'r>>(self, column: &'static str) -> Result<T, StoreError> {
        serde_json::from_str(self.get(column)?).map_err(|error| self.damaged(column, &error))
    }

    /// Versions kept as 8 bytes each.
    pub(super) fn versions(self, column: &'static str) -> Result<Vec<Version>, StoreError> {
        let chunks = self.get::<&[u8]>(column)?.as_chunks::<8>().0;
        Ok(chunks.iter().map(|chunk| Version(u64::from_be_bytes(*chunk))).collect())
    }

    /// Hashes kept as 16 bytes each.
    pub(super) fn hashes(
        self,
        column: &'static str,
    ) -> Result<impl Iterator<Item = Key>, StoreError> {
        let chunks = self.get::<&[u8]>(column)?.as_chunks::<16>().0;
        Ok(chunks.iter().map(|chunk| Key::from_be_bytes(*chunk)))
    }

    /// Data in the columns `form` and `data`.
    pub(super) fn data(self) -> Result<Data, StoreError> {
        // A slice would keep the whole answer in memory.
        let bytes = Bytes::copy_from_slice(self.get::<Option<&[u8]>>("data")?.unwrap_or_default());
        Ok(match self.get::<i16>("form")? {
            0 => Data::None,
            1 => Data::Json(bytes),
            2 => Data::Text(bytes),
            3 => Data::Binary(bytes),
            form => return Err(self.unreadable(format!("form {form}"))),
        })
    }

    /// Compares the column `checksum`.
    pub(super) fn check(self, sum: u32) -> Result<(), StoreError> {
        if self.get::<i64>("checksum")? == i64::from(sum) {
            Ok(())
        } else {
            Err(self.unreadable("its checksum is wrong"))
        }
    }

    /// An event that has no version yet.
    pub(super) fn new_event(self) -> Result<NewEvent, StoreError> {
        Ok(NewEvent {
            source: self.get("event_source")?,
            id: self.get("event_id")?,
            attributes: self.get::<&str>("attributes")?.into(),
            data: self.data()?,
            deliver_at: None,
        })
    }

    /// An event of the log, or one that is kept beside it.
    pub(super) fn event(self, version: Version, state: &TopicState) -> Result<Event, StoreError> {
        Ok(Event {
            version,
            epoch: state.epoch_of(version),
            recorded: self.get("recorded")?,
            attributes: self.get::<&str>("attributes")?.into(),
            data: self.data()?,
        })
    }

    /// The error for a row that cannot be what we wrote.
    pub(super) fn unreadable(self, problem: impl Into<String>) -> StoreError {
        StoreError::Unreadable { table: self.table, problem: problem.into() }
    }

    fn damaged(self, column: &str, problem: &impl Display) -> StoreError {
        self.unreadable(format!("column `{column}`: {problem}"))
    }
}

/// An epoch in its topic's row.
#[derive(Serialize, Deserialize)]
struct KeptEpoch {
    epoch: u32,
    first: u64,
    started_us: i64,
    reason: String,
}

/// Epochs as their column keeps them.
pub(super) fn epochs_text(epochs: &[EpochStart]) -> String {
    let kept = |start: &EpochStart| KeptEpoch {
        epoch: start.epoch.0,
        first: start.first.0,
        started_us: start.started.0,
        reason: start.reason.clone(),
    };
    let kept: Vec<_> = epochs.iter().map(kept).collect();
    serde_json::to_string(&kept).expect("numbers and texts")
}

/// A topic's row.
pub(super) fn topic_state(row: &PgRow) -> Result<TopicState, StoreError> {
    let row = Cells::of(row, "topics");
    let epochs: Vec<KeptEpoch> = row.json("epochs")?;
    if epochs.is_empty() {
        return Err(row.unreadable("a topic without an epoch"));
    }
    let start = |kept: KeptEpoch| EpochStart {
        epoch: Epoch(kept.epoch),
        first: Version(kept.first),
        started: Micros(kept.started_us),
        reason: kept.reason,
    };
    Ok(TopicState {
        id: row.get("id")?,
        uid: row.get("uid")?,
        topic: row.get("name")?,
        head: row.get("head")?,
        oldest: row.get("oldest")?,
        recorded: row.get("recorded")?,
        bytes: row.count("bytes")?,
        epochs: epochs.into_iter().map(start).collect(),
        edit: row.count("edit")?,
        settings: row.json("settings")?,
    })
}

/// The same bits: no count of ours reaches the sign.
pub(super) const fn signed(number: u64) -> i64 {
    number.cast_signed()
}

/// A text without NUL, which PostgreSQL does not take.
pub(super) fn plain(text: &str) -> std::borrow::Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "").into() } else { text.into() }
}
