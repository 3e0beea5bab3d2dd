//! The machine's own clock.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::{sync::watch, time::Instant};

use super::{
    instant,
    leap::{Leap, Leaps},
};
use crate::event::Micros;

/// A wait that is shorter ends before anybody could be told of a leap.
const SHORT: Duration = Duration::from_secs(1);
/// The longest that a wait goes on without a look, for those whose clock nobody watches.
const LOOK_AT_LEAST_EVERY: Duration = Duration::from_mins(1);
/// A machine that lost less was busy, not suspended.
const SLEPT_MIN: Duration = Duration::from_secs(1);

/// The machine's clock: where the steady reading begins, and what was seen of the wall since.
#[derive(Debug)]
pub struct Machine {
    /// The wall, and how long the machine had been up, when this was made.
    began: (Micros, Duration),
    pub(super) leaps: Leaps,
    /// At the last look: how long the machine had been up, by the clock that counts suspension and
    /// by the one of the runtime's timers, which does not.
    looked: Mutex<(Duration, Instant)>,
    leapt: watch::Sender<u64>,
}

impl Machine {
    pub(super) fn new() -> Self {
        let up = up();
        Self {
            began: (wall(), up),
            leaps: Leaps::default(),
            looked: Mutex::new((up, instant())),
            leapt: watch::Sender::default(),
        }
    }

    pub(super) fn steady(&self) -> Micros {
        let (wall, up_then) = self.began;
        wall.plus(up().saturating_sub(up_then))
    }

    pub(super) fn look(&self) -> Option<Leap> {
        let slept = self.slept();
        let leap = self.leaps.look(self.steady(), wall());
        let leap = leap.or_else(|| (slept >= SLEPT_MIN).then_some(Leap::Slept(slept)));
        if leap.is_some() {
            self.leapt.send_modify(|count| *count += 1);
        }
        leap
    }

    /// How long the machine was suspended since the last look.
    fn slept(&self) -> Duration {
        let (up, instant) = (up(), instant());
        let mut looked = self.looked.lock();
        let (up_then, then) = std::mem::replace(&mut *looked, (up, instant));
        up.saturating_sub(up_then).saturating_sub(instant.saturating_duration_since(then))
    }

    /// Waits until nothing is `left`, which is asked again after every leap.
    pub(super) async fn until(&self, left: impl Fn() -> Duration) {
        loop {
            let left = left();
            if left.is_zero() {
                return;
            }
            if left <= SHORT {
                tokio::time::sleep(left).await;
                continue;
            }
            let mut leapt = self.leapt.subscribe();
            tokio::select! {
                () = tokio::time::sleep(left.min(LOOK_AT_LEAST_EVERY)) => {}
                // The sender lives as long as the clock.
                _ = leapt.changed() => {}
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that asks the machine")]
pub(super) fn wall() -> Micros {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Micros::default().plus(since.unwrap_or_default())
}

/// How long the machine has been up, suspension included.
#[cfg(target_os = "linux")]
fn up() -> Duration {
    let up = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(up.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(up.tv_nsec).unwrap_or_default())
}

/// How long this process has been asking; where the system has no clock that counts suspension,
/// a suspended machine's pauses are late by as much.
#[cfg(not(target_os = "linux"))]
fn up() -> Duration {
    static FIRST: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    FIRST.get_or_init(instant).elapsed()
}
