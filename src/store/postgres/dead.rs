//! Dead letters: listed, redriven, removed.

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use sqlx::{
    Encode, PgConnection, Postgres, Type,
    postgres::{PgArguments, PgRow},
    query::Query,
};

use super::{
    PostgresStore, log, positions,
    registry::Registry,
    row::{Cells, signed},
    shared::Shared,
    steering::touch,
    summaries,
};
use crate::{
    event::{Event, Micros, Name, Version},
    settings::Rate,
    store::{
        DeadFilter, DeadLetter, DeadLetters, DeadReason, DeadSelect, LastAnswer, RECENT_MAX, Read,
        RecentDeaths, StoreError, TopicState, rules::registry, sum,
    },
};

/// A query whose first parameter says of which subscription, behind which it selects among its
/// letters, called `d`.
macro_rules! choosing {
    ($head:literal, $tail:literal) => {
        choosing!($head, "d.subscription = $1", $tail)
    };
    ($head:literal, $whose:literal, $tail:literal) => {
        concat!(
            $head,
            " WHERE ",
            $whose,
            " AND ($2::bigint[] IS NULL OR d.id = ANY($2)) \
             AND ($3::bigint IS NULL OR d.topic = $3) AND ($4::text IS NULL OR d.reason = $4) \
             AND ($5::bigint IS NULL OR d.up_to >= $5) AND ($6::bigint IS NULL OR d.version <= $6) \
             AND ($7::bigint IS NULL OR d.at >= $7) AND ($8::integer IS NULL OR d.status = $8)",
            $tail
        )
    };
}

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

    async fn redrive(
        &self,
        name: &Name,
        select: DeadSelect,
        rate: Option<Rate>,
        now: Micros,
    ) -> Result<u64, StoreError> {
        let mut registry = self.registry().await?;
        let count = redrive(&mut registry, name, &select, rate, now).await?;
        registry.commit().await?;
        Ok(count)
    }

    async fn delete_dead_letters(
        &self,
        name: &Name,
        select: DeadSelect,
    ) -> Result<u64, StoreError> {
        let mut registry = self.registry().await?;
        let count = delete(&mut registry, name, &select).await?;
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

type Bound<'q> = Query<'q, Postgres, PgArguments>;

/// What of a selection is a number in the database.
struct Chosen {
    ids: Option<Vec<i64>>,
    topic: Option<i64>,
    filter: DeadFilter,
}

impl Chosen {
    async fn new(shared: &Shared, select: &DeadSelect) -> Result<Self, StoreError> {
        let filter = match select {
            DeadSelect::Where(filter) => filter.clone(),
            _ => DeadFilter::default(),
        };
        let topic = match &filter.topic {
            Some(topic) => Some(shared.fresh(topic).await?.state.id),
            None => None,
        };
        Ok(Self {
            ids: match select {
                DeadSelect::Ids(ids) => Some(ids.clone()),
                _ => None,
            },
            topic,
            filter,
        })
    }

    /// Binds the parameters of [`choosing`].
    fn bind<'q>(
        &self,
        query: Bound<'q>,
        whose: impl Encode<'q, Postgres> + Type<Postgres> + 'q,
    ) -> Bound<'q> {
        let filter = &self.filter;
        query
            .bind(whose)
            .bind(self.ids.clone())
            .bind(self.topic)
            .bind(filter.reason.map(<&str>::from))
            .bind(filter.from.map(|from| signed(from.0)))
            .bind(filter.to.map(|to| signed(to.0)))
            .bind(filter.since.map(|since| since.0))
            .bind(filter.status.map(i32::from))
    }
}

/// Turns dead letters into retries that are due, as many as fit. What stands still is a retry
/// again, and needs no room.
pub(super) async fn redrive(
    registry: &mut Registry,
    name: &Name,
    select: &DeadSelect,
    rate: Option<Rate>,
    now: Micros,
) -> Result<u64, StoreError> {
    let chosen = Chosen::new(&registry.shared, select).await?;
    let known = summaries::one(&mut registry.conn, &registry.shared.seal, name).await?;
    positions::of(&mut registry.conn, known.id).await?;
    let held = known.live().map(|position| position.exceptions).max().unwrap_or(0);
    let room = (known.settings.max_exceptions as u64).saturating_sub(held);
    let sql = choosing!(
        "-- redriven\nSELECT d.id, x.kind IS NOT NULL AS stopped FROM dead_letters d \
         JOIN positions p ON p.topic = d.topic AND p.id = d.position AND d.version <= p.reach \
         LEFT JOIN exceptions x ON x.topic = d.topic AND x.position = d.position AND x.version = d.version",
        " AND d.reason <> 'expired' ORDER BY d.id"
    );
    let rows = chosen.bind(sqlx::query(sql), known.id).fetch_all(&mut *registry.conn).await?;
    let letter = |row| {
        let row = Cells::of(row, "dead_letters");
        Ok((row.get("id")?, row.get("stopped")?))
    };
    let letters: Vec<(i64, bool)> = rows.iter().map(letter).collect::<Result<_, StoreError>>()?;
    let ids = registry::that_fit(&letters, room);
    let apart_us = rate.map_or(0.0, |rate| 1e6 / rate.per_second());
    retry(registry, &ids, apart_us, now).await?;
    touch(registry, known.id).await?;
    Ok(ids.len() as u64)
}

/// Makes retries of dead letters, so many microseconds apart, each event with its bytes when the log has let go of it.
async fn retry(
    registry: &mut Registry,
    ids: &[i64],
    apart_us: f64,
    now: Micros,
) -> Result<(), StoreError> {
    let sql = "-- retry\nINSERT INTO exceptions (topic, position, version, kind, attempts, tries, due, first, \
        successes, recorded, attributes, form, data, checksum) \
        SELECT d.topic, d.position, d.version, 'retry', 0, 0, $2 + CAST((chosen.place - 1) * $3 AS bigint), $2, 0, \
        d.recorded, d.attributes, d.form, d.data, d.checksum FROM UNNEST($1::bigint[]) WITH ORDINALITY AS chosen (id, place) \
        JOIN dead_letters d ON d.id = chosen.id \
        WHERE d.attributes IS NOT NULL \
        OR EXISTS (SELECT 1 FROM events e WHERE e.topic = d.topic AND e.version = d.version) \
        ON CONFLICT (topic, position, version) DO UPDATE SET kind = 'retry', attempts = 0, tries = 0, due = excluded.due, \
        first = excluded.first, successes = 0, stands_out = false, status = NULL, error = NULL, \
        recorded = excluded.recorded, attributes = excluded.attributes, form = excluded.form, \
        data = excluded.data, checksum = excluded.checksum WHERE exceptions.kind = 'stopped'";
    sqlx::query(sql).bind(ids).bind(now.0).bind(apart_us).execute(&mut *registry.conn).await?;
    forget(&mut registry.conn, ids).await?;
    Ok(())
}

/// Removes dead letters, and lets the keys go on that stand still behind them; answers the
/// positions in which some do.
pub(super) async fn forget(
    conn: &mut PgConnection,
    ids: &[i64],
) -> Result<BTreeSet<i64>, StoreError> {
    let sql = "-- no longer stopped\nDELETE FROM exceptions WHERE kind = 'stopped' \
        AND (topic, position, version) IN (SELECT topic, position, version FROM dead_letters \
        WHERE id = ANY($1) AND reason <> 'expired') RETURNING position";
    let rows = sqlx::query(sql).bind(ids).fetch_all(&mut *conn).await?;
    let sql = "-- no longer dead\nDELETE FROM dead_letters WHERE id = ANY($1)";
    sqlx::query(sql).bind(ids).execute(&mut *conn).await?;
    rows.iter().map(|row| Cells::of(row, "exceptions").get("position")).collect()
}

/// Removes dead letters.
pub(super) async fn delete(
    registry: &mut Registry,
    name: &Name,
    select: &DeadSelect,
) -> Result<u64, StoreError> {
    let known = summaries::one(&mut registry.conn, &registry.shared.seal, name).await?;
    positions::of(&mut registry.conn, known.id).await?;
    let chosen = Chosen::new(&registry.shared, select).await?;
    let sql = choosing!("-- letters to delete\nSELECT d.id FROM dead_letters d", "");
    let rows = chosen.bind(sqlx::query(sql), known.id).fetch_all(&mut *registry.conn).await?;
    let ids = rows.iter().map(|row| Cells::of(row, "dead_letters").get("id"));
    let ids: Vec<i64> = ids.collect::<Result<_, _>>()?;
    if !forget(&mut registry.conn, &ids).await?.is_empty() {
        touch(registry, known.id).await?;
    }
    Ok(ids.len() as u64)
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
