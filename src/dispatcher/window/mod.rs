//! The state machine over one position: what is read ahead, in flight, excepted and unsaved.
//!
//! Pure: no store, no clock, no network. A version is at any moment in one of these places: above
//! the reach (perhaps in `ready`), open (in flight or `idle`), in `exceptions` (in flight or not),
//! or settled. Which of those that are not in flight may be started is in `again`, `due`,
//! `released` and `groups`; with an order the `lanes` decide it.
//!
//! Reading order: this file says what there is and takes in; `start` starts; `settle` settles
//! and saves; `arrange` puts lanes in order.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use self::{
    lanes::Lanes,
    ready::{Entry, Ready, Waiting},
};
use crate::{
    event::{Event, Micros, Version},
    settings::{BatchPolicy, Order},
    sift::{STRICT, Sifted},
    store::{DeadReason, Exception, ExceptionKind, LastAnswer, NewDeadLetter, PositionState},
};

mod arrange;
mod lanes;
mod ready;
mod settle;
mod start;

pub use self::{settle::Settled, start::Take};

/// Settlements that may wait for a save; beyond that nothing new is to be started.
const UNSAVED_MAX: usize = 10_000;

/// What a window is told of its subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// In which order events are tried.
    pub order: Order,
    /// Several events in one request.
    pub batch: Option<BatchPolicy>,
    /// Whether every version is wanted, so that each has its neighbour before it.
    pub wants_all: bool,
    /// The most exceptions; when they are full nothing new starts.
    pub max_exceptions: usize,
    /// The longest that an event is overtaken.
    pub overtaken_max: Duration,
    /// Whether what is started is settled before it is sent.
    pub at_most_once: bool,
    /// Whether a key stands still when its event dies.
    pub stop_key: bool,
}

/// One position as its holder sees it.
#[derive(Debug)]
pub struct Window {
    topic: i64,
    position: i64,
    fence: u64,
    rules: Rules,
    reach: Version,
    ready: Ready,
    /// Above the reach and started out of turn, or settled since.
    ahead: BTreeSet<Version>,
    /// The last version that was wanted, as far as was read without a break.
    last_wanted: Option<Version>,
    /// Open and not in flight.
    idle: BTreeSet<Version>,
    /// Of those the ones that may be started.
    again: BTreeSet<Version>,
    /// Halves of requests whose batch failed, to be sent as they are.
    groups: VecDeque<Vec<Version>>,
    flying: BTreeSet<Version>,
    /// In flight and settled already, as far as the store is concerned.
    silent: BTreeSet<Version>,
    exceptions: BTreeMap<Version, Exception>,
    /// The retries that may be started when they are due.
    due: BTreeSet<(Micros, Version)>,
    /// What was parked and may be started.
    released: BTreeSet<Version>,
    lanes: Lanes,
    /// Not settled, and nobody knows yet what it is ordered with.
    unknown: BTreeSet<Version>,
    /// Nothing may be started before the lanes are in order.
    blocked: bool,
    /// What each unsettled version follows on, where not every version is wanted.
    previous: BTreeMap<Version, Version>,
    dead_up_to: Version,
    unsaved: Unsaved,
    /// While exceptions are read anew: what was settled meanwhile and must not come back.
    settled_meanwhile: Option<HashSet<Version>>,
}

#[derive(Debug, Default)]
struct Unsaved {
    changed: bool,
    /// The reach moved over what nobody wants: worth a save when there is time.
    skipped: bool,
    put: BTreeSet<Version>,
    clear: BTreeSet<Version>,
    dead: Vec<NewDeadLetter>,
    undead: Vec<Version>,
    delivered: u64,
}

impl Window {
    /// The window over a position as it was saved.
    #[must_use]
    pub fn new(state: PositionState, rules: Rules) -> Self {
        let mut window = Self {
            topic: state.topic_id,
            position: state.id,
            fence: state.fence,
            rules,
            reach: state.reach,
            ready: Ready::default(),
            ahead: BTreeSet::new(),
            last_wanted: None,
            idle: state.open.into_iter().collect(),
            again: BTreeSet::new(),
            groups: VecDeque::new(),
            flying: BTreeSet::new(),
            silent: BTreeSet::new(),
            exceptions: BTreeMap::new(),
            due: BTreeSet::new(),
            released: BTreeSet::new(),
            lanes: Lanes::default(),
            unknown: BTreeSet::new(),
            blocked: false,
            previous: BTreeMap::new(),
            dead_up_to: state.dead_up_to,
            unsaved: Unsaved::default(),
            settled_meanwhile: None,
        };
        for exception in state.exceptions {
            window.idle.remove(&exception.version);
            window.ahead.extend((exception.version > window.reach).then_some(exception.version));
            window.exceptions.insert(exception.version, exception);
        }
        window.arrange();
        window
    }

    // ---- what there is ----

    /// The fence that the position was taken up with.
    #[must_use]
    pub const fn fence(&self) -> u64 {
        self.fence
    }

    /// Every version up to it has been looked at.
    #[must_use]
    pub const fn reach(&self) -> Version {
        self.reach
    }

    /// The last version read ahead, or the reach.
    #[must_use]
    pub fn end(&self) -> Version {
        self.ready.end().unwrap_or(self.reach)
    }

    /// How many events are read ahead, and their bytes.
    #[must_use]
    pub const fn ready(&self) -> (usize, usize) {
        self.ready.size()
    }

    /// How many versions are read ahead, those included that nobody wants.
    #[must_use]
    pub fn looked_ahead(&self) -> usize {
        self.ready.len()
    }

    /// How many dead letters wait for the next save.
    #[must_use]
    pub const fn unsaved_dead(&self) -> usize {
        self.unsaved.dead.len()
    }

    /// How many are in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.flying.len()
    }

    /// Whether everything up to the reach is settled.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.flying.is_empty() && self.idle.is_empty() && self.exceptions.is_empty()
    }

    /// Whether one more new event may be started: it could become an exception, and its verdict
    /// has to be saved.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let pending = self.exceptions.len() + self.flying.len() + self.idle.len();
        pending < self.rules.max_exceptions
            && self.unsaved.put.len() + self.unsaved.clear.len() < UNSAVED_MAX
    }

    /// When something not yet tried may be started; `None`: nothing can.
    #[must_use]
    pub fn next_new(&self) -> Option<Micros> {
        if self.blocked {
            return None;
        }
        if !(self.again.is_empty() && self.released.is_empty() && self.groups.is_empty()) {
            return Some(Micros(0));
        }
        let front = self.ready.front()?;
        let lowest = self.lanes.lowest(STRICT);
        let busy = lowest.is_some_and(|lowest| lowest <= self.reach);
        if !self.has_room() || (self.rules.order == Order::Strict && busy) {
            return None;
        }
        match self.rules.batch {
            Some(batch) if self.ready.size().0 < batch.max_events => {
                Some(front.since.plus(batch.max_wait))
            }
            _ => Some(Micros(0)),
        }
    }

    /// When the first retry falls due.
    #[must_use]
    pub fn next_due(&self) -> Option<Micros> {
        self.due.first().filter(|_| !self.blocked).map(|(due, _)| *due)
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

    /// Adds events that follow on what was read ahead, at `now`, each as `sift` has it; what is
    /// known already is left out.
    pub fn extend(
        &mut self,
        events: Vec<Arc<Event>>,
        now: Micros,
        mut sift: impl FnMut(&Event) -> Sifted,
    ) {
        let end = self.end();
        for event in events.into_iter().filter(|event| event.version > end) {
            let version = event.version;
            let entry = if self.ahead.contains(&version) {
                Entry::Taken
            } else {
                match sift(&event) {
                    Sifted::Wanted { lane, priority } => {
                        let previous = self.last_wanted.replace(version);
                        Entry::Waiting(Waiting { event, lane, priority, previous, since: now })
                    }
                    Sifted::Skipped => Entry::Skipped,
                    Sifted::Broken(reason) => Entry::Broken(reason),
                }
            };
            self.ready.push(version, entry);
        }
        self.advance(now);
    }

    /// Passes over versions that the log has not any more, in their turn.
    pub fn skip_to(&mut self, last: Version) {
        let end = self.end();
        if last <= end {
            return;
        }
        self.ahead.retain(|version| *version <= end || *version > last);
        if self.ready.end().is_none() {
            self.reach = last;
            self.unsaved.changed = true;
        } else {
            self.ready.push(last, Entry::Skipped);
        }
    }

    /// Buries the next version in its turn: what the log has of it is damaged.
    pub fn bury_damaged(&mut self, version: Version, problem: String, now: Micros) {
        if version > self.end() {
            let taken = self.ahead.contains(&version);
            let entry = if taken { Entry::Taken } else { Entry::Damaged(problem) };
            self.ready.push(version, entry);
            self.advance(now);
        }
    }

    /// Moves the reach over whatever nobody waits for at the front of what was read ahead.
    fn advance(&mut self, now: Micros) {
        while let Some(slot) = self.ready.pop_settled() {
            self.reach = slot.version;
            match slot.entry {
                Entry::Skipped | Entry::Waiting(_) => self.unsaved.skipped = true,
                Entry::Taken => {
                    self.ahead.remove(&slot.version);
                    self.unsaved.changed = true;
                    self.place(slot.version);
                }
                Entry::Broken(why) => self.bury_at(slot.version, DeadReason::Expression, why, now),
                Entry::Damaged(why) => self.bury_at(slot.version, DeadReason::Damaged, why, now),
            }
        }
    }

    fn bury_at(&mut self, version: Version, reason: DeadReason, why: String, now: Micros) {
        self.unsaved.changed = true;
        let last = LastAnswer { status: None, error: Some(why) };
        self.bury(NewDeadLetter { version, reason, attempts: 0, first: now, last });
    }

    /// Takes over changed rules; what was read ahead is to be read again, by a sieve that may be
    /// another.
    pub fn rule(&mut self, rules: Rules) {
        let reordered = rules.order != self.rules.order || rules.stop_key != self.rules.stop_key;
        self.rules = rules;
        self.ready.clear();
        self.previous.clear();
        self.last_wanted = None;
        if reordered {
            self.arrange();
        }
    }
}

#[cfg(test)]
mod tests;
