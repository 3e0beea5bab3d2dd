//! A position in the log, what is excepted from it, and dead letters.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Damage, Fence, Job};
use crate::event::{Event, Micros, Name, Topic, Version};

/// A position as its holder takes it up.
#[derive(Debug, Clone)]
pub struct PositionState {
    /// Its row number.
    pub id: i64,
    /// Whose it is.
    pub subscription: i64,
    /// The topic it is in.
    pub topic: Topic,
    /// To be given back with every settlement.
    pub fence: Fence,
    /// Every version up to it has been looked at.
    pub reach: Version,
    /// At or below the reach and in flight when last saved: to be delivered again.
    pub open: Vec<Version>,
    /// By version.
    pub exceptions: Vec<Exception>,
    /// The highest version with a dead letter; deliveries at or below it may clear one.
    pub dead_up_to: Version,
    /// The replay job that it serves; `None`: live delivery.
    pub job: Option<Job>,
    /// When it was last saved.
    pub saved: Micros,
}

impl PositionState {
    /// Moves what is to come and what was by so many microseconds: from one clock to another.
    pub fn shift(&mut self, by_us: i64) {
        for exception in &mut self.exceptions {
            exception.shift(by_us);
        }
    }
}

/// A version at or below the reach that is not settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    /// Which.
    pub version: Version,
    /// What it waits for.
    pub kind: ExceptionKind,
    /// Attempts that count against the event.
    pub attempts: u32,
    /// Attempts made, whether they count or not.
    pub tries: u32,
    /// Not to be tried before.
    pub due: Micros,
    /// When it was first tried; shifted by the length of holds and pauses.
    pub first: Micros,
    /// How many successes the endpoint had had when the event last failed.
    pub successes: u64,
    /// Whether it is known to fail by itself: others arrived after it had failed. Its failures
    /// tell nothing of the endpoint any more.
    pub stands_out: bool,
    /// How the last attempt ended.
    pub last: LastAnswer,
    /// What it is ordered with: a hash of its key; `None`: nothing, or not known yet.
    pub lane: Option<u64>,
}

impl Exception {
    fn shift(&mut self, by_us: i64) {
        self.due = self.due.shifted(by_us);
        self.first = self.first.shifted(by_us);
    }
}

/// What an exception waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExceptionKind {
    /// Its next attempt.
    Retry,
    /// Another event of its key.
    Parked,
    /// A puller holds it.
    Leased,
    /// Nothing: it is dead, and its key stands still until its dead letter is redriven or deleted.
    Stopped,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LastAnswer {
    /// The status, when there was an answer.
    pub status: Option<u16>,
    /// What went wrong, or what else is to be known of the answer.
    pub error: Option<String>,
}

/// What became of deliveries of one position since its last save.
#[derive(Debug, Clone, Default)]
pub struct Settlement {
    /// Which position.
    pub position: i64,
    /// Must be the position's.
    pub fence: Fence,
    /// The reach now.
    pub reach: Version,
    /// In flight now, at or below the reach.
    pub open: Vec<Version>,
    /// Exceptions that are new or changed.
    pub put: Vec<Exception>,
    /// Exceptions that are gone.
    pub clear: Vec<Version>,
    /// Events given up; clears their exceptions too, but those that `put` makes `Stopped`.
    pub dead: Vec<NewDeadLetter>,
    /// Delivered although they have (or may have) a dead letter, which goes.
    pub undead: Vec<Version>,
    /// Deliveries that succeeded since the last save.
    pub delivered: u64,
    /// The time of the save.
    pub now: Micros,
}

impl Settlement {
    /// Moves all of its moments by so many microseconds: from one clock to another.
    pub fn shift(&mut self, by_us: i64) {
        self.now = self.now.shifted(by_us);
        for exception in &mut self.put {
            exception.shift(by_us);
        }
        for letter in &mut self.dead {
            letter.first = letter.first.shifted(by_us);
        }
    }
}

/// Why an event was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadReason {
    /// The attempts are spent.
    Attempts,
    /// The time is up.
    Age,
    /// The receiver or the policy said that it must not be tried again.
    Refused,
    /// A filter or transform failed on it.
    Expression,
    /// What the store kept of it is damaged or lost.
    Damaged,
    /// Retention removed it while it was owed: a range.
    Expired,
}

/// An event to be given up.
#[derive(Debug, Clone)]
pub struct NewDeadLetter {
    /// Which.
    pub version: Version,
    /// Why.
    pub reason: DeadReason,
    /// Attempts made.
    pub attempts: u32,
    /// When it was first tried.
    pub first: Micros,
    /// How the last attempt ended.
    pub last: LastAnswer,
}

/// A kept dead letter: one event, or a range that retention removed.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// Its row number.
    pub id: i64,
    /// The topic.
    pub topic: Topic,
    /// The first version.
    pub from: Version,
    /// The last version; `from` for a single event.
    pub to: Version,
    /// How many events of the range were owed; 1 for a single event.
    pub count: u64,
    /// Why.
    pub reason: DeadReason,
    /// Attempts made.
    pub attempts: u32,
    /// When it was first tried.
    pub first: Micros,
    /// When it was given up.
    pub at: Micros,
    /// How the last attempt ended.
    pub last: LastAnswer,
    /// The event, unless it is a range; outlives the log.
    pub event: Option<Arc<Event>>,
}

/// Which dead letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeadSelect {
    /// All of the subscription.
    All,
    /// Those with these ids.
    Ids(Vec<i64>),
    /// Those that are as it says.
    Where(DeadFilter),
}

/// Which dead letters; every field narrows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadFilter {
    /// Of this topic.
    pub topic: Option<Topic>,
    /// Given up because of this.
    pub reason: Option<DeadReason>,
    /// Of this version or a later one.
    pub from: Option<Version>,
    /// Of this version or an earlier one.
    pub to: Option<Version>,
    /// Given up at this moment or later.
    pub since: Option<Micros>,
    /// Whose last attempt was answered with this status.
    pub status: Option<u16>,
}

/// Where an event stands at one subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventState {
    /// Whose.
    pub subscription: Name,
    /// The replay job, when it is not live delivery.
    pub replay: Option<i64>,
    /// Where it stands.
    pub place: EventPlace,
}

impl EventState {
    /// So many are told of at once.
    pub const MAX: usize = 10_000;
}

/// Where an event stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventPlace {
    /// It was not looked at yet.
    Waiting,
    /// It was in flight when last saved.
    InFlight,
    /// It stands out.
    Excepted {
        /// What it waits for.
        kind: ExceptionKind,
        /// Not to be tried before.
        due: Micros,
        /// Attempts made.
        attempts: u32,
        /// How the last one ended.
        last: LastAnswer,
    },
    /// It was given up.
    Dead {
        /// Why.
        reason: DeadReason,
        /// Attempts made.
        attempts: u32,
        /// How the last one ended.
        last: LastAnswer,
    },
    /// It is done: delivered, not wanted, or expired.
    Settled,
    /// The subscription began behind it, so it was never owed.
    BeforeStart,
}

/// What a trim did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trimmed {
    /// Whether there is more to remove.
    pub more: bool,
    /// What was owed and went.
    pub expired: Vec<Expired>,
    /// Dead letters that went, by age or because there were too many.
    pub dead_letters: u64,
    /// Events that were found lost or damaged since the last trim.
    pub damage: Vec<Damage>,
}

/// Events that retention removed although a subscription was owed them: a range among its dead
/// letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expired {
    /// Whose.
    pub subscription: Name,
    /// The topic.
    pub topic: Topic,
    /// The last version of the range.
    pub to: Version,
    /// How many of it were owed.
    pub count: u64,
}
