//! A database that a file is being moved into.
//!
//! How far that is stands in the row that whoever changes what there is has to lock, so that nobody
//! works on a half. Every batch moves it on in its own transaction, and only from where this process
//! had left it.

use sqlx::{ConnectOptions as _, Connection as _, PgConnection, Postgres, Transaction};

use self::state::State;
use super::{begin, primary::Hosts, server::WRITES};
use crate::{
    event::Micros,
    store::{
        Moved, StoreError,
        migrate::rows::{Batch, Header, Table},
    },
};

mod header;
mod insert;
pub(super) mod state;

/// A database that a file is being moved into.
pub(crate) struct Incoming {
    conn: PgConnection,
    state: State,
}

fn refused<T>(why: impl Into<String>) -> Result<T, StoreError> {
    Err(StoreError::Refused(why.into()))
}

impl Incoming {
    /// Connects to the database at `url`, making its tables as needed.
    ///
    /// # Errors
    /// As opening a store has them.
    pub(crate) async fn open(url: &str) -> Result<Self, StoreError> {
        let primary = Hosts::parse(url)?.primary(0).await?;
        let mut conn = primary.connect.options(WRITES).connect().await?;
        begin::make_tables(&mut conn, true).await?;
        Ok(Self { conn, state: State::default() })
    }

    /// Begins to move a file, or finds how far that is.
    ///
    /// # Errors
    /// `Refused` when a relay works on the database, or it is not for this file.
    pub(crate) async fn begin(&mut self, header: &Header) -> Result<(), StoreError> {
        let mut transaction = self.conn.begin().await?;
        check_unused(&mut transaction).await?;
        let underway = state::read(&mut transaction).await?;
        self.state = match underway {
            Some(known) if known.store != header.store => {
                return refused(
                    "another file is being moved into the database: go on with that one, or name an \
                     empty database",
                );
            }
            Some(known) if known.run != header.run => {
                return refused(
                    "the file was in use again since its move into the database began: begin anew, \
                     with an empty database",
                );
            }
            Some(known) => known,
            None => {
                check_empty(&mut transaction, header).await?;
                let slot = header::write(&mut transaction, header).await?;
                let state = State::new(header, slot);
                state::write(&mut transaction, None, Some(&state)).await?;
                state
            }
        };
        transaction.commit().await?;
        Ok(())
    }

    /// Which table is next, and the key behind which.
    pub(crate) fn place(&self) -> (usize, i64) {
        (self.state.table, self.state.after)
    }

    /// What is moved so far.
    pub(crate) fn moved(&self) -> Moved {
        self.state.moved()
    }

    /// Takes a batch in.
    ///
    /// # Errors
    /// As the database has them; nothing of the batch is there then, or all of it.
    pub(crate) async fn put(
        &mut self,
        table: &Table,
        batch: &Batch,
        now: Micros,
    ) -> Result<(), StoreError> {
        let next = self.state.behind(table, batch);
        let mut transaction = self.conn.begin().await?;
        insert::rows(&mut transaction, table, batch, self.state.slot).await?;
        insert::lost(&mut transaction, batch, now).await?;
        state::write(&mut transaction, Some(&self.state), Some(&next)).await?;
        transaction.commit().await?;
        self.state = next;
        Ok(())
    }

    /// Lets relays work on the database; answers what was moved.
    ///
    /// # Errors
    /// As the database has them.
    pub(crate) async fn finish(mut self) -> Result<Moved, StoreError> {
        let mut transaction = self.conn.begin().await?;
        state::write(&mut transaction, Some(&self.state), None).await?;
        let sql = "-- moved\nINSERT INTO meta (name, value) VALUES ('moved', $1)";
        sqlx::query(sql).bind(self.state.store.as_bytes()).execute(&mut *transaction).await?;
        transaction.commit().await?;
        // The plans of the first queries are made for what is there now.
        sqlx::query("ANALYZE").execute(&mut self.conn).await?;
        self.conn.close().await?;
        Ok(self.state.moved())
    }
}

/// Whether no node works on the database; none can begin until the transaction ends.
async fn check_unused(transaction: &mut Transaction<'_, Postgres>) -> Result<(), StoreError> {
    let sql = "-- registry\nSELECT 1 FROM meta WHERE name = 'registry' FOR UPDATE";
    sqlx::query(sql).execute(&mut **transaction).await?;
    let sql = "-- who works\nSELECT name FROM nodes WHERE until > clock_timestamp() LIMIT 1";
    match sqlx::query_scalar::<_, String>(sql).fetch_optional(&mut **transaction).await? {
        None => Ok(()),
        Some(name) => refused(format!(
            "a relay works on the database (node `{name}`): stop it first; one that was killed is \
             forgotten when its term is over"
        )),
    }
}

/// Whether the database has nothing of its own.
async fn check_empty(
    transaction: &mut Transaction<'_, Postgres>,
    header: &Header,
) -> Result<(), StoreError> {
    let sql = "-- moved\nSELECT value FROM meta WHERE name = 'moved'";
    let moved: Option<Vec<u8>> = sqlx::query_scalar(sql).fetch_optional(&mut **transaction).await?;
    if moved.is_some_and(|store| store == header.store.as_bytes()) {
        return refused(
            "the file has been moved into the database already: name the database as `store`, and \
             start `milkrun run`",
        );
    }
    let sql = "-- empty\nSELECT EXISTS (SELECT 1 FROM topics) OR EXISTS (SELECT 1 FROM sources) \
        OR EXISTS (SELECT 1 FROM subscriptions)";
    if sqlx::query_scalar(sql).fetch_one(&mut **transaction).await? {
        return refused(
            "the database has topics, sources or subscriptions of its own: make an empty one \
             (CREATE DATABASE), and name that",
        );
    }
    Ok(())
}
