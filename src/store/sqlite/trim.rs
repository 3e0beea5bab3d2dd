//! Retention: removes a bounded piece of what is past its time or limit.
//!
//! What a subscription is owed outlives age and count by at most `owed`, and never the cap in
//! bytes; when it goes all the same, the subscription gets a range among its dead letters.

use std::{sync::Arc, time::Duration};

use sqlx::Row as _;

use super::{
    commit::signed,
    memory::{Change, hash_list, unsigned},
    positions, read, slot,
    subscriptions::touch,
    writer::Desk,
};
use crate::{
    event::{Micros, Version},
    settings::days,
    store::{StoreError, TopicState},
};

/// Rows removed in one step: an append waits for a step at most.
const CHUNK: i64 = 1_000;
/// Dead letters kept of a subscription.
const DEAD_MAX: i64 = 100_000;
/// Gaps kept of a topic.
const GAPS_MAX: i64 = 1_000;

/// One step over everything; answers whether there is more.
pub(super) async fn step(desk: &mut Desk, now: Micros) -> Result<bool, StoreError> {
    let mut more = false;
    let topics: Vec<Arc<TopicState>> =
        desk.memory.topics.values().map(|topic| topic.state.clone()).collect();
    for state in topics {
        more |= trim_topic(desk, &state, now).await?;
        more |= expire_keys(desk, &state, now).await?;
    }
    more |= drop_rows(desk).await?;
    more |= trim_dead_letters(desk, now).await?;
    forget_removed(desk, now).await?;
    sqlx::raw_sql("PRAGMA incremental_vacuum(200)").execute(&mut desk.conn).await?;
    Ok(more)
}

async fn trim_topic(desk: &mut Desk, state: &TopicState, now: Micros) -> Result<bool, StoreError> {
    let sizes = oldest_sizes(desk, state).await?;
    let soft = soft_cut(desk, state, now).await?;
    let cap = state.settings.max_bytes.unwrap_or(u64::MAX);
    let (mut bytes, mut cut) = (state.bytes, state.oldest.previous());
    for (version, size) in sizes.iter().copied() {
        if version > soft && bytes <= cap {
            break;
        }
        bytes = bytes.saturating_sub(size);
        cut = version;
    }
    if cut < state.oldest {
        return Ok(false);
    }
    keep_dead(desk, state, cut).await?;
    expire_owed(desk, state, cut, now).await?;
    let sql = "-- trim\nDELETE FROM events WHERE slot BETWEEN $1 AND $2";
    sqlx::query(sql)
        .bind(slot::of(state.id, Version::ZERO))
        .bind(slot::of(state.id, cut))
        .execute(&mut desk.conn)
        .await?;
    let sql = "-- oldest\nUPDATE topics SET oldest = $2, bytes = $3 WHERE id = $1";
    sqlx::query(sql)
        .bind(state.id)
        .bind(signed(cut.next().0))
        .bind(signed(bytes))
        .execute(&mut desk.conn)
        .await?;
    desk.change(Change::Topic(TopicState { oldest: cut.next(), bytes, ..state.clone() }));
    desk.shared.tail.forget(state.id, cut);
    Ok(i64::try_from(sizes.len()).is_ok_and(|count| count >= CHUNK))
}

/// The oldest events and what they count for.
async fn oldest_sizes(
    desk: &mut Desk,
    state: &TopicState,
) -> Result<Vec<(Version, u64)>, StoreError> {
    let settings = &state.settings;
    if settings.max_age.is_none() && settings.max_count.is_none() && settings.max_bytes.is_none() {
        return Ok(Vec::new());
    }
    let sql = "-- sizes\nSELECT slot, octet_length(attributes) + coalesce(octet_length(data), 0) \
        FROM events WHERE slot BETWEEN $1 AND $2 ORDER BY slot LIMIT $3";
    let rows = sqlx::query(sql)
        .bind(slot::of(state.id, state.oldest))
        .bind(slot::of(state.id, state.head))
        .bind(CHUNK)
        .fetch_all(&mut desk.conn)
        .await?;
    Ok(rows.iter().map(|row| (Version(slot::split(row.get(0)).1), unsigned(row, 1))).collect())
}

/// Up to where age and count let go, unless it is owed.
async fn soft_cut(desk: &mut Desk, state: &TopicState, now: Micros) -> Result<Version, StoreError> {
    let settings = &state.settings;
    let by_age = match settings.max_age {
        Some(age) => read::search(&mut desk.conn, state, now.minus(age)).await?,
        None => Version::ZERO,
    };
    let by_count = settings.max_count.map_or(0, |count| state.head.0.saturating_sub(count));
    let cut = by_age.max(Version(by_count));
    if cut < state.oldest {
        return Ok(cut);
    }
    let Some(owed_above) = lowest_floor(desk, state.id).await? else { return Ok(cut) };
    let age = settings.max_age.unwrap_or(Duration::ZERO) + settings.owed;
    let beyond = read::search(&mut desk.conn, state, now.minus(age)).await?;
    Ok(cut.min(owed_above.max(beyond)))
}

/// The lowest floor of the subscriptions that exist.
async fn lowest_floor(desk: &mut Desk, topic: i64) -> Result<Option<Version>, StoreError> {
    let floors = floors(desk, topic).await?;
    Ok(floors.into_iter().filter(|floor| floor.owed).map(|floor| floor.version).min())
}

struct Floor {
    position: i64,
    subscription: i64,
    version: Version,
    reach: Version,
    open: Vec<Version>,
    /// Whether the subscription keeps events from going; one that left the file does not.
    owed: bool,
}

async fn floors(desk: &mut Desk, topic: i64) -> Result<Vec<Floor>, StoreError> {
    let sql = "-- floors\nSELECT p.id, p.subscription, p.reach, p.open, \
        (SELECT min(version) FROM exceptions x WHERE x.position = p.id), s.status <> 'removed' \
        FROM positions p JOIN subscriptions s ON s.id = p.subscription WHERE p.topic = $1";
    let rows = sqlx::query(sql).bind(topic).fetch_all(&mut desk.conn).await?;
    let floor = |row: &sqlx::sqlite::SqliteRow| {
        let reach = Version(unsigned(row, 2));
        let open = positions::versions(row.get(3));
        let excepted = row.get::<Option<i64>, _>(4).map(|lowest| Version(lowest.cast_unsigned()));
        let lowest = open.iter().copied().chain(excepted).min();
        Floor {
            position: row.get(0),
            subscription: row.get(1),
            version: lowest.map_or(reach, Version::previous),
            reach,
            open,
            owed: row.get(5),
        }
    };
    Ok(rows.iter().map(floor).collect())
}

/// An event with a dead letter leaves its bytes there.
async fn keep_dead(desk: &mut Desk, state: &TopicState, cut: Version) -> Result<(), StoreError> {
    let sql = "-- keep dead\nUPDATE dead_letters SET recorded = e.recorded, attributes = e.attributes, \
        form = e.form, data = e.data FROM events e \
        WHERE dead_letters.topic = $1 AND dead_letters.version BETWEEN $2 AND $3 \
        AND dead_letters.reason <> 'expired' AND dead_letters.attributes IS NULL \
        AND e.slot = ($1 << 40 | dead_letters.version)";
    sqlx::query(sql)
        .bind(state.id)
        .bind(signed(state.oldest.0))
        .bind(signed(cut.0))
        .execute(&mut desk.conn)
        .await?;
    Ok(())
}

/// Announces what goes while it is owed: one range per subscription and removal.
async fn expire_owed(
    desk: &mut Desk,
    state: &TopicState,
    cut: Version,
    now: Micros,
) -> Result<(), StoreError> {
    for floor in floors(desk, state.id).await? {
        if floor.version >= cut {
            continue;
        }
        let excepted = sqlx::query(
            "-- excepted\nSELECT count(*) FROM exceptions WHERE position = $1 AND version <= $2",
        )
        .bind(floor.position)
        .bind(signed(cut.0))
        .fetch_one(&mut desk.conn)
        .await?;
        let open = floor.open.iter().filter(|open| **open <= cut).count() as u64;
        let ahead = cut.0.saturating_sub(floor.reach.0.max(state.oldest.previous().0));
        let count = unsigned(&excepted, 0) + open + ahead;
        let first = floor.version.next().max(state.oldest);
        announce_expired(desk, state, &floor, (first, cut, count), now).await?;
        sqlx::query("-- expired\nDELETE FROM exceptions WHERE position = $1 AND version <= $2")
            .bind(floor.position)
            .bind(signed(cut.0))
            .execute(&mut desk.conn)
            .await?;
        // The holder loads the position anew: its window knows versions that are gone. What was
        // in flight above the cut is given back by lowering nothing: it is kept as due again.
        let kept = floor.open.iter().filter(|open| **open > cut);
        for open in kept {
            let sql = "-- kept open\nINSERT INTO exceptions (position, version, kind, attempts, tries, \
                due, first, successes) VALUES ($1, $2, 'retry', 0, 0, $3, $3, 0) ON CONFLICT DO NOTHING";
            sqlx::query(sql)
                .bind(floor.position)
                .bind(signed(open.0))
                .bind(now.0)
                .execute(&mut desk.conn)
                .await?;
        }
        positions::release(desk, floor.position, floor.reach.max(cut), now).await?;
        touch(desk, floor.subscription).await?;
    }
    Ok(())
}

async fn announce_expired(
    desk: &mut Desk,
    state: &TopicState,
    floor: &Floor,
    (first, last, count): (Version, Version, u64),
    now: Micros,
) -> Result<(), StoreError> {
    tracing::warn!(
        topic = %state.topic, subscription = floor.subscription, from = first.0, to = last.0, count,
        "retention removed events that a subscription was owed"
    );
    // A removal of many pieces is one range.
    let sql = "-- longer range\nUPDATE dead_letters SET up_to = $3, count = count + $4, at = $5 \
        WHERE position = $1 AND reason = 'expired' AND up_to + 1 = $2";
    let longer = sqlx::query(sql)
        .bind(floor.position)
        .bind(signed(first.0))
        .bind(signed(last.0))
        .bind(signed(count))
        .bind(now.0)
        .execute(&mut desk.conn)
        .await?;
    if longer.rows_affected() > 0 {
        return Ok(());
    }
    let sql = "-- range\nINSERT INTO dead_letters (subscription, position, topic, version, up_to, count, \
        reason, attempts, first, at) VALUES ($1, $2, $3, $4, $5, $6, 'expired', 0, $7, $7)";
    sqlx::query(sql)
        .bind(floor.subscription)
        .bind(floor.position)
        .bind(state.id)
        .bind(signed(first.0))
        .bind(signed(last.0))
        .bind(signed(count))
        .bind(now.0)
        .execute(&mut desk.conn)
        .await?;
    Ok(())
}

/// Lets go of the oldest keys: by age, by count, and when memory holds too many.
async fn expire_keys(desk: &mut Desk, state: &TopicState, now: Micros) -> Result<bool, StoreError> {
    let settings = &state.settings;
    let by_count = Version(state.head.0.saturating_sub(settings.dedupe_count));
    let oldest = now.minus(settings.dedupe_age);
    let crowded = desk.memory.key_count > desk.shared.keys_max;
    let sql = "-- oldest keys\nSELECT slot, recorded, hashes FROM dedupe WHERE slot BETWEEN $1 AND $2 ORDER BY slot LIMIT $3";
    let (low, high) = slot::range(state.id);
    let rows =
        sqlx::query(sql).bind(low).bind(high).bind(CHUNK / 10).fetch_all(&mut desk.conn).await?;
    let mut gone = Vec::new();
    let mut last = None;
    for row in &rows {
        let (first, hashes): (u64, &[u8]) = (slot::split(row.get(0)).1, row.get(2));
        let up_to = first + (hashes.len() / 16) as u64 - 1;
        if !(up_to <= by_count.0 || row.get::<i64, _>(1) < oldest.0 || crowded) {
            break;
        }
        gone.extend(hash_list(hashes).zip((first..).map(Version)));
        last = Some(row.get::<i64, _>(0));
    }
    let Some(last) = last else { return Ok(false) };
    sqlx::query("-- expired keys\nDELETE FROM dedupe WHERE slot BETWEEN $1 AND $2")
        .bind(low)
        .bind(last)
        .execute(&mut desk.conn)
        .await?;
    let more = gone.len() as u64 > 0 && !crowded;
    desk.change(Change::KeysGone(state.id, gone));
    Ok(more)
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
    ] {
        let query = sqlx::query(sql).bind(low).bind(high).bind(CHUNK);
        removed += query.execute(&mut desk.conn).await?.rows_affected();
    }
    if removed == 0 {
        sqlx::query("-- all dropped\nDELETE FROM dropped_topics WHERE id = $1")
            .bind(id)
            .execute(&mut desk.conn)
            .await?;
    }
    Ok(true)
}

async fn trim_dead_letters(desk: &mut Desk, now: Micros) -> Result<bool, StoreError> {
    let sql = "-- old dead letters\nDELETE FROM dead_letters WHERE id IN \
        (SELECT id FROM dead_letters WHERE at < $1 LIMIT $2)";
    let old = sqlx::query(sql)
        .bind(now.minus(days(30)).0)
        .bind(CHUNK)
        .execute(&mut desk.conn)
        .await?
        .rows_affected();
    let sql = "-- too many dead letters\nDELETE FROM dead_letters WHERE id IN (SELECT d.id FROM dead_letters d \
        JOIN (SELECT subscription, count(*) - $1 AS excess FROM dead_letters \
              GROUP BY subscription HAVING count(*) > $1) o ON o.subscription = d.subscription \
        WHERE (SELECT count(*) FROM dead_letters e WHERE e.subscription = d.subscription AND e.id < d.id) < o.excess \
        ORDER BY d.id LIMIT $2)";
    let excess =
        sqlx::query(sql).bind(DEAD_MAX).bind(CHUNK).execute(&mut desk.conn).await?.rows_affected();
    if old + excess > 0 {
        tracing::warn!(old, excess, "dead letters went, the oldest first");
    }
    Ok(old.max(excess) >= CHUNK.cast_unsigned())
}

/// What left the configuration or was deleted long enough ago.
async fn forget_removed(desk: &mut Desk, now: Micros) -> Result<(), StoreError> {
    let long_ago = now.minus(days(30)).0;
    let sql = "-- forgotten sources\nDELETE FROM sources WHERE status = 'removed' AND removed_at < $1 RETURNING id";
    for row in sqlx::query(sql).bind(long_ago).fetch_all(&mut desk.conn).await? {
        let id: i64 = row.get(0);
        let (low, high) = slot::range(id);
        for sql in [
            "-- forgotten journal\nDELETE FROM journal WHERE slot BETWEEN $1 AND $2",
            "-- forgotten items\nDELETE FROM rejected WHERE slot BETWEEN $1 AND $2",
        ] {
            sqlx::query(sql).bind(low).bind(high).execute(&mut desk.conn).await?;
        }
        desk.change(Change::SourceGone(id));
    }
    let sql = "-- forgotten subscriptions\nDELETE FROM subscriptions WHERE status = 'deleted' AND removed_at < $1";
    sqlx::query(sql).bind(now.minus(Duration::from_hours(1)).0).execute(&mut desk.conn).await?;
    let sql = "-- removed for long\nSELECT name FROM subscriptions WHERE status = 'removed' AND removed_at < $1 LIMIT 10";
    for row in sqlx::query(sql).bind(long_ago).fetch_all(&mut desk.conn).await? {
        let name = super::memory::name(&row, 0, "subscriptions")?;
        let delete = crate::store::SubscriptionSteer::Delete;
        super::subscriptions::steer(desk, name, delete, now).await?;
    }
    let sql = "-- gaps bound\nDELETE FROM gaps WHERE id IN (SELECT id FROM (SELECT id, \
        row_number() OVER (PARTITION BY topic ORDER BY id DESC) AS place FROM gaps) WHERE place > $1)";
    sqlx::query(sql).bind(GAPS_MAX).execute(&mut desk.conn).await?;
    Ok(())
}
