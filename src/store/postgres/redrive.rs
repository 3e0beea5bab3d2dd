//! Which dead letters are chosen, and what is done with them: tried again, or removed.

use std::collections::BTreeSet;

use sqlx::{Encode, PgConnection, Postgres, Type, postgres::PgArguments, query::Query};

use super::{
    positions,
    registry::Registry,
    row::{Cells, signed},
    shared::Shared,
    steering::touch,
    summaries,
};
use crate::{
    event::{Micros, Name},
    settings::Rate,
    store::{ChosenLetters, DeadFilter, DeadSelect, StoreError, Subscription, rules::registry},
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
pub(super) use choosing;

type Bound<'q> = Query<'q, Postgres, PgArguments>;

/// What of a selection is a number in the database.
pub(super) struct Chosen {
    ids: Option<Vec<i64>>,
    topic: Option<i64>,
    filter: DeadFilter,
}

impl Chosen {
    pub(super) async fn new(shared: &Shared, select: &DeadSelect) -> Result<Self, StoreError> {
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
    pub(super) fn bind<'q>(
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

/// The dead letters that a redrive takes: ranges that retention removed stay, and so do those above
/// the reach; others as many as fit.
async fn redrivable(
    conn: &mut PgConnection,
    chosen: &Chosen,
    known: &Subscription,
) -> Result<Vec<i64>, StoreError> {
    let held = known.live().map(|position| position.exceptions).max().unwrap_or(0);
    let room = (known.settings.max_exceptions as u64).saturating_sub(held);
    let sql = choosing!(
        "-- redriven\nSELECT d.id, x.kind IS NOT NULL AS stopped FROM dead_letters d \
         JOIN positions p ON p.topic = d.topic AND p.id = d.position AND d.version <= p.reach \
         LEFT JOIN exceptions x ON x.topic = d.topic AND x.position = d.position AND x.version = d.version",
        " AND d.reason <> 'expired' ORDER BY d.id"
    );
    let rows = chosen.bind(sqlx::query(sql), known.id).fetch_all(&mut *conn).await?;
    let letter = |row| {
        let row = Cells::of(row, "dead_letters");
        Ok((row.get("id")?, row.get("stopped")?))
    };
    let letters: Vec<(i64, bool)> = rows.iter().map(letter).collect::<Result<_, StoreError>>()?;
    Ok(registry::that_fit(&letters, room))
}

/// How many dead letters are chosen, and how many of them a redrive would take.
pub(super) async fn count(
    shared: &Shared,
    name: &Name,
    select: &DeadSelect,
) -> Result<ChosenLetters, StoreError> {
    let chosen = Chosen::new(shared, select).await?;
    let mut conn = shared.pool.acquire().await?;
    let known = summaries::one(&mut conn, &shared.seal, name).await?;
    let sql = choosing!("-- letters counted\nSELECT count(*) AS count FROM dead_letters d", "");
    let row = chosen.bind(sqlx::query(sql), known.id).fetch_one(&mut *conn).await?;
    let letters = Cells::of(&row, "dead_letters").count("count")?;
    let redrivable = redrivable(&mut conn, &chosen, &known).await?.len() as u64;
    Ok(ChosenLetters { letters, redrivable })
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
    let ids = redrivable(&mut registry.conn, &chosen, &known).await?;
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
