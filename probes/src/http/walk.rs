//! What is remembered between two walks ([`Place`], the cursor) and between two pages ([`Mark`]).

use std::{collections::HashSet, hash::Hasher as _};

use base64::{Engine as _, prelude::BASE64_STANDARD_NO_PAD};
use serde::{Deserialize, Serialize};
use siphasher::sip128::{Hasher128 as _, SipHasher13};

use super::rules::Lost;

/// The most items that the edge of a cursor remembers.
pub(super) const EDGE_MAX: usize = 10_000;

/// The cursor: all that a walk needs to know of those before it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Place {
    /// The value of the cursor rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) value: Option<String>,
    /// Items seen at or above the edge.
    #[serde(skip_serializing_if = "Edge::is_empty")]
    pub(super) edge: Edge,
    /// Items older than this moment were never wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) validators: Option<Validators>,
    /// How often in a row the producer refused it.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) refused: u8,
    /// Whether its loss was announced.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) announced: bool,
    /// The configuration that the validators belong to.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) config: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_zero(count: &u8) -> bool {
    *count == 0
}

impl Place {
    /// Reads a cursor; what is not one that a walk made is the bare value an operator gave.
    pub(super) fn read(text: &str) -> Self {
        let bare = |value: String| Self { value: Some(value), ..Self::default() };
        match serde_json::from_str(text) {
            Ok(place) => place,
            Err(_) => bare(serde_json::from_str(text).unwrap_or_else(|_| text.to_owned())),
        }
    }

    pub(super) fn write(&self) -> String {
        // Texts and numbers only: this cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// What one exact request was answered with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Validators {
    /// Identifies the request.
    pub(super) request: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) etag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) modified: Option<String>,
}

/// Where a walk is; its parameters stay as they were when it began.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Mark {
    /// The query parameter made of the cursor.
    pub(super) sent: Option<(String, String)>,
    /// How the next page is asked for; nothing more for the first.
    pub(super) step: Option<Step>,
    /// Pages read.
    pub(super) pages: u32,
    /// Items read.
    pub(super) items: u64,
    /// Fingerprints of the pages read.
    pub(super) seen: Vec<String>,
    /// The value of the cursor rule so far.
    pub(super) value: Option<String>,
    /// Items older than this moment are not wanted.
    pub(super) since: Option<String>,
    /// Items seen so far.
    pub(super) edge: Edge,
    /// How many of them are the first page's.
    pub(super) first_edge: usize,
    /// Whether the edge was larger than may be remembered.
    pub(super) overflow: bool,
    /// Of the first page.
    pub(super) validators: Option<Validators>,
    /// Items that were known.
    pub(super) known: usize,
    /// Items older than the cursor.
    pub(super) old: usize,
    /// Items that were new.
    pub(super) fresh: usize,
    /// New items below the cursor, within the overlap.
    pub(super) late: usize,
    /// Whether nothing of this walk is wanted (`start: now`).
    pub(super) skip: bool,
    /// The cursor was refused, and the walk goes without it.
    pub(super) lost: Option<Lost>,
}

/// How the next page is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Step {
    /// At this URL, kept without secrets.
    Url(String),
    /// With this query parameter.
    Query(String, String),
}

impl Mark {
    /// What the walk takes as known of the walks before it.
    pub(super) fn prior(&self, place: Place) -> Place {
        match self.lost {
            None => place,
            Some(Lost::FullWalk) => Place { edge: place.edge, ..Place::default() },
            Some(_) => Place::default(),
        }
    }
}

/// Items by the 128-bit hash of their identity, with the field they are ordered by where the
/// cursor has one.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub(super) struct Edge(pub(super) Vec<(u128, Option<String>)>);

/// The hashes in one text, which takes two thirds of a list's room.
#[derive(Serialize, Deserialize)]
struct Written {
    hashes: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    at: Vec<Option<String>>,
}

impl From<Edge> for Written {
    fn from(edge: Edge) -> Self {
        let bytes: Vec<u8> = edge.0.iter().flat_map(|(hash, _)| hash.to_be_bytes()).collect();
        let ordered = edge.0.iter().any(|(_, at)| at.is_some());
        Self {
            hashes: BASE64_STANDARD_NO_PAD.encode(bytes),
            at: if ordered { edge.0.into_iter().map(|(_, at)| at).collect() } else { Vec::new() },
        }
    }
}

impl TryFrom<Written> for Edge {
    type Error = base64::DecodeError;

    fn try_from(written: Written) -> Result<Self, base64::DecodeError> {
        let bytes = BASE64_STANDARD_NO_PAD.decode(written.hashes)?;
        let (hashes, _) = bytes.as_chunks::<16>();
        let mut at = written.at.into_iter();
        Ok(Self(
            hashes.iter().map(|hash| (u128::from_be_bytes(*hash), at.next().flatten())).collect(),
        ))
    }
}

impl Edge {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn hashes(&self) -> HashSet<u128> {
        self.0.iter().map(|(hash, _)| *hash).collect()
    }

    /// Adds those of `other` that are not in it, as far as there is room.
    pub(super) fn join(&mut self, other: Self) {
        let known = self.hashes();
        let room = EDGE_MAX.saturating_sub(self.0.len());
        self.0.extend(other.0.into_iter().filter(|(hash, _)| !known.contains(hash)).take(room));
    }
}

/// 128 bits of some bytes.
pub(super) fn hash(bytes: &[u8]) -> u128 {
    SipHasher13::new().hash(bytes).as_u128()
}

/// The hash of texts as of one behind the other.
pub(super) fn hash_all<'a>(texts: impl Iterator<Item = &'a str>) -> u128 {
    let mut hasher = SipHasher13::new();
    texts.for_each(|text| hasher.write(text.as_bytes()));
    hasher.finish128().as_u128()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_read_as_written_or_as_bare_values() {
        let edge = Edge(vec![(1, None), (u128::MAX, Some("5".into()))]);
        let place = Place { value: Some("v".into()), edge, refused: 1, ..Place::default() };
        assert_eq!(Place::read(&place.write()), place);
        assert_eq!(Place::read("{}"), Place::default());
        for (text, value) in [
            ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
            ("\"a b\"", "a b"),
            ("42", "42"),
            ("{\"x\":1}", "{\"x\":1}"),
        ] {
            assert_eq!(Place::read(text).value.as_deref(), Some(value), "{text}");
        }
    }
}
