//! Positions as their holders take them up and save them.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::{Row as _, sqlite::SqliteRow};

use super::{
    SqliteStore,
    file::row::{last_answer, parsed, signed, unsigned, version, versions},
    log::kept_event,
    replays, states,
};
use crate::{
    event::{Event, Micros, Topic, Version},
    store::{
        EventState, Exception, PositionState, Positions, Settlement, StoreError, rules::ops::Hot,
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
             WHERE d.subscription = p.subscription AND d.topic = p.topic), p.job, p.saved \
            FROM positions p WHERE id = $1";
        let row = sqlx::query(sql)
            .bind(position)
            .fetch_optional(&mut *transaction)
            .await?
            .ok_or_else(gone)?;
        let topic = self.shared.name_of(row.get(1)).ok_or_else(gone)?;
        let job = match row.get::<Option<i64>, _>(6) {
            Some(job) => Some(replays::one(&mut transaction, row.get(0), job).await?.0),
            None => None,
        };
        let sql = "-- exceptions\nSELECT version, kind, attempts, tries, due, first, successes, status, \
            error, stands_out, lane FROM exceptions WHERE position = $1 ORDER BY version";
        let rows = sqlx::query(sql).bind(position).fetch_all(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(PositionState {
            id: position,
            subscription: row.get(0),
            topic,
            fence: unsigned(&row, 2),
            reach: version(&row, 3),
            open: versions(row.get(4)),
            exceptions: rows.iter().map(exception).collect::<Result<_, _>>()?,
            dead_up_to: version(&row, 5),
            job,
            saved: Micros(row.get(7)),
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
        let Some(topic) = self.shared.name_of(row.get(0)) else { return Ok(None) };
        let state = self.shared.published(&topic)?.state;
        kept_event(&self.shared, &row, (1, "exceptions"), version, &state)
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
    let unreadable = |problem: String| StoreError::Unreadable { table: "exceptions", problem };
    let count = |column| {
        u32::try_from(unsigned(row, column)).map_err(|error| unreadable(error.to_string()))
    };
    Ok(Exception {
        version: version(row, 0),
        kind: parsed(row.get(1), "exceptions")?,
        attempts: count(2)?,
        tries: count(3)?,
        due: Micros(row.get(4)),
        first: Micros(row.get(5)),
        successes: unsigned(row, 6),
        stands_out: row.get(9),
        last: last_answer(row, 7),
        lane: row.get::<Option<i64>, _>(10).map(i64::cast_unsigned),
    })
}
