//! Subscriptions and what an operator does to them.

use std::collections::BTreeSet;

use async_trait::async_trait;
use sqlx::PgConnection;

use super::{
    PostgresStore, positions,
    registry::Registry,
    row::{self, Cells},
    settings, standings, steering,
    summaries::{self, one},
};
use crate::{
    event::{Micros, Name, Topic, TopicPattern, Version},
    settings::SubscriptionSettings,
    store::{
        NewSubscription, Resealed, Share, Standing, StoreError, Subscription, SubscriptionSteer,
        Subscriptions, is_known_subscription,
        rules::{
            bounds,
            known::{Change, Known},
            registry,
        },
        sealed,
    },
};

#[async_trait]
impl Subscriptions for PostgresStore {
    async fn put_subscription(
        &self,
        new: &NewSubscription,
        now: Micros,
    ) -> Result<Subscription, StoreError> {
        let known = self.subscription(&new.name).await;
        if let Ok(known) = known
            && is_known_subscription(&known, new)
        {
            // Every start puts every subscription: what is as it was keeps no other node waiting.
            return Ok(known);
        }
        let mut registry = self.registry().await?;
        let put = put(&mut registry, new, now).await?;
        registry.commit().await?;
        Ok(put)
    }

    async fn set_subscription(
        &self,
        name: &Name,
        settings: &SubscriptionSettings,
        edit: Option<u64>,
        now: Micros,
    ) -> Result<Subscription, StoreError> {
        let mut registry = self.registry().await?;
        let set = set(&mut registry, name, settings, edit, now).await?;
        registry.commit().await?;
        Ok(set)
    }

    async fn reseal(&self) -> Result<Resealed, StoreError> {
        let mut registry = self.registry().await?;
        let done = settings::reseal(&mut registry).await?;
        registry.commit_quietly().await?;
        Ok(done)
    }

    async fn subscription(&self, name: &Name) -> Result<Subscription, StoreError> {
        one(&mut *self.shared.pool.acquire().await?, &self.shared.seal, name).await
    }

    async fn subscriptions(&self, edit: u64) -> Result<Vec<Subscription>, StoreError> {
        summaries::since(&self.shared.pool, &self.shared.seal, edit).await
    }

    async fn subscriptions_of(&self, share: &Share) -> Result<Vec<Subscription>, StoreError> {
        summaries::of(&self.shared.pool, &self.shared.seal, share).await
    }

    async fn standings(&self, share: &Share) -> Result<Vec<Standing>, StoreError> {
        standings::of(&self.shared.pool, share).await
    }

    async fn steer_subscription(
        &self,
        name: &Name,
        how: SubscriptionSteer,
        now: Micros,
    ) -> Result<Subscription, StoreError> {
        let mut registry = self.registry().await?;
        let steered = steering::steer(&mut registry, name, how, now).await?;
        registry.commit().await?;
        Ok(steered)
    }

    async fn rewind(
        &self,
        name: &Name,
        topic: Option<&Topic>,
        to: Version,
        now: Micros,
    ) -> Result<Subscription, StoreError> {
        let mut registry = self.registry().await?;
        let rewound = steering::rewind(&mut registry, name, topic, to, now).await?;
        registry.commit().await?;
        Ok(rewound)
    }
}

/// The topics that are named, or all when a pattern may mean any.
async fn topics(conn: &mut PgConnection, patterns: &[TopicPattern]) -> Result<Known, StoreError> {
    let named: Vec<String> =
        patterns.iter().filter_map(TopicPattern::topic).map(|topic| topic.to_string()).collect();
    let sql = "-- topics\nSELECT * FROM topics WHERE $2 OR name = ANY($1)";
    let any = named.len() < patterns.len();
    let mut known = Known::default();
    for row in sqlx::query(sql).bind(named).bind(any).fetch_all(conn).await? {
        known.apply(Change::Topic(row::topic_state(&row)?));
    }
    Ok(known)
}

/// Joins a topic that is new with every subscription that has a pattern for it; `Full` when there
/// are too many.
pub(super) async fn join(
    registry: &mut Registry,
    topic: &Topic,
    id: i64,
) -> Result<(), StoreError> {
    let sql = "-- patterns\nSELECT id, topics FROM subscriptions \
        WHERE status <> 'deleted' AND strpos(topics, '*') > 0";
    let mut joined = Vec::new();
    for row in sqlx::query(sql).fetch_all(&mut *registry.conn).await? {
        let row = Cells::of(&row, "subscriptions");
        let patterns: Vec<TopicPattern> = row.json("topics")?;
        if patterns.iter().any(|pattern| pattern.matches(topic)) {
            joined.push(row.get("id")?);
        }
    }
    positions::room(registry, joined.len()).await?;
    for subscription in joined {
        positions::insert(&mut registry.conn, subscription, id, Version::ZERO).await?;
        steering::touch(registry, subscription).await?;
    }
    Ok(())
}

/// Leaves a topic that goes; `Conflict` when a subscription names it.
pub(super) async fn leave(
    registry: &mut Registry,
    topic: &Topic,
    id: i64,
    now: Micros,
) -> Result<(), StoreError> {
    let sql = "-- in a topic\nSELECT p.id AS position, s.id, s.name, s.topics FROM positions p \
        JOIN subscriptions s ON s.id = p.subscription WHERE p.topic = $1 AND p.job IS NULL";
    for row in sqlx::query(sql).bind(id).fetch_all(&mut *registry.conn).await? {
        let row = Cells::of(&row, "subscriptions");
        let patterns: Vec<TopicPattern> = row.json("topics")?;
        if patterns.iter().any(|pattern| pattern.topic().as_ref() == Some(topic)) {
            let name: Name = row.get("name")?;
            return Err(StoreError::Conflict(format!(
                "the subscription `{name}` uses topic `{topic}`"
            )));
        }
        positions::remove(registry, row.get("position")?, now).await?;
        steering::touch(registry, row.get("id")?).await?;
    }
    Ok(())
}

/// Creates a subscription, or, from the file, changes the one of that name.
pub(super) async fn put(
    registry: &mut Registry,
    new: &NewSubscription,
    now: Micros,
) -> Result<Subscription, StoreError> {
    let known_topics = topics(&mut registry.conn, &new.topics).await?;
    let mut topics = registry::meant(&known_topics, &new.topics)?;
    let id = match one(&mut registry.conn, &registry.shared.seal, &new.name).await {
        Err(StoreError::NotFound { .. }) => insert(registry, new, now).await?,
        Err(error) => return Err(error),
        Ok(known) => {
            registry::may_renew(&known, new)?;
            renew(registry, new, &known, &topics, now).await?;
            known.id
        }
    };
    for (_, held) in positions::of(&mut registry.conn, id).await? {
        topics.remove(&held);
    }
    positions::room(registry, topics.len()).await?;
    for topic in topics.iter().filter_map(|topic| known_topics.topics.get(topic)) {
        positions::add(registry, id, &topic.state, new.from).await?;
    }
    one(&mut registry.conn, &registry.shared.seal, &new.name).await
}

async fn insert(
    registry: &mut Registry,
    new: &NewSubscription,
    now: Micros,
) -> Result<i64, StoreError> {
    let count: i64 = sqlx::query_scalar("-- count\nSELECT count(*) FROM subscriptions")
        .fetch_one(&mut *registry.conn)
        .await?;
    if count.cast_unsigned() >= bounds::SUBSCRIPTIONS_MAX {
        return Err(StoreError::Full(format!(
            "there are {} subscriptions already",
            bounds::SUBSCRIPTIONS_MAX
        )));
    }
    let edit = registry.next_edit().await?;
    let sql = "-- new subscription\nINSERT INTO subscriptions (name, origin, status, settings, edit, created, topics) \
        VALUES ($1, $2, 'active', $3, $4, $5, $6) RETURNING id";
    let id = sqlx::query_scalar(sql)
        .bind(new.name.as_str())
        .bind(<&str>::from(new.origin))
        .bind(sealed::text(&registry.shared.seal, new.name.as_str(), &new.settings)?)
        .bind(edit)
        .bind(now.0)
        .bind(patterns_text(&new.topics))
        .fetch_one(&mut *registry.conn)
        .await?;
    Ok(id)
}

/// The file names an existing subscription: settings and topics are taken over, places kept.
async fn renew(
    registry: &mut Registry,
    new: &NewSubscription,
    known: &Subscription,
    topics: &BTreeSet<i64>,
    now: Micros,
) -> Result<(), StoreError> {
    let held = positions::of(&mut registry.conn, known.id).await?;
    let Some(renewal) = registry::renewal(known, &held, new, topics) else { return Ok(()) };
    if renewal.forgets_endpoint {
        steering::forget_endpoint(registry, known.id, now).await?;
    }
    let edit = registry.next_edit().await?;
    settings::overwrite(registry, (known.id, &known.name), &new.settings).await?;
    let sql = "-- renewed subscription\nUPDATE subscriptions SET edit = $2, topics = $3, \
        removed_at = NULL WHERE id = $1";
    sqlx::query(sql)
        .bind(known.id)
        .bind(edit)
        .bind(patterns_text(&new.topics))
        .execute(&mut *registry.conn)
        .await?;
    for (position, topic) in renewal.leaves {
        tracing::warn!(
            event = "subscription.topic_left", subscription = %new.name, topic,
            "no longer in this topic: its place there and its dead letters go"
        );
        positions::remove(registry, position, now).await?;
    }
    Ok(())
}

/// Replaces the settings.
pub(super) async fn set(
    registry: &mut Registry,
    name: &Name,
    settings: &SubscriptionSettings,
    read: Option<u64>,
    now: Micros,
) -> Result<Subscription, StoreError> {
    let known = one(&mut registry.conn, &registry.shared.seal, name).await?;
    if read.is_some_and(|read| read != known.edit) {
        return Err(StoreError::Stale);
    }
    if known.settings.url != settings.url {
        steering::forget_endpoint(registry, known.id, now).await?;
    }
    let edit = registry.next_edit().await?;
    settings::overwrite(registry, (known.id, &known.name), settings).await?;
    sqlx::query("-- edit\nUPDATE subscriptions SET edit = $2 WHERE id = $1")
        .bind(known.id)
        .bind(edit)
        .execute(&mut *registry.conn)
        .await?;
    one(&mut registry.conn, &registry.shared.seal, name).await
}

fn patterns_text(patterns: &[TopicPattern]) -> String {
    serde_json::to_string(patterns).expect("patterns are texts")
}
