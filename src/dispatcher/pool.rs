//! Places in flight that many subscriptions share, fairly: those of the process, and those of one
//! host.
//!
//! Everyone may use an equal share. More than that only while more places are free than there are
//! subscriptions at work, so that whoever comes next finds one, however slow the others are. A
//! host's places have a bound, so an eighth of them is kept for those that have none.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use tokio::sync::Notify;

/// Places that are shared.
#[derive(Debug)]
pub struct Pool {
    max: usize,
    /// Whether a subscription's first place is free even when all are taken.
    first_is_free: bool,
    taken: AtomicUsize,
    /// Subscriptions that have a place.
    active: AtomicUsize,
    hungry: Queue,
    greedy: Queue,
}

/// Who waits for a place.
#[derive(Debug, Default)]
struct Queue {
    waiting: AtomicUsize,
    freed: Notify,
}

impl Pool {
    /// `max` places; with `first_is_free` everyone may always have one.
    #[must_use]
    pub fn new(max: usize, first_is_free: bool) -> Arc<Self> {
        Arc::new(Self {
            max,
            first_is_free,
            taken: AtomicUsize::new(0),
            active: AtomicUsize::new(0),
            hungry: Queue::default(),
            greedy: Queue::default(),
        })
    }

    fn admits(&self, own: usize, taken: usize, active: usize) -> bool {
        if own == 0 {
            return self.first_is_free || taken < self.max;
        }
        taken + self.reserve(active) < self.max
            && (own < self.share(active) || taken + active < self.max)
    }

    /// Places that are left for those that have none yet, where a first place is not free.
    fn reserve(&self, active: usize) -> usize {
        if self.first_is_free || active < 2 { 0 } else { self.max / 8 }
    }

    fn share(&self, active: usize) -> usize {
        self.max / active.max(1)
    }

    /// Wakes one that waits: whoever has less than a share goes first.
    fn wake_one(&self) {
        let queue = if self.hungry.waiting.load(SeqCst) > 0 { &self.hungry } else { &self.greedy };
        if queue.waiting.load(SeqCst) > 0 {
            queue.freed.notify_one();
        }
    }
}

/// One subscription's part of a pool.
#[derive(Debug)]
pub struct Share {
    pool: Arc<Pool>,
    own: AtomicUsize,
}

/// Why there was no place: what to wait for.
#[derive(Debug, Clone)]
pub struct Refusal {
    pool: Arc<Pool>,
    hungry: bool,
}

impl Share {
    /// A part of `pool` with no place yet.
    #[must_use]
    pub fn of(pool: Arc<Pool>) -> Arc<Self> {
        Arc::new(Self { pool, own: AtomicUsize::new(0) })
    }

    /// A place, given back when dropped.
    ///
    /// # Errors
    /// What to wait for, when there is none.
    pub fn place(self: &Arc<Self>) -> Result<Held, Refusal> {
        let pool = &self.pool;
        let own = self.own.fetch_add(1, SeqCst);
        if own == 0 {
            pool.active.fetch_add(1, SeqCst);
        }
        let taken = pool.taken.fetch_add(1, SeqCst);
        let active = pool.active.load(SeqCst);
        if pool.admits(own, taken, active) {
            return Ok(Held { share: self.clone() });
        }
        self.give_back();
        Err(Refusal { pool: pool.clone(), hungry: own < pool.share(active) })
    }

    fn give_back(&self) {
        if self.own.fetch_sub(1, SeqCst) == 1 {
            self.pool.active.fetch_sub(1, SeqCst);
        }
        self.pool.taken.fetch_sub(1, SeqCst);
    }
}

/// A place that is held.
#[derive(Debug)]
pub struct Held {
    share: Arc<Share>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.share.give_back();
        self.share.pool.wake_one();
    }
}

impl Refusal {
    /// Registers for the next place that falls free.
    #[must_use]
    pub fn wait(&self) -> Waiting {
        self.queue().waiting.fetch_add(1, SeqCst);
        Waiting { refusal: self.clone() }
    }

    /// Says that a place that fell free is not wanted here any more.
    pub fn pass_on(&self) {
        self.pool.wake_one();
    }

    fn queue(&self) -> &Queue {
        if self.hungry { &self.pool.hungry } else { &self.pool.greedy }
    }
}

/// A registration; ends when dropped.
#[derive(Debug)]
pub struct Waiting {
    refusal: Refusal,
}

impl Waiting {
    /// Ends when a place fell free.
    pub async fn freed(&self) {
        // `notify_one` is kept for whoever comes.
        self.refusal.queue().freed.notified().await;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.refusal.queue().waiting.fetch_sub(1, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take_all(share: &Arc<Share>, most: usize) -> Vec<Held> {
        (0..most).map_while(|_| share.place().ok()).collect()
    }

    #[test]
    fn a_host_that_many_slow_ones_use_has_a_place_for_the_next() {
        let pool = Pool::new(1_024, false);
        let slow: Vec<_> = (0..150).map(|_| Share::of(pool.clone())).collect();
        let held: Vec<_> = slow.iter().map(|share| take_all(share, 16)).collect();
        assert!(held.iter().all(|held| !held.is_empty()), "everyone has one");
        assert!(held.iter().map(Vec::len).sum::<usize>() >= 900, "and few are left unused");
        assert!(Share::of(pool).place().is_ok());
    }

    #[test]
    fn one_alone_may_have_all_and_two_share() {
        let pool = Pool::new(8, true);
        let one = Share::of(pool.clone());
        let held = take_all(&one, 100);
        assert_eq!(held.len(), 8);
        drop(held);
        let two = Share::of(pool);
        let _first = take_all(&one, 3);
        let second = take_all(&two, 100);
        assert_eq!(second.len(), 4, "a place is left for whoever comes");
        assert_eq!(take_all(&one, 100).len(), 1);
    }

    #[test]
    fn the_slow_leave_room_for_the_others() {
        let pool = Pool::new(4_096, true);
        let slow: Vec<_> = (0..1_000).map(|_| Share::of(pool.clone())).collect();
        let mut held = Vec::new();
        for _ in 0..16 {
            for share in &slow {
                held.extend(share.place());
            }
        }
        assert_eq!(held.len(), 4_000, "a share each, and the rest is left");
        for _ in 0..9_000 {
            let healthy = Share::of(pool.clone());
            assert_eq!(take_all(&healthy, 2).len(), 2);
        }
    }

    #[test]
    fn a_hosts_limit_is_never_passed() {
        let pool = Pool::new(2, false);
        let shares: Vec<_> = (0..5).map(|_| Share::of(pool.clone())).collect();
        let held: Vec<_> = shares.iter().filter_map(|share| share.place().ok()).collect();
        assert_eq!(held.len(), 2);
    }

    #[tokio::test]
    async fn whoever_has_less_than_a_share_is_woken_first() {
        let pool = Pool::new(2, false);
        let (one, two) = (Share::of(pool.clone()), Share::of(pool));
        let mut held = take_all(&one, 2);
        let greedy = one.place().unwrap_err().wait();
        let hungry = two.place().unwrap_err().wait();
        held.pop();
        let first = tokio::select! {
            biased;
            () = greedy.freed() => "greedy",
            () = hungry.freed() => "hungry",
        };
        assert_eq!(first, "hungry");
        assert!(two.place().is_ok());
    }
}
