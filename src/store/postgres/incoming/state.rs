//! How far a file has been moved into the database.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use crate::store::{
    Moved, StoreError,
    migrate::rows::{Batch, Header, Table},
};

/// How far a file has been moved.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// Which file it is,
    pub(super) store: String,
    /// and how often it had been opened.
    pub(super) run: u64,
    /// Where the events go.
    pub(super) slot: i32,
    /// The place of the next table.
    pub(super) table: usize,
    /// The key of its last row that is there.
    pub(super) after: i64,
    /// By table.
    counts: BTreeMap<String, u64>,
    lost: u64,
}

impl State {
    pub(super) fn new(header: &Header, slot: i32) -> Self {
        Self {
            store: header.store.clone(),
            run: header.run,
            slot,
            counts: [("topics".to_owned(), header.topics.len() as u64)].into(),
            ..Self::default()
        }
    }

    /// What it is behind a batch.
    pub(super) fn behind(&self, table: &Table, batch: &Batch) -> Self {
        let mut next = self.clone();
        *next.counts.entry(table.name.to_owned()).or_default() += batch.count;
        next.lost += batch.lost.len() as u64;
        (next.table, next.after) =
            if batch.is_last { (self.table + 1, 0) } else { (self.table, batch.after) };
        next
    }

    pub(super) fn moved(&self) -> Moved {
        let count = |table| self.counts.get(table).copied().unwrap_or_default();
        Moved {
            topics: count("topics"),
            events: count("events"),
            sources: count("sources"),
            subscriptions: count("subscriptions"),
            positions: count("positions"),
            dead_letters: count("dead_letters"),
            pending: count("pending"),
            dedupe_keys: count("seen"),
            lost: self.lost,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers and texts")
    }
}

/// The value of the row `registry`.
async fn value(conn: &mut PgConnection) -> Result<Vec<u8>, StoreError> {
    let sql = "-- underway\nSELECT value FROM meta WHERE name = 'registry'";
    Ok(sqlx::query_scalar(sql).fetch_one(conn).await?)
}

/// What is being moved into the database, if anything.
pub(super) async fn read(conn: &mut PgConnection) -> Result<Option<State>, StoreError> {
    let value = value(conn).await?;
    if value.is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(&value).map(Some).map_err(|error| StoreError::Refused(format!(
        "another release of milkrun has begun to move a file into the database ({error}): go on with \
         that one, or begin anew with an empty database"
    )))
}

/// Replaces what is known; `None`: nothing is being moved.
///
/// # Errors
/// `Conflict` when it is not as `from` any more.
pub(super) async fn write(
    conn: &mut PgConnection,
    from: Option<&State>,
    to: Option<&State>,
) -> Result<(), StoreError> {
    let sql = "-- moved on\nUPDATE meta SET value = $2 WHERE name = 'registry' AND value = $1";
    let bytes = |state: Option<&State>| state.map(State::bytes).unwrap_or_default();
    let moved = sqlx::query(sql).bind(bytes(from)).bind(bytes(to)).execute(conn).await?;
    if moved.rows_affected() == 0 {
        let why = "another `milkrun migrate` goes on with the same move: let it";
        return Err(StoreError::Conflict(why.into()));
    }
    Ok(())
}

/// As [`check_whole`], for whoever does not hold the row.
pub(in crate::store::postgres) async fn check(conn: &mut PgConnection) -> Result<(), StoreError> {
    check_whole(&value(conn).await?)
}

/// Whether the database is whole, by the value of its row `registry`.
///
/// # Errors
/// `Refused` when a file is still being moved into it.
pub(in crate::store::postgres) fn check_whole(registry: &[u8]) -> Result<(), StoreError> {
    if registry.is_empty() {
        return Ok(());
    }
    Err(StoreError::Refused(
        "a file is being moved into the database, and not all of it is there: run `milkrun migrate` \
         again with the same --from and --to, and start the relay when that is done"
            .into(),
    ))
}
