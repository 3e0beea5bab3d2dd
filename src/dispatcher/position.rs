//! The worker of one position: looks what can be done, does it, and waits for what happens next.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::sync::watch;

use super::{
    endpoint::{Endpoint, Place},
    flight::Landed,
    pace::Pace,
    pool::Refusal,
    window::{Take, Window},
};
use crate::{
    clock::LEAP_MIN_US,
    event::{Micros, Version},
    settings::Rate,
    store::{Attempt, Job, Page, PositionState, Settlement, StoreError, TopicState},
    telemetry::Deliveries,
};

mod ask;
mod counts;
mod ends;
mod start;
mod tools;

pub use self::tools::{Assignment, Tools};

/// A node whose term is over looks so often whether it was renewed.
const RENEWED_EVERY: Duration = Duration::from_millis(100);
/// Settlements are saved at most 50 ms after the attempts they tell of: half of that is left for
/// the commit.
const SAVE_EVERY: Duration = Duration::from_millis(25);
/// That events were passed over is saved so late, for a crash only passes over them again.
const SAVE_SKIPPED_EVERY: Duration = Duration::from_secs(1);
/// How long a failing store is left alone.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// Fewer events read ahead, or fewer bytes, and more are read.
const LOW_EVENTS: usize = 128;
const LOW_BYTES: usize = 256 << 10;
/// What is read ahead for the sake of priorities, by one position and by all of them.
const AHEAD_BYTES: usize = 16 << 20;
const AHEAD_BYTES_ALL: usize = 64 << 20;
/// What is read ahead for the sake of batches, as long as all positions together have less.
const AHEAD_BATCHES_BYTES: usize = 4 << 20;
/// Versions looked at ahead of the reach.
const LOOKED_MAX: usize = 100_000;
/// Dead letters that wait for a save; with so many nothing more is read.
const UNSAVED_DEAD_MAX: usize = 1_000;
/// What one read asks for.
const PAGE_BYTES: usize = 2 << 20;
/// Versions whose lane is learnt at once.
const LEARN_MAX: usize = 64;
/// Records of attempts that wait for the next save.
const RECORDS_MAX: usize = 512;
/// Ends that are taken in before the worker looks again.
const ENDS_MAX: usize = 64;

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// There may be more to do.
    Went,
    /// The position is another holder's, or moved: take it up anew.
    Stale,
    /// Everything is done and saved after a soft stop, or the position is served no more.
    Done,
    /// Stopped hard; whether attempts were under way.
    Cut(bool),
}

enum Done {
    Landed(Landed),
    /// A page above the version that was then the last read.
    Page(Version, Result<Page, StoreError>),
    Fetched(Take, Place),
    Learnt(Vec<(Version, Result<u64, StoreError>)>),
    Saved(Option<Settlement>, Vec<(Take, Place)>, Result<(), StoreError>),
    Merged(Result<PositionState, StoreError>),
    Disabled(Result<(), StoreError>),
    Ended(Result<(), StoreError>),
}

/// What the store is being asked; never twice at once.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a question of its own")]
struct Busy {
    reading: bool,
    learning: bool,
    saving: bool,
    merging: bool,
    ending: bool,
}

/// How the last attempts to start something went.
#[derive(Default)]
struct Last {
    /// What was started was a retry.
    was_retry: bool,
    /// There was no place in flight.
    refusal: Option<Refusal>,
}

/// What was made known of exceptions that are as many as may be.
#[derive(Default)]
struct Full {
    /// The gauge has it.
    is_shown: bool,
    /// The log has it.
    is_told: bool,
}

/// Holds one position.
pub struct Worker {
    tools: Tools,
    position: i64,
    topic: Arc<TopicState>,
    head: watch::Receiver<Version>,
    assignments: watch::Receiver<Assignment>,
    assignment: Assignment,
    endpoint: Arc<Endpoint>,
    deliveries: Deliveries,
    window: Window,
    /// The replay that it serves, and its own pace.
    replay: Option<(Job, Pace)>,
    under_way: FuturesUnordered<Pin<Box<dyn Future<Output = Done> + Send>>>,
    /// What may be sent once the store knows that it is settled.
    claims: Vec<(Take, Place)>,
    /// What is read before it is claimed; nothing is saved meanwhile.
    fetching: usize,
    records: Vec<Attempt>,
    /// Requests that were begun and have not ended, and the retries among them.
    requests: usize,
    retries: usize,
    last: Last,
    busy: Busy,
    merge_wanted: bool,
    /// The endpoint is gone or given up; nothing starts until an assignment says otherwise.
    disabled: bool,
    full: Full,
    unsaved_since: Option<Micros>,
    /// Not before this is the store asked again.
    store_pause: Micros,
    /// By how much moments were moved when they were last saved, in microseconds.
    stored_by_us: i64,
    stood_still: Duration,
    /// Bytes of the page that is being read, at most.
    asked_bytes: usize,
    /// Bytes read ahead, as the process was told of them.
    ahead_bytes: usize,
}

impl Worker {
    /// Takes up a position.
    ///
    /// # Errors
    /// As the store has them; `NotFound` when the position is gone.
    pub async fn load(
        tools: Tools,
        position: i64,
        endpoint: Arc<Endpoint>,
        mut assignments: watch::Receiver<Assignment>,
    ) -> Result<Self, StoreError> {
        let assignment = assignments.borrow_and_update().clone();
        let mut state = tools.store.position(position).await?;
        state.shift(tools.clock.of_stored(state.saved));
        let topic = tools.store.topic(&state.topic).await?;
        let head = tools.store.head(&state.topic).await?;
        let replay = state.job.take().map(|job| {
            let mut pace = Pace::default();
            pace.set(job.rate.map(Rate::per_second));
            (job, pace)
        });
        let window = Window::new(state, assignment.rules(replay.is_some()));
        let stood_still = {
            let mut health = endpoint.health();
            health.at_least(window.successes());
            health.stood_still()
        };
        let deliveries = tools.metrics.deliveries(assignment.addressee.name.as_str());
        Ok(Self {
            store_pause: tools.clock.steady(),
            stored_by_us: tools.clock.to_store(),
            tools,
            position,
            topic,
            head,
            assignments,
            assignment,
            endpoint,
            deliveries,
            window,
            replay,
            under_way: FuturesUnordered::new(),
            claims: Vec::new(),
            fetching: 0,
            records: Vec::new(),
            requests: 0,
            retries: 0,
            last: Last::default(),
            busy: Busy::default(),
            merge_wanted: false,
            disabled: false,
            full: Full::default(),
            unsaved_since: None,
            stood_still,
            asked_bytes: 0,
            ahead_bytes: 0,
        })
    }

    /// Does what can be done now, then waits for one thing to happen and takes it in.
    pub async fn step(&mut self) -> Step {
        let endpoint = self.endpoint.clone();
        // Registered before looking.
        let before = self.last.refusal.take();
        let woken = endpoint.woken(before.as_ref());
        let head = *self.head.borrow_and_update();
        let now = self.tools.clock.steady();
        self.keep_after_leap();
        self.look(now, head);
        match (&before, &self.last.refusal) {
            // A place may have fallen free before anybody was registered.
            (None, Some(_)) => return Step::Went,
            (Some(before), None) => before.pass_on(),
            _ => {}
        }
        let stopping = self.tools.soft.is_cancelled();
        if stopping && self.under_way.is_empty() && !self.window.is_behind() {
            return Step::Done;
        }
        let wake = self.next_wake(now);
        let clock = self.tools.clock.clone();
        tokio::select! {
            biased;
            () = self.tools.hard.cancelled() => Step::Cut(self.window.in_flight() > 0),
            changed = self.assignments.changed() => match changed {
                Ok(()) => self.take_assignment(),
                Err(_) => Step::Done,
            },
            Some(done) = self.under_way.next(), if !self.under_way.is_empty() => {
                self.take_in_all(done)
            }
            Ok(()) = self.head.changed() => Step::Went,
            () = woken => Step::Went,
            () = self.tools.soft.cancelled(), if !stopping => Step::Went,
            () = async { clock.until(wake.unwrap_or_default()).await }, if wake.is_some() => {
                Step::Went
            }
        }
    }

    // ---- looking ----

    fn look(&mut self, now: Micros, head: Version) {
        let stood_still = self.endpoint.health().stood_still();
        if stood_still > self.stood_still {
            let keep = self.assignment.addressee.settings.retry.max_age.is_some();
            self.window.stood_still(stood_still.saturating_sub(self.stood_still), now, keep);
            self.stood_still = stood_still;
        }
        self.tell_full();
        let serves = self.serves(now);
        if self.replay.is_none() {
            let new = self.window.next_new().is_some_and(|new| new <= now);
            self.endpoint.wish(self.position, serves && (new || self.is_due(now)));
        }
        if serves {
            self.learn();
            while self.start_one(now) {}
            self.read_ahead(head);
        }
        self.tell_ahead();
        if self.merge_wanted && !self.busy.saving && !self.busy.merging && now >= self.store_pause {
            self.merge();
        }
        self.save(now);
        self.end_replay(now);
    }

    /// What was stored before the wall was set is stored anew: it is shown, and read after a restart.
    fn keep_after_leap(&mut self) {
        let by_us = self.tools.clock.to_store();
        if by_us.saturating_sub(self.stored_by_us).abs() >= LEAP_MIN_US {
            self.stored_by_us = by_us;
            self.window.keep_all();
            self.endpoint.keep();
        }
    }

    /// Shows whether anything new starts, and says once that nothing does; anew when half of the
    /// exceptions were settled between.
    fn tell_full(&mut self) {
        let max_exceptions = self.assignment.addressee.settings.max_exceptions;
        let exceptions = self.window.exceptions();
        self.show_full(exceptions >= max_exceptions);
        if exceptions >= max_exceptions && !self.full.is_told {
            self.full.is_told = true;
            let (subscription, topic) =
                (self.assignment.addressee.name.as_str(), &self.topic.topic);
            tracing::warn!(
                event = "subscription.exceptions_full", subscription, %topic, exceptions,
                "the exceptions are full: nothing new starts"
            );
        } else if exceptions <= max_exceptions / 2 {
            self.full.is_told = false;
        }
    }

    fn show_full(&mut self, is_full: bool) {
        if std::mem::replace(&mut self.full.is_shown, is_full) != is_full {
            self.deliveries.exceptions_full.inc_by(if is_full { 1 } else { -1 });
        }
    }

    fn tell_ahead(&mut self) {
        self.set_ahead(self.window.ready().1 + self.asked_bytes);
    }

    fn set_ahead(&mut self, bytes: usize) {
        if bytes == self.ahead_bytes {
            return;
        }
        self.endpoint.common().read_ahead(self.ahead_bytes, bytes);
        let signed = |bytes: usize| i64::try_from(bytes).unwrap_or(i64::MAX);
        let more = signed(bytes) - signed(self.ahead_bytes);
        self.tools.metrics.read_ahead_bytes.inc_by(more);
        self.ahead_bytes = bytes;
    }

    fn serves(&self, now: Micros) -> bool {
        self.assignment.serve
            && !self.disabled
            && now >= self.store_pause
            && self.is_held(now)
            && !self.tools.soft.is_cancelled()
    }

    /// Whether the node may start anything of this subscription.
    fn is_held(&self, now: Micros) -> bool {
        self.tools.held.may_begin(self.endpoint.subscription(), now)
    }

    fn is_due(&self, now: Micros) -> bool {
        self.window.next_due().is_some_and(|due| due <= now)
    }

    fn begin(&self, work: impl Future<Output = Done> + Send + 'static) {
        self.under_way.push(Box::pin(work));
    }

    /// The next moment at which there is something to do that nothing else wakes for.
    fn next_wake(&self, now: Micros) -> Option<Micros> {
        if self.store_pause > now {
            return Some(self.store_pause);
        }
        let save = self.unsaved_since.filter(|_| !self.busy.saving);
        let save = save.map(|since| self.save_at(since));
        let serves = self.serves(now);
        let start = serves.then(|| self.next_start()).flatten();
        let waits = self.assignment.serve && !self.is_held(now);
        let renewed = waits.then(|| now.plus(RENEWED_EVERY));
        // What could start now and did not waits for something else than time.
        [save, start, renewed].into_iter().flatten().filter(|wake| *wake > now).min()
    }

    fn next_start(&self) -> Option<Micros> {
        let start = [self.window.next_new(), self.window.next_due()].into_iter().flatten().min()?;
        let start = start.max(self.paced());
        let health = self.endpoint.health();
        // With a trial under way its end wakes everybody.
        if health.is_holding() { Some(start.max(health.next_trial()?)) } else { Some(start) }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let in_flight = i64::try_from(self.launched()).unwrap_or(0);
        self.tools.metrics.in_flight.dec_by(in_flight);
        self.set_ahead(0);
        self.show_full(false);
        self.endpoint.wish(self.position, false);
    }
}
