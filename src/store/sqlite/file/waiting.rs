//! Rows of events that have no version yet: pending ones, and what walks have listed. Any column may
//! be damaged, so none is taken for granted.

use sqlx::{Row as _, sqlite::SqliteRow};

use super::{
    row::{formed, hash_list},
    sum,
};
use crate::{
    event::Micros,
    store::{
        NewEvent, StoreError,
        rules::{known::KnownPending, ops::DuePending},
    },
};

/// Rows that [`pending`] reads.
macro_rules! select_pending {
    ($from:literal) => {
        concat!(
            "-- pending\nSELECT p.id, p.topic, p.due, p.committed, p.since, p.hash, p.source, \
             p.event_id, p.attributes, p.form, p.data, p.checksum FROM ",
            $from
        )
    };
}
pub(crate) use select_pending;

/// All of them, in the order of their numbers.
pub(crate) const EVERY_PENDING: &str = select_pending!("pending p ORDER BY p.id");

/// A row as it was put there.
///
/// # Errors
/// `Unreadable` when it is damaged.
pub(crate) fn pending(row: &SqliteRow) -> Result<DuePending, StoreError> {
    let damaged = |problem: String| StoreError::Unreadable { table: "pending", problem };
    let (one, committed, sum) = parts(row).map_err(|error| damaged(error.to_string()))?;
    let known = KnownPending { topic: one.topic, key: one.key, due: one.due, committed };
    // An earlier release has put rows without one.
    if sum
        .is_some_and(|sum| sum != i64::from(sum::of_pending(one.id, &known, one.since, &one.event)))
    {
        return Err(damaged("its checksum is wrong".into()));
    }
    Ok(one)
}

/// The columns of a row as they are read: any may be damaged, so none is taken for granted.
fn parts(row: &SqliteRow) -> Result<(DuePending, bool, Option<i64>), sqlx::Error> {
    let unreadable = |problem: &str| sqlx::Error::Decode(problem.into());
    let due = Micros(row.try_get(2)?);
    let one = DuePending {
        id: row.try_get(0)?,
        topic: row.try_get(1)?,
        key: hash_list(row.try_get(5)?).next().ok_or_else(|| unreadable("its key is too short"))?,
        due,
        since: Micros(row.try_get(4)?),
        event: NewEvent { deliver_at: Some(due), ..event(row, 6, "pending")? },
    };
    Ok((one, row.try_get(3)?, row.try_get(11)?))
}

/// All rows of all journals.
pub(crate) const EVERY_LISTED: &str = "-- journals\nSELECT slot, source, id, attributes, form, \
    data, checksum FROM journal ORDER BY slot";

/// A row of a journal as it was put there; its columns are read as if each may be damaged.
pub(crate) fn listed(row: &SqliteRow) -> Result<NewEvent, sqlx::Error> {
    let event = event(row, 1, "journal")?;
    let slot: i64 = row.try_get(0)?;
    // An earlier release has put rows without one.
    match row.try_get::<Option<i64>, _>(6)? {
        Some(sum) if sum != i64::from(sum::of_waiting(&slot.to_be_bytes(), &event)) => {
            Err(sqlx::Error::Decode("its checksum is wrong".into()))
        }
        _ => Ok(event),
    }
}

/// The event in the columns `source`, `id`, `attributes`, `form` and `data` from `column` on.
fn event(row: &SqliteRow, column: usize, table: &'static str) -> Result<NewEvent, sqlx::Error> {
    let (form, data): (i64, Option<&[u8]>) = (row.try_get(column + 3)?, row.try_get(column + 4)?);
    Ok(NewEvent {
        source: row.try_get(column)?,
        id: row.try_get(column + 1)?,
        attributes: row.try_get::<&str, _>(column + 2)?.into(),
        data: formed(form, data.unwrap_or_default(), table)
            .map_err(|error| sqlx::Error::Decode(error.into()))?,
        deliver_at: None,
    })
}
