//! Positions that are taken up at one moment, read by one statement.
//!
//! A node that starts, or takes over from another, takes up a thousand at once, and most of them have
//! nothing but their row. One statement for each would keep the database busy for a second, in which
//! nothing is delivered.

use std::collections::HashMap;

use parking_lot::Mutex;
use sqlx::{PgConnection, postgres::PgRow};
use tokio::sync::{Semaphore, oneshot};

use super::{row::Cells, shared::Shared};
use crate::store::{PositionState, StoreError};

/// Positions that one statement reads.
const AT_ONCE: usize = 500;
/// Statements at a time; whoever comes meanwhile shares the next.
const STATEMENTS: usize = 2;

/// A position as its row has it.
pub(super) struct Found {
    pub(super) state: PositionState,
    pub(super) job: Option<i64>,
    pub(super) has_exceptions: bool,
}

type Answer = Result<Found, StoreError>;

/// Who waits for a position, and who reads.
pub(super) struct Gathered {
    waiting: Mutex<Vec<(i64, oneshot::Sender<Answer>)>>,
    turns: Semaphore,
}

impl Default for Gathered {
    fn default() -> Self {
        Self { waiting: Mutex::default(), turns: Semaphore::new(STATEMENTS) }
    }
}

impl Gathered {
    /// A position that is to be taken up, without its exceptions and its job; `Stale` when its work is
    /// another node's.
    pub(super) async fn take_up(&self, shared: &Shared, position: i64) -> Answer {
        let (reply, answer) = oneshot::channel();
        self.waiting.lock().push((position, reply));
        let turn = self.turns.acquire().await.map_err(|_| StoreError::Closed)?;
        // Somebody may have read it while this waited for its turn; else it is read now, behind those
        // that came before.
        while answer.is_empty() {
            let next: Vec<_> = {
                let mut waiting = self.waiting.lock();
                let count = waiting.len().min(AT_ONCE);
                waiting.drain(..count).collect()
            };
            // Under way in another's statement, or given up with it.
            if next.is_empty() {
                break;
            }
            read(shared, next).await;
        }
        drop(turn);
        if let Ok(found) = answer.await {
            return found;
        }
        // The statement failed: each hears of it from one of its own.
        let mut conn = shared.pool.acquire().await?;
        only(taken_up(shared, &mut conn, &[position]).await?, position)
    }
}

/// Reads positions and answers who waits for them; when that fails, nobody is answered.
async fn read(shared: &Shared, waiting: Vec<(i64, oneshot::Sender<Answer>)>) {
    let positions: Vec<i64> = waiting.iter().map(|(position, _)| *position).collect();
    let Ok(mut conn) = shared.pool.acquire().await else { return };
    let Ok(mut found) = taken_up(shared, &mut conn, &positions).await else { return };
    for (position, reply) in waiting {
        let answer = found.remove(&position).unwrap_or_else(|| Err(gone(position)));
        // Who does not wait any more needs no answer.
        let _ = reply.send(answer);
    }
}

/// The positions that are there, each as its row has it.
pub(super) async fn taken_up(
    shared: &Shared,
    conn: &mut PgConnection,
    positions: &[i64],
) -> Result<HashMap<i64, Answer>, StoreError> {
    let sql = "-- positions\nSELECT p.id, p.subscription, p.topic, t.name AS topic_name, fence, reach, \
        open, (SELECT coalesce(max(version), 0) FROM dead_letters d \
         WHERE d.subscription = p.subscription AND d.topic = p.topic) AS dead_up_to, job, saved, \
        (SELECT h.incarnation FROM held h WHERE h.work = 'subscription' \
         AND h.number = p.subscription) AS holder, \
        EXISTS (SELECT 1 FROM exceptions x WHERE x.topic = p.topic AND x.position = p.id) \
        AS has_exceptions FROM positions p JOIN topics t ON t.id = p.topic WHERE p.id = ANY($1)";
    let rows = sqlx::query(sql).bind(positions).fetch_all(conn).await?;
    rows.iter()
        .map(|row| Ok((Cells::of(row, "positions").get("id")?, found(shared, row))))
        .collect()
}

/// What was found of one position.
pub(super) fn only(mut found: HashMap<i64, Answer>, position: i64) -> Answer {
    found.remove(&position).unwrap_or_else(|| Err(gone(position)))
}

fn gone(position: i64) -> StoreError {
    StoreError::not_found("position", position.to_string())
}

fn found(shared: &Shared, row: &PgRow) -> Answer {
    let dead_up_to = Cells::of(row, "dead_letters").get("dead_up_to")?;
    let row = Cells::of(row, "positions");
    if shared.is_anothers(row.get("holder")?) {
        return Err(StoreError::Stale);
    }
    let state = PositionState {
        id: row.get("id")?,
        subscription: row.get("subscription")?,
        topic: row.get("topic_name")?,
        topic_id: row.get("topic")?,
        fence: row.count("fence")?,
        reach: row.get("reach")?,
        open: row.versions("open")?,
        exceptions: Vec::new(),
        dead_up_to,
        job: None,
        saved: row.get("saved")?,
    };
    Ok(Found { state, job: row.get("job")?, has_exceptions: row.get("has_exceptions")? })
}
