//! Retention of events: removes a bounded piece of what is past its time or limit.
//!
//! What a subscription is owed outlives age and count by at most `owed`, and never the cap in
//! bytes; when it goes all the same, the subscription gets a range among its dead letters.

use std::sync::atomic::Ordering;

use sqlx::{PgConnection, postgres::PgRow};

use super::{
    PostgresStore, log, positions,
    registry::{Registry, locked},
    row::{Cells, signed},
    steering::touch,
};
use crate::{
    event::{Micros, Version},
    store::{
        Expired, StoreError, TopicState, Trimmed,
        rules::{
            registry,
            retention::{self as rules, Limits, Owed, OwedUntil},
        },
    },
};

/// Events removed in one step: an append waits for a step at most.
const CHUNK: i64 = 1_000;

impl PostgresStore {
    /// One step over the events of a topic. They go with their partitions: here the topic lets go of
    /// them.
    pub(super) async fn trim_topic(
        &self,
        seen: &TopicState,
        now: Micros,
    ) -> Result<Trimmed, StoreError> {
        // Mostly there is nothing, which needs no lock.
        let mut conn = self.shared.pool.acquire().await?;
        let soft = soft_cut(&mut conn, seen, now).await?;
        let cap = seen.settings.max_bytes.unwrap_or(u64::MAX);
        if soft < seen.oldest && seen.bytes <= cap {
            return Ok(Trimmed::default());
        }
        drop(conn);
        let mut registry = self.registry().await?;
        let state = &locked(&mut registry.conn, &seen.topic).await?;
        let soft = soft_cut(&mut registry.conn, state, now).await?;
        let sizes = oldest_sizes(&mut registry.conn, state).await?;
        let Some((cut, bytes)) = rules::piece(state, &sizes, soft, cap) else {
            return Ok(Trimmed::default());
        };
        keep_dead(&mut registry.conn, state, cut).await?;
        let expired = expire_owed(&mut registry, state, cut, now).await?;
        sqlx::query("-- trim released\nDELETE FROM released WHERE topic = $1 AND version <= $2")
            .bind(state.id)
            .bind(signed(cut.0))
            .execute(&mut *registry.conn)
            .await?;
        sqlx::query("-- trim holes\nDELETE FROM holes WHERE topic = $1 AND last <= $2")
            .bind(state.id)
            .bind(signed(cut.0))
            .execute(&mut *registry.conn)
            .await?;
        sqlx::query("-- oldest\nUPDATE topics SET oldest = $2, bytes = $3 WHERE id = $1")
            .bind(state.id)
            .bind(signed(cut.next().0))
            .bind(signed(bytes))
            .execute(&mut *registry.conn)
            .await?;
        if expired.is_empty() {
            // Nobody holds anything that changed.
            registry.commit_quietly().await?;
        } else {
            registry.commit().await?;
        }
        self.shared.tail.forget(state.id, cut);
        self.shared.fresh(&state.topic).await?;
        let more = i64::try_from(sizes.len()).is_ok_and(|count| count >= CHUNK);
        Ok(Trimmed { more, expired, ..Trimmed::default() })
    }
}

/// The oldest events and what they count for.
async fn oldest_sizes(
    conn: &mut PgConnection,
    state: &TopicState,
) -> Result<Vec<(Version, u64)>, StoreError> {
    let sql = "-- sizes\nSELECT version, octet_length(attributes)::bigint \
        + coalesce(octet_length(data), 0) AS bytes FROM events \
        WHERE topic = $1 AND version >= $2 ORDER BY version LIMIT $3";
    let rows = sqlx::query(sql)
        .bind(state.id)
        .bind(signed(state.oldest.0))
        .bind(CHUNK)
        .fetch_all(conn)
        .await?;
    let size = |row| {
        let row = Cells::of(row, "events");
        Ok((row.get("version")?, row.count("bytes")?))
    };
    rows.iter().map(size).collect()
}

/// Up to where age and count let go, unless it is owed.
async fn soft_cut(
    conn: &mut PgConnection,
    state: &TopicState,
    now: Micros,
) -> Result<Version, StoreError> {
    let by_age = match state.settings.max_age {
        Some(age) => log::search(conn, state, now.minus(age)).await?,
        None => Version::ZERO,
    };
    let limits = Limits::of(state, by_age);
    if limits.cut() < state.oldest {
        return Ok(Version::ZERO);
    }
    let Some(floor) = lowest_floor(conn, state.id).await? else { return Ok(limits.cut()) };
    let (late_by_age, late_by_count) = rules::owed_moments(&state.settings, now);
    let by_age = log::search(conn, state, late_by_age).await?;
    let by_count = match late_by_count {
        Some(late) => log::search(conn, state, late).await?,
        None => state.head,
    };
    Ok(limits.cut_above(floor, OwedUntil { by_age, by_count }))
}

/// The lowest floor of the subscriptions that exist.
async fn lowest_floor(conn: &mut PgConnection, topic: i64) -> Result<Option<Version>, StoreError> {
    let floors = floors(conn, topic).await?;
    Ok(floors.into_iter().filter(|floor| floor.owed).map(|floor| floor.version).min())
}

struct Floor {
    position: i64,
    subscription: i64,
    name: String,
    version: Version,
    reach: Version,
    open: Vec<Version>,
    /// Whether the subscription keeps events from going; one that left the file does not.
    owed: bool,
    /// The live position, which keeps the letters of replay jobs too.
    live: i64,
    /// The last version of a replay job.
    end: Version,
}

async fn floors(conn: &mut PgConnection, topic: i64) -> Result<Vec<Floor>, StoreError> {
    let sql = "-- floors\nSELECT p.id, p.subscription, p.reach, p.open, \
        (SELECT min(version) FROM exceptions x WHERE x.topic = p.topic AND x.position = p.id \
         AND x.attributes IS NULL AND x.kind <> 'stopped') \
        AS lowest, s.removed_at IS NULL AS owed, s.name, live.id AS live, j.last \
        FROM positions p JOIN subscriptions s ON s.id = p.subscription \
        JOIN positions live ON live.subscription = p.subscription AND live.topic = p.topic \
        AND live.job IS NULL LEFT JOIN jobs j ON j.id = p.job WHERE p.topic = $1";
    let rows = sqlx::query(sql).bind(topic).fetch_all(conn).await?;
    let floor = |row: &PgRow| {
        let of = |table| Cells::of(row, table);
        let position = of("positions");
        let (reach, open) = (position.get("reach")?, position.versions("open")?);
        Ok(Floor {
            position: position.get("id")?,
            subscription: position.get("subscription")?,
            version: registry::floor(reach, &open, of("exceptions").get("lowest")?),
            reach,
            open,
            owed: of("subscriptions").get("owed")?,
            name: of("subscriptions").get("name")?,
            live: position.get("live")?,
            end: of("jobs").get::<Option<_>>("last")?.unwrap_or(Version::MAX),
        })
    };
    rows.iter().map(floor).collect()
}

/// An event with a dead letter leaves its bytes there.
async fn keep_dead(
    conn: &mut PgConnection,
    state: &TopicState,
    cut: Version,
) -> Result<(), StoreError> {
    let sql = "-- keep dead\nUPDATE dead_letters d SET recorded = e.recorded, \
        attributes = e.attributes, form = e.form, data = e.data, checksum = e.checksum \
        FROM events e WHERE d.topic = $1 AND d.version BETWEEN $2 AND $3 \
        AND d.reason <> 'expired' AND d.attributes IS NULL \
        AND e.topic = $1 AND e.version = d.version";
    sqlx::query(sql)
        .bind(state.id)
        .bind(signed(state.oldest.0))
        .bind(signed(cut.0))
        .execute(conn)
        .await?;
    Ok(())
}

/// Announces what goes while it is owed: one range per subscription and removal.
async fn expire_owed(
    registry: &mut Registry,
    state: &TopicState,
    cut: Version,
    now: Micros,
) -> Result<Vec<Expired>, StoreError> {
    // Locked before what is excepted from them, as whoever settles does.
    let sql = "-- positions of a topic\nSELECT 1 FROM positions WHERE topic = $1 ORDER BY id \
        FOR NO KEY UPDATE";
    sqlx::query(sql).bind(state.id).execute(&mut *registry.conn).await?;
    let mut all = Vec::new();
    for floor in floors(&mut registry.conn, state.id).await? {
        let cut = cut.min(floor.end);
        if floor.version >= cut {
            continue;
        }
        let sql = "-- excepted\nSELECT count(*) FROM exceptions WHERE topic = $1 AND position = $2 \
            AND version <= $3 AND attributes IS NULL AND kind <> 'stopped'";
        let excepted: i64 = sqlx::query_scalar(sql)
            .bind(state.id)
            .bind(floor.position)
            .bind(signed(cut.0))
            .fetch_one(&mut *registry.conn)
            .await?;
        let place = (floor.version, floor.reach, &floor.open[..]);
        let Some(owed) = rules::owed(state, cut, place, excepted.cast_unsigned()) else { continue };
        announce_expired(registry, state, &floor, &owed, now).await?;
        if let Ok(subscription) = floor.name.parse() {
            all.push(Expired {
                subscription,
                topic: state.topic.clone(),
                to: cut,
                count: owed.count,
            });
        }
        // A redriven event that travels with its bytes needs the log no more, nor does one that
        // is dead and holds its key back.
        let sql = "-- expired\nDELETE FROM exceptions WHERE topic = $1 AND position = $2 \
            AND version <= $3 AND attributes IS NULL AND kind <> 'stopped'";
        sqlx::query(sql)
            .bind(state.id)
            .bind(floor.position)
            .bind(signed(cut.0))
            .execute(&mut *registry.conn)
            .await?;
        // The holder loads the position anew: its window knows versions that are gone. What was
        // in flight above the cut is given back by lowering nothing: it is kept as due again.
        let kept = floor.open.iter().filter(|open| **open > cut);
        for open in kept {
            let sql = "-- kept open\nINSERT INTO exceptions (topic, position, version, kind, attempts, tries, \
                due, first, successes) VALUES ($1, $2, $3, 'retry', 0, 0, $4, $4, 0) ON CONFLICT DO NOTHING";
            sqlx::query(sql)
                .bind(state.id)
                .bind(floor.position)
                .bind(signed(open.0))
                .bind(now.0)
                .execute(&mut *registry.conn)
                .await?;
        }
        positions::release(registry, floor.position, floor.reach.max(cut), now).await?;
        touch(registry, floor.subscription).await?;
    }
    Ok(all)
}

async fn announce_expired(
    registry: &mut Registry,
    state: &TopicState,
    floor: &Floor,
    &Owed { first, last, count }: &Owed,
    now: Micros,
) -> Result<(), StoreError> {
    registry.shared.expired.fetch_add(count, Ordering::Relaxed);
    // A removal of many pieces is one range.
    let sql = "-- longer range\nUPDATE dead_letters SET up_to = $3, count = dead_letters.count + $4, at = $5 \
        WHERE topic = $6 AND position = $1 AND reason = 'expired' AND up_to + 1 = $2";
    let longer = sqlx::query(sql)
        .bind(floor.live)
        .bind(signed(first.0))
        .bind(signed(last.0))
        .bind(signed(count))
        .bind(now.0)
        .bind(state.id)
        .execute(&mut *registry.conn)
        .await?;
    if longer.rows_affected() > 0 {
        return Ok(());
    }
    let sql = "-- range\nINSERT INTO dead_letters (subscription, position, topic, version, up_to, count, \
        reason, attempts, first, at) VALUES ($1, $2, $3, $4, $5, $6, 'expired', 0, $7, $7)";
    sqlx::query(sql)
        .bind(floor.subscription)
        .bind(floor.live)
        .bind(state.id)
        .bind(signed(first.0))
        .bind(signed(last.0))
        .bind(signed(count))
        .bind(now.0)
        .execute(&mut *registry.conn)
        .await?;
    Ok(())
}
