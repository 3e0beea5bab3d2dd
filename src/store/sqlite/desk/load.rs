//! What is known, read from the file.

use std::collections::HashMap;

use futures_util::TryStreamExt as _;
use sqlx::SqliteConnection;

use crate::store::sqlite::file::{
    row::{Cells, hash_list},
    slot,
};
use crate::{
    event::Version,
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
        let row = Cells::of(&row, "epochs");
        epochs.entry(row.get("topic")?).or_default().push(EpochStart {
            first: row.get("first")?,
            epoch: row.get("epoch")?,
            started: row.get("started")?,
            reason: row.get("reason")?,
        });
    }
    let sql = "-- topics\nSELECT id, uid, name, head, oldest, recorded, bytes, edit, settings FROM topics";
    for row in sqlx::query(sql).fetch_all(&mut *conn).await? {
        let row = Cells::of(&row, "topics");
        let epochs = epochs.remove(&row.get::<i64>("id")?).unwrap_or_default();
        let state = topic_state(row, epochs)?;
        known.apply(Change::Topic(state));
    }
    Ok(())
}

async fn keys(known: &mut Known, conn: &mut SqliteConnection) -> Result<(), StoreError> {
    let mut rows =
        sqlx::query("-- keys\nSELECT slot, hashes FROM dedupe ORDER BY slot").fetch(conn);
    while let Some(row) = rows.try_next().await? {
        let row = Cells::of(&row, "dedupe");
        let (topic, first) = slot::split(row.get("slot")?);
        let hashes = row.get("hashes")?;
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
        let row = Cells::of(&row, "sources");
        let id = row.get("id")?;
        let (low, high) = slot::range(id);
        let next = async |conn: &mut SqliteConnection, sql: &'static str| {
            let last: Option<i64> =
                sqlx::query_scalar(sql).bind(low).bind(high).fetch_one(conn).await?;
            Ok::<_, StoreError>(last.map_or(1, |last| slot::split(last).1 + 1))
        };
        let one = KnownSource {
            fence: row.get("fence")?,
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
        let row = Cells::of(&row, "positions");
        let one = KnownPosition {
            subscription: row.get("subscription")?,
            topic: row.get("topic")?,
            fence: row.get("fence")?,
            job: row.get("job")?,
        };
        known.positions.insert(row.get("id")?, one);
    }
    let sql = "-- last edit\nSELECT coalesce(max(edit), 0) AS edit FROM subscriptions";
    known.edit =
        Cells::of(&sqlx::query(sql).fetch_one(conn).await?, "subscriptions").get("edit")?;
    Ok(())
}

async fn pending(known: &mut Known, conn: &mut SqliteConnection) -> Result<i64, StoreError> {
    let sql = "-- pending\nSELECT id, topic, due, hash, committed FROM pending";
    let mut rows = sqlx::query(sql).fetch(&mut *conn);
    while let Some(row) = rows.try_next().await? {
        let row = Cells::of(&row, "pending");
        let one = KnownPending {
            topic: row.get("topic")?,
            // One that is too short is found damaged when it is due.
            key: hash_list(row.get("hash")?).next().unwrap_or_default(),
            due: row.get("due")?,
            committed: row.get("committed")?,
        };
        known.wait(row.get("id")?, one);
    }
    drop(rows);
    // Numbers of events that are gone are not given out again.
    let sql =
        "-- last pending\nSELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'pending'";
    let last: i64 = sqlx::query_scalar(sql).fetch_one(conn).await?;
    Ok(last.saturating_add(1))
}

fn topic_state(row: Cells<'_>, epochs: Vec<EpochStart>) -> Result<TopicState, StoreError> {
    if epochs.is_empty() {
        return Err(row.unreadable("a topic without an epoch"));
    }
    Ok(TopicState {
        id: row.get("id")?,
        uid: row.get("uid")?,
        topic: row.get("name")?,
        head: row.get("head")?,
        oldest: row.get("oldest")?,
        recorded: row.get("recorded")?,
        bytes: row.get("bytes")?,
        epochs: epochs.into(),
        edit: row.get("edit")?,
        settings: row.json("settings")?,
    })
}
