//! Everything that can be told wrong of a store that nobody uses, changing nothing.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use futures_util::TryStreamExt as _;
use sqlx::{Row as _, Sqlite, SqliteConnection, SqlitePool, pool::PoolConnection};

use super::{
    beside::{self, sibling},
    held::Held,
    holes::Holes,
    opening,
    record::{self, Found, Record},
    row::Cells,
    sheet, slot, waiting, wal,
};
use crate::store::sqlite::{access_keys, desk::load, file, sources, summaries};
use crate::{
    event::Version,
    seal::Seal,
    store::{StoreError, Stored, TopicState, Verified, rules::known::Known},
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
    let mut found = Verified::default();
    let looked = Looked::begin(path, &mut found).await?;
    whole(looked, found).await
}

/// As [`verify`], of a file that has nothing beside it, as a backup.
///
/// # Errors
/// As [`verify`].
pub(crate) async fn alone(path: &Path) -> Result<Verified, StoreError> {
    let mut found = Verified::default();
    let mut looked = Looked::begin(path, &mut found).await?;
    looked.has_run = false;
    whole(looked, found).await
}

async fn whole(mut looked: Looked, mut found: Verified) -> Result<Verified, StoreError> {
    let done = contents(&mut looked, &mut found).await;
    looked.end().await;
    done.map(|()| found)
}

/// What is stored at `path`, as far as it can be had without changing anything; and what is wrong
/// with its heads and with what lies beside it.
///
/// # Errors
/// As [`verify`].
pub async fn look(path: &Path, seal: &Seal) -> Result<(Option<Stored>, Verified), StoreError> {
    let mut found = Verified::default();
    let mut looked = Looked::begin(path, &mut found).await?;
    let stored = stored(&mut looked, seal, &mut found).await;
    looked.end().await;
    stored.map(|stored| (stored, found))
}

async fn stored(
    looked: &mut Looked,
    seal: &Seal,
    found: &mut Verified,
) -> Result<Option<Stored>, StoreError> {
    let mut conn = looked.conn().await?;
    if !is_of_this_release(&mut conn).await? {
        return Ok(None);
    }
    let mut known = Known::default();
    load::topics(&mut known, &mut conn).await?;
    all_heads(&known, looked, found);
    drop(conn);
    Ok(Some(Stored {
        topics: known.topics.into_values().map(|topic| topic.state).collect(),
        sources: sources::all(&looked.conns).await?,
        subscriptions: summaries::since(&looked.conns, seal, 0).await?,
        keys: access_keys::all(&looked.conns).await?,
    }))
}

/// A file that is looked at.
pub(crate) struct Looked {
    pub(super) held: Held,
    pub(super) told: Found,
    conns: SqlitePool,
    /// Whether a release that keeps a record has written the file.
    has_run: bool,
    /// `FILE-shm`, when it was made to look.
    index: Option<PathBuf>,
}

impl Looked {
    pub(crate) async fn begin(path: &Path, found: &mut Verified) -> Result<Self, StoreError> {
        let held = Held::take_to_look(path)?;
        let path = held.path().to_owned();
        record::check_missing(&path, held.was_empty())?;
        let told = record::read(&path);
        let log_path = sibling(&path, "-wal");
        let log = wal::look(&log_path).map_err(|error| {
            StoreError::Refused(format!("{}: it cannot be read: {error}", log_path.display()))
        })?;
        let bare = if held.was_empty() { None } else { file::bare(&held, log.is_some()).await? };
        if let Found::Record(record) = &told
            && let Err(error) =
                opening::check_pair(&path, &record.head, bare.as_ref(), log.as_ref())
        {
            found.add(error.to_string());
        }
        if let Some(doubt) = opening::doubt(&path, log.as_ref()) {
            found.add(doubt);
        }
        let index = if log.is_some() { index(&path)? } else { None };
        let conns = file::open_to_look(&path, log.is_some()).await;
        let mut looked = match conns {
            Ok(conns) => Self { held, told, conns, has_run: false, index },
            Err(error) => {
                remove(index);
                return Err(error);
            }
        };
        let identity = file::identity(&mut *looked.conn().await?).await;
        looked.has_run = identity.is_ok_and(|identity| identity.is_some());
        Ok(looked)
    }

    pub(super) async fn conn(&self) -> Result<PoolConnection<Sqlite>, StoreError> {
        Ok(self.conns.acquire().await?)
    }

    pub(crate) async fn end(self) {
        self.conns.close().await;
        remove(self.index);
        drop(self.held);
    }
}

/// SQLite reads a log only when its index is there, of which it takes nothing: makes an empty one,
/// which goes again at the end.
fn index(path: &Path) -> Result<Option<PathBuf>, StoreError> {
    let index = sibling(path, "-shm");
    if index.exists() {
        return Ok(None);
    }
    beside::create(path, &index).map_err(|error| {
        StoreError::Refused(format!(
            "{}: what is in the log cannot be looked at without it: {error}",
            index.display()
        ))
    })?;
    Ok(Some(index))
}

fn remove(index: Option<PathBuf>) {
    if let Some(index) = index {
        // An empty one is made anew by whoever opens the file.
        let _ = std::fs::remove_file(index);
    }
}

pub(super) async fn is_of_this_release(conn: &mut SqliteConnection) -> Result<bool, StoreError> {
    let taken: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(conn).await?;
    Ok(usize::try_from(taken).is_ok_and(|taken| taken == file::LOG.len()))
}

/// Whether the topics are those of the record, and what is wrong with that.
pub(super) fn all_heads(known: &Known, looked: &Looked, found: &mut Verified) {
    let name = record::name(looked.held.path());
    for topic in known.topics.values() {
        heads(&topic.state, &looked.told, found);
    }
    match &looked.told {
        Found::Damaged(why) => found.add(format!("{}: it is damaged: {why}", name.display())),
        Found::Missing if looked.has_run => found.add(format!(
            "{}: it is missing: whether the file has gone back cannot be told, and every topic \
             begins a new epoch at the next start",
            name.display()
        )),
        Found::Missing => {}
        Found::Record(record) => {
            if record.damaged > 0 {
                found.add(format!(
                    "{}: {} of its lines are damaged",
                    name.display(),
                    record.damaged
                ));
            }
            missing_topics(known, record, found);
        }
    }
}

/// Topics that were not deleted, and are not in the file.
fn missing_topics(known: &Known, record: &Record, found: &mut Verified) {
    let here: HashSet<&str> = known.topics.values().map(|topic| topic.state.uid.as_str()).collect();
    let lost = record.topics.iter().filter(|(uid, _)| !here.contains(uid.as_str()));
    for (_, lost) in lost.filter(|(_, lost)| lost.gone.is_none()) {
        found.add(format!(
            "topic `{}`: it is not in the file, although it was not deleted; versions up to {} were \
             given",
            lost.name, lost.head
        ));
    }
}

async fn contents(looked: &mut Looked, found: &mut Verified) -> Result<(), StoreError> {
    let mut conn = looked.conn().await?;
    let conn = &mut *conn;
    let lines = sqlx::query_scalar("PRAGMA integrity_check(100)").fetch_all(&mut *conn).await?;
    lines.into_iter().filter(|line| line != "ok").for_each(|line| found.add(line));
    if !is_of_this_release(conn).await? {
        found.add(
            "another release has written it: its pages were looked at, its events can be when \
             this release has opened it once"
                .into(),
        );
        return Ok(());
    }
    let mut known = Known::default();
    load::topics(&mut known, conn).await?;
    let holes = Holes::load(conn).await?;
    found.topics = known.topics.len();
    all_heads(&known, looked, found);
    for topic in known.topics.values() {
        events(conn, &topic.state, &holes, found).await?;
    }
    waiting(conn, found).await
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
