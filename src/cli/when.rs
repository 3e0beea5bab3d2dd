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

    /// The moment that is meant by a time, or by how long ago it is.
    pub(super) fn before(self, now: Micros) -> Micros {
        match self {
            Self::At(moment) => moment,
            Self::In(period) => now.minus(period.0),
        }
    }
}

/// A moment of the past as the API takes it: `10m` is so long before `now`; anything else is the API's to
/// judge, whose error names what was expected.
pub(super) fn past(text: &str, now: Micros) -> String {
    text.parse::<Period>()
        .map_or_else(|_| text.to_owned(), |period| now.minus(period.0).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_is_before_now() {
        let now: Micros = "2026-01-31T12:00:00Z".parse().unwrap();
        let then: Micros = past("10m", now).parse().unwrap();
        assert_eq!(then, now.minus(std::time::Duration::from_mins(10)));
        assert_eq!(past("2026-01-31T12:00:00Z", now), "2026-01-31T12:00:00Z");
        assert_eq!(past("soon", now), "soon");
    }
}
