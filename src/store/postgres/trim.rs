//! What goes with time beside events: keys, partitions, dead letters, gaps, and what left the
//! configuration.

use std::{collections::BTreeSet, sync::atomic::Ordering, time::Duration};

use async_trait::async_trait;

use super::{
    PostgresStore, commit, holding, partitions, redrive,
    registry::{Registry, locked},
    row::{Cells, signed},
    shared::Shared,
    snapshot, sources,
    steering::{self, touch},
};
use crate::{
    event::{Micros, Version},
    settings::days,
    store::{
        Keeping, News, Pending, Share, StoreError, SubscriptionSteer, TopicState, Topics as _,
        Trimmed, Trouble, Work,
        rules::{
            bounds,
            retention::{self as rules, KeyRow},
        },
    },
};

/// How long the database is waited for when it is asked whether it is there.
const READY: Duration = Duration::from_secs(1);
/// Rows removed in one step.
const CHUNK: i64 = 1_000;

#[async_trait]
impl Keeping for PostgresStore {
    async fn trim(&self, now: Micros) -> Result<Trimmed, StoreError> {
        let mut more = partitions::step(&self.shared, now).await?;
        let mut expired = Vec::new();
        let trimmed = || self.shared.dead_trimmed.load(Ordering::Relaxed);
        let before = trimmed();
        let mut keys = self.key_count().await?;
        // Each topic is a step of its own, so that an append waits for one at most.
        for topic in self.topics().await? {
            let step = self.trim_topic(&topic, now).await?;
            more |= step.more;
            expired.extend(step.expired);
            more |= self.keys(&topic, &mut keys, now).await?;
        }
        more |= drop_prepared(&self.shared, now.minus(bounds::PREPARED_MAX)).await?;
        let mut registry = self.registry().await?;
        more |= trim_dead_letters(&mut registry, now).await?;
        forget_removed(&mut registry, now).await?;
        registry.commit_quietly().await?;
        let dead_letters = trimmed().saturating_sub(before);
        Ok(Trimmed { more, expired, dead_letters, ..Trimmed::default() })
    }

    async fn believed(&self) -> Result<Option<Micros>, StoreError> {
        let sql = "-- believed\nSELECT (SELECT value FROM meta WHERE name = 'believed_us') AS kept, \
            (SELECT max(recorded) FROM topics) AS recorded";
        let row = sqlx::query(sql).fetch_one(&self.shared.pool).await?;
        let row = Cells::of(&row, "meta");
        let kept: Option<&[u8]> = row.get("kept")?;
        let kept = kept.and_then(|kept| kept.try_into().ok()).map(i64::from_be_bytes).map(Micros);
        let recorded: Option<Micros> = row.get("recorded")?;
        Ok(kept.or(recorded.filter(|recorded| *recorded > Micros(0))))
    }

    async fn keep_believed(&self, moment: Micros) -> Result<(), StoreError> {
        let sql = "-- keep believed\nINSERT INTO meta (name, value) VALUES ('believed_us', $1) \
            ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        sqlx::query(sql).bind(&moment.0.to_be_bytes()[..]).execute(&self.shared.pool).await?;
        Ok(())
    }

    async fn ready(&self) -> Result<(), StoreError> {
        // A load balancer does not wait for long either.
        let asked = sqlx::query("SELECT 1").execute(&self.shared.pool);
        match tokio::time::timeout(READY, asked).await {
            Ok(answer) => Ok(answer.map(drop)?),
            Err(_) => Err(StoreError::Busy("the database does not answer; it is safe to repeat")),
        }
    }

    fn troubles(&self) -> Vec<Trouble> {
        self.shared.server.troubles.present()
    }

    fn news(&self) -> Vec<News> {
        self.shared.server.troubles.news()
    }

    async fn gauges(&self) -> Vec<(&'static str, f64)> {
        gauges(&self.shared).await
    }

    async fn close(&self) {
        self.lanes.close().await;
        self.trace.close().await;
        self.stop.cancel();
        self.shared.pool.close().await;
        self.shared.holding.close().await;
    }
}

impl PostgresStore {
    /// Keys over all topics.
    async fn key_count(&self) -> Result<usize, StoreError> {
        let sql = "-- keys\nSELECT coalesce(sum(head - forgotten), 0)::bigint FROM topics";
        let all: i64 = sqlx::query_scalar(sql).fetch_one(&self.shared.pool).await?;
        let all = usize::try_from(all).unwrap_or_default();
        self.shared.keys.store(all, Ordering::Relaxed);
        Ok(all)
    }

    /// Lets go of the oldest keys of a topic: by age, by count, and while there are too many;
    /// answers whether there is more.
    /// Of `all` keys over all topics, which become fewer.
    async fn keys(
        &self,
        topic: &TopicState,
        all: &mut usize,
        now: Micros,
    ) -> Result<bool, StoreError> {
        let too_many = all.saturating_sub(self.shared.keys_max);
        let sql = "-- oldest keys\nSELECT first, recorded, length(hashes)::bigint / 16 AS count \
            FROM seen WHERE topic = $1 ORDER BY first LIMIT $2";
        let rows = sqlx::query(sql).bind(topic.id).bind(CHUNK).fetch_all(&self.shared.pool).await?;
        let key_row = |row| {
            let row = Cells::of(row, "seen");
            let (first, count) = (row.count("first")?, row.count("count")?);
            let up_to = Version((first + count).saturating_sub(1));
            Ok(KeyRow { up_to, count, recorded: row.get("recorded")? })
        };
        let keys: Vec<KeyRow> = rows.iter().map(key_row).collect::<Result<_, StoreError>>()?;
        let gone = rules::keys_to_forget(topic, &keys, now, too_many);
        let Some(last) = gone.rows.checked_sub(1) else { return Ok(false) };
        let mut transaction = self.shared.pool.begin().await?;
        let state = locked(&mut transaction, &topic.topic).await?;
        for sql in [
            "-- expired keys\nDELETE FROM seen WHERE topic = $1 AND first <= $2",
            "-- forgotten\nUPDATE topics SET forgotten = $2 WHERE id = $1 AND forgotten < $2",
        ] {
            sqlx::query(sql)
                .bind(state.id)
                .bind(signed(keys[last].up_to.0))
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        *all = all.saturating_sub(gone.count);
        let is_whole = i64::try_from(gone.rows).is_ok_and(|count| count >= CHUNK);
        Ok(gone.more || is_whole)
    }
}

/// Drops what was prepared before `before` and never committed; answers whether there is more.
async fn drop_prepared(shared: &Shared, before: Micros) -> Result<bool, StoreError> {
    let sql = "-- prepared for long\nWITH gone AS (DELETE FROM pending WHERE (topic, id) IN (SELECT topic, id \
        FROM pending WHERE due = $1 AND since < $2 LIMIT $3) RETURNING topic), \
        told AS (UPDATE topics SET waiting = waiting + 1 WHERE id IN (SELECT topic FROM gone)) \
        SELECT count(*) FROM gone";
    let count: i64 = sqlx::query_scalar(sql)
        .bind(Pending::PREPARED.0)
        .bind(before.0)
        .bind(CHUNK)
        .fetch_one(&shared.pool)
        .await?;
    if count > 0 {
        tracing::warn!(
            event = "store.prepared_dropped",
            events = count,
            "prepared events were never committed and are dropped"
        );
    }
    Ok(count >= CHUNK)
}

async fn trim_dead_letters(registry: &mut Registry, now: Micros) -> Result<bool, StoreError> {
    let sql = "-- old dead letters\nSELECT id FROM dead_letters WHERE at < $1 LIMIT $2";
    let long_ago = now.minus(days(30)).0;
    let old: Vec<i64> =
        sqlx::query_scalar(sql).bind(long_ago).bind(CHUNK).fetch_all(&mut *registry.conn).await?;
    let sql = "-- too many dead letters\nSELECT id FROM \
        (SELECT id, row_number() OVER (PARTITION BY subscription ORDER BY id DESC) AS place \
         FROM dead_letters WHERE subscription IN \
             (SELECT subscription FROM dead_letters GROUP BY subscription HAVING count(*) > $1)) numbered \
        WHERE place > $1 LIMIT $2";
    let excess: Vec<i64> = sqlx::query_scalar(sql)
        .bind(bounds::DEAD_MAX)
        .bind(CHUNK)
        .fetch_all(&mut *registry.conn)
        .await?;
    let ids: BTreeSet<i64> = old.iter().chain(&excess).copied().collect();
    if ids.is_empty() {
        return Ok(false);
    }
    let ids: Vec<i64> = ids.into_iter().collect();
    let moved: Vec<i64> = redrive::forget(&mut registry.conn, &ids).await?.into_iter().collect();
    let sql = "-- whose\nSELECT DISTINCT subscription FROM positions WHERE id = ANY($1)";
    let subscriptions: Vec<i64> =
        sqlx::query_scalar(sql).bind(moved).fetch_all(&mut *registry.conn).await?;
    for subscription in subscriptions {
        touch(registry, subscription).await?;
    }
    registry.shared.dead_trimmed.fetch_add(ids.len() as u64, Ordering::Relaxed);
    Ok(old.len().max(excess.len()) >= usize::try_from(CHUNK).unwrap_or(usize::MAX))
}

/// What left the configuration or was deleted long enough ago.
async fn forget_removed(registry: &mut Registry, now: Micros) -> Result<(), StoreError> {
    let long_ago = now.minus(days(30)).0;
    let sql = "-- forgotten sources\nSELECT id FROM sources WHERE removed_at < $1";
    for source in sqlx::query_scalar(sql).bind(long_ago).fetch_all(&mut *registry.conn).await? {
        sources::forget(&mut registry.conn, source).await?;
    }
    let sql = "-- forgotten subscriptions\nDELETE FROM subscriptions WHERE status = 'deleted' AND removed_at < $1";
    sqlx::query(sql)
        .bind(now.minus(Duration::from_hours(1)).0)
        .execute(&mut *registry.conn)
        .await?;
    commit::forget(&mut registry.conn).await?;
    holding::forget(&mut registry.conn).await?;
    sqlx::query("-- old jobs\nDELETE FROM jobs WHERE ended < $1")
        .bind(long_ago)
        .execute(&mut *registry.conn)
        .await?;
    let sql = "-- removed for long\nSELECT name FROM subscriptions WHERE status <> 'deleted' AND removed_at < $1 LIMIT 10";
    for row in sqlx::query(sql).bind(long_ago).fetch_all(&mut *registry.conn).await? {
        let name = Cells::of(&row, "subscriptions").get("name")?;
        steering::steer(registry, &name, SubscriptionSteer::Delete, now).await?;
    }
    let sql = "-- gaps bound\nDELETE FROM gaps WHERE (topic, id) IN (SELECT topic, id FROM (SELECT topic, id, \
        row_number() OVER (PARTITION BY topic ORDER BY id DESC) AS place FROM gaps) numbered WHERE place > $1)";
    sqlx::query(sql).bind(bounds::GAPS_MAX).execute(&mut *registry.conn).await?;
    Ok(())
}

/// How full everything is.
async fn gauges(shared: &Shared) -> Vec<(&'static str, f64)> {
    #[expect(clippy::cast_precision_loss, reason = "gauges are doubles")]
    let number = |count: u64| count as f64;
    let mut gauges = vec![
        ("store_tail_bytes", number(shared.tail.bytes() as u64)),
        ("store_troubles", number(shared.server.troubles.present().len() as u64)),
        ("store_expired_events", number(shared.expired.load(Ordering::Relaxed))),
        ("store_trimmed_dead_letters", number(shared.dead_trimmed.load(Ordering::Relaxed))),
        ("store_dedupe_keys", number(shared.keys.load(Ordering::Relaxed) as u64)),
    ];
    let sql = "-- counts\nSELECT (SELECT count(*) FROM exceptions), (SELECT count(*) FROM dead_letters), \
        (SELECT count(*) FROM journal), (SELECT count(*) FROM pending), \
        pg_database_size(current_database())";
    match sqlx::query_as::<_, (i64, i64, i64, i64, i64)>(sql).fetch_one(&shared.pool).await {
        Ok((exceptions, dead_letters, journaled, pending, bytes)) => gauges.extend([
            ("store_exceptions", number(exceptions.cast_unsigned())),
            ("store_dead_letters", number(dead_letters.cast_unsigned())),
            ("store_journal_events", number(journaled.cast_unsigned())),
            ("store_pending_events", number(pending.cast_unsigned())),
            ("store_bytes", number(bytes.cast_unsigned())),
        ]),
        Err(error) => tracing::warn!(
            event = "store.count_failed", %error,
            "rows were not counted for the gauges"
        ),
    }
    if let Ok(age) = snapshot::look(shared).await {
        gauges.push(("store_oldest_xmin_seconds", age.as_secs_f64()));
    }
    gauges.push(("cluster_term_left_seconds", shared.term_left().as_secs_f64()));
    if let Ok(members) = holding::members(shared).await {
        let alive = members.iter().filter(|member| member.lives).count();
        gauges.push(("cluster_nodes", number(alive as u64)));
        let own = members.iter().find(|member| member.is_this);
        for (work, name) in [
            (Work::Source, "cluster_held_sources"),
            (Work::Subscription, "cluster_held_subscriptions"),
            (Work::Retention, "cluster_held_topics"),
        ] {
            let held = own.and_then(|own| own.held.get(&work)).map_or(0, Share::len);
            gauges.push((name, number(held as u64)));
        }
    }
    gauges
}
