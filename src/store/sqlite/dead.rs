//! Dead letters: listed, redriven, removed.

use std::collections::BTreeSet;

use sqlx::{AssertSqlSafe, Row as _, sqlite::SqliteRow};

use super::{
    Shared,
    commit::signed,
    memory::{unsigned, version},
    positions::last_answer,
    read::{self, kept_event},
    subscriptions::{self, touch},
    writer::Desk,
};
use crate::{
    event::{Micros, Name, Version},
    store::{DeadLetter, DeadReason, DeadSelect, Read, StoreError, TopicState},
};

/// Dead letters of a subscription above the id `after`, oldest first.
pub(super) async fn list(
    shared: &Shared,
    name: &Name,
    after: i64,
    limit: usize,
) -> Result<Vec<DeadLetter>, StoreError> {
    let mut conn = shared.readers.acquire().await?;
    let subscription = subscriptions::one(&mut conn, name).await?.id;
    let sql = "-- dead letters\nSELECT id, topic, version, up_to, count, reason, attempts, first, at, \
        status, error, recorded, attributes, form, data FROM dead_letters \
        WHERE subscription = $1 AND id > $2 ORDER BY id LIMIT $3";
    let rows = sqlx::query(sql)
        .bind(subscription)
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

/// A dead letter with its event, from its own row or from the log; `None` when its topic is gone.
async fn letter(shared: &Shared, row: &SqliteRow) -> Result<Option<DeadLetter>, StoreError> {
    let Some(topic) = shared.name_of(row.get(1)) else { return Ok(None) };
    let state = shared.published(&topic)?.state;
    let (from, to) = (version(row, 2), version(row, 3));
    let reason = reason(row.get(5))?;
    let mut event = kept_event(row, 11, from, &state, "dead_letters")?;
    if event.is_none() && reason != DeadReason::Expired {
        event = logged(shared, &state, from).await?;
    }
    Ok(Some(DeadLetter {
        id: row.get(0),
        topic,
        from,
        to,
        count: unsigned(row, 4),
        reason,
        attempts: u32::try_from(unsigned(row, 6)).unwrap_or(u32::MAX),
        first: Micros(row.get(7)),
        at: Micros(row.get(8)),
        last: last_answer(row, 9),
        event,
    }))
}

async fn logged(
    shared: &Shared,
    state: &TopicState,
    version: Version,
) -> Result<Option<std::sync::Arc<crate::event::Event>>, StoreError> {
    let one = Read { up_to: version, max_events: 1, ..Read::after(version.previous()) };
    let page = read::page(shared, &state.topic, one).await?;
    Ok(page.events.into_iter().next())
}

/// The reason that a word in a row stands for.
pub(super) fn reason(word: &str) -> Result<DeadReason, StoreError> {
    match word {
        "attempts" => Ok(DeadReason::Attempts),
        "age" => Ok(DeadReason::Age),
        "refused" => Ok(DeadReason::Refused),
        "expression" => Ok(DeadReason::Expression),
        "expired" => Ok(DeadReason::Expired),
        other => Err(StoreError::Unreadable {
            table: "dead_letters",
            problem: format!("reason {other}"),
        }),
    }
}

/// The condition that selects; ids are numbers, so they may stand in the text.
fn chosen(select: &DeadSelect) -> String {
    match select {
        DeadSelect::All => String::new(),
        DeadSelect::Ids(ids) => {
            let ids: Vec<String> = ids.iter().map(i64::to_string).collect();
            format!(" AND d.id IN ({})", ids.join(","))
        }
    }
}

/// Turns dead letters into retries that are due, as many as fit. What stands still is a retry
/// again, and needs no room.
pub(super) async fn redrive(
    desk: &mut Desk,
    name: Name,
    select: DeadSelect,
    now: Micros,
) -> Result<u64, StoreError> {
    let known = subscriptions::one(&mut desk.conn, &name).await?;
    let held = known.live().map(|position| position.exceptions).max().unwrap_or(0);
    let room = (known.settings.max_exceptions as u64).saturating_sub(held);
    let sql = format!(
        "-- redriven\nSELECT d.id, x.kind IS NOT NULL FROM dead_letters d \
         JOIN positions p ON p.id = d.position AND d.version <= p.reach \
         LEFT JOIN exceptions x ON x.position = d.position AND x.version = d.version \
         WHERE d.subscription = $1 AND d.reason <> 'expired'{} ORDER BY d.id",
        chosen(&select)
    );
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(known.id).fetch_all(&mut desk.conn).await?;
    let mut room = usize::try_from(room).unwrap_or(usize::MAX);
    let fits = |row: &SqliteRow| {
        let free = row.get::<bool, _>(1) || room > 0;
        room -= usize::from(!row.get::<bool, _>(1) && room > 0);
        free.then(|| row.get(0))
    };
    let ids: Vec<i64> = rows.iter().filter_map(fits).collect();
    retry(desk, &ids, now).await?;
    touch(desk, known.id).await?;
    Ok(ids.len() as u64)
}

/// Makes retries of dead letters, each event with its bytes when the log has let go of it.
async fn retry(desk: &mut Desk, ids: &[i64], now: Micros) -> Result<(), StoreError> {
    let sql = "-- retry\nINSERT INTO exceptions (position, version, kind, attempts, tries, due, first, \
        successes, recorded, attributes, form, data) \
        SELECT d.position, d.version, 'retry', 0, 0, $2, $2, 0, d.recorded, d.attributes, d.form, d.data \
        FROM json_each($1) chosen JOIN dead_letters d ON d.id = chosen.value \
        WHERE d.attributes IS NOT NULL \
        OR EXISTS (SELECT 1 FROM events WHERE slot = d.topic << 40 | d.version) \
        ON CONFLICT DO UPDATE SET kind = 'retry', attempts = 0, tries = 0, due = excluded.due, \
        first = excluded.first, successes = 0, stands_out = 0, status = NULL, error = NULL, \
        recorded = excluded.recorded, attributes = excluded.attributes, form = excluded.form, \
        data = excluded.data WHERE kind = 'stopped'";
    sqlx::query(sql).bind(list_text(ids)).bind(now.0).execute(&mut desk.conn).await?;
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
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Removes dead letters.
pub(super) async fn delete(
    desk: &mut Desk,
    name: Name,
    select: DeadSelect,
) -> Result<u64, StoreError> {
    let known = subscriptions::one(&mut desk.conn, &name).await?;
    let sql = format!(
        "-- letters to delete\nSELECT d.id FROM dead_letters d WHERE d.subscription = $1{}",
        chosen(&select)
    );
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(known.id).fetch_all(&mut desk.conn).await?;
    let ids: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
    if !forget(desk, &ids).await?.is_empty() {
        touch(desk, known.id).await?;
    }
    Ok(ids.len() as u64)
}

/// Numbers as JSON, so that one statement takes any count of them.
fn list_text(numbers: &[i64]) -> String {
    let numbers: Vec<String> = numbers.iter().map(i64::to_string).collect();
    format!("[{}]", numbers.join(","))
}
