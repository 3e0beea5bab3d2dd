//! Dead letters: listed, redriven, removed.

use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;

use super::{
    Shared, SqliteStore,
    file::row::{Cells, list_text, signed},
    log::{self, kept_event},
    redrive::{self, Chosen, choosing},
    summaries,
};
use crate::{
    event::{Micros, Name, Version},
    settings::Rate,
    store::{
        ChosenLetters, DeadLetter, DeadLetters, DeadReason, DeadSelect, LastAnswer, RECENT_MAX,
        Read, RecentDeaths, StoreError, TopicState,
    },
};

#[async_trait]
impl DeadLetters for SqliteStore {
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
        let name = name.clone();
        self.cold(move |desk| Box::pin(redrive::redrive(desk, name, select, rate, now))).await
    }

    async fn delete_dead_letters(
        &self,
        name: &Name,
        select: DeadSelect,
    ) -> Result<u64, StoreError> {
        let name = name.clone();
        self.cold(move |desk| Box::pin(redrive::delete(desk, name, select))).await
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
    let chosen = Chosen::new(shared, select)?;
    let mut conn = shared.readers.acquire().await?;
    let subscription = summaries::one(&mut conn, &shared.seal, name).await?.id;
    let sql = choosing!(
        "-- dead letters\nSELECT d.id, d.subscription, topic, version, up_to, count, reason, attempts, first, at, \
         status, error, recorded, attributes, form, data, checksum FROM dead_letters d",
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
        letters.extend(letter(shared, row).await?);
    }
    Ok(letters)
}

/// What was given up of late, by the index of ages.
async fn recent(shared: &Shared, since: Micros) -> Result<Vec<RecentDeaths>, StoreError> {
    let sql = "-- recent deaths\nSELECT subscription, reason = 'expired' AS is_expired, \
        SUM(count) AS count, MIN(at) AS first FROM (SELECT subscription, reason, count, at \
        FROM dead_letters WHERE at >= $1 ORDER BY at DESC LIMIT $2) recent \
        GROUP BY subscription, is_expired ORDER BY subscription, is_expired";
    let rows = sqlx::query(sql)
        .bind(since.0)
        .bind(signed(RECENT_MAX as u64))
        .fetch_all(&shared.readers)
        .await?;
    let of = |row| {
        let row = Cells::of(row, "dead_letters");
        Ok(RecentDeaths {
            subscription: row.get("subscription")?,
            is_expired: row.get("is_expired")?,
            count: row.get("count")?,
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
    let chosen = Chosen::new(shared, select)?;
    // In the order of the primary key, which a page follows until it is full.
    let sql = choosing!(
        "-- all dead letters\nSELECT d.id, d.subscription, topic, version, up_to, count, reason, \
         attempts, first, at, status, error, recorded, attributes, form, data, checksum \
         FROM dead_letters d",
        "($1 IS NULL OR d.subscription IN (SELECT value FROM json_each($1)))",
        " AND d.id > $9 ORDER BY d.id LIMIT $10"
    );
    let rows = chosen
        .bind(sqlx::query(sql), of.map(list_text))
        .bind(after)
        .bind(signed(limit as u64))
        .fetch_all(&shared.readers)
        .await?;
    let mut letters = Vec::with_capacity(rows.len());
    for row in &rows {
        letters.extend(letter(shared, row).await?);
    }
    Ok(letters)
}

/// A dead letter with its event, from its own row or from the log; `None` when its topic is gone.
async fn letter(shared: &Shared, row: &SqliteRow) -> Result<Option<DeadLetter>, StoreError> {
    let row = Cells::of(row, "dead_letters");
    let Some(topic) = shared.name_of(row.get("topic")?) else { return Ok(None) };
    let state = shared.published(&topic)?.state;
    let (from, reason): (Version, DeadReason) = (row.get("version")?, row.get("reason")?);
    // A letter whose event is damaged is shown without it.
    let mut event = readable(kept_event(shared, row, from, &state))?;
    if event.is_none() && reason != DeadReason::Expired {
        event = readable(logged(shared, &state, from).await)?;
    }
    Ok(Some(DeadLetter {
        id: row.get("id")?,
        subscription: row.get("subscription")?,
        topic,
        from,
        to: row.get("up_to")?,
        count: row.get("count")?,
        reason,
        attempts: row.get("attempts")?,
        first: row.get("first")?,
        at: row.get("at")?,
        last: LastAnswer { status: row.get("status")?, error: row.get("error")? },
        event,
    }))
}

fn readable<T>(found: Result<Option<T>, StoreError>) -> Result<Option<T>, StoreError> {
    match found {
        Err(StoreError::Damaged { .. }) => Ok(None),
        found => found,
    }
}

async fn logged(
    shared: &Shared,
    state: &TopicState,
    version: Version,
) -> Result<Option<std::sync::Arc<crate::event::Event>>, StoreError> {
    let page = log::page(shared, &state.topic, Read::one(version)).await?;
    Ok(page.events.into_iter().next())
}
