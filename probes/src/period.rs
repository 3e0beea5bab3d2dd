//! Lengths of time as people write them: `500ms`, `30s`, `2m`, `24h`, `30d`.

use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A length of time, written as a whole number and a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Period(pub Duration);

/// Why a text is no [`Period`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{given}` is no length of time: expected a whole number and one of ms, s, m, h, d, as in `500ms`, `30s`, `2m`, `24h`, `30d`"
)]
pub struct PeriodError {
    given: String,
}

/// Units and their milliseconds, the longest first so that writing finds the shortest text.
const UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl FromStr for Period {
    type Err = PeriodError;

    fn from_str(text: &str) -> Result<Self, PeriodError> {
        let wrong = || PeriodError { given: text.chars().take(40).collect() };
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit.trim()).ok_or_else(wrong)?;
        number.checked_mul(*factor).map(|ms| Self(Duration::from_millis(ms))).ok_or_else(wrong)
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        let (unit, factor) = UNITS
            .iter()
            .find(|(_, factor)| ms > 0 && ms.is_multiple_of(*factor))
            .copied()
            .unwrap_or(("s", 1_000));
        write!(f, "{}{unit}", ms / factor)
    }
}

impl From<Period> for Duration {
    fn from(period: Period) -> Self {
        period.0
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Period {
    fn schema_name() -> Cow<'static, str> {
        "Period".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[0-9]+ *(ms|s|m|h|d)$",
            "description": "A length of time, as 500ms, 30s, 2m, 24h or 30d"
        })
    }
}

/// The schema of a [`Period`] that is more than zero.
#[derive(Debug)]
pub struct Positive;

impl JsonSchema for Positive {
    fn schema_name() -> Cow<'static, str> {
        "PositivePeriod".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^0*[1-9][0-9]* *(ms|s|m|h|d)$",
            "description": "A length of time above zero, as 500ms, 30s, 2m, 24h or 30d"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_periods() {
        for (text, ms, written) in [
            ("500ms", 500, "500ms"),
            ("30s", 30_000, "30s"),
            ("120s", 120_000, "2m"),
            ("2 m", 120_000, "2m"),
            ("24h", 86_400_000, "1d"),
            ("30d", 2_592_000_000, "30d"),
            ("0s", 0, "0s"),
        ] {
            let period: Period = text.parse().unwrap();
            assert_eq!(period.0, Duration::from_millis(ms), "{text}");
            assert_eq!(period.to_string(), written);
        }
        for bad in ["", "30", "s", "-1s", "1.5s", "1w", "30S", "99999999999999999d", "1s2"] {
            assert!(bad.parse::<Period>().is_err(), "{bad}");
        }
    }
}
