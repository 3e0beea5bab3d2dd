//! The heads of all topics beside the database, in `FILE-heads`: what the file is held against when
//! it is opened.
//!
//! A line of the record is written behind every commit and before its answer, without a sync: it
//! survives the process. Once a second it is synced, so that a power cut leaves it behind the file
//! by a moment, never ahead. A file behind its record has lost what was acknowledged.
//!
//! A topic that goes leaves a tombstone with its head: an older file brings the topic back, and its
//! versions were given.

use std::{
    collections::{HashMap, hash_map::Entry},
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use super::{
    beside::{self, sibling},
    room,
    wal::Salts,
};
use crate::{
    event::Version,
    regular,
    store::{StoreError, TopicState},
};

/// Bytes of a line, its end included: one never lies in two sectors.
pub(crate) const LINE: usize = 256;
/// A bound for what is read at a start.
const BYTES_MAX: u64 = 256 << 20;

/// The first line: which file this is about, and in what state it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    /// The store, as in its `meta`.
    pub(crate) store: String,
    /// How often it was opened to be written; as in its `meta`.
    pub(crate) run: u64,
    /// Whether it was closed, so that there is no write-ahead log.
    pub(crate) closed: bool,
    /// The write-ahead log as last seen.
    pub(crate) wal: Option<Salts>,
    /// Whether every topic that ever was in the store has a line: no tombstone was dropped, and no
    /// earlier release, which keeps none, has written the record.
    pub(crate) whole: bool,
}

/// What was found beside a file.
#[derive(Debug)]
pub(crate) enum Found {
    /// Nothing.
    Missing,
    /// What is no record, or none any more.
    Damaged(String),
    /// A record.
    Record(Record),
}

/// A record as it was read.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) head: Head,
    /// By the topic's `uid`.
    pub(crate) topics: HashMap<String, Known>,
    /// Lines that cannot be read: a topic without a line may have had one of them.
    pub(crate) damaged: usize,
}

/// What is known of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) head: Version,
    pub(crate) name: String,
    /// Set in a tombstone.
    pub(crate) gone: Option<Gone>,
}

/// How a topic went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone {
    /// Whether it was deleted; else a file came back without it.
    pub(crate) deleted: bool,
    /// Rises with every topic that goes: tombstones with low numbers are dropped first.
    pub(crate) number: u64,
}

/// `FILE-heads`.
pub(crate) fn name(path: &Path) -> PathBuf {
    sibling(path, "-heads")
}

/// Refuses an empty file where a record tells of a store.
pub(crate) fn check_missing(path: &Path, is_empty: bool) -> Result<(), StoreError> {
    if !is_empty {
        return Ok(());
    }
    let refused = |beside: &Path, tells: &str| {
        Err(StoreError::Refused(format!(
            "{}: the file is empty or not there, but {} {tells}; put the file back, or remove {} \
             to begin with an empty store",
            path.display(),
            beside.display(),
            beside.display(),
        )))
    };
    let log = sibling(path, "-wal");
    // SQLite would remove the log of an empty file without a word.
    if fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
        return refused(&log, "holds what was written to it");
    }
    match read(path) {
        Found::Missing => Ok(()),
        Found::Record(record) if record.topics.is_empty() && record.damaged == 0 => Ok(()),
        Found::Damaged(_) | Found::Record(_) => refused(&name(path), "tells of a store here"),
    }
}

/// What there is beside the file.
pub(crate) fn read(path: &Path) -> Found {
    let name = name(path);
    let text = match regular::read(&name, BYTES_MAX) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Found::Missing,
        Err(error) => return Found::Damaged(error.to_string()),
    };
    let mut lines = text.chunks(LINE);
    let head = lines.next().and_then(checked).and_then(|line| parse_head(&line));
    let Some(head) = head else {
        return Found::Damaged("its first line cannot be read".into());
    };
    let mut record = Record { head, topics: HashMap::new(), damaged: 0 };
    for line in lines.filter(|line| !line.trim_ascii().is_empty()) {
        match checked(line).and_then(|line| parse_topic(&line)) {
            Some((uid, known)) => record.add(uid, known),
            None => record.damaged += 1,
        }
    }
    Found::Record(record)
}

impl Record {
    /// A topic can have two lines when a crash met a record that was being written in place: the
    /// higher head counts.
    fn add(&mut self, uid: String, known: Known) {
        match self.topics.entry(uid) {
            Entry::Vacant(place) => {
                place.insert(known);
            }
            Entry::Occupied(mut place) => {
                let kept = place.get_mut();
                kept.head = kept.head.max(known.head);
                kept.gone = kept.gone.or(known.gone);
            }
        }
    }
}

/// Says, synced, that the file is in use again, before anything is written to it.
pub(crate) fn reopen(path: &Path, head: &Head) -> io::Result<()> {
    let line = head_line(&Head { closed: false, wal: None, ..head.clone() });
    match regular::open(&name(path), OpenOptions::new().write(true)) {
        Ok(file) => {
            file.write_all_at(&line, 0)?;
            file.sync_data()
        }
        // Another user has written it, as root with an earlier release. Who has the folder can put
        // a file in its place.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let mut text = regular::read(&name(path), BYTES_MAX)?;
            drop(text.splice(..LINE.min(text.len()), line));
            replace(path, &text).map(drop)
        }
        Err(error) => Err(error),
    }
}

/// Puts a record with this text in the place of the one that is there, synced.
pub(crate) fn replace(path: &Path, text: &[u8]) -> io::Result<File> {
    let (name, fresh) = (name(path), sibling(path, "-heads.new"));
    let mut file = beside::create(path, &fresh)?;
    let written = file.write_all(text).and_then(|()| file.sync_all());
    let put = written.and_then(|()| fs::rename(&fresh, &name));
    if let Err(error) = put {
        // What was written halfway takes room from those who are at work.
        let _ = fs::remove_file(&fresh);
        return Err(error);
    }
    if let Some(folder) = name.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(file)
}

/// As [`replace`], in the file that is there: for a disk on which no other can be made. A crash in
/// between leaves a record that does not vouch for what it does not name.
pub(crate) fn overwrite(path: &Path, head: &Head, text: &[u8]) -> io::Result<File> {
    let how = &mut OpenOptions::new();
    let file = regular::open(&name(path), how.read(true).write(true))?;
    file.write_all_at(&head_line(&Head { whole: false, ..head.clone() }), 0)?;
    file.sync_all()?;
    file.write_all_at(text.get(LINE..).unwrap_or_default(), LINE as u64)?;
    file.set_len(text.len() as u64)?;
    file.sync_all()?;
    file.write_all_at(&head_line(head), 0)?;
    file.sync_all()?;
    Ok(file)
}

/// Says that the record cannot be written, with its name and with what helps.
pub(crate) fn cannot_write(path: &Path, error: &io::Error) -> StoreError {
    let help = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "; give the file and its folder to the user who runs the relay"
        }
        _ => room::what_is_full(path, error),
    };
    let name = name(path);
    StoreError::Refused(format!(
        "{}: the record of heads cannot be written: {error}{help}",
        name.display()
    ))
}

/// The text of a line whose checksum is right.
pub(crate) fn checked(line: &[u8]) -> Option<String> {
    let text = str::from_utf8(line).ok().filter(|_| line.len() == LINE)?.trim_end();
    let (sum, rest) = text.split_once(' ')?;
    (u32::from_str_radix(sum, 16).ok()? == crc32fast::hash(rest.as_bytes()))
        .then(|| rest.to_owned())
}

fn parse_head(text: &str) -> Option<Head> {
    let mut words = text.split(' ');
    let mut next = || words.next();
    if next()? != "milkrun-heads-1" {
        return None;
    }
    let store = next()?.to_owned();
    let run = next()?.parse().ok()?;
    let closed = next()? == "closed";
    let wal = Salts::parse(next()?);
    let whole = next() == Some("whole");
    Some(Head { store, run, closed, wal, whole })
}

fn parse_topic(text: &str) -> Option<(String, Known)> {
    let mut words = text.split(' ');
    let uid = words.next()?.to_owned();
    let head = Version(words.next()?.parse().ok()?);
    let name = words.next()?.to_owned();
    let gone = match words.next() {
        None => None,
        Some(how) => Some(Gone { deleted: how == "deleted", number: words.next()?.parse().ok()? }),
    };
    Some((uid, Known { head, name, gone }))
}

/// A line with its checksum, filled up to its length.
fn line(text: &str) -> Vec<u8> {
    let mut line = format!("{:08x} {text}", crc32fast::hash(text.as_bytes())).into_bytes();
    line.resize(LINE - 1, b' ');
    line.push(b'\n');
    line
}

/// The first line.
pub(crate) fn head_line(head: &Head) -> Vec<u8> {
    let wal = head.wal.map_or_else(|| "-".to_owned(), |salts| salts.to_string());
    let state = if head.closed { "closed" } else { "open" };
    let whole = if head.whole { "whole" } else { "partial" };
    line(&format!("milkrun-heads-1 {} {} {state} {wal} {whole}", head.store, head.run))
}

/// The line of a topic.
pub(crate) fn topic_line(state: &TopicState) -> Vec<u8> {
    line(&format!("{} {} {}", state.uid, state.head, state.topic))
}

/// The line of a topic that is gone.
pub(crate) fn tombstone_line(uid: &str, head: Version, name: &str, gone: Gone) -> Vec<u8> {
    let how = if gone.deleted { "deleted" } else { "lost" };
    line(&format!("{uid} {head} {name} {how} {}", gone.number))
}

/// A line without a topic.
pub(crate) fn blank_line() -> Vec<u8> {
    let mut line = vec![b' '; LINE - 1];
    line.push(b'\n');
    line
}
