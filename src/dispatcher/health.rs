//! How an endpoint is doing: open, on hold, or reopening. Pure; shared by the positions of one
//! subscription.
//!
//! A broken event and a broken endpoint are different things. The last failures in a row tell of
//! the endpoint when they are of two events or more, or of one event that got no answer. An event
//! that already stands out (others arrived between its failures, or it failed twice while the
//! endpoint was well) tells of nothing but itself when it fails again.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{event::Micros, settings::HoldPolicy, settle::Fault};

mod row;
mod told;

pub use self::{
    row::HealthView,
    told::{DeliveryId, Ended, Held, Learnt, Leave, Turn},
};

/// The most failures in a row that are remembered.
const FAILURES_MAX: usize = 1_000;

/// The health of one endpoint. What is not saved begins anew with the process.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Health {
    state: State,
    hold: Option<Hold>,
    /// Deliveries that succeeded, ever.
    successes: u64,
    /// The most that may be in flight; `None`: what the settings say.
    permitted: Option<usize>,
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
    failures: VecDeque<(DeliveryId, bool)>,
    /// Successes since `permitted` last rose.
    #[serde(skip)]
    round: usize,
    #[serde(skip)]
    halved: Micros,
    /// A success since the last refusal.
    #[serde(skip)]
    served: bool,
    /// What was begun before this was refused together with the first after a success.
    #[serde(skip)]
    excused: Micros,
    #[serde(skip)]
    in_flight: usize,
    #[serde(skip)]
    trial: Option<DeliveryId>,
    #[serde(skip)]
    wishes: BTreeSet<i64>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    #[default]
    Open,
    Holding,
    Reopening,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Hold {
    #[serde(rename = "since_us")]
    since: Micros,
    /// How much of it the relay served, in microseconds, up to `counted`.
    #[serde(default)]
    served_us: i64,
    #[serde(skip)]
    counted: Micros,
    interval_ms: u64,
    #[serde(rename = "next_trial_us")]
    next_trial: Micros,
    turn: Turn,
    last_position: i64,
    /// Whether some of the failures that began it were clear answers to events.
    #[serde(default)]
    answered: bool,
}

impl Hold {
    fn count(&mut self, now: Micros) {
        self.served_us += now.0.saturating_sub(self.counted.0).max(0);
        self.counted = now;
    }
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
        self.hold.is_some() || self.permitted.is_some()
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
        let Some(hold) = &self.hold else {
            return match self.permitted.map(|permitted| permitted.saturating_sub(self.in_flight)) {
                Some(0) => Leave::Wait,
                Some(free) => Leave::Free(free),
                None => Leave::Free(usize::MAX),
            };
        };
        let after = self.wishes.range(hold.last_position + 1..).next();
        let first = after.or_else(|| self.wishes.first());
        let its_turn = first.is_none_or(|first| *first == position);
        if self.trial.is_none() && now >= hold.next_trial && its_turn {
            Leave::Trial(hold.turn)
        } else {
            Leave::Wait
        }
    }

    /// Notes that an attempt was begun, as [`Health::leave`] allowed.
    pub fn begin(&mut self, delivery: DeliveryId) {
        self.in_flight += 1;
        if let Some(hold) = &mut self.hold
            && self.trial.is_none()
        {
            self.trial = Some(delivery);
            hold.last_position = delivery.0;
            hold.turn = match hold.turn {
                Turn::New => Turn::Oldest,
                Turn::Oldest => Turn::New,
            };
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
        let throttled = matches!(fault, Fault::Endpoint { throttled: true });
        let refused = throttled && ended.started >= self.halved;
        let halved = refused && self.halve(ceiling, now);
        let asked = if throttled { ended.retry_after.min(policy.max) } else { Duration::ZERO };
        if let Some(hold) = &mut self.hold {
            if ended.is_alone && fault == Fault::Event && !hold.answered {
                // It had given no answer, and gives one again: what is wrong now is the event.
                self.end_hold(now);
                return Learnt { changed: true, ..Learnt::default() };
            }
            if ended.is_ours {
                hold.counted = now;
            } else {
                hold.count(now);
            }
            if self.trial == Some(ended.delivery) {
                let doubled = Duration::from_millis(hold.interval_ms.saturating_mul(2));
                let interval = doubled.min(policy.max_interval);
                hold.interval_ms = millis(interval);
                hold.next_trial = now.plus(interval);
            }
            hold.next_trial = hold.next_trial.max(now.plus(asked));
            return Learnt { changed: true, refused, ..Learnt::default() };
        }
        if refused && std::mem::take(&mut self.served) {
            self.excused = now;
        }
        // Those that were refused together by an endpoint that takes something were refused once;
        // one that takes nothing is as dead as any.
        let together = throttled && !refused && ended.started < self.excused;
        let tells = !together && (fault != Fault::Event || !ended.stands_out);
        let after = usize::try_from(policy.after).unwrap_or(FAILURES_MAX).clamp(1, FAILURES_MAX);
        if tells {
            self.failures.push_back((ended.delivery, fault != Fault::Event));
        }
        while self.failures.len() > after {
            self.failures.pop_front();
        }
        let holds = !asked.is_zero() || (self.failures.len() >= after && self.tell_of_endpoint());
        if holds {
            self.hold(ended.delivery.0, policy, asked, now);
        }
        let held = holds.then_some(Held { since: now, asked });
        Learnt { changed: holds || halved, refused, held, recovered: None }
    }

    /// Begins a hold. An endpoint that says how long is taken at its word first.
    fn hold(&mut self, position: i64, policy: &HoldPolicy, asked: Duration, now: Micros) {
        let pause = if asked.is_zero() { policy.interval } else { asked };
        let answered = self.failures.iter().any(|(_, endpoint)| !endpoint);
        self.failures.clear();
        self.state = State::Holding;
        self.failing_since.get_or_insert(now);
        self.hold = Some(Hold {
            answered,
            since: now,
            served_us: 0,
            counted: now,
            interval_ms: millis(pause.min(policy.interval)),
            next_trial: now.plus(pause),
            turn: Turn::New,
            last_position: position,
        });
    }

    /// Whether the failures in a row are of two events, or of one that got no proper answer.
    fn tell_of_endpoint(&self) -> bool {
        let first = self.failures.front().map(|(delivery, _)| *delivery);
        self.failures.iter().any(|(delivery, _)| Some(*delivery) != first)
            || self.failures.iter().all(|(_, endpoint)| *endpoint)
    }

    fn succeed(&mut self, ceiling: usize, now: Micros) -> Learnt {
        self.successes += 1;
        self.served = true;
        self.failures.clear();
        let held = self.end_hold(now);
        let recovered = self.failing_since.take().or(held);
        let risen = self.permitted.is_some_and(|permitted| self.rise(permitted, ceiling));
        Learnt { changed: risen || recovered.is_some(), recovered, ..Learnt::default() }
    }

    /// Ends a hold, to reopen; answers when it began.
    fn end_hold(&mut self, now: Micros) -> Option<Micros> {
        let hold = self.hold.take()?;
        self.stood_still_us += now.0.saturating_sub(hold.since.0).max(0);
        self.state = State::Reopening;
        self.permitted = Some(1);
        self.round = 0;
        Some(hold.since)
    }

    /// One more for each success doubles with every round; one more a round adds.
    fn rise(&mut self, permitted: usize, ceiling: usize) -> bool {
        self.round += 1;
        let rises = self.state == State::Reopening || self.round >= permitted;
        if rises {
            self.permitted = Some(permitted + 1);
            self.round = 0;
        }
        if permitted + 1 >= ceiling {
            self.permitted = None;
            self.state = State::Open;
        }
        rises || self.permitted.is_none()
    }

    /// Halves what is permitted. Answers whether it did.
    fn halve(&mut self, ceiling: usize, now: Micros) -> bool {
        let before = self.permitted;
        self.permitted = Some((before.unwrap_or(ceiling).min(ceiling) / 2).max(1));
        self.halved = now;
        self.round = 0;
        if self.hold.is_none() {
            self.state = State::Open;
        }
        self.permitted != before
    }

    /// Whether a hold has lasted too long; time when the relay was down does not count, as far as
    /// it is known: from the last failure saved to the next start.
    #[must_use]
    pub fn is_given_up(&self, policy: &HoldPolicy, now: Micros) -> bool {
        self.hold.as_ref().is_some_and(|hold| {
            let saved = Duration::from_micros(u64::try_from(hold.served_us).unwrap_or(0));
            saved + now.since(hold.counted) >= policy.give_up_after
        })
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

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
