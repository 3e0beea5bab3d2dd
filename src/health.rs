//! How an endpoint is doing: open, on hold, or reopening. Pure; shared by the positions of one
//! subscription.
//!
//! A broken event and a broken endpoint are different things. The last failures in a row tell of
//! the endpoint when they are of two events or more, or of one event that got no answer. An event
//! that already stands out (others arrived between its failures, or it failed twice while the
//! endpoint was well) tells of nothing but itself when it fails again.

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use self::{failures::Failures, hold::Hold, limit::Limit};
use crate::{event::Micros, settings::HoldPolicy, settle::Fault};

mod failures;
mod hold;
mod limit;
mod row;
mod told;

pub use self::{
    hold::HoldCause,
    row::{HealthView, HoldReason, Holding},
    told::{DeliveryId, Ended, Held, Learnt, Leave, Turn},
};

/// The health of one endpoint. What is not saved begins anew with the process.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Health {
    state: State,
    hold: Option<Hold>,
    /// Deliveries that succeeded, ever.
    successes: u64,
    #[serde(rename = "permitted")]
    limit: Limit,
    /// How long it stood still, ever, in microseconds: what ages are shifted by.
    stood_still_us: i64,
    /// When the first hold began that no success has followed yet; an operator who resumes does not
    /// end it.
    #[serde(rename = "failing_since_us")]
    failing_since: Option<Micros>,
    /// When it was last stored, by the wall.
    #[serde(rename = "saved_us")]
    saved: Micros,
    #[serde(skip)]
    failures: Failures,
    #[serde(skip)]
    in_flight: usize,
    #[serde(skip)]
    trial: Option<DeliveryId>,
    #[serde(skip)]
    wishes: BTreeSet<i64>,
}

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
#[schema(as = EndpointState)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
enum State {
    #[default]
    Open,
    Holding,
    Reopening,
}

impl Health {
    /// Whether the endpoint is on hold.
    #[must_use]
    pub const fn is_holding(&self) -> bool {
        self.hold.is_some()
    }

    /// Whether fewer may be in flight than the settings say.
    #[must_use]
    pub const fn is_limited(&self) -> bool {
        self.hold.is_some() || self.limit.permitted.is_some()
    }

    /// Deliveries that succeeded, ever.
    #[must_use]
    pub const fn successes(&self) -> u64 {
        self.successes
    }

    /// Takes in how many successes an exception knows of; a crash may have lost the count.
    pub fn at_least(&mut self, successes: u64) {
        self.successes = self.successes.max(successes);
    }

    /// How long the endpoint stood still, ever.
    #[must_use]
    pub fn stood_still(&self) -> Duration {
        Duration::from_micros(u64::try_from(self.stood_still_us).unwrap_or(0))
    }

    /// When the next trial may be made, if the endpoint is on hold and none is under way.
    #[must_use]
    pub fn next_trial(&self) -> Option<Micros> {
        self.hold.as_ref().filter(|_| self.trial.is_none()).map(|hold| hold.next_trial)
    }

    /// Says whether a position has something to try; trials go round those that have. Answers
    /// whether it had and has no more.
    pub fn wish(&mut self, position: i64, wishes: bool) -> bool {
        if wishes {
            self.wishes.insert(position);
            false
        } else {
            self.wishes.remove(&position)
        }
    }

    /// What a position that gives way to all others may start now.
    #[must_use]
    pub fn leave_last(&self, position: i64, now: Micros) -> Leave {
        if self.is_limited() && !self.wishes.is_empty() {
            return Leave::Wait;
        }
        self.leave(position, now)
    }

    /// What `position` may start now.
    #[must_use]
    pub fn leave(&self, position: i64, now: Micros) -> Leave {
        match &self.hold {
            None => match self.limit.free(self.in_flight) {
                0 => Leave::Wait,
                free => Leave::Free(free),
            },
            Some(hold) if self.trial.is_none() && hold.permits(position, &self.wishes, now) => {
                Leave::Trial(hold.turn)
            }
            Some(_) => Leave::Wait,
        }
    }

    /// Notes that an attempt was begun, as [`Health::leave`] allowed.
    pub fn begin(&mut self, delivery: DeliveryId) {
        self.in_flight += 1;
        if let Some(hold) = &mut self.hold
            && self.trial.is_none()
        {
            self.trial = Some(delivery);
            hold.begin_trial(delivery.0);
        }
    }

    /// Notes that an attempt is over, whether or not it tells anything.
    pub fn end(&mut self, delivery: DeliveryId) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if self.trial == Some(delivery) {
            self.trial = None;
        }
    }

    /// Learns from an attempt that ended at `now`, before [`Health::end`]; `ceiling` is what the
    /// settings permit in flight.
    pub fn learn(
        &mut self,
        ended: Ended,
        policy: &HoldPolicy,
        ceiling: usize,
        now: Micros,
    ) -> Learnt {
        let Some(fault) = ended.fault else { return self.succeed(ceiling, now) };
        let refused = ended.is_throttled() && self.limit.met(ended.started);
        let halved = refused && self.limit.halve(ceiling, now);
        if let Some(hold) = &mut self.hold {
            if ended.is_alone && fault == Fault::Event && !hold.answered {
                // It had given no answer, and gives one again: what is wrong now is the event.
                self.end_hold(now);
                return Learnt { changed: true, ..Learnt::default() };
            }
            hold.fail(&ended, self.trial == Some(ended.delivery), policy, now);
            return Learnt { changed: true, refused, ..Learnt::default() };
        }
        if refused {
            self.state = State::Open;
        }
        let asked = ended.asked(policy);
        let enough = self.failures.add(&ended, refused, policy.after, now);
        let holds = enough || !asked.is_zero();
        if holds {
            let answered = self.failures.take_answered();
            self.state = State::Holding;
            self.failing_since.get_or_insert(now);
            self.hold = Some(Hold::new(&ended, policy, answered, now));
        }
        let held = holds.then_some(Held { since: now, asked });
        Learnt { changed: holds || halved, refused, held, recovered: None }
    }

    fn succeed(&mut self, ceiling: usize, now: Micros) -> Learnt {
        self.successes += 1;
        self.failures.end();
        let held = self.end_hold(now);
        let recovered = self.failing_since.take().or(held);
        let risen = self.limit.rise(self.state == State::Reopening, ceiling);
        if risen && self.limit.permitted.is_none() {
            self.state = State::Open;
        }
        Learnt { changed: risen || recovered.is_some(), recovered, ..Learnt::default() }
    }

    /// Ends a hold, to reopen; answers when it began.
    fn end_hold(&mut self, now: Micros) -> Option<Micros> {
        let hold = self.hold.take()?;
        self.stood_still_us += now.0.saturating_sub(hold.since.0).max(0);
        self.state = State::Reopening;
        self.limit.reopen();
        Some(hold.since)
    }

    /// Whether a hold has lasted too long.
    #[must_use]
    pub fn is_given_up(&self, policy: &HoldPolicy, now: Micros) -> bool {
        self.hold.as_ref().is_some_and(|hold| hold.lasted(now) >= policy.give_up_after)
    }

    /// Forgets everything but the count of successes and that a recovery is to be told, as when an
    /// operator resumes; it stood still since `paused`.
    pub fn resume(&mut self, paused: Micros, now: Micros) {
        let since = self.hold.as_ref().map_or(paused, |hold| hold.since.min(paused));
        *self = Self {
            successes: self.successes,
            stood_still_us: self.stood_still_us + now.0.saturating_sub(since.0).max(0),
            in_flight: self.in_flight,
            failing_since: self.failing_since,
            ..Self::default()
        };
    }
}

#[cfg(test)]
mod tests;
