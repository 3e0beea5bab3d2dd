//! Which dead letters are chosen, and what is done with them: tried again, or removed.

use std::collections::BTreeSet;

use sqlx::{Encode, Sqlite, SqliteConnection, Type};

use super::{
    Shared,
    desk::{Desk, bulk::Bound},
    file::row::{Cells, list_text, signed},
    subscriptions::touch,
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
            " AND ($2 IS NULL OR d.id IN (SELECT value FROM json_each($2))) \
             AND ($3 IS NULL OR d.topic = $3) AND ($4 IS NULL OR d.reason = $4) \
             AND ($5 IS NULL OR d.up_to >= $5) AND ($6 IS NULL OR d.version <= $6) \
             AND ($7 IS NULL OR d.at >= $7) AND ($8 IS NULL OR d.status = $8)",
            $tail
        )
    };
}
pub(super) use choosing;

/// What of a selection is a number in the database.
pub(super) struct Chosen {
    ids: Option<String>,
    topic: Option<i64>,
    filter: DeadFilter,
}

impl Chosen {
    pub(super) fn new(shared: &Shared, select: &DeadSelect) -> Result<Self, StoreError> {
        let filter = match select {
            DeadSelect::Where(filter) => filter.clone(),
            _ => DeadFilter::default(),
        };
        let topic = filter.topic.as_ref().map(|topic| shared.published(topic));
        Ok(Self {
            ids: match select {
                DeadSelect::Ids(ids) => Some(list_text(ids)),
                _ => None,
            },
            topic: topic.transpose()?.map(|topic| topic.state.id),
            filter,
        })
    }

    /// Binds the parameters of [`choosing`].
    pub(super) fn bind<'q>(
        &self,
        query: Bound<'q>,
        whose: impl Encode<'q, Sqlite> + Type<Sqlite> + 'q,
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
            .bind(filter.status.map(i64::from))
    }
}

/// The dead letters that a redrive takes: ranges that retention removed stay, and so do those above
/// the reach; others as many as fit.
async fn redrivable(
    conn: &mut SqliteConnection,
    chosen: &Chosen,
    known: &Subscription,
) -> Result<Vec<i64>, StoreError> {
    let held = known.live().map(|position| position.exceptions).max().unwrap_or(0);
    let room = (known.settings.max_exceptions as u64).saturating_sub(held);
    let sql = choosing!(
        "-- redriven\nSELECT d.id, x.kind IS NOT NULL AS stopped FROM dead_letters d \
         JOIN positions p ON p.id = d.position AND d.version <= p.reach \
         LEFT JOIN exceptions x ON x.position = d.position AND x.version = d.version",
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
    let chosen = Chosen::new(shared, select)?;
    let mut conn = shared.readers.acquire().await?;
    let known = summaries::one(&mut conn, &shared.seal, name).await?;
    let sql = choosing!("-- letters counted\nSELECT count(*) AS count FROM dead_letters d", "");
    let row = chosen.bind(sqlx::query(sql), known.id).fetch_one(&mut *conn).await?;
    let letters = Cells::of(&row, "dead_letters").get("count")?;
    let redrivable = redrivable(&mut conn, &chosen, &known).await?.len() as u64;
    Ok(ChosenLetters { letters, redrivable })
}

/// Turns dead letters into retries that are due, as many as fit. What stands still is a retry
/// again, and needs no room.
pub(super) async fn redrive(
    desk: &mut Desk,
    name: Name,
    select: DeadSelect,
    rate: Option<Rate>,
    now: Micros,
) -> Result<u64, StoreError> {
    let chosen = Chosen::new(&desk.shared, &select)?;
    let known = summaries::one(&mut desk.conn, &desk.shared.seal, &name).await?;
    let ids = redrivable(&mut desk.conn, &chosen, &known).await?;
    let apart_us = rate.map_or(0.0, |rate| 1e6 / rate.per_second());
    retry(desk, &ids, apart_us, now).await?;
    touch(desk, known.id).await?;
    Ok(ids.len() as u64)
}

/// Makes retries of dead letters, so many microseconds apart, each event with its bytes when the log has let go of it.
async fn retry(desk: &mut Desk, ids: &[i64], apart_us: f64, now: Micros) -> Result<(), StoreError> {
    let sql = "-- retry\nINSERT INTO exceptions (position, version, kind, attempts, tries, due, first, \
        successes, recorded, attributes, form, data, checksum) \
        SELECT d.position, d.version, 'retry', 0, 0, $2 + CAST(chosen.key * $3 AS INTEGER), $2, 0, \
        d.recorded, d.attributes, d.form, d.data, d.checksum FROM json_each($1) chosen JOIN dead_letters d ON d.id = chosen.value \
        WHERE d.attributes IS NOT NULL \
        OR EXISTS (SELECT 1 FROM events WHERE slot = d.topic << 40 | d.version) \
        ON CONFLICT DO UPDATE SET kind = 'retry', attempts = 0, tries = 0, due = excluded.due, \
        first = excluded.first, successes = 0, stands_out = 0, status = NULL, error = NULL, \
        recorded = excluded.recorded, attributes = excluded.attributes, form = excluded.form, \
        data = excluded.data, checksum = excluded.checksum WHERE kind = 'stopped'";
    sqlx::query(sql)
        .bind(list_text(ids))
        .bind(now.0)
        .bind(apart_us)
        .execute(&mut desk.conn)
        .await?;
    forget(desk, ids).await?;
    Ok(())
}

/// Removes dead letters, and lets the keys go on that stand still behind them; answers the
/// positions in which some do.
pub(super) async fn forget(desk: &mut Desk, ids: &[i64]) -> Result<BTreeSet<i64>, StoreError> {
    let ids = list_text(ids);
    let sql = "-- no longer stopped\nDELETE FROM exceptions WHERE kind = 'stopped' \
        AND (position, version) IN (SELECT position, version FROM dead_letters \
        WHERE id IN (SELECT value FROM json_each($1)) AND reason <> 'expired') RETURNING position";
    let rows = sqlx::query(sql).bind(&*ids).fetch_all(&mut desk.conn).await?;
    let sql =
        "-- no longer dead\nDELETE FROM dead_letters WHERE id IN (SELECT value FROM json_each($1))";
    sqlx::query(sql).bind(&*ids).execute(&mut desk.conn).await?;
    rows.iter().map(|row| Cells::of(row, "exceptions").get("position")).collect()
}

/// Removes dead letters.
pub(super) async fn delete(
    desk: &mut Desk,
    name: Name,
    select: DeadSelect,
) -> Result<u64, StoreError> {
    let known = summaries::one(&mut desk.conn, &desk.shared.seal, &name).await?;
    let chosen = Chosen::new(&desk.shared, &select)?;
    let sql = choosing!("-- letters to delete\nSELECT d.id FROM dead_letters d", "");
    let rows = chosen.bind(sqlx::query(sql), known.id).fetch_all(&mut desk.conn).await?;
    let ids = rows.iter().map(|row| Cells::of(row, "dead_letters").get("id"));
    let ids: Vec<i64> = ids.collect::<Result<_, _>>()?;
    if !forget(desk, &ids).await?.is_empty() {
        touch(desk, known.id).await?;
    }
    Ok(ids.len() as u64)
}
