//! A plan as SQL: one statement for each kind of row, whatever their number.

use sqlx::PgConnection;

use super::{
    row::{plain, signed},
    settled,
    sync::Synced,
};
use crate::{
    event::Version,
    store::{
        NewEvent,
        rules::{
            bounds,
            group::{Plan, Progressed, TopicPlan},
        },
        sum::{self, stored},
    },
};

const HEADS: &str = "-- heads\nUPDATE topics SET head = new.head, recorded = new.recorded, \
    bytes = new.bytes, slot = new.slot FROM UNNEST($1::bigint[], $2::bigint[], $3::bigint[], \
    $4::bigint[], $5::integer[]) AS new (id, head, recorded, bytes, slot) WHERE topics.id = new.id";
const EVENTS: &str = "-- events\nINSERT INTO events (topic, version, slot, recorded, form, checksum, \
    attributes, data) SELECT $1, new.version, $2, new.recorded, new.form, new.checksum, \
    new.attributes, new.data FROM UNNEST($3::bigint[], $4::bigint[], $5::smallint[], $6::bigint[], \
    $7::text[], $8::bytea[]) AS new (version, recorded, form, checksum, attributes, data)";
const SEEN: &str = "-- keys\nINSERT INTO seen (topic, first, recorded, hashes) SELECT * FROM \
    UNNEST($1::bigint[], $2::bigint[], $3::bigint[], $4::bytea[])";
const WAITING: &str = "-- waiting\nINSERT INTO pending (id, topic, due, since, hash, event_source, \
    event_id, attributes, form, data, checksum) SELECT * FROM UNNEST($1::bigint[], $2::bigint[], \
    $3::bigint[], $4::bigint[], $5::bytea[], $6::text[], $7::text[], $8::text[], $9::smallint[], \
    $10::bytea[], $11::bigint[])";
const RELEASED: &str = "-- released\nINSERT INTO released (topic, version, pending, since, due) \
    SELECT * FROM UNNEST($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[]) \
    ON CONFLICT DO NOTHING";
const PROGRESS: &str = "-- progress\nUPDATE sources SET \
    mark = CASE WHEN $2 THEN $3 ELSE mark END, mark_at = CASE WHEN $2 THEN $4 ELSE mark_at END, \
    cursor = coalesce($5, cursor), \
    cursor_contract = CASE WHEN $5 IS NULL THEN cursor_contract ELSE contract END, \
    walks = walks + $6, next_poll = coalesce($7, next_poll), report = coalesce($8, report), \
    appended = appended + $9, duplicates = duplicates + $10, rejected = rejected + $11, \
    journal_next = $12, rejected_next = $13 WHERE topic = $14 AND id = $1";
const JOURNAL: &str = "-- journal\nINSERT INTO journal (topic, source, count, event_source, event_id, \
    attributes, form, data, checksum) SELECT $1, $2, new.* FROM UNNEST($3::bigint[], $4::text[], \
    $5::text[], $6::text[], $7::smallint[], $8::bytea[], $9::bigint[]) AS new";
const REJECTED: &str = "-- rejected\nINSERT INTO rejected (topic, source, count, at, reason, item) \
    SELECT $1, $2, new.count, $3, new.reason, new.item FROM \
    UNNEST($4::bigint[], $5::text[], $6::bytea[]) AS new (count, reason, item)";

/// Writes the effects of a plan; the caller commits.
pub(super) async fn write(
    conn: &mut PgConnection,
    plan: &Plan,
    synced: &Synced,
) -> Result<(), sqlx::Error> {
    write_events(conn, plan, synced).await?;
    write_pending(conn, plan).await?;
    for progressed in plan.progressed() {
        write_progress(conn, plan, synced, &progressed).await?;
    }
    settled::write(conn, plan, synced).await?;
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

fn form(event: &crate::event::Data) -> i16 {
    i16::try_from(stored(event).0).unwrap_or_default()
}

async fn write_events(
    conn: &mut PgConnection,
    plan: &Plan,
    synced: &Synced,
) -> Result<(), sqlx::Error> {
    let topics: Vec<&TopicPlan> =
        plan.topics.values().filter(|topic| !topic.events.is_empty()).collect();
    if topics.is_empty() {
        return Ok(());
    }
    let slot = |topic: &TopicPlan| {
        let head = synced.marks.get(&topic.id).map_or(0, |marks| marks.slot);
        head.max(synced.slot)
    };
    let each = |value: fn(&TopicPlan) -> i64| topics.iter().map(|it| value(it)).collect::<Vec<_>>();
    sqlx::query(HEADS)
        .bind(each(|topic| topic.id))
        .bind(each(|topic| signed(topic.state.head.0)))
        .bind(each(|topic| topic.state.recorded.0))
        .bind(each(|topic| signed(topic.state.bytes)))
        .bind(topics.iter().map(|topic| slot(topic)).collect::<Vec<_>>())
        .execute(&mut *conn)
        .await?;
    for topic in &topics {
        let (events, slot) = (&topic.events, slot(topic));
        let head = synced.marks.get(&topic.id).map_or(0, |marks| marks.slot);
        if slot != head {
            sqlx::query("-- span\nINSERT INTO spans (topic, first, slot) VALUES ($1, $2, $3)")
                .bind(topic.id)
                .bind(signed(first(topic).0))
                .bind(slot)
                .execute(&mut *conn)
                .await?;
        }
        sqlx::query(EVENTS)
            .bind(topic.id)
            .bind(slot)
            .bind(events.iter().map(|event| signed(event.version.0)).collect::<Vec<_>>())
            .bind(events.iter().map(|event| event.recorded.0).collect::<Vec<_>>())
            .bind(events.iter().map(|event| form(&event.data)).collect::<Vec<_>>())
            .bind(
                events
                    .iter()
                    .map(|event| i64::from(sum::of_event(topic.id, event)))
                    .collect::<Vec<_>>(),
            )
            .bind(events.iter().map(|event| event.attributes.as_str()).collect::<Vec<_>>())
            .bind(events.iter().map(|event| stored(&event.data).1).collect::<Vec<_>>())
            .execute(&mut *conn)
            .await?;
    }
    let hashes = |topic: &&TopicPlan| {
        topic.hashes.iter().flat_map(|hash| hash.to_be_bytes()).collect::<Vec<u8>>()
    };
    sqlx::query(SEEN)
        .bind(each(|topic| topic.id))
        .bind(each(|topic| signed(first(topic).0)))
        .bind(each(|topic| topic.state.recorded.0))
        .bind(topics.iter().map(hashes).collect::<Vec<_>>())
        .execute(&mut *conn)
        .await?;
    Ok(())
}

fn first(topic: &TopicPlan) -> Version {
    topic.events.first().map_or(Version::ZERO, |event| event.version)
}

/// What begins to wait, and what waits no more.
async fn write_pending(conn: &mut PgConnection, plan: &Plan) -> Result<(), sqlx::Error> {
    let topics: Vec<i64> = Synced::changes_pending(plan).into_iter().collect();
    if topics.is_empty() {
        return Ok(());
    }
    let sql = "-- pending changes\nUPDATE topics SET waiting = waiting + 1 WHERE id = ANY($1)";
    sqlx::query(sql).bind(topics).execute(&mut *conn).await?;
    let waiting = &plan.waiting;
    let sums =
        waiting.iter().map(|it| i64::from(sum::of_pending(it.id, &it.known, it.since, &it.event)));
    sqlx::query(WAITING)
        .bind(waiting.iter().map(|it| it.id).collect::<Vec<_>>())
        .bind(waiting.iter().map(|it| it.known.topic).collect::<Vec<_>>())
        .bind(waiting.iter().map(|it| it.known.due.0).collect::<Vec<_>>())
        .bind(waiting.iter().map(|it| it.since.0).collect::<Vec<_>>())
        .bind(waiting.iter().map(|it| it.known.key.to_be_bytes().to_vec()).collect::<Vec<_>>())
        .bind(waiting.iter().map(|it| it.event.source.as_str()).collect::<Vec<_>>())
        .bind(waiting.iter().map(|it| it.event.id.as_str()).collect::<Vec<_>>())
        .bind(waiting.iter().map(|it| it.event.attributes.as_str()).collect::<Vec<_>>())
        .bind(waiting.iter().map(|it| form(&it.event.data)).collect::<Vec<_>>())
        .bind(waiting.iter().map(|it| stored(&it.event.data).1).collect::<Vec<_>>())
        .bind(sums.collect::<Vec<_>>())
        .execute(&mut *conn)
        .await?;
    let released: Vec<_> = plan.released().collect();
    let sql = "-- waited\nDELETE FROM pending WHERE (topic, id) IN \
        (SELECT * FROM UNNEST($1::bigint[], $2::bigint[]))";
    sqlx::query(sql)
        .bind(released.iter().map(|(due, _)| due.topic).collect::<Vec<_>>())
        .bind(released.iter().map(|(due, _)| due.id).collect::<Vec<_>>())
        .execute(&mut *conn)
        .await?;
    sqlx::query(RELEASED)
        .bind(released.iter().map(|(due, _)| due.topic).collect::<Vec<_>>())
        .bind(released.iter().map(|(_, logged)| signed(logged.version.0)).collect::<Vec<_>>())
        .bind(released.iter().map(|(due, _)| due.id).collect::<Vec<_>>())
        .bind(released.iter().map(|(due, _)| due.since.0).collect::<Vec<_>>())
        .bind(released.iter().map(|(due, _)| due.due.0).collect::<Vec<_>>())
        .execute(conn)
        .await?;
    Ok(())
}

async fn write_progress(
    conn: &mut PgConnection,
    plan: &Plan,
    synced: &Synced,
    progressed: &Progressed<'_>,
) -> Result<(), sqlx::Error> {
    let Progressed { append, progress, .. } = progressed;
    let source = progress.source;
    let topic = synced.known.names.get(&append.topic).and_then(|id| plan.topics.get(id));
    let (Some(topic), Some(after)) = (topic, plan.sources.get(&source)) else { return Ok(()) };
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
        .bind(signed(after.journal_next))
        .bind(signed(after.rejected_next))
        .bind(topic.id)
        .execute(&mut *conn)
        .await?;
    write_journal(conn, topic.id, progressed, after.journal_next).await?;
    if !progress.rejected.is_empty() {
        let first = after.rejected_next - progress.rejected.len() as u64;
        let rejected = &progress.rejected;
        sqlx::query(REJECTED)
            .bind(topic.id)
            .bind(source)
            .bind(append.now.0)
            .bind((first..after.rejected_next).map(signed).collect::<Vec<_>>())
            .bind(rejected.iter().map(|it| plain(&it.reason)).collect::<Vec<_>>())
            .bind(rejected.iter().map(|it| it.item.as_slice()).collect::<Vec<_>>())
            .execute(&mut *conn)
            .await?;
        let sql = "-- rejected bound\nDELETE FROM rejected \
            WHERE topic = $1 AND source = $2 AND count < $3";
        sqlx::query(sql)
            .bind(topic.id)
            .bind(source)
            .bind(signed(after.rejected_next.saturating_sub(bounds::REJECTED_MAX)))
            .execute(&mut *conn)
            .await?;
    }
    if let Some(gap) = &progress.gap {
        let sql = "-- gap\nINSERT INTO gaps (topic, source, version, recorded, reason, detail) \
            SELECT topic, name, $3, $4, $5, $6 FROM sources WHERE topic = $1 AND id = $2";
        sqlx::query(sql)
            .bind(topic.id)
            .bind(source)
            .bind(signed(topic.state.head.0))
            .bind(append.now.0)
            .bind(plain(&gap.reason))
            .bind(plain(&gap.detail))
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

/// `next` is the count that the next row gets once all of this is done.
async fn write_journal(
    conn: &mut PgConnection,
    topic: i64,
    progressed: &Progressed<'_>,
    next: u64,
) -> Result<(), sqlx::Error> {
    let progress = progressed.progress;
    let source = progress.source;
    if progress.journal_clear {
        delete_journal(conn, topic, source, 0).await?;
    }
    if !progress.journal.is_empty() {
        let first = next + progress.journal_done as u64 - progress.journal.len() as u64;
        let rows: Vec<(u64, &NewEvent)> = (first..).zip(&progress.journal).collect();
        let sums = rows.iter().map(|(count, it)| i64::from(sum::of_listed(source, *count, it)));
        sqlx::query(JOURNAL)
            .bind(topic)
            .bind(source)
            .bind(rows.iter().map(|(count, _)| signed(*count)).collect::<Vec<_>>())
            .bind(rows.iter().map(|(_, it)| it.source.as_str()).collect::<Vec<_>>())
            .bind(rows.iter().map(|(_, it)| it.id.as_str()).collect::<Vec<_>>())
            .bind(rows.iter().map(|(_, it)| it.attributes.as_str()).collect::<Vec<_>>())
            .bind(rows.iter().map(|(_, it)| form(&it.data)).collect::<Vec<_>>())
            .bind(rows.iter().map(|(_, it)| stored(&it.data).1).collect::<Vec<_>>())
            .bind(sums.collect::<Vec<_>>())
            .execute(&mut *conn)
            .await?;
    }
    if progress.journal_done > 0 {
        delete_journal(conn, topic, source, next).await?;
    }
    Ok(())
}

/// Removes the rows of a journal from the count `from` on.
async fn delete_journal(
    conn: &mut PgConnection,
    topic: i64,
    source: i64,
    from: u64,
) -> Result<(), sqlx::Error> {
    let sql = "-- journal done\nDELETE FROM journal \
        WHERE topic = $1 AND source = $2 AND count >= $3";
    sqlx::query(sql).bind(topic).bind(source).bind(signed(from)).execute(conn).await?;
    Ok(())
}
