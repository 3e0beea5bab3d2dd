//! A clock that a test turns.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::SeqCst},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::leap::{Leap, Leaps};
use crate::event::Micros;

/// A clock that a test turns.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    steady: AtomicI64,
    /// How far the wall is ahead of the steady reading, in microseconds.
    ahead: AtomicI64,
    leaps: Leaps,
    /// After so many more looks at the wall it is set by so much.
    planned: Mutex<Option<(u64, i64)>>,
    turned: watch::Sender<()>,
    /// The moments that somebody waits for, and how many do.
    awaited: Mutex<BTreeMap<Micros, usize>>,
}

/// Somebody waits for a moment.
struct Waiting<'a>(&'a Inner, Micros);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut awaited = self.0.awaited.lock();
        if let Some(count) = awaited.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                awaited.remove(&self.1);
            }
        }
    }
}

impl ManualClock {
    /// A clock that stands at `start`.
    #[must_use]
    pub fn new(start: Micros) -> Self {
        Self(Arc::new(Inner {
            steady: AtomicI64::new(start.0),
            ahead: AtomicI64::new(0),
            leaps: Leaps::default(),
            planned: Mutex::default(),
            turned: watch::Sender::default(),
            awaited: Mutex::default(),
        }))
    }

    /// Where its wall stands.
    #[must_use]
    pub fn now(&self) -> Micros {
        if let Some(by_us) = self.planned() {
            self.set(by_us);
        }
        Micros(self.steady().0.saturating_add(self.0.ahead.load(SeqCst)))
    }

    pub(super) fn steady(&self) -> Micros {
        Micros(self.0.steady.load(SeqCst))
    }

    pub(super) fn leaps(&self) -> &Leaps {
        &self.0.leaps
    }

    /// Turns it forward and wakes whoever waited for a moment that has now come.
    pub fn advance(&self, by: Duration) {
        let now = self.steady().plus(by).0;
        self.0.steady.store(now, SeqCst);
        self.0.turned.send_replace(());
    }

    /// Sets its wall by so many microseconds, back when they are below 0; no time passes.
    pub fn set(&self, by_us: i64) {
        self.0.ahead.fetch_add(by_us, SeqCst);
        self.0.turned.send_replace(());
    }

    /// Sets its wall as [`Self::set`] does, once it has been looked at so many times more.
    pub fn set_after(&self, looks: u64, by_us: i64) {
        *self.0.planned.lock() = Some((looks, by_us));
    }

    /// Counts a look; by how much the wall is to be set before it.
    fn planned(&self) -> Option<i64> {
        let mut planned = self.0.planned.lock();
        let (looks, by_us) = (*planned)?;
        *planned = looks.checked_sub(1).map(|looks| (looks, by_us));
        planned.is_none().then_some(by_us)
    }

    pub(super) fn look(&self) -> Option<Leap> {
        self.0.leaps.look(self.steady(), self.now())
    }

    /// The next moment that somebody waits for and that has not come, by the steady reading.
    #[must_use]
    pub fn awaited(&self) -> Option<Micros> {
        let coming = (Bound::Excluded(self.steady()), Bound::Unbounded);
        self.0.awaited.lock().range(coming).next().map(|(moment, _)| *moment)
    }

    pub(super) async fn until_steady(&self, moment: Micros) {
        *self.0.awaited.lock().entry(moment).or_default() += 1;
        let _waiting = Waiting(&self.0, moment);
        self.until(|| self.steady() >= moment).await;
    }

    pub(super) async fn until(&self, has_come: impl Fn() -> bool) {
        let mut turned = self.0.turned.subscribe();
        // The sender lives as long as the clock, so this ends only when the moment has come.
        let _ = turned.wait_for(|()| has_come()).await;
    }
}
