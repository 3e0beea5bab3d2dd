//! A plan as SQL: about ten bulk statements.

use sqlx::SqliteConnection;

use super::bulk;
use crate::store::sqlite::file::{
    row::{cut, signed},
    slot,
};
use crate::{
    event::Version,
    store::{
        Exception, NewDeadLetter, NewEvent, Settlement,
        rules::{
            bounds,
            group::{Plan, Progressed, TopicPlan},
            settled,
        },
        sum::{self, stored},
    },
};

const HEADS: (&str, &str, &str) = (
    "-- heads\nWITH new (id, head, recorded, bytes) AS (VALUES ",
    "(?,?,?,?)",
    ") UPDATE topics SET head = new.head, recorded = new.recorded, bytes = new.bytes \
     FROM new WHERE topics.id = new.id",
);
const EVENTS: (&str, &str, &str) = (
    "-- events\nINSERT INTO events (slot, recorded, attributes, form, data, checksum) VALUES ",
    "(?,?,?,?,?,?)",
    "",
);
const KEYS: (&str, &str, &str) =
    ("-- keys\nINSERT INTO dedupe (slot, recorded, hashes) VALUES ", "(?,?,?)", "");
const WAITING: (&str, &str, &str) = (
    "-- waiting\nINSERT INTO pending (id, topic, due, since, hash, source, event_id, attributes, form, data, checksum) VALUES ",
    "(?,?,?,?,?,?,?,?,?,?,?)",
    "",
);
const WAITED: (&str, &str, &str) =
    ("-- waited\nDELETE FROM pending WHERE id IN (VALUES ", "(?)", ")");
const RELEASED: (&str, &str, &str) = (
    "-- released\nINSERT INTO released (slot, pending, since, due) VALUES ",
    "(?,?,?,?)",
    " ON CONFLICT DO NOTHING",
);
const JOURNAL: (&str, &str, &str) = (
    "-- journal\nINSERT INTO journal (slot, source, id, attributes, form, data, checksum) VALUES ",
    "(?,?,?,?,?,?,?)",
    "",
);
const REJECTED: (&str, &str, &str) =
    ("-- rejected\nINSERT INTO rejected (slot, at, reason, item) VALUES ", "(?,?,?,?)", "");
const PROGRESS: &str = "-- progress\nUPDATE sources SET \
    mark = CASE WHEN $2 THEN $3 ELSE mark END, \
    mark_at = CASE WHEN $2 THEN $4 ELSE mark_at END, \
    cursor = coalesce($5, cursor), \
    cursor_contract = CASE WHEN $5 IS NULL THEN cursor_contract ELSE contract END, walks = walks + $6, \
    next_poll = coalesce($7, next_poll), report = coalesce($8, report), \
    appended = appended + $9, duplicates = duplicates + $10, rejected = rejected + $11 \
    WHERE id = $1";
const POSITIONS: (&str, &str, &str) = (
    "-- positions\nWITH new (id, reach, open, delivered, saved) AS (VALUES ",
    "(?,?,?,?,?)",
    ") UPDATE positions SET reach = new.reach, open = new.open, \
     delivered = positions.delivered + new.delivered, saved = new.saved \
     FROM new WHERE positions.id = new.id",
);
const EXCEPTIONS: (&str, &str, &str) = (
    "-- exceptions\nINSERT INTO exceptions (position, version, kind, attempts, tries, due, first, \
     successes, stands_out, status, error, lane) VALUES ",
    "(?,?,?,?,?,?,?,?,?,?,?,?)",
    " ON CONFLICT (position, version) DO UPDATE SET kind = excluded.kind, \
     attempts = excluded.attempts, tries = excluded.tries, due = excluded.due, \
     first = excluded.first, successes = excluded.successes, \
     stands_out = excluded.stands_out, status = excluded.status, \
     error = excluded.error, lane = excluded.lane",
);
const CLEARED: (&str, &str, &str) =
    ("-- cleared\nDELETE FROM exceptions WHERE (position, version) IN (VALUES ", "(?,?)", ")");
// What stands still stands still until somebody redrives or deletes its letter.
const UNDEAD: (&str, &str, &str) = (
    "-- undead\nDELETE FROM dead_letters WHERE version = up_to AND reason <> 'expired' \
     AND (position, version) IN (SELECT live.id, done.column2 FROM (VALUES ",
    "(?,?)",
    ") done JOIN positions held ON held.id = done.column1 JOIN positions live \
     ON live.subscription = held.subscription AND live.topic = held.topic AND live.job IS NULL) \
     AND NOT EXISTS (SELECT 1 FROM exceptions x WHERE x.position = dead_letters.position \
     AND x.version = dead_letters.version AND x.kind = 'stopped')",
);
// Under the live position, whose letters they are when a replay job is gone.
const DEAD: &str = "-- dead\nINSERT INTO dead_letters (subscription, position, topic, version, \
    up_to, count, reason, attempts, first, at, status, error, recorded, attributes, form, data, checksum) \
    SELECT live.subscription, live.id, live.topic, $2, $2, 1, $3, $4, $5, $6, $7, $8, \
    x.recorded, x.attributes, x.form, x.data, x.checksum FROM positions held JOIN positions live \
    ON live.subscription = held.subscription AND live.topic = held.topic AND live.job IS NULL \
    LEFT JOIN exceptions x ON x.position = held.id AND x.version = $2 \
    WHERE held.id = $1 \
    ON CONFLICT (position, version) WHERE reason <> 'expired' DO UPDATE SET \
    reason = excluded.reason, attempts = excluded.attempts, first = excluded.first, \
    at = excluded.at, status = excluded.status, error = excluded.error";

/// Writes the effects of a plan; the caller commits.
pub(crate) async fn write(conn: &mut SqliteConnection, plan: &Plan) -> Result<(), sqlx::Error> {
    write_events(conn, plan).await?;
    write_pending(conn, plan).await?;
    for progressed in plan.progressed() {
        write_progress(conn, plan, &progressed).await?;
    }
    write_settlements(conn, plan).await?;
    for (subscription, resets, health) in plan.healths() {
        let sql = "-- health\nUPDATE subscriptions SET health = $3 WHERE id = $1 AND resets = $2";
        sqlx::query(sql)
            .bind(subscription)
            .bind(signed(resets))
            .bind(health)
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

async fn write_events(conn: &mut SqliteConnection, plan: &Plan) -> Result<(), sqlx::Error> {
    let topics: Vec<&TopicPlan> =
        plan.topics.values().filter(|topic| !topic.events.is_empty()).collect();
    bulk::rows(conn, HEADS, &topics, |query, topic| {
        query
            .bind(topic.id)
            .bind(signed(topic.state.head.0))
            .bind(topic.state.recorded.0)
            .bind(signed(topic.state.bytes))
    })
    .await?;
    for topic in &topics {
        bulk::rows(conn, EVENTS, &topic.events, |query, event| {
            let (form, data) = stored(&event.data);
            query
                .bind(slot::of(topic.id, event.version))
                .bind(event.recorded.0)
                .bind(event.attributes.shared())
                .bind(form)
                .bind(data)
                .bind(i64::from(sum::of_event(topic.id, event)))
        })
        .await?;
    }
    bulk::rows(conn, KEYS, &topics, |query, topic| {
        let hashes: Vec<u8> = topic.hashes.iter().flat_map(|hash| hash.to_be_bytes()).collect();
        let first = topic.events.first().map_or(Version::ZERO, |event| event.version);
        query.bind(slot::of(topic.id, first)).bind(topic.state.recorded.0).bind(hashes)
    })
    .await?;
    Ok(())
}

/// What begins to wait, and what waits no more.
async fn write_pending(conn: &mut SqliteConnection, plan: &Plan) -> Result<(), sqlx::Error> {
    bulk::rows(conn, WAITING, &plan.waiting, |query, waiting| {
        let (form, data) = stored(&waiting.event.data);
        query
            .bind(waiting.id)
            .bind(waiting.known.topic)
            .bind(waiting.known.due.0)
            .bind(waiting.since.0)
            .bind(waiting.known.key.to_be_bytes().to_vec())
            .bind(waiting.event.source.as_str())
            .bind(waiting.event.id.as_str())
            .bind(waiting.event.attributes.shared())
            .bind(form)
            .bind(data)
            .bind(i64::from(sum::of_pending(
                waiting.id,
                &waiting.known,
                waiting.since,
                &waiting.event,
            )))
    })
    .await?;
    let released: Vec<_> = plan.released().collect();
    bulk::rows(conn, WAITED, &released, |query, (due, _)| query.bind(due.id)).await?;
    bulk::rows(conn, RELEASED, &released, |query, (due, released)| {
        query
            .bind(slot::of(due.topic, released.version))
            .bind(due.id)
            .bind(due.since.0)
            .bind(due.due.0)
    })
    .await?;
    Ok(())
}

async fn write_progress(
    conn: &mut SqliteConnection,
    plan: &Plan,
    progressed: &Progressed<'_>,
) -> Result<(), sqlx::Error> {
    let Progressed { append, progress, .. } = progressed;
    let source = progress.source;
    let mark = progress.mark.as_ref();
    sqlx::query(PROGRESS)
        .bind(source)
        .bind(mark.is_some())
        .bind(mark.and_then(|mark| mark.as_deref()))
        .bind(append.now.0)
        .bind(progress.cursor.as_deref())
        .bind(i64::from(progress.complete))
        .bind(progress.next_poll.map(|next| next.0))
        .bind(progress.report.as_deref())
        .bind(signed(progressed.appended))
        .bind(signed(progressed.duplicates))
        .bind(signed(progress.rejected.len() as u64))
        .execute(&mut *conn)
        .await?;
    let Some(after) = plan.sources.get(&source) else { return Ok(()) };
    write_journal(conn, progressed, after.journal_next).await?;
    if !progress.rejected.is_empty() {
        let first = after.rejected_next - progress.rejected.len() as u64;
        let rows: Vec<_> = (first..).zip(&progress.rejected).collect();
        bulk::rows(conn, REJECTED, &rows, |query, (count, rejected)| {
            query
                .bind(slot::join(source, *count))
                .bind(append.now.0)
                .bind(rejected.reason.as_str())
                .bind(rejected.item.as_slice())
        })
        .await?;
        sqlx::query("-- rejected bound\nDELETE FROM rejected WHERE slot >= $1 AND slot < $2")
            .bind(slot::join(source, 0))
            .bind(slot::join(source, after.rejected_next.saturating_sub(bounds::REJECTED_MAX)))
            .execute(&mut *conn)
            .await?;
    }
    if let Some(gap) = &progress.gap {
        let sql = "-- gap\nINSERT INTO gaps (topic, source, version, recorded, reason, detail) \
            SELECT s.topic, s.name, t.head, $2, $3, $4 FROM sources s \
            JOIN topics t ON t.id = s.topic WHERE s.id = $1";
        sqlx::query(sql)
            .bind(source)
            .bind(append.now.0)
            .bind(gap.reason.as_str())
            .bind(gap.detail.as_str())
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

/// `next` is the count that the next row gets once all of this is done.
async fn write_journal(
    conn: &mut SqliteConnection,
    progressed: &Progressed<'_>,
    next: u64,
) -> Result<(), sqlx::Error> {
    let progress = progressed.progress;
    let source = progress.source;
    if progress.journal_clear {
        delete_journal(conn, source, 0).await?;
    }
    if !progress.journal.is_empty() {
        let first = next + progress.journal_done as u64 - progress.journal.len() as u64;
        let rows: Vec<(u64, &NewEvent)> = (first..).zip(&progress.journal).collect();
        bulk::rows(conn, JOURNAL, &rows, |query, (count, event)| {
            let (form, data) = stored(&event.data);
            let slot = slot::join(source, *count);
            query
                .bind(slot)
                .bind(event.source.as_str())
                .bind(event.id.as_str())
                .bind(event.attributes.shared())
                .bind(form)
                .bind(data)
                .bind(i64::from(sum::of_listed(source, *count, event)))
        })
        .await?;
    }
    if progress.journal_done > 0 {
        delete_journal(conn, source, next).await?;
    }
    Ok(())
}

/// Removes the rows of a journal from the count `from` on.
async fn delete_journal(
    conn: &mut SqliteConnection,
    source: i64,
    from: u64,
) -> Result<(), sqlx::Error> {
    sqlx::query("-- journal done\nDELETE FROM journal WHERE slot BETWEEN $1 AND $2")
        .bind(slot::join(source, from))
        .bind(slot::range(source).1)
        .execute(conn)
        .await?;
    Ok(())
}

async fn write_settlements(conn: &mut SqliteConnection, plan: &Plan) -> Result<(), sqlx::Error> {
    let settlements: Vec<&Settlement> = plan.settlements().collect();
    let last: Vec<(&Settlement, u64)> = settled::standings(&settlements).into_values().collect();
    bulk::rows(conn, POSITIONS, &last, |query, (settlement, delivered)| {
        query
            .bind(settlement.position)
            .bind(signed(settlement.reach.0))
            .bind(settled::packed(&settlement.open))
            .bind(signed(*delivered))
            .bind(settlement.now.0)
    })
    .await?;
    // Two settlements of one position keep their order: what one puts the next may clear.
    for settlement in settlements {
        let position = settlement.position;
        bulk::rows(conn, EXCEPTIONS, &settlement.put, |query, exception| {
            bind_exception(query, position, exception)
        })
        .await?;
        for dead in &settlement.dead {
            write_dead(conn, settlement, dead).await?;
        }
        let gone = settled::cleared(settlement);
        bulk::rows(conn, CLEARED, &gone, |query, version| bind_version(query, position, *version))
            .await?;
        bulk::rows(conn, UNDEAD, &settlement.undead, |query, version| {
            bind_version(query, position, *version)
        })
        .await?;
    }
    Ok(())
}

fn bind_version(query: bulk::Bound<'_>, position: i64, version: Version) -> bulk::Bound<'_> {
    query.bind(position).bind(signed(version.0))
}

fn bind_exception<'q>(
    query: bulk::Bound<'q>,
    position: i64,
    exception: &Exception,
) -> bulk::Bound<'q> {
    query
        .bind(position)
        .bind(signed(exception.version.0))
        .bind(<&str>::from(exception.kind))
        .bind(i64::from(exception.attempts))
        .bind(i64::from(exception.tries))
        .bind(exception.due.0)
        .bind(exception.first.0)
        .bind(signed(exception.successes))
        .bind(exception.stands_out)
        .bind(exception.last.status.map(i64::from))
        .bind(exception.last.error.as_deref().map(cut))
        .bind(exception.lane.map(signed))
}

async fn write_dead(
    conn: &mut SqliteConnection,
    settlement: &Settlement,
    dead: &NewDeadLetter,
) -> Result<(), sqlx::Error> {
    sqlx::query(DEAD)
        .bind(settlement.position)
        .bind(signed(dead.version.0))
        .bind(<&str>::from(dead.reason))
        .bind(i64::from(dead.attempts))
        .bind(dead.first.0)
        .bind(settlement.now.0)
        .bind(dead.last.status.map(i64::from))
        .bind(dead.last.error.as_deref().map(cut))
        .execute(conn)
        .await?;
    Ok(())
}
