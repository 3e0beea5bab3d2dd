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
    /// The store has a health, as far as is known here.
    kept: AtomicBool,
    /// Held while health is saved, so that an older one never lands on a newer one.
    saving: tokio::sync::Mutex<()>,
    in_flight: AtomicUsize,
    places: Arc<Places>,
}

impl Endpoint {
    /// The endpoint of a subscription with the health it was saved with, if any.
    #[must_use]
    pub fn new(
        subscription: i64,
        saved: Option<&str>,
        places: Arc<Places>,
        now: Micros,
    ) -> Arc<Self> {
        Arc::new(Self {
            subscription,
            health: Mutex::new(Health::load(saved, now)),
            kept: AtomicBool::new(saved.is_some()),
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
        self.kept.store(false, SeqCst);
        // A save under way may land after the store forgot: what is known now follows it.
        self.unsaved.store(true, SeqCst);
        self.changed.notify_waiters();
    }

    /// Whether the store was given a health, so that one without was reset by somebody else.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.kept.load(SeqCst)
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

    /// Saves the health if it has changed, and again if it changes meanwhile.
    ///
    /// # Errors
    /// As the store has them; the health stays unsaved then.
    pub async fn save(&self, store: &dyn Store) -> Result<(), StoreError> {
        self.save_by(|health| store.save_health(self.subscription, health)).await
    }

    async fn save_by<F>(&self, put: impl Fn(String) -> F) -> Result<(), StoreError>
    where
        F: Future<Output = Result<(), StoreError>>,
    {
        if !self.unsaved.load(SeqCst) {
            return Ok(());
        }
        let _saving = self.saving.lock().await;
        while self.unsaved.swap(false, SeqCst) {
            // Plain data, which JSON always takes.
            let health = serde_json::to_string(&*self.health()).unwrap_or_default();
            if let Err(error) = put(health).await {
                self.unsaved.store(true, SeqCst);
                return Err(error);
            }
            self.kept.store(true, SeqCst);
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[tokio::test]
    async fn a_health_that_is_reset_during_a_save_is_saved_after_it() {
        let held = r#"{"state":"holding","hold":{"since_us":1,"interval_ms":5000,
            "next_trial_us":9,"turn":"new","last_position":1}}"#;
        let endpoint = Endpoint::new(1, Some(held), Places::new(1), Micros(1));
        endpoint.change(|_| true);
        let written = RefCell::new(Vec::new());
        let put = |health: String| {
            let is_first = written.borrow().is_empty();
            written.borrow_mut().push(Health::load(Some(&health), Micros(2)).is_holding());
            let endpoint = &endpoint;
            async move {
                if is_first {
                    endpoint.resume(Micros(2), Micros(2));
                }
                Ok(())
            }
        };
        endpoint.save_by(put).await.unwrap();
        assert_eq!(*written.borrow(), [true, false]);
    }
}
