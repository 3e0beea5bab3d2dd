//! Dead letters: listed, redriven, removed.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::postgres::PgRow;

use super::{
    PostgresStore, log,
    redrive::{self, Chosen, choosing},
    row::{Cells, signed},
    shared::Shared,
    summaries,
};
use crate::{
    event::{Event, Micros, Name, Version},
    settings::Rate,
    store::{
        ChosenLetters, DeadLetter, DeadLetters, DeadReason, DeadSelect, LastAnswer, RECENT_MAX,
        Read, RecentDeaths, StoreError, TopicState, sum,
    },
};

#[async_trait]
impl DeadLetters for PostgresStore {
    async fn dead_letters(
        &self,
        name: &Name,
        select: &DeadSelect,
        after: i64,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        list(&self.shared, name, select, after, limit).await
    }

    async fn all_dead_letters(
        &self,
        of: Option<&[i64]>,
        select: &DeadSelect,
        after: i64,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        list_all(&self.shared, of, select, after, limit).await
    }

    async fn recent_deaths(&self, since: Micros) -> Result<Vec<RecentDeaths>, StoreError> {
        recent(&self.shared, since).await
    }

    async fn count_dead_letters(
        &self,
        name: &Name,
        select: &DeadSelect,
    ) -> Result<ChosenLetters, StoreError> {
        redrive::count(&self.shared, name, select).await
    }

    async fn redrive(
        &self,
        name: &Name,
        select: DeadSelect,
        rate: Option<Rate>,
        now: Micros,
    ) -> Result<u64, StoreError> {
        let mut registry = self.registry().await?;
        let count = redrive::redrive(&mut registry, name, &select, rate, now).await?;
        registry.commit().await?;
        Ok(count)
    }

    async fn delete_dead_letters(
        &self,
        name: &Name,
        select: DeadSelect,
    ) -> Result<u64, StoreError> {
        let mut registry = self.registry().await?;
        let count = redrive::delete(&mut registry, name, &select).await?;
        registry.commit().await?;
        Ok(count)
    }
}

/// Dead letters of a subscription above the id `after`, oldest first.
pub(super) async fn list(
    shared: &Shared,
    name: &Name,
    select: &DeadSelect,
    after: i64,
    limit: usize,
) -> Result<Vec<DeadLetter>, StoreError> {
    let chosen = Chosen::new(shared, select).await?;
    let mut conn = shared.pool.acquire().await?;
    let subscription = summaries::one(&mut conn, &shared.seal, name).await?.id;
    let sql = choosing!(
        "-- dead letters\nSELECT d.id, d.subscription, t.name AS topic_name, version, up_to, count, reason, attempts, first, at, \
         status, error, d.recorded, attributes, form, data, checksum FROM dead_letters d \
         JOIN topics t ON t.id = d.topic",
        " AND d.id > $9 ORDER BY d.id LIMIT $10"
    );
    let rows = chosen
        .bind(sqlx::query(sql), subscription)
        .bind(after)
        .bind(signed(limit as u64))
        .fetch_all(&mut *conn)
        .await?;
    drop(conn);
    let mut letters = Vec::with_capacity(rows.len());
    for row in &rows {
        letters.push(letter(shared, row).await?);
    }
    Ok(letters)
}

/// What was given up of late, by the index of ages.
async fn recent(shared: &Shared, since: Micros) -> Result<Vec<RecentDeaths>, StoreError> {
    let sql = "-- recent deaths\nSELECT subscription, reason = 'expired' AS is_expired, \
        SUM(count)::bigint AS count, MIN(at) AS first FROM (SELECT subscription, reason, count, at \
        FROM dead_letters WHERE at >= $1 ORDER BY at DESC LIMIT $2) recent \
        GROUP BY subscription, is_expired ORDER BY subscription, is_expired";
    let rows = sqlx::query(sql)
        .bind(since.0)
        .bind(signed(RECENT_MAX as u64))
        .fetch_all(&shared.pool)
        .await?;
    let of = |row| {
        let row = Cells::of(row, "dead_letters");
        Ok(RecentDeaths {
            subscription: row.get("subscription")?,
            is_expired: row.get("is_expired")?,
            count: row.count("count")?,
            first: row.get("first")?,
        })
    };
    rows.iter().map(of).collect()
}

/// Dead letters of these subscriptions, or of all, above the id `after`, oldest first.
async fn list_all(
    shared: &Shared,
    of: Option<&[i64]>,
    select: &DeadSelect,
    after: i64,
    limit: usize,
) -> Result<Vec<DeadLetter>, StoreError> {
    let chosen = Chosen::new(shared, select).await?;
    // In the order of the index by id, which a page follows until it is full.
    let sql = choosing!(
        "-- all dead letters\nSELECT d.id, d.subscription, t.name AS topic_name, version, up_to, count, \
         reason, attempts, first, at, status, error, d.recorded, attributes, form, data, checksum \
         FROM dead_letters d JOIN topics t ON t.id = d.topic",
        "($1::bigint[] IS NULL OR d.subscription = ANY($1))",
        " AND d.id > $9 ORDER BY d.id LIMIT $10"
    );
    let rows = chosen
        .bind(sqlx::query(sql), of.map(<[i64]>::to_vec))
        .bind(after)
        .bind(signed(limit as u64))
        .fetch_all(&shared.pool)
        .await?;
    let mut letters = Vec::with_capacity(rows.len());
    for row in &rows {
        letters.push(letter(shared, row).await?);
    }
    Ok(letters)
}

/// A dead letter with its event, from its own row or from the log.
async fn letter(shared: &Shared, row: &PgRow) -> Result<DeadLetter, StoreError> {
    let row = Cells::of(row, "dead_letters");
    let topic = row.get("topic_name")?;
    let state = match shared.published(&topic) {
        Some(known) => known.state,
        None => shared.fresh(&topic).await?.state,
    };
    let (from, reason): (Version, DeadReason) = (row.get("version")?, row.get("reason")?);
    // A letter whose event is damaged is shown without it.
    let mut event = readable(kept_event(row, from, &state))?;
    if event.is_none() && reason != DeadReason::Expired {
        event = readable(logged(shared, &state, from).await)?;
    }
    Ok(DeadLetter {
        id: row.get("id")?,
        subscription: row.get("subscription")?,
        topic,
        from,
        to: row.get("up_to")?,
        count: row.count("count")?,
        reason,
        attempts: row.small("attempts")?,
        first: row.get("first")?,
        at: row.get("at")?,
        last: LastAnswer { status: row.status("status")?, error: row.get("error")? },
        event,
    })
}

fn readable<T>(found: Result<Option<T>, StoreError>) -> Result<Option<T>, StoreError> {
    match found {
        Err(StoreError::Damaged { .. } | StoreError::Unreadable { .. }) => Ok(None),
        found => found,
    }
}

async fn logged(
    shared: &Shared,
    state: &TopicState,
    version: Version,
) -> Result<Option<Arc<Event>>, StoreError> {
    let page = log::page(shared, &state.topic, Read::one(version)).await?;
    Ok(page.events.into_iter().next())
}

/// The event that is kept beside an exception or a dead letter, in the columns `recorded`,
/// `attributes`, `form`, `data` and `checksum`; `None` when the log still has it.
pub(super) fn kept_event(
    row: Cells<'_>,
    version: Version,
    state: &TopicState,
) -> Result<Option<Arc<Event>>, StoreError> {
    if row.get::<Option<&str>>("attributes")?.is_none() {
        return Ok(None);
    }
    let event = row.event(version, state)?;
    row.check(sum::of_event(state.id, &event))?;
    Ok(Some(Arc::new(event)))
}
