//! The trace, in a file of its own, written in batches by a task of its own.
//!
//! It never slows a delivery: records wait in a bounded queue, and when that is full successes go
//! first. A crash may lose the last batch; the log and the positions do not depend on it.

use std::{
    collections::VecDeque,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::TryStreamExt as _;
use sqlx::{
    AssertSqlSafe, Connection as _, Row as _, SqliteConnection,
    sqlite::{SqlitePool, SqliteRow},
};
use tokio::{sync::Notify, task::JoinHandle};

use super::{
    bulk,
    commit::signed,
    file,
    memory::{unsigned, version},
};
use crate::{
    event::Micros,
    store::{ATTEMPTS_KEPT, Attempt, AttemptQuery, StoreError},
};

/// Records that may wait.
const QUEUE: usize = 20_000;
/// Records of one transaction.
const BATCH: usize = 10_000;
/// How long records are gathered: one batch costs as much as one record, and the more of a kind
/// there are, the less room they take.
const GATHERED: Duration = Duration::from_millis(100);
/// Records kept.
const ROWS_MAX: i64 = 1_000_000;
/// The most that one query gives.
const QUERY_MAX: usize = 1_000;
/// Rows removed in one step.
const CHUNK: i64 = 5_000;

const INSERT: (&str, &str, &str) = (
    "-- attempts\nINSERT INTO attempts (id, subscription, topic, version, attempt, started, \
     duration_ms, status, answer, error, verdict) VALUES ",
    "(?,?,?,?,?,?,?,?,?,?,?)",
    "",
);
const INSERT_PACKED: (&str, &str, &str) = (
    "-- deliveries\nINSERT INTO deliveries (id, subscription, topic, attempt, status, answer, \
     first, last, started, records) VALUES ",
    "(?,?,?,?,?,?,?,?,?,?)",
    "",
);

mod packed;

/// The trace's queue, task and readers.
pub(super) struct Trace {
    queue: Arc<Queue>,
    conn: Arc<tokio::sync::Mutex<SqliteConnection>>,
    readers: SqlitePool,
    task: tokio::sync::Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Queue {
    waiting: Mutex<VecDeque<Attempt>>,
    arrived: Notify,
    dropped: AtomicU64,
    closed: std::sync::atomic::AtomicBool,
}

impl Queue {
    /// Until there is enough for a batch, or nothing more will come.
    async fn crowded(&self) {
        loop {
            let arrived = self.arrived.notified();
            let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).len();
            if waiting >= BATCH / 2 || self.closed.load(Ordering::Acquire) {
                return;
            }
            arrived.await;
        }
    }
}

impl Trace {
    pub(super) async fn open(path: &Path) -> Result<Self, StoreError> {
        let mut conn = file::open_writer(path, "NORMAL", file::TRACE).await?;
        let last = last_id(&mut conn).await?;
        let conn = Arc::new(tokio::sync::Mutex::new(conn));
        let queue = Arc::new(Queue::default());
        let task = tokio::spawn(run(queue.clone(), conn.clone(), last + 1));
        let readers = file::open_readers(path, 2).await?;
        Ok(Self { queue, conn, readers, task: tokio::sync::Mutex::new(Some(task)) })
    }

    /// Queues records; never waits.
    pub(super) fn record(&self, attempts: Vec<Attempt>) {
        let mut waiting = self.queue.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.extend(attempts);
        let excess = waiting.len().saturating_sub(QUEUE);
        if excess > 0 {
            shed(&mut waiting, excess);
            self.queue.dropped.fetch_add(excess as u64, Ordering::Relaxed);
        }
        drop(waiting);
        self.queue.arrived.notify_one();
    }

    pub(super) async fn query(&self, query: AttemptQuery) -> Result<Vec<Attempt>, StoreError> {
        let sql = "-- attempts\nSELECT subscription, topic, version, attempt, started, duration_ms, \
            status, answer, error, verdict, id FROM attempts \
            WHERE ($1 IS NULL OR subscription = $1) AND ($2 IS NULL OR topic = $2) \
            AND ($3 IS NULL OR version = $3) AND (NOT $4 OR verdict <> 'delivered') \
            AND ($5 IS NULL OR started >= $5) AND ($6 IS NULL OR status = $6) \
            AND ($8 IS NULL OR id < $8) ORDER BY id DESC LIMIT $7";
        let limit = query.limit.min(QUERY_MAX);
        let rows = sqlx::query(sql)
            .bind(query.subscription)
            .bind(query.topic)
            .bind(query.version.map(|version| signed(version.0)))
            .bind(query.failed)
            .bind(query.since.map(|since| since.0))
            .bind(query.status.map(i64::from))
            .bind(signed(limit as u64))
            .bind(query.before)
            .fetch_all(&self.readers)
            .await?;
        let mut found: Vec<Attempt> = rows.iter().map(attempt).collect();
        if !query.failed {
            found.extend(self.packed(&query, limit).await?);
            found.sort_unstable_by_key(|attempt| std::cmp::Reverse(attempt.id));
            found.truncate(limit);
        }
        Ok(found)
    }

    /// Those that are kept many in one row, newest rows first.
    async fn packed(&self, query: &AttemptQuery, limit: usize) -> Result<Vec<Attempt>, StoreError> {
        let mut sql = "-- deliveries\nSELECT id, subscription, topic, attempt, status, answer, \
            records FROM deliveries WHERE true"
            .to_owned();
        // Only what is asked for, so that an index can be used.
        for (is_given, condition) in [
            (query.subscription.is_some(), " AND subscription = $1"),
            (query.topic.is_some(), " AND topic = $2"),
            (query.version.is_some(), " AND first <= $3 AND last BETWEEN $3 AND $3 + $4"),
            (query.since.is_some(), " AND started >= $5"),
            (query.status.is_some(), " AND status = $6"),
            (query.before.is_some(), " AND id < $7"),
        ] {
            sql.push_str(if is_given { condition } else { "" });
        }
        sql.push_str(" ORDER BY id DESC");
        let mut rows = sqlx::query(AssertSqlSafe(sql))
            .bind(query.subscription)
            .bind(query.topic)
            .bind(query.version.map(|version| signed(version.0)))
            .bind(signed(packed::SPAN_MAX))
            .bind(query.since.map(|since| since.0))
            .bind(query.status.map(i64::from))
            .bind(query.before)
            .fetch(&self.readers);
        let wanted = |attempt: &Attempt| {
            query.version.is_none_or(|version| attempt.version == version)
                && query.since.is_none_or(|since| attempt.started >= since)
                && query.before.is_none_or(|before| attempt.id < before)
        };
        let mut found = Vec::new();
        while found.len() < limit
            && let Some(row) = rows.try_next().await?
        {
            found.extend(packed::attempts(&row).filter(wanted));
        }
        Ok(found)
    }

    /// Removes a piece of what is too old or too much.
    pub(super) async fn trim(&self, now: Micros) -> Result<bool, StoreError> {
        let mut conn = self.conn.lock().await;
        let last = last_id(&mut conn).await?;
        let mut more = false;
        for table in ["attempts", "deliveries"] {
            let sql = format!(
                "-- old {table}\nDELETE FROM {table} WHERE id IN (SELECT id FROM {table} \
                 WHERE started < $1 OR id <= $2 ORDER BY id LIMIT $3)"
            );
            let done = sqlx::query(AssertSqlSafe(sql))
                .bind(now.minus(ATTEMPTS_KEPT).0)
                .bind(last - ROWS_MAX)
                .bind(CHUNK)
                .execute(&mut *conn)
                .await?;
            more |= done.rows_affected() >= CHUNK.cast_unsigned();
        }
        Ok(more)
    }

    pub(super) fn gauges(&self) -> [(&'static str, f64); 2] {
        let waiting = self.queue.waiting.lock().unwrap_or_else(PoisonError::into_inner).len();
        let dropped = self.queue.dropped.load(Ordering::Relaxed);
        #[expect(clippy::cast_precision_loss, reason = "gauges are doubles")]
        [("trace_queue_records", waiting as f64), ("trace_dropped_records", dropped as f64)]
    }

    /// Writes what waits and closes.
    pub(super) async fn close(&self) {
        self.queue.closed.store(true, Ordering::Release);
        self.queue.arrived.notify_one();
        if let Some(task) = self.task.lock().await.take() {
            let _ = task.await;
        }
        self.readers.close().await;
        let mut conn = self.conn.lock().await;
        let done = sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut *conn).await;
        if let Err(error) = done {
            tracing::warn!(%error, "the trace was not checkpointed");
        }
    }
}

/// The last number given to a record.
async fn last_id(conn: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    let sql = "-- last record\nSELECT max((SELECT coalesce(max(id), 0) FROM attempts), coalesce(\
        (SELECT id + octet_length(records) / $1 - 1 FROM deliveries ORDER BY id DESC LIMIT 1), 0))";
    let row = sqlx::query(sql).bind(signed(packed::RECORD_BYTES as u64)).fetch_one(conn).await?;
    Ok(row.get(0))
}

/// Drops `excess` records: the oldest successes, then the oldest of all.
fn shed(waiting: &mut VecDeque<Attempt>, mut excess: usize) {
    waiting.retain(|attempt| {
        let goes = excess > 0 && attempt.verdict == "delivered";
        excess -= usize::from(goes);
        !goes
    });
    waiting.drain(..excess);
}

async fn run(queue: Arc<Queue>, conn: Arc<tokio::sync::Mutex<SqliteConnection>>, mut next: i64) {
    loop {
        let arrived = queue.arrived.notified();
        let batch: Vec<Attempt> = {
            let mut waiting = queue.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let count = waiting.len().min(BATCH);
            waiting.drain(..count).collect()
        };
        if batch.is_empty() {
            if queue.closed.load(Ordering::Acquire) {
                return;
            }
            arrived.await;
        } else {
            let records = batch.len();
            if let Err(error) = write(&mut *conn.lock().await, batch, &mut next).await {
                queue.dropped.fetch_add(records as u64, Ordering::Relaxed);
                tracing::error!(%error, records, "attempts were not recorded");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(GATHERED) => {}
            () = queue.crowded() => {}
        }
    }
}

/// Keeps a batch under the numbers from `next` on.
async fn write(
    conn: &mut SqliteConnection,
    batch: Vec<Attempt>,
    next: &mut i64,
) -> Result<(), sqlx::Error> {
    let (alone, packed) = packed::pack(batch, next);
    let mut transaction = conn.begin_with("BEGIN IMMEDIATE").await?;
    bulk::rows(&mut transaction, INSERT_PACKED, &packed, |query, row| {
        query
            .bind(row.like.id)
            .bind(row.like.subscription)
            .bind(row.like.topic)
            .bind(i64::from(row.like.attempt))
            .bind(row.like.status.map(i64::from))
            .bind(row.like.answer.as_slice())
            .bind(signed(row.first.0))
            .bind(signed(row.last.0))
            .bind(row.started.0)
            .bind(row.records.as_slice())
    })
    .await?;
    bulk::rows(&mut transaction, INSERT, &alone, |query, attempt| {
        query
            .bind(attempt.id)
            .bind(attempt.subscription)
            .bind(attempt.topic)
            .bind(signed(attempt.version.0))
            .bind(i64::from(attempt.attempt))
            .bind(attempt.started.0)
            .bind(signed(attempt.duration_ms))
            .bind(attempt.status.map(i64::from))
            .bind(attempt.answer.as_slice())
            .bind(attempt.error.as_deref())
            .bind(attempt.verdict.as_str())
    })
    .await?;
    transaction.commit().await
}

fn attempt(row: &SqliteRow) -> Attempt {
    Attempt {
        id: row.get(10),
        subscription: row.get(0),
        topic: row.get(1),
        version: version(row, 2),
        attempt: u32::try_from(unsigned(row, 3)).unwrap_or(u32::MAX),
        started: Micros(row.get(4)),
        duration_ms: unsigned(row, 5),
        status: row.get::<Option<i64>, _>(6).and_then(|status| u16::try_from(status).ok()),
        answer: row.get(7),
        error: row.get(8),
        verdict: row.get(9),
    }
}
