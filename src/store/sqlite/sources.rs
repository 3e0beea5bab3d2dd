//! Sources, their journals and rejected items.

use futures_util::TryStreamExt as _;
use sqlx::{
    Row as _, SqliteConnection,
    sqlite::{SqlitePool, SqliteRow},
};

use super::{
    commit::signed,
    memory::{Change, SourceMemory, name, unsigned},
    read, slot,
    writer::Desk,
};
use crate::{
    event::{Micros, Name},
    store::{NewEvent, NewSource, Rejected, SourceState, SourceStatus, Steer, StoreError},
};

/// What one reading of a journal gives at most.
const JOURNAL_BYTES: usize = 4 << 20;

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "-- sources\nSELECT s.id, s.name, t.name, s.status, s.fence, s.cursor, s.mark, \
             s.mark_at, (SELECT count(*) FROM journal \
             WHERE slot BETWEEN s.id << 40 AND (s.id << 40 | 1099511627775)), \
             s.walks, s.next_poll, s.report, s.appended, s.duplicates, s.rejected, s.removed_at, \
             s.cursor_contract, s.config_hash FROM sources s JOIN topics t ON t.id = s.topic ",
            $rest
        )
    };
}

fn state(row: &SqliteRow) -> Result<SourceState, StoreError> {
    Ok(SourceState {
        id: row.get(0),
        name: name(row, 1, "sources")?,
        topic: name(row, 2, "topics")?,
        status: status(row.get(3), row.get(15))?,
        fence: unsigned(row, 4),
        contract: row.get(16),
        config_hash: row.get(17),
        cursor: row.get(5),
        mark: row.get(6),
        mark_at: Micros(row.get(7)),
        journaled: unsigned(row, 8),
        walks: unsigned(row, 9),
        next_poll: Micros(row.get(10)),
        report: row.get(11),
        appended: unsigned(row, 12),
        duplicates: unsigned(row, 13),
        rejected: unsigned(row, 14),
        removed_at: row.get::<Option<i64>, _>(15).map(Micros),
    })
}

fn status(word: &str, removed_at: Option<i64>) -> Result<SourceStatus, StoreError> {
    match word {
        _ if removed_at.is_some() => Ok(SourceStatus::Removed),
        "active" => Ok(SourceStatus::Active),
        "paused" => Ok(SourceStatus::Paused),
        other => {
            Err(StoreError::Unreadable { table: "sources", problem: format!("status {other}") })
        }
    }
}

/// One source.
pub(super) async fn one(
    conn: &mut SqliteConnection,
    name: &Name,
) -> Result<SourceState, StoreError> {
    let row =
        sqlx::query(select!("WHERE s.name = $1")).bind(name.as_str()).fetch_optional(conn).await?;
    state(&row.ok_or_else(|| StoreError::not_found("source", name.as_str()))?)
}

/// All sources by name.
pub(super) async fn all(readers: &SqlitePool) -> Result<Vec<SourceState>, StoreError> {
    let rows = sqlx::query(select!("ORDER BY s.name")).fetch_all(readers).await?;
    rows.iter().map(state).collect()
}

/// Creates a source, or finds it under its name.
pub(super) async fn put(
    desk: &mut Desk,
    new: NewSource,
    now: Micros,
) -> Result<SourceState, StoreError> {
    let topic = desk.memory.topic(&new.topic)?.state.id;
    let known = sqlx::query(select!("WHERE s.name = $1"))
        .bind(new.name.as_str())
        .fetch_optional(&mut desk.conn)
        .await?;
    match known {
        None => {
            let sql = "-- new source\nINSERT INTO sources (name, topic, status, contract, config_hash, next_poll) \
                VALUES ($1, $2, 'active', $3, $4, $5)";
            sqlx::query(sql)
                .bind(new.name.as_str())
                .bind(topic)
                .bind(new.contract.as_str())
                .bind(new.config_hash.as_str())
                .bind(now.0)
                .execute(&mut desk.conn)
                .await?;
        }
        Some(row) => renew(desk, &new, topic, &row, now).await?,
    }
    finish(desk, &new.name).await
}

async fn renew(
    desk: &mut Desk,
    new: &NewSource,
    topic: i64,
    row: &SqliteRow,
    now: Micros,
) -> Result<(), StoreError> {
    let known = state(row)?;
    let config_hash: &str = row.get(17);
    if !known.accepts(&new.contract) {
        return Err(StoreError::Conflict(format!(
            "source `{}` has a cursor that was stored for another kind, URL or cursor rule; \
             set a cursor (or `none`) before it is used",
            new.name
        )));
    }
    let changed = config_hash != new.config_hash;
    // Every start puts every source: what is as it was is not written, and costs no sync.
    let sql = "-- renewed source\nUPDATE sources SET topic = $2, contract = $3, config_hash = $4, \
        fence = fence + $5, mark = CASE WHEN $5 THEN NULL ELSE mark END, \
        next_poll = CASE WHEN $5 OR removed_at IS NOT NULL THEN min(next_poll, $6) ELSE next_poll END, \
        removed_at = NULL WHERE id = $1 \
        AND ($5 OR topic <> $2 OR contract <> $3 OR removed_at IS NOT NULL)";
    sqlx::query(sql)
        .bind(known.id)
        .bind(topic)
        .bind(new.contract.as_str())
        .bind(new.config_hash.as_str())
        .bind(changed)
        .bind(now.0)
        .execute(&mut desk.conn)
        .await?;
    if changed {
        clear_journal(desk, known.id).await?;
    }
    Ok(())
}

/// Pauses, resumes, sets the cursor, asks for a poll, or marks as removed.
pub(super) async fn steer(
    desk: &mut Desk,
    name: Name,
    steer: Steer,
    now: Micros,
) -> Result<SourceState, StoreError> {
    let known = one(&mut desk.conn, &name).await?;
    let serves = matches!(steer, Steer::Pause | Steer::Resume | Steer::Poll);
    if serves && known.status == SourceStatus::Removed {
        return Err(StoreError::Conflict(format!(
            "source `{name}` has left the configuration; it finds its place again when it is back"
        )));
    }
    let (sql, value) = match steer {
        Steer::Pause => {
            ("UPDATE sources SET status = 'paused', fence = fence + 1 WHERE id = $1", None)
        }
        Steer::Resume => (
            "UPDATE sources SET status = 'active', fence = fence + 1, next_poll = $2 WHERE id = $1",
            None,
        ),
        Steer::Poll => ("UPDATE sources SET next_poll = $2 WHERE id = $1", None),
        Steer::Remove => {
            ("UPDATE sources SET fence = fence + 1, removed_at = $2 WHERE id = $1", None)
        }
        Steer::Cursor(cursor) => {
            clear_journal(desk, known.id).await?;
            (
                "UPDATE sources SET fence = fence + 1, mark = NULL, next_poll = $2, cursor_contract = '', cursor = $3 WHERE id = $1",
                cursor,
            )
        }
    };
    sqlx::query(sql).bind(known.id).bind(now.0).bind(value).execute(&mut desk.conn).await?;
    finish(desk, &name).await
}

async fn clear_journal(desk: &mut Desk, source: i64) -> Result<(), StoreError> {
    let (low, high) = slot::range(source);
    sqlx::query("-- clear journal\nDELETE FROM journal WHERE slot BETWEEN $1 AND $2")
        .bind(low)
        .bind(high)
        .execute(&mut desk.conn)
        .await?;
    Ok(())
}

/// Removes a source with everything it has.
pub(super) async fn forget(desk: &mut Desk, source: i64) -> Result<(), StoreError> {
    clear_journal(desk, source).await?;
    let (low, high) = slot::range(source);
    sqlx::query("-- forget items\nDELETE FROM rejected WHERE slot BETWEEN $1 AND $2")
        .bind(low)
        .bind(high)
        .execute(&mut desk.conn)
        .await?;
    sqlx::query("-- forget source\nDELETE FROM sources WHERE id = $1")
        .bind(source)
        .execute(&mut desk.conn)
        .await?;
    desk.change(Change::SourceGone(source));
    Ok(())
}

/// Reads the source back and notes it for memory.
async fn finish(desk: &mut Desk, name: &Name) -> Result<SourceState, StoreError> {
    let state = one(&mut desk.conn, name).await?;
    let known = desk.memory.sources.get(&state.id);
    let memory = SourceMemory {
        fence: state.fence,
        journal_next: if state.journaled == 0 {
            1
        } else {
            known.map_or(1, |known| known.journal_next)
        },
        rejected_next: known.map_or(1, |known| known.rejected_next),
    };
    desk.change(Change::Source(state.id, memory));
    desk.announce();
    Ok(state)
}

/// The end of a journal, last listed first.
pub(super) async fn journal(
    readers: &SqlitePool,
    name: &Name,
    limit: usize,
) -> Result<Vec<NewEvent>, StoreError> {
    let mut conn = readers.acquire().await?;
    let (low, high) = slot::range(one(&mut conn, name).await?.id);
    let sql = "-- journal\nSELECT source, id, attributes, form, data FROM journal \
        WHERE slot BETWEEN $1 AND $2 ORDER BY slot DESC LIMIT $3";
    let mut rows =
        sqlx::query(sql).bind(low).bind(high).bind(signed(limit as u64)).fetch(&mut *conn);
    let mut bytes = 0;
    let mut events: Vec<NewEvent> = Vec::new();
    while let Some(row) = rows.try_next().await? {
        let event = NewEvent {
            source: row.get(0),
            id: row.get(1),
            attributes: row.get::<&str, _>(2).into(),
            data: read::data(&row, 3, "journal")?,
            deliver_at: None,
        };
        bytes += event.attributes.len() + event.data.bytes().len();
        if bytes > JOURNAL_BYTES && !events.is_empty() {
            break;
        }
        events.push(event);
    }
    Ok(events)
}

/// The newest rejected items.
pub(super) async fn rejected(
    readers: &SqlitePool,
    name: &Name,
    limit: usize,
) -> Result<Vec<Rejected>, StoreError> {
    let mut conn = readers.acquire().await?;
    let (low, high) = slot::range(one(&mut conn, name).await?.id);
    let sql = "-- rejected\nSELECT at, reason, item FROM rejected \
        WHERE slot BETWEEN $1 AND $2 ORDER BY slot DESC LIMIT $3";
    let rows = sqlx::query(sql)
        .bind(low)
        .bind(high)
        .bind(signed(limit as u64))
        .fetch_all(&mut *conn)
        .await?;
    let item =
        |row: &SqliteRow| Rejected { at: Micros(row.get(0)), reason: row.get(1), item: row.get(2) };
    Ok(rows.iter().map(item).collect())
}
