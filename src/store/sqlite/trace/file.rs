//! The trace's file, which is expendable: a connection that failed is replaced, a file that cannot
//! be read is set aside, and without one the relay goes on.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::RwLock;
use sqlx::{SqliteConnection, sqlite::SqlitePool};
use tokio::sync::{Mutex, MutexGuard};

use super::{
    super::file::{self, room::Room, row::signed},
    packed,
};
use crate::{
    event::Micros,
    store::{StoreError, Troubles},
};

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
    path: PathBuf,
    troubles: Arc<Troubles>,
    room: Arc<Room>,
    writer: Mutex<Option<Writer>>,
    readers: RwLock<Option<SqlitePool>>,
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
    pub(super) fn new(path: PathBuf, troubles: Arc<Troubles>, room: Arc<Room>) -> Self {
        let (writer, readers) = (Mutex::default(), RwLock::default());
        Self { path, troubles, room, writer, readers, unwritten: AtomicBool::new(false) }
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
            self.set_aside(error);
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
                self.set_aside(&error);
                self.try_open().await
            }
            opened => opened,
        }
    }

    async fn try_open(&self) -> Result<Writer, StoreError> {
        let mut conn = file::open_writer(&self.path, "NORMAL", file::TRACE).await?;
        let next = last_id(&mut conn).await? + 1;
        if self.readers().is_none() {
            let readers = file::open_readers(&self.path, READERS).await?;
            *self.readers.write() = Some(readers);
        }
        Ok(Writer { conn, next })
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

    /// Renames the file, so that the next open makes a new one.
    fn set_aside(&self, error: &StoreError) {
        let aside = self.name_aside();
        if let Err(failed) = fs::rename(&self.path, &aside) {
            tracing::error!(file = %self.path.display(), error = %failed, "the trace cannot be set aside");
            return;
        }
        // Its log belongs to it: beside another file it would be taken for that one's.
        let _ = fs::rename(
            file::beside::sibling(&self.path, "-wal"),
            file::beside::sibling(&aside, "-wal"),
        );
        let _ = fs::remove_file(file::beside::sibling(&self.path, "-shm"));
        let detail = format!(
            "the trace {} cannot be used ({}); it was set aside as {}, and a new one was begun: \
             earlier attempts are not shown any more",
            self.path.display(),
            reason(error),
            aside.display()
        );
        self.troubles.mended(REPLACED, detail);
        self.forget_oldest();
    }

    /// A free name that says when the file was last written.
    fn name_aside(&self) -> PathBuf {
        let written = fs::metadata(&self.path).and_then(|file| file.modified()).ok();
        let since = written.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
        let moment = Micros::default().plus(since.unwrap_or_default()).to_string();
        let first =
            file::beside::sibling(&self.path, &format!(".damaged-{}", moment.replace(':', "-")));
        let others = (2..).map(|number| file::beside::sibling(&first, &format!("-{number}")));
        let mut names = std::iter::once(first.clone()).chain(others);
        names.find(|name| !name.exists()).unwrap_or(first)
    }

    /// Removes all but the newest that were set aside.
    fn forget_oldest(&self) {
        let mut damaged = self.set_aside_before();
        damaged.sort();
        for path in damaged.iter().rev().skip(DAMAGED_MAX) {
            let _ = fs::remove_file(file::beside::sibling(path, "-wal"));
            match fs::remove_file(path) {
                Ok(()) => {
                    tracing::warn!(file = %path.display(), "an old damaged trace was removed");
                }
                Err(error) => {
                    tracing::warn!(file = %path.display(), %error, "a damaged trace stays");
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
