//! The partitions of events and attempts: a new one each day, an old one dropped as a whole once
//! nothing in it is kept.

use std::time::Duration;

use sqlx::PgConnection;

use super::{row::signed, shared::Shared};
use crate::{
    event::Micros,
    store::{ATTEMPTS_KEPT, StoreError},
};

/// A slot takes events for so long,
const SLOT_AGE: Duration = Duration::from_hours(24);
/// or until it has so many bytes.
const SLOT_BYTES: i64 = 64 << 30;
/// Attempts of how many days ahead have a place.
const DAYS_AHEAD: i64 = 2;

/// Makes what is needed and drops what is past; answers whether something was dropped.
pub(super) async fn step(shared: &Shared, now: Micros) -> Result<bool, StoreError> {
    let mut conn = shared.pool.acquire().await?;
    // A dump holds every table: it is waited for at the next step, and holds up nobody meanwhile.
    sqlx::query("SET lock_timeout = '200ms'").execute(&mut *conn).await?;
    let stepped = slots(&mut conn, now).await;
    let stepped = match stepped {
        Ok(dropped) => days(&mut conn, now).await.map(|()| dropped),
        Err(error) => Err(error),
    };
    sqlx::query("RESET lock_timeout").execute(&mut *conn).await?;
    match stepped {
        // 55P03: lock_not_available; 42P07: another node has made it.
        Err(StoreError::Database(sqlx::Error::Database(error)))
            if matches!(error.code().as_deref(), Some("55P03" | "42P07")) =>
        {
            tracing::debug!(%error, "partitions are left for the next step");
            Ok(false)
        }
        stepped => stepped,
    }
}

async fn slots(conn: &mut PgConnection, now: Micros) -> Result<bool, StoreError> {
    let sql = "-- slot\nSELECT slot, began FROM slots ORDER BY slot DESC LIMIT 1";
    let (slot, began): (i32, i64) = sqlx::query_as(sql).fetch_one(&mut *conn).await?;
    if began == 0 {
        let sql = "-- slot begins\nUPDATE slots SET began = $2 WHERE slot = $1 AND began = 0";
        sqlx::query(sql).bind(slot).bind(now.0).execute(&mut *conn).await?;
        return Ok(false);
    }
    let sql = sqlx::AssertSqlSafe(format!("SELECT pg_total_relation_size('events_{slot}')"));
    let bytes: i64 = sqlx::query_scalar(sql).fetch_one(&mut *conn).await?;
    if now.since(Micros(began)) >= SLOT_AGE || bytes >= SLOT_BYTES {
        let next = slot + 1;
        let sql = format!(
            "BEGIN; CREATE TABLE events_{next} PARTITION OF events FOR VALUES FROM ({next}) TO ({}); \
             INSERT INTO slots (slot, began) VALUES ({next}, {}); COMMIT",
            next + 1,
            now.0
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut *conn).await?;
    }
    drop_past(conn).await
}

/// Drops the slots of which no topic keeps an event.
async fn drop_past(conn: &mut PgConnection) -> Result<bool, StoreError> {
    let sql = "-- past slots\nSELECT s.slot FROM slots s WHERE s.slot < (SELECT max(slot) FROM slots) \
        AND NOT EXISTS (SELECT 1 FROM spans p JOIN topics t ON t.id = p.topic WHERE p.slot = s.slot \
        AND t.oldest <= coalesce((SELECT min(n.first) - 1 FROM spans n \
        WHERE n.topic = p.topic AND n.first > p.first), t.head)) \
        AND NOT EXISTS (SELECT 1 FROM topics t WHERE t.slot = s.slot AND t.oldest <= t.head)";
    let past: Vec<i32> = sqlx::query_scalar(sql).fetch_all(&mut *conn).await?;
    for slot in &past {
        let sql = format!(
            "BEGIN; DROP TABLE events_{slot}; DELETE FROM slots WHERE slot = {slot}; COMMIT"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut *conn).await?;
        tracing::info!(
            event = "store.partition_dropped",
            slot,
            "a partition of events is past and was dropped"
        );
    }
    Ok(!past.is_empty())
}

/// The day of a moment, counted from 1970.
pub(super) fn day(moment: Micros) -> i64 {
    moment.0.div_euclid(86_400_000_000)
}

/// Makes the partitions of attempts that are needed next, and drops those that are past.
pub(super) async fn days(conn: &mut PgConnection, now: Micros) -> Result<(), StoreError> {
    let today = day(now);
    for day in today..=today + DAYS_AHEAD {
        let sql = format!(
            "CREATE TABLE IF NOT EXISTS attempts_{day} PARTITION OF attempts \
             FOR VALUES FROM ({day}) TO ({})",
            day + 1
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut *conn).await?;
    }
    let sql = "-- days\nSELECT substr(c.relname, 10)::bigint FROM pg_inherits i \
        JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'attempts'::regclass \
        AND substr(c.relname, 10)::bigint < $1";
    let kept = signed(ATTEMPTS_KEPT.as_secs() / 86_400);
    let past: Vec<i64> = sqlx::query_scalar(sql).bind(today - kept).fetch_all(&mut *conn).await?;
    for day in past {
        let sql = sqlx::AssertSqlSafe(format!("DROP TABLE attempts_{day}"));
        sqlx::query(sql).execute(&mut *conn).await?;
    }
    Ok(())
}
