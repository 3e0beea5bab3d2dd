//! A transaction of a lane, from its begin to the certainty of how it ended.
//!
//! Each begins by writing a number of its own into the lane's row. When the answer to a commit is
//! lost, whoever reads that row under a lock waits for the lost transaction to end, and sees whether
//! it did. No cancel request is ever sent: a commit that waits for a second machine would end with
//! success without it.

use std::time::Duration;

use sqlx::PgConnection;
use tokio::time::Instant;

use super::shared::Shared;
use crate::{clock, store::StoreError};

/// A commit is waited for no shorter than this, however little of the node's term is left.
const WAIT_MIN: Duration = Duration::from_secs(1);

/// How a commit ended.
pub(super) enum Ended {
    /// It is done.
    Committed,
    /// Nothing of it was done, or that cannot be told.
    Unknown(Option<sqlx::Error>),
}

/// The connection of a lane, and its row.
#[derive(Default)]
pub(super) struct Link {
    open: Option<(PgConnection, Instant)>,
    /// The number of the lane's row; made with the first connection.
    lane: Option<i64>,
    /// What the row has while the present transaction lasts.
    token: i64,
}

impl Link {
    /// Begins a transaction; whether the connection is a new one.
    pub(super) async fn begin(&mut self, shared: &Shared) -> Result<bool, StoreError> {
        let is_current = |(_, opened): &(PgConnection, Instant)| shared.server.is_current(*opened);
        let is_new = !self.open.as_ref().is_some_and(is_current);
        if is_new {
            self.open = None;
            self.open = Some(shared.server.connect().await?);
        }
        let lane = match self.lane {
            Some(lane) => lane,
            None => made(self.conn()?).await?,
        };
        self.lane = Some(lane);
        self.token += 1;
        let sql = format!(
            "BEGIN; UPDATE commits SET token = {}, at = clock_timestamp() WHERE lane = {lane}",
            self.token
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(self.conn()?).await?;
        Ok(is_new)
    }

    /// The connection of the transaction that has begun.
    pub(super) fn conn(&mut self) -> Result<&mut PgConnection, StoreError> {
        self.open.as_mut().map(|(conn, _)| conn).ok_or(StoreError::Closed)
    }

    /// Ends the transaction without effect.
    pub(super) async fn roll_back(&mut self) {
        if let Ok(conn) = self.conn()
            && sqlx::query("ROLLBACK").execute(conn).await.is_err()
        {
            self.open = None;
        }
    }

    /// Drops the connection, without a word to the server.
    pub(super) fn drop(&mut self) {
        self.open = None;
    }

    /// Commits, and finds out how that ended until the node's term is over.
    pub(super) async fn commit(&mut self, shared: &Shared) -> Ended {
        let left = shared.term_left().max(WAIT_MIN);
        let end = shared.clock.steady().plus(left);
        let Ok(conn) = self.conn() else { return Ended::Unknown(None) };
        let begun = clock::instant();
        let committed = tokio::time::timeout(left, sqlx::query("COMMIT").execute(conn)).await;
        shared.commit_seconds.observe(begun.elapsed().as_secs_f64());
        let error = match committed {
            Ok(Ok(_)) => return Ended::Committed,
            Ok(Err(error)) => Some(error),
            Err(_) => None,
        };
        tracing::warn!(
            event = "store.commit_unanswered",
            ?error,
            "the answer to a commit did not come; its row is looked at"
        );
        self.open = None;
        let left = end.since(shared.clock.steady());
        match tokio::time::timeout(left, self.is_committed(shared)).await {
            Ok(Ok(true)) => Ended::Committed,
            Ok(Ok(false) | Err(_)) | Err(_) => Ended::Unknown(error),
        }
    }

    /// Whether the last transaction was committed. Waits for it to end, if it still lasts.
    async fn is_committed(&mut self, shared: &Shared) -> Result<bool, StoreError> {
        self.open = Some(shared.server.connect().await?);
        let (lane, token) = (self.lane, self.token);
        let sql = "-- committed\nSELECT token FROM commits WHERE lane = $1 FOR UPDATE";
        let kept: i64 = sqlx::query_scalar(sql).bind(lane).fetch_one(self.conn()?).await?;
        Ok(kept == token)
    }
}

/// Makes a row for a lane.
async fn made(conn: &mut PgConnection) -> Result<i64, StoreError> {
    let (lane, _) = clock::fresh_uuid().as_u64_pair();
    let sql = "-- lane\nINSERT INTO commits (lane, token, at) VALUES ($1, 0, clock_timestamp()) \
        RETURNING lane";
    Ok(sqlx::query_scalar(sql).bind(lane.cast_signed()).fetch_one(conn).await?)
}

/// Removes the rows of lanes that have ended.
pub(super) async fn forget(conn: &mut PgConnection) -> Result<(), StoreError> {
    let sql = "-- old lanes\nDELETE FROM commits WHERE at < clock_timestamp() - interval '1 day'";
    sqlx::query(sql).execute(conn).await?;
    Ok(())
}
