//! What is removed beside events: keys, dead letters, gaps, and what left the configuration.
//!
//! Every step is a transaction of its own and bounded: an append waits for one step at most.

use std::{collections::BTreeSet, sync::atomic::Ordering, time::Duration};

use async_trait::async_trait;
use tokio::sync::oneshot;

use super::{
    QUEUE, QUEUE_BYTES, Shared, SqliteStore, believed,
    desk::{Desk, writer::Op},
    file::{beside::sibling, mend, row::Cells, slot},
    pending, redrive, retention, sources,
    subscriptions::{self, touch},
};
use crate::{
    event::{Micros, Version},
    settings::days,
    store::{
        Keeping, News, StoreError, SubscriptionSteer, Topics, Trimmed, Trouble,
        rules::{
            bounds,
            known::Change,
            retention::{self as rules, KeyRow},
        },
    },
};

/// Rows removed in one step.
const CHUNK: i64 = 1_000;

#[async_trait]
impl Keeping for SqliteStore {
    async fn trim(&self, now: Micros) -> Result<Trimmed, StoreError> {
        let mut more = self.trace.trim(now).await;
        let mut expired = Vec::new();
        let trimmed = || self.shared.dead_trimmed.load(std::sync::atomic::Ordering::Relaxed);
        let before = trimmed();
        // Each topic is a step of its own, so that an append waits for one at most.
        for topic in self.topics().await?.iter().map(|topic| topic.id) {
            let step = self.cold(move |desk| Box::pin(retention::step(desk, topic, now))).await?;
            more |= step.more;
            expired.extend(step.expired);
            more |= self.cold(move |desk| Box::pin(keys(desk, topic, now))).await?;
        }
        more |= self.cold(move |desk| Box::pin(step(desk, now))).await?;
        self.at_desk(move |desk| Box::pin(pending::tell(desk, now))).await?;
        let damage = self.at_desk(move |desk| Box::pin(mend::tell(desk, now))).await?;
        more |= self.vacuum().await?;
        let dead_letters = trimmed().saturating_sub(before);
        Ok(Trimmed { more, expired, dead_letters, damage })
    }

    async fn believed(&self) -> Result<Option<Micros>, StoreError> {
        believed::read(&self.shared).await
    }

    async fn keep_believed(&self, moment: Micros) -> Result<(), StoreError> {
        self.cold(move |desk| Box::pin(believed::keep(desk, moment))).await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.shared.check()
    }

    fn troubles(&self) -> Vec<Trouble> {
        self.shared.troubles.present()
    }

    fn news(&self) -> Vec<News> {
        self.shared.troubles.news()
    }

    async fn gauges(&self) -> Vec<(&'static str, f64)> {
        let mut gauges = gauges(&self.shared).await;
        gauges.extend(self.trace.gauges());
        #[expect(clippy::cast_precision_loss, reason = "gauges are doubles")]
        gauges.extend(
            self.shared.room.free_bytes().map(|free| ("store_disk_free_bytes", free as f64)),
        );
        let waiting = QUEUE - self.writer.capacity();
        let waiting_kib = (QUEUE_BYTES >> 10) - self.room.available_permits();
        #[expect(clippy::cast_precision_loss, reason = "gauges are doubles")]
        gauges.extend([
            ("store_queue_operations", waiting as f64),
            ("store_queue_kib", waiting_kib as f64),
            ("store_disk_full", f64::from(u8::from(self.shared.room.is_short()))),
            ("store_troubles", self.shared.troubles.present().len() as f64),
        ]);
        gauges
    }

    async fn close(&self) {
        if let Some(vigil) = self.vigil.lock().await.take() {
            vigil.stop().await;
        }
        let (done, closed) = oneshot::channel();
        if self.writer.send(Op::Close(done)).await.is_ok() {
            let _ = closed.await;
        }
        if let Some(task) = self.task.lock().await.take() {
            let _ = task.await;
        }
        self.trace.close().await;
        self.shared.readers.close().await;
        let shared = self.shared.clone();
        let _ = tokio::task::spawn_blocking(move || shared.let_go()).await;
    }
}

/// One step over what belongs to no topic; answers whether there is more.
pub(super) async fn step(desk: &mut Desk, now: Micros) -> Result<bool, StoreError> {
    let mut more = drop_rows(desk).await?;
    more |= pending::drop_prepared(desk, now.minus(bounds::PREPARED_MAX)).await?;
    more |= trim_dead_letters(desk, now).await?;
    forget_removed(desk, now).await?;
    Ok(more)
}

/// Lets go of the oldest keys of a topic: by age, by count, and while there are too many;
/// answers whether there is more.
pub(super) async fn keys(desk: &mut Desk, topic: i64, now: Micros) -> Result<bool, StoreError> {
    let Some(state) = desk.known.topics.get(&topic).map(|topic| topic.state.clone()) else {
        return Ok(false);
    };
    let too_many = desk.known.key_count.saturating_sub(desk.shared.keys_max);
    let sql = "-- oldest keys\nSELECT slot, recorded, length(hashes) / 16 AS count FROM dedupe \
        WHERE slot BETWEEN $1 AND $2 ORDER BY slot LIMIT $3";
    let (low, high) = slot::range(topic);
    let rows = sqlx::query(sql).bind(low).bind(high).bind(CHUNK).fetch_all(&mut desk.conn).await?;
    let key_row = |row| {
        let row = Cells::of(row, "dedupe");
        let (first, count): (_, u64) = (slot::split(row.get("slot")?).1, row.get("count")?);
        let up_to = Version((first + count).saturating_sub(1));
        Ok(KeyRow { up_to, count, recorded: row.get("recorded")? })
    };
    let keys: Vec<KeyRow> = rows.iter().map(key_row).collect::<Result<_, StoreError>>()?;
    let gone = rules::keys_to_forget(&state, &keys, now, too_many);
    let Some(last) = gone.rows.checked_sub(1) else { return Ok(false) };
    sqlx::query("-- expired keys\nDELETE FROM dedupe WHERE slot BETWEEN $1 AND $2")
        .bind(low)
        .bind(Cells::of(&rows[last], "dedupe").get::<i64>("slot")?)
        .execute(&mut desk.conn)
        .await?;
    desk.change(Change::KeysGone(topic, keys[last].up_to, gone.count));
    let is_whole = i64::try_from(gone.rows).is_ok_and(|count| count >= CHUNK);
    Ok(gone.more || is_whole)
}

/// Removes the rows of deleted topics.
async fn drop_rows(desk: &mut Desk) -> Result<bool, StoreError> {
    let sql = "-- dropped topic\nSELECT id FROM dropped_topics LIMIT 1";
    let Some(id) = sqlx::query_scalar(sql).fetch_optional(&mut desk.conn).await? else {
        return Ok(false);
    };
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
    let long_ago = now.minus(days(30)).0;
    let old: Vec<i64> =
        sqlx::query_scalar(sql).bind(long_ago).bind(CHUNK).fetch_all(&mut desk.conn).await?;
    let sql = "-- too many dead letters\nSELECT id FROM \
        (SELECT id, row_number() OVER (PARTITION BY subscription ORDER BY id DESC) AS place \
         FROM dead_letters WHERE subscription IN \
             (SELECT subscription FROM dead_letters GROUP BY subscription HAVING count(*) > $1)) \
        WHERE place > $1 LIMIT $2";
    let excess: Vec<i64> = sqlx::query_scalar(sql)
        .bind(bounds::DEAD_MAX)
        .bind(CHUNK)
        .fetch_all(&mut desk.conn)
        .await?;
    let ids: BTreeSet<i64> = old.iter().chain(&excess).copied().collect();
    if ids.is_empty() {
        return Ok(false);
    }
    let ids: Vec<i64> = ids.into_iter().collect();
    let moved = redrive::forget(desk, &ids).await?;
    let held = moved.iter().filter_map(|position| desk.known.positions.get(position));
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
    for source in sqlx::query_scalar(sql).bind(long_ago).fetch_all(&mut desk.conn).await? {
        sources::forget(desk, source).await?;
    }
    let sql = "-- forgotten subscriptions\nDELETE FROM subscriptions WHERE status = 'deleted' AND removed_at < $1";
    sqlx::query(sql).bind(now.minus(Duration::from_hours(1)).0).execute(&mut desk.conn).await?;
    sqlx::query("-- old jobs\nDELETE FROM jobs WHERE ended < $1")
        .bind(long_ago)
        .execute(&mut desk.conn)
        .await?;
    let sql = "-- removed for long\nSELECT name FROM subscriptions WHERE status <> 'deleted' AND removed_at < $1 LIMIT 10";
    for row in sqlx::query(sql).bind(long_ago).fetch_all(&mut desk.conn).await? {
        let name = Cells::of(&row, "subscriptions").get("name")?;
        subscriptions::steer(desk, name, SubscriptionSteer::Delete, now).await?;
    }
    let sql = "-- gaps bound\nDELETE FROM gaps WHERE id IN (SELECT id FROM (SELECT id, \
        row_number() OVER (PARTITION BY topic ORDER BY id DESC) AS place FROM gaps) WHERE place > $1)";
    sqlx::query(sql).bind(bounds::GAPS_MAX).execute(&mut desk.conn).await?;
    Ok(())
}

/// How full everything is.
async fn gauges(shared: &Shared) -> Vec<(&'static str, f64)> {
    #[expect(clippy::cast_precision_loss, reason = "gauges are doubles")]
    let number = |count: u64| count as f64;
    let file = |suffix| {
        let file = std::fs::metadata(sibling(&shared.path, suffix));
        number(file.map_or(0, |file| file.len()))
    };
    let mut gauges = vec![
        ("store_bytes", file("")),
        ("store_wal_bytes", file("-wal")),
        ("store_tail_bytes", number(shared.tail.bytes() as u64)),
        ("store_expired_events", number(shared.expired.load(Ordering::Relaxed))),
        ("store_trimmed_dead_letters", number(shared.dead_trimmed.load(Ordering::Relaxed))),
        ("store_damaged_events", number(shared.holes.found())),
        ("store_pending_events", number(shared.pending.load(Ordering::Relaxed) as u64)),
        ("store_dedupe_keys", number(shared.keys.load(Ordering::Relaxed) as u64)),
    ];
    let sql = "-- counts\nSELECT (SELECT count(*) FROM exceptions), \
        (SELECT count(*) FROM dead_letters), (SELECT count(*) FROM journal)";
    match sqlx::query_as(sql).fetch_one(&shared.readers).await {
        Ok((exceptions, dead_letters, journaled)) => gauges.extend([
            ("store_exceptions", number(exceptions)),
            ("store_dead_letters", number(dead_letters)),
            ("store_journal_events", number(journaled)),
        ]),
        Err(error) => tracing::warn!(
            event = "store.count_failed", %error,
            "rows were not counted for the gauges"
        ),
    }
    gauges
}
