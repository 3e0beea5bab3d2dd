//! Room on the disk: a reserve that is kept as a file and given up, piece by piece, when the disk is
//! full, so that settling, deleting and starting go on; what is new is refused until the reserve is
//! whole again.

use std::{
    fs::{self, File},
    io::{self, Seek as _, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use rustix::fs::StatVfs;
use tokio::{sync::Notify, time::sleep};
use tokio_util::sync::CancellationToken;

use super::beside::{self, sibling};
use crate::store::Troubles;

/// The most that is kept in reserve.
pub(crate) const RESERVE_MAX: u64 = 16 << 20;
/// The least: a transaction that removes a piece of what is old fits into a quarter, and what is appended
/// while the write-ahead log is copied into the rest.
const RESERVE_MIN: u64 = 4 << 20;
/// A small disk gives up this part of itself at most.
const PART: u64 = 8;
/// Less than this is given up at once.
const CRUMB: u64 = 64 << 10;
/// What is kept for copying the write-ahead log into the file, in eighths: a start has to do it, and
/// without that room a store that was stopped on a full disk does not come up, and nobody can delete
/// anything. Once the log is copied, work writes into it from its beginning again, and needs no room.
const COPY_EIGHTHS: u64 = 6;
/// How long work waits for the write-ahead log to be copied.
const COPY_WAIT: Duration = Duration::from_secs(1);
/// What only a start is given, which writes some pages and files more.
const START: u64 = 256 << 10;
/// How often a full disk is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What helps when there is no inode.
pub(crate) const NO_INODES: &str =
    " (no inode is left on the disk: it has too many files; remove some)";
/// The disk is full.
const DISK_FULL: &str = "disk_full";

/// The reserve, and whether it is needed.
pub(crate) struct Room {
    /// The file.
    store: PathBuf,
    /// `FILE-reserve`.
    reserve: PathBuf,
    /// How large it is to be.
    bytes: u64,
    /// Whether it is not whole: nothing new is kept.
    short: AtomicBool,
    /// Held while its size changes.
    turn: Mutex<()>,
    wake: Notify,
    /// Wakes who copies the write-ahead log.
    copy: Notify,
    /// Wakes whoever waits for that.
    copied: Notify,
    troubles: Arc<Troubles>,
}

impl Room {
    /// The room for a store at `path`, whose folder is there. On a disk that is full already the
    /// reserve stays as it is.
    pub(crate) fn open(path: &Path, troubles: Arc<Troubles>) -> Self {
        let disk = Disk::of(path);
        let part = disk.map_or(RESERVE_MAX, |disk| disk.bytes / PART);
        let room = Self {
            store: path.to_owned(),
            reserve: sibling(path, "-reserve"),
            bytes: part.clamp(RESERVE_MIN, RESERVE_MAX),
            short: AtomicBool::new(false),
            turn: Mutex::default(),
            wake: Notify::new(),
            copy: Notify::new(),
            copied: Notify::new(),
            troubles,
        };
        if !room.refill() {
            room.ran_out();
        }
        room
    }

    /// What it tells of.
    pub(crate) fn troubles(&self) -> &Arc<Troubles> {
        &self.troubles
    }

    /// What the write-ahead log may have that the file has not, before it is copied. Until that is done
    /// as much again may come, faster where there is little: all of it has to find room at a start.
    pub(crate) fn log_bytes(&self) -> u64 {
        self.bytes / if self.bytes < RESERVE_MAX { 4 } else { 2 }
    }

    /// What is free on the disk; `None` where its file system does not tell.
    pub(crate) fn free_bytes(&self) -> Option<u64> {
        Disk::of(&self.store).map(|disk| disk.free_bytes)
    }

    /// Whether nothing new is to be kept.
    pub(crate) fn is_short(&self) -> bool {
        self.short.load(Ordering::Acquire)
    }

    /// Says that something found the disk full; whether that was not known.
    pub(crate) fn ran_out(&self) -> bool {
        if self.short.swap(true, Ordering::AcqRel) {
            return false;
        }
        self.wake.notify_one();
        let folder = self.reserve.parent().unwrap_or(Path::new("."));
        let (what, until) = if has_inodes(&self.reserve) {
            ("is full", format!("there are {} MiB more", (2 * self.bytes) >> 20))
        } else {
            ("has no inode left", "some of its files are removed".into())
        };
        let detail = format!(
            "the disk with {} {what}: what is new is refused with 507 until {until}; reading, \
             deleting, delivering and retention go on from a reserve",
            folder.display(),
        );
        self.troubles.began(DISK_FULL, detail);
        true
    }

    /// For what must go on although the disk is full: gives up half of what is left of the reserve,
    /// because others may take what becomes free. Whether it is worth another try.
    pub(crate) async fn give(self: &Arc<Self>) -> bool {
        let copied = self.copied.notified();
        self.copy.notify_one();
        // With nothing more to give, what is copied makes room all the same.
        self.give_down_to(self.bytes / 8 * COPY_EIGHTHS).await
            || tokio::time::timeout(COPY_WAIT, copied).await.is_ok()
    }

    /// Says that a part of the write-ahead log was copied.
    pub(crate) fn copied(&self) {
        self.copied.notify_waiters();
    }

    /// As [`Room::give`], for copying the write-ahead log.
    pub(crate) async fn give_to_copy(self: &Arc<Self>) -> bool {
        self.give_down_to(START).await
    }

    /// Waits until work lacks room, which copying the write-ahead log would make.
    pub(crate) async fn wants_copy(&self) {
        self.copy.notified().await;
    }

    /// As [`Room::give`], for a start: all of it.
    pub(crate) async fn give_to_start(self: &Arc<Self>) -> bool {
        self.give_down_to(0).await
    }

    async fn give_down_to(self: &Arc<Self>, least: u64) -> bool {
        let is_news = self.ran_out();
        let room = self.clone();
        let given = tokio::task::spawn_blocking(move || room.shrink(least)).await;
        is_news || given.unwrap_or(false)
    }

    /// Refills the reserve when there is room again, until `stop`.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let watch = async {
            loop {
                if !self.is_short() {
                    self.wake.notified().await;
                }
                sleep(LOOK_EVERY).await;
                let room = self.clone();
                let refilled = tokio::task::spawn_blocking(move || room.refill()).await;
                if refilled.unwrap_or(false) {
                    self.short.store(false, Ordering::Release);
                    self.troubles.ended(DISK_FULL, "the disk has room again: everything is taken");
                }
            }
        };
        stop.run_until_cancelled(watch).await;
    }

    /// Gives up half of the reserve, of which so much is left at least; whether there was any.
    fn shrink(&self, least: u64) -> bool {
        let _turn = self.turn.lock();
        let Ok(bytes) = fs::metadata(&self.reserve).map(|file| file.len()) else { return false };
        let left = if bytes / 2 < CRUMB { 0 } else { bytes / 2 }.max(least);
        if left >= bytes {
            return false;
        }
        let given = match left {
            0 => fs::remove_file(&self.reserve),
            left => self.file().and_then(|file| file.set_len(left)),
        };
        match given {
            Ok(()) => bytes > 0,
            Err(error) => {
                tracing::error!(
                    event = "store.reserve_stuck", file = %self.reserve.display(), %error,
                    "the reserve is not given up"
                );
                false
            }
        }
    }

    /// Makes the reserve whole when as much again stays free; whether it is whole. Without a way to
    /// keep one there is none.
    fn refill(&self) -> bool {
        let _turn = self.turn.lock();
        let bytes = fs::metadata(&self.reserve).map_or(0, |file| file.len());
        let missing = self.bytes.saturating_sub(bytes);
        let is_room = |disk: Disk| disk.free_bytes >= missing + self.bytes;
        if !Disk::of(&self.reserve).is_none_or(is_room) && (missing > 0 || self.is_short()) {
            return false;
        }
        if missing == 0 {
            return true;
        }
        let filled = self.file().and_then(|file| {
            fill(&file, bytes, self.bytes).inspect_err(|_| {
                // What was taken halfway belongs to those who are at work.
                let _ = file.set_len(bytes);
            })
        });
        match filled {
            Ok(()) => true,
            Err(error) if is_full(&error) => false,
            Err(error) => {
                tracing::warn!(
                    event = "store.reserve_failed", file = %self.reserve.display(), %error,
                    "no reserve is kept"
                );
                true
            }
        }
    }

    fn file(&self) -> io::Result<File> {
        beside::open(&self.store, &self.reserve)
    }
}

/// Takes room for `file` from `from` up to `to`.
fn fill(file: &File, from: u64, to: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    match fallocate(file, FallocateFlags::empty(), 0, to) {
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {}
        done => return Ok(done?),
    }
    let (mut file, zeros) = (file, [0; 8 << 10]);
    file.seek(io::SeekFrom::Start(from))?;
    for _ in 0..to.saturating_sub(from).div_ceil(zeros.len() as u64) {
        file.write_all(&zeros)?;
    }
    Ok(())
}

/// The disk that a file is on, by its sizes.
#[derive(Clone, Copy)]
struct Disk {
    bytes: u64,
    free_bytes: u64,
}

impl Disk {
    /// None where a file system does not tell.
    fn of(path: &Path) -> Option<Self> {
        let told = told(path)?;
        // What is kept for root counts: whether we get it is seen when it is taken.
        let disk =
            Self { bytes: told.f_blocks * told.f_frsize, free_bytes: told.f_bfree * told.f_frsize };
        (disk.bytes > 0).then_some(disk)
    }
}

/// What the disk of `path` says of itself.
fn told(path: &Path) -> Option<StatVfs> {
    rustix::fs::statvfs(beside::folder(path)).ok()
}

/// What is free on the disk of `path` for whoever is not root; `None`: it does not tell.
pub(crate) fn available(path: &Path) -> Option<u64> {
    told(path).map(|told| told.f_bavail * told.f_frsize)
}

/// What is missing where a file could not be made or grow, with what helps: a disk can have room and
/// no inode.
pub(crate) fn what_is_full(path: &Path, error: &io::Error) -> &'static str {
    if is_full(error) && !has_inodes(path) { NO_INODES } else { "" }
}

/// Whether a file can be made on the disk of `path`.
pub(crate) fn has_inodes(path: &Path) -> bool {
    // Some file systems have no such bound, and tell 0 of 0.
    told(path).is_some_and(|told| told.f_files == 0 || told.f_favail > 0)
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
