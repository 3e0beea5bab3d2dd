//! Positions as their holders take them up and save them.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;

use super::{
    SqliteStore,
    file::row::{Cells, signed},
    log::kept_event,
    replays, states, waiting,
};
use crate::{
    event::{Event, Topic, Version},
    store::{
        EventState, Exception, LastAnswer, PositionState, Positions, Settlement, StoreError,
        Waiting, WaitingPlace, rules::ops::Hot,
    },
};

#[async_trait]
impl Positions for SqliteStore {
    async fn position(&self, position: i64) -> Result<PositionState, StoreError> {
        let gone = || StoreError::not_found("position", position.to_string());
        let mut conn = self.shared.readers.acquire().await?;
        // One snapshot for both statements.
        let mut transaction = sqlx::Connection::begin(&mut *conn).await?;
        let sql = "-- position\nSELECT subscription, topic, fence, reach, open, \
            (SELECT coalesce(max(version), 0) FROM dead_letters d \
             WHERE d.subscription = p.subscription AND d.topic = p.topic) AS dead_up_to, job, saved \
            FROM positions p WHERE id = $1";
        let row = sqlx::query(sql)
            .bind(position)
            .fetch_optional(&mut *transaction)
            .await?
            .ok_or_else(gone)?;
        let dead_up_to = Cells::of(&row, "dead_letters").get("dead_up_to")?;
        let row = Cells::of(&row, "positions");
        let topic_id = row.get("topic")?;
        let topic = self.shared.name_of(topic_id).ok_or_else(gone)?;
        let subscription = row.get("subscription")?;
        let job = match row.get("job")? {
            Some(job) => Some(replays::one(&mut transaction, subscription, job).await?.0),
            None => None,
        };
        let sql = "-- exceptions\nSELECT version, kind, attempts, tries, due, first, successes, status, \
            error, stands_out, lane FROM exceptions WHERE position = $1 ORDER BY version";
        let rows = sqlx::query(sql).bind(position).fetch_all(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(PositionState {
            id: position,
            subscription,
            topic,
            topic_id,
            fence: row.get("fence")?,
            reach: row.get("reach")?,
            open: row.versions("open")?,
            exceptions: rows.iter().map(exception).collect::<Result<_, _>>()?,
            dead_up_to,
            job,
            saved: row.get("saved")?,
        })
    }

    async fn kept_event(
        &self,
        position: i64,
        version: Version,
    ) -> Result<Option<Arc<Event>>, StoreError> {
        let sql = "-- kept\nSELECT p.topic, x.recorded, x.attributes, x.form, x.data, x.checksum \
            FROM exceptions x JOIN positions p ON p.id = x.position \
            WHERE x.position = $1 AND x.version = $2";
        let row = sqlx::query(sql)
            .bind(position)
            .bind(signed(version.0))
            .fetch_optional(&self.shared.readers)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let topic = Cells::of(&row, "positions").get("topic")?;
        let Some(topic) = self.shared.name_of(topic) else { return Ok(None) };
        let state = self.shared.published(&topic)?.state;
        kept_event(&self.shared, Cells::of(&row, "exceptions"), version, &state)
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
        waiting::of(&self.shared.readers, subscription, after, limit).await
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Vec<Result<(), StoreError>> {
        let answers = settlements.into_iter().map(|settlement| {
            self.hot(|reply| Hot::Settle { settlement: Box::new(settlement), reply })
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
        self.hot(|reply| Hot::Health { subscription, resets, health, reply }).await
    }
}

fn exception(row: &SqliteRow) -> Result<Exception, StoreError> {
    let row = Cells::of(row, "exceptions");
    Ok(Exception {
        version: row.get("version")?,
        kind: row.get("kind")?,
        attempts: row.get("attempts")?,
        tries: row.get("tries")?,
        due: row.get("due")?,
        first: row.get("first")?,
        successes: row.get("successes")?,
        stands_out: row.get("stands_out")?,
        last: LastAnswer { status: row.get("status")?, error: row.get("error")? },
        // A hash, which uses the sign's bit, too.
        lane: row.get::<Option<i64>>("lane")?.map(i64::cast_unsigned),
    })
}
