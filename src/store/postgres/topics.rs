//! Topics and their epochs.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::postgres::PgRow;

use super::{
    PostgresStore,
    registry::{Registry, locked},
    row::{self, Cells, signed},
    sources, subscriptions,
};
use crate::{
    clock,
    event::{Cursor, Micros, Name, Topic, Version},
    settings::TopicSettings,
    store::{EpochStart, Gap, StoreError, TopicState, Topics, rules::registry},
};

#[async_trait]
impl Topics for PostgresStore {
    async fn put_topic(
        &self,
        topic: &Topic,
        settings: &TopicSettings,
        now: Micros,
    ) -> Result<Arc<TopicState>, StoreError> {
        let known = self.shared.fresh(topic).await;
        if let Ok(known) = known
            && known.state.settings == *settings
        {
            // Every start puts every topic: what is as it was is not written.
            return Ok(known.state);
        }
        let mut registry = self.registry().await?;
        put(&mut registry, topic, settings, now).await?;
        registry.commit().await?;
        Ok(self.shared.fresh(topic).await?.state)
    }

    async fn delete_topic(&self, topic: &Topic, now: Micros) -> Result<(), StoreError> {
        let mut registry = self.registry().await?;
        let id = delete(&mut registry, topic, now).await?;
        registry.commit().await?;
        self.shared.topics.write().remove(topic);
        self.shared.tail.forget(id, Version::MAX);
        self.shared.look_at_pending().await;
        Ok(())
    }

    async fn topic(&self, topic: &Topic) -> Result<Arc<TopicState>, StoreError> {
        Ok(self.shared.fresh(topic).await?.state)
    }

    async fn topics(&self) -> Result<Vec<Arc<TopicState>>, StoreError> {
        self.shared.refresh().await?;
        let topics = self.shared.topics.read();
        Ok(topics.values().map(|topic| topic.state.clone()).collect())
    }

    async fn new_epoch(
        &self,
        topic: &Topic,
        reason: &str,
        now: Micros,
    ) -> Result<Cursor, StoreError> {
        let mut registry = self.registry().await?;
        let state = locked(&mut registry.conn, topic).await?;
        let start = EpochStart::fresh(state.head.next(), now, reason);
        let cursor = Cursor { epoch: start.epoch, version: start.first };
        let state = registry::with_epoch(&state, &start);
        sqlx::query("-- new epoch\nUPDATE topics SET epochs = $2 WHERE id = $1")
            .bind(state.id)
            .bind(row::epochs_text(&state.epochs))
            .execute(&mut *registry.conn)
            .await?;
        registry.commit().await?;
        self.shared.fresh(topic).await?;
        Ok(cursor)
    }

    async fn lost(&self, topic: &Topic) -> Result<Vec<(Version, Version)>, StoreError> {
        // A database that has gone back gives its versions again, in another epoch.
        self.shared.fresh(topic).await.map(|_| Vec::new())
    }

    async fn gaps(&self, topic: &Topic, limit: usize) -> Result<Vec<Gap>, StoreError> {
        let id = self.shared.fresh(topic).await?.state.id;
        let sql = "-- gaps\nSELECT source, version, recorded, reason, detail FROM gaps \
            WHERE topic = $1 ORDER BY id DESC LIMIT $2";
        let rows = sqlx::query(sql)
            .bind(id)
            .bind(signed(limit as u64))
            .fetch_all(&self.shared.pool)
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
            .fetch_all(&self.shared.pool)
            .await?;
        let of = |row| Ok((Cells::of(row, "topics").get("topic_name")?, gap(row)?));
        rows.iter().map(of).collect()
    }
}

fn gap(row: &PgRow) -> Result<Gap, StoreError> {
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
async fn put(
    registry: &mut Registry,
    topic: &Topic,
    settings: &TopicSettings,
    now: Micros,
) -> Result<(), StoreError> {
    let sql = "-- topic settings\nUPDATE topics SET settings = $2 WHERE name = $1";
    let text = settings_text(settings);
    let known =
        sqlx::query(sql).bind(topic.as_str()).bind(&*text).execute(&mut *registry.conn).await?;
    if known.rows_affected() > 0 {
        return Ok(());
    }
    let (uid, _) = clock::fresh_uuid().as_u64_pair();
    let sql = "-- new topic\nINSERT INTO topics (uid, name, settings, epochs) VALUES ($1, $2, $3, $4) \
        RETURNING id";
    let id = sqlx::query_scalar(sql)
        .bind(format!("{uid:016x}"))
        .bind(topic.as_str())
        .bind(text)
        .bind(row::epochs_text(&[EpochStart::fresh(Version(1), now, "created")]))
        .fetch_one(&mut *registry.conn)
        .await?;
    subscriptions::join(registry, topic, id).await
}

/// Removes a topic that nothing names; its events go with their partitions.
async fn delete(registry: &mut Registry, topic: &Topic, now: Micros) -> Result<i64, StoreError> {
    let id = locked(&mut registry.conn, topic).await?.id;
    let sql = "-- sources of a topic\nSELECT name FROM sources \
        WHERE topic = $1 AND removed_at IS NULL LIMIT 1";
    if let Some(user) = sqlx::query(sql).bind(id).fetch_optional(&mut *registry.conn).await? {
        let name: Name = Cells::of(&user, "sources").get("name")?;
        return Err(StoreError::Conflict(format!("the source `{name}` uses topic `{topic}`")));
    }
    subscriptions::leave(registry, topic, id, now).await?;
    // What left the configuration has no place left to come back to.
    let removed: Vec<i64> =
        sqlx::query_scalar("-- removed sources\nSELECT id FROM sources WHERE topic = $1")
            .bind(id)
            .fetch_all(&mut *registry.conn)
            .await?;
    for source in removed {
        sources::forget(&mut registry.conn, source).await?;
    }
    for sql in [
        "-- drop topic\nDELETE FROM topics WHERE id = $1",
        "-- drop gaps\nDELETE FROM gaps WHERE topic = $1",
        "-- drop holes\nDELETE FROM holes WHERE topic = $1",
        "-- drop pending\nDELETE FROM pending WHERE topic = $1",
        "-- drop seen\nDELETE FROM seen WHERE topic = $1",
        "-- drop spans\nDELETE FROM spans WHERE topic = $1",
        "-- drop released\nDELETE FROM released WHERE topic = $1",
    ] {
        sqlx::query(sql).bind(id).execute(&mut *registry.conn).await?;
    }
    Ok(id)
}

/// Plain data, which JSON always takes.
pub(super) fn settings_text(settings: &TopicSettings) -> String {
    serde_json::to_string(settings).expect("settings are plain data")
}
