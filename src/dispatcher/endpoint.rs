//! What the positions of one subscription share: health, pace, places in flight, and whether the
//! endpoint agreed to be sent to.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use super::{
    common::Common,
    consent::Consent,
    pace::Pace,
    pool::{Held, Refusal, Share},
};
use crate::{
    clock::Clock,
    event::{Micros, Version},
    health::{DeliveryId, Ended, Health, Learnt},
    settings::HoldPolicy,
    store::{Store, StoreError},
};

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
    consent: Consent,
    asking: Mutex<Asking>,
    /// What the subscription asked for, in events a second.
    asked_rate: Mutex<Option<f64>>,
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
            consent: Consent::default(),
            asking: Mutex::default(),
            asked_rate: Mutex::default(),
        })
    }

    /// Takes over where it is, how many events a second are asked for, and the `contract` that it is
    /// to consent to, if any.
    pub fn set(&self, host: &str, rate: Option<f64>, contract: Option<&str>) {
        let mut known = self.host.lock();
        if known.0 != host {
            *known = (host.to_owned(), Share::of(self.common.host(host)));
        }
        drop(known);
        self.consent.keep_to(contract);
        *self.asked_rate.lock() = rate;
        self.set_rate();
    }

    /// The lower of the rates asked for and allowed goes. The lock keeps an older one from being set
    /// behind a newer one.
    fn set_rate(&self) {
        let asked = self.asked_rate.lock();
        let least = [*asked, self.consent.rate()].into_iter().flatten().reduce(f64::min);
        self.pace().set(least);
    }

    /// What the process shares.
    #[must_use]
    pub fn common(&self) -> &Common {
        &self.common
    }

    /// The health, to look at.
    pub fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock()
    }

    /// The pace.
    pub fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock()
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

    /// Whose it is.
    #[must_use]
    pub const fn subscription(&self) -> i64 {
        self.subscription
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

    /// A place in flight, of the process and of the host.
    ///
    /// # Errors
    /// What to wait for, when there is none.
    pub fn place(self: &Arc<Self>, position: i64) -> Result<Place, Refusal> {
        let host = self.host.lock().1.clone();
        let held = [self.share.place()?, host.place()?];
        Ok(Place { endpoint: self.clone(), position, begun: None, held: Some(held), asks: None })
    }

    /// Asks the endpoint for its consent by `greet`, unless it was given to this `contract`;
    /// `greet` answers the rate that is allowed, in events a second.
    ///
    /// # Errors
    /// As `greet`, or `waited` when another had asked meanwhile, in vain.
    pub async fn agree<E>(
        &self,
        contract: &str,
        greet: impl Future<Output = Result<Option<f64>, E>>,
        waited: impl FnOnce() -> E,
    ) -> Result<(), E> {
        if !self.has_agreed(contract) {
            self.consent.ask(contract, greet, waited).await?;
            self.set_rate();
            // Who waited for the turn to ask need not.
            self.changed.notify_waiters();
        }
        Ok(())
    }

    /// The turn to ask for consent, which one request has at a time: until it is given, nobody knows
    /// what rate is allowed. Without one, [`Endpoint::woken`] tells when that changes.
    #[must_use]
    pub fn ask_turn(self: &Arc<Self>) -> Option<AskTurn> {
        let mut asking = self.asking.lock();
        asking.wanted |= asking.taken;
        let free = !std::mem::replace(&mut asking.taken, true);
        free.then(|| AskTurn { endpoint: self.clone() })
    }

    /// Whether the endpoint gave its consent to this `contract`; before, one request is enough to
    /// ask for it, and the rate that it allows is not known.
    #[must_use]
    pub fn has_agreed(&self, contract: &str) -> bool {
        self.consent.is_to(contract)
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

/// Who may ask for consent.
#[derive(Debug, Default)]
struct Asking {
    taken: bool,
    /// Whether somebody else wanted to, meanwhile.
    wanted: bool,
}

/// The turn to ask for consent; over when dropped.
#[derive(Debug)]
pub struct AskTurn {
    endpoint: Arc<Endpoint>,
}

impl Drop for AskTurn {
    fn drop(&mut self) {
        let asking = std::mem::take(&mut *self.endpoint.asking.lock());
        if asking.wanted {
            self.endpoint.changed.notify_waiters();
        }
    }
}

/// A place in flight; given back when dropped, whatever became of the attempt.
#[derive(Debug)]
pub struct Place {
    endpoint: Arc<Endpoint>,
    position: i64,
    begun: Option<DeliveryId>,
    held: Option<[Held; 2]>,
    asks: Option<AskTurn>,
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

    /// Keeps the turn to ask for consent as long as the place.
    pub fn ask(&mut self, turn: AskTurn) {
        self.asks = Some(turn);
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
mod tests;
