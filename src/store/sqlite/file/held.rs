//! The database file as one process holds it: its real path, its locks, and whether it is still
//! the file of that name.

use std::{
    fs::{self, File, Metadata, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use super::beside::sibling;
use crate::store::StoreError;

/// Two locks. The one on `FILE.lock` tells who has the file; the one on the file itself cannot be
/// removed or passed by under another name.
pub(crate) struct Held {
    path: PathBuf,
    /// Closed behind every connection: closing any descriptor of a file drops the POSIX locks that
    /// SQLite has on it, while this lock (`flock`) and those do not see each other.
    database: File,
    /// Which file that is.
    known: Metadata,
    _named: File,
    /// Whether there was nothing in the file.
    was_empty: bool,
    /// What SQLite keeps open beside it.
    companions: Vec<(PathBuf, Metadata)>,
}

impl Held {
    /// Takes the file at `path` for this process, making an empty one where there is none.
    pub(crate) fn take(path: &Path) -> Result<Self, StoreError> {
        let path = real_path(path)?;
        let refused =
            |problem: String| StoreError::Refused(format!("{}: {problem}", path.display()));
        let was_empty = check_kind(&path).map_err(&refused)? == 0;
        let (named, other) = lock_beside(&path)?;
        super::record::check_missing(&path, was_empty)?;
        if was_empty && path.exists() {
            tracing::warn!(file = %path.display(), "the file is empty: a new store begins in it");
        } else if was_empty {
            tracing::info!(file = %path.display(), "a new store begins");
        }
        let database = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| refused(error.to_string()))?;
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
        let companions = Vec::new();
        let held = Self { path, database, known, _named: named, was_empty, companions };
        held.check().map_err(StoreError::Refused)?;
        Ok(held)
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
        self
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

fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// The path without links, its folder made as needed.
fn real_path(path: &Path) -> Result<PathBuf, StoreError> {
    let refused = |problem: String| StoreError::Refused(format!("{}: {problem}", path.display()));
    if path.to_string_lossy().starts_with('~') {
        return Err(refused("`~` is not expanded here; write the whole path".into()));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
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

/// Takes `FILE.lock`; also answers who had it before, for a message.
fn lock_beside(path: &Path) -> Result<(File, String), StoreError> {
    let name = sibling(path, ".lock");
    let refused = |problem: String| StoreError::Refused(format!("{}: {problem}", name.display()));
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&name)
        .map_err(|error| refused(error.to_string()))?;
    let mut holder = String::new();
    let _ = file.read_to_string(&mut holder);
    let holder = holder.trim();
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(refused(format!(
                "another relay uses {} (process {holder}); one file serves one process",
                path.display(),
            )));
        }
        Err(TryLockError::Error(error)) => return Err(refused(error.to_string())),
    }
    let written = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()));
    if let Err(error) = written {
        // On a full disk the lock holds as well; it only does not say whose it is.
        tracing::warn!(file = %name.display(), %error, "the process was not written into its lock");
    }
    let last = if holder.is_empty() { String::new() } else { format!(" (last: process {holder})") };
    Ok((file, last))
}
