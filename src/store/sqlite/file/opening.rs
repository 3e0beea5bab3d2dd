//! From a held file to a connection that writes: what lies beside the file is looked at before
//! SQLite makes one of both.

use std::path::Path;

use sqlx::{AssertSqlSafe, SqliteConnection};

use super::{
    Identity,
    beside::sibling,
    heads::{Heads, Tombstone},
    held::Held,
    mend::{self, Past},
    record::{self, Found, Head},
    row::Cells,
    untold,
    wal::{self, Log},
};
use crate::store::sqlite::file;
use crate::{
    clock::{self, Clock},
    event::{Micros, Version},
    store::{Damage, StoreError, TopicState},
};

/// A file that was looked at and brought in order.
pub(crate) struct Opened {
    pub(crate) conn: SqliteConnection,
    pub(crate) damage: Vec<(i64, Damage)>,
    state: Head,
    gone: Vec<Tombstone>,
}

impl Opened {
    /// Begins the record of heads anew, with what is in the file now.
    pub(crate) fn begin_record<'a>(
        &mut self,
        path: &Path,
        topics: impl Iterator<Item = &'a TopicState>,
    ) -> Result<Heads, StoreError> {
        let gone = std::mem::take(&mut self.gone);
        Heads::begin(path, self.state.clone(), topics, gone)
            .map_err(|error| record::cannot_write(path, &error))
    }
}

/// Opens the file for writing. What its record or its log tell of and it has not is made a new
/// epoch and a gap.
pub(crate) async fn open(held: &Held, clock: &Clock) -> Result<Opened, StoreError> {
    let path = held.path();
    let log_path = sibling(path, "-wal");
    let found = record::read(path);
    let log = wal::look(&log_path).map_err(|error| {
        StoreError::Refused(format!("{}: it cannot be read: {error}", log_path.display()))
    })?;
    let bare = if held.was_empty() { None } else { file::bare(held, log.is_some()).await? };
    if let Found::Record(record) = &found {
        check_pair(path, &record.head, bare.as_ref(), log.as_ref())?;
    }
    let mut doubts = Vec::from_iter(doubt(path, log.as_ref()));
    if let Found::Record(record) = &found
        && (record.head.closed || log.is_none())
    {
        record::reopen(path, &record.head).map_err(|error| record::cannot_write(path, &error))?;
    }
    let mut conn = file::open_writer(path, "FULL", file::LOG).await?;
    let known = identity(&mut conn).await?;
    let mut unknown = Vec::new();
    let mut past = past(path, found, &known, &mut unknown);
    // An earlier release has kept no tombstones.
    let whole = held.was_empty() || (past.whole && known.run > 0);
    // After a power cut the record can be behind by a moment, which the log does not tell of.
    past.unknown |= log.is_some_and(|log| log.damage.is_some());
    doubts.extend(behind(&mut conn, path, &past, log.is_none()).await?);
    for doubt in doubts.iter().chain(&unknown) {
        tracing::error!(event = "store.doubted", file = %path.display(), "{doubt}");
    }
    // A record that is missing says nothing against the file.
    if !doubts.is_empty() {
        check_pages(&mut conn, path).await?;
    }
    let run = known.run + 1;
    let (damage, gone) =
        bring_in_order(&mut conn, path, (&known.store, run), past, clock.now()).await?;
    // From now on the file without its log tells which run it is of.
    sqlx::raw_sql("PRAGMA wal_checkpoint(FULL)").execute(&mut conn).await?;
    let wal = wal::salts(&log_path).unwrap_or_default();
    let state = Head { store: known.store, run, closed: false, wal, whole };
    Ok(Opened { conn, damage, state, gone })
}

/// Reads it; `run` is 0 and `store` is new when only an earlier release has written the file.
async fn identity(conn: &mut SqliteConnection) -> Result<Identity, StoreError> {
    let fresh = || Identity { store: clock::fresh_uuid().simple().to_string(), run: 0 };
    Ok(file::identity(conn).await?.unwrap_or_else(fresh))
}

/// Refuses a log that is not of this file: SQLite would lay one over the other.
pub(crate) fn check_pair(
    path: &Path,
    record: &Head,
    bare: Option<&Identity>,
    log: Option<&Log>,
) -> Result<(), StoreError> {
    let Some(Log { salts: Some(salts), commits: 1.., .. }) = log else { return Ok(()) };
    let why = match bare {
        _ if record.closed => "the store was closed, and had no such log then",
        Some(bare) if bare.store != record.store => {
            if !record.wal.is_some_and(|wal| salts.follows(wal)) {
                return Ok(());
            }
            "the file is another store, the log is not"
        }
        Some(bare) if bare.run < record.run => "the file is older than the log",
        Some(bare) if bare.run == record.run => match record.wal {
            Some(wal) if !salts.follows(wal) => "the log is not the one that was in use last",
            _ => return Ok(()),
        },
        _ => return Ok(()),
    };
    Err(StoreError::Refused(format!(
        "{} and {} do not belong together: {why}; put back those that do, or move the log away to \
         go on with what the file alone has",
        path.display(),
        sibling(path, "-wal").display(),
    )))
}

/// Whether the log beside the file is damaged, in words.
pub(crate) fn doubt(path: &Path, log: Option<&Log>) -> Option<String> {
    let (frame, commits) = log?.damage?;
    Some(format!(
        "{} is damaged at frame {frame}: about {commits} transactions from there on are lost",
        sibling(path, "-wal").display()
    ))
}

/// Whether the file has fewer versions than its record.
async fn behind(
    conn: &mut SqliteConnection,
    path: &Path,
    past: &Past,
    no_log: bool,
) -> Result<Option<String>, StoreError> {
    let rows = sqlx::query("-- heads\nSELECT uid, head FROM topics").fetch_all(conn).await?;
    let mut count = 0;
    for row in &rows {
        let row = Cells::of(row, "topics");
        let (uid, head): (&str, Version) = (row.get("uid")?, row.get("head")?);
        count += usize::from(past.topics.get(uid).is_some_and(|known| head < known.head));
    }
    let log = if no_log { "; there is no `-wal` beside it" } else { "" };
    Ok((count > 0).then(|| {
        format!("{} is older than it was: {count} topics have gone back{log}", path.display())
    }))
}

/// What is known of the topics besides the file itself.
fn past(path: &Path, found: Found, known: &Identity, doubts: &mut Vec<String>) -> Past {
    let name = sibling(path, "-heads");
    let unknown = |what: String, doubts: &mut Vec<String>| {
        // Only an earlier release has written a file that was never opened by this one.
        if known.run == 0 {
            return Past { whole: true, ..Past::default() };
        }
        doubts.push(format!(
            "{} {what}: whether the file is as it was left cannot be told, so every topic begins \
             a new epoch",
            name.display()
        ));
        Past { unknown: true, ..Past::default() }
    };
    match found {
        Found::Missing => unknown("is missing".into(), doubts),
        Found::Damaged(why) => unknown(format!("is damaged ({why})"), doubts),
        Found::Record(record) if record.head.store != known.store && known.run > 0 => {
            let past = unknown("is of another store".into(), doubts);
            Past { topics: record.topics, ..past }
        }
        Found::Record(record) => {
            if record.damaged > 0 {
                doubts.push(format!(
                    "{} has {} damaged lines: topics without a line begin a new epoch",
                    name.display(),
                    record.damaged
                ));
            }
            let whole = record.head.whole && record.damaged == 0;
            Past { topics: record.topics, unknown: false, whole }
        }
    }
}

/// A file that was torn from its log can be half of two states.
async fn check_pages(conn: &mut SqliteConnection, path: &Path) -> Result<(), StoreError> {
    tracing::info!(
        event = "store.check_started", file = %path.display(),
        "its pages are checked, which can take a while"
    );
    let found: Vec<String> = sqlx::query_scalar("PRAGMA quick_check(5)").fetch_all(conn).await?;
    if found == ["ok"] {
        return Ok(());
    }
    Err(StoreError::Refused(format!(
        "{}: the file is damaged: {}; put back a backup",
        path.display(),
        found.join("; ")
    )))
}

async fn bring_in_order(
    conn: &mut SqliteConnection,
    path: &Path,
    (store, run): (&str, u64),
    past: Past,
    now: Micros,
) -> Result<(Vec<(i64, Damage)>, Vec<Tombstone>), StoreError> {
    let traced =
        if past.unknown { mend::traced(&sibling(path, "-trace")).await } else { Vec::new() };
    let mut transaction = sqlx::Connection::begin_with(conn, "BEGIN IMMEDIATE").await?;
    let (damage, gone) = mend::topics(&mut transaction, past, &traced, now).await?;
    let damage = untold::add(&mut transaction, damage).await?;
    let sql = format!("PRAGMA application_id = {}", file::APPLICATION_ID);
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *transaction).await?;
    for (name, value) in [("store", store.to_owned()), ("run", run.to_string())] {
        let sql = "-- identity\nINSERT INTO meta (name, value) VALUES ($1, CAST($2 AS BLOB)) \
            ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        sqlx::query(sql).bind(name).bind(value).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok((damage, gone))
}
