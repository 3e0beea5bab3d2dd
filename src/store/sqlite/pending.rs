//! Pending events: listed, changed, and moved into the log when they are due.

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use sqlx::{Row as _, sqlite::SqliteRow};
use tokio::sync::watch;

use super::{
    SqliteStore,
    desk::Desk,
    file::{
        mend,
        row::{Cells, signed},
        slot, waiting,
    },
};
use crate::{
    event::{Micros, Topic, Version},
    store::{
        LoggedPending, Pending, PendingEvents, StoreError,
        question::question,
        rules::{
            bounds,
            known::{Change, KnownPending},
            ops::{DuePending, Hot},
            pending as rules,
        },
        sum,
    },
};

/// A pending event is damaged, and lost.
pub(super) const DAMAGED: &str = "pending_damaged";

#[async_trait]
impl PendingEvents for SqliteStore {
    async fn pending(
        &self,
        topic: &Topic,
        after: i64,
        limit: usize,
    ) -> Result<Vec<Pending>, StoreError> {
        let id = self.shared.published(topic)?.state.id;
        let mut conn = self.shared.readers.acquire().await?;
        let sql = waiting::select_pending!(
            "pending p WHERE p.topic = $1 AND p.id > $2 ORDER BY p.id LIMIT $3"
        );
        let limit = signed(limit.min(bounds::PENDING_MAX) as u64);
        let mut rows = sqlx::query(sql).bind(id).bind(after).bind(limit).fetch(&mut *conn);
        let (mut bytes, mut found) = (0, Vec::new());
        while let Some(row) = rows.try_next().await? {
            let one = match waiting::pending(&row) {
                Ok(one) => one,
                Err(error) => {
                    self.shared.holes.find_pending(row.try_get("id")?, error.to_string());
                    continue;
                }
            };
            bytes += one.event.size_bytes();
            if bytes > bounds::PENDING_BYTES_MAX && !found.is_empty() {
                break;
            }
            let DuePending { id, due, since, event, .. } = one;
            found.push(Pending { id, topic: topic.clone(), due, since, event });
        }
        Ok(found)
    }

    async fn pending_event(&self, topic: &Topic, id: i64) -> Result<Pending, StoreError> {
        let mut found = self.pending(topic, id.saturating_sub(1), 1).await?;
        found.pop().filter(|found| found.id == id).ok_or_else(|| rules::not_found(id))
    }

    async fn change_pending(&self, topic: &Topic, id: i64, due: Micros) -> Result<(), StoreError> {
        let topic = topic.clone();
        self.cold(move |desk| Box::pin(change(desk, topic, id, due))).await
    }

    async fn commit_pending(
        &self,
        topic: &Topic,
        id: i64,
        due: Micros,
        now: Micros,
    ) -> Result<Option<LoggedPending>, StoreError> {
        let topic = topic.clone();
        self.at_desk(move |desk| Box::pin(commit(desk, topic, id, due, now))).await
    }

    async fn cancel_pending(&self, topic: &Topic, id: i64) -> Result<(), StoreError> {
        let topic = topic.clone();
        self.cold(move |desk| Box::pin(cancel(desk, topic, id))).await
    }

    async fn release_pending(
        &self,
        now: Micros,
        limit: usize,
    ) -> Result<Vec<LoggedPending>, StoreError> {
        self.at_desk(move |desk| Box::pin(release(desk, now, limit))).await
    }

    fn next_pending(&self) -> watch::Receiver<Option<Micros>> {
        self.shared.next_pending.subscribe()
    }

    async fn was_pending(
        &self,
        topic: &Topic,
        version: Version,
    ) -> Result<Option<LoggedPending>, StoreError> {
        let id = self.shared.published(topic)?.state.id;
        let sql = "-- waited\nSELECT pending, since, due FROM released WHERE slot = $1";
        let row = sqlx::query(sql)
            .bind(slot::of(id, version))
            .fetch_optional(&self.shared.readers)
            .await?;
        let logged = |row: &SqliteRow| {
            let row = Cells::of(row, "released");
            Ok(LoggedPending {
                topic: topic.clone(),
                version,
                pending: row.get("pending")?,
                since: row.get("since")?,
                due: row.get("due")?,
            })
        };
        row.as_ref().map(logged).transpose()
    }
}

/// Makes a pending event due at another time.
pub(super) async fn change(
    desk: &mut Desk,
    topic: Topic,
    id: i64,
    due: Micros,
) -> Result<(), StoreError> {
    let one = rules::known(&desk.known, &topic, id)?;
    rules::may_change(id, &one)?;
    set_due(desk, (id, one), due, false).await?;
    desk.change(Change::PendingDue(id, due));
    Ok(())
}

/// Writes when an event is due and whether it is committed, and its checksum with them.
async fn set_due(
    desk: &mut Desk,
    (id, one): (i64, KnownPending),
    due: Micros,
    committed: bool,
) -> Result<(), StoreError> {
    let before = sum::of_due(id, one.due, one.committed);
    let swap = i64::from(before ^ sum::of_due(id, due, committed));
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
) -> Result<Option<LoggedPending>, StoreError> {
    desk.recover().await?;
    let one = rules::known(&desk.known, &topic, id)?;
    rules::may_commit(id, &one)?;
    if due > now {
        desk.transact(move |desk| Box::pin(commit_later(desk, (id, one), due))).await?;
        return Ok(None);
    }
    let mut one = load(desk, &[id], now).await?;
    for one in &mut one {
        one.due = due;
    }
    // One that is damaged was set aside, and told of.
    if one.is_empty() {
        return Err(rules::not_found(id));
    }
    Ok(append(desk, one, now).await?.pop())
}

async fn commit_later(
    desk: &mut Desk,
    one: (i64, KnownPending),
    due: Micros,
) -> Result<(), StoreError> {
    set_due(desk, one, due, true).await?;
    desk.change(Change::PendingCommitted(one.0, due));
    Ok(())
}

/// Removes a pending event.
pub(super) async fn cancel(desk: &mut Desk, topic: Topic, id: i64) -> Result<(), StoreError> {
    rules::may_cancel(id, &rules::known(&desk.known, &topic, id)?)?;
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
    let ids: Vec<i64> = sqlx::query_scalar(sql)
        .bind(before.0)
        .bind(signed(bounds::PENDING_MAX as u64))
        .fetch_all(&mut desk.conn)
        .await?;
    let count = ids.len();
    if count > 0 {
        tracing::warn!(
            event = "store.prepared_dropped",
            events = count,
            "prepared events were never committed and are dropped"
        );
        desk.change(Change::PendingGone(ids));
    }
    Ok(count >= bounds::PENDING_MAX)
}

/// Moves what is due into the log: one operation like an append, which the writer decides and
/// commits as it does others.
pub(super) async fn release(
    desk: &mut Desk,
    now: Micros,
    limit: usize,
) -> Result<Vec<LoggedPending>, StoreError> {
    desk.recover().await?;
    let due = desk.known.due.range(..=(now, i64::MAX)).take(limit.min(bounds::PENDING_MAX));
    let due: Vec<i64> = due.map(|(_, id)| *id).collect();
    let due = load(desk, &due, now).await?;
    if due.is_empty() {
        return Ok(Vec::new());
    }
    append(desk, due, now).await
}

async fn append(
    desk: &mut Desk,
    due: Vec<DuePending>,
    now: Micros,
) -> Result<Vec<LoggedPending>, StoreError> {
    let (reply, answer) = question();
    desk.group(vec![Hot::Release { due, now, reply }]).await;
    answer.await
}

/// Reads pending events by their numbers, in that order, as many as fit into [`bounds::PENDING_BYTES_MAX`]; those that
/// are damaged are set aside.
async fn load(desk: &mut Desk, ids: &[i64], now: Micros) -> Result<Vec<DuePending>, StoreError> {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    // In the order of the numbers given, so that a batch that is too large is cut behind.
    let sql = waiting::select_pending!(
        "json_each($1) chosen CROSS JOIN pending p ON p.id = chosen.value ORDER BY chosen.key"
    );
    let mut rows = sqlx::query(sql).bind(format!("[{}]", ids.join(","))).fetch(&mut desk.conn);
    let (mut bytes, mut found, mut damaged) = (0, Vec::new(), Vec::new());
    while let Some(row) = rows.try_next().await? {
        let id = row.try_get("id")?;
        if !desk.known.pending.contains_key(&id) {
            continue;
        }
        let one = match waiting::pending(&row) {
            Ok(one) => one,
            Err(error) => {
                damaged.push((id, error.to_string()));
                continue;
            }
        };
        bytes += one.event.size_bytes();
        if bytes > bounds::PENDING_BYTES_MAX && !found.is_empty() {
            break;
        }
        found.push(one);
    }
    drop(rows);
    set_aside(desk, damaged, now).await?;
    Ok(found)
}

/// Sets aside what was found damaged since the last call.
pub(super) async fn tell(desk: &mut Desk, now: Micros) -> Result<(), StoreError> {
    let damaged = desk.shared.holes.take_pending();
    set_aside(desk, damaged, now).await
}

/// Takes events that are damaged out of what waits: a gap of their topic tells of each, and a
/// notice.
async fn set_aside(
    desk: &mut Desk,
    damaged: Vec<(i64, String)>,
    now: Micros,
) -> Result<(), StoreError> {
    for (id, problem) in damaged {
        let Some(KnownPending { topic, .. }) = desk.known.pending.get(&id).copied() else {
            continue;
        };
        let Some(state) = desk.known.topics.get(&topic).map(|topic| topic.state.clone()) else {
            continue;
        };
        let detail = format!(
            "pending event {id} of topic `{}` is damaged in the file ({problem}) and is lost: \
             publish it again",
            state.topic
        );
        let told = detail.clone();
        desk.transact(move |desk| {
            Box::pin(async move {
                mend::gap(&mut desk.conn, topic, state.head, (DAMAGED, &told), now).await?;
                let sql = "-- damaged\nDELETE FROM pending WHERE id = $1";
                sqlx::query(sql).bind(id).execute(&mut desk.conn).await?;
                desk.change(Change::PendingGone(vec![id]));
                Ok(())
            })
        })
        .await?;
        desk.shared.holes.count(1);
        desk.shared.troubles.mended(DAMAGED, detail);
    }
    Ok(())
}
