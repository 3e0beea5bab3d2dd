//! The trace, in a file of its own, written in batches by a task of its own.
//!
//! It never slows a delivery: records wait in a bounded queue, and when that is full successes go
//! first. A crash may lose the last batch; the log and the positions do not depend on it. What
//! cannot be written stays in the queue and is tried again over a new connection.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use sqlx::{
    AssertSqlSafe, SqliteConnection,
    sqlite::{SqlitePool, SqliteRow},
};
use tokio::task::JoinHandle;

use self::file::{TraceFile, Writer};
use super::{
    SqliteStore,
    desk::{bulk, shared::Shared, transaction},
    file::row::{Cells, list_text, signed},
};
use crate::{
    event::Micros,
    store::{
        ATTEMPTS_KEPT, Attempt, AttemptQuery, Attempts, StoreError,
        trace_queue::{BATCH, TraceQueue},
    },
};

/// How long records are gathered: one batch costs as much as one record, and the more of a kind
/// there are, the less room they take.
const GATHERED: Duration = Duration::from_millis(100);
/// How long the file is left alone after it took nothing.
const PAUSE: Duration = Duration::from_secs(1);
/// How often it is looked whether the files are still there, while nothing is written.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A batch that failed so often, and not for want of room, is let go.
const TRIES: u32 = 3;
/// How long a write waits for another program that has locked the file.
const PATIENCE: Duration = Duration::from_secs(1);
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

mod file;
mod packed;

/// The trace's queue, task and readers.
pub(super) struct Trace {
    queue: Arc<TraceQueue>,
    file: Arc<TraceFile>,
    task: tokio::sync::Mutex<Option<JoinHandle<()>>>,
}

impl Trace {
    /// Opens it; what is wrong with the file is said, and mended later. Without `records` the file
    /// stays as it is.
    pub(super) async fn open(shared: &Shared, records: bool) -> Self {
        let file = Arc::new(TraceFile::new(shared));
        if records {
            drop(file.writer().await);
        }
        let queue = Arc::new(TraceQueue::default());
        let task = tokio::spawn(run(queue.clone(), file.clone()));
        Self { queue, file, task: tokio::sync::Mutex::new(Some(task)) }
    }

    /// Queues records; never waits.
    pub(super) fn record(&self, attempts: Vec<Attempt>) {
        let mut waiting = self.queue.waiting();
        waiting.extend(attempts);
        self.queue.bound(&mut waiting);
        drop(waiting);
        self.queue.arrived.notify_one();
    }

    /// Attempts, newest first; none when the file cannot be read, which is said.
    pub(super) async fn query(&self, query: AttemptQuery) -> Result<Vec<Attempt>, StoreError> {
        let Some(readers) = self.file.readers() else { return Ok(Vec::new()) };
        match find(&readers, &query).await {
            Err(error) if self.file.is_damaged(&error) => {
                self.file.unread(&error).await;
                Ok(Vec::new())
            }
            found => found,
        }
    }

    /// Removes a piece of what is too old or too much.
    pub(super) async fn trim(&self, now: Micros) -> bool {
        let mut writer = self.file.writer().await;
        let Some(Writer { conn, next }) = writer.as_mut() else { return false };
        match trim(conn, now, *next - 1).await {
            Ok(more) => {
                if self.queue.waiting().is_empty() {
                    self.file.is_written();
                }
                more
            }
            Err(error) => {
                tracing::warn!(
                    event = "trace.trim_failed", %error,
                    "old attempts were not removed; tried again later"
                );
                self.file.failed(&mut writer, &error.into()).await;
                false
            }
        }
    }

    pub(super) fn gauges(&self) -> [(&'static str, f64); 2] {
        let waiting = self.queue.waiting().len();
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
        self.file.close_readers().await;
        let Some(mut writer) = self.file.take().await else { return };
        let done = sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut writer.conn).await;
        if let Err(error) = done {
            tracing::warn!(
                event = "trace.checkpoint_failed", %error,
                "the trace was not checkpointed"
            );
        }
    }
}

#[async_trait]
impl Attempts for SqliteStore {
    fn trace(&self, attempts: Vec<Attempt>) {
        self.trace.record(attempts);
    }

    async fn attempts(&self, query: AttemptQuery) -> Result<Vec<Attempt>, StoreError> {
        self.trace.query(query).await
    }
}

/// What was asked for.
async fn find(readers: &SqlitePool, query: &AttemptQuery) -> Result<Vec<Attempt>, StoreError> {
    let sql = "-- attempts\nSELECT subscription, topic, version, attempt, started, duration_ms, \
        status, answer, error, verdict, id FROM attempts \
        WHERE ($1 IS NULL OR subscription = $1) AND ($2 IS NULL OR topic = $2) \
        AND ($3 IS NULL OR version = $3) AND (NOT $4 OR verdict <> 'delivered') \
        AND ($5 IS NULL OR started >= $5) AND ($6 IS NULL OR status = $6) \
        AND ($8 IS NULL OR id < $8) \
        AND ($9 IS NULL OR subscription IN (SELECT value FROM json_each($9))) ORDER BY id DESC LIMIT $7";
    let limit = query.limit.min(QUERY_MAX);
    let among = query.subscriptions.as_deref().map(list_text);
    let rows = sqlx::query(sql)
        .bind(query.subscription)
        .bind(query.topic)
        .bind(query.version.map(|version| signed(version.0)))
        .bind(query.failed)
        .bind(query.since.map(|since| since.0))
        .bind(query.status.map(i64::from))
        .bind(signed(limit as u64))
        .bind(query.before)
        .bind(among)
        .fetch_all(readers)
        .await?;
    let mut found: Vec<Attempt> = rows.iter().map(attempt).collect::<Result<_, _>>()?;
    if !query.failed {
        found.extend(find_packed(readers, query, limit).await?);
        found.sort_unstable_by_key(|attempt| std::cmp::Reverse(attempt.id));
        found.truncate(limit);
    }
    Ok(found)
}

/// Those that are kept many in one row, newest rows first.
async fn find_packed(
    readers: &SqlitePool,
    query: &AttemptQuery,
    limit: usize,
) -> Result<Vec<Attempt>, StoreError> {
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
        (query.subscriptions.is_some(), " AND subscription IN (SELECT value FROM json_each($8))"),
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
        .bind(query.subscriptions.as_deref().map(list_text))
        .fetch(readers);
    let wanted = |attempt: &Attempt| {
        query.version.is_none_or(|version| attempt.version == version)
            && query.since.is_none_or(|since| attempt.started >= since)
            && query.before.is_none_or(|before| attempt.id < before)
    };
    let mut found = Vec::new();
    while found.len() < limit
        && let Some(row) = rows.try_next().await?
    {
        found.extend(packed::attempts(&row)?.filter(wanted));
    }
    Ok(found)
}

/// Removes a piece of what is too old or too much; `last` is the number of the newest record.
async fn trim(conn: &mut SqliteConnection, now: Micros, last: i64) -> Result<bool, sqlx::Error> {
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

async fn run(queue: Arc<TraceQueue>, file: Arc<TraceFile>) {
    let mut tries = 0;
    loop {
        let arrived = queue.arrived.notified();
        let batch: Vec<Attempt> = {
            let mut waiting = queue.waiting();
            let count = waiting.len().min(BATCH);
            waiting.drain(..count).collect()
        };
        let is_closed = queue.closed.load(Ordering::Acquire);
        if batch.is_empty() {
            if is_closed {
                return;
            }
            file.check().await;
            let _ = tokio::time::timeout(LOOK_EVERY, arrived).await;
        } else {
            match keep(&file, &batch).await {
                Kept::Yes => tries = 0,
                Kept::No if tries + 1 < TRIES && !is_closed => {
                    tries += 1;
                    queue.put_back(batch);
                }
                Kept::Later if !is_closed => queue.put_back(batch),
                Kept::No | Kept::Later => {
                    tries = 0;
                    let records = batch.len();
                    queue.dropped.fetch_add(records as u64, Ordering::Relaxed);
                    tracing::error!(event = "trace.dropped", records, "attempts were not recorded");
                }
            }
            if !is_closed && !file.is_well() {
                tokio::time::sleep(PAUSE).await;
            }
        }
        tokio::select! {
            () = tokio::time::sleep(GATHERED) => {}
            () = queue.crowded() => {}
        }
    }
}

/// What became of a batch.
enum Kept {
    Yes,
    /// There is no room, or somebody else has the file.
    Later,
    /// It may be the batch that is wrong.
    No,
}

async fn keep(file: &TraceFile, batch: &[Attempt]) -> Kept {
    if file.must_wait() {
        return Kept::Later;
    }
    // What is written into a file that is gone is gone with it.
    file.check().await;
    let mut slot = file.writer().await;
    let Some(writer) = slot.as_mut() else { return Kept::Later };
    let Err(error) = write(writer, batch).await else {
        file.is_written();
        return Kept::Yes;
    };
    let error = StoreError::from(error);
    file.failed(&mut slot, &error).await;
    match error {
        StoreError::DiskFull | StoreError::Busy(_) => Kept::Later,
        _ => Kept::No,
    }
}

/// Keeps a batch under the numbers from `next` on.
async fn write(Writer { conn, next }: &mut Writer, batch: &[Attempt]) -> Result<(), sqlx::Error> {
    let (alone, packed) = packed::pack(batch, next);
    transaction::begin(conn, PATIENCE).await?;
    bulk::rows(conn, INSERT_PACKED, &packed, |query, row| {
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
    bulk::rows(conn, INSERT, &alone, |query, attempt| {
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
    transaction::commit(conn).await
}

fn attempt(row: &SqliteRow) -> Result<Attempt, StoreError> {
    let row = Cells::of(row, "attempts");
    Ok(Attempt {
        id: row.get("id")?,
        subscription: row.get("subscription")?,
        topic: row.get("topic")?,
        version: row.get("version")?,
        attempt: row.get("attempt")?,
        started: row.get("started")?,
        duration_ms: row.get("duration_ms")?,
        status: row.get("status")?,
        answer: row.get("answer")?,
        error: row.get("error")?,
        verdict: row.get("verdict")?,
    })
}
