//! Versions that were given and are lost, as the file told that the store was moved from. They are
//! looked for only where events are not there.

use sqlx::{PgConnection, PgPool};

use super::row::{Cells, signed};
use crate::{event::Version, store::StoreError};

/// The first version from `from` on that is not known to be lost.
pub(super) async fn after(pool: &PgPool, topic: i64, from: Version) -> Result<Version, StoreError> {
    let sql =
        "-- holes\nSELECT first, last FROM holes WHERE topic = $1 AND last >= $2 ORDER BY first";
    let rows = sqlx::query(sql).bind(topic).bind(signed(from.0)).fetch_all(pool).await?;
    let mut next = from;
    for row in &rows {
        let row = Cells::of(row, "holes");
        let (first, last): (Version, Version) = (row.get("first")?, row.get("last")?);
        if first > next {
            break;
        }
        next = last.next();
    }
    Ok(next)
}

/// When the first event behind a version was recorded.
pub(super) async fn recorded_behind(
    conn: &mut PgConnection,
    topic: i64,
    version: Version,
) -> Result<Option<i64>, StoreError> {
    let sql = "-- recorded behind\nSELECT recorded FROM events WHERE topic = $1 AND version > $2 \
        AND slot >= (SELECT max(slot) FROM spans WHERE topic = $1 AND first <= $2) \
        ORDER BY version LIMIT 1";
    let found = sqlx::query_scalar(sql).bind(topic).bind(signed(version.0));
    Ok(found.fetch_optional(conn).await?)
}
