//! Moments as producers write them, and as CloudEvents wants them: RFC 3339 or not at all.
//!
//! What is not told by the text is never guessed: a time without a zone is refused unless the zone
//! is given, and so is `01/02/2026` unless a format says which is the month.

use std::{borrow::Cow, cmp::Ordering};

use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::number::Decimal;

mod format;
mod iso;
mod read;
#[cfg(test)]
mod tests;
mod written;

pub use self::format::{check_read_format, check_sent_format};

const NANOS_PER_S: i128 = 1_000_000_000;
const NANOS_PER_MIN: i128 = 60 * NANOS_PER_S;

/// A moment of the years 0000 to 9999, to the nanosecond, and the offset it was written with.
///
/// Two moments are equal when they are the same moment, whatever their offsets are. The last day of
/// the year 9999, which producers write for "never", lies beyond [`Timestamp`] but not beyond this.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Since 1970-01-01T00:00:00Z.
    nanos: i128,
    offset: Offset,
    /// How many digits of the second's fraction are written.
    digits: u8,
}

/// An offset from UTC as RFC 3339 writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Offset {
    /// `Z`
    Zulu,
    /// `-00:00`: the local time is not known (RFC 3339, section 4.3).
    Unknown,
    /// `+01:00`
    Minutes(i16),
}

/// What to know about a time before it is read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reading {
    /// The zone of a time that is written without one.
    pub zone: Option<TimeZone>,
    /// How it is written, as `strftime` has it; other spellings are still understood.
    pub format: Option<String>,
}

/// What a moment as a number counts since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Seconds.
    S,
    /// Milliseconds.
    Ms,
    /// Microseconds.
    Us,
    /// Nanoseconds.
    Ns,
}

/// Why something is no moment: what was given, what is wrong with it, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` {problem}")]
pub struct MomentError {
    /// At most 60 characters of it.
    given: String,
    /// Begins with a verb.
    problem: Problem,
}

type Problem = Cow<'static, str>;

impl MomentError {
    fn new(given: &str, problem: impl Into<Problem>) -> Self {
        Self { given: given.chars().take(60).collect(), problem: problem.into() }
    }
}

impl Unit {
    const ALL: [Self; 4] = [Self::S, Self::Ms, Self::Us, Self::Ns];

    /// As it is written in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::S => "s",
            Self::Ms => "ms",
            Self::Us => "us",
            Self::Ns => "ns",
        }
    }

    /// A unit has 10 to the power of so many nanoseconds.
    const fn power(self) -> i128 {
        match self {
            Self::S => 9,
            Self::Ms => 6,
            Self::Us => 3,
            Self::Ns => 0,
        }
    }
}

impl Moment {
    /// Reads a time that a producer wrote: RFC 3339, and what is written in its place.
    ///
    /// Of more than nine digits of a fraction nine are kept. The second 60 is read as 59, for most
    /// libraries cannot read it; 24:00 is the next day. A local time that a zone has twice is the
    /// first of the two; one that it skips is as much later as the clocks were put forward.
    ///
    /// # Errors
    /// Says what is missing, and which setting adds it (`zone`, `format`, `unit`).
    pub fn read(text: &str, reading: &Reading) -> Result<Self, MomentError> {
        read::read(text, reading)
    }

    /// The moment that is so many `unit`s after 1970, or before if `digits` are negative; what is
    /// smaller than a nanosecond is cut towards minus infinity. Exact: nothing is rounded.
    ///
    /// # Errors
    /// When it is no number, or outside of the years 0000 to 9999; names another unit if that gives
    /// a year from 1990 to 2100.
    pub fn of_number(digits: &str, unit: Unit) -> Result<Self, MomentError> {
        let digits = digits.trim();
        let Some(number) = Decimal::read(digits) else {
            let unit = unit.as_str();
            let problem = format!("is no number: expected a number of {unit} since 1970");
            return Err(MomentError::new(digits, problem));
        };
        let with = |unit: Unit| Self::of_nanos(number.floor_of(unit.power())?);
        with(unit).ok_or_else(|| {
            let recent = |other: &Unit| with(*other).is_some_and(|moment| moment.is_recent());
            let given = unit.as_str();
            let problem = match Unit::ALL.iter().find(|other| recent(other)) {
                Some(other) => {
                    let other = other.as_str();
                    format!("{given} since 1970 is after the year 9999: is this `{other}`?")
                }
                None => format!("{given} since 1970 is outside of the years 0000 to 9999"),
            };
            MomentError::new(digits, problem)
        })
    }

    /// The same moment, in UTC.
    #[must_use]
    pub fn from_timestamp(moment: Timestamp) -> Self {
        let nanos = moment.as_nanosecond();
        // A timestamp may be before the year 0000: that is as early as can be.
        Self::of_nanos(nanos).unwrap_or(Self { nanos: FIRST, offset: Offset::Zulu, digits: 0 })
    }

    /// The same moment, or the last one that a [`Timestamp`] can be.
    #[must_use]
    pub fn timestamp(&self) -> Timestamp {
        let nearest = if self.nanos < 0 { Timestamp::MIN } else { Timestamp::MAX };
        Timestamp::from_nanosecond(self.nanos).unwrap_or(nearest)
    }

    /// Nanoseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn nanos(&self) -> i128 {
        self.nanos
    }

    /// RFC 3339, section 5.6, with the offset and as many digits of the fraction as it came with.
    #[must_use]
    pub fn rfc3339(&self) -> String {
        use std::fmt::Write as _;

        let local = self.local().unwrap_or(EPOCH);
        let mut text = format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
            local.year(),
            local.month(),
            local.day(),
            local.hour(),
            local.minute(),
            local.second()
        );
        // Writing into a text cannot fail.
        if self.digits > 0 {
            let fraction = format!("{:09}", local.subsec_nanosecond());
            let _ = write!(text, ".{}", &fraction[..usize::from(self.digits.min(9))]);
        }
        let _ = match self.offset {
            Offset::Zulu => write!(text, "Z"),
            Offset::Unknown => write!(text, "-00:00"),
            Offset::Minutes(minutes) => {
                let sign = if minutes < 0 { '-' } else { '+' };
                let size = minutes.unsigned_abs();
                write!(text, "{sign}{:02}:{:02}", size / 60, size % 60)
            }
        };
        text
    }

    /// The same moment with the offset that `zone` has then; as it is where that would leave the
    /// years 0000 to 9999.
    #[must_use]
    pub fn in_zone(&self, zone: &TimeZone) -> Self {
        let offset = Offset::of(zone, zone.to_offset(self.timestamp()).seconds());
        Self::checked(self.nanos, offset, self.digits).unwrap_or(*self)
    }

    fn of_nanos(nanos: i128) -> Option<Self> {
        let fraction = u32::try_from(nanos.rem_euclid(NANOS_PER_S)).ok()?;
        Self::checked(nanos, Offset::Zulu, digits_of(fraction))
    }

    /// The moment, if its local time is within the years 0000 to 9999, and its offset one that can be.
    fn checked(nanos: i128, offset: Offset, digits: u8) -> Option<Self> {
        let moment = Self { nanos, offset, digits };
        let within = moment.local().is_some_and(|local| local.year() >= 0);
        (within && offset.is_rfc3339()).then_some(moment)
    }

    /// Date and time as they are written.
    fn local(&self) -> Option<DateTime> {
        let local = self.nanos + i128::from(self.offset.minutes()) * NANOS_PER_MIN;
        EPOCH.checked_add(SignedDuration::try_from_nanos_i128(local)?).ok()
    }

    fn is_recent(&self) -> bool {
        self.local().is_some_and(|local| (1990..=2100).contains(&local.year()))
    }
}

const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

/// The beginning of the year 0000.
const FIRST: i128 = -62_167_219_200 * NANOS_PER_S;

/// How many digits a fraction needs.
fn digits_of(mut nanos: u32) -> u8 {
    let mut digits = 9;
    while digits > 0 && nanos.is_multiple_of(10) {
        nanos /= 10;
        digits -= 1;
    }
    digits
}

impl Offset {
    const fn minutes(self) -> i16 {
        match self {
            Self::Zulu | Self::Unknown => 0,
            Self::Minutes(minutes) => minutes,
        }
    }

    /// Whether it is within -23:59 to +23:59 (RFC 3339, section 5.6).
    const fn is_rfc3339(self) -> bool {
        self.minutes().unsigned_abs() < 24 * 60
    }

    /// The nearest whole minute, for RFC 3339 has no seconds in an offset; the moment stays.
    fn of_seconds(seconds: i32) -> Self {
        Self::Minutes(i16::try_from((seconds + 30).div_euclid(60)).unwrap_or(0))
    }

    fn of(zone: &TimeZone, seconds: i32) -> Self {
        let is_utc = *zone == TimeZone::UTC
            || matches!(zone.iana_name(), Some("UTC" | "Etc/UTC" | "Zulu" | "Etc/Zulu"));
        if is_utc { Self::Zulu } else { Self::of_seconds(seconds) }
    }
}

impl Ord for Moment {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl PartialOrd for Moment {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Moment {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Moment {}
