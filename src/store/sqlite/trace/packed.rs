//! Attempts that delivered, many in one row.
//!
//! Nearly all attempts deliver, and are answered alike; a row and its places in two indexes cost
//! fifty times what such a record says.

use std::collections::HashMap;

use sqlx::sqlite::SqliteRow;

use super::super::file::row::Cells;
use crate::{
    event::{Micros, Version},
    store::{Attempt, StoreError},
};

/// Bytes of one record.
pub(super) const RECORD_BYTES: usize = 20;
/// The most records in one row.
const RECORDS_MAX: usize = 500;
/// The versions of one row are so near to each other, so that a version is soon found.
pub(super) const SPAN_MAX: u64 = 4_096;
/// Fewer are kept as they are.
const FEW: usize = 4;

/// What becomes one row.
#[derive(Debug)]
pub(super) struct Packed {
    pub(super) like: Attempt,
    pub(super) first: Version,
    pub(super) last: Version,
    /// When the latest of them began.
    pub(super) started: Micros,
    pub(super) records: Vec<u8>,
}

impl Packed {
    fn new(like: Attempt) -> Self {
        let (first, started) = (like.version, like.started);
        let record = record(&like);
        Self { like, first, last: first, started, records: record.to_vec() }
    }

    pub(super) fn count(&self) -> usize {
        self.records.len() / RECORD_BYTES
    }

    fn fits(&self, attempt: &Attempt) -> bool {
        let first = self.first.min(attempt.version);
        let last = self.last.max(attempt.version);
        self.like.attempt == attempt.attempt
            && self.like.status == attempt.status
            && self.like.answer == attempt.answer
            && self.count() < RECORDS_MAX
            && last.0 - first.0 < SPAN_MAX
    }

    fn push(&mut self, attempt: &Attempt) {
        self.first = self.first.min(attempt.version);
        self.last = self.last.max(attempt.version);
        self.started = self.started.max(attempt.started);
        self.records.extend_from_slice(&record(attempt));
    }
}

fn record(attempt: &Attempt) -> [u8; RECORD_BYTES] {
    let mut record = [0; RECORD_BYTES];
    record[..8].copy_from_slice(&attempt.version.0.to_be_bytes());
    record[8..16].copy_from_slice(&attempt.started.0.to_be_bytes());
    let duration = u32::try_from(attempt.duration_ms).unwrap_or(u32::MAX);
    record[16..].copy_from_slice(&duration.to_be_bytes());
    record
}

/// The attempts of a row, the first of which is like `like` and has its number.
fn unpack(like: Attempt, records: &[u8]) -> impl Iterator<Item = Attempt> {
    let number = |bytes: &[u8]| bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    records.chunks_exact(RECORD_BYTES).zip(like.id..).map(move |(record, id)| Attempt {
        id,
        version: Version(number(&record[..8])),
        started: Micros(number(&record[8..16]).cast_signed()),
        duration_ms: number(&record[16..]),
        ..like.clone()
    })
}

/// Puts together what can be: first attempts of which there is no more to say, so that what an event met with stays in order.
/// Numbers, from `next` on, are given in the order in which rows are begun.
pub(super) fn pack(attempts: &[Attempt], next: &mut i64) -> (Vec<Attempt>, Vec<Packed>) {
    let mut rows: Vec<Packed> = Vec::new();
    let mut open: HashMap<(i64, i64), usize> = HashMap::new();
    for attempt in attempts {
        let place =
            (attempt.verdict == "delivered" && attempt.attempt == 1 && attempt.error.is_none())
                .then(|| open.entry((attempt.subscription, attempt.topic)).or_insert(usize::MAX));
        match place.as_ref().and_then(|place| rows.get_mut(**place)) {
            Some(row) if row.fits(attempt) => row.push(attempt),
            _ => {
                if let Some(place) = place {
                    *place = rows.len();
                }
                rows.push(Packed::new(attempt.clone()));
            }
        }
    }
    let (mut alone, mut packed) = (Vec::new(), Vec::new());
    for mut row in rows {
        row.like.id = *next;
        *next += i64::try_from(row.count()).unwrap_or(0);
        match row.count() {
            1 => alone.push(row.like),
            2..FEW => alone.extend(unpack(row.like, &row.records)),
            _ => packed.push(row),
        }
    }
    (alone, packed)
}

/// The attempts in a row.
pub(super) fn attempts(row: &SqliteRow) -> Result<impl Iterator<Item = Attempt>, StoreError> {
    let row = Cells::of(row, "deliveries");
    let like = Attempt {
        id: row.get("id")?,
        subscription: row.get("subscription")?,
        topic: row.get("topic")?,
        version: Version::ZERO,
        attempt: row.get("attempt")?,
        started: Micros(0),
        duration_ms: 0,
        status: row.get("status")?,
        answer: row.get("answer")?,
        error: None,
        verdict: "delivered".to_owned(),
    };
    Ok(unpack(like, row.get("records")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(subscription: i64, version: u64) -> Attempt {
        Attempt {
            id: 0,
            subscription,
            topic: 1,
            version: Version(version),
            attempt: 1,
            started: Micros(1_000 + version.cast_signed()),
            duration_ms: version,
            status: Some(204),
            answer: Vec::new(),
            error: None,
            verdict: "delivered".to_owned(),
        }
    }

    #[test]
    fn what_was_answered_alike_comes_together_and_apart_again() {
        let all: Vec<Attempt> = (1..=1_200).map(|version| attempt(1, version)).collect();
        let mut next = 7;
        let (alone, packed) = pack(&all, &mut next);
        assert!(alone.is_empty());
        let counts: Vec<usize> = packed.iter().map(Packed::count).collect();
        assert_eq!(counts, [500, 500, 200]);
        let apart = packed.iter().flat_map(|row| unpack(row.like.clone(), &row.records));
        let numbered = all.into_iter().zip(7..).map(|(attempt, id)| Attempt { id, ..attempt });
        assert_eq!(apart.collect::<Vec<_>>(), numbered.collect::<Vec<_>>());
        assert_eq!(next, 1_207);
        assert_eq!((packed[1].first, packed[1].last), (Version(501), Version(1_000)));
    }

    #[test]
    fn what_tells_something_of_its_own_stays_apart() {
        let mut all: Vec<Attempt> = (1..=10).map(|version| attempt(1, version)).collect();
        all[3].verdict = "retry".to_owned();
        all[4].answer = b"own".to_vec();
        all[8].attempt = 2;
        all.push(attempt(1, 50_000));
        all.push(attempt(2, 1));
        let (alone, packed) = pack(&all, &mut 1);
        let told: Vec<_> = alone.iter().map(|alone| (alone.id, alone.version.0)).collect();
        // The answer of its own begins a row, and ends the one before it.
        assert_eq!(told, [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (10, 9), (11, 50_000), (12, 1)]);
        let packed: Vec<_> = packed.iter().map(|row| (row.like.id, row.count())).collect();
        assert_eq!(packed, [(6, 4)]);
    }
}
