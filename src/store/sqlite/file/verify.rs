//! Everything that can be told wrong of a store that nobody uses, changing nothing.

use std::path::Path;

use futures_util::TryStreamExt as _;
use sqlx::{Connection as _, Row as _, SqliteConnection};

use super::{
    beside::sibling,
    held::Held,
    holes::Holes,
    opening,
    record::{self, Found},
    row::Cells,
    sheet, slot, waiting, wal,
};
use crate::store::sqlite::{desk::load, file};
use crate::{
    event::Version,
    store::{StoreError, TopicState, Verified, rules::known::Known},
};

/// Problems that are listed; more are counted.
const PROBLEMS_MAX: usize = 1_000;

impl Verified {
    fn add(&mut self, problem: String) {
        self.problem_count += 1;
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(problem);
        }
    }
}

/// Looks at the file at `path`, its pages, events and heads, and at what lies beside it.
///
/// # Errors
/// `Refused` when it is in use or no store of ours; else as the database has them.
pub async fn verify(path: &Path) -> Result<Verified, StoreError> {
    let held = Held::take(path)?;
    let mut found = Verified::default();
    let opened = look(&held, &mut found).await;
    drop(held);
    opened.map(|()| found)
}

async fn look(held: &Held, found: &mut Verified) -> Result<(), StoreError> {
    let path = held.path();
    let told = record::read(path);
    let log = wal::look(&sibling(path, "-wal")).unwrap_or_default();
    let bare = if held.was_empty() { None } else { file::bare(held, log.is_some()).await? };
    if let Found::Record(record) = &told
        && let Err(error) = opening::check_pair(path, &record.head, bare.as_ref(), log.as_ref())
    {
        found.add(error.to_string());
    }
    if let Some(doubt) = opening::doubt(path, log.as_ref()) {
        found.add(doubt);
    }
    let mut conn = file::open_to_look(path).await?;
    let looked = contents(&mut conn, &told, found).await;
    conn.close().await?;
    looked
}

async fn contents(
    conn: &mut SqliteConnection,
    told: &Found,
    found: &mut Verified,
) -> Result<(), StoreError> {
    let lines = sqlx::query_scalar("PRAGMA integrity_check(100)").fetch_all(&mut *conn).await?;
    lines.into_iter().filter(|line| line != "ok").for_each(|line| found.add(line));
    let taken: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *conn).await?;
    if usize::try_from(taken).is_ok_and(|taken| taken < file::LOG.len()) {
        found.add(
            "an earlier release has written it: its pages were looked at, its events can be when \
             this release has opened it once"
                .into(),
        );
        return Ok(());
    }
    let mut known = Known::default();
    load::topics(&mut known, conn).await?;
    let holes = Holes::load(conn).await?;
    for topic in known.topics.values() {
        heads(&topic.state, told, found);
        events(conn, &topic.state, &holes, found).await?;
    }
    waiting(conn, found).await?;
    match told {
        Found::Damaged(why) => found.add(format!("the record of heads is damaged: {why}")),
        Found::Record(record) if record.damaged > 0 => {
            found.add(format!("the record of heads has {} damaged lines", record.damaged));
        }
        Found::Record(_) | Found::Missing => {}
    }
    Ok(())
}

/// What waits: pending events, and what walks have listed.
async fn waiting(conn: &mut SqliteConnection, found: &mut Verified) -> Result<(), StoreError> {
    let mut rows = sqlx::query(waiting::EVERY_PENDING).fetch(&mut *conn);
    while let Some(row) = rows.try_next().await? {
        if let Err(error) = waiting::pending(&row) {
            let id: i64 = row.try_get("id")?;
            found.add(format!("pending event {id}: {error}"));
        }
    }
    drop(rows);
    let mut rows = sqlx::query(waiting::EVERY_LISTED).fetch(conn);
    while let Some(row) = rows.try_next().await? {
        if let Err(error) = waiting::listed(&row) {
            let (source, count) = slot::split(row.try_get("slot")?);
            found.add(format!("journal of source {source}, row {count}: {error}"));
        }
    }
    Ok(())
}

fn heads(state: &TopicState, told: &Found, found: &mut Verified) {
    found.topics += 1;
    let Found::Record(record) = told else { return };
    if let Some(known) = record.topics.get(&state.uid).filter(|known| known.head > state.head) {
        found.add(format!(
            "topic `{}`: its head is {}, but versions up to {} were given",
            state.topic, state.head, known.head
        ));
    }
}

async fn events(
    conn: &mut SqliteConnection,
    state: &TopicState,
    holes: &Holes,
    found: &mut Verified,
) -> Result<(), StoreError> {
    let (low, high) = slot::range(state.id);
    let sql = "-- every event\nSELECT slot, recorded, attributes, form, data, checksum FROM events \
        WHERE slot BETWEEN $1 AND $2 ORDER BY slot";
    let mut rows = sqlx::query(sql).bind(low).bind(high).fetch(conn);
    let mut next = holes.after(state.id, state.oldest);
    while let Some(row) = rows.try_next().await? {
        let row = Cells::of(&row, "events");
        let version = Version(slot::split(row.get("slot")?).1);
        if version > next {
            missing(state, next, version.previous(), found);
        } else if version < next {
            found.add(format!("topic `{}`: version {version} is below the oldest", state.topic));
        }
        found.events += 1;
        match checked(row, version, state) {
            Ok(true) => {}
            Ok(false) => found.unchecked += 1,
            Err(problem) => {
                found.add(format!("topic `{}`: version {version}: {problem}", state.topic));
            }
        }
        next = holes.after(state.id, version.next().max(next));
    }
    if next <= state.head {
        missing(state, next, state.head, found);
    } else if next > holes.after(state.id, state.head.next()) {
        found.add(format!("topic `{}`: events above its head {}", state.topic, state.head));
    }
    Ok(())
}

fn missing(state: &TopicState, first: Version, last: Version, found: &mut Verified) {
    found.add(format!("topic `{}`: versions {first} to {last} are missing", state.topic));
}

/// Whether there was a checksum; an error when it is wrong.
fn checked(row: Cells<'_>, version: Version, state: &TopicState) -> Result<bool, String> {
    let sum = match sheet::kept_event(row, version, state) {
        Ok(Some(_)) => row.get::<Option<u32>>("checksum"),
        Ok(None) => return Err("it has no attributes".into()),
        Err(error) => Err(error),
    };
    sum.map(|sum| sum.is_some()).map_err(|error| match error {
        StoreError::Unreadable { problem, .. } => problem,
        error => error.to_string(),
    })
}
