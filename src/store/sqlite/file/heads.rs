//! The record of heads of an open store: its lines, kept as topics change.

use std::{
    collections::{HashMap, VecDeque},
    fs::{self, File},
    io,
    ops::Range,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::{Mutex, MutexGuard};

use super::{
    held,
    record::{self, Gone, Head, Known, LINE},
};
use crate::{
    event::{Topic, Version},
    store::TopicState,
};

/// Tombstones that are kept; the oldest go first.
pub(crate) const TOMBSTONES_MAX: usize = 10_000;

/// Lines that are compared with the disk in one look.
const COMPARED: usize = 256;

/// A line's checksum as it is written.
type Sum = [u8; 8];

/// The record of an open store.
pub(crate) struct Heads {
    path: PathBuf,
    lines: Mutex<Lines>,
}

struct Lines {
    file: File,
    /// The first bytes of each line as it was written: its checksum.
    noted: Vec<Sum>,
    /// The line that is compared next.
    compared: usize,
    head: Head,
    /// The line of each topic and the head in it, by its row number.
    topics: HashMap<i64, (u64, Version)>,
    /// Topics that are gone, the oldest first.
    gone: VecDeque<Tombstone>,
    /// Lines without a topic.
    free: Vec<u64>,
    next: u64,
    dirty: bool,
    /// It was said that it cannot be written.
    told: bool,
}

/// A topic that is gone.
#[derive(Clone)]
pub(crate) struct Tombstone {
    /// Its line; 0 until it has one.
    line: u64,
    uid: String,
    head: Version,
    name: String,
    gone: Gone,
}

impl Tombstone {
    /// Those of `topics` that are in no file any more, the oldest first; what was not gone before
    /// is lost.
    pub(crate) fn of(topics: impl Iterator<Item = (String, Known)>) -> Vec<Self> {
        let (mut tombstones, mut last) = (Vec::new(), 0);
        let mut fresh = Vec::new();
        for (uid, Known { head, name, gone }) in topics {
            let of = |gone| Self { line: 0, uid, head, name, gone };
            match gone {
                Some(gone) => {
                    last = last.max(gone.number);
                    tombstones.push(of(gone));
                }
                None => fresh.push(of(Gone { deleted: false, number: 0 })),
            }
        }
        for tombstone in &mut fresh {
            last += 1;
            tombstone.gone.number = last;
        }
        tombstones.extend(fresh);
        tombstones.sort_by_key(|tombstone| tombstone.gone.number);
        tombstones
    }

    fn text(&self) -> Vec<u8> {
        record::tombstone_line(&self.uid, self.head, &self.name, self.gone)
    }
}

impl Heads {
    /// Writes the record anew, synced, and keeps it open.
    pub(crate) fn begin<'a>(
        path: &Path,
        head: Head,
        topics: impl Iterator<Item = &'a TopicState>,
        gone: Vec<Tombstone>,
    ) -> io::Result<Self> {
        let lines = Lines::begin(path, head, topics, gone)?;
        Ok(Self { path: record::name(path), lines: Mutex::new(lines) })
    }

    /// What is wrong with the record on the disk, beginning with its name: another file in its place,
    /// or other lines than were noted. Of many lines a part is looked at each time.
    pub(crate) fn damage(&self) -> Option<String> {
        let mut lines = self.lines();
        let wrong = match lines.is_there(&self.path) {
            Ok(true) => lines.is_as_noted(),
            there => there,
        };
        let problem = match wrong {
            Ok(true) => return None,
            Ok(false) => "it was removed, replaced or changed by another program".to_owned(),
            Err(error) => format!("it cannot be read: {error}"),
        };
        Some(format!("{}: {problem}", self.path.display()))
    }

    /// Writes all of it anew, with the topics that `states` answers while nothing is noted.
    pub(crate) fn write_anew(
        &self,
        path: &Path,
        states: impl FnOnce() -> Vec<Arc<TopicState>>,
    ) -> io::Result<()> {
        let mut lines = self.lines();
        let (states, gone) = (states(), lines.gone.iter().cloned().collect());
        // A head is noted before it is published.
        let states: Vec<TopicState> = states
            .iter()
            .map(|state| {
                let noted = lines.topics.get(&state.id).map_or(Version::ZERO, |(_, head)| *head);
                TopicState { head: state.head.max(noted), ..(**state).clone() }
            })
            .collect();
        *lines = Lines::begin(path, lines.head.clone(), states.iter(), gone)?;
        Ok(())
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock()
    }

    /// Notes a topic as it was committed.
    pub(crate) fn note(&self, state: &TopicState) {
        let mut lines = self.lines();
        let number = lines.number(state);
        self.put(&mut lines, number, &record::topic_line(state));
    }

    /// Makes the line of a topic that was deleted its tombstone.
    pub(crate) fn bury(&self, state: &TopicState) {
        let mut lines = self.lines();
        let Some((line, _)) = lines.topics.remove(&state.id) else { return };
        let number = lines.gone.back().map_or(1, |last| last.gone.number + 1);
        let tombstone = Tombstone {
            line,
            uid: state.uid.clone(),
            head: state.head,
            name: state.topic.to_string(),
            gone: Gone { deleted: true, number },
        };
        self.put(&mut lines, line, &tombstone.text());
        lines.gone.push_back(tombstone);
        if lines.gone.len() > TOMBSTONES_MAX
            && let Some(oldest) = lines.gone.pop_front()
        {
            // From now on a topic without a line can be one that is gone. That is said first.
            if std::mem::take(&mut lines.head.whole) {
                let line = record::head_line(&lines.head);
                self.put(&mut lines, 0, &line);
            }
            lines.free.push(oldest.line);
            self.put(&mut lines, oldest.line, &record::blank_line());
        }
    }

    /// The head of the topic of that name that went last, when it was lost and not deleted.
    pub(crate) fn lost(&self, topic: &Topic) -> Option<Version> {
        let lines = self.lines();
        let last = lines.gone.iter().rev().find(|one| one.name == topic.as_str())?;
        (!last.gone.deleted).then_some(last.head)
    }

    /// Notes in what state the file is.
    pub(crate) fn set(&self, change: impl FnOnce(&mut Head)) {
        let mut lines = self.lines();
        let before = lines.head.clone();
        change(&mut lines.head);
        if lines.head != before {
            let line = record::head_line(&lines.head);
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
            tracing::warn!(
                event = "store.record_unsynced", file = %self.path.display(), %error,
                "the record of heads was not synced"
            );
        }
    }

    fn put(&self, lines: &mut Lines, number: u64, line: &[u8]) {
        lines.dirty = true;
        let at = usize::try_from(number).unwrap_or(usize::MAX);
        if at >= lines.noted.len() {
            lines.noted.resize(at + 1, BLANK);
        }
        lines.noted[at] = sum(line);
        match lines.file.write_all_at(line, number * LINE as u64) {
            Ok(()) => lines.told = false,
            Err(error) if !lines.told => {
                lines.told = true;
                tracing::error!(
                    event = "store.record_unwritten", file = %self.path.display(), %error,
                    "the record of heads cannot be written: damage of the store may go unseen"
                );
            }
            Err(_) => {}
        }
    }
}

impl Lines {
    fn begin<'a>(
        path: &Path,
        head: Head,
        topics: impl Iterator<Item = &'a TopicState>,
        gone: Vec<Tombstone>,
    ) -> io::Result<Self> {
        let mut gone = VecDeque::from(gone);
        let dropped = gone.len().saturating_sub(TOMBSTONES_MAX);
        gone.drain(..dropped);
        let head = Head { whole: head.whole && dropped == 0, ..head };
        let mut text = record::head_line(&head);
        let mut numbers = HashMap::new();
        let mut next = 1;
        for topic in topics {
            text.extend(record::topic_line(topic));
            numbers.insert(topic.id, (next, topic.head));
            next += 1;
        }
        for tombstone in &mut gone {
            text.extend(tombstone.text());
            tombstone.line = next;
            next += 1;
        }
        let file = record::replace(path, &text).or_else(|error| match error.kind() {
            // What has room already needs none.
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                record::overwrite(path, &head, &text).map_err(|_| error)
            }
            _ => Err(error),
        })?;
        Ok(Self {
            file,
            noted: text.chunks(LINE).map(sum).collect(),
            compared: 0,
            head,
            topics: numbers,
            gone,
            free: Vec::new(),
            next,
            dirty: false,
            told: false,
        })
    }

    /// Whether the name still leads to this file.
    fn is_there(&self, path: &Path) -> io::Result<bool> {
        match fs::metadata(path) {
            Ok(there) => Ok(held::is_same(&there, &self.file.metadata()?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether the first line and some others are those that were written last.
    fn is_as_noted(&mut self) -> io::Result<bool> {
        if self.file.metadata()?.len() != (self.noted.len() * LINE) as u64 {
            return Ok(false);
        }
        if self.compared >= self.noted.len() {
            self.compared = 0;
        }
        let (from, to) = (self.compared, (self.compared + COMPARED).min(self.noted.len()));
        self.compared = to;
        Ok(self.are_as_noted(0..1)? && self.are_as_noted(from..to)?)
    }

    fn are_as_noted(&self, range: Range<usize>) -> io::Result<bool> {
        let mut text = vec![0; range.len() * LINE];
        self.file.read_exact_at(&mut text, (range.start * LINE) as u64)?;
        let is_noted = |(line, noted): (&[u8], &Sum)| {
            sum(line) == *noted && (*noted == BLANK || record::checked(line).is_some())
        };
        Ok(text.chunks(LINE).zip(&self.noted[range]).all(is_noted))
    }

    fn number(&mut self, state: &TopicState) -> u64 {
        if let Some((number, head)) = self.topics.get_mut(&state.id) {
            *head = state.head;
            return *number;
        }
        let number = self.free.pop().unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        });
        self.topics.insert(state.id, (number, state.head));
        number
    }
}

/// The checksum of a line without a topic.
const BLANK: Sum = [b' '; 8];

fn sum(line: &[u8]) -> Sum {
    line.first_chunk().copied().unwrap_or(BLANK)
}
