//! Time and chance, handed in: the real ones, and ones that a test turns by hand.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;

use crate::event::Micros;

/// Tells the time and waits for it.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's own.
    System,
    /// One that stands still until it is advanced.
    Manual(ManualClock),
}

impl Clock {
    /// The present moment.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the machine")]
    pub fn now(&self) -> Micros {
        match self {
            Self::System => {
                let since = std::time::SystemTime::now()
                    .duration_since(std::time::UNIX_EPOCH)
                    .unwrap_or_default();
                Micros::default().plus(since)
            }
            Self::Manual(manual) => manual.now(),
        }
    }

    /// Waits until `moment`; returns at once when it has passed.
    pub async fn until(&self, moment: Micros) {
        match self {
            // A wall clock can be set back or forth while we sleep, so no sleep is long.
            Self::System => loop {
                let left = moment.since(self.now());
                if left.is_zero() {
                    return;
                }
                tokio::time::sleep(left.min(Duration::from_mins(1))).await;
            },
            Self::Manual(manual) => manual.until(moment).await,
        }
    }

    /// Waits for `duration`.
    pub async fn pause(&self, duration: Duration) {
        self.until(self.now().plus(duration)).await;
    }
}

/// A clock that a test turns.
#[derive(Clone, Debug)]
pub struct ManualClock {
    now: Arc<AtomicI64>,
    changed: Arc<Mutex<watch::Sender<i64>>>,
}

impl ManualClock {
    /// A clock that stands at `start`.
    #[must_use]
    pub fn new(start: Micros) -> Self {
        Self {
            now: Arc::new(AtomicI64::new(start.0)),
            changed: Arc::new(Mutex::new(watch::Sender::new(start.0))),
        }
    }

    /// Where it stands.
    #[must_use]
    pub fn now(&self) -> Micros {
        Micros(self.now.load(Ordering::SeqCst))
    }

    /// Turns it forward and wakes whoever waited for a moment that has now come.
    pub fn advance(&self, by: Duration) {
        let now = self.now().plus(by).0;
        self.now.store(now, Ordering::SeqCst);
        if let Ok(changed) = self.changed.lock() {
            changed.send_replace(now);
        }
    }

    async fn until(&self, moment: Micros) {
        let receiver = self.changed.lock().ok().map(|changed| changed.subscribe());
        if let Some(mut receiver) = receiver {
            // The sender lives as long as the clock, so this ends only when the moment has come.
            let _ = receiver.wait_for(|now| *now >= moment.0).await;
        }
    }
}

/// A number in `[0, 1)` that nobody could have told; callers hand it to arithmetic that needs
/// chance. Not for secrets: the system is asked once per thread, for each delivery wants one.
#[must_use]
pub fn chance() -> f64 {
    let bits = RandomState::new().hash_one(());
    #[expect(clippy::cast_precision_loss, reason = "48 random bits fit a double exactly")]
    let fraction = (bits >> 16) as f64 / (1u64 << 48) as f64;
    fraction
}
