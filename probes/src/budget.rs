//! A bound on the memory of all pages together, and who has it when it is short.
//!
//! Every page says at the start how much it may come to need, its *claim*. Memory is given so that
//! what a page that began earlier may still need is never taken by one that began later. So the
//! oldest page is always served, pages never wait for each other in a circle, and each has its
//! turn. A part is left for first slices: a small page goes through while large ones wait.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Memory is counted in steps of this.
const UNIT_BYTES: usize = 64 << 10;

/// What every page has from its start: enough for a small one.
pub(crate) const SLICE_BYTES: usize = 3 * UNIT_BYTES;

/// The most that is left for first slices.
const RESERVE_BYTES_MAX: usize = 32 << 20;

/// So many large bodies are unpacked at once: unpacking is work for processors, and each may take
/// 27 MiB for a window that is not counted.
const LARGE_AT_ONCE: usize = 2;

/// How many bytes of pages may be held at once, by all probes that share it.
#[derive(Debug, Clone)]
pub struct Budget {
    books: Arc<Mutex<Books>>,
    large: Arc<Semaphore>,
}

impl Budget {
    /// A budget of `bytes`.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        let total = bytes.max(UNIT_BYTES);
        let reserve = (total / 8).min(RESERVE_BYTES_MAX);
        let books =
            Books { total, reserve, free: total, begun: 0, waiting: 0, pages: BTreeMap::new() };
        Self { books: Arc::new(Mutex::new(books)), large: Arc::new(Semaphore::new(LARGE_AT_ONCE)) }
    }

    /// Bytes held now, in steps of 64 KiB.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        let books = self.books();
        books.total - books.free
    }

    /// All that may be held.
    pub(crate) fn total_bytes(&self) -> usize {
        self.books().total
    }

    /// Begins a page that never needs more than `claim` bytes. It has nothing yet.
    pub(crate) fn begin(&self, claim: usize) -> Held {
        let mut books = self.books();
        let page = books.begun;
        books.begun += 1;
        // One that may need more than there is has all of it to itself, when it comes to that.
        let claim = claim.max(SLICE_BYTES).min(books.total - books.reserve);
        books.pages.insert(page, Entry { held: 0, claim, wanted: None });
        drop(books);
        Held { budget: self.clone(), page }
    }

    /// Waits for the turn of a large body. Whoever has it must not wait for memory: others may
    /// hold that, and wait for their turn.
    pub(crate) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        // The semaphore is never closed.
        self.large.clone().acquire_owned().await.ok()
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        // Nothing between two statements leaves the books wrong.
        self.books.lock()
    }
}

/// A page's share of the budget, given back when it is dropped.
#[derive(Debug)]
pub struct Held {
    budget: Budget,
    /// Pages are numbered as they began.
    page: u64,
}

impl Held {
    /// Waits until the share covers `bytes`, or the whole claim. May be given up: what is granted
    /// afterwards goes back with the share.
    pub(crate) async fn grow(&mut self, bytes: usize) {
        let granted = self.budget.books().want(self.page, bytes);
        if let Some(granted) = granted {
            // Its other end is dropped with the page only, which is here.
            let _ = granted.await;
        }
    }

    /// Whether the share covers `bytes`, which it then does at once.
    pub(crate) fn grow_now(&mut self, bytes: usize) -> bool {
        let mut books = self.budget.books();
        let Some(mut granted) = books.want(self.page, bytes) else { return true };
        if granted.try_recv().is_ok() {
            return true;
        }
        books.forget_wish(self.page);
        false
    }

    /// Gives back what is over `bytes`; it may be asked for again.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        self.budget.books().shrink(self.page, bytes);
    }

    /// Keeps `bytes` and will never ask for more.
    pub(crate) fn settle(&mut self, bytes: usize) {
        let mut books = self.budget.books();
        books.forget_wish(self.page);
        books.shrink(self.page, bytes);
        if let Some(entry) = books.pages.get_mut(&self.page) {
            entry.claim = entry.held;
        }
        books.serve();
    }

    /// Whether more was asked for and is not there yet.
    pub(crate) fn waits(&self) -> bool {
        let books = self.budget.books();
        books.pages.get(&self.page).is_some_and(|entry| entry.wanted.is_some())
    }

    /// Bytes of this share.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.budget.books().pages.get(&self.page).map_or(0, |entry| entry.held)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut books = self.budget.books();
        books.forget_wish(self.page);
        if let Some(entry) = books.pages.remove(&self.page) {
            books.free += entry.held;
            books.serve();
        }
    }
}

#[derive(Debug)]
struct Books {
    total: usize,
    /// What large pages leave, but for the oldest.
    reserve: usize,
    free: usize,
    begun: u64,
    /// How many pages wait.
    waiting: usize,
    /// By age, the oldest first.
    pages: BTreeMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    held: usize,
    claim: usize,
    /// How much in all, and whom to tell.
    wanted: Option<(usize, oneshot::Sender<()>)>,
}

impl Books {
    /// Asks for `bytes` in all; `None` when they are there already.
    fn want(&mut self, page: u64, bytes: usize) -> Option<oneshot::Receiver<()>> {
        self.forget_wish(page);
        let entry = self.pages.get_mut(&page)?;
        let wanted = bytes.saturating_add(UNIT_BYTES - 1) / UNIT_BYTES * UNIT_BYTES;
        let wanted = wanted.min(entry.claim);
        if wanted <= entry.held {
            return None;
        }
        let (tell, granted) = oneshot::channel();
        entry.wanted = Some((wanted, tell));
        self.waiting += 1;
        self.serve();
        Some(granted)
    }

    fn forget_wish(&mut self, page: u64) {
        if self.pages.get_mut(&page).is_some_and(|entry| entry.wanted.take().is_some()) {
            self.waiting -= 1;
        }
    }

    fn shrink(&mut self, page: u64, bytes: usize) {
        if let Some(entry) = self.pages.get_mut(&page) {
            let kept = bytes.div_ceil(UNIT_BYTES) * UNIT_BYTES;
            let less = entry.held.saturating_sub(kept);
            entry.held -= less;
            self.free += less;
        }
        self.serve();
    }

    /// Grants what can be granted, the oldest first.
    ///
    /// An unfinished page is safe while what it may still need is free, or held by older ones that
    /// give it back when they are done. `spare` is what can be taken with all older ones safe.
    fn serve(&mut self) {
        if self.waiting == 0 {
            return;
        }
        let (mut spare, mut older_held) = (None::<usize>, 0_usize);
        for entry in self.pages.values_mut() {
            if let Some((wanted, tell)) = entry.wanted.take() {
                let more = wanted - entry.held;
                let reserve = if wanted <= SLICE_BYTES { 0 } else { self.reserve };
                let room = spare.map_or(self.free, |spare| spare.saturating_sub(reserve));
                if more <= room {
                    self.free -= more;
                    spare = spare.map(|spare| spare - more);
                    entry.held = wanted;
                    self.waiting -= 1;
                    // One that does not listen any more gives it back when it is dropped.
                    let _ = tell.send(());
                } else {
                    entry.wanted = Some((wanted, tell));
                }
            }
            let need = entry.claim - entry.held;
            if need > 0 {
                let own = (self.free + older_held).saturating_sub(need);
                spare = Some(spare.map_or(own, |spare| spare.min(own)).min(self.free));
            }
            older_held += entry.held;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use proptest::prelude::*;

    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn the_oldest_is_served_and_small_ones_pass() {
        let budget = Budget::new(64 * MIB);
        let mut pages: Vec<Held> = (0..50).map(|_| budget.begin(40 * MIB)).collect();
        for page in &mut pages {
            assert!(page.grow_now(SLICE_BYTES), "a first slice is always there");
        }
        // Everybody wants a lot, the youngest first: the oldest has its claim all the same.
        for page in pages.iter_mut().rev() {
            let _ = page.grow_now(5 * MIB);
        }
        assert!(pages[0].grow_now(40 * MIB));
        assert!(!pages[1].grow_now(40 * MIB));
        let mut small = budget.begin(40 * MIB);
        assert!(small.grow_now(SLICE_BYTES), "{} held", budget.held_bytes());
        // One after the other is done.
        while !pages.is_empty() {
            assert!(pages[0].grow_now(40 * MIB), "{} are left", pages.len());
            pages.remove(0);
        }
        drop(small);
        assert_eq!(budget.held_bytes(), 0);
    }

    #[test]
    fn who_waits_is_told_in_the_order_of_age() {
        let budget = Budget::new(8 * MIB);
        let [mut first, mut second, mut third] = [7, 7, 7].map(|claim| budget.begin(claim * MIB));
        assert!(first.grow_now(7 * MIB));
        let mut youngest = Box::pin(third.grow(7 * MIB));
        let mut older = Box::pin(second.grow(7 * MIB));
        assert!(youngest.as_mut().now_or_never().is_none());
        assert!(older.as_mut().now_or_never().is_none());
        first.settle(7 * MIB);
        assert!(older.as_mut().now_or_never().is_none(), "it is still held");
        drop(first);
        assert!(youngest.as_mut().now_or_never().is_none());
        assert!(older.as_mut().now_or_never().is_some());
        drop(older);
        drop(second);
        assert!(youngest.now_or_never().is_some());
    }

    proptest! {
        /// Whatever is asked for in whatever order: what is held and what is free add up, and the
        /// pages can all come to their claims one after the other.
        #[test]
        fn no_order_of_wishes_locks(wishes in prop::collection::vec(
            (0_usize..8, 0_usize..12 * MIB, 0_u8..8), 0..200)
        ) {
            let budget = Budget::new(16 * MIB);
            let mut pages: Vec<Held> = (0..8).map(|_| budget.begin(10 * MIB)).collect();
            for (page, bytes, what) in wishes {
                match what {
                    0 => pages[page].shrink(bytes),
                    1 => {
                        pages.remove(page);
                        pages.push(budget.begin(10 * MIB));
                    }
                    2 => pages[page].settle(bytes),
                    _ => { pages[page].grow_now(bytes); }
                }
                prop_assert_eq!(pages.iter().map(Held::bytes).sum::<usize>(), budget.held_bytes());
                prop_assert!(budget.held_bytes() <= 16 * MIB);
            }
            while !pages.is_empty() {
                let mut oldest = pages.remove(0);
                prop_assert!(oldest.grow_now(10 * MIB));
            }
            prop_assert_eq!(budget.held_bytes(), 0);
        }
    }
}
