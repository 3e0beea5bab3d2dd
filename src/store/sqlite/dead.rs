//! Dead letters: listed, redriven, removed.

use sqlx::{AssertSqlSafe, Row as _, sqlite::SqliteRow};

use super::{
    Shared,
    commit::signed,
    memory::{unsigned, version},
    positions::last_answer,
    read::{self, kept_event},
    slot,
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

fn reason(word: &str) -> Result<DeadReason, StoreError> {
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

/// Turns dead letters into retries that are due, as many as fit.
pub(super) async fn redrive(
    desk: &mut Desk,
    name: Name,
    select: DeadSelect,
    now: Micros,
) -> Result<u64, StoreError> {
    let known = subscriptions::one(&mut desk.conn, &name).await?;
    let held = known.positions.iter().map(|position| position.exceptions).max().unwrap_or(0);
    let room = (known.settings.max_exceptions as u64).saturating_sub(held);
    let sql = format!(
        "-- redriven\nSELECT d.id, d.position, d.topic, d.version FROM dead_letters d \
         JOIN positions p ON p.id = d.position AND d.version <= p.reach \
         WHERE d.subscription = $1 AND d.reason <> 'expired'{} ORDER BY d.id LIMIT $2",
        chosen(&select)
    );
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(known.id)
        .bind(signed(room))
        .fetch_all(&mut desk.conn)
        .await?;
    for row in &rows {
        let (id, topic): (i64, i64) = (row.get(0), row.get(2));
        // The event travels along only when the log has let go of it.
        let sql = "-- retry\nINSERT INTO exceptions (position, version, kind, attempts, tries, due, first, \
            successes, recorded, attributes, form, data) \
            SELECT position, version, 'retry', 0, 0, $2, $2, 0, recorded, attributes, form, data \
            FROM dead_letters WHERE id = $1 AND (attributes IS NOT NULL \
            OR EXISTS (SELECT 1 FROM events WHERE slot = $3)) ON CONFLICT DO NOTHING";
        sqlx::query(sql)
            .bind(id)
            .bind(now.0)
            .bind(slot::of(topic, version(row, 3)))
            .execute(&mut desk.conn)
            .await?;
        sqlx::query("-- no longer dead\nDELETE FROM dead_letters WHERE id = $1")
            .bind(id)
            .execute(&mut desk.conn)
            .await?;
    }
    touch(desk, known.id).await?;
    Ok(rows.len() as u64)
}

/// Removes dead letters.
pub(super) async fn delete(
    desk: &mut Desk,
    name: Name,
    select: DeadSelect,
) -> Result<u64, StoreError> {
    let known = subscriptions::one(&mut desk.conn, &name).await?;
    let sql = format!(
        "-- delete dead letters\nDELETE FROM dead_letters AS d WHERE d.subscription = $1{}",
        chosen(&select)
    );
    let done = sqlx::query(AssertSqlSafe(sql)).bind(known.id).execute(&mut desk.conn).await?;
    Ok(done.rows_affected())
}
