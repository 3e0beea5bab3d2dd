//! What is known, read from the file.

use std::collections::HashMap;

use futures_util::TryStreamExt as _;
use sqlx::{Row as _, SqliteConnection, sqlite::SqliteRow};

use crate::store::sqlite::file::{
    row::{hash_list, name, unsigned, version},
    slot,
};
use crate::{
    event::{Epoch, Micros, Version},
    store::{
        EpochStart, StoreError, TopicState,
        rules::known::{Change, Known, KnownPending, KnownPosition, KnownSource},
    },
};

/// Reads all of it from the file; and the number that the next pending event gets.
pub(crate) async fn all(
    conn: &mut SqliteConnection,
    pending_max: usize,
) -> Result<(Known, i64), StoreError> {
    let mut known = Known { pending_max, ..Known::default() };
    topics(&mut known, conn).await?;
    keys(&mut known, conn).await?;
    sources(&mut known, conn).await?;
    positions(&mut known, conn).await?;
    let pending_next = pending(&mut known, conn).await?;
    Ok((known, pending_next))
}

/// Reads the topics alone.
pub(crate) async fn topics(
    known: &mut Known,
    conn: &mut SqliteConnection,
) -> Result<(), StoreError> {
    let mut epochs: HashMap<i64, Vec<EpochStart>> = HashMap::new();
    let sql =
        "-- epochs\nSELECT topic, first, epoch, started, reason FROM epochs ORDER BY topic, first";
    for row in sqlx::query(sql).fetch_all(&mut *conn).await? {
        epochs.entry(row.get(0)).or_default().push(EpochStart {
            first: version(&row, 1),
            epoch: Epoch(row.get(2)),
            started: Micros(row.get(3)),
            reason: row.get(4),
        });
    }
    let sql = "-- topics\nSELECT id, uid, name, head, oldest, recorded, bytes, edit, settings FROM topics";
    for row in sqlx::query(sql).fetch_all(&mut *conn).await? {
        let id = row.get(0);
        let epochs = epochs.remove(&id).unwrap_or_default();
        let state = topic_state(&row, epochs)?;
        known.apply(Change::Topic(state));
    }
    Ok(())
}

async fn keys(known: &mut Known, conn: &mut SqliteConnection) -> Result<(), StoreError> {
    let mut rows =
        sqlx::query("-- keys\nSELECT slot, hashes FROM dedupe ORDER BY slot").fetch(conn);
    while let Some(row) = rows.try_next().await? {
        let (topic, first) = slot::split(row.get(0));
        let hashes: &[u8] = row.get(1);
        let Some(topic) = known.topics.get_mut(&topic) else { continue };
        for (key, number) in hash_list(hashes).zip(first..) {
            topic.keys.insert(key, Version(number));
            known.key_count += 1;
        }
    }
    Ok(())
}

async fn sources(known: &mut Known, conn: &mut SqliteConnection) -> Result<(), StoreError> {
    let sql = "-- source fences\nSELECT id, fence FROM sources";
    for row in sqlx::query(sql).fetch_all(&mut *conn).await? {
        let id: i64 = row.get(0);
        let (low, high) = slot::range(id);
        let next = async |conn: &mut SqliteConnection, sql: &'static str| {
            let row = sqlx::query(sql).bind(low).bind(high).fetch_one(conn).await?;
            let last: Option<i64> = row.get(0);
            Ok::<_, StoreError>(last.map_or(1, |last| slot::split(last).1 + 1))
        };
        let one = KnownSource {
            fence: unsigned(&row, 1),
            journal_next: next(
                conn,
                "-- journal end\nSELECT max(slot) FROM journal WHERE slot BETWEEN $1 AND $2",
            )
            .await?,
            rejected_next: next(
                conn,
                "-- rejected end\nSELECT max(slot) FROM rejected WHERE slot BETWEEN $1 AND $2",
            )
            .await?,
        };
        known.sources.insert(id, one);
    }
    Ok(())
}

async fn positions(known: &mut Known, conn: &mut SqliteConnection) -> Result<(), StoreError> {
    let sql = "-- position fences\nSELECT id, subscription, topic, fence, job FROM positions";
    for row in sqlx::query(sql).fetch_all(&mut *conn).await? {
        let one = KnownPosition {
            subscription: row.get(1),
            topic: row.get(2),
            fence: unsigned(&row, 3),
            job: row.get(4),
        };
        known.positions.insert(row.get(0), one);
    }
    let sql = "-- last edit\nSELECT coalesce(max(edit), 0) FROM subscriptions";
    known.edit = unsigned(&sqlx::query(sql).fetch_one(conn).await?, 0);
    Ok(())
}

async fn pending(known: &mut Known, conn: &mut SqliteConnection) -> Result<i64, StoreError> {
    let sql = "-- pending\nSELECT id, topic, due, hash, committed FROM pending";
    let mut rows = sqlx::query(sql).fetch(&mut *conn);
    while let Some(row) = rows.try_next().await? {
        // One that is too short is found damaged when it is due.
        let key = hash_list(row.get(3)).next().unwrap_or_default();
        let (topic, due, committed) = (row.get(1), Micros(row.get(2)), row.get(4));
        let one = KnownPending { topic, key, due, committed };
        known.wait(row.get(0), one);
    }
    drop(rows);
    // Numbers of events that are gone are not given out again.
    let sql =
        "-- last pending\nSELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'pending'";
    Ok(sqlx::query(sql).fetch_one(conn).await?.get::<i64, _>(0) + 1)
}

fn topic_state(row: &SqliteRow, epochs: Vec<EpochStart>) -> Result<TopicState, StoreError> {
    let unreadable = |problem: String| StoreError::Unreadable { table: "topics", problem };
    if epochs.is_empty() {
        return Err(unreadable("a topic without an epoch".into()));
    }
    Ok(TopicState {
        id: row.get(0),
        uid: row.get(1),
        topic: name(row, 2, "topics")?,
        head: version(row, 3),
        oldest: version(row, 4),
        recorded: Micros(row.get(5)),
        bytes: unsigned(row, 6),
        epochs: epochs.into(),
        edit: unsigned(row, 7),
        settings: serde_json::from_str(row.get(8))
            .map_err(|error| unreadable(error.to_string()))?,
    })
}
