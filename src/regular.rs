//! Files under names that others can put something else under: opened only when they are regular
//! files, and read only as far as expected.
//!
//! Opening a named pipe waits for its other end, and a device can be read for ever.

use std::{
    fs::{self, File, FileType, Metadata, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _},
    path::Path,
};

use rustix::fs::OFlags;

/// What a path leads to; `None` when there is nothing.
///
/// # Errors
/// It is no regular file, which the text says, or cannot be looked at.
pub(crate) fn look(path: &Path) -> io::Result<Option<Metadata>> {
    match fs::metadata(path) {
        Ok(found) => check(&found).map(|()| Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Opens a regular file, or makes it when `how` says so; never waits for anybody.
///
/// # Errors
/// As [`look`].
pub(crate) fn open(path: &Path, how: &mut OpenOptions) -> io::Result<File> {
    // Devices can do something when they are opened.
    look(path)?;
    let without_waiting = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = how.custom_flags(without_waiting).open(path)?;
    // Another file may have come to that name in between.
    check(&file.metadata()?)?;
    Ok(file)
}

/// The whole of a file that has at most `bytes_max`.
///
/// # Errors
/// As [`look`]; the file is larger, or is no UTF-8.
pub(crate) fn read_text(path: &Path, bytes_max: u64) -> io::Result<String> {
    let bytes = read(path, bytes_max)?;
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is no UTF-8"))
}

/// As [`read_text`], of any bytes.
pub(crate) fn read(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let file = open(path, OpenOptions::new().read(true))?;
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(io::Error::other(format!("it has more than {}", size(bytes_max))));
    }
    Ok(bytes)
}

fn check(found: &Metadata) -> io::Result<()> {
    if found.is_file() {
        return Ok(());
    }
    let what = kind(found.file_type());
    Err(io::Error::other(format!("it is no regular file, but a {what}")))
}

fn kind(found: FileType) -> &'static str {
    if found.is_dir() {
        "folder"
    } else if found.is_fifo() {
        "named pipe"
    } else if found.is_socket() {
        "socket"
    } else {
        "device"
    }
}

fn size(bytes: u64) -> String {
    if bytes >= 1 << 20 { format!("{} MiB", bytes >> 20) } else { format!("{} KiB", bytes >> 10) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_of_the_expected_size_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("good"), "text").unwrap();
        assert_eq!(read_text(&path("good"), 4 << 10).unwrap(), "text");
        let refusal = |name: &str| read_text(&path(name), 4 << 10).unwrap_err().to_string();
        assert!(look(&path("nothing")).unwrap().is_none());
        File::create(path("large")).unwrap().set_len(5 << 30).unwrap();
        assert_eq!(refusal("large"), "it has more than 4 KiB");
        rustix::fs::mkfifoat(rustix::fs::CWD, path("pipe"), rustix::fs::Mode::RUSR).unwrap();
        std::os::unix::fs::symlink(path("pipe"), path("link")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", path("zero")).unwrap();
        fs::create_dir(path("folder")).unwrap();
        for (name, what) in [
            ("pipe", "a named pipe"),
            ("link", "a named pipe"),
            ("zero", "a device"),
            ("folder", "a folder"),
        ] {
            assert_eq!(refusal(name), format!("it is no regular file, but {what}"));
            assert!(look(&path(name)).is_err(), "{name}");
            assert!(open(&path(name), OpenOptions::new().write(true)).is_err(), "{name}");
        }
    }
}
