//! Moments as the store keeps them.

use std::{fmt, str::FromStr};

use probes::moment::{Moment, MomentError, Reading, Unit};
use serde::{Deserialize, Serialize};

/// A moment: microseconds since 1970-01-01T00:00:00Z.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Micros(pub i64);

impl Micros {
    /// As probes take it; 1970 for what is no timestamp.
    #[must_use]
    pub fn timestamp(self) -> jiff::Timestamp {
        jiff::Timestamp::from_microsecond(self.0).unwrap_or_default()
    }

    /// This moment and `duration` later, saturating.
    #[must_use]
    pub fn plus(self, duration: std::time::Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// This moment and `duration` earlier, saturating.
    #[must_use]
    pub fn minus(self, duration: std::time::Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// This moment moved by so many microseconds, saturating.
    #[must_use]
    pub const fn shifted(self, by_us: i64) -> Self {
        Self(self.0.saturating_add(by_us))
    }

    /// How long after `earlier` this is; zero when it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> std::time::Duration {
        std::time::Duration::from_micros(
            u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0),
        )
    }

    /// Whole seconds since 1970.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }
}

impl fmt::Display for Micros {
    /// RFC 3339 in UTC.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(moment) => write!(f, "{moment:.6}"),
            // The last day of the year 9999 is no timestamp, but a moment.
            Err(_) => match Moment::of_number(&self.0.to_string(), Unit::Us) {
                Ok(moment) => f.write_str(&moment.rfc3339()),
                Err(_) => write!(f, "{} µs", self.0),
            },
        }
    }
}

impl FromStr for Micros {
    type Err = MomentError;

    /// A time as people and programs write it, with a zone; what is smaller than a microsecond is
    /// cut.
    fn from_str(text: &str) -> Result<Self, MomentError> {
        let nanos = Moment::read(text, &Reading::default())?.nanos();
        // The years that a moment can have fit well.
        Ok(Self(i64::try_from(nanos.div_euclid(1_000)).unwrap_or(i64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_and_written() {
        for (text, written) in [
            ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00.000000Z"),
            ("2026-01-31 13:00:00.1234567 +0100", "2026-01-31T12:00:00.123456Z"),
            ("1969-12-31T23:59:59.9999999Z", "1969-12-31T23:59:59.999999Z"),
            ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
        ] {
            let moment: Micros = text.parse().unwrap();
            assert_eq!(moment.to_string(), written);
            assert_eq!(moment.to_string().parse(), Ok(moment));
        }
        for bad in ["", "2026-01-31T12:00:00", "2026-01-31T12:00:00 01:00", "now", "5"] {
            assert!(bad.parse::<Micros>().is_err(), "{bad}");
        }
    }
}
