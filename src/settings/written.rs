//! Policies as the file and the API write them: lengths of time as texts, defaults left out.

use std::time::Duration;

use probes::period::Period;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{BatchPolicy, Delays, Fault, HoldPolicy, RetryPolicy, forms::PeriodText};

/// How much a delay varies unless said otherwise.
const JITTER: f64 = 0.2;

/// When a failed event is tried again, and when it is given up.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// The delays between attempts, one after the other; or `exponential`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<PeriodText>>)]
    pub schedule: Option<Vec<Period>>,
    /// Delays that grow; or `schedule`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exponential: Option<Exponential>,
    /// The share by which the delays of a schedule vary, 0 to 1. Default 0.2.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1)]
    pub jitter: Option<f64>,
    /// The most attempts that count against an event; by default one more than the schedule has
    /// delays, else 10. With 1 an event is settled before it is sent, and so sent at most once.
    #[schemars(range(min = 1, max = 1_000))]
    #[schema(minimum = 1, maximum = 1_000)]
    pub max_attempts: Option<u32>,
    /// The longest time from the first attempt; stands still on hold and pause.
    #[schema(value_type = Option<PeriodText>)]
    pub max_age: Option<Period>,
    /// Statuses after which an event is given up at once.
    pub never_retry: Vec<u16>,
}

/// Delays that grow by a factor up to a limit.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Exponential {
    /// The first delay. Default `5s`.
    #[schema(value_type = PeriodText)]
    pub initial: Period,
    /// The factor, 1 to 100. Default 2.
    #[schema(minimum = 1, maximum = 100)]
    pub multiplier: f64,
    /// The longest delay. Default `1h`.
    #[schema(value_type = PeriodText)]
    pub max: Period,
    /// The share by which a delay varies, 0 to 1. Default 0.2.
    #[schema(minimum = 0, maximum = 1)]
    pub jitter: f64,
}

impl Default for Exponential {
    fn default() -> Self {
        Self {
            initial: Period(Duration::from_secs(5)),
            multiplier: 2.0,
            max: Period(Duration::from_hours(1)),
            jitter: JITTER,
        }
    }
}

impl Retry {
    /// The policy, not yet checked.
    ///
    /// # Errors
    /// Two kinds of delays at once.
    pub fn policy(&self) -> Result<RetryPolicy, Fault> {
        let delays = match (&self.schedule, &self.exponential) {
            (Some(_), Some(_)) => {
                return Err(Fault::new("retry", "expected one of `schedule` and `exponential`"));
            }
            (None, Some(_)) if self.jitter.is_some() => {
                return Err(Fault::new("retry.jitter", "belongs into `exponential`"));
            }
            (None, Some(growing)) => Delays::Exponential {
                initial: growing.initial.0,
                multiplier: growing.multiplier,
                max: growing.max.0,
                jitter: growing.jitter,
            },
            (schedule, None) => {
                let said = schedule.as_ref().map(|delays| delays.iter().map(|one| one.0).collect());
                let delays = said.unwrap_or_else(RetryPolicy::usual_schedule);
                Delays::Schedule { delays, jitter: self.jitter.unwrap_or(JITTER) }
            }
        };
        Ok(RetryPolicy {
            delays,
            max_attempts: self.max_attempts,
            max_age: self.max_age.map(Duration::from),
            never_retry: self.never_retry.clone(),
        })
    }
}

impl From<&RetryPolicy> for Retry {
    fn from(policy: &RetryPolicy) -> Self {
        let (mut schedule, mut exponential, mut varies) = (None, None, None);
        match &policy.delays {
            Delays::Schedule { delays, jitter } => {
                schedule = Some(delays.iter().copied().map(Period).collect());
                varies = Some(*jitter);
            }
            Delays::Exponential { initial, multiplier, max, jitter } => {
                exponential = Some(Exponential {
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

/// When an endpoint is put on hold, how often it is tried then, and when it is given up.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Hold {
    /// So many failed attempts in a row begin a hold. Default 5.
    #[schemars(range(min = 1, max = 1_000))]
    #[schema(minimum = 1, maximum = 1_000)]
    pub after: u32,
    /// The first pause between two trials; doubles. Default `5s`.
    #[schema(value_type = PeriodText)]
    pub interval: Period,
    /// The longest pause between two trials. Default `1m`.
    #[schema(value_type = PeriodText)]
    pub max_interval: Period,
    /// The longest `Retry-After` that is obeyed. Default `1h`.
    #[schema(value_type = PeriodText)]
    pub max: Period,
    /// An endless hold ends after this: the subscription is disabled. Default `5d`.
    #[schema(value_type = PeriodText)]
    pub give_up_after: Period,
}

impl Default for Hold {
    fn default() -> Self {
        Self::from(HoldPolicy::default())
    }
}

impl From<HoldPolicy> for Hold {
    fn from(policy: HoldPolicy) -> Self {
        Self {
            after: policy.after,
            interval: Period(policy.interval),
            max_interval: Period(policy.max_interval),
            max: Period(policy.max),
            give_up_after: Period(policy.give_up_after),
        }
    }
}

impl From<Hold> for HoldPolicy {
    fn from(hold: Hold) -> Self {
        Self {
            after: hold.after,
            interval: hold.interval.0,
            max_interval: hold.max_interval.0,
            max: hold.max.0,
            give_up_after: hold.give_up_after.0,
        }
    }
}

/// Several events in one request: an array of CloudEvents in version order.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Batch {
    /// The most events of one request, 1 to 1000. Default 100.
    #[schemars(range(min = 1, max = 1_000))]
    #[schema(minimum = 1, maximum = 1_000)]
    pub max_events: usize,
    /// The longest that an event waits for others, at most `10m`. Default `1s`.
    #[schema(value_type = PeriodText)]
    pub max_wait: Period,
}

impl Default for Batch {
    fn default() -> Self {
        Self::from(BatchPolicy::default())
    }
}

impl From<BatchPolicy> for Batch {
    fn from(policy: BatchPolicy) -> Self {
        Self { max_events: policy.max_events, max_wait: Period(policy.max_wait) }
    }
}

impl From<Batch> for BatchPolicy {
    fn from(batch: Batch) -> Self {
        Self { max_events: batch.max_events, max_wait: batch.max_wait.0 }
    }
}
