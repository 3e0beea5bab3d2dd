//! Topics whose file has not got what it once had: a new epoch, a hole, a gap.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
};

use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteRow};

use super::{
    heads::Tombstone,
    holes::{Found, Holes, LOST, MISSING},
    record::Known,
    row::{Cells, signed},
    slot, untold,
};
use crate::store::sqlite::{desk::Desk, epochs, file};
use crate::{
    event::{Micros, Topic, Version},
    regular,
    store::{Damage, EpochStart, StoreError},
};

/// What is known of the topics besides the file itself.
#[derive(Debug, Default)]
pub(crate) struct Past {
    /// By the topic's `uid`.
    pub(crate) topics: HashMap<String, Known>,
    /// Every topic that ever was in the store is among them; else one that is not begins a new
    /// epoch.
    pub(crate) whole: bool,
    /// Nothing is known although there should be: every topic begins a new epoch.
    pub(crate) unknown: bool,
}

/// A topic as the file has it.
struct Row {
    id: i64,
    uid: String,
    topic: Topic,
    head: Version,
    oldest: Version,
    /// The lowest and the highest event; `None` when there is none.
    events: Option<(Version, Version)>,
    /// How far a position of a subscription has come.
    reach: Version,
    /// What is known besides the file.
    record: Option<Version>,
    begins: bool,
}

/// Brings every topic in order; the caller commits.
pub(crate) async fn topics(
    conn: &mut SqliteConnection,
    past: Past,
    traced: &[(i64, Version)],
    now: Micros,
) -> Result<(Vec<(i64, Damage)>, Vec<Tombstone>), StoreError> {
    let mut rows = rows(conn, &past).await?;
    let holes = Holes::load(conn).await?;
    let here: HashSet<&str> = rows.iter().map(|row| row.uid.as_str()).collect();
    let gone = past.topics.into_iter().filter(|(uid, _)| !here.contains(uid.as_str()));
    let gone: Vec<(String, Known)> = gone.collect();
    let mut damage: Vec<_> = gone.iter().filter_map(|(_, known)| missing(known)).collect();
    for row in &mut rows {
        let lost = traced.iter().filter(|(topic, _)| *topic == row.id).map(|(_, last)| *last);
        row.record = row.record.max(lost.max());
        let found = one(conn, row, &holes, now).await?;
        damage.extend(found.into_iter().map(|found| (row.id, found)));
    }
    Ok((damage, Tombstone::of(gone.into_iter())))
}

/// Damage of a topic that is gone without having been deleted, told when that is seen first. It has
/// no row, and so no gap.
fn missing(known: &Known) -> Option<(i64, Damage)> {
    if known.gone.is_some() {
        return None;
    }
    let detail = format!(
        "the file has no topic `{}` any more, although it was not deleted: the file has gone back; \
         versions up to {} were given",
        known.name, known.head
    );
    let Ok(topic) = known.name.parse() else {
        tracing::error!(event = "store.damaged", "{detail}");
        return None;
    };
    let (from, to) = (Version(1), known.head.max(Version(1)));
    Some((0, Damage { topic, from, to, reason: LOST, detail }))
}

async fn rows(conn: &mut SqliteConnection, past: &Past) -> Result<Vec<Row>, StoreError> {
    let sql = "-- ends\nSELECT id, uid, name, head, oldest, \
        (SELECT min(slot) FROM events WHERE slot BETWEEN t.id << 40 AND (t.id + 1 << 40) - 1) \
        AS first, \
        (SELECT max(slot) FROM events WHERE slot BETWEEN t.id << 40 AND (t.id + 1 << 40) - 1) \
        AS last, \
        (SELECT coalesce(max(reach), 0) FROM positions WHERE topic = t.id) AS reach FROM topics t";
    let read = |row: &SqliteRow| {
        let reach = Cells::of(row, "positions").get("reach")?;
        let row = Cells::of(row, "topics");
        let of = |slot| Version(slot::split(slot).1);
        let (first, last): (Option<i64>, Option<i64>) = (row.get("first")?, row.get("last")?);
        let uid: String = row.get("uid")?;
        let known = past.topics.get(&uid);
        Ok(Row {
            id: row.get("id")?,
            uid,
            topic: row.get("name")?,
            head: row.get("head")?,
            oldest: row.get("oldest")?,
            events: first.map(of).zip(last.map(of)),
            reach,
            record: known.map(|known| known.head),
            begins: past.unknown || (!past.whole && known.is_none()),
        })
    };
    sqlx::query(sql).fetch_all(conn).await?.iter().map(read).collect()
}

async fn one(
    conn: &mut SqliteConnection,
    row: &Row,
    holes: &Holes,
    now: Micros,
) -> Result<Vec<Damage>, StoreError> {
    let mut found = ends(conn, row, holes, now).await?;
    let head = row.events.map_or(row.head, |(_, last)| row.head.max(last));
    let known = row.record.unwrap_or_default().max(row.reach).max(head);
    if known == head && !row.begins {
        return Ok(found);
    }
    let detail = if known > head {
        format!(
            "versions {} to {known} were given before and are lost: the file has gone back",
            head.next()
        )
    } else {
        "whether the file has gone back cannot be told".to_owned()
    };
    let sql = "-- head\nUPDATE topics SET head = $2 WHERE id = $1";
    sqlx::query(sql).bind(row.id).bind(signed(known.0)).execute(&mut *conn).await?;
    epochs::insert(conn, row.id, &EpochStart::fresh(head.next(), now, &detail)).await?;
    if known > head {
        hole(conn, row.id, (head.next(), known)).await?;
    }
    let (from, to) = (head.next(), known.max(head.next()));
    let lost = Damage { topic: row.topic.clone(), from, to, reason: LOST, detail };
    lost_gap(conn, row.id, &lost, now).await?;
    found.push(lost);
    Ok(found)
}

/// Whether the first and the last event are those that the topic says.
async fn ends(
    conn: &mut SqliteConnection,
    row: &Row,
    known: &Holes,
    now: Micros,
) -> Result<Vec<Damage>, StoreError> {
    let mut found = Vec::new();
    let (first, last) = row.events.unwrap_or((row.head.next(), row.oldest.previous()));
    let front = (known.after(row.id, row.oldest), first.previous());
    let behind = (known.after(row.id, last.next().max(row.oldest)), row.head);
    let behind = (row.events.is_some()).then_some(behind);
    for (from, to) in [Some(front), behind].into_iter().flatten().filter(|(from, to)| from <= to) {
        let detail = format!("versions {from} to {to} are missing in the file");
        let damage = Damage { topic: row.topic.clone(), from, to, reason: MISSING, detail };
        hole(conn, row.id, (from, to)).await?;
        lost_gap(conn, row.id, &damage, now).await?;
        // Events that are lost are not known any more: their producer may send them again.
        let sql = "-- lost keys\nDELETE FROM dedupe WHERE slot BETWEEN $1 AND $2";
        sqlx::query(sql)
            .bind(slot::of(row.id, from))
            .bind(slot::of(row.id, to))
            .execute(&mut *conn)
            .await?;
        found.push(damage);
    }
    if row.events.is_some() && (last > row.head || first < row.oldest) {
        tracing::error!(
            event = "store.events_recovered",
            topic = %row.topic, first = first.0, last = last.0, oldest = row.oldest.0,
            head = row.head.0, "the file has more events than the topic says; they are taken in"
        );
        let sql = "-- ends\nUPDATE topics SET head = max(head, $2), oldest = min(oldest, $3) \
            WHERE id = $1";
        sqlx::query(sql)
            .bind(row.id)
            .bind(signed(last.0))
            .bind(signed(first.0))
            .execute(&mut *conn)
            .await?;
    }
    Ok(found)
}

/// Keeps that versions are lost.
pub(crate) async fn hole(
    conn: &mut SqliteConnection,
    topic: i64,
    (first, last): (Version, Version),
) -> Result<(), StoreError> {
    let sql = "-- hole\nINSERT INTO holes (topic, first, last) VALUES ($1, $2, $3) \
        ON CONFLICT DO UPDATE SET last = max(last, excluded.last)";
    sqlx::query(sql).bind(topic).bind(signed(first.0)).bind(signed(last.0)).execute(conn).await?;
    Ok(())
}

/// Keeps a gap behind a version that no source has.
pub(crate) async fn gap(
    conn: &mut SqliteConnection,
    topic: i64,
    after: Version,
    (reason, detail): (&str, &str),
    now: Micros,
) -> Result<(), StoreError> {
    let sql = "-- gap of the store\nINSERT INTO gaps (topic, source, version, recorded, reason, detail) \
        VALUES ($1, 'milkrun', $2, $3, $4, $5)";
    sqlx::query(sql)
        .bind(topic)
        .bind(signed(after.0))
        .bind(now.0)
        .bind(reason)
        .bind(detail)
        .execute(conn)
        .await?;
    Ok(())
}

/// Keeps, of a topic that is created, that an earlier one of its name was lost with its events.
pub(crate) async fn gap_of_lost(
    conn: &mut SqliteConnection,
    topic: i64,
    head: Version,
    now: Micros,
) -> Result<(), StoreError> {
    let detail = format!(
        "an earlier topic of this name was lost when the file went back; its versions up to {head} \
         were given"
    );
    gap(conn, topic, Version::ZERO, (LOST, &detail), now).await
}

/// Keeps a gap of events that were in the log.
async fn lost_gap(
    conn: &mut SqliteConnection,
    topic: i64,
    lost: &Damage,
    now: Micros,
) -> Result<(), StoreError> {
    gap(conn, topic, lost.from.previous(), (lost.reason, &lost.detail), now).await
}

/// Keeps what readers found since the last call, and answers it: it is to be told of.
pub(crate) async fn tell(desk: &mut Desk, now: Micros) -> Result<Vec<Damage>, StoreError> {
    let found = desk.shared.holes.take();
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let fresh: Vec<Found> = found
        .iter()
        .filter(|found| !found.kept && desk.known.topics.contains_key(&found.topic))
        .cloned()
        .collect();
    let kept = fresh.clone();
    let were_kept = found.iter().any(|found| found.kept);
    let done = desk.transact(move |desk| {
        Box::pin(async move {
            if were_kept {
                untold::clear(&mut desk.conn).await?;
            }
            for Found { topic, damage, .. } in &kept {
                lost_gap(&mut desk.conn, *topic, damage, now).await?;
                if damage.reason == MISSING {
                    hole(&mut desk.conn, *topic, (damage.from, damage.to)).await?;
                }
            }
            Ok(())
        })
    });
    if let Err(error) = done.await {
        desk.shared.holes.put_back(found);
        return Err(error);
    }
    for Found { topic, damage, .. } in fresh.iter().filter(|one| one.damage.reason == MISSING) {
        desk.shared.holes.add(*topic, damage.from, damage.to);
    }
    Ok(found.into_iter().map(|found| found.damage).collect())
}

/// The highest version of each topic that the trace tells of; nothing when that cannot be read.
pub(crate) async fn traced(path: &Path) -> Vec<(i64, Version)> {
    if !matches!(regular::look(path), Ok(Some(_))) {
        return Vec::new();
    }
    match last_traced(path).await {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!(
                event = "trace.heads_unread", file = %path.display(), %error,
                "the trace tells nothing of the heads"
            );
            Vec::new()
        }
    }
}

async fn last_traced(path: &Path) -> Result<Vec<(i64, Version)>, StoreError> {
    let mut conn = file::open_beside(path).await?;
    let sql = "-- last traced\nSELECT topic, max(version) AS version FROM (SELECT topic, version FROM attempts \
        UNION ALL SELECT topic, last FROM deliveries) GROUP BY topic";
    let rows = sqlx::query(sql).fetch_all(&mut conn).await;
    conn.close().await?;
    let read = |row| {
        let row = Cells::of(row, "attempts");
        Ok((row.get("topic")?, row.get("version")?))
    };
    rows?.iter().map(read).collect()
}
