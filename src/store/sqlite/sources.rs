//! Sources, their journals and rejected items.

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use sqlx::{
    SqliteConnection,
    sqlite::{SqlitePool, SqliteRow},
};

use super::{
    SqliteStore,
    desk::Desk,
    file::{
        row::{Cells, signed},
        slot, waiting,
    },
};
use crate::{
    event::{Micros, Name},
    store::{
        NewEvent, NewSource, REJECTED_BYTES_MAX, Rejected, SourceState, SourceStatus, Sources,
        Steer, StoreError,
        rules::{
            bounds,
            known::{Change, KnownSource},
            source,
        },
    },
};

/// Sets a cursor that is good for whatever the source is put with.
const SET_CURSOR: &str = "fence = fence + 1, mark = NULL, next_poll = $2, asked_at = $2, \
    cursor_contract = '', stuck_at = NULL, old_cursor = cursor, cursor = $3";

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "-- sources\nSELECT s.id, s.name, t.name AS topic, s.status, s.fence, s.cursor, s.mark, \
             s.mark_at, (SELECT count(*) FROM journal \
             WHERE slot BETWEEN s.id << 40 AND (s.id << 40 | 1099511627775)) AS journaled, \
             s.walks, s.next_poll, s.report, s.appended, s.duplicates, s.rejected, s.removed_at, \
             s.cursor_contract, s.config_hash, s.contract, s.event_source, s.old_cursor, \
             s.stuck_at, s.asked_at FROM sources s JOIN topics t ON t.id = s.topic ",
            $rest
        )
    };
}

#[async_trait]
impl Sources for SqliteStore {
    async fn put_source(&self, source: &NewSource, now: Micros) -> Result<SourceState, StoreError> {
        let source = source.clone();
        self.cold(move |desk| Box::pin(put(desk, source, now))).await
    }

    async fn source(&self, name: &Name) -> Result<SourceState, StoreError> {
        one(&mut *self.shared.readers.acquire().await?, name).await
    }

    async fn sources(&self) -> Result<Vec<SourceState>, StoreError> {
        all(&self.shared.readers).await
    }

    async fn steer_source(
        &self,
        name: &Name,
        how: Steer,
        now: Micros,
    ) -> Result<SourceState, StoreError> {
        let name = name.clone();
        self.cold(move |desk| Box::pin(steer(desk, name, how, now))).await
    }

    async fn journal(&self, name: &Name, limit: usize) -> Result<Vec<NewEvent>, StoreError> {
        journal(&self.shared.readers, name, limit).await
    }

    async fn rejected(&self, name: &Name, limit: usize) -> Result<Vec<Rejected>, StoreError> {
        rejected(&self.shared.readers, name, limit).await
    }
}

fn state(row: &SqliteRow) -> Result<SourceState, StoreError> {
    let topic = Cells::of(row, "topics").get("topic")?;
    let row = Cells::of(row, "sources");
    let removed_at: Option<Micros> = row.get("removed_at")?;
    let status = row.get("status")?;
    Ok(SourceState {
        id: row.get("id")?,
        name: row.get("name")?,
        topic,
        status: if removed_at.is_some() { SourceStatus::Removed } else { status },
        fence: row.get("fence")?,
        contract: row.get("cursor_contract")?,
        config_hash: row.get("config_hash")?,
        put_contract: row.get("contract")?,
        event_source: row.get("event_source")?,
        old_cursor: row.get("old_cursor")?,
        stuck_at: row.get("stuck_at")?,
        asked_at: row.get("asked_at")?,
        cursor: row.get("cursor")?,
        mark: row.get("mark")?,
        mark_at: row.get("mark_at")?,
        journaled: row.get("journaled")?,
        walks: row.get("walks")?,
        next_poll: row.get("next_poll")?,
        report: row.get("report")?,
        appended: row.get("appended")?,
        duplicates: row.get("duplicates")?,
        rejected: row.get("rejected")?,
        removed_at,
    })
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
    let topic = desk.known.topic(&new.topic)?.state.id;
    let known = sqlx::query(select!("WHERE s.name = $1"))
        .bind(new.name.as_str())
        .fetch_optional(&mut desk.conn)
        .await?;
    match known {
        None => {
            let sql = "-- new source\nINSERT INTO sources (name, topic, status, contract, config_hash, next_poll, event_source) \
                VALUES ($1, $2, 'active', $3, $4, $5, $6)";
            sqlx::query(sql)
                .bind(new.name.as_str())
                .bind(topic)
                .bind(new.contract.as_str())
                .bind(new.config_hash.as_str())
                .bind(now.0)
                .bind(new.event_source.chosen(None))
                .execute(&mut desk.conn)
                .await?;
        }
        Some(row) => renew(desk, &new, topic, &row, now).await?,
    }
    finish(desk, &new.name).await
}

/// A cursor that is for another contract stays and is not used, so that the rest of the
/// configuration can be taken over all the same.
async fn renew(
    desk: &mut Desk,
    new: &NewSource,
    topic: i64,
    row: &SqliteRow,
    now: Micros,
) -> Result<(), StoreError> {
    let known = state(row)?;
    let renewal = source::renewal(&known, new);
    // Every start puts every source: what is as it was is not written, and costs no sync.
    let sql = "-- renewed source\nUPDATE sources SET topic = $2, contract = $3, config_hash = $4, \
        fence = fence + $5, mark = CASE WHEN $5 THEN NULL ELSE mark END, \
        next_poll = CASE WHEN $5 OR removed_at IS NOT NULL THEN min(next_poll, $6) ELSE next_poll END, \
        event_source = $7, cursor_contract = CASE WHEN $8 THEN $3 ELSE cursor_contract END, \
        stuck_at = CASE WHEN $9 THEN NULL ELSE coalesce(stuck_at, $6) END, \
        removed_at = NULL WHERE id = $1 \
        AND ($5 OR topic <> $2 OR event_source IS NOT $7 OR removed_at IS NOT NULL)";
    sqlx::query(sql)
        .bind(known.id)
        .bind(topic)
        .bind(new.contract.as_str())
        .bind(new.config_hash.as_str())
        .bind(renewal.is_changed)
        .bind(now.0)
        .bind(renewal.event_source)
        .bind(renewal.takes_over_cursor)
        .bind(renewal.can_go_on)
        .execute(&mut desk.conn)
        .await?;
    if renewal.is_changed {
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
    source::may_steer(&known, &steer)?;
    if source::drops_journal(&steer) {
        clear_journal(desk, known.id).await?;
    }
    let (change, value) = match steer {
        Steer::Pause => ("status = 'paused', fence = fence + 1", None),
        Steer::Resume => {
            ("status = 'active', fence = fence + 1, next_poll = $2, asked_at = $2", None)
        }
        Steer::Poll => ("next_poll = $2, asked_at = $2", None),
        Steer::Remove => ("fence = fence + 1, removed_at = $2", None),
        Steer::Cursor(cursor) => (SET_CURSOR, Some(cursor)),
        Steer::Reset(left) => (SET_CURSOR, known.cursor.as_deref().and_then(left)),
        Steer::KeepCursor => (SET_CURSOR, known.cursor),
    };
    let sql = format!("-- steered source\nUPDATE sources SET {change} WHERE id = $1");
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(known.id)
        .bind(now.0)
        .bind(value)
        .execute(&mut desk.conn)
        .await?;
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

/// Reads the source back and notes it.
async fn finish(desk: &mut Desk, name: &Name) -> Result<SourceState, StoreError> {
    let state = one(&mut desk.conn, name).await?;
    let known = desk.known.sources.get(&state.id);
    let one = KnownSource {
        fence: state.fence,
        journal_next: if state.journaled == 0 {
            1
        } else {
            known.map_or(1, |known| known.journal_next)
        },
        rejected_next: known.map_or(1, |known| known.rejected_next),
    };
    desk.change(Change::Source(state.id, one));
    desk.announce();
    Ok(state)
}

/// The end of a journal, last listed first.
///
/// # Errors
/// `Unreadable` when a row is damaged: the walk that listed it has to be made anew.
pub(super) async fn journal(
    readers: &SqlitePool,
    name: &Name,
    limit: usize,
) -> Result<Vec<NewEvent>, StoreError> {
    let mut conn = readers.acquire().await?;
    let (low, high) = slot::range(one(&mut conn, name).await?.id);
    let sql = "-- journal\nSELECT slot, source, id, attributes, form, data, checksum FROM journal \
        WHERE slot BETWEEN $1 AND $2 ORDER BY slot DESC LIMIT $3";
    let mut rows =
        sqlx::query(sql).bind(low).bind(high).bind(signed(limit as u64)).fetch(&mut *conn);
    let mut bytes = 0;
    let mut events: Vec<NewEvent> = Vec::new();
    while let Some(row) = rows.try_next().await? {
        let event = waiting::listed(&row)?;
        bytes += event.size_bytes();
        if bytes > bounds::JOURNAL_BYTES_MAX && !events.is_empty() {
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
    let limit = signed(limit as u64);
    let mut rows = sqlx::query(sql).bind(low).bind(high).bind(limit).fetch(&mut *conn);
    let (mut bytes, mut found) = (0, Vec::new());
    while let Some(row) = rows.try_next().await? {
        let row = Cells::of(&row, "rejected");
        let one =
            Rejected { at: row.get("at")?, reason: row.get("reason")?, item: row.get("item")? };
        bytes += one.item.len();
        if bytes > REJECTED_BYTES_MAX {
            break;
        }
        found.push(one);
    }
    Ok(found)
}
