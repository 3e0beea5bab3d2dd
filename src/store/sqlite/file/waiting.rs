//! Rows of events that have no version yet: pending ones, and what walks have listed. Any column may
//! be damaged, so none is taken for granted.

use sqlx::sqlite::SqliteRow;

use super::row::{Cells, hash_list};
use crate::store::{
    NewEvent, StoreError,
    rules::{known::KnownPending, ops::DuePending},
    sum,
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
    let row = Cells::of(row, "pending");
    let key = hash_list(row.get("hash")?).next();
    let due = row.get("due")?;
    let one = DuePending {
        id: row.get("id")?,
        topic: row.get("topic")?,
        key: key.ok_or_else(|| row.unreadable("its key is too short"))?,
        due,
        since: row.get("since")?,
        event: NewEvent { deliver_at: Some(due), ..event(row, "event_id")? },
    };
    let committed = row.get("committed")?;
    let known = KnownPending { topic: one.topic, key: one.key, due, committed };
    row.check(sum::of_pending(one.id, &known, one.since, &one.event))?;
    Ok(one)
}

/// All rows of all journals.
pub(crate) const EVERY_LISTED: &str = "-- journals\nSELECT slot, source, id, attributes, form, \
    data, checksum FROM journal ORDER BY slot";

/// A row of a journal as it was put there.
///
/// # Errors
/// `Unreadable` when it is damaged.
pub(crate) fn listed(row: &SqliteRow) -> Result<NewEvent, StoreError> {
    let row = Cells::of(row, "journal");
    let event = event(row, "id")?;
    let slot: i64 = row.get("slot")?;
    row.check(sum::of_waiting(&slot.to_be_bytes(), &event))?;
    Ok(event)
}

/// The event in the columns `source`, `attributes`, `form`, `data`, and the one that has its id.
fn event(row: Cells<'_>, id: &'static str) -> Result<NewEvent, StoreError> {
    Ok(NewEvent {
        source: row.get("source")?,
        id: row.get(id)?,
        attributes: row.get::<&str>("attributes")?.into(),
        data: row.data()?,
        deliver_at: None,
    })
}
