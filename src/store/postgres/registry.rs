//! Changes of what there is: topics, sources, subscriptions. One at a time over all nodes.

use std::sync::Arc;

use sqlx::{PgConnection, Postgres, Transaction};
use tokio::sync::OwnedMutexGuard;

use super::{PostgresStore, incoming::state::check_whole, row, shared::Shared};
use crate::{
    event::Topic,
    store::{StoreError, TopicState},
};

/// Which channel tells the other nodes.
pub(super) const CHANGED: &str = "milkrun_changed";

/// A transaction that changes what there is.
pub(super) struct Registry {
    pub(super) conn: Transaction<'static, Postgres>,
    pub(super) shared: Arc<Shared>,
    /// Of this node: those that wait hold no connection.
    _turn: OwnedMutexGuard<()>,
}

impl PostgresStore {
    /// Begins a change; waits for the one that is under way.
    pub(super) async fn registry(&self) -> Result<Registry, StoreError> {
        let turn = self.shared.registering.clone().lock_owned().await;
        let mut conn = self.shared.pool.begin().await?;
        let sql = "-- registry\nSELECT value FROM meta WHERE name = 'registry' FOR UPDATE";
        let value: Vec<u8> = sqlx::query_scalar(sql).fetch_one(&mut *conn).await?;
        check_whole(&value)?;
        Ok(Registry { conn, shared: self.shared.clone(), _turn: turn })
    }
}

impl Registry {
    /// The number of the next change of a subscription: they are taken one at a time, so they are
    /// committed in their order.
    pub(super) async fn next_edit(&mut self) -> Result<i64, StoreError> {
        let sql = "-- next edit\nSELECT nextval('edits')";
        Ok(sqlx::query_scalar(sql).fetch_one(&mut *self.conn).await?)
    }

    /// Commits what nobody else has to look at.
    pub(super) async fn commit_quietly(self) -> Result<(), StoreError> {
        self.conn.commit().await.map_err(|error| StoreError::Unknown(Some(error)))
    }

    /// Commits it, and tells all nodes.
    pub(super) async fn commit(mut self) -> Result<(), StoreError> {
        sqlx::query("-- changed\nSELECT pg_notify($1, '')")
            .bind(CHANGED)
            .execute(&mut *self.conn)
            .await?;
        self.conn.commit().await.map_err(|error| StoreError::Unknown(Some(error)))?;
        self.shared.announce();
        Ok(())
    }
}

/// One topic, which nobody appends to or changes until the transaction ends.
pub(super) async fn locked(
    conn: &mut PgConnection,
    topic: &Topic,
) -> Result<TopicState, StoreError> {
    let sql = "-- locked topic\nSELECT * FROM topics WHERE name = $1 FOR NO KEY UPDATE";
    let found = sqlx::query(sql).bind(topic.as_str()).fetch_optional(conn).await?;
    row::topic_state(&found.ok_or_else(|| StoreError::not_found("topic", topic.as_str()))?)
}
