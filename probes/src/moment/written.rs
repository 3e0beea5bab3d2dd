//! A time as it is written, and the moment that it is at an offset or in a zone.

use jiff::{
    SignedDuration,
    civil::DateTime,
    tz::{AmbiguousOffset, TimeZone},
};

use super::{EPOCH, Moment, Offset, Problem};

pub(super) const NO_OFFSET: &str = "has an offset that cannot be: expected -23:59 to +23:59";
pub(super) const NO_ZONE: &str =
    "has no zone: expected `Z` or an offset as +01:00, or set `zone`, for instance `zone: UTC`";
pub(super) const OUTSIDE: &str = "is outside of the years 0000 to 9999";

/// An offset as it was given.
#[derive(Debug, Clone, Copy)]
pub(super) enum Given {
    Zulu,
    Unknown,
    Seconds(i32),
}

impl Given {
    pub(super) const fn seconds(self) -> i32 {
        match self {
            Self::Zulu | Self::Unknown => 0,
            Self::Seconds(seconds) => seconds,
        }
    }

    pub(super) fn shown(self) -> Offset {
        match self {
            Self::Zulu => Offset::Zulu,
            Self::Unknown => Offset::Unknown,
            Self::Seconds(seconds) => Offset::of_seconds(seconds),
        }
    }
}

/// Date and time as they are written, and how many digits the second's fraction has.
pub(super) struct Written {
    pub(super) local: DateTime,
    pub(super) digits: u8,
}

impl Written {
    /// The moment when it is this time at an offset.
    pub(super) fn at(&self, offset: Given) -> Result<Moment, Problem> {
        self.moment(offset.seconds(), offset.shown())
    }

    /// The moment when it is this time in `zone`.
    pub(super) fn within(&self, zone: &TimeZone) -> Result<Moment, Problem> {
        let (counted, shown) = match zone.to_ambiguous_timestamp(self.local).offset() {
            AmbiguousOffset::Unambiguous { offset } => (offset, offset),
            AmbiguousOffset::Fold { before, .. } => (before, before),
            AmbiguousOffset::Gap { before, after } => (before, after),
        };
        self.moment(counted.seconds(), Offset::of(zone, shown.seconds()))
    }

    /// The same, where the zone may not be known.
    pub(super) fn within_given(&self, zone: Option<&TimeZone>) -> Result<Moment, Problem> {
        zone.map_or_else(|| Err(NO_ZONE.into()), |zone| self.within(zone))
    }

    fn moment(&self, seconds: i32, shown: Offset) -> Result<Moment, Problem> {
        if !shown.is_rfc3339() {
            return Err(NO_OFFSET.into());
        }
        let nanos = (self.local.duration_since(EPOCH) - SignedDuration::from_secs(seconds.into()))
            .as_nanos();
        Moment::checked(nanos, shown, self.digits).ok_or_else(|| OUTSIDE.into())
    }
}
