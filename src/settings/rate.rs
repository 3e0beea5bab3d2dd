//! So many events in a time, as `100/s`.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

/// At most so many events in a second, a minute or an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rate {
    count: u32,
    unit: char,
}

/// Why a text is not a [`Rate`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{given}` is not a rate: expected 1 to 1000000 events per second, minute or hour, as `100/s`, `20/m` or `5/h`"
)]
pub struct RateError {
    given: String,
}

impl Rate {
    /// What `count` may be at most.
    const COUNT_MAX: u32 = 1_000_000;

    /// Events in a second.
    #[must_use]
    pub fn per_second(self) -> f64 {
        f64::from(self.count) / self.unit().as_secs_f64()
    }

    /// So many events a second, `count` at least 1.
    #[must_use]
    pub fn each_second(count: u32) -> Self {
        Self { count: count.clamp(1, Self::COUNT_MAX), unit: 's' }
    }

    const fn unit(self) -> Duration {
        match self.unit {
            's' => Duration::from_secs(1),
            'm' => Duration::from_mins(1),
            _ => Duration::from_hours(1),
        }
    }
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let wrong = || RateError { given: text.chars().take(60).collect() };
        let (count, unit) = text.split_once('/').ok_or_else(wrong)?;
        let digits = !count.is_empty() && count.bytes().all(|b| b.is_ascii_digit());
        let count =
            count.parse().ok().filter(|count| digits && (1..=Self::COUNT_MAX).contains(count));
        let unit = match unit {
            "s" => 's',
            "m" => 'm',
            "h" => 'h',
            _ => return Err(wrong()),
        };
        Ok(Self { count: count.ok_or_else(wrong)?, unit })
    }
}

impl TryFrom<String> for Rate {
    type Error = RateError;

    fn try_from(text: String) -> Result<Self, RateError> {
        text.parse()
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> Self {
        rate.to_string()
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, self.unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_and_written() {
        for (text, per_second) in [("100/s", 100.0), ("30/m", 0.5), ("3600/h", 1.0)] {
            let rate: Rate = text.parse().unwrap();
            assert!((rate.per_second() - per_second).abs() < 1e-9, "{text}");
            assert_eq!(rate.to_string(), text);
        }
        for bad in ["", "100", "0/s", "-1/s", "+1/s", "1/d", "1.5/s", "1000001/s", "/s"] {
            assert!(bad.parse::<Rate>().is_err(), "{bad}");
        }
    }
}
