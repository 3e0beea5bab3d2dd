//! Putting lanes in order: when a position is taken up, when its order changes, and when others
//! put exceptions into it.
//!
//! What a version is ordered with is kept with its exception; of the others it is learnt from the
//! event, and until then nothing starts, or a key could overtake itself.

use std::collections::BTreeSet;

use super::{Window, lanes::Lanes};
use crate::{
    event::Version,
    settings::Order,
    sift::{FREE, STRICT},
    store::{Exception, ExceptionKind, PositionState},
};

impl Window {
    /// Versions of which the lane has to be learnt, at most `limit`, the lowest first.
    #[must_use]
    pub fn unknown(&self, limit: usize) -> Vec<Version> {
        self.unknown.iter().copied().take(limit).collect()
    }

    /// Takes in what a version is ordered with; 0: nothing.
    pub fn learn(&mut self, version: Version, lane: u64) {
        if !self.unknown.remove(&version) {
            return;
        }
        if let Some(exception) = self.exceptions.get_mut(&version) {
            exception.lane = Some(lane);
            self.unsaved.put.insert(version);
            self.unsaved.changed = true;
        }
        if self.blocked {
            self.lanes.enter(version, lane);
            self.settle_order();
        } else {
            self.enter(version, lane);
        }
    }

    /// Sorts everything that is not settled by the present order.
    pub(super) fn arrange(&mut self) {
        self.let_go();
        self.lanes = Lanes::default();
        self.unknown.clear();
        self.blocked = true;
        for version in self.unsettled() {
            match self.known_lane(version) {
                Some(lane) => self.lanes.enter(version, lane),
                None => drop(self.unknown.insert(version)),
            }
        }
        self.settle_order();
    }

    /// Keys that stood still go on once nothing stops them any more.
    fn let_go(&mut self) {
        if self.rules.stop_key {
            return;
        }
        let stopped =
            self.exceptions.extract_if(.., |_, known| known.kind == ExceptionKind::Stopped);
        for (version, _) in stopped {
            self.unsaved.put.remove(&version);
            self.unsaved.clear.insert(version);
            self.unsaved.changed = true;
        }
    }

    /// Opens the window once every lane is known.
    pub(super) fn settle_order(&mut self) {
        if !self.blocked || !self.unknown.is_empty() {
            return;
        }
        self.blocked = false;
        for version in self.flying.clone() {
            self.lanes.begin(version);
        }
        // What was grouped before the order changed goes as it would after a restart.
        self.groups.clear();
        for version in self.unsettled() {
            self.place(version);
        }
    }

    fn unsettled(&self) -> BTreeSet<Version> {
        let open = self.idle.iter().chain(&self.flying);
        open.chain(self.exceptions.keys()).copied().collect()
    }

    fn known_lane(&self, version: Version) -> Option<u64> {
        match self.rules.order {
            Order::None => Some(FREE),
            Order::Strict => Some(STRICT),
            Order::Key => self.exceptions.get(&version)?.lane,
        }
    }

    /// Adds a version that is not settled to its lane, and places whoever is concerned.
    pub(super) fn enter(&mut self, version: Version, lane: u64) {
        let before = self.lanes.lowest(lane);
        self.lanes.enter(version, lane);
        if self.flying.contains(&version) {
            self.lanes.begin(version);
        }
        if let Some(before) = before {
            self.place(before);
        }
        self.place(version);
    }

    /// Puts a version that is not in flight where it may be started, or where it may not.
    pub(super) fn place(&mut self, version: Version) {
        if self.flying.contains(&version) || self.unknown.contains(&version) {
            return;
        }
        // What overtook before there was an order waits for those that it overtook.
        let in_reach = self.rules.order == Order::None || version <= self.reach;
        let may_go = in_reach && self.lanes.may_go(version, &[]);
        match self.exceptions.get(&version) {
            Some(exception) => {
                let due = (exception.due, version);
                match exception.kind {
                    ExceptionKind::Retry if may_go => drop(self.due.insert(due)),
                    ExceptionKind::Parked if may_go => drop(self.released.insert(version)),
                    _ => {
                        self.due.remove(&due);
                        self.released.remove(&version);
                    }
                }
            }
            None if may_go && self.idle.contains(&version) => drop(self.again.insert(version)),
            None => drop(self.again.remove(&version)),
        }
    }

    /// Takes a settled version out of its lane; whoever is next may go.
    pub(super) fn leave(&mut self, version: Version) {
        if self.unknown.remove(&version) {
            self.settle_order();
        }
        if let Some(lane) = self.lanes.leave(version)
            && let Some(next) = self.lanes.next(lane)
        {
            self.place(next);
        }
    }

    // ---- what others put into the position ----

    /// Begins to read the exceptions anew, because others may have added some. Only between
    /// saves.
    pub fn begin_merge(&mut self) {
        let dead = self.unsaved.dead.iter().map(|letter| letter.version);
        self.settled_meanwhile = Some(self.unsaved.clear.iter().copied().chain(dead).collect());
    }

    /// Takes up the exceptions that are new here, read after [`Window::begin_merge`], lets go of keys
    /// whose dead letter was redriven or deleted, and hastens what was made due earlier.
    pub fn merge(&mut self, state: PositionState) {
        let settled = self.settled_meanwhile.take().unwrap_or_default();
        self.dead_up_to = self.dead_up_to.max(state.dead_up_to);
        let read: BTreeSet<Version> = state.exceptions.iter().map(|read| read.version).collect();
        let stopped = self.exceptions.values().filter(|known| {
            known.kind == ExceptionKind::Stopped && !self.unsaved.put.contains(&known.version)
        });
        let stopped: BTreeSet<Version> = stopped.map(|known| known.version).collect();
        for version in stopped.difference(&read) {
            self.exceptions.remove(version);
            self.leave(*version);
        }
        for exception in state.exceptions {
            let version = exception.version;
            let known = self.exceptions.contains_key(&version)
                || self.flying.contains(&version)
                || self.idle.contains(&version)
                || settled.contains(&version);
            let redriven = stopped.contains(&version) && exception.kind == ExceptionKind::Retry;
            let open = self.flying.contains(&version) || self.idle.contains(&version);
            if redriven || (!known && version <= self.reach) {
                self.admit(exception);
            } else if open && !self.exceptions.contains_key(&version) {
                self.take_over(exception);
            } else {
                self.hasten(&exception);
            }
        }
    }

    /// A version that is open was redriven: its row goes when it is settled.
    fn take_over(&mut self, exception: Exception) {
        let version = exception.version;
        self.idle.remove(&version);
        self.again.remove(&version);
        self.exceptions.insert(version, exception);
        self.place(version);
    }

    /// Takes over an earlier time for the next attempt, unless there was one since.
    fn hasten(&mut self, read: &Exception) {
        let Some(known) = self.exceptions.get_mut(&read.version) else { return };
        let is_same = known.kind == read.kind && known.tries == read.tries;
        if is_same && read.due < known.due {
            let before = std::mem::replace(&mut known.due, read.due);
            if self.due.remove(&(before, read.version)) {
                self.due.insert((read.due, read.version));
            }
        }
    }

    fn admit(&mut self, exception: Exception) {
        let version = exception.version;
        self.exceptions.insert(version, exception);
        match self.lanes.of(version).or_else(|| self.known_lane(version)) {
            Some(lane) if self.blocked => self.lanes.enter(version, lane),
            Some(lane) => self.enter(version, lane),
            None => drop(self.unknown.insert(version)),
        }
    }
}
