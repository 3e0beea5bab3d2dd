//! Where the epochs of a topic begin, as rows.

use sqlx::SqliteConnection;

use super::file::row::signed;
use crate::store::{EpochStart, StoreError};

/// Keeps where an epoch begins.
pub(super) async fn insert(
    conn: &mut SqliteConnection,
    topic: i64,
    start: &EpochStart,
) -> Result<(), StoreError> {
    let sql = "-- new epoch\nINSERT OR REPLACE INTO epochs (topic, first, epoch, started, reason) \
        VALUES ($1, $2, $3, $4, $5)";
    sqlx::query(sql)
        .bind(topic)
        .bind(signed(start.first.0))
        .bind(i64::from(start.epoch.0))
        .bind(start.started.0)
        .bind(start.reason.as_str())
        .execute(conn)
        .await?;
    Ok(())
}
