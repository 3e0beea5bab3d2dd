//! Sources, their journals and rejected items.

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use sqlx::{PgConnection, postgres::PgRow};

use super::{
    PostgresStore,
    registry::{Registry, locked},
    row::{Cells, signed},
};
use crate::{
    event::{Micros, Name},
    store::{
        NewEvent, NewSource, REJECTED_BYTES_MAX, Rejected, SourceState, SourceStatus, Sources,
        Steer, StoreError,
        rules::{bounds, source},
        sum,
    },
};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "-- sources\nSELECT s.*, t.name AS topic_name, \
             (SELECT count(*) FROM journal j WHERE j.topic = s.topic AND j.source = s.id) AS journaled \
             FROM sources s JOIN topics t ON t.id = s.topic ",
            $rest
        )
    };
}

#[async_trait]
impl Sources for PostgresStore {
    async fn put_source(&self, source: &NewSource, now: Micros) -> Result<SourceState, StoreError> {
        let known = self.source(&source.name).await;
        if let Ok(known) = known
            && source::is_as_known(&known, source)
        {
            // Every start puts every source: what is as it was keeps no other node waiting.
            return Ok(known);
        }
        let mut registry = self.registry().await?;
        put(&mut registry, source, now).await?;
        let state = one(&mut registry.conn, &source.name).await?;
        registry.commit().await?;
        Ok(state)
    }

    async fn source(&self, name: &Name) -> Result<SourceState, StoreError> {
        one(&mut *self.shared.pool.acquire().await?, name).await
    }

    async fn sources(&self) -> Result<Vec<SourceState>, StoreError> {
        let rows = sqlx::query(select!("ORDER BY s.name")).fetch_all(&self.shared.pool).await?;
        rows.iter().map(state).collect()
    }

    async fn steer_source(
        &self,
        name: &Name,
        how: Steer,
        now: Micros,
    ) -> Result<SourceState, StoreError> {
        let mut registry = self.registry().await?;
        steer(&mut registry, name, how, now).await?;
        let state = one(&mut registry.conn, name).await?;
        registry.commit().await?;
        Ok(state)
    }

    /// # Errors
    /// `Unreadable` when a row is damaged: the walk that listed it has to be made anew.
    async fn journal(&self, name: &Name, limit: usize) -> Result<Vec<NewEvent>, StoreError> {
        let mut conn = self.shared.pool.acquire().await?;
        let id = one(&mut conn, name).await?.id;
        let sql = "-- journal\nSELECT * FROM journal WHERE topic = (SELECT topic FROM sources WHERE id = $1) \
            AND source = $1 ORDER BY count DESC LIMIT $2";
        let mut rows = sqlx::query(sql).bind(id).bind(signed(limit as u64)).fetch(&mut *conn);
        let mut bytes = 0;
        let mut events: Vec<NewEvent> = Vec::new();
        while let Some(row) = rows.try_next().await? {
            let event = listed(&row)?;
            bytes += event.size_bytes();
            if bytes > bounds::JOURNAL_BYTES_MAX && !events.is_empty() {
                break;
            }
            events.push(event);
        }
        Ok(events)
    }

    async fn rejected(&self, name: &Name, limit: usize) -> Result<Vec<Rejected>, StoreError> {
        let mut conn = self.shared.pool.acquire().await?;
        let id = one(&mut conn, name).await?.id;
        let sql = "-- rejected\nSELECT at, reason, item FROM rejected \
            WHERE topic = (SELECT topic FROM sources WHERE id = $1) AND source = $1 \
            ORDER BY count DESC LIMIT $2";
        let mut rows = sqlx::query(sql).bind(id).bind(signed(limit as u64)).fetch(&mut *conn);
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
}

/// An event of a journal.
fn listed(row: &PgRow) -> Result<NewEvent, StoreError> {
    let row = Cells::of(row, "journal");
    let event = row.new_event()?;
    row.check(sum::of_listed(row.get("source")?, row.count("count")?, &event))?;
    Ok(event)
}

fn state(row: &PgRow) -> Result<SourceState, StoreError> {
    let topic = Cells::of(row, "topics").get("topic_name")?;
    let row = Cells::of(row, "sources");
    let removed_at: Option<Micros> = row.get("removed_at")?;
    let status = row.get("status")?;
    Ok(SourceState {
        id: row.get("id")?,
        name: row.get("name")?,
        topic,
        status: if removed_at.is_some() { SourceStatus::Removed } else { status },
        fence: row.count("fence")?,
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
        journaled: row.count("journaled")?,
        walks: row.count("walks")?,
        next_poll: row.get("next_poll")?,
        report: row.get("report")?,
        appended: row.count("appended")?,
        duplicates: row.count("duplicates")?,
        rejected: row.count("rejected")?,
        removed_at,
    })
}

/// One source.
pub(super) async fn one(conn: &mut PgConnection, name: &Name) -> Result<SourceState, StoreError> {
    let row =
        sqlx::query(select!("WHERE s.name = $1")).bind(name.as_str()).fetch_optional(conn).await?;
    state(&row.ok_or_else(|| StoreError::not_found("source", name.as_str()))?)
}

/// Creates a source, or finds it under its name.
async fn put(registry: &mut Registry, new: &NewSource, now: Micros) -> Result<(), StoreError> {
    let topic = locked(&mut registry.conn, &new.topic).await?.id;
    match one(&mut registry.conn, &new.name).await {
        Ok(known) => renew(registry, new, topic, &known, now).await,
        Err(StoreError::NotFound { .. }) => {
            let sql = "-- new source\nINSERT INTO sources (name, topic, status, contract, config_hash, next_poll, event_source) \
                VALUES ($1, $2, 'active', $3, $4, $5, $6)";
            sqlx::query(sql)
                .bind(new.name.as_str())
                .bind(topic)
                .bind(new.contract.as_str())
                .bind(new.config_hash.as_str())
                .bind(now.0)
                .bind(new.event_source.chosen(None))
                .execute(&mut *registry.conn)
                .await?;
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// A cursor that is for another contract stays and is not used, so that the rest of the
/// configuration can be taken over all the same.
async fn renew(
    registry: &mut Registry,
    new: &NewSource,
    topic: i64,
    known: &SourceState,
    now: Micros,
) -> Result<(), StoreError> {
    let renewal = source::renewal(known, new);
    // Every start puts every source: what is as it was is not written.
    let sql = "-- renewed source\nUPDATE sources SET topic = $2, contract = $3, config_hash = $4, \
        fence = fence + CASE WHEN $5 THEN 1 ELSE 0 END, mark = CASE WHEN $5 THEN NULL ELSE mark END, \
        next_poll = CASE WHEN $5 OR removed_at IS NOT NULL THEN least(next_poll, $6) ELSE next_poll END, \
        event_source = $7, cursor_contract = CASE WHEN $8 THEN $3 ELSE cursor_contract END, \
        stuck_at = CASE WHEN $9 THEN NULL ELSE coalesce(stuck_at, $6) END, \
        removed_at = NULL WHERE id = $1 AND ($5 OR topic <> $2 \
        OR event_source IS DISTINCT FROM $7 OR removed_at IS NOT NULL)";
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
        .execute(&mut *registry.conn)
        .await?;
    if known.topic != new.topic {
        for sql in [
            "-- journal moves\nUPDATE journal SET topic = $2 \
             WHERE topic = (SELECT id FROM topics WHERE name = $3) AND source = $1",
            "-- items move\nUPDATE rejected SET topic = $2 \
             WHERE topic = (SELECT id FROM topics WHERE name = $3) AND source = $1",
        ] {
            let query = sqlx::query(sql).bind(known.id).bind(topic).bind(known.topic.as_str());
            query.execute(&mut *registry.conn).await?;
        }
    }
    if renewal.is_changed {
        clear_journal(&mut registry.conn, known.id).await?;
    }
    Ok(())
}

/// Does what an operator asks for.
async fn steer(
    registry: &mut Registry,
    name: &Name,
    steer: Steer,
    now: Micros,
) -> Result<(), StoreError> {
    let known = one(&mut registry.conn, name).await?;
    source::may_steer(&known, &steer)?;
    let conn = &mut *registry.conn;
    // Whoever appends for it has its row.
    let sql = "-- held source\nSELECT 1 FROM sources WHERE id = $1 FOR UPDATE";
    sqlx::query(sql).bind(known.id).execute(&mut *conn).await?;
    if source::drops_journal(&steer) {
        clear_journal(conn, known.id).await?;
    }
    let cursor = match steer {
        Steer::Cursor(cursor) => Some(cursor),
        Steer::Reset(left) => known.cursor.as_deref().and_then(left),
        Steer::KeepCursor => known.cursor,
        steer => return set_status(conn, known.id, &steer, now).await,
    };
    // Good for whatever the source is put with.
    let sql = "-- cursor\nUPDATE sources SET fence = fence + 1, mark = NULL, next_poll = $2, \
        asked_at = $2, cursor_contract = '', stuck_at = NULL, old_cursor = cursor, cursor = $3 \
        WHERE id = $1";
    sqlx::query(sql).bind(known.id).bind(now.0).bind(cursor).execute(conn).await?;
    Ok(())
}

/// All but the cursor that an operator can set.
async fn set_status(
    conn: &mut PgConnection,
    id: i64,
    steer: &Steer,
    now: Micros,
) -> Result<(), StoreError> {
    let sql = match steer {
        Steer::Pause => "UPDATE sources SET status = 'paused', fence = fence + 1 WHERE id = $1",
        Steer::Remove => "UPDATE sources SET fence = fence + 1, removed_at = $2 WHERE id = $1",
        Steer::Resume => {
            "UPDATE sources SET status = 'active', fence = fence + 1, next_poll = $2, \
             asked_at = $2 WHERE id = $1"
        }
        _ => "UPDATE sources SET next_poll = $2, asked_at = $2 WHERE id = $1",
    };
    let query = sqlx::query(sql).bind(id);
    let query = if matches!(steer, Steer::Pause) { query } else { query.bind(now.0) };
    query.execute(conn).await?;
    Ok(())
}

async fn clear_journal(conn: &mut PgConnection, source: i64) -> Result<(), StoreError> {
    for sql in [
        "-- clear journal\nDELETE FROM journal \
         WHERE topic = (SELECT topic FROM sources WHERE id = $1) AND source = $1",
        "-- journal begins\nUPDATE sources SET journal_next = 1 WHERE id = $1",
    ] {
        sqlx::query(sql).bind(source).execute(&mut *conn).await?;
    }
    Ok(())
}

/// Removes a source with everything it has.
pub(super) async fn forget(conn: &mut PgConnection, source: i64) -> Result<(), StoreError> {
    for sql in [
        "-- forget journal\nDELETE FROM journal \
         WHERE topic = (SELECT topic FROM sources WHERE id = $1) AND source = $1",
        "-- forget items\nDELETE FROM rejected \
         WHERE topic = (SELECT topic FROM sources WHERE id = $1) AND source = $1",
        "-- forget source\nDELETE FROM sources WHERE id = $1",
    ] {
        sqlx::query(sql).bind(source).execute(&mut *conn).await?;
    }
    Ok(())
}
