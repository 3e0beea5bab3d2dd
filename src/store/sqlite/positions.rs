//! Positions: added, moved, taken from their holders and removed.

use super::{desk::Desk, file::row::signed, log};
use crate::{
    event::{Micros, Version},
    store::{
        JobStatus, StartFrom, StoreError,
        rules::{
            known::{Change, KnownPosition},
            registry::{self, Beginning},
        },
    },
};

/// The live positions of a subscription and their topics, as they are known.
pub(super) fn of(desk: &Desk, subscription: i64) -> Vec<(i64, i64)> {
    let held = desk.known.positions.iter();
    held.filter(|(_, position)| position.subscription == subscription && position.job.is_none())
        .map(|(id, position)| (*id, position.topic))
        .collect()
}

/// Raises a position's fence, sets its reach and drops what is open.
pub(super) async fn release(
    desk: &mut Desk,
    position: i64,
    reach: Version,
    now: Micros,
) -> Result<(), StoreError> {
    let Some(known) = desk.known.positions.get(&position).copied() else { return Ok(()) };
    let fence = known.fence + 1;
    let sql = "-- release\nUPDATE positions SET fence = $2, reach = $3, open = x'', saved = $4 WHERE id = $1";
    sqlx::query(sql)
        .bind(position)
        .bind(signed(fence))
        .bind(signed(reach.0))
        .bind(now.0)
        .execute(&mut desk.conn)
        .await?;
    desk.change(Change::Position(position, KnownPosition { fence, ..known }));
    Ok(())
}

/// Adds a live position in a topic.
pub(super) async fn add(
    desk: &mut Desk,
    subscription: i64,
    topic: i64,
    from: StartFrom,
) -> Result<(), StoreError> {
    let Some(state) = desk.known.topics.get(&topic).map(|topic| topic.state.clone()) else {
        return Err(StoreError::not_found("topic", topic.to_string()));
    };
    let reach = match registry::beginning(&state, from)? {
        Beginning::After(version) => version,
        Beginning::Since(moment) => log::search(&mut desk.conn, &state, moment).await?,
    };
    insert(desk, subscription, topic, reach).await
}

/// Adds a live position.
pub(super) async fn insert(
    desk: &mut Desk,
    subscription: i64,
    topic: i64,
    reach: Version,
) -> Result<(), StoreError> {
    let sql = "-- new position\nINSERT INTO positions (subscription, topic, reach, start_after) \
        VALUES ($1, $2, $3, $3) RETURNING id";
    let position = sqlx::query_scalar(sql)
        .bind(subscription)
        .bind(topic)
        .bind(signed(reach.0))
        .fetch_one(&mut desk.conn)
        .await?;
    let held = KnownPosition { subscription, topic, fence: 1, job: None };
    desk.change(Change::Position(position, held));
    Ok(())
}

/// Removes a live position with its dead letters, and the replay jobs beside it.
pub(super) async fn remove(desk: &mut Desk, position: i64, now: Micros) -> Result<(), StoreError> {
    let Some(live) = desk.known.positions.get(&position).copied() else { return Ok(()) };
    let held = desk.known.positions.iter().filter(|(_, held)| {
        held.job.is_some() && (held.subscription, held.topic) == (live.subscription, live.topic)
    });
    for job in held.map(|(id, _)| *id).collect::<Vec<i64>>() {
        end_position(desk, job, JobStatus::Cancelled, now).await?;
    }
    for sql in [
        "-- drop exceptions\nDELETE FROM exceptions WHERE position = $1",
        "-- drop dead letters\nDELETE FROM dead_letters WHERE position = $1",
        "-- drop position\nDELETE FROM positions WHERE id = $1",
    ] {
        sqlx::query(sql).bind(position).execute(&mut desk.conn).await?;
    }
    desk.change(Change::PositionGone(position));
    Ok(())
}

/// Removes a job's position; the job keeps how far it was. Dead letters are the live position's.
pub(super) async fn end_position(
    desk: &mut Desk,
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
        .execute(&mut desk.conn)
        .await?;
    for sql in [
        "-- drop exceptions\nDELETE FROM exceptions WHERE position = $1",
        "-- drop position\nDELETE FROM positions WHERE id = $1",
    ] {
        sqlx::query(sql).bind(position).execute(&mut desk.conn).await?;
    }
    desk.change(Change::PositionGone(position));
    Ok(())
}
