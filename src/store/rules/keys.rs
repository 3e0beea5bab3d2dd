//! The dedupe keys that one topic knows, in memory.
//!
//! They come in version order and go in version order, so they are kept in generations: what is new
//! goes into the newest, and the oldest goes as a whole. One large map would be made twice as large
//! by the marks that removed keys leave behind.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasherDefault, Hash, Hasher},
};

use siphasher::sip128::{Hasher128 as _, SipHasher13};

use crate::{event::Version, store::NewEvent};

/// A 128-bit keyed hash of an event's `source` and `id`.
pub(crate) type Key = u128;

/// The key of an event, with the store's own hash key.
pub(crate) fn of(hash_key: &[u8; 16], event: &NewEvent) -> Key {
    let mut hasher = SipHasher13::new_with_key(hash_key);
    hasher.write(event.source.as_bytes());
    hasher.write_u8(0xff);
    hasher.write(event.id.as_bytes());
    hasher.finish128().as_u128()
}

/// What is found by a key.
pub(crate) type ByKey<T> = HashMap<Key, T, BuildHasherDefault<OfKey>>;

/// Keys of one generation, at least: as many as fill a table of 2¹⁸ places.
const GENERATION: usize = (1 << 18) / 8 * 7;
/// A generation has at least such a part of all keys, so that few have to be asked.
const PART: usize = 4;
/// Forgotten keys that are kept besides as many as are known.
const SLACK: usize = 1_024;

/// A key is a hash already, and a keyed one: nobody outside can make two of them alike.
#[derive(Debug, Default)]
pub(crate) struct OfKey(u64);

impl Hasher for OfKey {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(8) {
            self.0 = part.iter().fold(self.0, |hash, byte| hash.rotate_left(8) ^ u64::from(*byte));
        }
    }

    fn write_u64(&mut self, half: u64) {
        self.0 = half;
    }

    fn write_u128(&mut self, key: u128) {
        self.0 = halves(key)[1];
    }
}

/// A key as two words: it needs no place at a multiple of 16 bytes, which a third of a table would
/// be lost to.
#[derive(Debug, PartialEq, Eq)]
struct Packed([u64; 2]);

impl Hash for Packed {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0[1]);
    }
}

fn halves(key: Key) -> [u64; 2] {
    #[expect(clippy::cast_possible_truncation, reason = "these are the halves")]
    [(key >> 64) as u64, key as u64]
}

/// One topic's keys and the version that each has.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    newest: Generation,
    /// The oldest first.
    older: VecDeque<Generation>,
    /// Keys at or below it are forgotten.
    forgotten: Version,
    len: usize,
}

#[derive(Debug, Default)]
struct Generation {
    versions: HashMap<Packed, Version, BuildHasherDefault<OfKey>>,
    last: Version,
}

impl Keys {
    /// Keys that are known.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The last version that the key has.
    pub(crate) fn get(&self, key: Key) -> Option<Version> {
        let key = Packed(halves(key));
        let mut newest_first = std::iter::once(&self.newest).chain(self.older.iter().rev());
        let version = newest_first.find_map(|generation| generation.versions.get(&key).copied());
        version.filter(|version| *version > self.forgotten)
    }

    /// Takes in the key of a version; one that came before leads to the new version from now on.
    pub(crate) fn insert(&mut self, key: Key, version: Version) {
        let size = self.newest.versions.len();
        if size >= GENERATION.max(self.len / PART) && size == self.newest.versions.capacity() {
            // There will be as many again.
            let mut versions = HashMap::default();
            versions.reserve(size);
            let full = std::mem::replace(&mut self.newest, Generation { versions, last: version });
            self.older.push_back(full);
        }
        self.newest.versions.insert(Packed(halves(key)), version);
        self.newest.last = version;
        self.len += 1;
    }

    /// Forgets the keys of all versions up to `version`, which are `count`; answers how many it
    /// knew.
    pub(crate) fn forget(&mut self, version: Version, count: usize) -> usize {
        self.forgotten = self.forgotten.max(version);
        let count = count.min(self.len);
        self.len -= count;
        while self.older.front().is_some_and(|oldest| oldest.last <= self.forgotten) {
            self.older.pop_front();
        }
        if self.older.is_empty() && self.newest.last <= self.forgotten {
            self.newest = Generation::default();
        }
        self.sweep();
        count
    }

    /// Lets go of forgotten keys in the oldest generation that has some, when they are too many to
    /// wait for the others of it.
    fn sweep(&mut self) {
        let size = |generation: &Generation| generation.versions.len();
        let held = size(&self.newest) + self.older.iter().map(size).sum::<usize>();
        if held > 2 * self.len + SLACK {
            let oldest = self.older.front_mut().unwrap_or(&mut self.newest);
            oldest.versions.retain(|_, version| *version > self.forgotten);
            oldest.versions.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forgotten_is_unknown_and_what_comes_again_has_its_new_version() {
        let mut keys = Keys::default();
        for number in 1..=10_u64 {
            keys.insert(Key::from(number), Version(number));
        }
        keys.forget(Version(4), 4);
        assert_eq!(keys.get(4), None);
        assert_eq!(keys.get(5), Some(Version(5)));
        assert_eq!(keys.len(), 6);
        keys.insert(5, Version(11));
        assert_eq!(keys.get(5), Some(Version(11)));
        keys.forget(Version(10), 6);
        assert_eq!(keys.get(5), Some(Version(11)), "the version before is what was forgotten");
        assert_eq!(keys.len(), 1);
    }

    /// Keys as they are: spread over the whole range.
    fn spread(number: u64) -> Key {
        Key::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
    }

    /// The most places that a window takes while `count` keys come and go.
    fn most_room(window: u64, step: u64, count: u64) -> usize {
        let mut keys = Keys::default();
        let mut most = 0;
        for number in 1..=count {
            keys.insert(spread(number), Version(number));
            if number > window && number % step == 0 {
                keys.forget(Version(number - window), usize::try_from(step).unwrap());
                assert_eq!(keys.get(spread(number)), Some(Version(number)));
                assert_eq!(keys.get(spread(number - window)), None);
                let oldest = number - window + 1;
                assert_eq!(keys.get(spread(oldest)), Some(Version(oldest)));
            }
            let room = |generation: &Generation| generation.versions.capacity();
            most = most.max(room(&keys.newest) + keys.older.iter().map(room).sum::<usize>());
        }
        most
    }

    #[test]
    fn a_window_that_moves_takes_no_more_room_with_time() {
        let most = most_room(300_000, 10_000, 2_000_000);
        assert!(most <= 3 * GENERATION, "{most}");
        let small = most_room(1_000, 500, 300_000);
        assert!(small <= 8_192, "{small}");
    }

    #[test]
    fn of_two_generations_the_newer_knows_better() {
        let mut keys = Keys::default();
        keys.insert(0, Version(1));
        let mut number = 1;
        while keys.older.is_empty() {
            number += 1;
            keys.insert(spread(number), Version(number));
        }
        keys.insert(0, Version(number + 1));
        assert_eq!(keys.get(0), Some(Version(number + 1)));
    }
}
