//! The trace: attempts by day, written in batches over a connection of its own whose commits do not
//! wait for the disk.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_trait::async_trait;
use sqlx::{PgConnection, Row as _, postgres::PgRow};
use tokio::task::JoinHandle;

use super::{
    PostgresStore, partitions,
    row::{Cells, plain, signed},
    shared::Shared,
};
use crate::{
    event::Micros,
    store::{
        Attempt, AttemptQuery, Attempts, StoreError,
        trace_queue::{BATCH, TraceQueue},
    },
};

/// How long records are gathered.
const GATHERED: Duration = Duration::from_millis(100);
/// How long the database is left alone after it took nothing.
const PAUSE: Duration = Duration::from_secs(1);
/// The most that one query gives.
const QUERY_MAX: usize = 1_000;

const INSERT: &str = "-- attempts\nINSERT INTO attempts (day, subscription, topic, version, attempt, \
    started, duration_ms, status, answer, error, verdict) SELECT * FROM UNNEST($1::integer[], \
    $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], \
    $8::integer[], $9::bytea[], $10::text[], $11::text[])";

/// Who writes the trace.
pub(super) struct Trace {
    queue: Arc<TraceQueue>,
    task: parking_lot::Mutex<Option<JoinHandle<()>>>,
}

impl Trace {
    pub(super) fn start(shared: Arc<Shared>) -> Self {
        let queue = Arc::new(TraceQueue::default());
        let task = tokio::spawn(run(shared, queue.clone()));
        Self { queue, task: parking_lot::Mutex::new(Some(task)) }
    }

    /// Writes what waits, and ends.
    pub(super) async fn close(&self) {
        self.queue.closed.store(true, Ordering::Release);
        self.queue.arrived.notify_waiters();
        self.queue.arrived.notify_one();
        let task = self.task.lock().take();
        if let Some(task) = task {
            let _ = task.await;
        }
    }
}

async fn run(shared: Arc<Shared>, queue: Arc<TraceQueue>) {
    let mut conn = None;
    loop {
        let closed = queue.closed.load(Ordering::Acquire);
        let batch: Vec<Attempt> = {
            let mut waiting = queue.waiting();
            let count = waiting.len().min(BATCH);
            waiting.drain(..count).collect()
        };
        if batch.is_empty() {
            if closed {
                return;
            }
            queue.arrived.notified().await;
            let _ = tokio::time::timeout(GATHERED, queue.crowded()).await;
            continue;
        }
        if let Err(error) = write(&shared, &mut conn, &batch).await {
            tracing::warn!(
                event = "trace.write_failed", %error,
                "attempts were not recorded; tried again"
            );
            conn = None;
            queue.put_back(batch);
            if closed {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn write(
    shared: &Shared,
    slot: &mut Option<PgConnection>,
    batch: &[Attempt],
) -> Result<(), StoreError> {
    let conn = match slot {
        Some(conn) => conn,
        none => {
            let (mut conn, _) = shared.server.connect().await?;
            sqlx::query("SET synchronous_commit = off").execute(&mut conn).await?;
            none.insert(conn)
        }
    };
    if let Err(error) = insert(conn, batch).await {
        // 23514: no partition for the day; a clock may be anywhere.
        if code(&error).as_deref() != Some("23514") {
            return Err(error.into());
        }
        for attempt in batch {
            partitions::days(conn, attempt.started).await?;
        }
        insert(conn, batch).await?;
    }
    Ok(())
}

fn code(error: &sqlx::Error) -> Option<std::borrow::Cow<'_, str>> {
    error.as_database_error()?.code()
}

async fn insert(conn: &mut PgConnection, batch: &[Attempt]) -> Result<(), sqlx::Error> {
    let day =
        |attempt: &Attempt| i32::try_from(partitions::day(attempt.started)).unwrap_or(i32::MAX);
    sqlx::query(INSERT)
        .bind(batch.iter().map(day).collect::<Vec<_>>())
        .bind(batch.iter().map(|it| it.subscription).collect::<Vec<_>>())
        .bind(batch.iter().map(|it| it.topic).collect::<Vec<_>>())
        .bind(batch.iter().map(|it| signed(it.version.0)).collect::<Vec<_>>())
        .bind(batch.iter().map(|it| i64::from(it.attempt)).collect::<Vec<_>>())
        .bind(batch.iter().map(|it| it.started.0).collect::<Vec<_>>())
        .bind(batch.iter().map(|it| signed(it.duration_ms)).collect::<Vec<_>>())
        .bind(batch.iter().map(|it| it.status.map(i32::from)).collect::<Vec<_>>())
        .bind(batch.iter().map(|it| it.answer.as_slice()).collect::<Vec<_>>())
        .bind(batch.iter().map(|it| it.error.as_deref().map(plain)).collect::<Vec<_>>())
        .bind(batch.iter().map(|it| it.verdict.as_str()).collect::<Vec<_>>())
        .execute(conn)
        .await?;
    Ok(())
}

#[async_trait]
impl Attempts for PostgresStore {
    fn trace(&self, attempts: Vec<Attempt>) {
        let mut waiting = self.trace.queue.waiting();
        waiting.extend(attempts);
        self.trace.queue.bound(&mut waiting);
        drop(waiting);
        self.trace.queue.arrived.notify_one();
    }

    async fn attempts(&self, query: AttemptQuery) -> Result<Vec<Attempt>, StoreError> {
        let sql = "-- attempts\nSELECT * FROM attempts WHERE ($1::bigint IS NULL OR subscription = $1) \
            AND ($2::bigint IS NULL OR topic = $2) AND ($3::bigint IS NULL OR version = $3) \
            AND (NOT $4 OR verdict <> 'delivered') AND ($5::bigint IS NULL OR started >= $5) \
            AND ($6::integer IS NULL OR status = $6) AND ($7::bigint IS NULL OR id < $7) \
            AND ($9::bigint[] IS NULL OR subscription = ANY($9)) ORDER BY id DESC LIMIT $8";
        let rows = sqlx::query(sql)
            .bind(query.subscription)
            .bind(query.topic)
            .bind(query.version.map(|version| signed(version.0)))
            .bind(query.failed)
            .bind(query.since.map(|since| since.0))
            .bind(query.status.map(i32::from))
            .bind(query.before)
            .bind(signed(query.limit.min(QUERY_MAX) as u64))
            .bind(query.subscriptions)
            .fetch_all(&self.shared.pool)
            .await?;
        rows.iter().map(attempt).collect()
    }
}

fn attempt(row: &PgRow) -> Result<Attempt, StoreError> {
    let answer = row.try_get("answer")?;
    let row = Cells::of(row, "attempts");
    Ok(Attempt {
        id: row.get("id")?,
        subscription: row.get("subscription")?,
        topic: row.get("topic")?,
        version: row.get("version")?,
        attempt: row.small("attempt")?,
        started: row.get::<Micros>("started")?,
        duration_ms: row.count("duration_ms")?,
        status: row.status("status")?,
        answer,
        error: row.get("error")?,
        verdict: row.get("verdict")?,
    })
}
