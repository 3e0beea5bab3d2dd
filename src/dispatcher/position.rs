//! The worker of one position: looks what can be done, does it, and waits for what happens next.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use prometheus_client::metrics::counter::Counter;
use sinks::Sink;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    endpoint::{Endpoint, Place},
    flight::{Flight, Landed},
    health::{Leave, Turn},
    parcel::Plan,
    window::Window,
};
use crate::{
    clock::Clock,
    event::{Event, Micros, Version},
    store::{Attempt, Page, PositionState, Read, Settlement, Store, StoreError, TopicState},
    telemetry::{Metrics, VerdictLabel},
};

mod ends;

/// Settlements are saved at most 50 ms after the attempts they tell of: half of that is left for
/// the commit.
const SAVE_EVERY: Duration = Duration::from_millis(25);
/// How long a failing store is left alone.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// Fewer events read ahead, or fewer bytes, and more are read.
const LOW_EVENTS: usize = 128;
const LOW_BYTES: usize = 256 << 10;
/// What one read asks for.
const PAGE_BYTES: usize = 1 << 20;
/// Records of attempts that wait for the next save.
const RECORDS_MAX: usize = 512;
/// Ends that are taken in before the worker looks again.
const ENDS_MAX: usize = 64;

/// What the worker is told from outside.
#[derive(Debug, Clone)]
pub struct Order {
    /// The subscription's settings.
    pub plan: Arc<Plan>,
    /// Whether anything may be started.
    pub serve: bool,
    /// The position's fence, as the order was given.
    pub fence: u64,
    /// How many may be in flight over all positions of the subscription.
    pub ceiling: usize,
    /// The number of the subscription's last change.
    pub edit: u64,
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
    Page(Result<Page, StoreError>),
    Saved(Option<Settlement>, Result<(), StoreError>),
    Merged(Result<PositionState, StoreError>),
    Disabled(Result<(), StoreError>),
}

/// What the store is being asked; never twice at once.
#[derive(Default)]
struct Busy {
    reading: bool,
    saving: bool,
    merging: bool,
}

/// How the last attempts to start something went.
#[derive(Default)]
struct Last {
    /// What was started was a retry.
    was_retry: bool,
    /// There was no place in flight.
    was_refused: bool,
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
    under_way: FuturesUnordered<Pin<Box<dyn Future<Output = Done> + Send>>>,
    records: Vec<Attempt>,
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
        let state = tools.store.position(position).await?;
        let topic = tools.store.topic(&state.topic).await?;
        let head = tools.store.head(&state.topic).await?;
        let window = Window::new(state);
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
            under_way: FuturesUnordered::new(),
            records: Vec::new(),
            retries: 0,
            last: Last::default(),
            busy: Busy::default(),
            merge_wanted: false,
            disabled: false,
            told_full: false,
            unsaved_since: None,
            stood_still,
        })
    }

    /// Does what can be done now, then waits for one thing to happen and takes it in.
    pub async fn step(&mut self) -> Step {
        let endpoint = self.endpoint.clone();
        // Registered before looking.
        let was_refused = std::mem::take(&mut self.last.was_refused);
        let woken = endpoint.woken(was_refused);
        let head = *self.head.borrow_and_update();
        let now = self.tools.clock.now();
        self.look(now, head);
        match (was_refused, self.last.was_refused) {
            // A place may have fallen free before anybody was registered.
            (false, true) => return Step::Went,
            (true, false) => endpoint.pass_on(),
            _ => {}
        }
        let stopping = self.tools.soft.is_cancelled();
        if stopping && self.under_way.is_empty() && !self.window.is_unsaved() {
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
        let max_exceptions = self.order.plan.settings.max_exceptions;
        self.tell_full(max_exceptions);
        let serves = self.serves(now);
        let wishes = serves && (self.window.has_new(max_exceptions) || self.is_due(now));
        self.endpoint.wish(self.position, wishes);
        if serves {
            while self.start_one(now) {}
            self.read_ahead(head);
        }
        if self.merge_wanted && !self.busy.saving && !self.busy.merging && now >= self.store_pause {
            self.merge();
        }
        self.save(now);
    }

    /// Says once that nothing new starts; anew when half of the exceptions were settled between.
    fn tell_full(&mut self, max_exceptions: usize) {
        let exceptions = self.window.exceptions();
        if exceptions >= max_exceptions && !self.told_full {
            self.told_full = true;
            let (subscription, topic) = (self.order.plan.name.as_str(), &self.topic.topic);
            tracing::warn!(subscription, %topic, exceptions, "exceptions_full: nothing new starts");
        } else if exceptions <= max_exceptions / 2 {
            self.told_full = false;
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

    /// Starts one attempt, if one may be started; answers whether it did.
    fn start_one(&mut self, now: Micros) -> bool {
        let settings = &self.order.plan.settings;
        let may_new = self.window.has_new(settings.max_exceptions);
        let may_retry = self.is_due(now);
        if !(may_new || may_retry) || self.window.in_flight() >= settings.concurrency.max(1) {
            return false;
        }
        let leave = self.endpoint.leave(self.position, now);
        if leave == Leave::Wait {
            return false;
        }
        let retries_max = (settings.concurrency / 4).max(1);
        let retry_first =
            may_retry && self.retries < retries_max && !(self.last.was_retry && may_new);
        if matches!(leave, Leave::Free(_)) && !retry_first && !may_new {
            return false;
        }
        let Some(mut place) = self.endpoint.place(self.position) else {
            self.last.was_refused = true;
            return false;
        };
        let Some((version, event)) = self.pick(leave, now, may_new, retry_first) else {
            return false;
        };
        place.begin(version);
        self.launch(version, event, place);
        true
    }

    fn pick(
        &mut self,
        leave: Leave,
        now: Micros,
        may_new: bool,
        retry_first: bool,
    ) -> Option<(Version, Option<Arc<Event>>)> {
        let retry = |version| (version, None);
        let new = |window: &mut Window| may_new.then(|| window.start_new()).flatten();
        let window = &mut self.window;
        match leave {
            Leave::Wait => None,
            Leave::Trial(Turn::New) => new(window).or_else(|| window.start_oldest(now).map(retry)),
            Leave::Trial(Turn::Oldest) => {
                window.start_oldest(now).map(retry).or_else(|| new(window))
            }
            Leave::Free(_) if retry_first => window.start_due(now).map(retry),
            Leave::Free(_) => new(window),
        }
    }

    fn launch(&mut self, version: Version, event: Option<Arc<Event>>, place: Place) {
        let prior = self.window.exception(version);
        let is_retry = prior.is_some();
        self.retries += usize::from(is_retry);
        self.last.was_retry = is_retry;
        self.tools.metrics.in_flight.inc();
        let flight = Flight {
            store: self.tools.store.clone(),
            sink: self.tools.sink.clone(),
            clock: self.tools.clock.clone(),
            plan: self.order.plan.clone(),
            topic: self.topic.clone(),
            version,
            event: event.or_else(|| prior.and_then(|prior| prior.event.clone())),
            attempt: prior.map_or(1, |prior| prior.tries + 1),
            is_retry,
            place,
        };
        self.begin(async move { Done::Landed(flight.fly().await) });
    }

    fn begin(&self, work: impl Future<Output = Done> + Send + 'static) {
        self.under_way.push(Box::pin(work));
    }

    fn read_ahead(&mut self, head: Version) {
        let low = self.order.plan.settings.concurrency.max(LOW_EVENTS);
        let (events, bytes) = self.window.ready();
        let after = self.window.end();
        if self.busy.reading || head <= after || events >= low || bytes >= LOW_BYTES {
            return;
        }
        self.busy.reading = true;
        let (store, topic) = (self.tools.store.clone(), self.topic.topic.clone());
        let max_events = (2 * low).min(1_000);
        self.begin(async move {
            let read = Read { max_events, max_bytes: PAGE_BYTES, ..Read::after(after) };
            Done::Page(store.read(&topic, read).await)
        });
    }

    fn merge(&mut self) {
        (self.busy.merging, self.merge_wanted) = (true, false);
        self.window.begin_merge();
        let (store, position) = (self.tools.store.clone(), self.position);
        self.begin(async move { Done::Merged(store.position(position).await) });
    }

    /// Saves what is unsaved, when it is time: at once when nothing is in flight.
    fn save(&mut self, now: Micros) {
        if !self.window.is_unsaved() {
            return;
        }
        let since = *self.unsaved_since.get_or_insert(now);
        let time = self.window.in_flight() == 0 || now >= since.plus(SAVE_EVERY);
        if self.busy.saving || !time || now < self.store_pause {
            return;
        }
        self.unsaved_since = None;
        self.busy.saving = true;
        if !self.records.is_empty() {
            self.tools.store.trace(std::mem::take(&mut self.records));
        }
        let settlement = self.window.save(now);
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
            Done::Saved(settlement, result)
        });
    }

    /// The next moment at which there is something to do that nothing else wakes for.
    fn next_wake(&self, now: Micros) -> Option<Micros> {
        if self.store_pause > now {
            return Some(self.store_pause);
        }
        let save =
            self.unsaved_since.filter(|_| !self.busy.saving).map(|since| since.plus(SAVE_EVERY));
        let serves = self.serves(now);
        let start = serves.then(|| self.next_start(now)).flatten();
        // What could start now and did not waits for something else than time.
        [save, start].into_iter().flatten().filter(|wake| *wake > now).min()
    }

    fn next_start(&self, now: Micros) -> Option<Micros> {
        let settings = &self.order.plan.settings;
        let new = self.window.has_new(settings.max_exceptions).then_some(now);
        let start = [new, self.window.next_due()].into_iter().flatten().min()?;
        let health = self.endpoint.health();
        // With a trial under way its end wakes everybody.
        if health.is_holding() { Some(start.max(health.next_trial()?)) } else { Some(start) }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let in_flight = i64::try_from(self.window.in_flight()).unwrap_or(0);
        self.tools.metrics.in_flight.dec_by(in_flight);
        self.endpoint.wish(self.position, false);
    }
}
