//! The database file as one process holds it: its real path, its locks, and whether it is still
//! the file of that name.

use std::{
    fs::{self, File, Metadata, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    beside::{self, sibling},
    room,
};
use crate::{regular, store::StoreError};

/// The number of a process and the end of a line; more is no lock.
const LOCK_BYTES_MAX: u64 = 1 << 10;

/// Two locks. The one on `FILE.lock` tells who has the file; the one on the file itself cannot be
/// removed or passed by under another name.
pub(crate) struct Held {
    path: PathBuf,
    /// Closed behind every connection: closing any descriptor of a file drops the POSIX locks that
    /// SQLite has on it, while this lock (`flock`) and those do not see each other.
    database: Arc<File>,
    /// Which file that is.
    known: Metadata,
    _named: Option<File>,
    /// Whether there was nothing in the file.
    was_empty: bool,
    /// What SQLite keeps open beside it.
    companions: Vec<(PathBuf, Metadata)>,
    /// The index of the log, open for the same reason and as long as the file.
    index: Option<Arc<File>>,
    /// What was changed in place, in words.
    torn: Option<String>,
}

impl Held {
    /// Takes the file at `path` for this process, making an empty one where there is none.
    pub(crate) fn take(path: &Path) -> Result<Self, StoreError> {
        let path = real_path(path)?;
        let refused =
            |problem: String| StoreError::Refused(format!("{}: {problem}", path.display()));
        let was_empty = check_kind(&path).map_err(&refused)? == 0;
        beside::check_kinds(&path)?;
        let (named, other) = lock_beside(&path)?;
        super::record::check_missing(&path, was_empty)?;
        if was_empty && path.exists() {
            tracing::warn!(
                event = "store.file_empty", file = %path.display(),
                "the file is empty: a new store begins in it"
            );
        } else if was_empty {
            tracing::info!(event = "store.created", file = %path.display(), "a new store begins");
        }
        let database = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| refused(format!("{error}{}", room::what_is_full(&path, &error))))?;
        match database.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let other = format!("another process has it locked{other}");
                return Err(refused(format!("{other}; one file serves one process")));
            }
            Err(TryLockError::Error(error)) => {
                return Err(refused(format!("it cannot be locked: {error}")));
            }
        }
        let known = database.metadata().map_err(|error| refused(error.to_string()))?;
        let held = Self {
            path,
            database: Arc::new(database),
            known,
            _named: Some(named),
            was_empty,
            companions: Vec::new(),
            index: None,
            torn: None,
        };
        held.check().map_err(StoreError::Refused)?;
        Ok(held)
    }

    /// Takes the file at `path` to look at it: nothing is made, written or changed.
    pub(crate) fn take_to_look(path: &Path) -> Result<Self, StoreError> {
        let refused =
            |problem: String| StoreError::Refused(format!("{}: {problem}", path.display()));
        let path = fs::canonicalize(path).map_err(|error| refused(error.to_string()))?;
        let was_empty = check_kind(&path).map_err(&refused)? == 0;
        beside::check_kinds(&path)?;
        let named = look_at_lock(&path)?;
        let database = File::open(&path).map_err(|error| refused(error.to_string()))?;
        // Several may look at once, and a file that may only be read can be locked so.
        match database.try_lock_shared() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let other = format!("{}: another process has it locked", path.display());
                return Err(StoreError::InUse(other));
            }
            Err(TryLockError::Error(error)) => {
                return Err(refused(format!("it cannot be locked: {error}")));
            }
        }
        let known = database.metadata().map_err(|error| refused(error.to_string()))?;
        Ok(Self {
            path,
            database: Arc::new(database),
            known,
            _named: named,
            was_empty,
            companions: Vec::new(),
            index: None,
            torn: None,
        })
    }

    /// Where the file really is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there was nothing in the file, or no file.
    pub(crate) fn was_empty(&self) -> bool {
        self.was_empty
    }

    /// Also looks after the log and the memory that SQLite has open beside the file by now.
    pub(crate) fn with_companions(mut self) -> Self {
        let known = ["-wal", "-shm"].map(|suffix| sibling(&self.path, suffix));
        let known = known.into_iter().filter_map(|path| Some((fs::metadata(&path).ok()?, path)));
        self.companions = known.map(|(known, path)| (path, known)).collect();
        let index = sibling(&self.path, "-shm");
        self.index = regular::open(&index, OpenOptions::new().read(true)).ok().map(Arc::new);
        self
    }

    /// The file and the index of its log, when that is open.
    pub(crate) fn open_files(&self) -> Option<(Arc<File>, Arc<File>)> {
        Some((self.database.clone(), self.index.clone()?))
    }

    /// Notes that something was changed in place: nothing is written to it any more.
    pub(crate) fn changed_in_place(&mut self, problem: String) {
        self.torn.get_or_insert(problem);
    }

    /// Whether that was noted.
    pub(crate) fn is_changed_in_place(&self) -> bool {
        self.torn.is_some()
    }

    /// The first bytes of the file, as many as there are.
    pub(crate) fn header(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; 100];
        let read = self.database.read_at(&mut bytes, 0)?;
        bytes.truncate(read);
        Ok(bytes)
    }

    /// Whether the names still lead to what is open; the text says what is wrong.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.check_file()?;
        self.companions.iter().try_for_each(|(path, held)| check(path, held))
    }

    /// As [`Self::check`], of the file alone.
    pub(crate) fn check_file(&self) -> Result<(), String> {
        self.torn.clone().map_or(Ok(()), Err)?;
        check(&self.path, &self.known)
    }
}

fn check(path: &Path, held: &Metadata) -> Result<(), String> {
    let problem = match fs::metadata(path) {
        Ok(now) if is_same(&now, held) => return Ok(()),
        Ok(_) => "another file has taken its place while it was in use".to_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            "it was removed or renamed while it was in use".to_owned()
        }
        Err(error) => error.to_string(),
    };
    Err(format!("{}: {problem}", path.display()))
}

/// Whether both are of one file.
pub(crate) fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// The path without links, its folder made as needed.
fn real_path(path: &Path) -> Result<PathBuf, StoreError> {
    let refused = |problem: String| StoreError::Refused(format!("{}: {problem}", path.display()));
    if path.to_string_lossy().starts_with('~') {
        return Err(refused("`~` is not expanded here; write the whole path".into()));
    }
    let folder = beside::folder(path);
    fs::create_dir_all(folder)
        .map_err(|error| refused(format!("its folder cannot be made: {error}")))?;
    match fs::canonicalize(path) {
        Ok(real) => Ok(real),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if fs::symlink_metadata(path).is_ok() {
                return Err(refused("it is a link to nothing; put the file there first".into()));
            }
            let name = path.file_name().ok_or_else(|| refused("it names no file".into()))?;
            let folder = fs::canonicalize(folder).map_err(|error| refused(error.to_string()))?;
            Ok(folder.join(name))
        }
        Err(error) => Err(refused(error.to_string())),
    }
}

/// The size of a file that can be a store's; 0 when there is none.
fn check_kind(path: &Path) -> Result<u64, String> {
    let known = match fs::metadata(path) {
        Ok(known) => known,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error.to_string()),
    };
    if !known.is_file() {
        return Err("it is no ordinary file".into());
    }
    if known.nlink() > 1 {
        return Err(format!(
            "the file has {} names (hard links), and its `-wal` is found under one of them only; \
             remove the others, or copy the file",
            known.nlink()
        ));
    }
    Ok(known.len())
}

/// Refuses a file whose `FILE.lock` somebody has; the lock is left as it is.
fn look_at_lock(path: &Path) -> Result<Option<File>, StoreError> {
    let name = sibling(path, ".lock");
    let refused = |problem: String| StoreError::Refused(format!("{}: {problem}", name.display()));
    let file = match regular::open(&name, OpenOptions::new().read(true)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(refused(error.to_string())),
    };
    let holder = holder(&file).map_err(refused)?;
    match file.try_lock_shared() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(taken(path, &name, &holder))),
        Err(TryLockError::Error(error)) => {
            Err(StoreError::Refused(format!("{}: {error}", name.display())))
        }
    }
}

fn taken(path: &Path, lock: &Path, holder: &str) -> String {
    format!(
        "{}: another relay uses {} (process {holder}); one file serves one process",
        lock.display(),
        path.display(),
    )
}

/// The process that a lock names.
fn holder(lock: &File) -> Result<String, String> {
    let mut text = String::new();
    let read = lock.take(LOCK_BYTES_MAX + 1).read_to_string(&mut text);
    if read.is_ok_and(|bytes| bytes as u64 > LOCK_BYTES_MAX) {
        return Err("it is too large to be a lock of ours; move it away".into());
    }
    Ok(text.trim().to_owned())
}

/// Takes `FILE.lock`; also answers who had it before, for a message.
fn lock_beside(path: &Path) -> Result<(File, String), StoreError> {
    let name = sibling(path, ".lock");
    let refused = |problem: String| StoreError::Refused(format!("{}: {problem}", name.display()));
    let mut file = beside::open(path, &name)
        .map_err(|error| refused(format!("{error}{}", room::what_is_full(path, &error))))?;
    let holder = holder(&file).map_err(&refused)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(StoreError::Refused(taken(path, &name, &holder)));
        }
        Err(TryLockError::Error(error)) => return Err(refused(error.to_string())),
    }
    let written = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()));
    if let Err(error) = written {
        // On a full disk the lock holds as well; it only does not say whose it is.
        tracing::warn!(
            event = "store.lock_unwritten", file = %name.display(), %error,
            "the process was not written into its lock"
        );
    }
    let last = if holder.is_empty() { String::new() } else { format!(" (last: process {holder})") };
    Ok((file, last))
}
