//! Time and chance, handed in: the real ones, and ones that a test turns by hand.
//!
//! One clock has three readings, all in microseconds since 1970.
//!
//! - *The wall* ([`Clock::now`]) is what people and other machines call the time. It is shown, stored,
//!   signed, and compared with moments that came from outside. It can be set at any moment.
//! - *The steady reading* ([`Clock::steady`]) only passes, a suspended machine included. Every pause,
//!   age and deadline of the relay's own is on it. It begins as the wall, so that the two are the same
//!   as long as nobody sets the wall; [`Clock::to_store`] and [`Clock::of_stored`] lead from one to
//!   the other.
//! - *What is believed* ([`Clock::believed`]) is the wall, but for one that was set forth within the
//!   last hours. Whatever deletes or gives up because time has passed goes by it.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::machine::Machine;
pub use self::{
    leap::{CONFIRMED_AFTER, LEAP_MIN_US, Leap},
    manual::ManualClock,
    reading::Reading,
};
use crate::event::Micros;

mod leap;
mod machine;
mod manual;
mod reading;

/// How often a machine's clock is looked at for a leap.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Tells the time and waits for it.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's own.
    System(Arc<Machine>),
    /// One that stands still until it is advanced.
    Manual(ManualClock),
}

impl Clock {
    /// The machine's clock, steady from now on.
    #[must_use]
    pub fn system() -> Self {
        Self::System(Arc::new(Machine::new()))
    }

    /// The present moment by the wall.
    #[must_use]
    pub fn now(&self) -> Micros {
        match self {
            Self::System(_) => machine::wall(),
            Self::Manual(manual) => manual.now(),
        }
    }

    /// The present moment by the steady reading.
    #[must_use]
    pub fn steady(&self) -> Micros {
        match self {
            Self::System(machine) => machine.steady(),
            Self::Manual(manual) => manual.steady(),
        }
    }

    /// The present moment as far as it is believed; never later than the wall.
    #[must_use]
    pub fn believed(&self) -> Micros {
        let (steady, now) = (self.steady(), self.now());
        match self {
            Self::System(machine) => machine.leaps.believed(steady, now),
            Self::Manual(manual) => manual.leaps().believed(steady, now),
        }
    }

    /// The wall and the steady reading of one moment. Whoever computes with both takes one reading:
    /// the wall may be set between two.
    #[must_use]
    pub fn read(&self) -> Reading {
        loop {
            let (before, steady, wall) = (self.now(), self.steady(), self.now());
            if wall.0.abs_diff(before.0) < LEAP_MIN_US.unsigned_abs() {
                return Reading { wall, steady };
            }
        }
    }

    /// [`Reading::to_store`] of now.
    #[must_use]
    pub fn to_store(&self) -> i64 {
        self.read().to_store()
    }

    /// [`Reading::of_stored`] of now.
    #[must_use]
    pub fn of_stored(&self, saved: Micros) -> i64 {
        self.read().of_stored(saved)
    }

    /// Waits until the steady reading is at `moment`; returns at once when that has passed.
    pub async fn until(&self, moment: Micros) {
        match self {
            Self::System(machine) => machine.until(|| moment.since(machine.steady())).await,
            Self::Manual(manual) => manual.until_steady(moment).await,
        }
    }

    /// Waits until the wall is at `moment`, wherever it is set meanwhile.
    pub async fn until_wall(&self, moment: Micros) {
        match self {
            Self::System(machine) => machine.until(|| moment.since(machine::wall())).await,
            Self::Manual(manual) => manual.until(|| manual.now() >= moment).await,
        }
    }

    /// Waits for `duration`.
    pub async fn pause(&self, duration: Duration) {
        self.until(self.steady().plus(duration)).await;
    }

    /// Whether the wall was set, or the machine slept, since this was last asked. Whoever waits for
    /// a moment looks again then.
    #[must_use]
    pub fn look(&self) -> Option<Leap> {
        match self {
            Self::System(machine) => machine.look(),
            Self::Manual(manual) => manual.look(),
        }
    }

    /// Looks for leaps until `stop`, and tells of each.
    pub async fn watch(self, stop: CancellationToken, tell: impl Fn(Leap) + Send) {
        loop {
            // On the timer of the runtime: a leap is what this is to notice.
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            if let Some(leap) = self.look() {
                tell(leap);
            }
        }
    }
}

/// The present moment of the runtime's timers, which nobody sets: for how long something took, and
/// for pauses that end within the process.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place that asks for it")]
pub fn instant() -> Instant {
    Instant::now()
}

/// A name that nothing else has, at random.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place that draws it")]
pub fn fresh_uuid() -> Uuid {
    Uuid::new_v4()
}

/// A number in `[0, 1)` that nobody could have told; callers hand it to arithmetic that needs
/// chance. Not for secrets: the system is asked once per thread, for each delivery wants one.
#[must_use]
pub fn chance() -> f64 {
    #[expect(clippy::disallowed_methods, reason = "the one place that draws it")]
    let bits = RandomState::new().hash_one(());
    #[expect(clippy::cast_precision_loss, reason = "48 random bits fit a double exactly")]
    let fraction = (bits >> 16) as f64 / (1u64 << 48) as f64;
    fraction
}

#[cfg(test)]
mod tests;
