//! Whether the file and its write-ahead log, which keep their names, still hold what SQLite has put
//! there: an editor, `cp` or `truncate` changes them in place, and SQLite does not see it.
//!
//! What they must hold is in the index of the log (`FILE-shm`,
//! <https://sqlite.org/walformat.html#the_wal_index_file_format>): how many frames the log has, by
//! which salts, how large the file is, and how much of the log was copied into it.

use std::{fs::File, io, os::unix::fs::FileExt as _, path::Path};

/// Bytes of the index's header: twice the log's state, then that of checkpoints.
const INDEX: usize = 136;
const STATE: usize = 48;
/// The index's version, and with it its layout.
const VERSION: u32 = 3_007_000;
const LOG_HEADER: u64 = 32;
const FRAME_HEADER: u64 = 24;
/// Bytes of the file's header that are compared.
const HEADER: usize = 100;
const MAGIC: &[u8] = b"SQLite format 3\0";

/// What there was at a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    index: Index,
    bytes: u64,
    header: Vec<u8>,
}

/// The state of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Index {
    page: u64,
    /// Frames that are committed.
    frames: u64,
    /// Pages of the database behind the last of them.
    pages: u64,
    salts: [u8; 8],
    /// Frames that are in the file, too.
    copied: u64,
    /// Frames that a checkpoint has begun to copy.
    copying: u64,
}

/// Where to look.
pub(crate) struct Files<'a> {
    pub(crate) database: &'a File,
    pub(crate) index: &'a File,
    pub(crate) log: Option<&'a File>,
    pub(crate) path: &'a Path,
    pub(crate) log_path: &'a Path,
}

/// Looks at all of it; the text says which file is not what it was. Without an answer it is at work
/// just now.
pub(crate) fn look(
    files: &Files<'_>,
    before: Option<&Seen>,
) -> io::Result<Result<Option<Seen>, String>> {
    let Some(index) = Index::read(files.index)? else { return Ok(Ok(None)) };
    let bytes = files.database.metadata()?.len();
    let header = read(files.database, 0, HEADER)?;
    let seen = Seen { index, bytes, header };
    let mut problem = seen.file(before).map(|problem| (files.path, problem));
    if problem.is_none() && index.frames > 0 {
        problem = log(files.log, &index, before)?.map(|problem| (files.log_path, problem));
    }
    // What changed meanwhile says nothing.
    if Index::read(files.index)? != Some(index) {
        return Ok(Ok(None));
    }
    Ok(match problem {
        Some((path, problem)) => Err(format!(
            "{}: it was changed in place while it was in use: {problem}",
            path.display()
        )),
        None => Ok(Some(seen)),
    })
}

impl Index {
    /// None while it is being written, and of another version.
    fn read(index: &File) -> io::Result<Option<Self>> {
        let bytes = read(index, 0, INDEX)?;
        let (Some(first), Some(second)) = (bytes.get(..STATE), bytes.get(STATE..2 * STATE)) else {
            return Ok(None);
        };
        if first != second || native(&bytes, 0) != VERSION || first[12] == 0 || bytes.len() < INDEX
        {
            return Ok(None);
        }
        // 1 means 65,536.
        let page = u64::from(u16::from_ne_bytes([first[14], first[15]]));
        let mut salts = [0; 8];
        salts.copy_from_slice(&first[32..40]);
        Ok(Some(Self {
            page: if page == 1 { 65_536 } else { page },
            frames: native(&bytes, 16).into(),
            pages: native(&bytes, 20).into(),
            salts,
            copied: native(&bytes, 96).into(),
            copying: native(&bytes, 128).into(),
        }))
    }

    /// Whether no checkpoint is under way, and none was broken off.
    fn is_quiet(&self) -> bool {
        self.copied == self.copying
    }

    fn frame(&self, number: u64) -> u64 {
        LOG_HEADER + (number - 1) * (FRAME_HEADER + self.page)
    }
}

impl Seen {
    /// What is wrong with the file.
    fn file(&self, before: Option<&Self>) -> Option<String> {
        let Self { index, bytes, header } = self;
        if !header.starts_with(MAGIC) {
            return Some("it does not begin as a database any more".into());
        }
        let least = index.pages * index.page;
        if index.is_quiet() && index.copied == index.frames && *bytes < least {
            return Some(format!("it has {bytes} bytes, and {least} were written"));
        }
        // A log begins anew when all of it is in the file, which says then how large it is.
        let least = pages(header).unwrap_or_default() * index.page;
        if index.copying == 0 && *bytes < least {
            return Some(format!("it has {bytes} bytes, and {least} were written"));
        }
        let before = before?;
        // Only a checkpoint writes to the file.
        let is_same = |one: &Index| (one.salts, one.copied, one.copying);
        if index.is_quiet() && is_same(index) == is_same(&before.index) {
            if *bytes != before.bytes {
                return Some(format!("it has {bytes} bytes, and {} were written", before.bytes));
            }
            if *header != before.header {
                return Some("another file was copied over it".into());
            }
        }
        let behind = changes(header).wrapping_sub(changes(&before.header));
        (behind > u32::MAX / 2).then(|| "an older file was copied over it".into())
    }
}

/// What is wrong with the log, in which there are frames.
fn log(log: Option<&File>, index: &Index, before: Option<&Seen>) -> io::Result<Option<String>> {
    let Some(log) = log else { return Ok(Some("it cannot be opened".into())) };
    let (bytes, least) = (log.metadata()?.len(), index.frame(index.frames + 1));
    if bytes < least {
        return Ok(Some(format!("it has {bytes} bytes, and {least} were written")));
    }
    let is_ours = |at: u64| Ok::<_, io::Error>(read(log, at, 8)? == index.salts);
    // The last frame of the time before lies where a log that was cut and written on has a hole.
    let known = before.filter(|before| before.index.salts == index.salts);
    let known = known.map(|before| before.index.frames).filter(|known| *known > 0);
    for frame in [Some(index.frames), known].into_iter().flatten() {
        if !is_ours(index.frame(frame) + 8)? {
            return Ok(Some(format!("frame {frame} is not what was written")));
        }
    }
    Ok((!is_ours(16)?).then(|| "it begins as another log".into()))
}

/// The file's change counter, which only rises.
fn changes(header: &[u8]) -> u32 {
    big(header, 24)
}

/// How many pages the file has by its header, when that is of the last change.
fn pages(header: &[u8]) -> Option<u64> {
    (big(header, 92) == changes(header)).then(|| big(header, 28).into())
}

fn big(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..at + 4).and_then(|word| word.try_into().ok());
    u32::from_be_bytes(word.unwrap_or_default())
}

fn native(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..at + 4).and_then(|word| word.try_into().ok());
    u32::from_ne_bytes(word.unwrap_or_default())
}

/// As many bytes as there are, at most `count`.
fn read(file: &File, at: u64, count: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; count];
    let mut filled = 0;
    while filled < count {
        match file.read_at(&mut bytes[filled..], at + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}
