//! The byte budget: what the relay holds for all clients of the API together.
//!
//! A body that comes in counts until its request is answered, an answer until the last of its bytes
//! has left. What finds no room is refused with 503; a stream that is open waits for room. Nobody
//! gets all of it: the fuller it is the smaller are pages, the fewer bodies are taken, and the sooner
//! those go who take nothing.

use std::sync::Arc;

use http::StatusCode;
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::problem::Problem;

/// One page may have this part of what is free, and the same again while it is made, so that two
/// hundred at the same time, of those who take nothing, leave room for the next.
const PART: usize = 128;
/// The least that a page is cut to.
const PAGE_BYTES_MIN: usize = 64 << 10;
/// What a chunk of a stream is cut to: ten thousand of the smallest fit into the default.
const CHUNK_BYTES: std::ops::RangeInclusive<usize> = 16 << 10..=1 << 20;
/// A chunk may have this part of what is free in the first eighth of what streams share.
const CHUNK_PART: usize = 16;
/// A body larger than this leaves half of the budget to others.
pub(super) const SMALL_BODY_BYTES: usize = 64 << 10;
/// This part of the budget is for small bodies and small pages alone, when the rest is held.
const SPARE_PART: usize = 8;

/// The budget; clones share it.
#[derive(Debug, Clone)]
pub struct Budget {
    free: Arc<Semaphore>,
    /// Room for what is small, when nothing else is free.
    spare: Arc<Semaphore>,
    bytes_max: usize,
    /// Of these, what streams may have: three quarters.
    streams: Arc<Semaphore>,
    /// Requests and streams that found no room.
    refused: Counter,
    /// Clients that took nothing for too long.
    stalled: Counter,
}

impl Budget {
    /// An empty one of so many bytes, which counts what it refuses and whom it gives up.
    #[must_use]
    pub fn new(bytes_max: usize, refused: Counter, stalled: Counter) -> Self {
        let spare = Arc::new(Semaphore::new(bytes_max / SPARE_PART));
        let free = Arc::new(Semaphore::new(bytes_max - bytes_max / SPARE_PART));
        let streams = Arc::new(Semaphore::new(bytes_max / 4 * 3));
        Self { free, spare, bytes_max, streams, refused, stalled }
    }

    /// Bytes held at present.
    #[must_use]
    pub fn used(&self) -> usize {
        let left = self.free.available_permits() + self.spare.available_permits();
        self.bytes_max.saturating_sub(left)
    }

    /// Whether more than a quarter is held.
    pub(super) fn is_tight(&self) -> bool {
        self.used() > self.bytes_max / 4
    }

    /// Counts a client that took nothing for too long.
    pub(super) fn count_stalled(&self) {
        self.stalled.inc();
    }

    /// Room for so many bytes, or 503; not waited for, so that the client may go to another node.
    pub(super) fn take(&self, bytes: usize) -> Result<Held, Problem> {
        let permit = self.of(&self.free, bytes)?;
        Ok(Held { permit, pool: self.free.clone(), share: None })
    }

    /// As [`Self::take`], of what is kept for the small when nothing else is free.
    fn take_small(&self, bytes: usize) -> Result<Held, Problem> {
        let wanted = u32::try_from(bytes).unwrap_or(u32::MAX);
        let pools = [&self.free, &self.spare];
        let found = pools.into_iter().find_map(|pool| {
            let permit = pool.clone().try_acquire_many_owned(wanted).ok()?;
            Some(Held { permit, pool: pool.clone(), share: None })
        });
        found.ok_or_else(|| self.busy())
    }

    /// Takes all there is.
    #[cfg(test)]
    pub(super) fn fill(&self) -> [Held; 2] {
        [&self.free, &self.spare].map(|pool| {
            let rest = u32::try_from(pool.available_permits()).unwrap();
            let permit = pool.clone().try_acquire_many_owned(rest).unwrap();
            Held { permit, pool: pool.clone(), share: None }
        })
    }

    fn of(&self, free: &Arc<Semaphore>, bytes: usize) -> Result<OwnedSemaphorePermit, Problem> {
        let wanted = u32::try_from(bytes).unwrap_or(u32::MAX);
        free.clone().try_acquire_many_owned(wanted).map_err(|_| self.busy())
    }

    /// Room for the next chunk of a stream, twice as for a page; waited for, since an open stream has
    /// no other answer left.
    pub(super) async fn chunk(&self) -> Result<Room, Problem> {
        let bytes = self.chunk_bytes();
        let wanted = u32::try_from(2 * bytes).unwrap_or(u32::MAX);
        let share = self.streams.clone().acquire_many_owned(wanted).await;
        let permit = self.free.clone().acquire_many_owned(wanted).await;
        match (permit, share) {
            (Ok(permit), Ok(share)) => {
                let pool = self.free.clone();
                Ok(Room { bytes, held: Held { permit, pool, share: Some(share) } })
            }
            _ => Err(self.busy()),
        }
    }

    /// Whether a stream can begin.
    pub(super) fn begin_stream(&self) -> Result<(), Problem> {
        drop(self.of(&self.streams, *CHUNK_BYTES.start())?);
        self.take(*CHUNK_BYTES.start()).map(drop)
    }

    /// Room for a page of at most `most` bytes, twice: what is read and what is made of it.
    pub(super) fn page(&self, most: usize) -> Result<Room, Problem> {
        let bytes = (self.free.available_permits() / PART).clamp(PAGE_BYTES_MIN.min(most), most);
        let is_small = bytes <= PAGE_BYTES_MIN;
        let held = if is_small { self.take_small(2 * bytes) } else { self.take(2 * bytes) };
        Ok(Room { bytes, held: held? })
    }

    /// How many bytes a chunk of a stream is cut to; once an eighth of what streams share is held, to
    /// the least.
    fn chunk_bytes(&self) -> usize {
        let rest = self.bytes_max / 4 * 3 / 8 * 7;
        let spare = self.streams.available_permits().saturating_sub(rest);
        (spare / CHUNK_PART).clamp(*CHUNK_BYTES.start(), *CHUNK_BYTES.end())
    }

    /// The refusal for want of room.
    pub(super) fn busy(&self) -> Problem {
        self.refused.inc();
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "busy",
            format!(
                "what the relay holds for its clients fills `limits.api_bytes_max` ({} bytes); try again soon",
                self.bytes_max
            ),
        )
    }
}

/// Bytes of the budget; given back when dropped.
#[derive(Debug)]
pub(super) struct Held {
    permit: OwnedSemaphorePermit,
    /// What it is of.
    pool: Arc<Semaphore>,
    /// The same of what streams share.
    share: Option<OwnedSemaphorePermit>,
}

/// Room for a page or a chunk.
#[derive(Debug)]
pub(super) struct Room {
    /// How many bytes it is cut to; one event goes whatever its size.
    pub bytes: usize,
    /// What it counts as while it is made.
    pub held: Held,
}

impl Held {
    /// Makes it as large as what is held in truth.
    pub(super) fn fit(&mut self, budget: &Budget, bytes: usize) -> Result<(), Problem> {
        let held = self.permit.num_permits();
        if bytes > held {
            if let Some(share) = &mut self.share {
                share.merge(budget.of(&budget.streams, bytes - held)?);
            }
            self.permit.merge(budget.of(&self.pool, bytes - held)?);
        } else {
            drop(self.permit.split(held - bytes));
            drop(self.share.as_mut().map(|share| share.split(held - bytes)));
        }
        Ok(())
    }
}

/// What a request holds until it is answered: its body, and what is read from it.
#[derive(Debug, Clone)]
pub(super) struct Ledger {
    budget: Budget,
    held: Arc<Mutex<Option<Held>>>,
}

impl Ledger {
    pub(super) fn new(budget: Budget) -> Self {
        Self { budget, held: Arc::default() }
    }

    /// Whether those who are slow have to hurry.
    pub(super) fn is_tight(&self) -> bool {
        self.budget.is_tight()
    }

    /// Whether there would be room for a body of so many bytes; 503 before any of it is read.
    pub(super) fn expect(&self, bytes: usize) -> Result<(), Problem> {
        self.fits(bytes, 2 * bytes)
    }

    fn fits(&self, bytes: usize, more: usize) -> Result<(), Problem> {
        let kept = if bytes <= SMALL_BODY_BYTES { 0 } else { self.budget.bytes_max / 2 };
        let full = self.budget.used() + more > self.budget.bytes_max - kept;
        if full { Err(self.budget.busy()) } else { Ok(()) }
    }

    /// Room for a body that has come to so many bytes: twice, for what is read from it.
    pub(super) fn body(&self, bytes: usize) -> Result<(), Problem> {
        let is_small = bytes <= SMALL_BODY_BYTES;
        let mut held = self.held.lock();
        let before = held.as_ref().map_or(0, |held| held.permit.num_permits());
        let more = (2 * bytes).saturating_sub(before);
        self.fits(bytes, more)?;
        match &mut *held {
            Some(held) => held.fit(&self.budget, before + more),
            none => {
                let taken =
                    if is_small { self.budget.take_small(more) } else { self.budget.take(more) };
                *none = Some(taken?);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(bytes_max: usize) -> Budget {
        Budget::new(bytes_max, Counter::default(), Counter::default())
    }

    #[test]
    fn what_is_lent_counts_until_the_last_reference_is_gone() {
        let budget = budget(1 << 20);
        let mut held = budget.take(300_000).unwrap();
        held.fit(&budget, 100_000).unwrap();
        assert_eq!(budget.used(), 100_000);
        held.fit(&budget, 200_000).unwrap();
        let (bytes, taken) = held.lend(vec![b'x'; 200_000]);
        assert!(taken.is_none(), "nobody sends it");
        let last = bytes.slice(199_999..);
        drop(bytes);
        assert_eq!((budget.used(), &last[..]), (200_000, &b"x"[..]));
        drop(last);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn two_hundred_pages_leave_room_for_the_next() {
        let budget = budget(256 << 20);
        let mut stuck = Vec::new();
        for _ in 0..200 {
            // While they are made: twice.
            stuck.push(budget.page(8 << 20).unwrap());
        }
        assert!(budget.page(8 << 20).unwrap().bytes >= 64 << 10);
        Ledger::new(budget.clone()).body(1_000).unwrap();
        for room in &mut stuck {
            room.held.fit(&budget, room.bytes).unwrap();
        }
        assert!(budget.page(8 << 20).unwrap().bytes >= 256 << 10);
        Ledger::new(budget.clone()).body(1_000).unwrap();
    }

    #[tokio::test]
    async fn ten_thousand_chunks_fit_and_leave_a_quarter() {
        let budget = budget(256 << 20);
        assert_eq!(budget.chunk_bytes(), 1 << 20, "large while they are few");
        let mut chunks = Vec::new();
        for _ in 0..10_000 {
            let mut room = budget.chunk().await.unwrap();
            room.held.fit(&budget, room.bytes).unwrap();
            chunks.push(room.held);
        }
        budget.begin_stream().unwrap();
        // Streams have three quarters, what is small an eighth: a 128th of the rest.
        assert!(budget.page(8 << 20).unwrap().bytes >= 256 << 10);
        // With all that streams and pages can have, what is small finds room.
        let rest = budget.take(budget.free.available_permits()).unwrap();
        budget.take(1).unwrap_err();
        Ledger::new(budget.clone()).body(60_000).unwrap();
        assert_eq!(budget.page(8 << 20).unwrap().bytes, 64 << 10);
        drop(rest);
        chunks[0].fit(&budget, 64 << 20).unwrap_err();
        drop(chunks);
        assert_eq!((budget.used(), budget.chunk_bytes()), (0, 1 << 20));
    }

    #[test]
    fn bodies_leave_half_to_others() {
        let budget = budget(32 << 20);
        let ledgers: Vec<Ledger> = (0..20).map(|_| Ledger::new(budget.clone())).collect();
        let taken = ledgers.iter().filter(|ledger| ledger.body(1 << 20).is_ok()).count();
        assert_eq!(taken, 8);
        let small = Ledger::new(budget.clone());
        small.body(1_000).unwrap();
        small.body(2_000).unwrap();
        assert_eq!(budget.used(), (16 << 20) + 4_000);
        drop((ledgers, small));
        assert_eq!(budget.used(), 0);
    }
}
