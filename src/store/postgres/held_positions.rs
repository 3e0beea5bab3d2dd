//! Positions as their holders take them up and save them.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::{PgConnection, postgres::PgRow};

use super::{
    PostgresStore,
    dead::kept_event,
    replays,
    row::{Cells, signed},
    shared::Shared,
    states,
};
use crate::{
    event::{Event, Topic, Version},
    store::{
        EventState, Exception, LastAnswer, PositionState, Positions, Settlement, StoreError,
        rules::ops::Hot,
    },
};

#[async_trait]
impl Positions for PostgresStore {
    async fn position(&self, position: i64) -> Result<PositionState, StoreError> {
        let mut conn = self.shared.pool.acquire().await?;
        // A node takes up a thousand at once, and most have nothing but their row.
        let found = taken_up(&self.shared, &mut conn, position).await?;
        if !found.has_exceptions && found.job.is_none() {
            return Ok(found.state);
        }
        // One snapshot for all statements.
        let mut transaction = sqlx::Connection::begin(&mut *conn).await?;
        let sql = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ";
        sqlx::query(sql).execute(&mut *transaction).await?;
        let Found { mut state, job, .. } =
            taken_up(&self.shared, &mut transaction, position).await?;
        if let Some(job) = job {
            state.job = Some(replays::one(&mut transaction, state.subscription, job).await?.0);
        }
        let sql = "-- exceptions\nSELECT version, kind, attempts, tries, due, first, successes, status, \
            error, stands_out, lane FROM exceptions WHERE topic = $1 AND position = $2 ORDER BY version";
        let rows = sqlx::query(sql)
            .bind(state.topic_id)
            .bind(position)
            .fetch_all(&mut *transaction)
            .await?;
        transaction.commit().await?;
        state.exceptions = rows.iter().map(exception).collect::<Result<_, _>>()?;
        Ok(state)
    }

    async fn kept_event(
        &self,
        position: i64,
        version: Version,
    ) -> Result<Option<Arc<Event>>, StoreError> {
        let sql = "-- kept\nSELECT t.name AS topic_name, x.recorded, x.attributes, x.form, x.data, x.checksum \
            FROM positions p JOIN exceptions x ON x.topic = p.topic AND x.position = p.id \
            JOIN topics t ON t.id = p.topic WHERE p.id = $1 AND x.version = $2";
        let row = sqlx::query(sql)
            .bind(position)
            .bind(signed(version.0))
            .fetch_optional(&self.shared.pool)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let topic = Cells::of(&row, "topics").get("topic_name")?;
        let state = self.shared.fresh(&topic).await?.state;
        kept_event(Cells::of(&row, "exceptions"), version, &state)
    }

    async fn event_states(
        &self,
        topic: &Topic,
        version: Version,
    ) -> Result<Vec<EventState>, StoreError> {
        states::of(&self.shared, topic, version).await
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Vec<Result<(), StoreError>> {
        let answers = settlements.into_iter().map(|settlement| {
            self.lanes.settle(|reply| Hot::Settle { settlement: Box::new(settlement), reply })
        });
        // All are queued before the first is awaited, so they share a commit.
        futures_util::future::join_all(answers).await
    }

    async fn save_health(
        &self,
        subscription: i64,
        resets: u64,
        health: String,
    ) -> Result<(), StoreError> {
        self.lanes.settle(|reply| Hot::Health { subscription, resets, health, reply }).await
    }
}

/// A position as its row has it.
struct Found {
    state: PositionState,
    job: Option<i64>,
    has_exceptions: bool,
}

/// A position that is to be taken up, without its exceptions and its job; `Stale` when its work is
/// another node's.
async fn taken_up(
    shared: &Shared,
    conn: &mut PgConnection,
    position: i64,
) -> Result<Found, StoreError> {
    let gone = || StoreError::not_found("position", position.to_string());
    let sql = "-- position\nSELECT p.subscription, p.topic, t.name AS topic_name, fence, reach, open, \
        (SELECT coalesce(max(version), 0) FROM dead_letters d \
         WHERE d.subscription = p.subscription AND d.topic = p.topic) AS dead_up_to, job, saved, \
        (SELECT h.incarnation FROM held h WHERE h.work = 'subscription' \
         AND h.number = p.subscription) AS holder, \
        EXISTS (SELECT 1 FROM exceptions x WHERE x.topic = p.topic AND x.position = p.id) \
        AS has_exceptions FROM positions p JOIN topics t ON t.id = p.topic WHERE p.id = $1";
    let row = sqlx::query(sql).bind(position).fetch_optional(conn).await?.ok_or_else(gone)?;
    let dead_up_to = Cells::of(&row, "dead_letters").get("dead_up_to")?;
    let row = Cells::of(&row, "positions");
    if shared.is_anothers(row.get("holder")?) {
        return Err(StoreError::Stale);
    }
    let state = PositionState {
        id: position,
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

fn exception(row: &PgRow) -> Result<Exception, StoreError> {
    let row = Cells::of(row, "exceptions");
    Ok(Exception {
        version: row.get("version")?,
        kind: row.get("kind")?,
        attempts: row.small("attempts")?,
        tries: row.small("tries")?,
        due: row.get("due")?,
        first: row.get("first")?,
        successes: row.count("successes")?,
        stands_out: row.get("stands_out")?,
        last: LastAnswer { status: row.status("status")?, error: row.get("error")? },
        // A hash, which uses the sign's bit, too.
        lane: row.get::<Option<i64>>("lane")?.map(i64::cast_unsigned),
    })
}
