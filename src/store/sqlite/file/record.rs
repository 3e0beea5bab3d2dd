//! The heads of all topics beside the database, in `FILE-heads`: what the file is held against when
//! it is opened.
//!
//! A line of the record is written behind every commit and before its answer, without a sync: it
//! survives the process. Once a second it is synced, so that a power cut leaves it behind the file
//! by a moment, never ahead. A file behind its record has lost what was acknowledged.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use parking_lot::{Mutex, MutexGuard};

use super::{beside::sibling, wal::Salts};
use crate::{
    event::Version,
    store::{StoreError, TopicState},
};

/// Bytes of a line, its end included: one never lies in two sectors.
const LINE: usize = 256;
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
}

/// The record of an open store.
pub(crate) struct Heads {
    path: PathBuf,
    lines: Mutex<Lines>,
}

struct Lines {
    file: File,
    head: Head,
    /// The line of each topic, by its row number.
    topics: HashMap<i64, u64>,
    /// Lines of topics that are gone.
    free: Vec<u64>,
    next: u64,
    dirty: bool,
    /// It was said that it cannot be written.
    told: bool,
}

fn name(path: &Path) -> PathBuf {
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
    let text = match fs::metadata(&name).and_then(|known| {
        if known.len() > BYTES_MAX {
            return Err(io::Error::other("it is too large"));
        }
        fs::read(&name)
    }) {
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
            Some((uid, known)) => drop(record.topics.insert(uid, known)),
            None => record.damaged += 1,
        }
    }
    Found::Record(record)
}

/// Says, synced, that the file is in use again, before anything is written to it.
pub(crate) fn reopen(path: &Path, head: &Head) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(name(path))?;
    file.write_all_at(&head_line(&Head { closed: false, wal: None, ..head.clone() }), 0)?;
    file.sync_data()
}

/// The text of a line whose checksum is right.
fn checked(line: &[u8]) -> Option<String> {
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
    Some(Head { store, run, closed, wal })
}

fn parse_topic(text: &str) -> Option<(String, Known)> {
    let mut words = text.split(' ');
    let uid = words.next()?.to_owned();
    let head = Version(words.next()?.parse().ok()?);
    Some((uid, Known { head, name: words.next()?.to_owned() }))
}

/// A line with its checksum, filled up to its length.
fn line(text: &str) -> Vec<u8> {
    let mut line = format!("{:08x} {text}", crc32fast::hash(text.as_bytes())).into_bytes();
    line.resize(LINE - 1, b' ');
    line.push(b'\n');
    line
}

fn head_line(head: &Head) -> Vec<u8> {
    let wal = head.wal.map_or_else(|| "-".to_owned(), |salts| salts.to_string());
    let state = if head.closed { "closed" } else { "open" };
    line(&format!("milkrun-heads-1 {} {} {state} {wal}", head.store, head.run))
}

fn topic_line(state: &TopicState) -> Vec<u8> {
    line(&format!("{} {} {}", state.uid, state.head, state.topic))
}

impl Heads {
    /// Writes the record anew, synced, and keeps it open.
    pub(crate) fn begin<'a>(
        path: &Path,
        head: Head,
        topics: impl Iterator<Item = &'a TopicState>,
    ) -> io::Result<Self> {
        let (name, fresh) = (name(path), sibling(path, "-heads.new"));
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&fresh)?;
        let mut text = head_line(&head);
        let mut numbers = HashMap::new();
        let mut next = 1;
        for topic in topics {
            text.extend(topic_line(topic));
            numbers.insert(topic.id, next);
            next += 1;
        }
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&fresh, &name)?;
        if let Some(folder) = name.parent() {
            File::open(folder)?.sync_all()?;
        }
        let lines = Lines {
            file,
            head,
            topics: numbers,
            free: Vec::new(),
            next,
            dirty: false,
            told: false,
        };
        Ok(Self { path: name, lines: Mutex::new(lines) })
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock()
    }

    /// Notes a topic as it was committed.
    pub(crate) fn note(&self, state: &TopicState) {
        let mut lines = self.lines();
        let number = lines.number(state.id);
        self.put(&mut lines, number, &topic_line(state));
    }

    /// Lets go of a topic that was deleted.
    pub(crate) fn forget(&self, topic: i64) {
        let mut lines = self.lines();
        let Some(number) = lines.topics.remove(&topic) else { return };
        lines.free.push(number);
        let mut blank = vec![b' '; LINE - 1];
        blank.push(b'\n');
        self.put(&mut lines, number, &blank);
    }

    /// Notes in what state the file is.
    pub(crate) fn set(&self, change: impl FnOnce(&mut Head)) {
        let mut lines = self.lines();
        let before = lines.head.clone();
        change(&mut lines.head);
        if lines.head != before {
            let line = head_line(&lines.head);
            self.put(&mut lines, 0, &line);
        }
    }

    /// Syncs what was noted; blocks.
    pub(crate) fn sync(&self) {
        let file = {
            let mut lines = self.lines();
            if !std::mem::take(&mut lines.dirty) {
                return;
            }
            lines.file.try_clone()
        };
        if let Err(error) = file.and_then(|file| file.sync_data()) {
            tracing::warn!(file = %self.path.display(), %error, "the record of heads was not synced");
        }
    }

    fn put(&self, lines: &mut Lines, number: u64, line: &[u8]) {
        lines.dirty = true;
        match lines.file.write_all_at(line, number * LINE as u64) {
            Ok(()) => lines.told = false,
            Err(error) if !lines.told => {
                lines.told = true;
                tracing::error!(
                    file = %self.path.display(), %error,
                    "the record of heads cannot be written: damage of the store may go unseen"
                );
            }
            Err(_) => {}
        }
    }
}

impl Lines {
    fn number(&mut self, topic: i64) -> u64 {
        if let Some(number) = self.topics.get(&topic) {
            return *number;
        }
        let number = self.free.pop().unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        });
        self.topics.insert(topic, number);
        number
    }
}
