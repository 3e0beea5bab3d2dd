//! Subscriptions as they are read, each with its positions at a glance.

use std::collections::HashMap;

use sqlx::{PgConnection, PgPool, postgres::PgRow};

use super::{
    row::{Cells, signed},
    standings::numbers,
};
use crate::{
    event::{Micros, Name},
    seal::Seal,
    store::{
        PositionSummary, Share, StoreError, Subscription, SubscriptionStatus, rules::registry,
        sealed,
    },
};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            // A deleted one is called `name#id`.
            "-- subscriptions\nSELECT id, split_part(name, '#', 1) AS name, origin, \
             status, reason, settings, health, edit, created, removed_at, topics, resets \
             FROM subscriptions ",
            $rest
        )
    };
}

fn subscription(
    row: &PgRow,
    seal: &Seal,
    positions: Vec<PositionSummary>,
) -> Result<Subscription, StoreError> {
    let row = Cells::of(row, "subscriptions");
    let removed_at: Option<Micros> = row.get("removed_at")?;
    let name: Name = row.get("name")?;
    Ok(Subscription {
        id: row.get("id")?,
        origin: row.get("origin")?,
        status: match row.get("status")? {
            SubscriptionStatus::Deleted => SubscriptionStatus::Deleted,
            _ if removed_at.is_some() => SubscriptionStatus::Removed,
            status => status,
        },
        reason: row.get("reason")?,
        topics: row.json("topics")?,
        settings: sealed::settings(seal, name.as_str(), row.get("settings")?)?,
        name,
        positions,
        health: row.get("health")?,
        resets: row.count("resets")?,
        edit: row.count("edit")?,
        created: row.get("created")?,
        removed_at,
    })
}

/// One subscription that was not deleted.
pub(super) async fn one(
    conn: &mut PgConnection,
    seal: &Seal,
    name: &Name,
) -> Result<Subscription, StoreError> {
    let row = sqlx::query(select!("WHERE name = $1"))
        .bind(name.as_str())
        .fetch_optional(&mut *conn)
        .await?
        .ok_or_else(|| StoreError::not_found("subscription", name.as_str()))?;
    let positions = summaries(conn, &Share::These([id(&row)?].into())).await?;
    subscription(&row, seal, positions.into_iter().map(|(_, summary)| summary).collect())
}

/// All that changed after `edit`; deleted ones only when `edit` is not 0.
pub(super) async fn since(
    readers: &PgPool,
    seal: &Seal,
    edit: u64,
) -> Result<Vec<Subscription>, StoreError> {
    let mut conn = readers.acquire().await?;
    let rows =
        sqlx::query(select!("WHERE edit > $1 AND ($1 > 0 OR status <> 'deleted') ORDER BY edit"))
            .bind(signed(edit))
            .fetch_all(&mut *conn)
            .await?;
    let share = match edit {
        0 => Share::Everything,
        _ => Share::These(rows.iter().map(id).collect::<Result<_, _>>()?),
    };
    whole(&mut conn, seal, &rows, &share).await
}

/// Those of `share` that were not deleted, by name.
pub(super) async fn of(
    readers: &PgPool,
    seal: &Seal,
    share: &Share,
) -> Result<Vec<Subscription>, StoreError> {
    let mut conn = readers.acquire().await?;
    let sql = select!("WHERE id = ANY($1) AND status <> 'deleted' ORDER BY name COLLATE \"C\"");
    let rows = match numbers(share) {
        Some(ids) => sqlx::query(sql).bind(ids).fetch_all(&mut *conn).await?,
        None => {
            sqlx::query(select!("WHERE status <> 'deleted' ORDER BY name COLLATE \"C\""))
                .fetch_all(&mut *conn)
                .await?
        }
    };
    whole(&mut conn, seal, &rows, share).await
}

/// The rows, which are of `share`, with their positions.
async fn whole(
    conn: &mut PgConnection,
    seal: &Seal,
    rows: &[PgRow],
    share: &Share,
) -> Result<Vec<Subscription>, StoreError> {
    let mut positions: HashMap<i64, Vec<PositionSummary>> = HashMap::new();
    if !rows.is_empty() {
        for (subscription, summary) in summaries(conn, share).await? {
            positions.entry(subscription).or_default().push(summary);
        }
    }
    rows.iter()
        .map(|row| subscription(row, seal, positions.remove(&id(row)?).unwrap_or_default()))
        .collect()
}

fn id(row: &PgRow) -> Result<i64, StoreError> {
    Cells::of(row, "subscriptions").get("id")
}

/// Positions at a glance, of all subscriptions or of those that `$1` lists.
macro_rules! positions {
    ($of:literal) => {
        concat!(
            "-- positions\nSELECT p.subscription, p.id, t.name AS topic, p.fence, p.reach, p.open, \
             p.delivered, p.job, \
             (SELECT count(*) FROM exceptions x WHERE x.topic = p.topic AND x.position = p.id) AS exceptions, \
             (SELECT min(version) FROM exceptions x WHERE x.topic = p.topic AND x.position = p.id) AS lowest, \
             CASE WHEN p.job IS NULL THEN (SELECT count(*) FROM dead_letters d \
             WHERE d.topic = p.topic AND d.subscription = p.subscription) ELSE 0 END AS dead_letters, \
             (SELECT count(*) FROM exceptions x WHERE x.topic = p.topic AND x.position = p.id AND x.kind = 'stopped') \
             AS stopped_keys FROM positions p JOIN topics t ON t.id = p.topic ",
            $of,
            "ORDER BY p.subscription, p.job IS NOT NULL, t.name, p.id"
        )
    };
}

/// Positions with the number of their subscription.
async fn summaries(
    conn: &mut PgConnection,
    share: &Share,
) -> Result<Vec<(i64, PositionSummary)>, StoreError> {
    let rows = match numbers(share) {
        Some(ids) => {
            let sql = positions!("WHERE p.subscription = ANY($1) ");
            sqlx::query(sql).bind(ids).fetch_all(conn).await?
        }
        None => sqlx::query(positions!("")).fetch_all(conn).await?,
    };
    rows.iter().map(summary).collect()
}

fn summary(row: &PgRow) -> Result<(i64, PositionSummary), StoreError> {
    let topic = Cells::of(row, "topics").get("topic")?;
    let lowest = Cells::of(row, "exceptions").get("lowest")?;
    let row = Cells::of(row, "positions");
    let (reach, open) = (row.get("reach")?, row.versions("open")?);
    let (exceptions, stopped_keys) = (row.count("exceptions")?, row.count("stopped_keys")?);
    let summary = PositionSummary {
        id: row.get("id")?,
        topic,
        fence: row.count("fence")?,
        reach,
        floor: registry::floor(reach, &open, lowest),
        exceptions,
        stopped_keys,
        unsettled: open.len() as u64 + exceptions - stopped_keys,
        dead_letters: row.count("dead_letters")?,
        delivered: row.count("delivered")?,
        job: row.get("job")?,
    };
    Ok((row.get("subscription")?, summary))
}
