//! Plain data: names, versions, epochs, cursors, times and the event itself.
//!
//! A value of these types is valid by construction; nothing here does input or output.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

mod data;
mod micros;

pub use self::{data::Data, micros::Micros};

/// The name of a topic, source or subscription: `[a-z0-9][a-z0-9._-]{0,99}`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Arc<str>);

/// The name of a topic.
pub type Topic = Name;

/// Why a text is not a [`Name`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{given}` is not a name: expected 1 to 100 of a-z, 0-9, `.`, `_`, `-`, beginning with a letter or digit"
)]
pub struct NameError {
    given: String,
}

impl Name {
    /// Names that begin so belong to the relay itself.
    pub const RESERVED_PREFIX: &'static str = "milkrun.";

    /// The topic of what the relay has to say of itself.
    #[must_use]
    pub fn notices() -> Self {
        Self("milkrun.notices".into())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether only the relay itself may create something of this name.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with(Self::RESERVED_PREFIX)
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let valid = text.len() <= 100
            && text.bytes().next().is_some_and(inner)
            && text.bytes().all(|b| inner(b) || matches!(b, b'.' | b'_' | b'-'));
        if valid {
            Ok(Self(text.into()))
        } else {
            Err(NameError { given: text.chars().take(120).collect() })
        }
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// A topic's name, or a pattern of names: `*` stands for one character or more, dots included.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TopicPattern(Arc<str>);

/// Why a text is not a [`TopicPattern`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{given}` is neither a topic nor a pattern: expected 1 to 100 of a-z, 0-9, `.`, `_`, `-` and `*`, as `billing.*`"
)]
pub struct PatternError {
    given: String,
}

impl TopicPattern {
    /// The pattern as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The topic, when it is one name and no pattern.
    #[must_use]
    pub fn topic(&self) -> Option<Topic> {
        self.0.parse().ok()
    }

    /// Whether a topic is meant. Reserved ones only when the pattern itself begins as they do.
    #[must_use]
    pub fn matches(&self, topic: &Topic) -> bool {
        let open = !topic.is_reserved() || self.0.starts_with(Name::RESERVED_PREFIX);
        open && glob(self.0.as_bytes(), topic.as_str().as_bytes())
    }
}

/// Whether `text` is `pattern` with one character or more in the place of each `*`. A star that was
/// passed is tried again further on, and only the last one, so the work is bounded by the product
/// of the lengths.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut from) = (0, 0);
    let mut star = None;
    while from < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, from));
                (at, from) = (at + 1, from + 1);
            }
            Some(letter) if *letter == text[from] => (at, from) = (at + 1, from + 1),
            _ => {
                let Some((again, passed)) = star else { return false };
                star = Some((again, passed + 1));
                (at, from) = (again + 1, passed + 2);
                if from > text.len() {
                    return false;
                }
            }
        }
    }
    at == pattern.len()
}

impl FromStr for TopicPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        // With its stars filled in it has to be a name.
        if text.len() <= 100 && text.replace('*', "a").parse::<Name>().is_ok() {
            Ok(Self(text.into()))
        } else {
            Err(PatternError { given: text.chars().take(120).collect() })
        }
    }
}

impl TryFrom<String> for TopicPattern {
    type Error = PatternError;

    fn try_from(text: String) -> Result<Self, PatternError> {
        text.parse()
    }
}

impl From<TopicPattern> for String {
    fn from(pattern: TopicPattern) -> Self {
        pattern.0.as_ref().to_owned()
    }
}

impl From<Topic> for TopicPattern {
    fn from(topic: Topic) -> Self {
        Self(topic.0)
    }
}

impl fmt::Display for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

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

/// A draft that the log accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its place in the topic.
    pub version: Version,
    /// The epoch of that version.
    pub epoch: Epoch,
    /// When the log accepted it; never below its predecessor's.
    pub recorded: Micros,
    /// Its CloudEvents attributes but `specversion` and those the relay adds: the text of one
    /// JSON object without white space, written once at admission and kept byte for byte.
    pub attributes: Arc<str>,
    /// The producer's bytes.
    pub data: Data,
}

impl Event {
    /// What the event counts for against limits: its attributes and data.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.attributes.len() + self.data.bytes().len()
    }

    /// The event's own cursor.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        Cursor { epoch: self.epoch, version: self.version }
    }

    /// The text of the attribute `name`, if the event has it; numbers and booleans as JSON writes
    /// them.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<String> {
        attribute(&self.attributes, name)
    }

    /// The ordering key: `partitionkey`, else `subject`.
    #[must_use]
    pub fn key(&self) -> Option<String> {
        self.attribute("partitionkey").or_else(|| self.attribute("subject"))
    }
}

/// The text of the attribute `name` in an encoded object; see [`Event::attribute`].
#[must_use]
pub fn attribute(object: &str, name: &str) -> Option<String> {
    let fields: std::collections::HashMap<String, serde_json::Value> =
        serde_json::from_str(object).ok()?;
    match fields.get(name)? {
        serde_json::Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for good in ["a", "0", "orders", "billing.eu-1_x", &"a".repeat(100)] {
            assert_eq!(good.parse::<Name>().unwrap().as_str(), good);
        }
        for bad in ["", "A", ".a", "-a", "a b", "ä", "a/b", &"a".repeat(101)] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
    }

    #[test]
    fn patterns_match_topics() {
        let matches = |pattern: &str, topic: &str| {
            pattern.parse::<TopicPattern>().unwrap().matches(&topic.parse().unwrap())
        };
        for (pattern, topic, expected) in [
            ("orders", "orders", true),
            ("orders", "orders2", false),
            ("billing.*", "billing.eu", true),
            ("billing.*", "billing.eu.x", true),
            ("billing.*", "billing.", false),
            ("*", "orders", true),
            ("*", "milkrun.notices", false),
            ("milkrun.*", "milkrun.notices", true),
            ("*.eu", "a.eu.eu", true),
            ("a*b*c", "axbxbxc", true),
            ("a*b*c", "abc", false),
            ("a**", "ab", false),
            ("*a", "aa", true),
            ("*a", "ba.b", false),
        ] {
            assert_eq!(matches(pattern, topic), expected, "{pattern} {topic}");
        }
        for bad in ["", "A*", ".*", "a b*", &"*".repeat(101)] {
            assert!(bad.parse::<TopicPattern>().is_err(), "{bad}");
        }
        assert_eq!("a.*".parse::<TopicPattern>().unwrap().topic(), None);
    }

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

    #[test]
    fn attributes_are_read_from_their_text() {
        let text = r#"{"id":"a\"b","source":"s","n":5}"#;
        assert_eq!(attribute(text, "id").as_deref(), Some("a\"b"));
        assert_eq!(attribute(text, "n").as_deref(), Some("5"));
        assert_eq!(attribute(text, "none"), None);
    }
}
