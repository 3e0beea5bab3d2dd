//! A copy of the file while a relay works on it.
//!
//! Events and dedupe keys are never changed, so they are copied in pieces, each a short look at the file:
//! one long look would keep the write-ahead log from being shortened. What came meanwhile and all other
//! tables follow in one last look, whose moment is that of the copy.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};

pub(crate) use self::restore::{restore, topics};
use self::tables::{Rows, all_tables, is_same_schema, same};
pub use self::{restore::Restored, watch::BackupWatch};
use super::file::{self, beside, room, slot, verify::Looked};
pub(crate) use super::file::{
    beside::{folder, sibling},
    verify::alone as check,
};
use crate::{
    clock::Clock,
    event::Micros,
    store::{StoreError, Verified},
};

mod restore;
mod tables;
mod watch;

/// Rounds of copying what came meanwhile, before the last look takes the rest.
const ROUNDS_MAX: usize = 20;
/// The last look copies about so many rows.
const REST: u64 = 2_000;

/// Copies the file at `path` to `to`; answers of which moment the copy is: everything that was acknowledged
/// before it is there. `here` says that this process works on the file; else perhaps another one does.
pub(crate) async fn copy(
    path: &Path,
    to: &Path,
    here: bool,
    clock: &Clock,
    watch: &mut dyn BackupWatch,
) -> Result<Micros, StoreError> {
    let source = Source::open(path, here).await?;
    let copied = copied(&source, to, clock, watch).await;
    source.end().await;
    let moment = copied?;
    sync(to).map_err(|error| cannot_write(to, &error))?;
    Ok(moment)
}

/// Waits until the file is on the disk.
pub(super) fn sync(file: &Path) -> io::Result<()> {
    fs::File::open(file)?.sync_all()
}

pub(crate) fn cannot_write(file: &Path, error: &io::Error) -> StoreError {
    let full = room::what_is_full(file, error);
    StoreError::Refused(format!("{}: it cannot be written: {error}{full}", file.display()))
}

/// The file that is copied.
struct Source {
    path: PathBuf,
    /// How SQLite opens it so that nothing of it changes.
    url: String,
    /// When nobody uses it, nobody may while it is copied.
    looked: Option<Looked>,
}

impl Source {
    async fn open(path: &Path, here: bool) -> Result<Self, StoreError> {
        let refused = |why: String| StoreError::Refused(format!("{}: {why}", path.display()));
        let path = fs::canonicalize(path).map_err(|error| refused(error.to_string()))?;
        let url = url::Url::from_file_path(&path).map_err(|()| refused("no path".into()))?;
        let looked = if here {
            None
        } else {
            match Looked::begin(&path, &mut Verified::default()).await {
                Ok(looked) => Some(looked),
                Err(StoreError::InUse(_)) => None,
                Err(error) => return Err(error),
            }
        };
        let how = match &looked {
            None => "mode=ro",
            Some(_) if sibling(&path, "-wal").exists() => "mode=ro&readonly_shm=1",
            Some(_) => "immutable=1",
        };
        Ok(Self { url: format!("{url}?{how}"), path, looked })
    }

    async fn end(self) {
        if let Some(looked) = self.looked {
            looked.end().await;
        }
    }
}

async fn copied(
    source: &Source,
    to: &Path,
    clock: &Clock,
    watch: &mut dyn BackupWatch,
) -> Result<Micros, StoreError> {
    beside::create(&source.path, to).map_err(|error| cannot_write(to, &error))?;
    let mut conn = file::open_copy(to).await?;
    let sql = "-- attach\nATTACH DATABASE $1 AS live";
    sqlx::query(sql).bind(&source.url).execute(&mut conn).await?;
    let copied = all(&mut conn, source, to, clock, watch).await;
    conn.close().await?;
    copied
}

async fn all(
    conn: &mut SqliteConnection,
    source: &Source,
    to: &Path,
    clock: &Clock,
    watch: &mut dyn BackupWatch,
) -> Result<Micros, StoreError> {
    if !is_same_schema(conn).await? {
        return Err(StoreError::Refused(format!(
            "{}: another release has written it: make the backup with that one, or start `milkrun run` \
             of this one first",
            source.path.display()
        )));
    }
    check_room(conn, source, to).await?;
    let begun = run(conn).await?;
    for _ in 0..ROUNDS_MAX {
        if grown(conn, watch).await? < REST {
            break;
        }
    }
    let moment = clock.now();
    // The first read of it is what the copy is of.
    sqlx::raw_sql("BEGIN").execute(&mut *conn).await?;
    if run(conn).await? != begun {
        // A start may take out what is damaged, rows that are copied among it.
        return Err(StoreError::Conflict(format!(
            "{}: a relay was started on it meanwhile; give the command again",
            source.path.display()
        )));
    }
    grown(conn, watch).await?;
    for rows in Rows::ALL {
        rows.remove_old(conn).await?;
    }
    for table in all_tables(conn).await? {
        same(conn, &table).await?;
    }
    let sql = format!("PRAGMA main.application_id = {}", file::APPLICATION_ID);
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *conn).await?;
    sqlx::raw_sql("COMMIT").execute(&mut *conn).await?;
    Ok(moment)
}

/// How often the file was opened to be written.
async fn run(conn: &mut SqliteConnection) -> Result<Option<Vec<u8>>, StoreError> {
    let sql = "-- run\nSELECT value FROM live.meta WHERE name = 'run'";
    Ok(sqlx::query_scalar(sql).fetch_optional(conn).await?)
}

/// Copies what the topics have and the copy has not; answers how many rows that were.
async fn grown(
    conn: &mut SqliteConnection,
    watch: &mut dyn BackupWatch,
) -> Result<u64, StoreError> {
    let sql = "-- ids\nSELECT id FROM live.topics ORDER BY id";
    let topics: Vec<i64> = sqlx::query_scalar(sql).fetch_all(&mut *conn).await?;
    let mut copied = 0;
    for topic in topics {
        for rows in Rows::ALL {
            let range = slot::range(topic);
            loop {
                if watch.stop().is_cancelled() {
                    return Err(StoreError::Closed);
                }
                let piece = rows.copy_piece(conn, range).await?;
                copied += piece;
                if rows == Rows::Events {
                    watch.events(piece);
                }
                if piece < tables::PIECE {
                    break;
                }
            }
        }
    }
    Ok(copied)
}

/// Refuses to fill the disk: a relay may be on it.
async fn check_room(
    conn: &mut SqliteConnection,
    source: &Source,
    to: &Path,
) -> Result<(), StoreError> {
    let sql = "-- size\nSELECT page_count * page_size FROM pragma_page_count('live'), \
        pragma_page_size('live')";
    let bytes: i64 = sqlx::query_scalar(sql).fetch_one(conn).await?;
    let wal = fs::metadata(sibling(&source.path, "-wal")).map_or(0, |wal| wal.len());
    let needed = bytes.unsigned_abs() + wal + room::RESERVE_MAX;
    match room::available(to) {
        Some(free) if free < needed => Err(StoreError::Refused(format!(
            "{}: its disk has {} MiB free, and a backup needs up to {} MiB: remove something, or name \
             another disk",
            to.display(),
            free >> 20,
            needed >> 20
        ))),
        _ => Ok(()),
    }
}
