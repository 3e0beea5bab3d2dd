//! What of a subscription waits for another attempt.

use sqlx::{PgPool, postgres::PgRow};

use super::row::{Cells, signed};
use crate::store::{LastAnswer, StoreError, Waiting, WaitingPlace};

/// The next `limit` of the subscription with this row number, behind `after`.
pub(super) async fn of(
    readers: &PgPool,
    subscription: i64,
    after: WaitingPlace,
    limit: usize,
) -> Result<Vec<Waiting>, StoreError> {
    let sql = "-- waiting\nSELECT x.position, t.name AS topic, p.job, x.version, x.kind, x.due, \
        x.tries, x.first, x.status, x.error FROM positions p JOIN topics t ON t.id = p.topic \
        JOIN exceptions x ON x.topic = p.topic AND x.position = p.id WHERE p.subscription = $1 \
        AND (x.due, x.position, x.version) > ($2, $3, $4) \
        ORDER BY x.due, x.position, x.version LIMIT $5";
    let rows = sqlx::query(sql)
        .bind(subscription)
        .bind(after.due.0)
        .bind(after.position)
        .bind(signed(after.version.0))
        .bind(signed(limit as u64))
        .fetch_all(readers)
        .await?;
    rows.iter().map(waiting).collect()
}

fn waiting(row: &PgRow) -> Result<Waiting, StoreError> {
    let topic = Cells::of(row, "topics").get("topic")?;
    let replay = Cells::of(row, "positions").get("job")?;
    let row = Cells::of(row, "exceptions");
    let (due, position) = (row.get("due")?, row.get("position")?);
    Ok(Waiting {
        at: WaitingPlace { due, position, version: row.get("version")? },
        topic,
        replay,
        kind: row.get("kind")?,
        attempts: row.small("tries")?,
        first: row.get("first")?,
        last: LastAnswer { status: row.status("status")?, error: row.get("error")? },
    })
}
