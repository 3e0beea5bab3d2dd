//! What an operator does to a subscription: pauses, resumes, deletes and rewinds it.

use super::{
    positions,
    registry::{Registry, locked},
    row, settings,
    summaries::one,
};
use crate::{
    event::{Micros, Name, Topic, Version},
    settings::SubscriptionSettings,
    store::{
        StoreError, Subscription, SubscriptionStatus, SubscriptionSteer, TopicState,
        rules::registry,
    },
};

/// Pauses, resumes, disables, removes or deletes.
pub(super) async fn steer(
    registry: &mut Registry,
    name: &Name,
    steer: SubscriptionSteer,
    now: Micros,
) -> Result<Subscription, StoreError> {
    let known = one(&mut registry.conn, &registry.shared.seal, name).await?;
    if !registry::may_steer(&known, &steer)? {
        return Ok(known);
    }
    let (status, reason) = match &steer {
        SubscriptionSteer::Pause => (Some(SubscriptionStatus::Paused), None),
        SubscriptionSteer::Resume => {
            forget_endpoint(registry, known.id, now).await?;
            (Some(SubscriptionStatus::Active), None)
        }
        SubscriptionSteer::Disable { reason, .. } => {
            (Some(SubscriptionStatus::Disabled), Some(row::plain(reason)))
        }
        SubscriptionSteer::Remove => (None, None),
        SubscriptionSteer::Delete => {
            delete(registry, (known.id, name), now).await?;
            (Some(SubscriptionStatus::Deleted), None)
        }
    };
    let goes = matches!(steer, SubscriptionSteer::Remove | SubscriptionSteer::Delete);
    let edit = registry.next_edit().await?;
    // The name of a deleted one is free at once; the row tells every holder to let go.
    let sql = "-- steered\nUPDATE subscriptions SET edit = $2, status = coalesce($3, status), \
        reason = CASE WHEN $3 IN ('active', 'disabled') THEN $4 ELSE reason END, \
        removed_at = CASE WHEN $5 THEN $6 ELSE removed_at END, \
        name = CASE WHEN $3 = 'deleted' THEN name || '#' || id ELSE name END WHERE id = $1";
    sqlx::query(sql)
        .bind(known.id)
        .bind(edit)
        .bind(status.map(<&str>::from))
        .bind(reason)
        .bind(goes)
        .bind(now.0)
        .execute(&mut *registry.conn)
        .await?;
    if status == Some(SubscriptionStatus::Deleted) {
        return Ok(Subscription {
            status: SubscriptionStatus::Deleted,
            positions: Vec::new(),
            edit: edit.cast_unsigned(),
            removed_at: Some(now),
            ..known
        });
    }
    one(&mut registry.conn, &registry.shared.seal, name).await
}

/// Removes what a subscription has.
async fn delete(
    registry: &mut Registry,
    (id, name): (i64, &Name),
    now: Micros,
) -> Result<(), StoreError> {
    for (position, _) in positions::of(&mut registry.conn, id).await? {
        positions::remove(registry, position, now).await?;
    }
    sqlx::query("-- drop jobs\nDELETE FROM jobs WHERE subscription = $1")
        .bind(id)
        .execute(&mut *registry.conn)
        .await?;
    // Nobody reads them any more, and secrets are among them.
    settings::overwrite(registry, (id, name), &SubscriptionSettings::new(String::new(), Vec::new()))
        .await
}

/// Moves positions so that the next event is the one after `to`.
pub(super) async fn rewind(
    registry: &mut Registry,
    name: &Name,
    topic: Option<&Topic>,
    to: Version,
    now: Micros,
) -> Result<Subscription, StoreError> {
    let known = one(&mut registry.conn, &registry.shared.seal, name).await?;
    let only = match topic {
        Some(topic) => Some(locked(&mut registry.conn, topic).await?.id),
        None => None,
    };
    let mut moved = positions::of(&mut registry.conn, known.id).await?;
    moved.retain(|(_, topic)| only.is_none_or(|only| only == *topic));
    let topics: Vec<i64> = moved.iter().map(|(_, topic)| *topic).collect();
    let sql = "-- heads\nSELECT * FROM topics WHERE id = ANY($1)";
    let rows = sqlx::query(sql).bind(topics).fetch_all(&mut *registry.conn).await?;
    let states: Vec<TopicState> = rows.iter().map(row::topic_state).collect::<Result<_, _>>()?;
    let heads: Vec<Version> = states.iter().map(|state| state.head).collect();
    registry::may_rewind(name, topic, &heads, to)?;
    for (position, in_topic) in moved {
        positions::release(registry, position, to, now).await?;
        // What lies between is owed from now on; where the start is not known it stays so.
        let sql =
            "-- begun\nUPDATE positions SET start_after = $2 WHERE id = $1 AND start_after > $2";
        sqlx::query(sql)
            .bind(position)
            .bind(row::signed(to.0))
            .execute(&mut *registry.conn)
            .await?;
        // A redriven event that the log has let go of is here alone; no rewind leads back to it.
        let sql = "-- drop exceptions\nDELETE FROM exceptions WHERE topic = $1 AND position = $2 \
            AND (attributes IS NULL OR kind = 'stopped')";
        sqlx::query(sql).bind(in_topic).bind(position).execute(&mut *registry.conn).await?;
    }
    touch(registry, known.id).await?;
    one(&mut registry.conn, &registry.shared.seal, name).await
}

/// Forgets what was learnt of an endpoint: its health, and when its failed events are due. What was
/// redriven at a rate and not tried yet keeps its time.
pub(super) async fn forget_endpoint(
    registry: &mut Registry,
    subscription: i64,
    now: Micros,
) -> Result<(), StoreError> {
    let sql = "-- forget health\nUPDATE subscriptions SET health = NULL, resets = resets + 1 \
        WHERE id = $1";
    sqlx::query(sql).bind(subscription).execute(&mut *registry.conn).await?;
    let sql = "-- due now\nUPDATE exceptions SET due = $2 WHERE due > $2 AND kind = 'retry' \
        AND tries > 0 \
        AND (topic, position) IN (SELECT topic, id FROM positions WHERE subscription = $1)";
    sqlx::query(sql).bind(subscription).bind(now.0).execute(&mut *registry.conn).await?;
    Ok(())
}

/// Notes a change of a subscription's positions, so that its holders look.
pub(super) async fn touch(registry: &mut Registry, subscription: i64) -> Result<(), StoreError> {
    let edit = registry.next_edit().await?;
    sqlx::query("-- touch\nUPDATE subscriptions SET edit = $2 WHERE id = $1")
        .bind(subscription)
        .bind(edit)
        .execute(&mut *registry.conn)
        .await?;
    Ok(())
}
