//! What lies beside the file: its name, its kind, and whose it is.

use std::{
    fs::{self, File, Metadata, OpenOptions, Permissions},
    io,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown},
    path::{Path, PathBuf},
};

use crate::{regular, store::StoreError};

/// Everything that is kept beside the file but the trace, which is set aside when it is of no use.
const COMPANIONS: [&str; 7] =
    ["-wal", "-shm", "-journal", "-heads", "-heads.new", "-reserve", ".lock"];

/// `PATH` with `suffix` behind its whole name.
pub(crate) fn sibling(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The folder of a file; a bare name is in the working directory.
pub(crate) fn folder(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// Refuses what cannot be ours, before anybody opens it: a named pipe would be waited for.
pub(crate) fn check_kinds(path: &Path) -> Result<(), StoreError> {
    for name in COMPANIONS.map(|suffix| sibling(path, suffix)) {
        let looked = unlinked(&name).and_then(|()| regular::look(&name));
        looked.map_err(|error| {
            StoreError::Refused(format!("{}: {error}; move it away", name.display()))
        })?;
    }
    Ok(())
}

/// Refuses a link: what it leads to would be written, cut and removed.
fn unlinked(name: &Path) -> io::Result<()> {
    match fs::symlink_metadata(name) {
        Ok(found) if found.is_symlink() => {
            Err(io::Error::other("it is no regular file, but a symbolic link"))
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Opens `name` to be read and written, made as needed, for whoever has the file at `store`.
pub(crate) fn open(store: &Path, name: &Path) -> io::Result<File> {
    unlinked(name)?;
    let is_there = regular::look(name)?.is_some();
    let how = &mut OpenOptions::new();
    let how = how.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = regular::open(name, how)?;
    if !is_there {
        give(&file, name, store);
    }
    Ok(file)
}

/// Makes `name` anew and empty, for whoever has the file at `store`. Nobody's link is followed.
pub(crate) fn create(store: &Path, name: &Path) -> io::Result<File> {
    match fs::remove_file(name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(name)?;
    give(&file, name, store);
    Ok(file)
}

/// Gives a fresh file the owner and the mode of the store's: when another user has made it, as root
/// with an offline command, the relay is to open it all the same.
fn give(file: &File, name: &Path, store: &Path) {
    let given = match fs::metadata(store) {
        Ok(store) => give_as(file, &store),
        // The store is made next.
        Err(_) => file.set_permissions(Permissions::from_mode(0o600)),
    };
    if let Err(error) = given {
        tracing::warn!(
            event = "store.permissions_failed", file = %name.display(), %error,
            "the file could not be given the owner and the mode of the store's"
        );
    }
}

fn give_as(file: &File, store: &Metadata) -> io::Result<()> {
    let made = file.metadata()?;
    if (made.uid(), made.gid()) != (store.uid(), store.gid()) {
        fchown(file, Some(store.uid()), Some(store.gid()))?;
    }
    file.set_permissions(Permissions::from_mode(store.mode() & 0o666))
}
