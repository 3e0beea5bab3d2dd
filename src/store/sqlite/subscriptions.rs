//! Subscriptions and what an operator does to them.

use std::collections::{BTreeSet, HashMap};

use sqlx::{
    Row as _, SqliteConnection,
    sqlite::{SqlitePool, SqliteRow},
};

use super::{
    commit::signed,
    memory::{Memory, name, unsigned, version},
    positions,
    writer::Desk,
};
use crate::{
    event::{Micros, Name, Topic, TopicPattern, Version},
    settings::SubscriptionSettings,
    store::{
        NewSubscription, Origin, PositionSummary, StoreError, Subscription, SubscriptionStatus,
        SubscriptionSteer,
    },
};

/// Subscriptions of one store.
const SUBSCRIPTIONS_MAX: u64 = 100_000;

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
    let status = status(row.get(3), row.get(9))?;
    let full: &str = row.get(1);
    let name = full.split('#').next().unwrap_or_default();
    Ok(Subscription {
        id: row.get(0),
        name: name.parse().map_err(|error| unreadable(format!("{error}")))?,
        origin: match row.get(2) {
            "file" => Origin::File,
            "api" => Origin::Api,
            other => return Err(unreadable(format!("origin {other}"))),
        },
        status,
        reason: row.get(4),
        topics: patterns(row.get(10))?,
        settings: serde_json::from_str(row.get(5))
            .map_err(|error| unreadable(error.to_string()))?,
        positions,
        health: row.get(6),
        resets: unsigned(row, 11),
        edit: unsigned(row, 7),
        created: Micros(row.get(8)),
        removed_at: row.get::<Option<i64>, _>(9).map(Micros),
    })
}

fn status(word: &str, removed_at: Option<i64>) -> Result<SubscriptionStatus, StoreError> {
    match word {
        "deleted" => Ok(SubscriptionStatus::Deleted),
        _ if removed_at.is_some() => Ok(SubscriptionStatus::Removed),
        "active" => Ok(SubscriptionStatus::Active),
        "paused" => Ok(SubscriptionStatus::Paused),
        "disabled" => Ok(SubscriptionStatus::Disabled),
        other => Err(unreadable(format!("status {other}"))),
    }
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
            let open = positions::versions(row.get(5));
            let floor = positions::floor(reach, &open, row.get(8));
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

/// The topics that are meant, by row number; one that is named must be there.
fn meant(memory: &Memory, patterns: &[TopicPattern]) -> Result<BTreeSet<i64>, StoreError> {
    let mut meant = BTreeSet::new();
    for pattern in patterns {
        if let Some(topic) = pattern.topic() {
            meant.insert(memory.topic(&topic)?.state.id);
        } else {
            let names = memory.names.iter().filter(|(topic, _)| pattern.matches(topic));
            meant.extend(names.map(|(_, id)| *id));
        }
    }
    Ok(meant)
}

/// Joins a topic that is new with every subscription that has a pattern for it; `Full` when there
/// are too many.
pub(super) async fn join(desk: &mut Desk, topic: &Topic, id: i64) -> Result<(), StoreError> {
    let sql = "-- patterns\nSELECT id, topics FROM subscriptions \
        WHERE status <> 'deleted' AND instr(topics, '*') > 0";
    let mut joined = Vec::new();
    for row in sqlx::query(sql).fetch_all(&mut desk.conn).await? {
        if patterns(row.get(1))?.iter().any(|pattern| pattern.matches(topic)) {
            joined.push(row.get(0));
        }
    }
    positions::room(desk, joined.len())?;
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
    let sql = "-- in a topic\nSELECT p.id, s.id, s.name, s.topics FROM positions p \
        JOIN subscriptions s ON s.id = p.subscription WHERE p.topic = $1 AND p.job IS NULL";
    for row in sqlx::query(sql).bind(id).fetch_all(&mut desk.conn).await? {
        if patterns(row.get(3))?.iter().any(|pattern| pattern.topic().as_ref() == Some(topic)) {
            let name: &str = row.get(2);
            return Err(StoreError::Conflict(format!(
                "the subscription `{name}` uses topic `{topic}`"
            )));
        }
        positions::remove(desk, row.get(0), now).await?;
        touch(desk, row.get(1)).await?;
    }
    Ok(())
}

/// Creates a subscription, or, from the file, changes the one of that name.
pub(super) async fn put(
    desk: &mut Desk,
    new: NewSubscription,
    now: Micros,
) -> Result<Subscription, StoreError> {
    let mut topics = meant(&desk.memory, &new.topics)?;
    let id = match one(&mut desk.conn, &new.name).await {
        Err(StoreError::NotFound { .. }) => insert(desk, &new, now).await?,
        Err(error) => return Err(error),
        Ok(known) if new.origin == Origin::Api => {
            return Err(StoreError::Exists { what: "subscription", name: known.name.to_string() });
        }
        Ok(known) if known.origin == Origin::Api => {
            return Err(StoreError::Conflict(format!(
                "subscription `{}` was made through the API; delete it there or take another name",
                known.name
            )));
        }
        Ok(known) => renew(desk, &new, &known, &topics, now).await?,
    };
    for (_, held) in positions::of(desk, id) {
        topics.remove(&held);
    }
    positions::room(desk, topics.len())?;
    for topic in topics {
        positions::add(desk, id, topic, new.from).await?;
    }
    finish(desk, &new.name).await
}

async fn insert(desk: &mut Desk, new: &NewSubscription, now: Micros) -> Result<i64, StoreError> {
    let count = sqlx::query("-- count\nSELECT count(*) FROM subscriptions")
        .fetch_one(&mut desk.conn)
        .await?;
    if unsigned(&count, 0) >= SUBSCRIPTIONS_MAX {
        return Err(StoreError::Full(format!(
            "there are {SUBSCRIPTIONS_MAX} subscriptions already"
        )));
    }
    let edit = desk.next_edit();
    let sql = "-- new subscription\nINSERT INTO subscriptions (name, origin, status, settings, edit, created, topics) \
        VALUES ($1, $2, 'active', $3, $4, $5, $6) RETURNING id";
    let row = sqlx::query(sql)
        .bind(new.name.as_str())
        .bind(match new.origin {
            Origin::File => "file",
            Origin::Api => "api",
        })
        .bind(settings_text(&new.settings))
        .bind(signed(edit))
        .bind(now.0)
        .bind(patterns_text(&new.topics))
        .fetch_one(&mut desk.conn)
        .await?;
    Ok(row.get(0))
}

/// The file names an existing subscription: settings and topics are taken over, places kept.
async fn renew(
    desk: &mut Desk,
    new: &NewSubscription,
    known: &Subscription,
    topics: &BTreeSet<i64>,
    now: Micros,
) -> Result<i64, StoreError> {
    let held: Vec<(i64, i64)> = positions::of(desk, known.id);
    // Every start puts every subscription: what is as it was is not written, and costs no sync.
    let same_topics = known.topics == new.topics
        && held.len() == topics.len()
        && held.iter().all(|(_, topic)| topics.contains(topic));
    if same_topics && known.settings == new.settings && known.status != SubscriptionStatus::Removed
    {
        return Ok(known.id);
    }
    if known.settings.url != new.settings.url {
        forget_endpoint(desk, known.id, now).await?;
    }
    let edit = desk.next_edit();
    overwrite(desk, known.id, &new.settings).await?;
    let sql = "-- renewed subscription\nUPDATE subscriptions SET edit = $2, topics = $3, \
        removed_at = NULL WHERE id = $1";
    sqlx::query(sql)
        .bind(known.id)
        .bind(signed(edit))
        .bind(patterns_text(&new.topics))
        .execute(&mut desk.conn)
        .await?;
    for (position, topic) in held {
        if !topics.contains(&topic) {
            tracing::warn!(subscription = %new.name, topic, "no longer in this topic: its place there and its dead letters go");
            positions::remove(desk, position, now).await?;
        }
    }
    Ok(known.id)
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
    let known = one(&mut desk.conn, &name).await?;
    if read.is_some_and(|read| read != known.edit) {
        return Err(StoreError::Stale);
    }
    if known.settings.url != settings.url {
        forget_endpoint(desk, known.id, now).await?;
    }
    let edit = desk.next_edit();
    overwrite(desk, known.id, &settings).await?;
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
    let known = one(&mut desk.conn, &name).await?;
    let serves = matches!(steer, SubscriptionSteer::Pause | SubscriptionSteer::Resume);
    if serves && known.status == SubscriptionStatus::Removed {
        return Err(StoreError::Conflict(format!(
            "subscription `{name}` has left the configuration; it finds its place again when it is back"
        )));
    }
    if let SubscriptionSteer::Disable { id, .. } = &steer
        && (*id != known.id || known.status != SubscriptionStatus::Active)
    {
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
            overwrite(desk, known.id, &SubscriptionSettings::new(String::new(), Vec::new()))
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

async fn finish(desk: &mut Desk, name: &Name) -> Result<Subscription, StoreError> {
    desk.announce();
    one(&mut desk.conn, name).await
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

/// Puts settings in the place of others, of which nothing stays in the file: secrets are among them.
async fn overwrite(
    desk: &mut Desk,
    id: i64,
    settings: &SubscriptionSettings,
) -> Result<(), StoreError> {
    sqlx::raw_sql("PRAGMA secure_delete = ON").execute(&mut desk.conn).await?;
    let sql = "-- settings\nUPDATE subscriptions SET settings = $2 WHERE id = $1";
    let query = sqlx::query(sql).bind(id).bind(settings_text(settings));
    query.execute(&mut desk.conn).await?;
    // Pages that retention frees are left to be used again: overwriting each costs as much as
    // writing it did.
    sqlx::raw_sql("PRAGMA secure_delete = FAST").execute(&mut desk.conn).await?;
    Ok(())
}

/// Plain data, which JSON always takes.
fn settings_text(settings: &SubscriptionSettings) -> String {
    serde_json::to_string(settings).unwrap_or_default()
}

fn patterns_text(patterns: &[TopicPattern]) -> String {
    serde_json::to_string(patterns).unwrap_or_default()
}

fn patterns(text: &str) -> Result<Vec<TopicPattern>, StoreError> {
    serde_json::from_str(text).map_err(|error| unreadable(error.to_string()))
}
