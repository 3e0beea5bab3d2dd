//! What a role sees of what its node holds: what it may begin, and what it says to have ended.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::{
    clock::Clock,
    event::Micros,
    store::{Share, Work},
};

/// How long what has ended, or changed elsewhere, is gathered: work moves in a burst, and each look at what
/// there is to claim reads all of it.
pub(super) const GATHERED: Duration = Duration::from_millis(50);

/// What a node holds at present; nothing of a kind that is not named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holdings {
    pub(super) shares: BTreeMap<Work, Share>,
    /// See [`Member::grace`](crate::store::Member::grace).
    pub(super) grace: Duration,
}

impl Holdings {
    /// All work there is.
    #[must_use]
    pub fn everything() -> Self {
        let shares = Work::ALL.map(|work| (work, Share::Everything)).into();
        Self { shares, grace: Duration::ZERO }
    }

    /// What is held of one kind.
    #[must_use]
    pub fn of(&self, work: Work) -> &Share {
        static NOTHING: Share = Share::Nothing;
        self.shares.get(&work).unwrap_or(&NOTHING)
    }
}

#[cfg(test)]
impl Holdings {
    /// Pieces of one kind.
    pub(crate) fn these<const N: usize>(work: Work, numbers: [i64; N]) -> Self {
        Self { shares: [(work, Share::These(numbers.into()))].into(), ..Self::default() }
    }
}

/// Until when work that is held may be begun, by the steady reading; the largest: without an end.
pub(super) type Term = Arc<AtomicI64>;

/// Until when anything that is held may be begun: known to a process that stood still before it is told
/// of anything.
#[derive(Debug, Clone)]
pub struct Until(Term);

impl Until {
    /// Whether that is over at `now`, by the steady reading.
    #[must_use]
    pub fn is_over(&self, now: Micros) -> bool {
        now.0 >= self.0.load(Ordering::Acquire)
    }
}

/// What roles have ended, that others may begin it before its grace is over.
#[derive(Debug, Default)]
pub(super) struct Ended {
    pub(super) pieces: Mutex<BTreeMap<Work, BTreeSet<i64>>>,
    some: Notify,
}

impl Ended {
    /// Waits until something has ended, and for what ends at the same moment.
    pub(super) async fn gathered(&self, clock: &Clock) {
        self.some.notified().await;
        clock.pause(GATHERED).await;
    }
}

/// What a role may do, now and after every change of it.
#[derive(Debug, Clone)]
pub struct Claimed {
    now: watch::Receiver<Holdings>,
    term: Term,
    ended: Arc<Ended>,
    work: Work,
    /// What was looked at last.
    seen: Share,
}

impl Claimed {
    pub(super) fn new(
        now: watch::Receiver<Holdings>,
        term: Term,
        ended: Arc<Ended>,
        work: Work,
    ) -> Self {
        let seen = now.borrow().of(work).clone();
        Self { now, term, ended, work, seen }
    }

    /// All of a kind, for good: the role is alone.
    #[must_use]
    pub fn everything(work: Work) -> Self {
        Self::new(
            watch::channel(Holdings::everything()).1,
            Arc::new(AtomicI64::new(i64::MAX)),
            Arc::default(),
            work,
        )
    }

    /// What a test tells to be held, for good.
    #[cfg(test)]
    pub(crate) fn told(now: watch::Receiver<Holdings>, work: Work) -> Self {
        Self::new(now, Arc::new(AtomicI64::new(i64::MAX)), Arc::default(), work)
    }

    /// Takes in what is held now, which is then gone by until the next look; whether that is something
    /// else than at the last one. Whoever acts on differences alone has to ask: what woke it may have
    /// been another thing.
    pub fn look(&mut self) -> bool {
        let now = self.now.borrow_and_update().of(self.work).clone();
        std::mem::replace(&mut self.seen, now) != self.seen
    }

    /// Whether a piece was held at the last look.
    #[must_use]
    pub fn has(&self, number: i64) -> bool {
        self.seen.has(number)
    }

    /// What is held at present.
    #[must_use]
    pub fn share(&self) -> Share {
        self.now.borrow().of(self.work).clone()
    }

    /// Whether a piece may be begun at `now`, by the steady reading; known before anybody looks. A
    /// process that stood still finds its term over before it is told of anything.
    #[must_use]
    pub fn may_begin(&self, number: i64, now: Micros) -> bool {
        now.0 < self.term.load(Ordering::Acquire) && self.now.borrow().of(self.work).has(number)
    }

    /// Until when anything may be begun, for who has to ask at the last moment.
    #[must_use]
    pub fn until(&self) -> Until {
        Until(self.term.clone())
    }

    /// Says that nothing of a piece that is not held any more is under way.
    pub fn ended(&self, number: i64) {
        self.ended.pieces.lock().entry(self.work).or_default().insert(number);
        self.ended.some.notify_one();
    }

    /// How long what was begun may last after its work is not held any more.
    #[must_use]
    pub fn grace(&self) -> Duration {
        self.now.borrow().grace
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.now.borrow().of(self.work).is_empty()
    }

    /// Waits until something else is held than at the last look; for ever when that cannot be any
    /// more. What has changed since then is not missed.
    pub async fn changed(&mut self) {
        let seen = &self.seen;
        wait(&mut self.now, self.work, |share| share != seen).await;
    }

    /// Waits until something is held; for ever when that cannot be any more.
    pub async fn any(&mut self) {
        wait(&mut self.now, self.work, |share| !share.is_empty()).await;
    }
}

async fn wait(now: &mut watch::Receiver<Holdings>, work: Work, until: impl Fn(&Share) -> bool) {
    if now.wait_for(|now| until(now.of(work))).await.is_err() {
        std::future::pending::<()>().await;
    }
}
