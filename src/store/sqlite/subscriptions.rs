//! Subscriptions and what an operator does to them.

use std::collections::BTreeSet;

use async_trait::async_trait;

use super::{
    SqliteStore,
    desk::Desk,
    file::row::{Cells, signed},
    positions, settings, standings,
    summaries::{self, one},
};
use crate::{
    event::{Micros, Name, Topic, TopicPattern, Version},
    settings::SubscriptionSettings,
    store::{
        NewSubscription, Resealed, Share, Standing, StoreError, Subscription, SubscriptionStatus,
        SubscriptionSteer, Subscriptions,
        rules::{bounds, registry},
        sealed,
    },
};

#[async_trait]
impl Subscriptions for SqliteStore {
    async fn put_subscription(
        &self,
        new: &NewSubscription,
        now: Micros,
    ) -> Result<Subscription, StoreError> {
        let new = new.clone();
        self.cold(move |desk| Box::pin(put(desk, new, now))).await
    }

    async fn set_subscription(
        &self,
        name: &Name,
        settings: &SubscriptionSettings,
        edit: Option<u64>,
        now: Micros,
    ) -> Result<Subscription, StoreError> {
        let (name, settings) = (name.clone(), settings.clone());
        self.cold(move |desk| Box::pin(set(desk, name, settings, edit, now))).await
    }

    async fn reseal(&self) -> Result<Resealed, StoreError> {
        self.cold(|desk| Box::pin(settings::reseal(desk))).await
    }

    async fn subscription(&self, name: &Name) -> Result<Subscription, StoreError> {
        one(&mut *self.shared.readers.acquire().await?, &self.shared.seal, name).await
    }

    async fn subscriptions(&self, edit: u64) -> Result<Vec<Subscription>, StoreError> {
        summaries::since(&self.shared.readers, &self.shared.seal, edit).await
    }

    async fn subscriptions_of(&self, share: &Share) -> Result<Vec<Subscription>, StoreError> {
        summaries::of(&self.shared.readers, &self.shared.seal, share).await
    }

    async fn standings(&self, share: &Share) -> Result<Vec<Standing>, StoreError> {
        standings::of(&self.shared.readers, share).await
    }

    async fn steer_subscription(
        &self,
        name: &Name,
        how: SubscriptionSteer,
        now: Micros,
    ) -> Result<Subscription, StoreError> {
        let name = name.clone();
        self.cold(move |desk| Box::pin(steer(desk, name, how, now))).await
    }

    async fn rewind(
        &self,
        name: &Name,
        topic: Option<&Topic>,
        to: Version,
        now: Micros,
    ) -> Result<Subscription, StoreError> {
        let (name, topic) = (name.clone(), topic.cloned());
        self.cold(move |desk| Box::pin(rewind(desk, name, topic, to, now))).await
    }
}

/// Joins a topic that is new with every subscription that has a pattern for it; `Full` when there
/// are too many.
pub(super) async fn join(desk: &mut Desk, topic: &Topic, id: i64) -> Result<(), StoreError> {
    let sql = "-- patterns\nSELECT id, topics FROM subscriptions \
        WHERE status <> 'deleted' AND instr(topics, '*') > 0";
    let mut joined = Vec::new();
    for row in sqlx::query(sql).fetch_all(&mut desk.conn).await? {
        let row = Cells::of(&row, "subscriptions");
        let patterns: Vec<TopicPattern> = row.json("topics")?;
        if patterns.iter().any(|pattern| pattern.matches(topic)) {
            joined.push(row.get("id")?);
        }
    }
    registry::room(desk.known.positions.len(), joined.len(), desk.shared.positions_max)?;
    for subscription in joined {
        positions::insert(desk, subscription, id, Version::ZERO).await?;
        touch(desk, subscription).await?;
    }
    Ok(())
}

/// Leaves a topic that goes; `Conflict` when a subscription names it.
pub(super) async fn leave(
    desk: &mut Desk,
    topic: &Topic,
    id: i64,
    now: Micros,
) -> Result<(), StoreError> {
    let sql = "-- in a topic\nSELECT p.id AS position, s.id, s.name, s.topics FROM positions p \
        JOIN subscriptions s ON s.id = p.subscription WHERE p.topic = $1 AND p.job IS NULL";
    for row in sqlx::query(sql).bind(id).fetch_all(&mut desk.conn).await? {
        let row = Cells::of(&row, "subscriptions");
        let patterns: Vec<TopicPattern> = row.json("topics")?;
        if patterns.iter().any(|pattern| pattern.topic().as_ref() == Some(topic)) {
            let name: Name = row.get("name")?;
            return Err(StoreError::Conflict(format!(
                "the subscription `{name}` uses topic `{topic}`"
            )));
        }
        positions::remove(desk, row.get("position")?, now).await?;
        touch(desk, row.get("id")?).await?;
    }
    Ok(())
}

/// Creates a subscription, or, from the file, changes the one of that name.
pub(super) async fn put(
    desk: &mut Desk,
    new: NewSubscription,
    now: Micros,
) -> Result<Subscription, StoreError> {
    let mut topics = registry::meant(&desk.known, &new.topics)?;
    let id = match one(&mut desk.conn, &desk.shared.seal, &new.name).await {
        Err(StoreError::NotFound { .. }) => insert(desk, &new, now).await?,
        Err(error) => return Err(error),
        Ok(known) => {
            registry::may_renew(&known, &new)?;
            renew(desk, &new, &known, &topics, now).await?;
            known.id
        }
    };
    for (_, held) in positions::of(desk, id) {
        topics.remove(&held);
    }
    registry::room(desk.known.positions.len(), topics.len(), desk.shared.positions_max)?;
    for topic in topics {
        positions::add(desk, id, topic, new.from).await?;
    }
    finish(desk, &new.name).await
}

async fn insert(desk: &mut Desk, new: &NewSubscription, now: Micros) -> Result<i64, StoreError> {
    let count: u64 = sqlx::query_scalar("-- count\nSELECT count(*) FROM subscriptions")
        .fetch_one(&mut desk.conn)
        .await?;
    if count >= bounds::SUBSCRIPTIONS_MAX {
        return Err(StoreError::Full(format!(
            "there are {} subscriptions already",
            bounds::SUBSCRIPTIONS_MAX
        )));
    }
    let edit = desk.next_edit();
    let sql = "-- new subscription\nINSERT INTO subscriptions (name, origin, status, settings, edit, created, topics) \
        VALUES ($1, $2, 'active', $3, $4, $5, $6) RETURNING id";
    let id = sqlx::query_scalar(sql)
        .bind(new.name.as_str())
        .bind(<&str>::from(new.origin))
        .bind(sealed::text(&desk.shared.seal, new.name.as_str(), &new.settings)?)
        .bind(signed(edit))
        .bind(now.0)
        .bind(patterns_text(&new.topics))
        .fetch_one(&mut desk.conn)
        .await?;
    Ok(id)
}

/// The file names an existing subscription: settings and topics are taken over, places kept.
async fn renew(
    desk: &mut Desk,
    new: &NewSubscription,
    known: &Subscription,
    topics: &BTreeSet<i64>,
    now: Micros,
) -> Result<(), StoreError> {
    let held = positions::of(desk, known.id);
    let Some(renewal) = registry::renewal(known, &held, new, topics) else { return Ok(()) };
    if renewal.forgets_endpoint {
        forget_endpoint(desk, known.id, now).await?;
    }
    let edit = desk.next_edit();
    settings::overwrite(desk, (known.id, &known.name), &new.settings).await?;
    let sql = "-- renewed subscription\nUPDATE subscriptions SET edit = $2, topics = $3, \
        removed_at = NULL WHERE id = $1";
    sqlx::query(sql)
        .bind(known.id)
        .bind(signed(edit))
        .bind(patterns_text(&new.topics))
        .execute(&mut desk.conn)
        .await?;
    for (position, topic) in renewal.leaves {
        tracing::warn!(
            event = "subscription.topic_left", subscription = %new.name, topic,
            "no longer in this topic: its place there and its dead letters go"
        );
        positions::remove(desk, position, now).await?;
    }
    Ok(())
}

/// Forgets what was learnt of an endpoint: its health, and when its failed events are due. What was
/// redriven at a rate and not tried yet keeps its time.
async fn forget_endpoint(
    desk: &mut Desk,
    subscription: i64,
    now: Micros,
) -> Result<(), StoreError> {
    let sql = "-- forget health\nUPDATE subscriptions SET health = NULL, resets = resets + 1 \
        WHERE id = $1";
    sqlx::query(sql).bind(subscription).execute(&mut desk.conn).await?;
    let sql = "-- due now\nUPDATE exceptions SET due = $2 WHERE due > $2 AND kind = 'retry' \
        AND tries > 0 AND position IN (SELECT id FROM positions WHERE subscription = $1)";
    sqlx::query(sql).bind(subscription).bind(now.0).execute(&mut desk.conn).await?;
    Ok(())
}

/// Replaces the settings.
pub(super) async fn set(
    desk: &mut Desk,
    name: Name,
    settings: SubscriptionSettings,
    read: Option<u64>,
    now: Micros,
) -> Result<Subscription, StoreError> {
    let known = one(&mut desk.conn, &desk.shared.seal, &name).await?;
    if read.is_some_and(|read| read != known.edit) {
        return Err(StoreError::Stale);
    }
    if known.settings.url != settings.url {
        forget_endpoint(desk, known.id, now).await?;
    }
    let edit = desk.next_edit();
    settings::overwrite(desk, (known.id, &known.name), &settings).await?;
    sqlx::query("-- edit\nUPDATE subscriptions SET edit = $2 WHERE id = $1")
        .bind(known.id)
        .bind(signed(edit))
        .execute(&mut desk.conn)
        .await?;
    finish(desk, &name).await
}

/// Pauses, resumes, disables, removes or deletes.
pub(super) async fn steer(
    desk: &mut Desk,
    name: Name,
    steer: SubscriptionSteer,
    now: Micros,
) -> Result<Subscription, StoreError> {
    let known = one(&mut desk.conn, &desk.shared.seal, &name).await?;
    if !registry::may_steer(&known, &steer)? {
        return Ok(known);
    }
    let edit = desk.next_edit();
    let (sql, reason) = match steer {
        SubscriptionSteer::Pause => {
            ("UPDATE subscriptions SET edit = $2, status = 'paused' WHERE id = $1", None)
        }
        SubscriptionSteer::Resume => {
            forget_endpoint(desk, known.id, now).await?;
            let sql = "UPDATE subscriptions SET edit = $2, status = 'active', reason = NULL WHERE id = $1";
            (sql, None)
        }
        SubscriptionSteer::Disable { reason, .. } => (
            "UPDATE subscriptions SET edit = $2, status = 'disabled', reason = $4 WHERE id = $1",
            Some(reason),
        ),
        SubscriptionSteer::Remove => {
            ("UPDATE subscriptions SET edit = $2, removed_at = $3 WHERE id = $1", None)
        }
        SubscriptionSteer::Delete => {
            for (position, _) in positions::of(desk, known.id) {
                positions::remove(desk, position, now).await?;
            }
            sqlx::query("-- drop jobs\nDELETE FROM jobs WHERE subscription = $1")
                .bind(known.id)
                .execute(&mut desk.conn)
                .await?;
            // Nobody reads them any more, and secrets are among them.
            settings::overwrite(
                desk,
                (known.id, &known.name),
                &SubscriptionSettings::new(String::new(), Vec::new()),
            )
            .await?;
            // The name is free at once; the row tells every holder to let go.
            (
                "UPDATE subscriptions SET edit = $2, status = 'deleted', removed_at = $3, name = name || '#' || id WHERE id = $1",
                None,
            )
        }
    };
    let deleted = sql.contains("'deleted'");
    sqlx::query(sql)
        .bind(known.id)
        .bind(signed(edit))
        .bind(now.0)
        .bind(reason)
        .execute(&mut desk.conn)
        .await?;
    if deleted {
        desk.announce();
        return Ok(Subscription {
            status: SubscriptionStatus::Deleted,
            positions: Vec::new(),
            edit,
            removed_at: Some(now),
            ..known
        });
    }
    finish(desk, &name).await
}

/// Moves positions so that the next event is the one after `to`.
async fn rewind(
    desk: &mut Desk,
    name: Name,
    topic: Option<Topic>,
    to: Version,
    now: Micros,
) -> Result<Subscription, StoreError> {
    let known = one(&mut desk.conn, &desk.shared.seal, &name).await?;
    let only = topic
        .as_ref()
        .map(|topic| Ok::<_, StoreError>(desk.known.topic(topic)?.state.id))
        .transpose()?;
    let mut moved = positions::of(desk, known.id);
    moved.retain(|(_, topic)| only.is_none_or(|only| only == *topic));
    let head = |(_, topic): &(i64, i64)| {
        desk.known.topics.get(topic).map_or(Version::ZERO, |topic| topic.state.head)
    };
    let heads: Vec<Version> = moved.iter().map(head).collect();
    registry::may_rewind(&name, topic.as_ref(), &heads, to)?;
    for (position, _) in moved {
        positions::release(desk, position, to, now).await?;
        // What lies between is owed from now on. The least of NULL and a number is NULL.
        let sql = "-- begun\nUPDATE positions SET start_after = min(start_after, $2) WHERE id = $1";
        sqlx::query(sql).bind(position).bind(signed(to.0)).execute(&mut desk.conn).await?;
        // A redriven event that the log has let go of is here alone; no rewind leads back to it.
        let sql = "-- drop exceptions\nDELETE FROM exceptions WHERE position = $1 \
            AND (attributes IS NULL OR kind = 'stopped')";
        sqlx::query(sql).bind(position).execute(&mut desk.conn).await?;
    }
    touch(desk, known.id).await?;
    one(&mut desk.conn, &desk.shared.seal, &name).await
}

async fn finish(desk: &mut Desk, name: &Name) -> Result<Subscription, StoreError> {
    desk.announce();
    one(&mut desk.conn, &desk.shared.seal, name).await
}

/// Notes a change of a subscription's positions, so that its holders look.
pub(super) async fn touch(desk: &mut Desk, subscription: i64) -> Result<(), StoreError> {
    let edit = desk.next_edit();
    sqlx::query("-- touch\nUPDATE subscriptions SET edit = $2 WHERE id = $1")
        .bind(subscription)
        .bind(signed(edit))
        .execute(&mut desk.conn)
        .await?;
    desk.announce();
    Ok(())
}

fn patterns_text(patterns: &[TopicPattern]) -> String {
    serde_json::to_string(patterns).expect("patterns are texts")
}
