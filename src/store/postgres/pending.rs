//! Pending events: listed, changed, and moved into the log when they are due.

use std::collections::BTreeMap;

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use sqlx::{PgConnection, postgres::PgRow};
use tokio::sync::watch;

use super::{
    PostgresStore,
    registry::locked,
    row::{Cells, plain, signed},
    shared::Shared,
};
use crate::{
    event::{Micros, Topic, Version},
    store::{
        LoggedPending, NewEvent, Pending, PendingEvents, StoreError, TopicState,
        rules::{
            bounds,
            known::KnownPending,
            ops::{DuePending, Hot},
            pending as rules,
        },
        sum,
    },
};

/// A pending event is damaged, and lost.
const DAMAGED: &str = "pending_damaged";

#[async_trait]
impl PendingEvents for PostgresStore {
    async fn pending(
        &self,
        topic: &Topic,
        after: i64,
        limit: usize,
    ) -> Result<Vec<Pending>, StoreError> {
        let id = self.shared.fresh(topic).await?.state.id;
        let mut conn = self.shared.pool.acquire().await?;
        let sql =
            "-- pending\nSELECT * FROM pending WHERE topic = $1 AND id > $2 ORDER BY id LIMIT $3";
        let limit = signed(limit.min(bounds::PENDING_MAX) as u64);
        let rows = sqlx::query(sql).bind(id).bind(after).bind(limit).fetch(&mut *conn);
        let (found, damaged) = bounded(rows).await?;
        drop(conn);
        set_aside(&self.shared, damaged).await?;
        let pending = |one: DuePending| {
            let DuePending { id, due, since, event, .. } = one;
            Pending { id, topic: topic.clone(), due, since, event }
        };
        Ok(found.into_iter().map(pending).collect())
    }

    async fn pending_event(&self, topic: &Topic, id: i64) -> Result<Pending, StoreError> {
        let mut found = self.pending(topic, id.saturating_sub(1), 1).await?;
        found.pop().filter(|found| found.id == id).ok_or_else(|| rules::not_found(id))
    }

    async fn change_pending(&self, topic: &Topic, id: i64, due: Micros) -> Result<(), StoreError> {
        let mut transaction = self.shared.pool.begin().await?;
        let (state, one) = held(&mut transaction, topic, id).await?;
        rules::may_change(id, &one)?;
        set_due(&mut transaction, (id, one), due, false).await?;
        self.end(transaction, &state).await
    }

    async fn commit_pending(
        &self,
        topic: &Topic,
        id: i64,
        due: Micros,
        now: Micros,
    ) -> Result<Option<LoggedPending>, StoreError> {
        let mut transaction = self.shared.pool.begin().await?;
        let (state, one) = held(&mut transaction, topic, id).await?;
        rules::may_commit(id, &one)?;
        if due > now {
            set_due(&mut transaction, (id, one), due, true).await?;
            self.end(transaction, &state).await?;
            return Ok(None);
        }
        // One that is due goes into the log in the transaction that ends its waiting: a cancel that is
        // asked for next finds nothing to take back.
        let row = sqlx::query("-- prepared\nSELECT * FROM pending WHERE topic = $1 AND id = $2")
            .bind(state.id)
            .bind(id)
            .fetch_one(&mut *transaction)
            .await?;
        drop(transaction);
        let due = vec![DuePending { due, ..pending(&row)? }];
        let logged = self.lanes.ask(topic, |reply| Hot::Release { due, now, reply }).await?;
        // Somebody else was faster.
        logged.into_iter().next().map(Some).ok_or_else(|| rules::not_found(id))
    }

    async fn cancel_pending(&self, topic: &Topic, id: i64) -> Result<(), StoreError> {
        let mut transaction = self.shared.pool.begin().await?;
        let (state, one) = held(&mut transaction, topic, id).await?;
        rules::may_cancel(id, &one)?;
        sqlx::query("-- cancelled\nDELETE FROM pending WHERE topic = $1 AND id = $2")
            .bind(state.id)
            .bind(id)
            .execute(&mut *transaction)
            .await?;
        self.end(transaction, &state).await
    }

    async fn release_pending(
        &self,
        now: Micros,
        limit: usize,
    ) -> Result<Vec<LoggedPending>, StoreError> {
        let mut conn = self.shared.pool.acquire().await?;
        let sql = "-- due\nSELECT * FROM pending WHERE due <= $1 ORDER BY due, id LIMIT $2";
        let limit = signed(limit.min(bounds::PENDING_MAX) as u64);
        let rows = sqlx::query(sql).bind(now.0).bind(limit).fetch(&mut *conn);
        let (found, damaged) = bounded(rows).await?;
        drop(conn);
        set_aside(&self.shared, damaged).await?;
        let mut by_topic: BTreeMap<i64, Vec<DuePending>> = BTreeMap::new();
        for one in found {
            by_topic.entry(one.topic).or_default().push(one);
        }
        let mut logged = Vec::new();
        for (id, due) in by_topic {
            let Some(topic) = self.shared.name_of(id).await? else { continue };
            logged.extend(self.lanes.ask(&topic, |reply| Hot::Release { due, now, reply }).await?);
        }
        logged.sort_by_key(|one| (one.due, one.pending));
        Ok(logged)
    }

    fn next_pending(&self) -> watch::Receiver<Option<Micros>> {
        self.shared.next_pending.subscribe()
    }

    async fn was_pending(
        &self,
        topic: &Topic,
        version: Version,
    ) -> Result<Option<LoggedPending>, StoreError> {
        let id = self.shared.fresh(topic).await?.state.id;
        let sql = "-- waited\nSELECT pending, since, due, topic, version FROM released \
            WHERE topic = $1 AND version = $2";
        let row = sqlx::query(sql)
            .bind(id)
            .bind(signed(version.0))
            .fetch_optional(&self.shared.pool)
            .await?;
        row.as_ref().map(|row| logged(row, topic)).transpose()
    }
}

impl PostgresStore {
    /// Commits a change of what is pending in a topic.
    async fn end(
        &self,
        mut transaction: sqlx::Transaction<'static, sqlx::Postgres>,
        state: &TopicState,
    ) -> Result<(), StoreError> {
        let sql = "-- pending changes\nUPDATE topics SET waiting = waiting + 1 WHERE id = $1";
        sqlx::query(sql).bind(state.id).execute(&mut *transaction).await?;
        transaction.commit().await.map_err(|error| StoreError::Unknown(Some(error)))?;
        self.shared.look_at_pending().await;
        Ok(())
    }
}

fn logged(row: &PgRow, topic: &Topic) -> Result<LoggedPending, StoreError> {
    let row = Cells::of(row, "released");
    Ok(LoggedPending {
        topic: topic.clone(),
        version: row.get("version")?,
        pending: row.get("pending")?,
        since: row.get("since")?,
        due: row.get("due")?,
    })
}

/// A row as it was put there.
///
/// # Errors
/// `Unreadable` when it is damaged.
fn pending(row: &PgRow) -> Result<DuePending, StoreError> {
    let row = Cells::of(row, "pending");
    let due = row.get("due")?;
    let one = DuePending {
        id: row.get("id")?,
        topic: row.get("topic")?,
        key: row.hashes("hash")?.next().ok_or_else(|| row.unreadable("its key is too short"))?,
        due,
        since: row.get("since")?,
        event: NewEvent { deliver_at: Some(due), ..row.new_event()? },
    };
    let committed = row.get("committed")?;
    let known = KnownPending { topic: one.topic, key: one.key, due, committed };
    row.check(sum::of_pending(one.id, &known, one.since, &one.event))?;
    Ok(one)
}

/// Topic and number of damaged rows, and what is wrong with each.
type Damaged = Vec<(i64, i64, String)>;

/// As many rows as fit into [`bounds::PENDING_BYTES_MAX`], and those that are damaged.
async fn bounded(
    mut rows: impl futures_util::Stream<Item = Result<PgRow, sqlx::Error>> + Unpin,
) -> Result<(Vec<DuePending>, Damaged), StoreError> {
    let (mut bytes, mut found, mut damaged) = (0, Vec::new(), Vec::new());
    while let Some(row) = rows.try_next().await? {
        match pending(&row) {
            Ok(one) => {
                bytes += one.event.size_bytes();
                if bytes > bounds::PENDING_BYTES_MAX && !found.is_empty() {
                    break;
                }
                found.push(one);
            }
            Err(error) => {
                let row = Cells::of(&row, "pending");
                damaged.push((row.get("topic")?, row.get("id")?, error.to_string()));
            }
        }
    }
    Ok((found, damaged))
}

/// A pending event of a topic, which nobody changes until the transaction ends.
async fn held(
    conn: &mut PgConnection,
    topic: &Topic,
    id: i64,
) -> Result<(TopicState, KnownPending), StoreError> {
    let state = locked(conn, topic).await?;
    let sql =
        "-- held pending\nSELECT due, committed, hash FROM pending WHERE topic = $1 AND id = $2";
    let row = sqlx::query(sql).bind(state.id).bind(id).fetch_optional(conn).await?;
    let row = row.ok_or_else(|| rules::not_found(id))?;
    let row = Cells::of(&row, "pending");
    let one = KnownPending {
        topic: state.id,
        key: row.hashes("hash")?.next().unwrap_or_default(),
        due: row.get("due")?,
        committed: row.get("committed")?,
    };
    Ok((state, one))
}

/// Writes when an event is due and whether it is committed, and its checksum with them.
async fn set_due(
    conn: &mut PgConnection,
    (id, one): (i64, KnownPending),
    due: Micros,
    committed: bool,
) -> Result<(), StoreError> {
    let before = sum::of_due(id, one.due, one.committed);
    let swap = i64::from(before ^ sum::of_due(id, due, committed));
    let sql = "-- another time\nUPDATE pending SET due = $2, committed = $3, checksum = checksum # $4 \
        WHERE topic = $5 AND id = $1";
    let query = sqlx::query(sql).bind(id).bind(due.0).bind(committed).bind(swap).bind(one.topic);
    query.execute(conn).await?;
    Ok(())
}

/// Takes events that are damaged out of what waits: a gap of their topic tells of each, and a
/// notice.
async fn set_aside(shared: &Shared, damaged: Damaged) -> Result<(), StoreError> {
    for (topic, id, problem) in damaged {
        let detail = format!(
            "pending event {id} is damaged in the database ({problem}) and is lost: publish it again"
        );
        let sql = "-- damaged\nWITH gone AS (DELETE FROM pending WHERE topic = $4 AND id = $1 RETURNING topic, since), \
            told AS (UPDATE topics SET waiting = waiting + 1 FROM gone WHERE topics.id = gone.topic) \
            INSERT INTO gaps (topic, source, version, recorded, reason, detail) \
            SELECT t.id, '', t.head, gone.since, $2, $3 FROM gone JOIN topics t ON t.id = gone.topic";
        let told = sqlx::query(sql)
            .bind(id)
            .bind(DAMAGED)
            .bind(plain(&detail))
            .bind(topic)
            .execute(&shared.pool)
            .await?;
        if told.rows_affected() > 0 {
            shared.server.troubles.mended(DAMAGED, detail);
        }
    }
    Ok(())
}
