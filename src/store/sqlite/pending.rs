//! Pending events: listed, changed, and moved into the log when they are due.

use futures_util::TryStreamExt as _;
use sqlx::{Row as _, sqlite::SqliteRow};
use tokio::sync::oneshot;

use super::{
    Shared,
    commit::signed,
    keys::Key,
    memory::{Change, PendingMemory, hash_list},
    mend,
    ops::Hot,
    sheet, slot,
    writer::Desk,
};
use crate::{
    event::{Micros, Topic, Version},
    store::{Damage, NewEvent, Pending, Released, StoreError},
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

/// Rows that [`waited`] reads.
macro_rules! select {
    ($from:literal) => {
        concat!(
            "-- pending\nSELECT p.id, p.topic, p.due, p.committed, p.since, p.hash, p.source, \
             p.event_id, p.attributes, p.form, p.data, p.checksum FROM ",
            $from
        )
    };
}

/// All of them, in the order of their numbers.
pub(super) const EVERY: &str = select!("pending p ORDER BY p.id");

/// A row as it was put there.
///
/// # Errors
/// `Unreadable` when it is damaged.
pub(super) fn waited(row: &SqliteRow) -> Result<Waited, StoreError> {
    let damaged = |problem: String| StoreError::Unreadable { table: "pending", problem };
    let (one, committed, sum) = parts(row).map_err(|error| damaged(error.to_string()))?;
    let memory = PendingMemory { topic: one.topic, key: one.key, due: one.due, committed };
    // An earlier release has put rows without one.
    if sum.is_some_and(|sum| {
        sum != i64::from(sheet::pending_checksum(one.id, &memory, one.since, &one.event))
    }) {
        return Err(damaged("its checksum is wrong".into()));
    }
    Ok(one)
}

/// The columns of a row as they are read: any may be damaged, so none is taken for granted.
fn parts(row: &SqliteRow) -> Result<(Waited, bool, Option<i64>), sqlx::Error> {
    let unreadable = |problem: &str| sqlx::Error::Decode(problem.into());
    let (form, data): (i64, Option<&[u8]>) = (row.try_get(9)?, row.try_get(10)?);
    let due = Micros(row.try_get(2)?);
    let one = Waited {
        id: row.try_get(0)?,
        topic: row.try_get(1)?,
        key: hash_list(row.try_get(5)?).next().ok_or_else(|| unreadable("its key is too short"))?,
        due,
        since: Micros(row.try_get(4)?),
        event: NewEvent {
            source: row.try_get(6)?,
            id: row.try_get(7)?,
            attributes: row.try_get::<&str, _>(8)?.into(),
            data: sheet::formed(form, data.unwrap_or_default(), "pending")
                .map_err(|error| unreadable(&error.to_string()))?,
            deliver_at: Some(due),
        },
    };
    Ok((one, row.try_get(3)?, row.try_get(11)?))
}

fn size(event: &NewEvent) -> usize {
    event.attributes.len() + event.data.bytes().len()
}

/// The pending events of a topic above the number `after`, without those that are damaged.
pub(super) async fn list(
    shared: &Shared,
    topic: &Topic,
    after: i64,
    limit: usize,
) -> Result<Vec<Pending>, StoreError> {
    let id = shared.published(topic)?.state.id;
    let mut conn = shared.readers.acquire().await?;
    let sql = select!("pending p WHERE p.topic = $1 AND p.id > $2 ORDER BY p.id LIMIT $3");
    let limit = signed(limit.min(CHUNK) as u64);
    let mut rows = sqlx::query(sql).bind(id).bind(after).bind(limit).fetch(&mut *conn);
    let (mut bytes, mut found) = (0, Vec::new());
    while let Some(row) = rows.try_next().await? {
        let one = match waited(&row) {
            Ok(one) => one,
            Err(error) => {
                shared.holes.find_pending(row.try_get(0)?, error.to_string());
                continue;
            }
        };
        bytes += size(&one.event);
        if bytes > BYTES && !found.is_empty() {
            break;
        }
        let Waited { id, due, since, event, .. } = one;
        found.push(Pending { id, topic: topic.clone(), due, since, event });
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
    set_due(desk, id, due, false).await?;
    desk.change(Change::PendingDue(id, due));
    Ok(())
}

/// Writes when an event is due and whether it is committed, and its checksum with them.
async fn set_due(desk: &mut Desk, id: i64, due: Micros, committed: bool) -> Result<(), StoreError> {
    let Some(known) = desk.memory.pending.get(&id).copied() else { return Err(not_found(id)) };
    let before = sheet::due_checksum(id, known.due, known.committed);
    let swap = i64::from(before ^ sheet::due_checksum(id, due, committed));
    // SQLite has no exclusive or: what is in one of two but not in both.
    let sql = "-- another time\nUPDATE pending SET due = $2, committed = $3, \
        checksum = (checksum | $4) - (checksum & $4) WHERE id = $1";
    sqlx::query(sql)
        .bind(id)
        .bind(due.0)
        .bind(committed)
        .bind(swap)
        .execute(&mut desk.conn)
        .await?;
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
    let mut one = load(desk, &[id], now).await?;
    for one in &mut one {
        one.due = due;
    }
    // One that is damaged was set aside, and told of.
    if one.is_empty() {
        return Err(not_found(id));
    }
    Ok(append(desk, one, now).await?.pop())
}

async fn commit_later(desk: &mut Desk, id: i64, due: Micros) -> Result<(), StoreError> {
    set_due(desk, id, due, true).await?;
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
    let due = load(desk, &due, now).await?;
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

/// Reads pending events by their numbers, in that order, as many as fit into [`BYTES`]; those that
/// are damaged are set aside.
async fn load(desk: &mut Desk, ids: &[i64], now: Micros) -> Result<Vec<Waited>, StoreError> {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    // In the order of the numbers given, so that a batch that is too large is cut behind.
    let sql = select!(
        "json_each($1) chosen CROSS JOIN pending p ON p.id = chosen.value ORDER BY chosen.key"
    );
    let mut rows = sqlx::query(sql).bind(format!("[{}]", ids.join(","))).fetch(&mut desk.conn);
    let (mut bytes, mut found, mut damaged) = (0, Vec::new(), Vec::new());
    while let Some(row) = rows.try_next().await? {
        let id = row.try_get(0)?;
        if !desk.memory.pending.contains_key(&id) {
            continue;
        }
        let one = match waited(&row) {
            Ok(one) => one,
            Err(error) => {
                damaged.push((id, error.to_string()));
                continue;
            }
        };
        bytes += size(&one.event);
        if bytes > BYTES && !found.is_empty() {
            break;
        }
        found.push(one);
    }
    drop(rows);
    set_aside(desk, damaged, now).await?;
    Ok(found)
}

/// Takes events that are damaged out of what waits: a gap of their topic tells of each, and a
/// notice.
pub(super) async fn set_aside(
    desk: &mut Desk,
    damaged: Vec<(i64, String)>,
    now: Micros,
) -> Result<(), StoreError> {
    for (id, problem) in damaged {
        let Some(PendingMemory { topic, .. }) = desk.memory.pending.get(&id).copied() else {
            continue;
        };
        let Some(state) = desk.memory.topics.get(&topic).map(|topic| topic.state.clone()) else {
            continue;
        };
        let detail = format!(
            "pending event {id} of topic `{}` is damaged in the file ({problem}) and is lost: \
             publish it again",
            state.topic
        );
        let lost = Damage {
            topic: state.topic.clone(),
            from: state.head.next(),
            to: state.head,
            reason: "pending_damaged",
            detail: detail.clone(),
        };
        desk.transact(move |desk| {
            Box::pin(async move {
                mend::gap(&mut desk.conn, topic, &lost, now).await?;
                let sql = "-- damaged\nDELETE FROM pending WHERE id = $1";
                sqlx::query(sql).bind(id).execute(&mut desk.conn).await?;
                desk.change(Change::PendingGone(vec![id]));
                Ok(())
            })
        })
        .await?;
        desk.shared.holes.count(1);
        desk.shared.troubles.mended("pending_damaged", detail);
    }
    Ok(())
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
