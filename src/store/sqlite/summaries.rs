//! Subscriptions as they are read, each with its positions at a glance.

use std::collections::HashMap;

use sqlx::{
    Row as _, SqliteConnection,
    sqlite::{SqlitePool, SqliteRow},
};

use super::file::row::{name, parsed, signed, unsigned, version, versions};
use crate::{
    event::{Micros, Name, TopicPattern, Version},
    store::{PositionSummary, StoreError, Subscription, SubscriptionStatus, rules::registry},
};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "-- subscriptions\nSELECT id, name, origin, status, reason, settings, health, edit, \
             created, removed_at, topics, resets FROM subscriptions ",
            $rest
        )
    };
}

fn unreadable(problem: String) -> StoreError {
    StoreError::Unreadable { table: "subscriptions", problem }
}

fn subscription(
    row: &SqliteRow,
    positions: Vec<PositionSummary>,
) -> Result<Subscription, StoreError> {
    let removed_at = row.get::<Option<i64>, _>(9).map(Micros);
    let full: &str = row.get(1);
    let name = full.split('#').next().unwrap_or_default();
    Ok(Subscription {
        id: row.get(0),
        name: name.parse().map_err(|error| unreadable(format!("{error}")))?,
        origin: parsed(row.get(2), "subscriptions")?,
        status: match parsed(row.get(3), "subscriptions")? {
            SubscriptionStatus::Deleted => SubscriptionStatus::Deleted,
            _ if removed_at.is_some() => SubscriptionStatus::Removed,
            status => status,
        },
        reason: row.get(4),
        topics: patterns(row.get(10))?,
        settings: serde_json::from_str(row.get(5))
            .map_err(|error| unreadable(error.to_string()))?,
        positions,
        health: row.get(6),
        resets: unsigned(row, 11),
        edit: unsigned(row, 7),
        created: Micros(row.get(8)),
        removed_at,
    })
}

/// One subscription that was not deleted.
pub(super) async fn one(
    conn: &mut SqliteConnection,
    name: &Name,
) -> Result<Subscription, StoreError> {
    let row = sqlx::query(select!("WHERE name = $1"))
        .bind(name.as_str())
        .fetch_optional(&mut *conn)
        .await?
        .ok_or_else(|| StoreError::not_found("subscription", name.as_str()))?;
    let positions = summaries(conn, Some(row.get(0))).await?;
    subscription(&row, positions.into_iter().map(|(_, summary)| summary).collect())
}

/// All that changed after `edit`; deleted ones only when `edit` is not 0.
pub(super) async fn since(
    readers: &SqlitePool,
    edit: u64,
) -> Result<Vec<Subscription>, StoreError> {
    let mut conn = readers.acquire().await?;
    let rows =
        sqlx::query(select!("WHERE edit > $1 AND ($1 > 0 OR status <> 'deleted') ORDER BY edit"))
            .bind(signed(edit))
            .fetch_all(&mut *conn)
            .await?;
    let one = match &rows[..] {
        [row] => Some(row.get(0)),
        _ => None,
    };
    let mut positions: HashMap<i64, Vec<PositionSummary>> = HashMap::new();
    if !rows.is_empty() {
        for (subscription, summary) in summaries(&mut conn, one).await? {
            positions.entry(subscription).or_default().push(summary);
        }
    }
    rows.iter()
        .map(|row| subscription(row, positions.remove(&row.get(0)).unwrap_or_default()))
        .collect()
}

/// Positions with the number of their subscription: of one, or of all.
async fn summaries(
    conn: &mut SqliteConnection,
    subscription: Option<i64>,
) -> Result<Vec<(i64, PositionSummary)>, StoreError> {
    let sql = "-- positions\nSELECT p.subscription, p.id, t.name, p.fence, p.reach, p.open, \
        p.delivered, \
        (SELECT count(*) FROM exceptions x WHERE x.position = p.id), \
        (SELECT min(version) FROM exceptions x WHERE x.position = p.id), \
        CASE WHEN p.job IS NULL THEN (SELECT count(*) FROM dead_letters d \
        WHERE d.subscription = p.subscription AND d.topic = p.topic) ELSE 0 END, p.job, \
        (SELECT count(*) FROM exceptions x WHERE x.position = p.id AND x.kind = 'stopped') \
        FROM positions p JOIN topics t ON t.id = p.topic \
        WHERE $1 IS NULL OR p.subscription = $1 \
        ORDER BY p.subscription, p.job IS NOT NULL, t.name, p.id";
    let rows = sqlx::query(sql).bind(subscription).fetch_all(conn).await?;
    rows.iter()
        .map(|row| {
            let reach = version(row, 4);
            let open = versions(row.get(5));
            let floor = registry::floor(
                reach,
                &open,
                row.get::<Option<i64>, _>(8).map(|lowest| Version(lowest.cast_unsigned())),
            );
            let (exceptions, stopped_keys) = (unsigned(row, 7), unsigned(row, 11));
            let summary = PositionSummary {
                id: row.get(1),
                topic: name(row, 2, "topics")?,
                fence: unsigned(row, 3),
                reach,
                floor,
                exceptions,
                stopped_keys,
                unsettled: open.len() as u64 + exceptions - stopped_keys,
                dead_letters: unsigned(row, 9),
                delivered: unsigned(row, 6),
                job: row.get(10),
            };
            Ok((row.get(0), summary))
        })
        .collect()
}

/// The patterns in a row.
pub(super) fn patterns(text: &str) -> Result<Vec<TopicPattern>, StoreError> {
    serde_json::from_str(text).map_err(|error| unreadable(error.to_string()))
}
