//! What each id last looked like, so that `emit: every_change` sees a change back as a change.

use std::collections::HashMap;

use base64::{Engine as _, prelude::BASE64_STANDARD_NO_PAD};
use serde::{Deserialize, Serialize};

use super::edge::EDGE_MAX;

/// Bytes of one entry as it is stored: id, content, count.
const ENTRY_BYTES: usize = 16 + 8 + 4;

/// The last content of the ids seen last, at most [`EDGE_MAX`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Contents {
    /// By hash of the id: its place in `order`, and what it was.
    known: HashMap<u128, Content>,
    /// The count of entries ever made, which orders them.
    made: u64,
}

/// One id's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Content {
    /// 64 bits of its hash.
    pub(super) hash: u64,
    /// How often it changed since the id was first seen.
    pub(super) changes: u32,
    /// When it was noted, in entries.
    made: u64,
}

impl Contents {
    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    pub(super) fn get(&self, id: u128) -> Option<Content> {
        self.known.get(&id).copied()
    }

    /// Notes what an id is now. Whether another had to be forgotten for it.
    pub(super) fn note(&mut self, id: u128, hash: u64, changes: u32) -> bool {
        self.made += 1;
        self.known.insert(id, Content { hash, changes, made: self.made });
        // Forgotten in pieces: finding the oldest takes a look at all of them.
        let crowded = self.known.len() > EDGE_MAX + EDGE_MAX / 10;
        if crowded {
            self.trim();
        }
        crowded
    }

    /// Adds those of `walked`, which are newer.
    pub(super) fn join(mut self, walked: Self) -> Self {
        let mut newer: Vec<(u128, Content)> = walked.known.into_iter().collect();
        newer.sort_by_key(|(_, content)| content.made);
        for (id, content) in newer {
            self.note(id, content.hash, content.changes);
        }
        self.trim();
        self
    }

    fn trim(&mut self) {
        let over = self.known.len().saturating_sub(EDGE_MAX);
        if over == 0 {
            return;
        }
        let mut ages: Vec<u64> = self.known.values().map(|content| content.made).collect();
        let (_, oldest_kept, _) = ages.select_nth_unstable(over);
        let oldest_kept = *oldest_kept;
        self.known.retain(|_, content| content.made >= oldest_kept);
    }
}

impl From<Contents> for String {
    fn from(contents: Contents) -> Self {
        let mut entries: Vec<(u128, Content)> = contents.known.into_iter().collect();
        entries.sort_by_key(|(_, content)| content.made);
        let mut bytes = Vec::with_capacity(entries.len() * ENTRY_BYTES);
        for (id, content) in entries {
            bytes.extend(id.to_be_bytes());
            bytes.extend(content.hash.to_be_bytes());
            bytes.extend(content.changes.to_be_bytes());
        }
        BASE64_STANDARD_NO_PAD.encode(bytes)
    }
}

impl TryFrom<String> for Contents {
    type Error = base64::DecodeError;

    fn try_from(written: String) -> Result<Self, base64::DecodeError> {
        let bytes = BASE64_STANDARD_NO_PAD.decode(written)?;
        let mut contents = Self::default();
        let (entries, _) = bytes.as_chunks::<ENTRY_BYTES>();
        for entry in entries {
            let (id, rest) = entry.split_first_chunk::<16>().expect("28 bytes");
            let (hash, rest) = rest.split_first_chunk::<8>().expect("12 bytes");
            let (changes, _) = rest.split_first_chunk::<4>().expect("4 bytes");
            contents.note(
                u128::from_be_bytes(*id),
                u64::from_be_bytes(*hash),
                u32::from_be_bytes(*changes),
            );
        }
        Ok(contents)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept_and_written() {
        let mut contents = Contents::default();
        for id in 0..(2 * EDGE_MAX as u128) {
            contents.note(id, 1, 0);
        }
        contents.note(0, 2, 7);
        let contents = Contents::default().join(contents);
        assert_eq!(contents.known.len(), EDGE_MAX);
        assert_eq!(contents.get(1), None);
        let read = Contents::try_from(String::from(contents.clone())).unwrap();
        let found = read.get(0).unwrap();
        assert_eq!((found.hash, found.changes), (2, 7));
        assert_eq!(String::from(read), String::from(contents));
    }
}
