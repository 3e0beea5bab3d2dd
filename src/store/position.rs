//! A position in the log, what is excepted from it, and dead letters.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr};

use super::{DeadReason, Fence, Job, LastAnswer, NewDeadLetter, StoreError};
use crate::event::{Event, Micros, Name, Topic, Version};

/// A position as its holder takes it up.
#[derive(Debug, Clone)]
pub struct PositionState {
    /// Its row number.
    pub id: i64,
    /// Whose it is.
    pub subscription: i64,
    /// The topic it is in,
    pub topic: Topic,
    /// and that topic's row number, to be given back likewise.
    pub topic_id: i64,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, EnumString, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum ExceptionKind {
    /// Its next attempt.
    Retry,
    /// Another event of its key.
    Parked,
    /// Nothing: it is dead, and its key stands still until its dead letter is redriven or deleted.
    Stopped,
}

/// What became of deliveries of one position since its last save.
#[derive(Debug, Clone, Default)]
pub struct Settlement {
    /// The row number of the topic that the position is in.
    pub topic: i64,
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
#[derive(Debug, Clone, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
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

/// An event at or below a reach that is not settled, and is not in flight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Its place in the list; with it, when it is not to be tried before, and which it is.
    pub at: WaitingPlace,
    /// The topic.
    pub topic: Topic,
    /// The replay job, when it is not live delivery.
    pub replay: Option<i64>,
    /// What it waits for.
    pub kind: ExceptionKind,
    /// Attempts made.
    pub attempts: u32,
    /// When it was first tried.
    pub first: Micros,
    /// How the last attempt ended.
    pub last: LastAnswer,
}

/// A place in the list of what waits: what is due first comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitingPlace {
    /// Not to be tried before; of one that waits for another event, nothing is told by it.
    pub due: Micros,
    /// The row number of the position.
    pub position: i64,
    /// The version.
    pub version: Version,
}

impl WaitingPlace {
    /// Before every other.
    pub const FIRST: Self = Self { due: Micros(i64::MIN), position: 0, version: Version::ZERO };
}

/// Positions, as their holders take them up and save them.
#[async_trait]
pub trait Positions: Send + Sync {
    /// A position with its exceptions, to be held.
    async fn position(&self, position: i64) -> Result<PositionState, StoreError>;
    /// The event of an exception that was redriven after the log had let go of it.
    async fn kept_event(
        &self,
        position: i64,
        version: Version,
    ) -> Result<Option<Arc<Event>>, StoreError>;
    /// Where a version stands at every subscription of its topic, replays that cover it included,
    /// by name, as last saved (50 ms ago at most, one second for what a filter passes over). At
    /// most [`EventState::MAX`].
    async fn event_states(
        &self,
        topic: &Topic,
        version: Version,
    ) -> Result<Vec<EventState>, StoreError>;
    /// What of the subscription with this row number waits for another attempt, replays included: the
    /// next `limit` behind `after`, what is due first first.
    async fn waiting(
        &self,
        subscription: i64,
        after: WaitingPlace,
        limit: usize,
    ) -> Result<Vec<Waiting>, StoreError>;
    /// Saves what became of deliveries; dead letters of a replay job's position are those of the
    /// live one in the same topic, and a delivery by a job clears them. Each answer is
    /// that of the settlement at its index, and all that succeed are one transaction.
    async fn settle(&self, settlements: Vec<Settlement>) -> Vec<Result<(), StoreError>>;
    /// Saves the health of a subscription's endpoint (JSON, opaque here), as it was learnt after so
    /// many `resets`; when there were more since, it is outdated and nothing changes.
    async fn save_health(
        &self,
        subscription: i64,
        resets: u64,
        health: String,
    ) -> Result<(), StoreError>;
}
