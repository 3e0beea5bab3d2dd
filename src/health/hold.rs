//! A hold: since when an endpoint is left alone, and when and by whom it is tried next.

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use super::told::{Ended, Turn};
use crate::{event::Micros, settings::HoldPolicy};

/// Why a hold began.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    IntoStaticStr,
    utoipa::ToSchema,
)]
#[schema(as = HoldCode)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum HoldCause {
    /// Its last attempts failed.
    #[default]
    Failing,
    /// The endpoint said how long it is to be left alone.
    AskedToWait,
    /// The request did not leave the relay.
    Ours,
}

impl HoldCause {
    fn of(ended: &Ended, policy: &HoldPolicy) -> Self {
        if ended.is_ours {
            Self::Ours
        } else if ended.asked(policy).is_zero() {
            Self::Failing
        } else {
            Self::AskedToWait
        }
    }

    /// The same for a person.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Failing => "the last attempts in a row failed",
            Self::AskedToWait => "the endpoint asked to be left alone for a while (`Retry-After`)",
            Self::Ours => {
                "requests do not leave the relay: its own network, proxy or machine fails"
            }
        }
    }
}

/// A hold that has begun.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Hold {
    #[serde(rename = "since_us")]
    pub(super) since: Micros,
    /// How much of it the relay served, in microseconds, up to `counted`.
    #[serde(default)]
    served_us: i64,
    #[serde(skip)]
    pub(super) counted: Micros,
    interval_ms: u64,
    #[serde(rename = "next_trial_us")]
    pub(super) next_trial: Micros,
    pub(super) turn: Turn,
    last_position: i64,
    /// Whether some of the failures that began it were clear answers to events.
    #[serde(default)]
    pub(super) answered: bool,
    /// Why it began; a hold that an earlier release saved does not say.
    #[serde(default)]
    pub(super) cause: HoldCause,
}

impl Hold {
    /// A hold that begins with a failure at `now`. An endpoint that says how long is taken at its
    /// word first.
    pub(super) fn new(ended: &Ended, policy: &HoldPolicy, answered: bool, now: Micros) -> Self {
        let asked = ended.asked(policy);
        let pause = if asked.is_zero() { policy.interval } else { asked };
        Self {
            since: now,
            served_us: 0,
            counted: now,
            interval_ms: millis(pause.min(policy.interval)),
            next_trial: now.plus(pause),
            turn: Turn::New,
            last_position: ended.delivery.0,
            answered,
            cause: HoldCause::of(ended, policy),
        }
    }

    /// Whether `position` may make a trial; those that wish to take turns.
    pub(super) fn permits(&self, position: i64, wishes: &BTreeSet<i64>, now: Micros) -> bool {
        let after = wishes.range(self.last_position + 1..).next();
        let first = after.or_else(|| wishes.first());
        now >= self.next_trial && first.is_none_or(|first| *first == position)
    }

    /// Notes that `position` makes a trial.
    pub(super) fn begin_trial(&mut self, position: i64) {
        self.last_position = position;
        self.turn = match self.turn {
            Turn::New => Turn::Oldest,
            Turn::Oldest => Turn::New,
        };
    }

    /// Learns from a failure; that of a trial doubles the pause.
    pub(super) fn fail(&mut self, ended: &Ended, is_trial: bool, policy: &HoldPolicy, now: Micros) {
        if !ended.is_ours {
            self.served_us += now.0.saturating_sub(self.counted.0).max(0);
        }
        self.counted = now;
        if is_trial {
            let doubled = Duration::from_millis(self.interval_ms.saturating_mul(2));
            let interval = doubled.min(policy.max_interval);
            self.interval_ms = millis(interval);
            self.next_trial = now.plus(interval);
        }
        self.next_trial = self.next_trial.max(now.plus(ended.asked(policy)));
    }

    /// How long it has lasted while the relay served: time when it was down does not count, as far
    /// as it is known, from the last failure saved to the next start.
    pub(super) fn lasted(&self, now: Micros) -> Duration {
        let saved = Duration::from_micros(u64::try_from(self.served_us).unwrap_or(0));
        saved + now.since(self.counted)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
