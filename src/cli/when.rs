//! A time as people give it to a command.

use probes::period::Period;

use crate::event::Micros;

/// A time, or how long from now.
#[derive(Debug, Clone, Copy)]
pub(super) enum When {
    At(Micros),
    In(Period),
}

impl When {
    /// Reads `10m` or RFC 3339; `None`: it is neither.
    pub(super) fn read(text: &str) -> Option<Self> {
        text.parse().map(Self::In).ok().or_else(|| text.parse().map(Self::At).ok())
    }

    /// The moment that is meant.
    pub(super) fn from(self, now: Micros) -> Micros {
        match self {
            Self::At(moment) => moment,
            Self::In(period) => now.plus(period.0),
        }
    }
}
