//! When a source is asked again: arithmetic over what was found and what the producer said.

use std::time::Duration;

use probes::Pace;

use crate::{event::Micros, retry, settings::Delays};

/// The first pause after a failure.
const FAILED_FIRST: Duration = Duration::from_secs(5);
/// The longest pause after failures, for sources that are asked more often than that.
const FAILED_MAX: Duration = Duration::from_mins(5);
/// The first pause after an answer that was not ready.
const WAIT_FIRST: Duration = Duration::from_secs(2);
/// The longest that a producer can keep us away.
const ASKED_MAX: Duration = Duration::from_hours(24);
/// How much an interval varies, so that sources drift apart.
const JITTER: f64 = 0.05;

/// How often a source is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// The usual time between two polls.
    pub interval: Duration,
    /// The time between two polls while catching up.
    pub min: Duration,
    /// The longest time between two polls while there is nothing new.
    pub max: Duration,
}

impl Schedule {
    /// Always after `interval`.
    #[must_use]
    pub const fn every(interval: Duration) -> Self {
        Self { interval, min: interval, max: interval }
    }

    /// When to poll after a complete walk; `behind` when more is waiting, `idle` walks in a row
    /// that found nothing.
    pub(super) fn after(
        &self,
        now: Micros,
        behind: bool,
        idle: u32,
        said: Pace,
        chance: f64,
    ) -> Micros {
        let pause = if behind {
            self.min
        } else {
            // A quarter longer with every empty walk.
            let grown = self.interval.mul_f64(1.25_f64.powi(idle.min(100).cast_signed()));
            grown.min(self.max.max(self.interval))
        };
        let varied = pause.mul_f64(1.0 + JITTER * chance);
        now.plus(varied.max(asked(said)))
    }

    /// When to poll after the `failures`th failure in a row.
    pub(super) fn after_failure(
        &self,
        now: Micros,
        failures: u32,
        said: Pace,
        chance: f64,
    ) -> Micros {
        let delays = Delays::Exponential {
            initial: self.interval.min(FAILED_FIRST),
            multiplier: 2.0,
            max: self.max.max(self.interval).max(FAILED_MAX),
            jitter: 0.2,
        };
        now.plus(retry::pause(&delays, failures, chance).max(asked(said)))
    }

    /// When to ask again after the `waits`th answer in a row that was not ready: when the producer
    /// says, else soon and then ever later, up to the usual interval.
    pub(super) fn after_wait(&self, now: Micros, waits: u64, said: Pace) -> Micros {
        if let Some(told) = between_pages(now, said) {
            return told;
        }
        let doublings = u32::try_from(waits.saturating_sub(1)).unwrap_or(u32::MAX);
        let factor = 2_u32.saturating_pow(doublings);
        now.plus(WAIT_FIRST.saturating_mul(factor).min(self.interval))
    }
}

/// Until when the producer wants no further page of a walk, if it said so. How often it wants to be
/// asked for anything new is no matter of a walk.
pub(super) fn between_pages(now: Micros, said: Pace) -> Option<Micros> {
    let pause = asked(Pace { poll_interval_s: None, ..said });
    (!pause.is_zero()).then(|| now.plus(pause))
}

/// What the producer asked for.
fn asked(said: Pace) -> Duration {
    let seconds = said.retry_after_s.max(said.poll_interval_s).unwrap_or(0);
    Duration::from_secs(seconds).min(ASKED_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    fn seconds(moment: Micros) -> u64 {
        moment.since(Micros(0)).as_secs()
    }

    #[test]
    fn pauses_follow_what_was_found() {
        let schedule = Schedule {
            interval: MINUTE,
            min: Duration::from_secs(6),
            max: Duration::from_mins(10),
        };
        let after =
            |behind, idle, said| seconds(schedule.after(Micros(0), behind, idle, said, 0.0));
        assert_eq!(after(false, 0, Pace::default()), 60);
        assert_eq!(after(true, 0, Pace::default()), 6);
        assert_eq!(after(false, 1, Pace::default()), 75);
        assert_eq!(after(false, 1_000, Pace::default()), 600);
        let said = Pace { retry_after_s: Some(30), poll_interval_s: Some(90) };
        assert_eq!(after(true, 0, said), 90);
        let never = Pace { retry_after_s: Some(u64::MAX), poll_interval_s: None };
        assert_eq!(after(true, 0, never), 86_400);
    }

    #[test]
    fn who_is_not_ready_is_asked_again_soon() {
        let schedule = Schedule::every(MINUTE);
        let after = |waits, said| seconds(schedule.after_wait(Micros(0), waits, said));
        let waits = [1, 2, 5, 6, 1_000].map(|waits| after(waits, Pace::default()));
        assert_eq!(waits, [2, 4, 32, 60, 60]);
        let said = Pace { retry_after_s: Some(300), poll_interval_s: None };
        assert_eq!(after(1, said), 300);
        // "At once" is no reason to ask without a pause.
        let said = Pace { retry_after_s: Some(0), poll_interval_s: None };
        assert_eq!(after(1, said), 2);
    }

    #[test]
    fn a_poll_interval_is_for_walks_only() {
        let said = Pace { retry_after_s: None, poll_interval_s: Some(60) };
        assert_eq!(between_pages(Micros(0), said), None);
        let said = Pace { retry_after_s: Some(7), poll_interval_s: Some(60) };
        assert_eq!(between_pages(Micros(0), said), Some(Micros(7_000_000)));
    }

    #[test]
    fn failures_are_retried_soon_and_then_seldom() {
        let schedule = Schedule::every(MINUTE);
        let after =
            |failures| seconds(schedule.after_failure(Micros(0), failures, Pace::default(), 0.5));
        assert_eq!([after(1), after(2), after(3), after(50)], [5, 10, 20, 300]);
        let said = Pace { retry_after_s: Some(1_000), poll_interval_s: None };
        assert_eq!(seconds(schedule.after_failure(Micros(0), 1, said, 0.5)), 1_000);
    }
}
