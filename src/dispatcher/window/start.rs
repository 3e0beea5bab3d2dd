//! Starting: which versions go next.

use std::sync::Arc;

use super::{
    ExceptionKind, Rules, Window,
    ready::{Entry, Slot, Waiting},
};
use crate::{
    event::{Event, Micros, Version},
    settings::Order,
    store::{Exception, LastAnswer},
};

/// What goes in one request: one version, or several in rising order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Take {
    /// Each with its event, when that is at hand.
    pub versions: Vec<(Version, Option<Arc<Event>>)>,
    /// The wanted version before the first of them, if that is known.
    pub previous: Option<Version>,
    /// Whether it was tried before.
    pub is_retry: bool,
}

impl Window {
    /// Starts what was not yet tried, at most `most` versions in one request: what was open before
    /// what is new. [`Window::next_new`] says when there is something.
    pub fn start_new(&mut self, most: usize, now: Micros) -> Option<Take> {
        if self.blocked {
            return None;
        }
        let mut taken: Vec<(Version, Option<Arc<Event>>)> = Vec::new();
        while let Some(group) = self.groups.pop_front() {
            self.take_group(group, most, &mut taken);
            if !taken.is_empty() {
                return Some(self.took(taken));
            }
        }
        while taken.len() < most
            && let Some(version) = self.next_open()
        {
            self.begin(version);
            taken.push((version, None));
        }
        if taken.is_empty() {
            self.take_ready(most, now, &mut taken);
        }
        (!taken.is_empty()).then(|| self.took(taken))
    }

    /// The lowest of what was open or parked and may go.
    fn next_open(&self) -> Option<Version> {
        let (again, released) = (self.again.first(), self.released.first());
        again.into_iter().chain(released).min().copied()
    }

    /// Takes what may go of a half; the rest goes when its turn comes.
    fn take_group(
        &mut self,
        group: Vec<Version>,
        most: usize,
        taken: &mut Vec<(Version, Option<Arc<Event>>)>,
    ) {
        let mut going = Vec::with_capacity(group.len());
        for version in group {
            if self.flying.contains(&version) || !self.is_owed(version) {
                continue;
            }
            if going.len() < most && self.lanes.may_go(version, &going) {
                going.push(version);
            } else {
                self.place(version);
            }
        }
        for version in going {
            self.begin(version);
            taken.push((version, None));
        }
    }

    fn is_owed(&self, version: Version) -> bool {
        let excepted = self.exceptions.get(&version);
        let waits = excepted.is_some_and(|known| known.kind != ExceptionKind::Stopped);
        self.idle.contains(&version) || waits
    }

    /// Takes new events; those whose key is busy are parked.
    fn take_ready(
        &mut self,
        most: usize,
        now: Micros,
        taken: &mut Vec<(Version, Option<Arc<Event>>)>,
    ) {
        let mut going = Vec::new();
        while taken.len() < most && self.has_room() {
            if let Some(best) = self.overtaking(now) {
                let version = best.event.version;
                self.ahead.insert(version);
                self.begin_fresh(version, best, taken);
                continue;
            }
            let Some(front) = self.ready.front() else { return };
            let (version, lane) = (front.event.version, front.lane);
            let first = taken.first().and_then(|(_, event)| event.as_ref());
            // A batch is of one epoch.
            let fits = first.is_none_or(|first| first.epoch == front.event.epoch);
            let open = self.lanes.is_open(lane, version, &going);
            if !fits || (!open && self.rules.order == Order::Strict) {
                return;
            }
            let Some(Slot { entry: Entry::Waiting(waiting), .. }) = self.ready.pop() else {
                return;
            };
            self.reach = version;
            self.unsaved.changed = true;
            self.lanes.enter(version, lane);
            if open {
                going.push(version);
                self.begin_fresh(version, waiting, taken);
            } else {
                self.park(version, &waiting, now);
            }
            self.advance(now);
        }
    }

    /// The event that goes before the one at the front, if one may. What is settled before it is
    /// sent must be below the reach, so nothing overtakes there.
    fn overtaking(&mut self, now: Micros) -> Option<Waiting> {
        let Rules { order, batch, at_most_once, overtaken_max, .. } = self.rules;
        let in_turn = order != Order::None || batch.is_some() || at_most_once;
        if in_turn || self.ready.front()?.since.plus(overtaken_max) <= now {
            return None;
        }
        self.ready.take_best()
    }

    fn begin_fresh(
        &mut self,
        version: Version,
        waiting: Waiting,
        taken: &mut Vec<(Version, Option<Arc<Event>>)>,
    ) {
        if !self.rules.wants_all
            && let Some(previous) = waiting.previous
        {
            self.previous.insert(version, previous);
        }
        self.begin(version);
        taken.push((version, Some(waiting.event)));
    }

    /// A new event whose key is busy waits behind it.
    fn park(&mut self, version: Version, waiting: &Waiting, now: Micros) {
        if let Some(previous) = waiting.previous.filter(|_| !self.rules.wants_all) {
            self.previous.insert(version, previous);
        }
        let exception = Exception {
            version,
            kind: ExceptionKind::Parked,
            attempts: 0,
            tries: 0,
            due: now,
            first: now,
            successes: 0,
            stands_out: false,
            last: LastAnswer::default(),
            lane: (self.rules.order == Order::Key).then_some(waiting.lane),
        };
        self.exceptions.insert(version, exception);
        self.unsaved.put.insert(version);
    }

    /// Starts the retry that has been due for longest.
    pub fn start_due(&mut self, now: Micros) -> Option<Take> {
        let (due, version) = *self.due.first().filter(|_| !self.blocked)?;
        if due > now {
            return None;
        }
        Some(self.start_one(version))
    }

    /// Starts the lowest version that may be tried, new ones above the reach left aside.
    pub fn start_oldest(&mut self, now: Micros) -> Option<Take> {
        if self.blocked {
            return None;
        }
        let due = self.due.iter().take_while(|(due, _)| *due <= now).map(|(_, version)| *version);
        let version = due.min().into_iter().chain(self.next_open()).min()?;
        Some(self.start_one(version))
    }

    fn start_one(&mut self, version: Version) -> Take {
        self.begin(version);
        self.took(vec![(version, None)])
    }

    /// Notes that a version is in flight, wherever it was.
    fn begin(&mut self, version: Version) {
        self.idle.remove(&version);
        self.again.remove(&version);
        self.released.remove(&version);
        if let Some(exception) = self.exceptions.get(&version) {
            self.due.remove(&(exception.due, version));
        }
        self.flying.insert(version);
        self.lanes.begin(version);
        if self.rules.at_most_once {
            self.hush(version);
        }
    }

    /// Settles a version before it is sent: from the next save on the store knows it no more.
    fn hush(&mut self, version: Version) {
        self.silent.insert(version);
        self.unsaved.changed = true;
        self.unsaved.put.remove(&version);
        if self.exceptions.contains_key(&version) {
            self.unsaved.clear.insert(version);
        }
    }

    fn took(&self, versions: Vec<(Version, Option<Arc<Event>>)>) -> Take {
        let first = versions.first().map_or(Version::ZERO, |(version, _)| *version);
        let previous = if self.rules.wants_all {
            Some(first.previous())
        } else {
            self.previous.get(&first).copied()
        };
        let is_retry =
            self.exceptions.get(&first).is_some_and(|known| known.kind == ExceptionKind::Retry);
        Take { versions, previous, is_retry }
    }
}
