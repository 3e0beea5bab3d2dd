//! What the positions of one subscription share, and what all subscriptions share: health and
//! places in flight.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
};

use tokio::sync::Notify;

use super::health::{DeliveryId, Health, Leave};
use crate::{
    event::{Micros, Version},
    store::{Store, StoreError},
};

/// Places in flight, for the whole process.
#[derive(Debug)]
pub struct Places {
    max: usize,
    taken: AtomicUsize,
    /// How many wait for a place; each that falls free wakes one of them.
    waiting: AtomicUsize,
    freed: Notify,
}

impl Places {
    /// `max` places.
    #[must_use]
    pub fn new(max: usize) -> Arc<Self> {
        let (taken, waiting) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Self { max, taken, waiting, freed: Notify::new() })
    }

    fn wake_one(&self) {
        if self.waiting.load(SeqCst) > 0 {
            self.freed.notify_one();
        }
    }
}

/// One subscription's endpoint.
#[derive(Debug)]
pub struct Endpoint {
    subscription: i64,
    health: Mutex<Health>,
    /// Wakes the positions when what they may do has changed.
    changed: Notify,
    unsaved: AtomicBool,
    /// Held while health is saved, so that an older one never lands on a newer one.
    saving: tokio::sync::Mutex<()>,
    in_flight: AtomicUsize,
    places: Arc<Places>,
}

impl Endpoint {
    /// The endpoint of a subscription with the health it was saved with.
    #[must_use]
    pub fn new(subscription: i64, health: Health, places: Arc<Places>) -> Arc<Self> {
        Arc::new(Self {
            subscription,
            health: Mutex::new(health),
            changed: Notify::new(),
            unsaved: AtomicBool::new(false),
            saving: tokio::sync::Mutex::default(),
            in_flight: AtomicUsize::new(0),
            places,
        })
    }

    /// The health, to look at.
    pub fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the health; wakes the positions and notes it for saving when `change` answers that
    /// the state is another.
    pub fn change(&self, change: impl FnOnce(&mut Health) -> bool) {
        let changed = change(&mut self.health());
        if changed {
            self.unsaved.store(true, SeqCst);
            self.changed.notify_waiters();
        }
    }

    /// Wakes when the endpoint's state has changed after this call, and, for one that was refused
    /// a place, when one falls free.
    pub fn woken(&self, refused: bool) -> impl Future<Output = ()> + Send + '_ {
        // A `Notified` hears `notify_waiters` from its creation on, polled or not; `notify_one` is
        // kept for whoever comes.
        let changed = self.changed.notified();
        let waiting = refused.then(|| Waiting::new(&self.places));
        async move {
            let freed = async {
                if let Some(waiting) = &waiting {
                    waiting.places.freed.notified().await;
                } else {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = changed => {}
                () = freed => {}
            }
        }
    }

    /// Says that a place that fell free is not wanted here any more.
    pub fn pass_on(&self) {
        self.places.wake_one();
    }

    /// Says whether a position has something to try; see [`Health::wish`].
    pub fn wish(&self, position: i64, wishes: bool) {
        let mut health = self.health();
        if health.wish(position, wishes) && health.is_holding() {
            // The turn may be another's now.
            self.changed.notify_waiters();
        }
    }

    /// Forgets a hold, as when an operator resumes; it stood still since `idle_since`.
    pub fn resume(&self, idle_since: Micros, now: Micros) {
        self.health().resume(idle_since, now);
        self.changed.notify_waiters();
    }

    /// Whether what is known here is on disk.
    #[must_use]
    pub fn is_saved(&self) -> bool {
        !self.unsaved.load(SeqCst)
    }

    /// What a position may start now; see [`Health::leave`].
    #[must_use]
    pub fn leave(&self, position: i64, now: Micros) -> Leave {
        self.health().leave(position, now)
    }

    /// A place in flight: the subscription's first is always free.
    #[must_use]
    pub fn place(self: &Arc<Self>, position: i64) -> Option<Place> {
        let places = &self.places;
        let own = self.in_flight.fetch_add(1, SeqCst);
        if places.taken.fetch_add(1, SeqCst) >= places.max && own > 0 {
            self.give_back();
            return None;
        }
        Some(Place { endpoint: self.clone(), position, begun: None })
    }

    fn give_back(&self) {
        self.in_flight.fetch_sub(1, SeqCst);
        self.places.taken.fetch_sub(1, SeqCst);
    }

    /// Saves the health if it has changed.
    ///
    /// # Errors
    /// As the store has them; the health stays unsaved then.
    pub async fn save(&self, store: &dyn Store) -> Result<(), StoreError> {
        if !self.unsaved.load(SeqCst) {
            return Ok(());
        }
        let _saving = self.saving.lock().await;
        if !self.unsaved.swap(false, SeqCst) {
            return Ok(());
        }
        // Plain data, which JSON always takes.
        let health = serde_json::to_string(&*self.health()).unwrap_or_default();
        let saved = store.save_health(self.subscription, health).await;
        if saved.is_err() {
            self.unsaved.store(true, SeqCst);
        }
        saved
    }
}

struct Waiting<'a> {
    places: &'a Places,
}

impl<'a> Waiting<'a> {
    fn new(places: &'a Places) -> Self {
        places.waiting.fetch_add(1, SeqCst);
        Self { places }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.places.waiting.fetch_sub(1, SeqCst);
    }
}

/// A place in flight; given back when dropped, whatever became of the attempt.
#[derive(Debug)]
pub struct Place {
    endpoint: Arc<Endpoint>,
    position: i64,
    begun: Option<DeliveryId>,
}

impl Place {
    /// Notes what it is used for.
    pub fn begin(&mut self, version: Version) {
        let delivery = (self.position, version);
        self.begun = Some(delivery);
        self.endpoint.health().begin(delivery);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.endpoint.give_back();
        if let Some(delivery) = self.begun {
            let mut health = self.endpoint.health();
            health.end(delivery);
            // With a hold or a slow start another position may wait for this very place.
            if health.is_limited() {
                self.endpoint.changed.notify_waiters();
            }
        }
        self.endpoint.places.wake_one();
    }
}
