//! Pending events: listed, changed, and moved into the log when they are due.

use futures_util::TryStreamExt as _;
use sqlx::{Row as _, sqlite::SqliteRow};
use tokio::sync::oneshot;

use super::{
    Shared,
    commit::signed,
    keys::Key,
    memory::{Change, PendingMemory},
    ops::Hot,
    read, slot,
    writer::Desk,
};
use crate::{
    event::{Micros, Topic, Version},
    store::{NewEvent, Pending, Released, StoreError},
};

/// The most events of one release or list.
const CHUNK: usize = 1_000;
/// Attributes and data of one release or list; one event goes whatever its size.
const BYTES: usize = 8 << 20;

/// A pending event that is due, with all that the log needs.
pub(super) struct Waited {
    pub(super) id: i64,
    pub(super) topic: i64,
    pub(super) key: Key,
    pub(super) due: Micros,
    pub(super) since: Micros,
    pub(super) event: NewEvent,
}

fn event(row: &SqliteRow, deliver_at: Micros) -> Result<NewEvent, StoreError> {
    Ok(NewEvent {
        source: row.get(3),
        id: row.get(4),
        attributes: row.get::<&str, _>(5).into(),
        data: read::data(row, 6, "pending")?,
        deliver_at: Some(deliver_at),
    })
}

fn size(event: &NewEvent) -> usize {
    event.attributes.len() + event.data.bytes().len()
}

fn pending(row: &SqliteRow, topic: &Topic) -> Result<Pending, StoreError> {
    let due = Micros(row.get(1));
    Ok(Pending {
        id: row.get(0),
        topic: topic.clone(),
        due,
        since: Micros(row.get(2)),
        event: event(row, due)?,
    })
}

/// The pending events of a topic above the number `after`.
pub(super) async fn list(
    shared: &Shared,
    topic: &Topic,
    after: i64,
    limit: usize,
) -> Result<Vec<Pending>, StoreError> {
    let id = shared.published(topic)?.state.id;
    let mut conn = shared.readers.acquire().await?;
    let sql = "-- pending\nSELECT id, due, since, source, event_id, attributes, form, data \
        FROM pending WHERE topic = $1 AND id > $2 ORDER BY id LIMIT $3";
    let limit = signed(limit.min(CHUNK) as u64);
    let mut rows = sqlx::query(sql).bind(id).bind(after).bind(limit).fetch(&mut *conn);
    let (mut bytes, mut found) = (0, Vec::new());
    while let Some(row) = rows.try_next().await? {
        let one = pending(&row, topic)?;
        bytes += size(&one.event);
        if bytes > BYTES && !found.is_empty() {
            break;
        }
        found.push(one);
    }
    Ok(found)
}

/// One pending event.
pub(super) async fn one(shared: &Shared, topic: &Topic, id: i64) -> Result<Pending, StoreError> {
    let mut found = list(shared, topic, id - 1, 1).await?;
    found.pop().filter(|found| found.id == id).ok_or_else(|| not_found(id))
}

fn not_found(id: i64) -> StoreError {
    StoreError::not_found("pending event", id.to_string())
}

fn known(desk: &Desk, topic: &Topic, id: i64) -> Result<PendingMemory, StoreError> {
    let topic = desk.memory.topic(topic)?.state.id;
    let known = desk.memory.pending.get(&id).copied();
    known.filter(|known| known.topic == topic).ok_or_else(|| not_found(id))
}

/// Makes a pending event due at another time.
pub(super) async fn change(
    desk: &mut Desk,
    topic: Topic,
    id: i64,
    due: Micros,
) -> Result<(), StoreError> {
    if known(desk, &topic, id)?.due == Pending::PREPARED {
        let problem = format!("pending event {id} is prepared: it waits for its commit");
        return Err(StoreError::Conflict(problem));
    }
    sqlx::query("-- another time\nUPDATE pending SET due = $2 WHERE id = $1")
        .bind(id)
        .bind(due.0)
        .execute(&mut desk.conn)
        .await?;
    desk.change(Change::PendingDue(id, due));
    Ok(())
}

/// Commits a prepared event. One that is due goes into the log in this very transaction: a cancel
/// that is asked for next finds nothing to take back.
pub(super) async fn commit(
    desk: &mut Desk,
    topic: Topic,
    id: i64,
    due: Micros,
    now: Micros,
) -> Result<Option<Released>, StoreError> {
    desk.recover().await?;
    if known(desk, &topic, id)?.due != Pending::PREPARED {
        let problem = format!("pending event {id} is not prepared: it goes when it is due");
        return Err(StoreError::Conflict(problem));
    }
    if due > now {
        desk.transact(move |desk| Box::pin(commit_later(desk, id, due))).await?;
        return Ok(None);
    }
    let mut one = load(desk, &[id]).await?;
    for one in &mut one {
        one.due = due;
    }
    Ok(append(desk, one, now).await?.pop())
}

async fn commit_later(desk: &mut Desk, id: i64, due: Micros) -> Result<(), StoreError> {
    sqlx::query("-- committed\nUPDATE pending SET due = $2, committed = 1 WHERE id = $1")
        .bind(id)
        .bind(due.0)
        .execute(&mut desk.conn)
        .await?;
    desk.change(Change::PendingCommitted(id, due));
    Ok(())
}

/// Removes a pending event.
pub(super) async fn cancel(desk: &mut Desk, topic: Topic, id: i64) -> Result<(), StoreError> {
    if known(desk, &topic, id)?.committed {
        let problem =
            format!("pending event {id} was committed: it goes into the log when it is due");
        return Err(StoreError::Conflict(problem));
    }
    sqlx::query("-- cancelled\nDELETE FROM pending WHERE id = $1")
        .bind(id)
        .execute(&mut desk.conn)
        .await?;
    desk.change(Change::PendingGone(vec![id]));
    Ok(())
}

/// Drops what was prepared before `before` and never committed; answers whether there is more.
pub(super) async fn drop_prepared(desk: &mut Desk, before: Micros) -> Result<bool, StoreError> {
    let sql = "-- prepared for long\nDELETE FROM pending WHERE id IN (SELECT id FROM pending \
        WHERE due = 9223372036854775807 AND since < $1 LIMIT $2) RETURNING id";
    let rows = sqlx::query(sql)
        .bind(before.0)
        .bind(signed(CHUNK as u64))
        .fetch_all(&mut desk.conn)
        .await?;
    if !rows.is_empty() {
        tracing::warn!(events = rows.len(), "prepared events were never committed and are dropped");
        desk.change(Change::PendingGone(rows.iter().map(|row| row.get(0)).collect()));
    }
    Ok(rows.len() >= CHUNK)
}

/// Moves what is due into the log: one operation like an append, which the writer decides and
/// commits as it does others.
pub(super) async fn release(
    desk: &mut Desk,
    now: Micros,
    limit: usize,
) -> Result<Vec<Released>, StoreError> {
    desk.recover().await?;
    let due = desk.memory.due.range(..=(now, i64::MAX)).take(limit.min(CHUNK));
    let due: Vec<i64> = due.map(|(_, id)| *id).collect();
    let due = load(desk, &due).await?;
    if due.is_empty() {
        return Ok(Vec::new());
    }
    append(desk, due, now).await
}

async fn append(
    desk: &mut Desk,
    due: Vec<Waited>,
    now: Micros,
) -> Result<Vec<Released>, StoreError> {
    let (reply, answer) = oneshot::channel();
    desk.group(vec![Hot::Release { due, now, reply }]).await;
    answer.await.map_err(|_| StoreError::Unknown(None))?
}

/// Reads pending events by their numbers, in that order, as many as fit into [`BYTES`].
async fn load(desk: &mut Desk, ids: &[i64]) -> Result<Vec<Waited>, StoreError> {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    // In the order of the numbers given, so that a batch that is too large is cut behind.
    let sql = "-- due\nSELECT p.id, p.due, p.since, p.source, p.event_id, p.attributes, p.form, p.data \
        FROM json_each($1) chosen CROSS JOIN pending p ON p.id = chosen.value ORDER BY chosen.key";
    let mut rows = sqlx::query(sql).bind(format!("[{}]", ids.join(","))).fetch(&mut desk.conn);
    let (mut bytes, mut found) = (0, Vec::new());
    while let Some(row) = rows.try_next().await? {
        let id = row.get(0);
        let Some(known) = desk.memory.pending.get(&id) else { continue };
        let event = event(&row, known.due)?;
        bytes += size(&event);
        if bytes > BYTES && !found.is_empty() {
            break;
        }
        let PendingMemory { topic, key, due, .. } = *known;
        found.push(Waited { id, topic, key, due, since: Micros(row.get(2)), event });
    }
    Ok(found)
}

/// How an event of the log waited, if it did.
pub(super) async fn was_pending(
    shared: &Shared,
    topic: &Topic,
    version: Version,
) -> Result<Option<Released>, StoreError> {
    let id = shared.published(topic)?.state.id;
    let sql = "-- waited\nSELECT pending, since, due FROM released WHERE slot = $1";
    let row = sqlx::query(sql).bind(slot::of(id, version)).fetch_optional(&shared.readers).await?;
    Ok(row.map(|row| Released {
        topic: topic.clone(),
        version,
        pending: row.get(0),
        since: Micros(row.get(1)),
        due: Micros(row.get(2)),
    }))
}
