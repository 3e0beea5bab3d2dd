//! The trace's file, which is expendable: a connection that failed is replaced, a file that cannot
//! be read is set aside, and without one the relay goes on.

use std::{
    fs::{self, Metadata},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::RwLock;
use sqlx::{Connection as _, SqliteConnection, sqlite::SqlitePool};
use tokio::sync::{Mutex, MutexGuard};

use super::{
    super::{
        desk::shared::Shared,
        file::{
            self,
            beside::{self, sibling},
            held,
            room::Room,
            row::signed,
        },
    },
    packed,
};
use crate::{
    event::Micros,
    regular,
    store::{StoreError, Troubles},
};

/// The file, its log, and the index of that.
const ENDINGS: [&str; 3] = ["", "-wal", "-shm"];

/// Connections that read.
const READERS: u32 = 2;
/// Files that were set aside and are kept; the oldest go first.
const DAMAGED_MAX: usize = 3;
/// There is no trace at present.
const UNAVAILABLE: &str = "trace_unavailable";
/// A file was set aside.
const REPLACED: &str = "trace_replaced";

/// The file by its name, and what is open of it.
pub(super) struct TraceFile {
    /// The store's file, which says whose this one is to be.
    store: PathBuf,
    path: PathBuf,
    troubles: Arc<Troubles>,
    room: Arc<Room>,
    writer: Mutex<Option<Writer>>,
    readers: RwLock<Option<SqlitePool>>,
    /// Which files are open, by their names.
    opened: parking_lot::Mutex<Vec<(PathBuf, Metadata)>>,
    /// Whether the last batch could not be written.
    unwritten: AtomicBool,
}

/// The one connection that writes.
pub(super) struct Writer {
    pub(super) conn: SqliteConnection,
    /// The number that the next record gets.
    pub(super) next: i64,
}

impl TraceFile {
    pub(super) fn new(shared: &Shared) -> Self {
        Self {
            store: shared.path.clone(),
            path: sibling(&shared.path, "-trace"),
            troubles: shared.troubles.clone(),
            room: shared.room.clone(),
            writer: Mutex::default(),
            readers: RwLock::default(),
            opened: parking_lot::Mutex::default(),
            unwritten: AtomicBool::new(false),
        }
    }

    /// The last batch was written.
    pub(super) fn is_written(&self) {
        self.unwritten.store(false, Ordering::Relaxed);
        self.troubles.ended(UNAVAILABLE, "attempts are recorded again");
    }

    /// On a full disk the reserve is for what cannot be done without.
    pub(super) fn must_wait(&self) -> bool {
        if self.room.is_short() {
            self.unwritten.store(true, Ordering::Relaxed);
            self.unavailable(&StoreError::DiskFull);
            return true;
        }
        false
    }

    /// Whether there is nothing to be waited for.
    pub(super) fn is_well(&self) -> bool {
        !self.unwritten.load(Ordering::Relaxed) && self.readers().is_some()
    }

    /// The writer, for good.
    pub(super) async fn take(&self) -> Option<Writer> {
        self.writer.lock().await.take()
    }

    /// The writer, opened as needed; none while that fails, which is said.
    pub(super) async fn writer(&self) -> MutexGuard<'_, Option<Writer>> {
        let mut writer = self.writer.lock().await;
        if writer.is_none() {
            match self.open().await {
                Ok(opened) => {
                    *writer = Some(opened);
                    // What could not be written is tried again before all is well.
                    if !self.unwritten.load(Ordering::Relaxed) {
                        self.is_written();
                    }
                }
                Err(error) => self.unavailable(&error),
            }
        }
        writer
    }

    /// Those who read, when the file is open.
    pub(super) fn readers(&self) -> Option<SqlitePool> {
        self.readers.read().clone()
    }

    /// After a failure: the next writer is a new connection, whatever state this one is in, and a
    /// file that cannot be read makes room for a new one.
    pub(super) async fn failed(&self, writer: &mut Option<Writer>, error: &StoreError) {
        *writer = None;
        self.unwritten.store(true, Ordering::Relaxed);
        self.unavailable(error);
        if matches!(error, StoreError::DiskFull) {
            self.room.ran_out();
        }
        if self.is_damaged(error) {
            self.close_readers().await;
            self.replace(error);
        }
    }

    /// As [`Self::failed`], for those who read and found it damaged.
    pub(super) async fn unread(&self, error: &StoreError) {
        let mut writer = self.writer.lock().await;
        // Of several who find it damaged one sets it aside.
        if self.readers().is_some_and(|readers| !readers.is_closed()) {
            self.failed(&mut writer, error).await;
        }
    }

    pub(super) async fn close_readers(&self) {
        let readers = self.readers.write().take();
        if let Some(readers) = readers {
            readers.close().await;
        }
    }

    async fn open(&self) -> Result<Writer, StoreError> {
        match self.try_open().await {
            Err(error) if self.is_damaged(&error) => {
                self.close_readers().await;
                self.replace(&error);
                self.try_open().await
            }
            opened => opened,
        }
    }

    async fn try_open(&self) -> Result<Writer, StoreError> {
        self.prepare().map_err(|error| StoreError::Refused(error.to_string()))?;
        let mut conn = file::open_writer(&self.path, "NORMAL", file::TRACE).await?;
        let next = last_id(&mut conn).await? + 1;
        if self.readers().is_none() {
            let readers = file::open_readers(&self.path, READERS).await?;
            *self.readers.write() = Some(readers);
        }
        let names = ENDINGS.map(|ending| sibling(&self.path, ending)).into_iter();
        *self.opened.lock() =
            names.filter_map(|name| fs::metadata(&name).ok().map(|known| (name, known))).collect();
        Ok(Writer { conn, next })
    }

    /// SQLite waits for the other end of a named pipe, and a file that it makes belongs to whoever
    /// runs this, who may be root.
    fn prepare(&self) -> io::Result<()> {
        for ending in &ENDINGS[1..] {
            regular::look(&sibling(&self.path, ending))?;
        }
        if regular::look(&self.path)?.is_none() && fs::symlink_metadata(&self.path).is_err() {
            // What keeps it from being made, SQLite is told as well.
            let _ = beside::open(&self.store, &self.path);
        }
        Ok(())
    }

    /// Looks whether the files are still those that are open. What has come in their place is moved
    /// away and the next writer opens the file anew: else attempts would go where nobody finds them.
    pub(super) async fn check(&self) {
        let strange: Vec<PathBuf> = self.opened.lock().iter().filter_map(strange).collect();
        if strange.is_empty() {
            return;
        }
        let mut writer = self.writer.lock().await;
        // Before the connections are closed: SQLite removes a log by its name then.
        let detail = if strange.contains(&self.path) {
            self.set_aside("it was removed or replaced while it was in use")
        } else {
            for name in &strange {
                let _ = fs::remove_file(name);
            }
            Some(format!(
                "the log of the trace {} was removed or replaced while it was in use; what was in \
                 it is in the trace, which was opened anew",
                self.path.display()
            ))
        };
        if let Some(Writer { conn, .. }) = writer.take() {
            // It has nowhere to tell it.
            let _ = conn.close().await;
        }
        self.close_readers().await;
        self.opened.lock().clear();
        if let Some(detail) = detail {
            self.troubles.mended(REPLACED, detail);
        }
        drop(writer);
        drop(self.writer().await);
    }

    fn unavailable(&self, error: &StoreError) {
        let detail = format!(
            "attempts are not recorded in {}: {}; deliveries go on, and it is tried again",
            self.path.display(),
            reason(error)
        );
        self.troubles.began(UNAVAILABLE, detail);
    }

    /// Whether another file would help: this one is no database, is damaged, is of a later release,
    /// lacks a table, or cannot be opened by us.
    pub(super) fn is_damaged(&self, error: &StoreError) -> bool {
        match error {
            StoreError::Refused(_) | StoreError::Unreadable { .. } => true,
            StoreError::Database(error) => match StoreError::sqlite_code(error) {
                // SQLITE_ERROR: what is asked for is not there. SQLITE_READONLY, SQLITE_CORRUPT,
                // SQLITE_NOTADB.
                Some(1 | 8 | 11 | 26) => true,
                // SQLITE_CANTOPEN, which too many open files give as well.
                Some(14) => cannot_be_ours(&self.path),
                _ => false,
            },
            _ => false,
        }
    }

    /// Sets the file aside, and says so.
    fn replace(&self, error: &StoreError) {
        self.opened.lock().clear();
        if let Some(detail) = self.set_aside(&reason(error)) {
            self.troubles.mended(REPLACED, detail);
        }
    }

    /// Renames what is there, so that the next open makes a new file; what is to be told of it.
    fn set_aside(&self, why: &str) -> Option<String> {
        let aside = self.name_aside();
        let (log, log_aside) = (sibling(&self.path, "-wal"), sibling(&aside, "-wal"));
        let what = match fs::rename(&self.path, &aside) {
            Ok(()) => {
                // Its log belongs to it: beside another file it would be taken for that one's.
                let _ = fs::rename(log, log_aside);
                format!("it was set aside as {}, and", aside.display())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let _ = fs::remove_file(log);
                "it is not there, and".to_owned()
            }
            Err(failed) => {
                tracing::error!(
                    event = "trace.set_aside_failed", file = %self.path.display(), error = %failed,
                    "the trace cannot be set aside"
                );
                return None;
            }
        };
        let _ = fs::remove_file(sibling(&self.path, "-shm"));
        self.forget_oldest();
        Some(format!(
            "the trace {} cannot be used ({why}); {what} a new one was begun: earlier attempts are \
             not shown any more",
            self.path.display(),
        ))
    }

    /// A free name that says when the file was last written.
    fn name_aside(&self) -> PathBuf {
        let written = fs::metadata(&self.path).and_then(|file| file.modified()).ok();
        let since = written.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
        let moment = Micros::default().plus(since.unwrap_or_default()).to_string();
        let first = sibling(&self.path, &format!(".damaged-{}", moment.replace(':', "-")));
        let others = (2..).map(|number| sibling(&first, &format!("-{number}")));
        let mut names = std::iter::once(first.clone()).chain(others);
        names.find(|name| !name.exists()).unwrap_or(first)
    }

    /// Removes all but the newest that were set aside.
    fn forget_oldest(&self) {
        let mut damaged = self.set_aside_before();
        damaged.sort();
        for path in damaged.iter().rev().skip(DAMAGED_MAX) {
            let _ = fs::remove_file(sibling(path, "-wal"));
            match fs::remove_file(path) {
                Ok(()) => {
                    tracing::warn!(
                        event = "trace.damaged_removed", file = %path.display(),
                        "an old damaged trace was removed"
                    );
                }
                Err(error) => {
                    tracing::warn!(
                        event = "trace.damaged_kept", file = %path.display(), %error,
                        "a damaged trace stays"
                    );
                }
            }
        }
    }

    fn set_aside_before(&self) -> Vec<PathBuf> {
        let Some(name) = self.path.file_name().and_then(|name| name.to_str()) else {
            return Vec::new();
        };
        let begin = format!("{name}.damaged-");
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let Ok(entries) = fs::read_dir(folder.unwrap_or(Path::new("."))) else { return Vec::new() };
        let is_one = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with(&begin) && !name.ends_with("-wal")
        };
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_one).collect()
    }
}

/// The name of a file that is open, when it leads to another one or to none.
fn strange((name, opened): &(PathBuf, Metadata)) -> Option<PathBuf> {
    let is_same = match fs::metadata(name) {
        Ok(now) => held::is_same(&now, opened),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    };
    (!is_same).then(|| name.clone())
}

/// Whether what stands at `path` is a folder, or is nobody's to read but another's.
fn cannot_be_ours(path: &Path) -> bool {
    match fs::OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => !file.metadata().is_ok_and(|file| file.is_file()),
        Err(error) => {
            matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::IsADirectory)
        }
    }
}

/// The whole chain of an error.
fn reason(error: &StoreError) -> String {
    match std::error::Error::source(error) {
        Some(source) => source.to_string(),
        None => error.to_string(),
    }
}

/// The last number given to a record.
async fn last_id(conn: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    let sql = "-- last record\nSELECT max((SELECT coalesce(max(id), 0) FROM attempts), coalesce(\
        (SELECT id + octet_length(records) / $1 - 1 FROM deliveries ORDER BY id DESC LIMIT 1), 0))";
    sqlx::query_scalar(sql).bind(signed(packed::RECORD_BYTES as u64)).fetch_one(conn).await
}
