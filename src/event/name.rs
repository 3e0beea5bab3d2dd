//! Names, and patterns of them.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

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
    /// Every topic but those of the relay itself: `*`.
    #[must_use]
    pub fn any() -> Self {
        Self("*".into())
    }

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

    /// Whether it means every topic that `other` means: a star of `other` is taken in by a star here.
    #[must_use]
    pub fn includes(&self, other: &Self) -> bool {
        let reserved = |pattern: &Self| pattern.0.starts_with(Name::RESERVED_PREFIX);
        (!reserved(other) || reserved(self)) && glob(self.0.as_bytes(), other.0.as_bytes())
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
    fn a_pattern_includes_what_means_less() {
        let includes = |pattern: &str, other: &str| {
            pattern.parse::<TopicPattern>().unwrap().includes(&other.parse().unwrap())
        };
        for (pattern, other, expected) in [
            ("orders", "orders", true),
            ("orders", "order*", false),
            ("*", "orders", true),
            ("*", "*", true),
            ("*", "a*b*", true),
            ("a*", "*", false),
            ("billing.*", "billing.eu.*", true),
            ("billing.*", "billing*", false),
            ("*.eu", "billing.*", false),
            ("*.eu", "*.b.eu", true),
            ("a*c", "ac*", false),
            ("*", "milkrun.*", false),
            ("milkrun.*", "milkrun.notices", true),
        ] {
            assert_eq!(includes(pattern, other), expected, "{pattern} {other}");
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
}
