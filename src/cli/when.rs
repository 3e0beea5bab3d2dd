//! A time as people give it to a command.

use std::time::Duration;

use probes::period::Period;

use crate::event::Micros;

/// The longest time from now that is meant: a thousand years.
const AWAY_MAX: Duration = Duration::from_hours(1_000 * 365 * 24);

/// A time, or how long from now.
#[derive(Debug, Clone, Copy)]
pub(super) enum When {
    At(Micros),
    In(Period),
}

impl When {
    /// Reads `10m` or RFC 3339; `None`: it is neither, or further away than any year there is.
    pub(super) fn read(text: &str) -> Option<Self> {
        let period = text.parse().ok().filter(|period: &Period| period.0 <= AWAY_MAX);
        period.map(Self::In).or_else(|| text.parse().map(Self::At).ok())
    }

    /// The moment that is meant.
    pub(super) fn from(self, now: Micros) -> Micros {
        match self {
            Self::At(moment) => moment,
            Self::In(period) => now.plus(period.0),
        }
    }
}
