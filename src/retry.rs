//! When a failed event is tried again: arithmetic over a policy, and the only file that names the
//! `backoff` crate.

use std::time::Duration;

use backoff::{ExponentialBackoff, ExponentialBackoffBuilder, backoff::Backoff as _};

use crate::settings::{Delays, RetryPolicy};

/// How many attempts a policy without a number of its own allows for exponential delays.
const EXPONENTIAL_ATTEMPTS: u32 = 10;
/// What stands in for a schedule without entries.
const ONLY_DELAY: Duration = Duration::from_secs(5);
/// Steps after which an exponential delay is taken to have reached its end.
const STEPS_MAX: u32 = 10_000;

/// The most attempts that count against an event.
#[must_use]
pub fn max_attempts(policy: &RetryPolicy) -> u32 {
    policy.max_attempts.unwrap_or_else(|| match &policy.delays {
        Delays::Schedule { delays, .. } => {
            u32::try_from(delays.len()).unwrap_or(u32::MAX).saturating_add(1)
        }
        Delays::Exponential { .. } => EXPONENTIAL_ATTEMPTS,
    })
}

/// The delay after attempt number `attempt` (1 for the first); `None` when that was the last.
/// `chance` in `[0, 1)` decides the jitter.
#[must_use]
pub fn delay(policy: &RetryPolicy, attempt: u32, chance: f64) -> Option<Duration> {
    (attempt < max_attempts(policy)).then(|| pause(&policy.delays, attempt, chance))
}

/// The delay after attempt number `attempt`, whether or not there may be another: a schedule that
/// has run out repeats its last entry.
#[must_use]
pub fn pause(delays: &Delays, attempt: u32, chance: f64) -> Duration {
    let step = attempt.max(1) - 1;
    match delays {
        Delays::Schedule { delays, jitter } => {
            let at = usize::try_from(step).unwrap_or(usize::MAX).min(delays.len().max(1) - 1);
            vary(delays.get(at).copied().unwrap_or(ONLY_DELAY), *jitter, chance)
        }
        Delays::Exponential { initial, multiplier, max, jitter } => {
            vary(exponential(*initial, *multiplier, *max, step), *jitter, chance).min(*max)
        }
    }
}

/// The interval after `step` increases. The crate's own randomness is left aside: the interval
/// itself moves by its arithmetic alone.
fn exponential(initial: Duration, multiplier: f64, max: Duration, step: u32) -> Duration {
    let mut backoff: ExponentialBackoff = ExponentialBackoffBuilder::new()
        .with_initial_interval(initial.min(max))
        .with_multiplier(multiplier.max(1.0))
        .with_max_interval(max)
        .with_max_elapsed_time(None)
        .build();
    for _ in 0..step.min(STEPS_MAX) {
        let before = backoff.current_interval;
        let _ = backoff.next_backoff();
        if backoff.current_interval == before {
            break;
        }
    }
    backoff.current_interval
}

/// `delay` ± the share `jitter` of it.
fn vary(delay: Duration, jitter: f64, chance: f64) -> Duration {
    let factor = 1.0 + jitter.clamp(0.0, 1.0) * (2.0 * chance - 1.0);
    Duration::try_from_secs_f64(delay.as_secs_f64() * factor).unwrap_or(delay)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn secs(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn exponential_policy(multiplier: f64, max_s: u64, jitter: f64) -> RetryPolicy {
        RetryPolicy {
            delays: Delays::Exponential { initial: secs(2), multiplier, max: secs(max_s), jitter },
            ..RetryPolicy::default()
        }
    }

    #[test]
    fn the_default_schedule_has_nine_delays_and_ten_attempts() {
        let policy = RetryPolicy::default();
        let middle: Vec<_> = (1..=10).map(|attempt| delay(&policy, attempt, 0.5)).collect();
        let hours = |count: u64| Some(secs(count * 3600));
        let mut expected = vec![Some(secs(5)), Some(secs(300)), Some(secs(1800))];
        expected.extend([hours(2), hours(5), hours(10), hours(14), hours(20), hours(24), None]);
        assert_eq!(middle, expected);
        assert_eq!(delay(&policy, 1, 0.0), Some(secs(4)));
    }

    #[test]
    fn attempts_beyond_the_schedule_repeat_its_last_delay() {
        let delays = Delays::Schedule { delays: vec![secs(1), secs(2)], jitter: 0.0 };
        let policy = RetryPolicy { delays, max_attempts: Some(5), ..RetryPolicy::default() };
        let all: Vec<_> = (1..=5).map(|attempt| delay(&policy, attempt, 0.0)).collect();
        assert_eq!(all, [Some(secs(1)), Some(secs(2)), Some(secs(2)), Some(secs(2)), None]);
        let none = Delays::Schedule { delays: vec![], jitter: 0.2 };
        assert_eq!(pause(&none, 7, 0.5), ONLY_DELAY);
    }

    #[test]
    fn exponential_delays_grow_to_their_limit() {
        let policy = exponential_policy(3.0, 100, 0.0);
        let all: Vec<_> = (1..=10).map(|attempt| delay(&policy, attempt, 0.0)).collect();
        let mut expected: Vec<_> =
            [2, 6, 18, 54, 100, 100, 100, 100, 100].map(|s| Some(secs(s))).to_vec();
        expected.push(None);
        assert_eq!(all, expected);
        assert_eq!(pause(&exponential_policy(1.0, 100, 0.0).delays, u32::MAX, 0.9), secs(2));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(crate::cases()))]

        #[test]
        fn jitter_stays_within_its_share_and_the_limit(
            attempt in 1_u32..60, chance in 0.0..1.0_f64, jitter in 0.0..=1.0_f64,
        ) {
            let schedule = RetryPolicy::default();
            if let Some(varied) = delay(&schedule, attempt, chance) {
                let middle = pause(&schedule.delays, attempt, 0.5).as_secs_f64();
                prop_assert!((varied.as_secs_f64() - middle).abs() <= middle * 0.2 + 1e-6);
            }
            // The interval by the plainest arithmetic: doubled so often, never above its limit.
            let plain = exponential_policy(2.0, 30, 0.0);
            let expected = (2.0 * 2.0_f64.powi(attempt.cast_signed() - 1)).min(30.0);
            let got = pause(&plain.delays, attempt, chance).as_secs_f64();
            prop_assert!((got - expected).abs() < 1e-6, "{got} {expected}");
            let capped = exponential_policy(2.0, 30, jitter);
            prop_assert!(pause(&capped.delays, attempt, chance) <= secs(30));
        }
    }
}
