//! The items at a cursor's edge: what a walk knows of those before it.

use std::{collections::HashSet, hash::Hasher as _};

use base64::{Engine as _, prelude::BASE64_STANDARD_NO_PAD};
use serde::{Deserialize, Serialize};
use siphasher::sip128::{Hasher128 as _, SipHasher13};

/// The most items that the edge of a cursor remembers.
pub(super) const EDGE_MAX: usize = 10_000;

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

/// The hash of a list of texts.
pub(super) fn hash_all<'a>(texts: impl Iterator<Item = &'a str>) -> u128 {
    let mut hasher = SipHasher13::new();
    texts.for_each(|text| {
        // With its length: where one text ends and the next begins counts.
        hasher.write(&text.len().to_be_bytes());
        hasher.write(text.as_bytes());
    });
    hasher.finish128().as_u128()
}
