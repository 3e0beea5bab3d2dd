//! Retry and hold policies as they are sent and shown, with durations as texts.

use std::time::Duration;

use probes::period::Period;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    api::problem::Problem,
    settings::{Delays, HoldPolicy, RetryPolicy},
};

const DELAYS_MAX: usize = 100;
const DELAY_MAX: Duration = crate::settings::days(30);
/// How much a delay varies unless said otherwise.
const JITTER: f64 = 0.2;

/// When a failed event is tried again, and when it is given up.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RetryBody {
    /// The delays between attempts, one after the other; or `exponential`.
    #[schema(value_type = Option<Vec<String>>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule: Option<Vec<Period>>,
    /// Delays that grow; or `schedule`.
    #[serde(skip_serializing_if = "Option::is_none")]
    exponential: Option<ExponentialBody>,
    /// The share by which a delay of the schedule varies, 0 to 1. Default 0.2.
    #[serde(skip_serializing_if = "Option::is_none")]
    jitter: Option<f64>,
    /// The most attempts that count against an event.
    max_attempts: Option<u32>,
    /// The longest time from the first attempt.
    #[schema(value_type = Option<String>)]
    max_age: Option<Period>,
    /// Statuses after which an event dies at once.
    never_retry: Vec<u16>,
}

/// Delays that grow by a factor up to a limit.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExponentialBody {
    /// The first delay. Default `5s`.
    #[schema(value_type = String)]
    initial: Period,
    /// The factor, 1 to 100. Default 2.
    multiplier: f64,
    /// The longest delay. Default `1h`.
    #[schema(value_type = String)]
    max: Period,
    /// The share by which a delay varies, 0 to 1. Default 0.2.
    jitter: f64,
}

impl Default for ExponentialBody {
    fn default() -> Self {
        Self {
            initial: Period(Duration::from_secs(5)),
            multiplier: 2.0,
            max: Period(Duration::from_hours(1)),
            jitter: JITTER,
        }
    }
}

/// When an endpoint is put on hold, how often it is tried then, and when it is given up.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HoldBody {
    /// So many failed attempts in a row begin a hold. Default 5.
    after: u32,
    /// The first pause between two trials; doubles. Default `5s`.
    #[schema(value_type = String)]
    interval: Period,
    /// The longest pause between two trials. Default `1m`.
    #[schema(value_type = String)]
    max_interval: Period,
    /// The longest `Retry-After` that is obeyed. Default `1h`.
    #[schema(value_type = String)]
    max: Period,
    /// An endless hold ends after this. Default `5d`.
    #[schema(value_type = String)]
    give_up_after: Period,
}

impl Default for HoldBody {
    fn default() -> Self {
        Self::from(&HoldPolicy::default())
    }
}

impl RetryBody {
    /// The policy, checked.
    pub(super) fn policy(&self) -> Result<RetryPolicy, Problem> {
        let delays = match (&self.schedule, &self.exponential) {
            (Some(_), Some(_)) => {
                let detail = "`retry.schedule` and `retry.exponential` cannot both be given";
                return Err(Problem::field("retry.schedule", detail));
            }
            (None, Some(exponential)) => exponential.delays()?,
            (Some(schedule), None) => {
                if schedule.len() > DELAYS_MAX {
                    let detail = format!("`retry.schedule`: at most {DELAYS_MAX} delays");
                    return Err(Problem::field("retry.schedule", detail));
                }
                let delays = schedule.iter().map(|period| delay("retry.schedule", *period));
                Delays::Schedule {
                    delays: delays.collect::<Result<_, _>>()?,
                    jitter: share("retry.jitter", self.jitter.unwrap_or(JITTER))?,
                }
            }
            (None, None) => match RetryPolicy::default().delays {
                Delays::Schedule { delays, jitter } => Delays::Schedule {
                    delays,
                    jitter: share("retry.jitter", self.jitter.unwrap_or(jitter))?,
                },
                other @ Delays::Exponential { .. } => other,
            },
        };
        if self.exponential.is_some() && self.jitter.is_some() {
            let detail = "`retry.jitter` belongs to a schedule; say `retry.exponential.jitter`";
            return Err(Problem::field("retry.jitter", detail));
        }
        if self.max_attempts.is_some_and(|most| !(1..=1_000).contains(&most)) {
            let detail = "`retry.max_attempts`: expected 1 to 1000";
            return Err(Problem::field("retry.max_attempts", detail));
        }
        if self.never_retry.len() > 500
            || self.never_retry.iter().any(|status| !(300..=599).contains(status))
        {
            let detail = "`retry.never_retry`: expected statuses from 300 to 599";
            return Err(Problem::field("retry.never_retry", detail));
        }
        Ok(RetryPolicy {
            delays,
            max_attempts: self.max_attempts,
            max_age: self.max_age.map(Duration::from),
            never_retry: self.never_retry.clone(),
        })
    }
}

impl ExponentialBody {
    fn delays(&self) -> Result<Delays, Problem> {
        if !(1.0..=100.0).contains(&self.multiplier) {
            let field = "retry.exponential.multiplier";
            return Err(Problem::field(field, format!("`{field}`: expected 1 to 100")));
        }
        if self.initial.0.is_zero() || self.initial > self.max {
            let field = "retry.exponential.initial";
            let detail = format!("`{field}`: expected more than zero and at most `max`");
            return Err(Problem::field(field, detail));
        }
        Ok(Delays::Exponential {
            initial: delay("retry.exponential.initial", self.initial)?,
            multiplier: self.multiplier,
            max: delay("retry.exponential.max", self.max)?,
            jitter: share("retry.exponential.jitter", self.jitter)?,
        })
    }
}

fn delay(field: &str, period: Period) -> Result<Duration, Problem> {
    if period.0 > DELAY_MAX {
        return Err(Problem::field(field, format!("`{field}`: a delay is at most `30d`")));
    }
    Ok(period.0)
}

fn share(field: &str, share: f64) -> Result<f64, Problem> {
    if (0.0..=1.0).contains(&share) {
        return Ok(share);
    }
    Err(Problem::field(field, format!("`{field}`: expected a share from 0 to 1")))
}

impl HoldBody {
    /// The policy, checked.
    pub(super) fn policy(&self) -> Result<HoldPolicy, Problem> {
        if !(1..=1_000).contains(&self.after) {
            return Err(Problem::field("hold.after", "`hold.after`: expected 1 to 1000"));
        }
        for (field, period) in [
            ("hold.interval", self.interval),
            ("hold.max_interval", self.max_interval),
            ("hold.give_up_after", self.give_up_after),
        ] {
            if period.0.is_zero() {
                let detail = format!("`{field}`: expected more than nothing");
                return Err(Problem::field(field, detail));
            }
        }
        if self.interval > self.max_interval {
            let detail = "`hold.interval`: expected at most `max_interval`";
            return Err(Problem::field("hold.interval", detail));
        }
        Ok(HoldPolicy {
            after: self.after,
            interval: delay("hold.interval", self.interval)?,
            max_interval: delay("hold.max_interval", self.max_interval)?,
            max: delay("hold.max", self.max)?,
            give_up_after: self.give_up_after.0,
        })
    }
}

impl From<&HoldPolicy> for HoldBody {
    fn from(policy: &HoldPolicy) -> Self {
        Self {
            after: policy.after,
            interval: Period(policy.interval),
            max_interval: Period(policy.max_interval),
            max: Period(policy.max),
            give_up_after: Period(policy.give_up_after),
        }
    }
}

impl From<&RetryPolicy> for RetryBody {
    fn from(policy: &RetryPolicy) -> Self {
        let (mut schedule, mut exponential, mut varies) = (None, None, None);
        match &policy.delays {
            Delays::Schedule { delays, jitter } => {
                schedule = Some(delays.iter().copied().map(Period).collect());
                varies = Some(*jitter);
            }
            Delays::Exponential { initial, multiplier, max, jitter } => {
                exponential = Some(ExponentialBody {
                    initial: Period(*initial),
                    multiplier: *multiplier,
                    max: Period(*max),
                    jitter: *jitter,
                });
            }
        }
        Self {
            schedule,
            exponential,
            jitter: varies,
            max_attempts: policy.max_attempts,
            max_age: policy.max_age.map(Period),
            never_retry: policy.never_retry.clone(),
        }
    }
}
