//! When a failed event is tried again, and when an endpoint is left alone.

use std::{ops::RangeInclusive, time::Duration};

use serde::{Deserialize, Serialize};

use super::days;

/// When a failed event is tried again, and when it is given up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// The delays between attempts.
    pub delays: Delays,
    /// The most attempts that count against an event; `None`: the length of the schedule plus
    /// one, and for exponential delays 10.
    pub max_attempts: Option<u32>,
    /// The longest time from the first attempt; stands still on hold and pause.
    pub max_age: Option<Duration>,
    /// Statuses after which an event dies at once.
    pub never_retry: Vec<u16>,
}

impl RetryPolicy {
    /// What `max_attempts` may be.
    pub const MAX_ATTEMPTS: RangeInclusive<u32> = 1..=1_000;
    /// The most delays of a schedule.
    pub const DELAYS_MAX: usize = 100;
    /// The longest delay, and the longest pause of a hold.
    pub const DELAY_MAX: Duration = days(30);
    /// What the factor of growing delays may be.
    pub const MULTIPLIER: RangeInclusive<f64> = 1.0..=100.0;

    /// The delays of those who name none: about three days.
    #[must_use]
    pub fn usual_schedule() -> Vec<Duration> {
        let minutes = |count: u64| Duration::from_secs(count * 60);
        let hours = |count: u64| minutes(count * 60);
        vec![
            Duration::from_secs(5),
            minutes(5),
            minutes(30),
            hours(2),
            hours(5),
            hours(10),
            hours(14),
            hours(20),
            hours(24),
        ]
    }
}

/// The delays between the attempts on one event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delays {
    /// One after the other, each varied by the share `jitter` (0.2: ±20 %).
    Schedule {
        /// The delays in order.
        delays: Vec<Duration>,
        /// The share by which a delay varies, 0 to 1.
        jitter: f64,
    },
    /// Growing by a factor up to a limit.
    Exponential {
        /// The first delay.
        initial: Duration,
        /// The factor, at least 1.
        multiplier: f64,
        /// The longest delay, jitter included.
        max: Duration,
        /// The share by which a delay varies, 0 to 1.
        jitter: f64,
    },
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            delays: Delays::Schedule { delays: Self::usual_schedule(), jitter: 0.2 },
            max_attempts: None,
            max_age: None,
            never_retry: Vec::new(),
        }
    }
}

/// When an endpoint is put on hold, how often it is tried then, and when it is given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldPolicy {
    /// So many failed attempts in a row begin a hold.
    pub after: u32,
    /// The first pause between two trials; doubles.
    pub interval: Duration,
    /// The longest pause between two trials.
    pub max_interval: Duration,
    /// The longest `Retry-After` that is obeyed.
    pub max: Duration,
    /// An endless hold ends after this: the subscription is disabled.
    pub give_up_after: Duration,
}

impl HoldPolicy {
    /// What `after` may be.
    pub const AFTER: RangeInclusive<u32> = 1..=1_000;
}

impl Default for HoldPolicy {
    fn default() -> Self {
        Self {
            after: 5,
            interval: Duration::from_secs(5),
            max_interval: Duration::from_mins(1),
            max: Duration::from_hours(1),
            give_up_after: days(5),
        }
    }
}
