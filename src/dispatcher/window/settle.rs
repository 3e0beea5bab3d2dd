//! Settling what was in flight, and saving what changed.

use std::time::Duration;

use super::Window;
use crate::{
    event::{Micros, Version},
    settings::Order,
    sift::FREE,
    store::{Exception, ExceptionKind, NewDeadLetter, Settlement},
};

/// What became of a version that was in flight.
#[derive(Debug, Clone)]
pub enum Settled {
    /// It arrived.
    Delivered,
    /// It waits for its next attempt.
    Retry(Exception),
    /// It is given up.
    Dead(NewDeadLetter),
    /// It is not in the log any more, or nobody wants it.
    Gone,
    /// Nothing: it is to be started again.
    Back,
}

impl Window {
    /// Settles a version in flight; answers whether it was in flight.
    pub fn settle(&mut self, version: Version, settled: Settled) -> bool {
        if !self.flying.remove(&version) {
            return false;
        }
        self.unsaved.changed = true;
        self.lanes.end(version);
        let silent = self.silent.remove(&version);
        match settled {
            Settled::Delivered => {
                self.unsaved.delivered += 1;
                if version <= self.dead_up_to {
                    self.unsaved.undead.push(version);
                }
                self.forget(version);
            }
            Settled::Gone => self.forget(version),
            Settled::Dead(letter) if self.rules.stop_key && self.lanes.of(version).is_some() => {
                self.stop(letter);
            }
            Settled::Dead(letter) => {
                self.forget(version);
                self.bury(letter);
            }
            Settled::Retry(exception) => {
                self.put(Exception { lane: self.kept_lane(version), ..exception });
            }
            Settled::Back => self.back(version, silent),
        }
        true
    }

    /// Gives back versions that failed together, to be sent in two halves.
    pub fn split(&mut self, versions: &[Version]) {
        for version in versions {
            self.settle(*version, Settled::Back);
        }
        for version in versions {
            self.again.remove(version);
            self.released.remove(version);
            if let Some(exception) = self.exceptions.get(version) {
                self.due.remove(&(exception.due, *version));
            }
        }
        let (first, second) = versions.split_at(versions.len().div_ceil(2));
        for half in [second, first] {
            if !half.is_empty() {
                self.groups.push_front(half.to_vec());
            }
        }
    }

    /// The same as if it had never been started.
    fn back(&mut self, version: Version, silent: bool) {
        if silent && self.exceptions.contains_key(&version) {
            self.unsaved.clear.remove(&version);
            self.unsaved.put.insert(version);
        }
        if !self.exceptions.contains_key(&version) {
            self.idle.insert(version);
        }
        self.place_lane(version);
    }

    fn put(&mut self, exception: Exception) {
        let version = exception.version;
        self.unsaved.clear.remove(&version);
        self.unsaved.put.insert(version);
        self.exceptions.insert(version, exception);
        self.place_lane(version);
    }

    /// Places a version that landed, and whoever of its lane is next.
    fn place_lane(&mut self, version: Version) {
        self.place(version);
        let lane = self.lanes.of(version);
        if let Some(next) = lane.and_then(|lane| self.lanes.next(lane)) {
            self.place(next);
        }
    }

    /// A dead event keeps its place in its lane, so that nothing of its key follows.
    fn stop(&mut self, letter: NewDeadLetter) {
        let NewDeadLetter { version, attempts, first, ref last, .. } = letter;
        let exception = Exception {
            version,
            kind: ExceptionKind::Stopped,
            attempts,
            tries: attempts,
            due: first,
            first,
            successes: 0,
            stands_out: false,
            last: last.clone(),
            lane: self.kept_lane(version),
        };
        self.put(exception);
        self.bury(letter);
    }

    pub(super) fn bury(&mut self, letter: NewDeadLetter) {
        self.dead_up_to = self.dead_up_to.max(letter.version);
        self.unsaved.dead.push(letter);
    }

    fn kept_lane(&self, version: Version) -> Option<u64> {
        let known = !self.unknown.contains(&version);
        let lane = self.lanes.of(version).unwrap_or(FREE);
        (self.rules.order == Order::Key && known).then_some(lane)
    }

    fn forget(&mut self, version: Version) {
        self.unsaved.put.remove(&version);
        if self.exceptions.remove(&version).is_some() {
            self.unsaved.clear.insert(version);
        }
        if let Some(settled) = &mut self.settled_meanwhile {
            settled.insert(version);
        }
        self.previous.remove(&version);
        self.leave(version);
    }

    /// Moves the first attempts of all exceptions by a hold or pause that ended at `now`; `keep`
    /// says whether that is to be saved.
    pub fn stood_still(&mut self, by: Duration, now: Micros, keep: bool) {
        for (version, exception) in &mut self.exceptions {
            exception.first = exception.first.plus(by).min(now);
            if keep && !self.silent.contains(version) {
                self.unsaved.put.insert(*version);
                self.unsaved.changed = true;
            }
        }
    }

    // ---- saving ----

    /// Notes that every exception is to be saved again.
    pub fn keep_all(&mut self) {
        let kept = self.exceptions.keys().filter(|version| !self.silent.contains(version));
        self.unsaved.put.extend(kept);
        self.unsaved.changed |= !self.unsaved.put.is_empty();
    }

    /// Whether there is something to save soon.
    #[must_use]
    pub const fn is_unsaved(&self) -> bool {
        self.unsaved.changed
    }

    /// Whether there is something to save, be it only that nobody wanted some events.
    #[must_use]
    pub const fn is_behind(&self) -> bool {
        self.unsaved.changed || self.unsaved.skipped
    }

    /// Everything unsaved, as one settlement; `None` when there is nothing.
    pub fn save(&mut self, now: Micros) -> Option<Settlement> {
        if !self.is_behind() {
            return None;
        }
        let unsaved = std::mem::take(&mut self.unsaved);
        let put = unsaved.put.iter().filter_map(|v| self.exceptions.get(v)).cloned().collect();
        Some(Settlement {
            topic: self.topic,
            position: self.position,
            fence: self.fence,
            reach: self.reach,
            open: self.open().collect(),
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
    pub(super) fn open(&self) -> impl Iterator<Item = Version> {
        let all = self.idle.union(&self.flying).copied();
        all.filter(|version| {
            *version <= self.reach
                && !self.exceptions.contains_key(version)
                && !self.silent.contains(version)
        })
    }

    /// Takes back a settlement that was not saved, to be part of the next.
    pub fn unsave(&mut self, failed: Settlement) {
        let unsaved = &mut self.unsaved;
        unsaved.changed = true;
        let kept = |version: &Version| {
            self.exceptions.contains_key(version) && !self.silent.contains(version)
        };
        unsaved.put.extend(failed.put.iter().map(|put| put.version).filter(kept));
        unsaved.clear.extend(failed.clear.into_iter().filter(|version| !kept(version)));
        unsaved.dead.splice(0..0, failed.dead);
        unsaved.undead.splice(0..0, failed.undead);
        unsaved.delivered += failed.delivered;
    }
}
