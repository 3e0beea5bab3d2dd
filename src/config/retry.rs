//! `retry` and `hold`: when a failed event is tried again, and when an endpoint is left alone.

use probes::period::Period;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_saphyr::Location;

use super::error::Problems;
use crate::settings::{Delays, HoldPolicy, RetryPolicy};

/// When a failed event is tried again: one of `schedule` and `exponential`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RetryFile {
    /// The delays between attempts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Vec<Period>>,
    /// The share by which the delays of a schedule vary, 0 to 1; by default 0.2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter: Option<f64>,
    /// Delays that grow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exponential: Option<ExponentialFile>,
    /// The most attempts; by default one more than the schedule has delays, else 10.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
    /// The longest time from the first attempt; stands still on hold and pause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Period>,
    /// Statuses after which an event is given up at once.
    pub never_retry: Vec<u16>,
}

/// Delays that grow by a factor up to a limit.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExponentialFile {
    /// The first delay.
    pub initial: Period,
    /// The factor, at least 1.
    pub multiplier: f64,
    /// The longest delay.
    pub max: Period,
    /// The share by which a delay varies, 0 to 1.
    pub jitter: f64,
}

impl Default for ExponentialFile {
    fn default() -> Self {
        Self {
            initial: Period(std::time::Duration::from_secs(5)),
            multiplier: 2.0,
            max: Period(std::time::Duration::from_hours(1)),
            jitter: 0.2,
        }
    }
}

impl RetryFile {
    /// The policy; what does not go together is a problem at `at`.
    pub(crate) fn policy(&self, at: Location, problems: &mut Problems<'_>) -> RetryPolicy {
        for problem in self.problems() {
            problems.add(at, format!("`retry`: {problem}"));
        }
        let delays = match (&self.schedule, &self.exponential, RetryPolicy::default().delays) {
            (None, Some(growing), _) => Delays::Exponential {
                initial: growing.initial.0,
                multiplier: growing.multiplier,
                max: growing.max.0,
                jitter: growing.jitter,
            },
            (Some(delays), _, _) => Delays::Schedule {
                delays: delays.iter().map(|delay| delay.0).collect(),
                jitter: self.jitter.unwrap_or(0.2),
            },
            (None, None, Delays::Schedule { delays, jitter }) => {
                Delays::Schedule { delays, jitter: self.jitter.unwrap_or(jitter) }
            }
            (None, None, other) => other,
        };
        RetryPolicy {
            delays,
            max_attempts: self.max_attempts,
            max_age: self.max_age.map(|age| age.0),
            never_retry: self.never_retry.clone(),
        }
    }

    fn problems(&self) -> Vec<&'static str> {
        let share = |value: f64| (0.0..=1.0).contains(&value);
        let mut found = Vec::new();
        if self.schedule.is_some() && self.exponential.is_some() {
            found.push("expected one of `schedule` and `exponential`");
        }
        if self.jitter.is_some() && self.exponential.is_some() {
            found.push("`jitter` belongs into `exponential`");
        }
        if self.schedule.as_ref().is_some_and(|delays| delays.len() > 100) {
            found.push("`schedule`: expected at most 100 delays");
        }
        if self.jitter.is_some_and(|jitter| !share(jitter)) {
            found.push("`jitter`: expected 0 to 1");
        }
        if let Some(growing) = &self.exponential {
            if !share(growing.jitter) {
                found.push("`exponential.jitter`: expected 0 to 1");
            }
            if !(1.0..=100.0).contains(&growing.multiplier) {
                found.push("`exponential.multiplier`: expected 1 to 100");
            }
            if growing.initial.0.is_zero() || growing.initial > growing.max {
                found.push("`exponential.initial`: expected more than zero and at most `max`");
            }
        }
        if self.max_attempts.is_some_and(|most| !RetryPolicy::MAX_ATTEMPTS.contains(&most)) {
            found.push("`max_attempts`: expected 1 to 1000");
        }
        if self.never_retry.iter().any(|status| !(300..=599).contains(status)) {
            found.push("`never_retry`: expected statuses from 300 to 599");
        }
        found
    }
}

/// When an endpoint is put on hold, how often it is tried then, and when it is given up.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HoldFile {
    /// So many failed attempts in a row begin a hold.
    pub after: u32,
    /// The first pause between two trials; doubles.
    pub interval: Period,
    /// The longest pause between two trials.
    pub max_interval: Period,
    /// The longest `Retry-After` that is obeyed.
    pub max: Period,
    /// An endless hold ends after this: the subscription is disabled.
    pub give_up_after: Period,
}

impl Default for HoldFile {
    fn default() -> Self {
        let policy = HoldPolicy::default();
        Self {
            after: policy.after,
            interval: Period(policy.interval),
            max_interval: Period(policy.max_interval),
            max: Period(policy.max),
            give_up_after: Period(policy.give_up_after),
        }
    }
}

impl HoldFile {
    /// The policy; what does not go together is a problem at `at`.
    pub(crate) fn policy(&self, at: Location, problems: &mut Problems<'_>) -> HoldPolicy {
        if self.after == 0 {
            problems.add(at, "`hold.after`: expected at least 1");
        }
        if self.interval.0.is_zero() || self.interval > self.max_interval {
            problems.add(at, "`hold.interval`: expected more than zero and at most `max_interval`");
        }
        HoldPolicy {
            after: self.after,
            interval: self.interval.0,
            max_interval: self.max_interval.0,
            max: self.max.0,
            give_up_after: self.give_up_after.0,
        }
    }
}
