//! Positions as their holders take them up and save them.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::postgres::PgRow;

use super::{
    PostgresStore,
    dead::kept_event,
    gathered::{self, Found},
    replays,
    row::{Cells, signed},
    states, waiting,
};
use crate::{
    event::{Event, Topic, Version},
    store::{
        EventState, Exception, LastAnswer, PositionState, Positions, Settlement, StoreError,
        Waiting, WaitingPlace, rules::ops::Hot,
    },
};

#[async_trait]
impl Positions for PostgresStore {
    async fn position(&self, position: i64) -> Result<PositionState, StoreError> {
        let found = self.gathered.take_up(&self.shared, position).await?;
        if !found.has_exceptions && found.job.is_none() {
            return Ok(found.state);
        }
        // One snapshot for all statements.
        let mut transaction = self.shared.pool.begin().await?;
        let sql = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ";
        sqlx::query(sql).execute(&mut *transaction).await?;
        let found = gathered::taken_up(&self.shared, &mut transaction, &[position]).await?;
        let Found { mut state, job, .. } = gathered::only(found, position)?;
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

    async fn waiting(
        &self,
        subscription: i64,
        after: WaitingPlace,
        limit: usize,
    ) -> Result<Vec<Waiting>, StoreError> {
        waiting::of(&self.shared.pool, subscription, after, limit).await
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
