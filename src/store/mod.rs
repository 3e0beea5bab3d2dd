//! The one store: the written contract, its types and errors.
//!
//! Every backend keeps the promises written on [`Store`]; the cases in `tests/store/` hold each
//! backend to them.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

pub use self::{
    error::StoreError,
    job::{Job, JobStatus, NewJob},
    log::{Append, Damage, EpochStart, Gap, NewEvent, NewGap, Page, Placed, Read, TopicState},
    open::{Options, Verified, open, verify},
    pending::{Pending, Released},
    position::{
        DeadFilter, DeadLetter, DeadReason, DeadSelect, EventPlace, EventState, Exception,
        ExceptionKind, Expired, LastAnswer, NewDeadLetter, PositionState, Settlement, Trimmed,
    },
    source::{
        EventSource, NewRejected, NewSource, REJECTED_BYTES_MAX, Rejected, SourceProgress,
        SourceState, SourceStatus, Steer,
    },
    subscription::{
        NewSubscription, Origin, PositionSummary, StartFrom, Subscription, SubscriptionStatus,
        SubscriptionSteer,
    },
    trace::{ATTEMPTS_KEPT, Attempt, AttemptQuery},
    trouble::{Change, News, Trouble, Troubles},
};
use crate::{
    event::{Cursor, Event, Micros, Name, Topic, Version},
    settings::{Rate, SubscriptionSettings, TopicSettings},
};

mod error;
mod job;
mod log;
mod open;
mod pending;
mod position;
mod source;
pub mod sqlite;
mod subscription;
pub mod tail;
mod trace;
mod trouble;

/// A number that rises when the holder of a piece of work must let go of it.
pub type Fence = u64;

/// What every store promises.
///
/// **The log.** A topic is append-only. `append` gives each event that is not known the next
/// version: from 1, without a gap, in commit order, never reused. An event is on disk before
/// `append` answers and before any reader sees it. `recorded` never falls from one version to the
/// next. An event whose `source` and `id` are known within the topic's dedupe window is not stored
/// again and answers with the version it has; two equal ones in one append, or in two appends that
/// commit together, are one. One append is all or nothing, its source's progress included. An
/// operation that fails fails alone, whatever was committed along with it.
///
/// **`Unknown`** is the answer when it cannot be told whether an operation took effect; the caller
/// may repeat it: every operation is safe to repeat, appends because they are recognised.
///
/// **Fences.** Every progress and settlement names the fence its holder was given; one that is not
/// the present fence changes nothing and answers `Stale`.
///
/// **Reading** never waits for a writer and holds nothing open between calls.
///
/// **Wake-ups** may be spurious, never missing: whoever subscribes before looking sees the change
/// or is woken.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    // ---- topics ----

    /// Creates the topic, or changes its settings. Every subscription with a pattern that matches
    /// a new one gets a position at its start.
    async fn put_topic(
        &self,
        topic: &Topic,
        settings: &TopicSettings,
        now: Micros,
    ) -> Result<Arc<TopicState>, StoreError>;
    /// Removes a topic with its events; refused with `Conflict` while a source or a subscription
    /// names it. Positions that subscriptions have there by a pattern go with it.
    async fn delete_topic(&self, topic: &Topic, now: Micros) -> Result<(), StoreError>;
    /// One topic, or `NotFound`.
    async fn topic(&self, topic: &Topic) -> Result<Arc<TopicState>, StoreError>;
    /// All topics by name.
    async fn topics(&self) -> Result<Vec<Arc<TopicState>>, StoreError>;
    /// Begins a new epoch at head + 1, because history may have been cut; `reason` is kept.
    async fn new_epoch(
        &self,
        topic: &Topic,
        reason: &str,
        now: Micros,
    ) -> Result<Cursor, StoreError>;
    /// The gaps recorded for a topic, newest first, at most `limit`.
    async fn gaps(&self, topic: &Topic, limit: usize) -> Result<Vec<Gap>, StoreError>;

    // ---- the log ----

    /// Numbers and keeps events; see the contract above. One that is to be delivered after
    /// `now` is kept as pending in the same transaction (`Full` when too many are). An event that
    /// is pending is known, and answers with its number. Answers one [`Placed`] per event in the
    /// order given. At most 10,000 events.
    async fn append(&self, append: Append) -> Result<Vec<Placed>, StoreError>;
    /// Events of a topic in version order; see [`Read`].
    async fn read(&self, topic: &Topic, read: Read) -> Result<Page, StoreError>;
    /// The last version recorded before `moment`; the version before the oldest when none was.
    async fn version_before(&self, topic: &Topic, moment: Micros) -> Result<Version, StoreError>;
    /// Wakes when the head of the topic moves; its value is the head as last seen here.
    async fn head(&self, topic: &Topic) -> Result<watch::Receiver<Version>, StoreError>;
    /// Wakes when a topic, source, subscription or position was changed by somebody other than
    /// its holder; its value rises.
    fn changes(&self) -> watch::Receiver<u64>;

    // ---- pending events ----

    /// The pending events of a topic by their numbers, above `after`, at most `limit` and 8 MiB.
    async fn pending(
        &self,
        topic: &Topic,
        after: i64,
        limit: usize,
    ) -> Result<Vec<Pending>, StoreError>;
    /// One pending event, or `NotFound`.
    async fn pending_event(&self, topic: &Topic, id: i64) -> Result<Pending, StoreError>;
    /// Makes a pending event due at another time; `Conflict` when it is prepared.
    async fn change_pending(&self, topic: &Topic, id: i64, due: Micros) -> Result<(), StoreError>;
    /// Commits a prepared event; `Conflict` when it is not prepared. Due at `now` already, it is in
    /// the log when this answers, which says where; else it waits until it is due.
    async fn commit_pending(
        &self,
        topic: &Topic,
        id: i64,
        due: Micros,
        now: Micros,
    ) -> Result<Option<Released>, StoreError>;
    /// Forgets a pending event, which is never in the log then; `Conflict` when it was committed.
    async fn cancel_pending(&self, topic: &Topic, id: i64) -> Result<(), StoreError>;
    /// Moves pending events that are due at `now` into the log, the longest due first, at most
    /// `limit` and 8 MiB: each is appended in the transaction that ends its waiting, so never
    /// twice. Answers what went.
    async fn release_pending(&self, now: Micros, limit: usize)
    -> Result<Vec<Released>, StoreError>;
    /// When the next pending event is due; `None` when none is. Wakes when that changes.
    fn next_pending(&self) -> watch::Receiver<Option<Micros>>;
    /// How an event of the log waited, if it did.
    async fn was_pending(
        &self,
        topic: &Topic,
        version: Version,
    ) -> Result<Option<Released>, StoreError>;

    // ---- sources ----

    /// Creates the source, or finds it under its name and takes over topic and configuration. A
    /// changed `config_hash` raises the fence and drops the mark. With a `contract` that the stored
    /// cursor is not good for, the source needs a cursor ([`SourceState::needs_cursor`]) until one
    /// is set or kept, or the former contract is put again. A cursor for `contract_before` is
    /// taken over. The CloudEvents source is stored as [`EventSource::chosen`] says.
    async fn put_source(&self, source: &NewSource, now: Micros) -> Result<SourceState, StoreError>;
    /// One source, or `NotFound`.
    async fn source(&self, name: &Name) -> Result<SourceState, StoreError>;
    /// All sources by name, the removed ones included.
    async fn sources(&self) -> Result<Vec<SourceState>, StoreError>;
    /// Pauses, resumes, sets the cursor, asks for a poll now, or marks as removed. All but
    /// [`Steer::Poll`] raise the fence.
    async fn steer_source(
        &self,
        name: &Name,
        steer: Steer,
        now: Micros,
    ) -> Result<SourceState, StoreError>;
    /// The last events of the source's journal, at most `limit` and 4 MiB, newest-listed first order reversed: the
    /// one listed last comes first, which is the order to number them in.
    async fn journal(&self, name: &Name, limit: usize) -> Result<Vec<NewEvent>, StoreError>;
    /// The items of the source that were rejected, newest first, at most `limit` and
    /// [`REJECTED_BYTES_MAX`].
    async fn rejected(&self, name: &Name, limit: usize) -> Result<Vec<Rejected>, StoreError>;

    // ---- subscriptions and positions ----

    /// Creates a subscription with a position in each topic that it names (`NotFound` when there is
    /// none of that name) or that matches a pattern of its; `Exists` when the name is taken.
    /// For [`Origin::File`] an existing one is changed instead and keeps its positions.
    async fn put_subscription(
        &self,
        new: &NewSubscription,
        now: Micros,
    ) -> Result<Subscription, StoreError>;
    /// Replaces the settings; positions, fence and what is in flight stay. With `edit`, the number
    /// of the change that the settings were read after: `Stale` when it is not the last any more.
    /// With another `url` the health is forgotten, and what failed is due at once.
    async fn set_subscription(
        &self,
        name: &Name,
        settings: &SubscriptionSettings,
        edit: Option<u64>,
        now: Micros,
    ) -> Result<Subscription, StoreError>;
    /// One subscription, or `NotFound`.
    async fn subscription(&self, name: &Name) -> Result<Subscription, StoreError>;
    /// All that changed after `edit`, in the order of their change, deleted ones included; 0 gives
    /// all that exist.
    async fn subscriptions(&self, edit: u64) -> Result<Vec<Subscription>, StoreError>;
    /// Pauses, resumes, disables, removes or deletes.
    async fn steer_subscription(
        &self,
        name: &Name,
        steer: SubscriptionSteer,
        now: Micros,
    ) -> Result<Subscription, StoreError>;
    /// Moves the positions of the subscription (in `topic`, or in all) so that the next event is
    /// the one after `to`: drops open and exceptions, raises the fence;
    /// dead letters stay, and so do redriven events that only an exception still has.
    async fn rewind(
        &self,
        name: &Name,
        topic: Option<&Topic>,
        to: Version,
        now: Micros,
    ) -> Result<Subscription, StoreError>;
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

    // ---- replay jobs ----

    /// Starts a replay job: one more position of the subscription, beside the live one of the
    /// same topic. `Conflict` when the subscription is not in the topic or there is nothing to
    /// replay, `Trimmed` when `from` is gone, `Full` when 10 run already.
    async fn start_replay(&self, name: &Name, job: &NewJob, now: Micros)
    -> Result<Job, StoreError>;
    /// The replay jobs of a subscription, newest first: those that run, and at most 100 that ended
    /// in the last 30 days.
    async fn replays(&self, name: &Name) -> Result<Vec<Job>, StoreError>;
    /// Ends a replay job before its time; `Conflict` when it is done.
    async fn cancel_replay(&self, name: &Name, id: i64, now: Micros) -> Result<Job, StoreError>;
    /// Its holder says that a replay job's position has nothing left: the job is done and the
    /// position goes.
    async fn end_replay(&self, position: i64, fence: Fence, now: Micros) -> Result<(), StoreError>;

    // ---- dead letters ----

    /// Dead letters of a subscription, oldest first, with an id above `after`, at most `limit`.
    async fn dead_letters(
        &self,
        name: &Name,
        select: &DeadSelect,
        after: i64,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, StoreError>;
    /// Turns dead letters into retries with no attempt counted, due at `now`, or one after the
    /// other at `rate`; answers how many. Announced ranges stay. As many as fit below
    /// `max_exceptions`; those whose key stands still always do.
    async fn redrive(
        &self,
        name: &Name,
        select: DeadSelect,
        rate: Option<Rate>,
        now: Micros,
    ) -> Result<u64, StoreError>;
    /// Removes dead letters; answers how many.
    async fn delete_dead_letters(&self, name: &Name, select: DeadSelect)
    -> Result<u64, StoreError>;

    // ---- trace ----

    /// Hands over the records of finished attempts; never waits, drops and counts when it cannot
    /// keep up, successes first.
    fn trace(&self, attempts: Vec<Attempt>);
    /// Attempts, newest first.
    async fn attempts(&self, query: AttemptQuery) -> Result<Vec<Attempt>, StoreError>;

    // ---- keeping ----

    /// Removes a bounded piece of what is past its time or limit (events, dedupe keys, dead
    /// letters, attempts, removed sources and subscriptions).
    async fn trim(&self, now: Micros) -> Result<Trimmed, StoreError>;
    /// The latest moment that is known to have come: what was last given to
    /// [`Store::keep_believed`], else when the newest event was recorded. `None`: nothing is known.
    async fn believed(&self) -> Result<Option<Micros>, StoreError>;
    /// Keeps a moment for [`Store::believed`] of the next process.
    async fn keep_believed(&self, moment: Micros) -> Result<(), StoreError>;
    /// Whether what is written now is kept: `Lost` while the file is not the one that was opened.
    async fn ready(&self) -> Result<(), StoreError>;
    /// What keeps the store from working as it should at present; empty when all is well.
    fn troubles(&self) -> Vec<Trouble>;
    /// What changed of that since this was asked last; whoever asks is to tell it.
    fn news(&self) -> Vec<News>;
    /// Sizes for the gauges: name and value, names as in `telemetry`.
    async fn gauges(&self) -> Vec<(&'static str, f64)>;
    /// Finishes what was accepted, checkpoints and closes.
    async fn close(&self);
}
