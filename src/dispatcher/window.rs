//! The state machine over one position: what is read ahead, in flight, excepted and unsaved.
//!
//! Pure: no store, no clock, no network. A version is at any moment in one of these places: above
//! the reach (perhaps in `ready`), `again`, `exceptions`, in flight besides, or settled.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use crate::{
    event::{Event, Micros, Version},
    store::{Exception, ExceptionKind, NewDeadLetter, PositionState, Settlement},
};

/// Settlements that may wait for a save; beyond that nothing new is to be started.
const UNSAVED_MAX: usize = 10_000;

/// One position as its holder sees it.
#[derive(Debug)]
pub struct Window {
    position: i64,
    fence: u64,
    reach: Version,
    ready: VecDeque<Arc<Event>>,
    ready_bytes: usize,
    /// In flight when the position was saved, or given back: to be delivered again.
    again: BTreeSet<Version>,
    flying: BTreeSet<Version>,
    exceptions: BTreeMap<Version, Exception>,
    /// The retries that are not in flight; parked and leased ones have no place here.
    due: BTreeSet<(Micros, Version)>,
    dead_up_to: Version,
    unsaved: Unsaved,
    /// While exceptions are read anew: what was settled meanwhile and must not come back.
    settled_meanwhile: Option<HashSet<Version>>,
}

#[derive(Debug, Default)]
struct Unsaved {
    changed: bool,
    put: BTreeSet<Version>,
    clear: BTreeSet<Version>,
    dead: Vec<NewDeadLetter>,
    undead: Vec<Version>,
    delivered: u64,
}

/// What became of a version that was in flight.
#[derive(Debug, Clone)]
pub enum Settled {
    /// It arrived.
    Delivered,
    /// It waits for its next attempt.
    Retry(Exception),
    /// It is given up.
    Dead(NewDeadLetter),
    /// It is not in the log any more.
    Gone,
    /// Nothing: it is to be started again.
    Back,
}

impl Window {
    /// The window over a position as it was saved.
    #[must_use]
    pub fn new(state: PositionState) -> Self {
        let mut window = Self {
            position: state.id,
            fence: state.fence,
            reach: state.reach,
            ready: VecDeque::new(),
            ready_bytes: 0,
            again: state.open.into_iter().collect(),
            flying: BTreeSet::new(),
            exceptions: BTreeMap::new(),
            due: BTreeSet::new(),
            dead_up_to: state.dead_up_to,
            unsaved: Unsaved::default(),
            settled_meanwhile: None,
        };
        for exception in state.exceptions {
            window.admit(exception);
        }
        window
    }

    fn admit(&mut self, exception: Exception) {
        let version = exception.version;
        self.again.remove(&version);
        if exception.kind == ExceptionKind::Retry {
            self.due.insert((exception.due, version));
        }
        self.exceptions.insert(version, exception);
    }

    // ---- what there is ----

    /// The fence that the position was taken up with.
    #[must_use]
    pub const fn fence(&self) -> u64 {
        self.fence
    }

    /// The last version read ahead, or the reach.
    #[must_use]
    pub fn end(&self) -> Version {
        self.ready.back().map_or(self.reach, |event| event.version)
    }

    /// How many events are read ahead, and their bytes.
    #[must_use]
    pub fn ready(&self) -> (usize, usize) {
        (self.ready.len(), self.ready_bytes)
    }

    /// How many are in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.flying.len()
    }

    /// Whether one more new event may be started: it could become an exception, and its verdict
    /// has to be saved.
    #[must_use]
    pub fn has_room(&self, max_exceptions: usize) -> bool {
        let pending = self.exceptions.len() + self.flying.len() + self.again.len();
        pending < max_exceptions && self.unsaved.put.len() + self.unsaved.clear.len() < UNSAVED_MAX
    }

    /// Whether there is something not yet tried that may be started.
    #[must_use]
    pub fn has_new(&self, max_exceptions: usize) -> bool {
        !self.again.is_empty() || (!self.ready.is_empty() && self.has_room(max_exceptions))
    }

    /// When the first retry falls due.
    #[must_use]
    pub fn next_due(&self) -> Option<Micros> {
        self.due.first().map(|(due, _)| *due)
    }

    /// How many exceptions there are.
    #[must_use]
    pub fn exceptions(&self) -> usize {
        self.exceptions.len()
    }

    /// What is known of earlier attempts on a version.
    #[must_use]
    pub fn exception(&self, version: Version) -> Option<&Exception> {
        self.exceptions.get(&version)
    }

    /// The most successes that any exception knows the endpoint to have had.
    #[must_use]
    pub fn successes(&self) -> u64 {
        self.exceptions.values().map(|exception| exception.successes).max().unwrap_or(0)
    }

    // ---- taking in ----

    /// Adds events that follow on what was read ahead; what is known already is left out.
    pub fn extend(&mut self, events: Vec<Arc<Event>>) {
        let end = self.end();
        for event in events.into_iter().filter(|event| event.version > end) {
            self.ready_bytes += event.size_bytes();
            self.ready.push_back(event);
        }
    }

    /// Moves the reach over versions that the log has not any more.
    pub fn skip_to(&mut self, reach: Version) {
        if self.ready.is_empty() && reach > self.reach {
            self.reach = reach;
            self.unsaved.changed = true;
        }
    }

    // ---- starting ----

    /// Starts the next version not yet tried: its event, when that is at hand.
    pub fn start_new(&mut self) -> Option<(Version, Option<Arc<Event>>)> {
        if let Some(version) = self.again.pop_first() {
            self.flying.insert(version);
            return Some((version, None));
        }
        let event = self.ready.pop_front()?;
        self.ready_bytes -= event.size_bytes();
        self.reach = event.version;
        self.unsaved.changed = true;
        self.flying.insert(event.version);
        Some((event.version, Some(event)))
    }

    /// Starts the retry that has been due for longest.
    pub fn start_due(&mut self, now: Micros) -> Option<Version> {
        let (due, version) = *self.due.first()?;
        if due > now {
            return None;
        }
        self.due.pop_first();
        self.flying.insert(version);
        Some(version)
    }

    /// Starts the lowest version that may be tried, new ones above the reach left aside.
    pub fn start_oldest(&mut self, now: Micros) -> Option<Version> {
        let due = self.due.iter().take_while(|(due, _)| *due <= now).min_by_key(|(_, v)| *v);
        let retry = due.copied();
        let again = self.again.first().copied();
        let version = match (retry, again) {
            (Some((_, retry)), Some(again)) => retry.min(again),
            (Some((_, version)), None) | (None, Some(version)) => version,
            (None, None) => return None,
        };
        if !self.again.remove(&version)
            && let Some(entry) = retry
        {
            self.due.remove(&entry);
        }
        self.flying.insert(version);
        Some(version)
    }

    // ---- settling ----

    /// Settles a version in flight; answers whether it was in flight.
    pub fn settle(&mut self, version: Version, settled: Settled) -> bool {
        if !self.flying.remove(&version) {
            return false;
        }
        self.unsaved.changed = true;
        match settled {
            Settled::Delivered => {
                self.unsaved.delivered += 1;
                if version <= self.dead_up_to {
                    self.unsaved.undead.push(version);
                }
                self.forget(version);
            }
            Settled::Gone => self.forget(version),
            Settled::Dead(letter) => {
                self.forget(version);
                self.unsaved.dead.push(letter);
                self.dead_up_to = self.dead_up_to.max(version);
            }
            Settled::Retry(exception) => {
                self.unsaved.put.insert(version);
                self.admit(exception);
            }
            Settled::Back => match self.exceptions.get(&version) {
                Some(exception) => drop(self.due.insert((exception.due, version))),
                None => drop(self.again.insert(version)),
            },
        }
        true
    }

    fn forget(&mut self, version: Version) {
        self.unsaved.put.remove(&version);
        if self.exceptions.remove(&version).is_some() {
            self.unsaved.clear.insert(version);
        }
        if let Some(settled) = &mut self.settled_meanwhile {
            settled.insert(version);
        }
    }

    /// Moves the first attempts of all exceptions by a hold or pause that ended at `now`; `keep`
    /// says whether that is to be saved.
    pub fn stood_still(&mut self, by: Duration, now: Micros, keep: bool) {
        for (version, exception) in &mut self.exceptions {
            exception.first = exception.first.plus(by).min(now);
            if keep {
                self.unsaved.put.insert(*version);
                self.unsaved.changed = true;
            }
        }
    }

    // ---- saving ----

    /// Whether there is something to save.
    #[must_use]
    pub const fn is_unsaved(&self) -> bool {
        self.unsaved.changed
    }

    /// Everything unsaved, as one settlement; `None` when there is nothing.
    pub fn save(&mut self, now: Micros) -> Option<Settlement> {
        if !self.unsaved.changed {
            return None;
        }
        let unsaved = std::mem::take(&mut self.unsaved);
        let put = unsaved.put.iter().filter_map(|v| self.exceptions.get(v)).cloned().collect();
        Some(Settlement {
            position: self.position,
            fence: self.fence,
            reach: self.reach,
            open: self.open().copied().collect(),
            put,
            clear: unsaved.clear.into_iter().collect(),
            dead: unsaved.dead,
            undead: unsaved.undead,
            delivered: unsaved.delivered,
            now,
        })
    }

    /// What is owed at or below the reach and is no exception; never more than were in flight at
    /// once, because what was open is started before anything new.
    fn open(&self) -> impl Iterator<Item = &Version> {
        self.again.union(&self.flying).filter(|version| !self.exceptions.contains_key(version))
    }

    /// Takes back a settlement that was not saved, to be part of the next.
    pub fn unsave(&mut self, failed: Settlement) {
        let unsaved = &mut self.unsaved;
        unsaved.changed = true;
        let kept = |version: &Version| self.exceptions.contains_key(version);
        unsaved.put.extend(failed.put.iter().map(|put| put.version).filter(kept));
        unsaved.clear.extend(failed.clear.into_iter().filter(|version| !kept(version)));
        unsaved.dead.splice(0..0, failed.dead);
        unsaved.undead.splice(0..0, failed.undead);
        unsaved.delivered += failed.delivered;
    }

    // ---- what others put into the position ----

    /// Begins to read the exceptions anew, because others may have added some. Only between
    /// saves.
    pub fn begin_merge(&mut self) {
        let dead = self.unsaved.dead.iter().map(|letter| letter.version);
        self.settled_meanwhile = Some(self.unsaved.clear.iter().copied().chain(dead).collect());
    }

    /// Takes up the exceptions that are new here, read after [`Window::begin_merge`].
    pub fn merge(&mut self, state: PositionState) {
        let settled = self.settled_meanwhile.take().unwrap_or_default();
        self.dead_up_to = self.dead_up_to.max(state.dead_up_to);
        for exception in state.exceptions {
            let version = exception.version;
            let known = self.exceptions.contains_key(&version)
                || self.flying.contains(&version)
                || self.again.contains(&version)
                || settled.contains(&version);
            if !known && version <= self.reach {
                self.admit(exception);
            }
        }
    }
}

#[cfg(test)]
mod tests;
