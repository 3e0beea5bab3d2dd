//! What is removed beside events: keys, dead letters, gaps, and what left the configuration.
//!
//! Every step is a transaction of its own and bounded: an append waits for one step at most.

use std::{collections::BTreeSet, sync::atomic::Ordering, time::Duration};

use sqlx::Row as _;

use super::{
    dead,
    memory::{Change, name, unsigned},
    pending, slot, sources,
    subscriptions::{self, touch},
    writer::Desk,
};
use crate::{
    event::{Micros, Version},
    settings::days,
    store::{StoreError, SubscriptionSteer, TopicState},
};

/// Rows removed in one step.
const CHUNK: i64 = 1_000;
/// Keys removed in one step: they cost memory's time, not the disk's.
const KEYS_CHUNK: usize = 100_000;
/// Dead letters kept of a subscription.
const DEAD_MAX: i64 = 100_000;
/// Gaps kept of a topic.
const GAPS_MAX: i64 = 1_000;
/// How long a prepared event waits for its commit.
const PREPARED_MAX: Duration = Duration::from_hours(24);

/// One step over what belongs to no topic; answers whether there is more.
pub(super) async fn step(desk: &mut Desk, now: Micros) -> Result<bool, StoreError> {
    let mut more = drop_rows(desk).await?;
    more |= pending::drop_prepared(desk, now.minus(PREPARED_MAX)).await?;
    more |= trim_dead_letters(desk, now).await?;
    forget_removed(desk, now).await?;
    Ok(more)
}

/// Lets go of the oldest keys of a topic: by age, by count, and while memory holds too many;
/// answers whether there is more.
pub(super) async fn keys(desk: &mut Desk, topic: i64, now: Micros) -> Result<bool, StoreError> {
    let Some(state) = desk.memory.topics.get(&topic).map(|topic| topic.state.clone()) else {
        return Ok(false);
    };
    let excess = desk.memory.key_count.saturating_sub(desk.shared.keys_max);
    let Oldest { count, last, more } = oldest_keys(desk, &state, now, excess).await?;
    let Some((last, up_to)) = last else { return Ok(false) };
    sqlx::query("-- expired keys\nDELETE FROM dedupe WHERE slot BETWEEN $1 AND $2")
        .bind(slot::range(topic).0)
        .bind(last)
        .execute(&mut desk.conn)
        .await?;
    desk.change(Change::KeysGone(topic, up_to, count));
    Ok(more)
}

/// The keys that go in one step.
#[derive(Default)]
struct Oldest {
    count: usize,
    /// The last row of them, and its last version.
    last: Option<(i64, Version)>,
    /// Whether there are more.
    more: bool,
}

async fn oldest_keys(
    desk: &mut Desk,
    state: &TopicState,
    now: Micros,
    excess: usize,
) -> Result<Oldest, StoreError> {
    let by_count = state.head.0.saturating_sub(state.settings.dedupe_count);
    let oldest = now.minus(state.settings.dedupe_age);
    let sql = "-- oldest keys\nSELECT slot, recorded, length(hashes) / 16 FROM dedupe \
        WHERE slot BETWEEN $1 AND $2 ORDER BY slot LIMIT $3";
    let (low, high) = slot::range(state.id);
    let rows = sqlx::query(sql).bind(low).bind(high).bind(CHUNK).fetch_all(&mut desk.conn).await?;
    let mut gone = Oldest::default();
    for row in &rows {
        let (first, count) = (slot::split(row.get(0)).1, unsigned(row, 2));
        let up_to = (first + count).saturating_sub(1);
        let expired = up_to <= by_count || row.get::<i64, _>(1) < oldest.0;
        if !expired && gone.count >= excess {
            return Ok(gone);
        }
        if gone.count >= KEYS_CHUNK {
            return Ok(Oldest { more: true, ..gone });
        }
        gone.count += usize::try_from(count).unwrap_or(usize::MAX);
        gone.last = Some((row.get(0), Version(up_to)));
    }
    let more = i64::try_from(rows.len()).is_ok_and(|count| count >= CHUNK);
    Ok(Oldest { more, ..gone })
}

/// Removes the rows of deleted topics.
async fn drop_rows(desk: &mut Desk) -> Result<bool, StoreError> {
    let sql = "-- dropped topic\nSELECT id FROM dropped_topics LIMIT 1";
    let Some(row) = sqlx::query(sql).fetch_optional(&mut desk.conn).await? else {
        return Ok(false);
    };
    let id: i64 = row.get(0);
    let (low, high) = slot::range(id);
    let mut removed = 0;
    for sql in [
        "-- dropped events\nDELETE FROM events WHERE slot IN (SELECT slot FROM events WHERE slot BETWEEN $1 AND $2 LIMIT $3)",
        "-- dropped keys\nDELETE FROM dedupe WHERE slot IN (SELECT slot FROM dedupe WHERE slot BETWEEN $1 AND $2 LIMIT $3)",
        "-- dropped released\nDELETE FROM released WHERE slot IN (SELECT slot FROM released WHERE slot BETWEEN $1 AND $2 LIMIT $3)",
    ] {
        let query = sqlx::query(sql).bind(low).bind(high).bind(CHUNK);
        removed += query.execute(&mut desk.conn).await?.rows_affected();
    }
    let sql = "-- dropped pending\nDELETE FROM pending WHERE id IN (SELECT id FROM pending WHERE topic = $1 LIMIT $2)";
    let query = sqlx::query(sql).bind(id).bind(CHUNK);
    removed += query.execute(&mut desk.conn).await?.rows_affected();
    if removed == 0 {
        sqlx::query("-- all dropped\nDELETE FROM dropped_topics WHERE id = $1")
            .bind(id)
            .execute(&mut desk.conn)
            .await?;
    }
    Ok(true)
}

async fn trim_dead_letters(desk: &mut Desk, now: Micros) -> Result<bool, StoreError> {
    let sql = "-- old dead letters\nSELECT id FROM dead_letters WHERE at < $1 LIMIT $2";
    let old =
        sqlx::query(sql).bind(now.minus(days(30)).0).bind(CHUNK).fetch_all(&mut desk.conn).await?;
    let sql = "-- too many dead letters\nSELECT id FROM \
        (SELECT id, row_number() OVER (PARTITION BY subscription ORDER BY id DESC) AS place \
         FROM dead_letters WHERE subscription IN \
             (SELECT subscription FROM dead_letters GROUP BY subscription HAVING count(*) > $1)) \
        WHERE place > $1 LIMIT $2";
    let excess = sqlx::query(sql).bind(DEAD_MAX).bind(CHUNK).fetch_all(&mut desk.conn).await?;
    let ids: BTreeSet<i64> = old.iter().chain(&excess).map(|row| row.get(0)).collect();
    if ids.is_empty() {
        return Ok(false);
    }
    let ids: Vec<i64> = ids.into_iter().collect();
    let moved = dead::forget(desk, &ids).await?;
    let held = moved.iter().filter_map(|position| desk.memory.positions.get(position));
    let subscriptions: BTreeSet<i64> = held.map(|position| position.subscription).collect();
    for subscription in subscriptions {
        touch(desk, subscription).await?;
    }
    desk.shared.dead_trimmed.fetch_add(ids.len() as u64, Ordering::Relaxed);
    Ok(old.len().max(excess.len()) >= usize::try_from(CHUNK).unwrap_or(usize::MAX))
}

/// What left the configuration or was deleted long enough ago.
async fn forget_removed(desk: &mut Desk, now: Micros) -> Result<(), StoreError> {
    let long_ago = now.minus(days(30)).0;
    let sql = "-- forgotten sources\nSELECT id FROM sources WHERE removed_at < $1";
    for row in sqlx::query(sql).bind(long_ago).fetch_all(&mut desk.conn).await? {
        sources::forget(desk, row.get(0)).await?;
    }
    let sql = "-- forgotten subscriptions\nDELETE FROM subscriptions WHERE status = 'deleted' AND removed_at < $1";
    sqlx::query(sql).bind(now.minus(Duration::from_hours(1)).0).execute(&mut desk.conn).await?;
    sqlx::query("-- old jobs\nDELETE FROM jobs WHERE ended < $1")
        .bind(long_ago)
        .execute(&mut desk.conn)
        .await?;
    let sql = "-- removed for long\nSELECT name FROM subscriptions WHERE status <> 'deleted' AND removed_at < $1 LIMIT 10";
    for row in sqlx::query(sql).bind(long_ago).fetch_all(&mut desk.conn).await? {
        let name = name(&row, 0, "subscriptions")?;
        subscriptions::steer(desk, name, SubscriptionSteer::Delete, now).await?;
    }
    let sql = "-- gaps bound\nDELETE FROM gaps WHERE id IN (SELECT id FROM (SELECT id, \
        row_number() OVER (PARTITION BY topic ORDER BY id DESC) AS place FROM gaps) WHERE place > $1)";
    sqlx::query(sql).bind(GAPS_MAX).execute(&mut desk.conn).await?;
    Ok(())
}
