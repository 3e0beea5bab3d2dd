//! Places in a topic: versions, epochs and the cursors made of both.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The place of an event in its topic: 1, 2, 3, … without a gap; 0 is "before the first".
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Version(pub u64);

impl Version {
    /// Before the first event of a topic.
    pub const ZERO: Self = Self(0);
    /// The largest version a topic can reach (2^40 − 1).
    pub const MAX: Self = Self((1 << 40) - 1);

    /// The version after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The version before this one, or zero.
    #[must_use]
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Version {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        // `u64::from_str` takes a plus sign, which is no version.
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        match text.parse() {
            Ok(number) if digits && number <= Self::MAX.0 => Ok(Self(number)),
            _ => Err(CursorError { given: text.chars().take(60).collect() }),
        }
    }
}

/// One unbroken history of a topic; a new one begins when history may have been cut.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u32);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A position as it leaves the relay: `EPOCH-VERSION`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// The epoch that the version belongs to.
    pub epoch: Epoch,
    /// The last version that was looked at.
    pub version: Version,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.version)
    }
}

/// Why a text is neither a cursor nor a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is neither a version (a number, as `42`) nor a cursor (as `0a1b2c3d-42`)")]
pub struct CursorError {
    given: String,
}

/// What a reader gives as a position: a cursor, or a bare version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Position {
    /// The epoch the reader believes in; a bare version names none.
    pub epoch: Option<Epoch>,
    /// The version.
    pub version: Version,
}

impl FromStr for Position {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let wrong = || CursorError { given: text.chars().take(60).collect() };
        let Some((epoch, version)) = text.split_once('-') else {
            return Ok(Self { epoch: None, version: text.parse()? });
        };
        let hex = epoch.len() == 8
            && epoch.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let epoch = u32::from_str_radix(epoch, 16).ok().filter(|_| hex).ok_or_else(wrong)?;
        let version = version.parse().map_err(|_: CursorError| wrong())?;
        Ok(Self { epoch: Some(Epoch(epoch)), version })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_versions_or_cursors() {
        let bare: Position = "42".parse().unwrap();
        assert_eq!(bare, Position { epoch: None, version: Version(42) });
        let cursor: Position = "0a1b2c3d-42".parse().unwrap();
        assert_eq!(cursor, Position { epoch: Some(Epoch(0x0a1b_2c3d)), version: Version(42) });
        let written = Cursor { epoch: Epoch(0x0a1b_2c3d), version: Version(42) };
        assert_eq!(written.to_string(), "0a1b2c3d-42");
        for bad in
            ["", "-", "+1", "1.0", "abc", "0A1B2C3D-4", "0a1b2c3-4", "0a1b2c3d-", "99999999999999"]
        {
            assert!(bad.parse::<Position>().is_err(), "{bad}");
        }
    }
}
