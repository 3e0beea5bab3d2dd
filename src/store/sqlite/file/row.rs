//! Rows and types: how each value is kept in a column, and read from one.
//!
//! No other file knows that. What is read may be damaged: that is an error with the names of the
//! table and the column, never a panic.

use std::{fmt::Display, str::FromStr};

use bytes::Bytes;
use serde::Deserialize;
use sqlx::{
    Decode, Row as _, Sqlite, Type,
    error::BoxDynError,
    sqlite::{SqliteRow, SqliteTypeInfo, SqliteValueRef},
};

use crate::{
    event::{Data, Epoch, Micros, Name, Version},
    key::{KeyHash, KeyId},
    settings::Rate,
    store::{
        DeadReason, ExceptionKind, JobStatus, Origin, SourceStatus, StoreError, SubscriptionStatus,
        rules::{bounds, keys::Key},
    },
};

/// Reads types of ours from what a column keeps.
macro_rules! kept {
    ($kept:ty, $value:ident => $made:expr; $($type:ty),+) => { $(
        impl Type<Sqlite> for $type {
            fn type_info() -> SqliteTypeInfo {
                <$kept as Type<Sqlite>>::type_info()
            }

            fn compatible(kept: &SqliteTypeInfo) -> bool {
                <$kept as Type<Sqlite>>::compatible(kept)
            }
        }

        impl<'r> Decode<'r, Sqlite> for $type {
            fn decode(value: SqliteValueRef<'r>) -> Result<Self, BoxDynError> {
                let $value = <$kept as Decode<'r, Sqlite>>::decode(value)?;
                Ok($made)
            }
        }
    )+ };
}

kept!(u64, number => Self(number); Version);
kept!(u32, number => Self(number); Epoch);
kept!(i64, number => Self(number); Micros);
kept!(&[u8], bytes => Self(bytes.try_into()?); KeyHash);
kept!(&str, text => parsed(text)?;
    KeyId, Name, Rate, Origin, SubscriptionStatus, SourceStatus, JobStatus, ExceptionKind, DeadReason);

fn parsed<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error| format!("`{text}`: {error}"))
}

/// The columns of a row by their names.
#[derive(Clone, Copy)]
pub(crate) struct Cells<'r> {
    row: &'r SqliteRow,
    table: &'static str,
}

impl<'r> Cells<'r> {
    /// Those that are of this table, which errors name.
    pub(crate) const fn of(row: &'r SqliteRow, table: &'static str) -> Self {
        Self { row, table }
    }

    /// The value of a column.
    pub(crate) fn get<T: Decode<'r, Sqlite> + Type<Sqlite>>(
        self,
        column: &'static str,
    ) -> Result<T, StoreError> {
        self.row.try_get(column).map_err(|error| match error {
            sqlx::Error::ColumnDecode { source, .. } => self.damaged(column, &source),
            error => self.damaged(column, &error),
        })
    }

    /// What the JSON in a column says.
    pub(crate) fn json<T: Deserialize<'r>>(self, column: &'static str) -> Result<T, StoreError> {
        serde_json::from_str(self.get(column)?).map_err(|error| self.damaged(column, &error))
    }

    /// Versions kept as 8 bytes each.
    pub(crate) fn versions(self, column: &'static str) -> Result<Vec<Version>, StoreError> {
        let chunks = self.get::<&[u8]>(column)?.as_chunks::<8>().0;
        Ok(chunks.iter().map(|chunk| Version(u64::from_be_bytes(*chunk))).collect())
    }

    /// Data in the columns `form` and `data`.
    pub(crate) fn data(self) -> Result<Data, StoreError> {
        let bytes = self.get::<Option<&[u8]>>("data")?.unwrap_or_default();
        formed(self.get("form")?, bytes, self.table)
    }

    /// Compares the column `checksum`, which is empty in rows that an earlier release has written.
    pub(crate) fn check(self, sum: u32) -> Result<(), StoreError> {
        match self.get::<Option<u32>>("checksum")? {
            Some(kept) if kept != sum => Err(self.unreadable("its checksum is wrong")),
            _ => Ok(()),
        }
    }

    /// The error for a row that cannot be what we wrote.
    pub(crate) fn unreadable(self, problem: impl Into<String>) -> StoreError {
        StoreError::Unreadable { table: self.table, problem: problem.into() }
    }

    fn damaged(self, column: &str, problem: &impl Display) -> StoreError {
        self.unreadable(format!("column `{column}`: {problem}"))
    }
}

/// SQLite has no unsigned integers: the same bits. No count of ours reaches the sign.
pub(crate) const fn signed(number: u64) -> i64 {
    number.cast_signed()
}

/// The hashes of one dedupe row, in version order.
pub(crate) fn hash_list(bytes: &[u8]) -> impl Iterator<Item = Key> {
    bytes.as_chunks::<16>().0.iter().map(|chunk| Key::from_be_bytes(*chunk))
}

/// Numbers as JSON, so that one statement takes any count of them.
pub(crate) fn list_text(numbers: &[i64]) -> String {
    let numbers: Vec<String> = numbers.iter().map(i64::to_string).collect();
    format!("[{}]", numbers.join(","))
}

/// Data as it is kept: a form and bytes.
pub(crate) fn formed(form: i64, bytes: &[u8], table: &'static str) -> Result<Data, StoreError> {
    // A slice would keep the whole page in memory.
    let bytes = Bytes::copy_from_slice(bytes);
    match form {
        0 => Ok(Data::None),
        1 => Ok(Data::Json(bytes)),
        2 => Ok(Data::Text(bytes)),
        3 => Ok(Data::Binary(bytes)),
        form => Err(StoreError::Unreadable { table, problem: format!("form {form}") }),
    }
}

/// As much of a text as is kept.
pub(crate) fn cut(text: &str) -> String {
    text.chars().take(bounds::ERROR_MAX_CHARS).collect()
}
