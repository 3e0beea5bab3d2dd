//! Positions: taken up by a holder, and taken from it.

use std::sync::Arc;

use sqlx::{Row as _, sqlite::SqliteRow};

use super::{
    Shared,
    commit::signed,
    memory::{Change, PositionMemory, unsigned, version},
    read::{self, kept_event},
    replays,
    writer::Desk,
};
use crate::{
    event::{Event, Micros, Version},
    store::{Exception, ExceptionKind, LastAnswer, PositionState, StartFrom, StoreError},
};

/// A position with its exceptions.
pub(super) async fn load(shared: &Shared, position: i64) -> Result<PositionState, StoreError> {
    let gone = || StoreError::not_found("position", position.to_string());
    let mut conn = shared.readers.acquire().await?;
    // One snapshot for both statements.
    let mut transaction = sqlx::Connection::begin(&mut *conn).await?;
    let sql = "-- position\nSELECT subscription, topic, fence, reach, open, \
        (SELECT coalesce(max(version), 0) FROM dead_letters d \
         WHERE d.subscription = p.subscription AND d.topic = p.topic), p.job, p.saved \
        FROM positions p WHERE id = $1";
    let row = sqlx::query(sql)
        .bind(position)
        .fetch_optional(&mut *transaction)
        .await?
        .ok_or_else(gone)?;
    let topic = shared.name_of(row.get(1)).ok_or_else(gone)?;
    let job = match row.get::<Option<i64>, _>(6) {
        Some(job) => Some(replays::one(&mut transaction, row.get(0), job).await?.0),
        None => None,
    };
    let sql = "-- exceptions\nSELECT version, kind, attempts, tries, due, first, successes, status, \
        error, stands_out, lane FROM exceptions WHERE position = $1 ORDER BY version";
    let rows = sqlx::query(sql).bind(position).fetch_all(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(PositionState {
        id: position,
        subscription: row.get(0),
        topic,
        fence: unsigned(&row, 2),
        reach: version(&row, 3),
        open: versions(row.get(4)),
        exceptions: rows.iter().map(exception).collect::<Result<_, _>>()?,
        dead_up_to: version(&row, 5),
        job,
        saved: Micros(row.get(7)),
    })
}

/// The event of an exception that travels with its bytes.
pub(super) async fn kept(
    shared: &Shared,
    position: i64,
    version: Version,
) -> Result<Option<Arc<Event>>, StoreError> {
    let sql = "-- kept\nSELECT p.topic, x.recorded, x.attributes, x.form, x.data, x.checksum \
        FROM exceptions x JOIN positions p ON p.id = x.position \
        WHERE x.position = $1 AND x.version = $2";
    let row = sqlx::query(sql)
        .bind(position)
        .bind(signed(version.0))
        .fetch_optional(&shared.readers)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let Some(topic) = shared.name_of(row.get(0)) else { return Ok(None) };
    let state = shared.published(&topic)?.state;
    kept_event(shared, &row, (1, "exceptions"), version, &state)
}

fn exception(row: &SqliteRow) -> Result<Exception, StoreError> {
    let unreadable = |problem: String| StoreError::Unreadable { table: "exceptions", problem };
    let count = |column| {
        u32::try_from(unsigned(row, column)).map_err(|error| unreadable(error.to_string()))
    };
    Ok(Exception {
        version: version(row, 0),
        kind: kind(row.get(1))?,
        attempts: count(2)?,
        tries: count(3)?,
        due: Micros(row.get(4)),
        first: Micros(row.get(5)),
        successes: unsigned(row, 6),
        stands_out: row.get(9),
        last: last_answer(row, 7),
        lane: row.get::<Option<i64>, _>(10).map(i64::cast_unsigned),
    })
}

/// The kind of exception that a word in a row stands for.
pub(super) fn kind(word: &str) -> Result<ExceptionKind, StoreError> {
    match word {
        "retry" => Ok(ExceptionKind::Retry),
        "parked" => Ok(ExceptionKind::Parked),
        "leased" => Ok(ExceptionKind::Leased),
        "stopped" => Ok(ExceptionKind::Stopped),
        other => {
            Err(StoreError::Unreadable { table: "exceptions", problem: format!("kind {other}") })
        }
    }
}

/// The columns `status` and `error` from `column` on.
pub(super) fn last_answer(row: &SqliteRow, column: usize) -> LastAnswer {
    let status = row.get::<Option<i64>, _>(column);
    LastAnswer {
        status: status.and_then(|status| u16::try_from(status).ok()),
        error: row.get(column + 1),
    }
}

/// Versions kept as 8 bytes each.
pub(super) fn versions(bytes: &[u8]) -> Vec<Version> {
    bytes.as_chunks::<8>().0.iter().map(|chunk| Version(u64::from_be_bytes(*chunk))).collect()
}

/// One below the lowest version that is open or excepted; the reach when there is none.
pub(super) fn floor(reach: Version, open: &[Version], lowest_exception: Option<i64>) -> Version {
    let excepted = lowest_exception.map(|lowest| Version(lowest.cast_unsigned()));
    open.iter().copied().chain(excepted).min().map_or(reach, Version::previous)
}

/// The live positions of a subscription and their topics, as memory has them.
pub(super) fn of(desk: &Desk, subscription: i64) -> Vec<(i64, i64)> {
    let held = desk.memory.positions.iter();
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
    let Some(known) = desk.memory.positions.get(&position).copied() else { return Ok(()) };
    let fence = known.fence + 1;
    let sql = "-- release\nUPDATE positions SET fence = $2, reach = $3, open = x'', saved = $4 WHERE id = $1";
    sqlx::query(sql)
        .bind(position)
        .bind(signed(fence))
        .bind(signed(reach.0))
        .bind(now.0)
        .execute(&mut desk.conn)
        .await?;
    desk.change(Change::Position(position, PositionMemory { fence, ..known }));
    Ok(())
}

/// Whether so many positions more find room.
///
/// # Errors
/// `Full` when they do not.
pub(super) fn room(desk: &Desk, wanted: usize) -> Result<(), StoreError> {
    let (held, most) = (desk.memory.positions.len(), desk.shared.positions_max);
    if wanted == 0 || held + wanted <= most {
        return Ok(());
    }
    Err(StoreError::Full(format!(
        "subscriptions have {held} positions already, one for each topic of each, and {wanted} more \
         are asked for: raise `limits.positions_max: {most}` (about 5 KB of memory each), name fewer \
         topics, or delete subscriptions"
    )))
}

/// Adds a live position in a topic.
pub(super) async fn add(
    desk: &mut Desk,
    subscription: i64,
    topic: i64,
    from: StartFrom,
) -> Result<(), StoreError> {
    let Some(state) = desk.memory.topics.get(&topic).map(|topic| topic.state.clone()) else {
        return Err(StoreError::not_found("topic", topic.to_string()));
    };
    let reach = match from {
        StartFrom::Latest => state.head,
        StartFrom::Earliest => state.oldest.previous(),
        StartFrom::After(version) if version <= state.head => version,
        StartFrom::After(version) => {
            return Err(StoreError::Conflict(format!(
                "version {version} is ahead of the head {} of topic `{}`",
                state.head, state.topic
            )));
        }
        StartFrom::Since(moment) => read::search(&mut desk.conn, &state, moment).await?,
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
    let row = sqlx::query(sql)
        .bind(subscription)
        .bind(topic)
        .bind(signed(reach.0))
        .fetch_one(&mut desk.conn)
        .await?;
    let held = PositionMemory { subscription, topic, fence: 1, job: None };
    desk.change(Change::Position(row.get(0), held));
    Ok(())
}

/// Removes a live position with its dead letters, and the replay jobs beside it.
pub(super) async fn remove(desk: &mut Desk, position: i64, now: Micros) -> Result<(), StoreError> {
    let Some(live) = desk.memory.positions.get(&position).copied() else { return Ok(()) };
    let held = desk.memory.positions.iter().filter(|(_, held)| {
        held.job.is_some() && (held.subscription, held.topic) == (live.subscription, live.topic)
    });
    for job in held.map(|(id, _)| *id).collect::<Vec<i64>>() {
        replays::end_position(desk, job, "cancelled", now).await?;
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
