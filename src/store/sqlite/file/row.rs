//! Rows and types: how each value is kept in a column, and read from one.
//!
//! No other file knows that; what it reads may be damaged, which is said with the table's name.

use std::{fmt::Display, str::FromStr};

use bytes::Bytes;
use sqlx::{Row as _, sqlite::SqliteRow};

use crate::{
    event::{Data, Name, Version},
    store::{LastAnswer, StoreError, rules::keys::Key},
};

/// The longest error text that is kept.
const ERROR_MAX_CHARS: usize = 300;

/// SQLite has no unsigned integers: the same bits. No count of ours reaches the sign.
pub(crate) const fn signed(number: u64) -> i64 {
    number.cast_signed()
}

/// A name in a row.
pub(crate) fn name(
    row: &SqliteRow,
    column: usize,
    table: &'static str,
) -> Result<Name, StoreError> {
    parsed(row.get(column), table)
}

/// What a text in a row says: a name, or the word of an enum.
pub(crate) fn parsed<T: FromStr<Err: Display>>(
    text: &str,
    table: &'static str,
) -> Result<T, StoreError> {
    text.parse()
        .map_err(|error| StoreError::Unreadable { table, problem: format!("`{text}`: {error}") })
}

/// A count in a row: SQLite has no unsigned integers, and none of ours is negative.
pub(crate) fn unsigned(row: &SqliteRow, column: usize) -> u64 {
    row.get::<i64, _>(column).cast_unsigned()
}

/// A version in a row.
pub(crate) fn version(row: &SqliteRow, column: usize) -> Version {
    Version(unsigned(row, column))
}

/// Versions kept as 8 bytes each.
pub(crate) fn versions(bytes: &[u8]) -> Vec<Version> {
    bytes.as_chunks::<8>().0.iter().map(|chunk| Version(u64::from_be_bytes(*chunk))).collect()
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

/// How data is kept: its form and its bytes.
pub(crate) fn stored(data: &Data) -> (i64, Option<&[u8]>) {
    match data {
        Data::None => (0, None),
        Data::Json(bytes) => (1, Some(bytes)),
        Data::Text(bytes) => (2, Some(bytes)),
        Data::Binary(bytes) => (3, Some(bytes)),
    }
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

/// Data in the columns `form` and `data` from `column` on.
pub(crate) fn data(
    row: &SqliteRow,
    column: usize,
    table: &'static str,
) -> Result<Data, StoreError> {
    let bytes = row.try_get::<Option<&[u8]>, _>(column + 1)?.unwrap_or(&[]);
    formed(row.try_get::<Option<i64>, _>(column)?.unwrap_or(-1), bytes, table)
}

/// The columns `status` and `error` from `column` on.
pub(crate) fn last_answer(row: &SqliteRow, column: usize) -> LastAnswer {
    let status = row.get::<Option<i64>, _>(column);
    LastAnswer {
        status: status.and_then(|status| u16::try_from(status).ok()),
        error: row.get(column + 1),
    }
}

/// As much of a text as is kept.
pub(crate) fn cut(text: &str) -> String {
    text.chars().take(ERROR_MAX_CHARS).collect()
}
