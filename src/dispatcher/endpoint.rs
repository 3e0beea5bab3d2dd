//! What the positions of one subscription share: health, pace, places in flight, and whether the
//! endpoint agreed to be sent to.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
};

use tokio::sync::Notify;

use super::{
    health::{DeliveryId, Ended, Health, Learnt, Leave},
    pace::Pace,
    pool::{Held, Pool, Refusal, Share},
    saves::Saves,
};
use crate::{
    clock::Clock,
    event::{Micros, Version},
    settings::HoldPolicy,
    store::{Store, StoreError},
};

/// Hosts with places in use that are remembered; beyond that unused ones are let go of.
const HOSTS_SWEPT_AT: usize = 1_024;

/// What all subscriptions of a process share.
#[derive(Debug)]
pub struct Common {
    places: Arc<Pool>,
    host_max: usize,
    hosts: Mutex<HashMap<String, Arc<Pool>>>,
    /// Bytes that are read ahead of need.
    ahead_bytes: AtomicUsize,
    saves: Arc<Saves>,
}

impl Common {
    /// `in_flight_max` places in all, of which everyone may have one, and `host_max` for each host.
    #[must_use]
    pub fn new(in_flight_max: usize, host_max: usize) -> Arc<Self> {
        Arc::new(Self {
            places: Pool::new(in_flight_max, true),
            host_max,
            hosts: Mutex::default(),
            ahead_bytes: AtomicUsize::new(0),
            saves: Arc::default(),
        })
    }

    /// Bytes that are read ahead of need, in the whole process.
    #[must_use]
    pub fn ahead_bytes(&self) -> usize {
        self.ahead_bytes.load(SeqCst)
    }

    /// What brings the settlements of all positions to the store.
    #[must_use]
    pub fn saves(&self) -> &Arc<Saves> {
        &self.saves
    }

    /// Notes that one position has `now` bytes read ahead where it had `before`.
    pub fn read_ahead(&self, before: usize, now: usize) {
        self.ahead_bytes.fetch_add(now, SeqCst);
        self.ahead_bytes.fetch_sub(before, SeqCst);
    }

    fn host(&self, host: &str) -> Arc<Pool> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if hosts.len() >= HOSTS_SWEPT_AT {
            hosts.retain(|_, pool| Arc::strong_count(pool) > 1);
        }
        let pool = hosts.entry(host.to_owned());
        pool.or_insert_with(|| Pool::new(self.host_max, false)).clone()
    }
}

/// One subscription's endpoint.
#[derive(Debug)]
pub struct Endpoint {
    subscription: i64,
    health: Mutex<Health>,
    pace: Mutex<Pace>,
    /// Wakes the positions when what they may do has changed.
    changed: Notify,
    unsaved: AtomicBool,
    /// How often what is known was forgotten, as the store counts it.
    resets: AtomicU64,
    /// It was told that the endpoint is gone or given up.
    gone: AtomicBool,
    /// Held while health is saved, so that an older one never lands on a newer one.
    saving: tokio::sync::Mutex<()>,
    common: Arc<Common>,
    share: Arc<Share>,
    host: Mutex<(String, Arc<Share>)>,
    /// Held while consent is asked for, so that it is asked for once; how often it was not given.
    greeting: tokio::sync::Mutex<()>,
    refusals: AtomicU64,
    /// What consent was given to.
    agreed: Mutex<Option<String>>,
    asked_rate: Mutex<(Option<f64>, Option<f64>)>,
}

impl Endpoint {
    /// The endpoint of a subscription with the health it was saved with, if any.
    #[must_use]
    pub fn new(
        subscription: i64,
        (resets, saved): (u64, Option<&str>),
        common: Arc<Common>,
        clock: &Clock,
    ) -> Arc<Self> {
        let host = (String::new(), Share::of(common.host("")));
        Arc::new(Self {
            subscription,
            health: Mutex::new(Health::load(saved, clock)),
            pace: Mutex::default(),
            resets: AtomicU64::new(resets),
            gone: AtomicBool::new(false),
            changed: Notify::new(),
            unsaved: AtomicBool::new(false),
            saving: tokio::sync::Mutex::default(),
            share: Share::of(common.places.clone()),
            host: Mutex::new(host),
            common,
            greeting: tokio::sync::Mutex::default(),
            refusals: AtomicU64::new(0),
            agreed: Mutex::default(),
            asked_rate: Mutex::default(),
        })
    }

    /// Takes over where it is, how many events a second are asked for, and the `contract` that it is
    /// to consent to, if any.
    pub fn set(&self, host: &str, rate: Option<f64>, contract: Option<&str>) {
        let mut known = lock(&self.host);
        if known.0 != host {
            *known = (host.to_owned(), Share::of(self.common.host(host)));
        }
        drop(known);
        let mut agreed = lock(&self.agreed);
        let holds = agreed.is_some() && agreed.as_deref() == contract;
        *agreed = agreed.take().filter(|_| holds);
        drop(agreed);
        self.set_rate(|rates| *rates = (rate, rates.1.filter(|_| holds)));
    }

    fn set_rate(&self, change: impl FnOnce(&mut (Option<f64>, Option<f64>))) {
        let mut rates = lock(&self.asked_rate);
        change(&mut rates);
        let least = [rates.0, rates.1].into_iter().flatten().reduce(f64::min);
        self.pace().set(least);
    }

    /// What the process shares.
    #[must_use]
    pub fn common(&self) -> &Common {
        &self.common
    }

    /// The health, to look at.
    pub fn health(&self) -> MutexGuard<'_, Health> {
        lock(&self.health)
    }

    /// The pace.
    pub fn pace(&self) -> MutexGuard<'_, Pace> {
        lock(&self.pace)
    }

    /// Learns from a request that ended at `now` and carried `events`; see [`Health::learn`]. Wakes
    /// the positions and notes the health for saving when its state is another.
    pub fn learn(
        &self,
        ended: Ended,
        policy: &HoldPolicy,
        ceiling: usize,
        events: usize,
        now: Micros,
    ) -> Learnt {
        let learnt = self.health().learn(ended, policy, ceiling, now);
        match ended.fault {
            None => self.pace().succeeded(events, ended.started, now),
            Some(_) if learnt.refused => self.pace().refuse(ended.started, now),
            Some(_) => {}
        }
        if learnt.changed {
            self.unsaved.store(true, SeqCst);
            self.changed.notify_waiters();
        }
        learnt
    }

    /// Wakes when the endpoint's state has changed after this call, and, for one that was refused
    /// a place, when one falls free.
    pub fn woken(&self, refused: Option<&Refusal>) -> impl Future<Output = ()> + Send + '_ {
        // A `Notified` hears `notify_waiters` from its creation on, polled or not.
        let changed = self.changed.notified();
        let waiting = refused.map(Refusal::wait);
        async move {
            let freed = async {
                match &waiting {
                    Some(waiting) => waiting.freed().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = changed => {}
                () = freed => {}
            }
        }
    }

    /// Says whether a position has something to try; see [`Health::wish`].
    pub fn wish(&self, position: i64, wishes: bool) {
        let mut health = self.health();
        if health.wish(position, wishes) && health.is_limited() {
            // The turn may be another's now.
            self.changed.notify_waiters();
        }
    }

    /// Forgets a hold, as when an operator resumes, for the time that makes `resets`; it stood still
    /// since `idle_since`.
    pub fn resume(&self, resets: u64, idle_since: Micros, now: Micros) {
        self.health().resume(idle_since, now);
        self.pace().forget();
        self.resets.store(resets, SeqCst);
        self.gone.store(false, SeqCst);
        self.unsaved.store(true, SeqCst);
        self.changed.notify_waiters();
    }

    /// How often what was known was forgotten.
    #[must_use]
    pub fn resets(&self) -> u64 {
        self.resets.load(SeqCst)
    }

    /// Notes that the endpoint is gone or given up, or that this could not be saved; answers
    /// whether that was noted already.
    pub fn set_gone(&self, gone: bool) -> bool {
        self.gone.swap(gone, SeqCst)
    }

    /// What a position may start now; see [`Health::leave`].
    #[must_use]
    pub fn leave(&self, position: i64, now: Micros) -> Leave {
        self.health().leave(position, now)
    }

    /// A place in flight, of the process and of the host.
    ///
    /// # Errors
    /// What to wait for, when there is none.
    pub fn place(self: &Arc<Self>, position: i64) -> Result<Place, Refusal> {
        let host = lock(&self.host).1.clone();
        let held = [self.share.place()?, host.place()?];
        Ok(Place { endpoint: self.clone(), position, begun: None, held: Some(held) })
    }

    /// Asks the endpoint for its consent by `greet`, unless it was given to this `contract`;
    /// `greet` answers the rate that is allowed, in events a second.
    ///
    /// # Errors
    /// As `greet`, or `waited` when another had asked meanwhile, in vain: one attempt waits for one
    /// answer. The next attempt asks again.
    pub async fn agree<E>(
        &self,
        contract: &str,
        greet: impl Future<Output = Result<Option<f64>, E>>,
        waited: impl FnOnce() -> E,
    ) -> Result<(), E> {
        if self.has_agreed(contract) {
            return Ok(());
        }
        let refusals = self.refusals.load(SeqCst);
        let _greeting = self.greeting.lock().await;
        if self.has_agreed(contract) {
            return Ok(());
        }
        if self.refusals.load(SeqCst) != refusals {
            return Err(waited());
        }
        let greeted = greet.await;
        self.refusals.fetch_add(u64::from(greeted.is_err()), SeqCst);
        let rate = greeted?;
        self.set_rate(|rates| rates.1 = rate);
        *lock(&self.agreed) = Some(contract.to_owned());
        Ok(())
    }

    /// Whether the endpoint gave its consent to this `contract`; before, one request is enough to
    /// ask for it, and the rate that it allows is not known.
    #[must_use]
    pub fn has_agreed(&self, contract: &str) -> bool {
        lock(&self.agreed).as_deref() == Some(contract)
    }

    /// Saves the health if it has changed, and again if it changes meanwhile.
    ///
    /// # Errors
    /// As the store has them; the health stays unsaved then.
    pub async fn save(&self, store: &dyn Store, clock: &Clock) -> Result<(), StoreError> {
        let put = |resets, health| store.save_health(self.subscription, resets, health);
        self.save_by(clock, put).await
    }

    /// Notes that the health is to be saved again.
    pub fn keep(&self) {
        self.unsaved.store(true, SeqCst);
    }

    async fn save_by<F>(
        &self,
        clock: &Clock,
        put: impl Fn(u64, String) -> F,
    ) -> Result<(), StoreError>
    where
        F: Future<Output = Result<(), StoreError>>,
    {
        if !self.unsaved.load(SeqCst) {
            return Ok(());
        }
        let _saving = self.saving.lock().await;
        while self.unsaved.swap(false, SeqCst) {
            // Read first: what is learnt before a reset is not saved as learnt after it.
            let resets = self.resets();
            let health = self.health().stored(clock);
            if let Err(error) = put(resets, health).await {
                self.unsaved.store(true, SeqCst);
                return Err(error);
            }
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A place in flight; given back when dropped, whatever became of the attempt.
#[derive(Debug)]
pub struct Place {
    endpoint: Arc<Endpoint>,
    position: i64,
    begun: Option<DeliveryId>,
    held: Option<[Held; 2]>,
}

impl Place {
    /// The endpoint it is at.
    #[must_use]
    pub const fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// The position that has it.
    #[must_use]
    pub const fn position(&self) -> i64 {
        self.position
    }

    /// Notes what it is used for.
    pub fn begin(&mut self, version: Version) {
        let delivery = (self.position, version);
        self.begun = Some(delivery);
        self.endpoint.health().begin(delivery);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.held.take());
        if let Some(delivery) = self.begun {
            let mut health = self.endpoint.health();
            health.end(delivery);
            // With a hold or a slow start another position may wait for this very place.
            if health.is_limited() {
                self.endpoint.changed.notify_waiters();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::clock::ManualClock;

    fn clock(at: i64) -> Clock {
        Clock::Manual(ManualClock::new(Micros(at)))
    }

    #[tokio::test]
    async fn a_health_that_is_reset_during_a_save_is_saved_after_it() {
        let held = r#"{"state":"holding","hold":{"since_us":1,"interval_ms":5000,
            "next_trial_us":9,"turn":"new","last_position":1}}"#;
        let endpoint = Endpoint::new(1, (0, Some(held)), Common::new(1, 1), &clock(1));
        endpoint.unsaved.store(true, SeqCst);
        let written = RefCell::new(Vec::new());
        let put = |resets: u64, health: String| {
            let is_first = written.borrow().is_empty();
            let is_holding = Health::read(Some(&health)).is_holding();
            written.borrow_mut().push((resets, is_holding));
            let endpoint = &endpoint;
            async move {
                if is_first {
                    endpoint.resume(1, Micros(2), Micros(2));
                }
                Ok(())
            }
        };
        endpoint.save_by(&clock(1), put).await.unwrap();
        assert_eq!(*written.borrow(), [(0, true), (1, false)]);
    }

    #[tokio::test]
    async fn consent_is_asked_for_once_and_brings_a_rate() {
        let endpoint = Endpoint::new(1, (0, None), Common::new(9, 9), &clock(0));
        endpoint.set("h", Some(100.0), Some("a"));
        let refused: Result<(), _> = endpoint.agree("a", async { Err("no") }, || "waited").await;
        assert_eq!(refused, Err("no"));
        endpoint.agree("a", async { Ok(Some(1.0)) }, || ()).await.unwrap();
        endpoint.agree("a", async { panic!("asked again") }, || ()).await.unwrap();
        endpoint.pace().spend(1, Micros(1_000_000));
        assert!(endpoint.pace().ready_at() > Micros(1_900_000));
        assert!(endpoint.agree("b", async { Err("another") }, || "waited").await.is_err());
        endpoint.set("h", Some(100.0), None);
        assert!(!endpoint.has_agreed("a"));
        endpoint.pace().spend(1, Micros(9_000_000));
        assert!(endpoint.pace().ready_at() < Micros(9_100_000), "the rate went with the consent");
    }

    #[tokio::test]
    async fn who_waits_for_consent_takes_the_answer_that_it_waited_for() {
        let endpoint = Endpoint::new(1, (0, None), Common::new(9, 9), &clock(0));
        let (answer, answered) = tokio::sync::oneshot::channel::<()>();
        let first = endpoint.agree(
            "a",
            async {
                answered.await.unwrap();
                Err("no")
            },
            || "waited",
        );
        let second = endpoint.agree("a", async { panic!("asked twice") }, || "waited");
        let release = async { answer.send(()).unwrap() };
        let (first, second, ()) = tokio::join!(first, second, release);
        assert_eq!((first, second), (Err("no"), Err("waited")));
    }
}
