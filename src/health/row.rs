//! The health of an endpoint as it is stored and shown.

use serde::Serialize;

use super::{Health, HoldCause, State};
use crate::{clock::Clock, event::Micros};

/// How an endpoint is doing, for a person.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct HealthView {
    state: State,
    /// Since when it is on hold; null: it is not.
    since: Option<String>,
    /// Why it is on hold; null: it is not.
    reason: Option<HoldReason>,
    /// When it is tried next.
    next_trial: Option<String>,
    /// The most that may be in flight; null: what the settings say.
    in_flight_max: Option<usize>,
}

/// Why an endpoint is on hold.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct HoldReason {
    /// `failing`, `asked_to_wait`, or `ours`: the endpoint is not to blame.
    pub code: HoldCause,
    /// The same for a person.
    pub text: &'static str,
}

impl From<HoldCause> for HoldReason {
    fn from(code: HoldCause) -> Self {
        Self { code, text: code.text() }
    }
}

/// A hold at a glance.
#[derive(Debug, Clone)]
pub struct Holding {
    /// Since when.
    pub since: Micros,
    /// When one event is tried next.
    pub next_trial: Micros,
    /// Why it began.
    pub reason: HoldReason,
}

impl Health {
    /// The health as it was stored, served again from now on; what cannot be read is taken for a
    /// good one.
    #[must_use]
    pub fn load(text: Option<&str>, clock: &Clock) -> Self {
        let mut health = Self::read(text);
        let reading = clock.read();
        health.shift(reading.of_stored(health.saved));
        if let Some(hold) = &mut health.hold {
            hold.counted = reading.steady;
        }
        health
    }

    /// The health as it was stored, to be shown.
    #[must_use]
    pub fn read(text: Option<&str>) -> Self {
        text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    /// The health as it is to be stored.
    ///
    /// # Panics
    /// Never: JSON takes all that it consists of.
    #[must_use]
    pub fn stored(&self, clock: &Clock) -> String {
        let mut stored = self.clone();
        let reading = clock.read();
        stored.shift(reading.to_store());
        stored.saved = reading.wall;
        serde_json::to_string(&stored).expect("numbers and words")
    }

    /// Moves what it knows of moments by so many microseconds: from one clock to another.
    fn shift(&mut self, by_us: i64) {
        if let Some(hold) = &mut self.hold {
            hold.since = hold.since.shifted(by_us);
            hold.next_trial = hold.next_trial.shifted(by_us);
        }
        self.failing_since = self.failing_since.map(|since| since.shifted(by_us));
    }

    /// What the endpoint is doing, in a word.
    #[must_use]
    pub fn word(&self) -> &'static str {
        self.state.into()
    }

    /// The health as it is shown.
    #[must_use]
    pub fn view(&self) -> HealthView {
        let hold = self.hold.as_ref();
        HealthView {
            state: self.state,
            since: hold.map(|hold| hold.since.to_string()),
            reason: hold.map(|hold| hold.cause.into()),
            next_trial: hold.map(|hold| hold.next_trial.to_string()),
            in_flight_max: self.limit.permitted,
        }
    }

    /// The hold, if there is one.
    #[must_use]
    pub fn holding(&self) -> Option<Holding> {
        let hold = self.hold.as_ref()?;
        let (since, next_trial) = (hold.since, hold.next_trial);
        Some(Holding { since, next_trial, reason: hold.cause.into() })
    }
}
