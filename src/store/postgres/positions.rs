//! Positions: added, moved, taken from their holders and removed.

use sqlx::PgConnection;

use super::{
    log,
    registry::Registry,
    row::{Cells, signed},
};
use crate::{
    event::{Micros, Version},
    store::{
        JobStatus, StartFrom, StoreError, TopicState,
        rules::registry::{self, Beginning},
    },
};

/// The live positions of a subscription and their topics.
pub(super) async fn of(
    conn: &mut PgConnection,
    subscription: i64,
) -> Result<Vec<(i64, i64)>, StoreError> {
    let sql = "-- live positions\nSELECT id, topic FROM positions \
        WHERE subscription = $1 AND job IS NULL ORDER BY id FOR NO KEY UPDATE";
    let rows = sqlx::query(sql).bind(subscription).fetch_all(conn).await?;
    let live = |row| {
        let row = Cells::of(row, "positions");
        Ok((row.get("id")?, row.get("topic")?))
    };
    rows.iter().map(live).collect()
}

/// Whether so many positions more find room beside those of all subscriptions.
///
/// # Errors
/// `Full` when they do not.
pub(super) async fn room(registry: &mut Registry, wanted: usize) -> Result<(), StoreError> {
    if wanted == 0 {
        return Ok(());
    }
    let sql = "-- positions\nSELECT count(*) FROM positions";
    let held: i64 = sqlx::query_scalar(sql).fetch_one(&mut *registry.conn).await?;
    let held = usize::try_from(held).unwrap_or_default();
    registry::room(held, wanted, registry.shared.positions_max)
}

/// Raises a position's fence, sets its reach and drops what is open.
pub(super) async fn release(
    registry: &mut Registry,
    position: i64,
    reach: Version,
    now: Micros,
) -> Result<(), StoreError> {
    let sql = "-- release\nUPDATE positions SET fence = fence + 1, reach = $2, open = '', saved = $3 \
        WHERE id = $1";
    sqlx::query(sql)
        .bind(position)
        .bind(signed(reach.0))
        .bind(now.0)
        .execute(&mut *registry.conn)
        .await?;
    Ok(())
}

/// Adds a live position in a topic.
pub(super) async fn add(
    registry: &mut Registry,
    subscription: i64,
    state: &TopicState,
    from: StartFrom,
) -> Result<(), StoreError> {
    let reach = match registry::beginning(state, from)? {
        Beginning::After(version) => version,
        Beginning::Since(moment) => log::search(&mut registry.conn, state, moment).await?,
    };
    insert(&mut registry.conn, subscription, state.id, reach).await
}

/// Adds a live position.
pub(super) async fn insert(
    conn: &mut PgConnection,
    subscription: i64,
    topic: i64,
    reach: Version,
) -> Result<(), StoreError> {
    let sql = "-- new position\nINSERT INTO positions (subscription, topic, reach, start_after) \
        VALUES ($1, $2, $3, $3)";
    sqlx::query(sql).bind(subscription).bind(topic).bind(signed(reach.0)).execute(conn).await?;
    Ok(())
}

/// Removes a live position with its dead letters, and the replay jobs beside it.
pub(super) async fn remove(
    registry: &mut Registry,
    position: i64,
    now: Micros,
) -> Result<(), StoreError> {
    let sql = "-- jobs beside\nSELECT job.id FROM positions live JOIN positions job \
        ON job.subscription = live.subscription AND job.topic = live.topic AND job.job IS NOT NULL \
        WHERE live.id = $1 ORDER BY job.id";
    let jobs: Vec<i64> =
        sqlx::query_scalar(sql).bind(position).fetch_all(&mut *registry.conn).await?;
    for job in jobs {
        end_position(registry, job, JobStatus::Cancelled, now).await?;
    }
    for sql in [
        "-- drop exceptions\nDELETE FROM exceptions \
         WHERE topic = (SELECT topic FROM positions WHERE id = $1) AND position = $1",
        "-- drop dead letters\nDELETE FROM dead_letters \
         WHERE topic = (SELECT topic FROM positions WHERE id = $1) AND position = $1",
        "-- drop position\nDELETE FROM positions WHERE id = $1",
    ] {
        sqlx::query(sql).bind(position).execute(&mut *registry.conn).await?;
    }
    Ok(())
}

/// Removes a job's position; the job keeps how far it was. Dead letters are the live position's.
pub(super) async fn end_position(
    registry: &mut Registry,
    position: i64,
    status: JobStatus,
    now: Micros,
) -> Result<(), StoreError> {
    let sql = "-- job ended\nUPDATE jobs SET status = $2, ended = $3, reach = p.reach, \
        delivered = p.delivered FROM positions p WHERE p.id = $1 AND jobs.id = p.job";
    sqlx::query(sql)
        .bind(position)
        .bind(<&str>::from(status))
        .bind(now.0)
        .execute(&mut *registry.conn)
        .await?;
    for sql in [
        "-- drop exceptions\nDELETE FROM exceptions \
         WHERE topic = (SELECT topic FROM positions WHERE id = $1) AND position = $1",
        "-- drop position\nDELETE FROM positions WHERE id = $1",
    ] {
        sqlx::query(sql).bind(position).execute(&mut *registry.conn).await?;
    }
    Ok(())
}
