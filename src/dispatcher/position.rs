//! The worker of one position: looks what can be done, does it, and waits for what happens next.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use prometheus_client::metrics::counter::Counter;
use sinks::Sink;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    endpoint::{Endpoint, Place},
    flight::{self, Flight, Landed},
    health::{Leave, Turn},
    pace::Pace,
    parcel::Plan,
    pool::Refusal,
    sift::Sift,
    window::{Rules, Take, Window},
};
use crate::{
    clock::Clock,
    event::{Micros, Version},
    notices::Notices,
    settings::{OnDead, Order as Ordering, Rate},
    store::{Attempt, Job, Page, PositionState, Read, Settlement, Store, StoreError, TopicState},
    telemetry::{Metrics, VerdictLabel},
};

mod ends;

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
/// Versions looked at ahead of the reach.
const LOOKED_MAX: usize = 100_000;
/// What one read asks for.
const PAGE_BYTES: usize = 1 << 20;
/// Versions whose lane is learnt at once.
const LEARN_MAX: usize = 64;
/// Records of attempts that wait for the next save.
const RECORDS_MAX: usize = 512;
/// Ends that are taken in before the worker looks again.
const ENDS_MAX: usize = 64;

/// What the worker is told from outside.
#[derive(Debug, Clone)]
pub struct Order {
    /// The subscription's settings.
    pub plan: Arc<Plan>,
    /// Its sieve.
    pub sift: Arc<Sift>,
    /// Whether anything may be started.
    pub serve: bool,
    /// The position's fence, as the order was given.
    pub fence: u64,
    /// How many may be in flight over all positions of the subscription.
    pub ceiling: usize,
    /// The number of the subscription's last change.
    pub edit: u64,
}

impl Order {
    /// What the window of a position is told; a replay promises no order.
    fn rules(&self, is_replay: bool) -> Rules {
        let settings = &self.plan.settings;
        let order = if is_replay { Ordering::None } else { settings.order };
        Rules {
            order,
            batch: settings.batch,
            wants_all: self.sift.wants_all(),
            max_exceptions: settings.max_exceptions,
            overtaken_max: if is_replay { Duration::ZERO } else { settings.priority.max_wait },
            at_most_once: settings.is_at_most_once(),
            stop_key: order != Ordering::None && settings.on_dead == OnDead::StopKey,
        }
    }
}

/// What every worker is given.
#[derive(Clone)]
pub struct Tools {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Time.
    pub clock: Clock,
    /// The way to consumers.
    pub sink: Arc<dyn Sink>,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Takes what is to be told.
    pub notices: Notices,
    /// Start nothing new.
    pub soft: CancellationToken,
    /// Drop everything.
    pub hard: CancellationToken,
}

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

/// Holds one position.
pub struct Worker {
    tools: Tools,
    position: i64,
    topic: Arc<TopicState>,
    head: watch::Receiver<Version>,
    orders: watch::Receiver<Order>,
    order: Order,
    endpoint: Arc<Endpoint>,
    counters: [Counter; 4],
    window: Window,
    /// The replay that it serves, and its own pace.
    replay: Option<(Job, Pace)>,
    under_way: FuturesUnordered<Pin<Box<dyn Future<Output = Done> + Send>>>,
    /// What may be sent once the store knows that it is settled.
    claims: Vec<(Take, Place)>,
    records: Vec<Attempt>,
    /// Requests that were begun and have not ended, and the retries among them.
    requests: usize,
    retries: usize,
    last: Last,
    busy: Busy,
    merge_wanted: bool,
    /// The endpoint is gone or given up; nothing starts until an order says otherwise.
    disabled: bool,
    /// It was told that the exceptions are full.
    told_full: bool,
    unsaved_since: Option<Micros>,
    /// Not before this is the store asked again.
    store_pause: Micros,
    stood_still: Duration,
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
        mut orders: watch::Receiver<Order>,
    ) -> Result<Self, StoreError> {
        let order = orders.borrow_and_update().clone();
        let mut state = tools.store.position(position).await?;
        let topic = tools.store.topic(&state.topic).await?;
        let head = tools.store.head(&state.topic).await?;
        let replay = state.job.take().map(|job| {
            let mut pace = Pace::default();
            pace.set(job.rate.map(Rate::per_second));
            (job, pace)
        });
        let window = Window::new(state, order.rules(replay.is_some()));
        let stood_still = {
            let mut health = endpoint.health();
            health.at_least(window.successes());
            health.stood_still()
        };
        let counters = ["delivered", "retry", "dead", "gone"].map(|verdict| {
            let subscription = order.plan.name.to_string();
            let label = VerdictLabel { subscription, verdict: verdict.to_owned() };
            tools.metrics.attempts.get_or_create_owned(&label)
        });
        Ok(Self {
            store_pause: tools.clock.now(),
            tools,
            position,
            topic,
            head,
            orders,
            order,
            endpoint,
            counters,
            window,
            replay,
            under_way: FuturesUnordered::new(),
            claims: Vec::new(),
            records: Vec::new(),
            requests: 0,
            retries: 0,
            last: Last::default(),
            busy: Busy::default(),
            merge_wanted: false,
            disabled: false,
            told_full: false,
            unsaved_since: None,
            stood_still,
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
        let now = self.tools.clock.now();
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
            changed = self.orders.changed() => match changed {
                Ok(()) => self.take_order(),
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
            let keep = self.order.plan.settings.retry.max_age.is_some();
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

    /// Says once that nothing new starts; anew when half of the exceptions were settled between.
    fn tell_full(&mut self) {
        let max_exceptions = self.order.plan.settings.max_exceptions;
        let exceptions = self.window.exceptions();
        if exceptions >= max_exceptions && !self.told_full {
            self.told_full = true;
            let (subscription, topic) = (self.order.plan.name.as_str(), &self.topic.topic);
            tracing::warn!(subscription, %topic, exceptions, "exceptions_full: nothing new starts");
        } else if exceptions <= max_exceptions / 2 {
            self.told_full = false;
        }
    }

    fn tell_ahead(&mut self) {
        let bytes = self.window.ready().1;
        if bytes != self.ahead_bytes {
            self.endpoint.common().read_ahead(self.ahead_bytes, bytes);
            self.ahead_bytes = bytes;
        }
    }

    fn serves(&self, now: Micros) -> bool {
        self.order.serve
            && !self.disabled
            && now >= self.store_pause
            && !self.tools.soft.is_cancelled()
    }

    fn is_due(&self, now: Micros) -> bool {
        self.window.next_due().is_some_and(|due| due <= now)
    }

    /// When pace lets the next event start; zero when it does not hold it back.
    fn paced(&self) -> Micros {
        let own = self.replay.as_ref().map_or(Micros(0), |(_, pace)| pace.ready_at());
        own.max(self.endpoint.pace().ready_at())
    }

    /// What may be in flight here: a replay has a quarter, so that live delivery goes on.
    fn concurrency(&self) -> usize {
        let concurrency = self.order.plan.settings.concurrency.max(1);
        if self.replay.is_some() { (concurrency / 4).max(1) } else { concurrency }
    }

    fn leave(&self, now: Micros) -> Leave {
        let health = self.endpoint.health();
        if self.replay.is_some() {
            health.leave_last(self.position, now)
        } else {
            health.leave(self.position, now)
        }
    }

    /// Starts one request, if one may be started; answers whether it did.
    fn start_one(&mut self, now: Micros) -> bool {
        let may_new = self.window.next_new().is_some_and(|new| new <= now);
        let may_retry = self.is_due(now);
        let full = self.requests >= self.concurrency();
        if !(may_new || may_retry) || full || self.paced() > now {
            return false;
        }
        let leave = self.leave(now);
        if leave == Leave::Wait {
            return false;
        }
        let retries_max = (self.concurrency() / 4).max(1);
        let retry_first =
            may_retry && self.retries < retries_max && !(self.last.was_retry && may_new);
        if matches!(leave, Leave::Free(_)) && !retry_first && !may_new {
            return false;
        }
        let place = match self.endpoint.place(self.position) {
            Ok(place) => place,
            Err(refusal) => {
                self.last.refusal = Some(refusal);
                return false;
            }
        };
        let Some(take) = self.pick(leave, now, may_new, retry_first) else { return false };
        self.begin_take(take, place, now);
        true
    }

    /// Requests that were sent and have not ended.
    fn launched(&self) -> usize {
        self.requests - self.claims.len()
    }

    fn pick(
        &mut self,
        leave: Leave,
        now: Micros,
        may_new: bool,
        retry_first: bool,
    ) -> Option<Take> {
        let most = match self.order.plan.settings.batch {
            Some(batch) if matches!(leave, Leave::Free(_)) => batch.max_events,
            _ => 1,
        };
        let window = &mut self.window;
        let new = |window: &mut Window| may_new.then(|| window.start_new(most, now)).flatten();
        match leave {
            Leave::Wait => None,
            Leave::Trial(Turn::New) => new(window).or_else(|| window.start_oldest(now)),
            Leave::Trial(Turn::Oldest) => window.start_oldest(now).or_else(|| new(window)),
            Leave::Free(_) if retry_first => window.start_due(now),
            Leave::Free(_) => new(window),
        }
    }

    fn begin_take(&mut self, take: Take, mut place: Place, now: Micros) {
        let first = take.versions.first().map_or(Version::ZERO, |(version, _)| *version);
        place.begin(first);
        self.endpoint.pace().spend(take.versions.len(), now);
        if let Some((_, pace)) = &mut self.replay {
            pace.spend(take.versions.len(), now);
        }
        self.retries += usize::from(take.is_retry);
        self.requests += 1;
        self.last.was_retry = take.is_retry;
        if self.order.plan.settings.is_at_most_once() {
            self.claims.push((take, place));
        } else {
            self.launch(take, place);
        }
    }

    fn launch(&mut self, take: Take, place: Place) {
        self.tools.metrics.in_flight.inc();
        let first = take.versions.first().map_or(Version::ZERO, |(version, _)| *version);
        let tries = self.window.exception(first).map_or(0, |prior| prior.tries);
        let flight = Flight {
            store: self.tools.store.clone(),
            sink: self.tools.sink.clone(),
            clock: self.tools.clock.clone(),
            plan: self.order.plan.clone(),
            sift: self.order.sift.clone(),
            topic: self.topic.clone(),
            versions: take.versions,
            previous: take.previous,
            replay: self.replay.as_ref().map(|(job, _)| job.id),
            attempt: tries + 1,
            is_retry: take.is_retry,
            place,
        };
        self.begin(async move { Done::Landed(flight.fly().await) });
    }

    fn begin(&self, work: impl Future<Output = Done> + Send + 'static) {
        self.under_way.push(Box::pin(work));
    }

    /// Reads what is ordered with what, where that is not known.
    fn learn(&mut self) {
        let unknown = self.window.unknown(LEARN_MAX);
        if unknown.is_empty() || self.busy.learning {
            return;
        }
        self.busy.learning = true;
        let at_hand = unknown.into_iter().map(|version| {
            let kept = self.window.exception(version).and_then(|known| known.event.clone());
            (version, kept)
        });
        let at_hand: Vec<_> = at_hand.collect();
        let (store, topic) = (self.tools.store.clone(), self.topic.clone());
        let sift = self.order.sift.clone();
        self.begin(async move {
            let mut learnt = Vec::with_capacity(at_hand.len());
            for (version, kept) in at_hand {
                let event = match kept {
                    Some(event) => Ok(Some(event)),
                    None => flight::read(&*store, &topic, version).await,
                };
                // An event that is gone holds nobody back.
                let lane = event.map(|event| event.map_or(0, |event| sift.lane(&event)));
                learnt.push((version, lane));
            }
            Done::Learnt(learnt)
        });
    }

    fn read_ahead(&mut self, head: Version) {
        let (low_events, low_bytes) = self.low_marks();
        let (events, bytes) = self.window.ready();
        let after = self.window.end();
        let up_to = self.replay.as_ref().map_or(head, |(job, _)| head.min(job.to));
        let enough = events >= low_events || bytes >= low_bytes;
        if self.busy.reading || up_to <= after || enough || self.window.looked_ahead() > LOOKED_MAX
        {
            return;
        }
        self.busy.reading = true;
        let (store, topic) = (self.tools.store.clone(), self.topic.topic.clone());
        let max_events = (2 * low_events).clamp(1, 1_000);
        self.begin(async move {
            let read = Read { up_to, max_events, max_bytes: PAGE_BYTES, ..Read::after(after) };
            Done::Page(after, store.read(&topic, read).await)
        });
    }

    /// Fewer events or bytes than these, and more are read. Priorities want to look far ahead,
    /// which all positions together may do only so far.
    fn low_marks(&self) -> (usize, usize) {
        let settings = &self.order.plan.settings;
        let batch = settings.batch.map_or(1, |batch| batch.max_events);
        let low = (settings.concurrency * batch).clamp(LOW_EVENTS, 1_000).max(batch);
        let in_turn = settings.order != Ordering::None || settings.batch.is_some();
        if in_turn || self.replay.is_some() {
            (low, LOW_BYTES.max(batch * 1_024))
        } else if self.endpoint.common().ahead_bytes() < AHEAD_BYTES_ALL {
            (low.max(settings.priority.read_ahead), AHEAD_BYTES)
        } else {
            (low, LOW_BYTES)
        }
    }

    fn merge(&mut self) {
        (self.busy.merging, self.merge_wanted) = (true, false);
        self.window.begin_merge();
        let (store, position) = (self.tools.store.clone(), self.position);
        self.begin(async move { Done::Merged(store.position(position).await) });
    }

    /// Saves what is unsaved, when it is time: at once when nothing is in flight, or when something
    /// waits to be sent until it is settled.
    fn save(&mut self, now: Micros) {
        if !self.window.is_behind() {
            return;
        }
        let since = *self.unsaved_since.get_or_insert(now);
        let at_once = self.window.is_unsaved() && self.window.in_flight() == 0;
        let time = at_once
            || !self.claims.is_empty()
            || self.tools.soft.is_cancelled()
            || now >= since.plus(self.save_every());
        if self.busy.saving || !time || now < self.store_pause {
            return;
        }
        self.unsaved_since = None;
        self.busy.saving = true;
        if !self.records.is_empty() {
            self.tools.store.trace(std::mem::take(&mut self.records));
        }
        let settlement = self.window.save(now);
        let claims = std::mem::take(&mut self.claims);
        let (store, endpoint) = (self.tools.store.clone(), self.endpoint.clone());
        self.begin(async move {
            let mut result = Ok(());
            if let Some(settlement) = &settlement {
                let answers = store.settle(vec![settlement.clone()]).await;
                result = answers.into_iter().next().unwrap_or(Err(StoreError::Unknown(None)));
            }
            if let Err(error) = endpoint.save(&*store).await {
                tracing::warn!(%error, "the health of an endpoint was not saved");
            }
            Done::Saved(settlement, claims, result)
        });
    }

    fn save_every(&self) -> Duration {
        if self.window.is_unsaved() { SAVE_EVERY } else { SAVE_SKIPPED_EVERY }
    }

    /// A replay that has nothing left is done.
    fn end_replay(&mut self, now: Micros) {
        let Some((job, _)) = &self.replay else { return };
        let done = self.window.reach() >= job.to
            && self.window.is_settled()
            && !self.window.is_behind()
            && !self.busy.saving
            && !self.busy.merging;
        if !done || self.busy.ending || now < self.store_pause {
            return;
        }
        self.busy.ending = true;
        let (store, position, fence) =
            (self.tools.store.clone(), self.position, self.window.fence());
        self.begin(async move { Done::Ended(store.end_replay(position, fence, now).await) });
    }

    /// The next moment at which there is something to do that nothing else wakes for.
    fn next_wake(&self, now: Micros) -> Option<Micros> {
        if self.store_pause > now {
            return Some(self.store_pause);
        }
        let save = self.unsaved_since.filter(|_| !self.busy.saving);
        let save = save.map(|since| since.plus(self.save_every()));
        let serves = self.serves(now);
        let start = serves.then(|| self.next_start()).flatten();
        // What could start now and did not waits for something else than time.
        [save, start].into_iter().flatten().filter(|wake| *wake > now).min()
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
        self.endpoint.common().read_ahead(self.ahead_bytes, 0);
        self.endpoint.wish(self.position, false);
    }
}
