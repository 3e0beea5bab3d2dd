//! Topics and their epochs, as the writer changes them.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;

use super::{
    SqliteStore,
    desk::Desk,
    epochs,
    file::{
        mend,
        row::{Cells, signed},
    },
    sources, subscriptions,
};
use crate::{
    clock,
    event::{Cursor, Micros, Name, Topic, Version},
    settings::TopicSettings,
    store::{
        EpochStart, Gap, StoreError, TopicState, Topics,
        rules::{known::Change, registry},
    },
};

#[async_trait]
impl Topics for SqliteStore {
    async fn put_topic(
        &self,
        topic: &Topic,
        settings: &TopicSettings,
        now: Micros,
    ) -> Result<Arc<TopicState>, StoreError> {
        let (topic, settings) = (topic.clone(), settings.clone());
        self.cold(move |desk| Box::pin(put(desk, topic, settings, now))).await
    }

    async fn delete_topic(&self, topic: &Topic, now: Micros) -> Result<(), StoreError> {
        let topic = topic.clone();
        self.cold(move |desk| Box::pin(delete(desk, topic, now))).await?;
        // After a power cut the topic would be taken for one that was lost.
        let shared = self.shared.clone();
        let _ = tokio::task::spawn_blocking(move || shared.heads.sync()).await;
        Ok(())
    }

    async fn topic(&self, topic: &Topic) -> Result<Arc<TopicState>, StoreError> {
        Ok(self.shared.published(topic)?.state)
    }

    async fn topics(&self) -> Result<Vec<Arc<TopicState>>, StoreError> {
        let topics = self.shared.topics.read();
        Ok(topics.values().map(|topic| topic.state.clone()).collect())
    }

    async fn new_epoch(
        &self,
        topic: &Topic,
        reason: &str,
        now: Micros,
    ) -> Result<Cursor, StoreError> {
        let (topic, reason) = (topic.clone(), reason.to_owned());
        self.cold(move |desk| Box::pin(new_epoch(desk, topic, reason, now))).await
    }

    async fn lost(&self, topic: &Topic) -> Result<Vec<(Version, Version)>, StoreError> {
        let state = self.shared.published(topic)?.state;
        let holes = &self.shared.holes;
        let (mut lost, mut from) = (Vec::new(), state.oldest);
        while from <= state.head {
            let behind = holes.after(state.id, from);
            if behind > from {
                lost.push((from, behind.previous().min(state.head)));
            }
            from = holes.before(state.id, behind, state.head.max(behind)).next();
        }
        Ok(lost)
    }

    async fn gaps(&self, topic: &Topic, limit: usize) -> Result<Vec<Gap>, StoreError> {
        let id = self.shared.published(topic)?.state.id;
        let sql = "-- gaps\nSELECT source, version, recorded, reason, detail FROM gaps \
            WHERE topic = $1 ORDER BY id DESC LIMIT $2";
        let rows = sqlx::query(sql)
            .bind(id)
            .bind(signed(limit as u64))
            .fetch_all(&self.shared.readers)
            .await?;
        rows.iter().map(gap).collect()
    }

    async fn recent_gaps(
        &self,
        since: Micros,
        limit: usize,
    ) -> Result<Vec<(Topic, Gap)>, StoreError> {
        let sql = "-- recent gaps\nSELECT t.name AS topic_name, source, version, g.recorded, reason, \
            detail FROM gaps g JOIN topics t ON t.id = g.topic WHERE g.recorded >= $1 \
            ORDER BY g.recorded DESC, g.id DESC LIMIT $2";
        let rows = sqlx::query(sql)
            .bind(since.0)
            .bind(signed(limit as u64))
            .fetch_all(&self.shared.readers)
            .await?;
        let of = |row| Ok((Cells::of(row, "topics").get("topic_name")?, gap(row)?));
        rows.iter().map(of).collect()
    }
}

fn gap(row: &SqliteRow) -> Result<Gap, StoreError> {
    let row = Cells::of(row, "gaps");
    Ok(Gap {
        source: row.get("source")?,
        version: row.get("version")?,
        recorded: row.get("recorded")?,
        reason: row.get("reason")?,
        detail: row.get("detail")?,
    })
}

/// Creates the topic, or changes its settings.
pub(super) async fn put(
    desk: &mut Desk,
    topic: Topic,
    settings: TopicSettings,
    now: Micros,
) -> Result<Arc<TopicState>, StoreError> {
    let state = match desk.known.topic(&topic) {
        // Every start puts every topic: what is as it was is not written, and costs no sync.
        Ok(known) if known.state.settings == settings => return Ok(known.state.clone()),
        Ok(known) => TopicState { settings, ..(*known.state).clone() },
        Err(_) => {
            let state = insert(desk, topic, settings, now).await?;
            subscriptions::join(desk, &state.topic, state.id).await?;
            state
        }
    };
    sqlx::query("-- topic settings\nUPDATE topics SET settings = $2 WHERE id = $1")
        .bind(state.id)
        .bind(settings_text(&state.settings))
        .execute(&mut desk.conn)
        .await?;
    desk.change(Change::Topic(state.clone()));
    desk.announce();
    Ok(Arc::new(state))
}

async fn insert(
    desk: &mut Desk,
    topic: Topic,
    settings: TopicSettings,
    now: Micros,
) -> Result<TopicState, StoreError> {
    let (uid, _) = clock::fresh_uuid().as_u64_pair();
    let uid = format!("{uid:016x}");
    let sql =
        "-- new topic\nINSERT INTO topics (uid, name, settings) VALUES ($1, $2, $3) RETURNING id";
    let id = sqlx::query_scalar(sql)
        .bind(uid.as_str())
        .bind(topic.as_str())
        .bind(settings_text(&settings))
        .fetch_one(&mut desk.conn)
        .await?;
    let start = EpochStart::fresh(Version(1), now, "created");
    epochs::insert(&mut desk.conn, id, &start).await?;
    if let Some(head) = desk.shared.heads.lost(&topic) {
        mend::gap_of_lost(&mut desk.conn, id, head, now).await?;
    }
    Ok(TopicState {
        id,
        uid,
        topic,
        head: Version::ZERO,
        oldest: Version(1),
        bytes: 0,
        recorded: Micros(0),
        epochs: [start].into(),
        edit: 0,
        settings,
    })
}

/// Begins an epoch at head + 1. One that begins there already has named no version yet, and is
/// replaced.
pub(super) async fn new_epoch(
    desk: &mut Desk,
    topic: Topic,
    reason: String,
    now: Micros,
) -> Result<Cursor, StoreError> {
    let state = desk.known.topic(&topic)?.state.clone();
    let start = EpochStart::fresh(state.head.next(), now, &reason);
    epochs::insert(&mut desk.conn, state.id, &start).await?;
    let cursor = Cursor { epoch: start.epoch, version: start.first };
    desk.change(Change::Topic(registry::with_epoch(&state, &start)));
    desk.announce();
    Ok(cursor)
}

/// Removes a topic that nothing names; its rows go later, piece by piece.
pub(super) async fn delete(desk: &mut Desk, topic: Topic, now: Micros) -> Result<(), StoreError> {
    let id = desk.known.topic(&topic)?.state.id;
    let sql = "-- sources of a topic\nSELECT name FROM sources \
        WHERE topic = $1 AND removed_at IS NULL LIMIT 1";
    if let Some(user) = sqlx::query(sql).bind(id).fetch_optional(&mut desk.conn).await? {
        let name: Name = Cells::of(&user, "sources").get("name")?;
        return Err(StoreError::Conflict(format!("the source `{name}` uses topic `{topic}`")));
    }
    subscriptions::leave(desk, &topic, id, now).await?;
    // What left the configuration has no place left to come back to.
    let removed = sqlx::query_scalar("-- removed sources\nSELECT id FROM sources WHERE topic = $1")
        .bind(id)
        .fetch_all(&mut desk.conn)
        .await?;
    for source in removed {
        sources::forget(desk, source).await?;
    }
    for sql in [
        "-- drop topic\nDELETE FROM topics WHERE id = $1",
        "-- drop epochs\nDELETE FROM epochs WHERE topic = $1",
        "-- drop gaps\nDELETE FROM gaps WHERE topic = $1",
        "-- drop holes\nDELETE FROM holes WHERE topic = $1",
        "-- dropped\nINSERT INTO dropped_topics (id) VALUES ($1)",
    ] {
        sqlx::query(sql).bind(id).execute(&mut desk.conn).await?;
    }
    desk.change(Change::TopicGone(id));
    desk.shared.tail.forget(id, Version::MAX);
    desk.announce();
    Ok(())
}

/// Plain data, which JSON always takes.
fn settings_text(settings: &TopicSettings) -> String {
    serde_json::to_string(settings).expect("settings are plain data")
}
