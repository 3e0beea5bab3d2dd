//! A node among others, with a store that answers as it is told.

use std::collections::{BTreeSet, VecDeque};

use async_trait::async_trait;
use parking_lot::Mutex;

use super::*;
use crate::clock::ManualClock;
use crate::store::MemberState;

const TERM: Duration = Duration::from_secs(10);

/// A store that answers as it is told, and notes what it is asked.
#[derive(Default)]
struct Scripted {
    free: Mutex<BTreeSet<i64>>,
    failures: Mutex<VecDeque<StoreError>>,
    asked: Mutex<Vec<&'static str>>,
    joined: Mutex<u64>,
    leaving: Mutex<BTreeSet<i64>>,
    left: Mutex<BTreeSet<i64>>,
}

impl Scripted {
    fn note(&self, what: &'static str) -> Result<(), StoreError> {
        self.asked.lock().push(what);
        if what == "claim" {
            return Ok(());
        }
        self.failures.lock().pop_front().map_or(Ok(()), Err)
    }

    fn asked(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.asked.lock())
    }
}

#[async_trait]
impl Holding for Scripted {
    async fn join(&self, _new: &NewMember) -> Result<Member, StoreError> {
        self.note("join")?;
        *self.joined.lock() += 1;
        Ok(Member { incarnation: *self.joined.lock(), term: Some(TERM) })
    }

    async fn renew(&self, _member: &Member) -> Result<(), StoreError> {
        self.note("renew")
    }

    async fn claim(&self, _member: &Member, _work: Work) -> Result<Share, StoreError> {
        self.note("claim")?;
        Ok(Share::These(self.free.lock().clone()))
    }

    async fn leaving(&self, _member: &Member) -> Result<BTreeMap<Work, BTreeSet<i64>>, StoreError> {
        Ok([(Work::Source, self.leaving.lock().clone())].into())
    }

    async fn leave(
        &self,
        _member: &Member,
        _work: Work,
        ended: &BTreeSet<i64>,
    ) -> Result<(), StoreError> {
        self.left.lock().extend(ended);
        self.leaving.lock().retain(|number| !ended.contains(number));
        self.note("leave")
    }

    async fn give_back(&self, _member: &Member, _work: Work) -> Result<(), StoreError> {
        self.note("give back")
    }

    async fn members(&self) -> Result<Vec<MemberState>, StoreError> {
        Ok(Vec::new())
    }
}

fn holder(store: &Arc<Scripted>, clock: &ManualClock) -> Holder {
    let new =
        NewMember { name: "one".into(), roles: Vec::new(), work: BTreeSet::from([Work::Source]) };
    Holder::new(store.clone(), Clock::Manual(clock.clone()), new)
}

fn clock() -> ManualClock {
    ManualClock::new(Micros(1_800_000_000_000_000))
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[tokio::test]
async fn a_node_joins_once_and_holds_what_it_claims() {
    let (store, clock) = (Arc::new(Scripted::default()), clock());
    let mut holder = holder(&store, &clock);
    let mut held = holder.held(Work::Source);
    assert!(held.is_empty());
    store.free.lock().extend([1, 2]);
    holder.step().await.unwrap();
    held.look();
    assert!(held.has(1) && held.has(2) && !held.has(3));
    assert!(holder.held(Work::Subscription).is_empty(), "it has no such role");
    store.free.lock().insert(3);
    holder.step().await.unwrap();
    held.look();
    assert!(held.has(3));
    assert_eq!(store.asked(), ["join", "claim", "renew", "claim"]);
}

#[tokio::test]
async fn what_may_be_somebody_elses_is_let_go_before_its_term_ends() {
    let (store, clock) = (Arc::new(Scripted::default()), clock());
    let mut holder = holder(&store, &clock);
    let mut held = holder.held(Work::Source);
    store.free.lock().insert(1);
    holder.step().await.unwrap();
    for _ in 0..3 {
        store.failures.lock().push_back(StoreError::Closed);
    }
    for (after, is_held) in [(0, true), (7, true), (1, false)] {
        clock.advance(seconds(after));
        holder.step().await.unwrap_err();
        held.look();
        assert_eq!(held.has(1), is_held, "{after} s on");
    }
    holder.step().await.unwrap();
    held.look();
    assert!(held.has(1), "nobody took it");
    assert_eq!(store.asked().last(), Some(&"claim"));
    assert_eq!(*store.joined.lock(), 1);
}

#[tokio::test]
async fn a_node_whose_term_ran_out_holds_nothing_and_joins_again() {
    let (store, clock) = (Arc::new(Scripted::default()), clock());
    let mut holder = holder(&store, &clock);
    let mut held = holder.held(Work::Source);
    store.free.lock().insert(1);
    holder.step().await.unwrap();
    store.failures.lock().push_back(StoreError::Stale);
    assert!(matches!(holder.step().await, Err(StoreError::Stale)));
    held.look();
    assert!(!held.has(1));
    holder.step().await.unwrap();
    held.look();
    assert!(held.has(1));
    assert_eq!(*store.joined.lock(), 2);
}

/// Waits for something else to be held, while changes are gathered.
async fn told(held: &mut Claimed, clock: &ManualClock) {
    while tokio::time::timeout(Duration::from_millis(5), held.changed()).await.is_err() {
        clock.advance(GATHERED);
    }
}

#[tokio::test]
async fn a_term_is_renewed_in_time_and_given_back_at_the_end() {
    let (store, clock) = (Arc::new(Scripted::default()), clock());
    let mut holder = holder(&store, &clock);
    let mut held = holder.held(Work::Source);
    holder.step().await.unwrap();
    held.look();
    let (changes, stop) = (watch::Sender::new(0), CancellationToken::new());
    let task = tokio::spawn(holder.run(changes.subscribe(), stop.clone()));
    store.free.lock().insert(1);
    clock.advance(seconds(3));
    // The time for it has not come, and nothing was told.
    assert!(tokio::time::timeout(Duration::from_millis(20), held.changed()).await.is_err());
    clock.advance(seconds(1));
    held.changed().await;
    held.look();
    assert!(held.has(1));
    store.free.lock().insert(2);
    changes.send_replace(1);
    told(&mut held, &clock).await;
    held.look();
    assert!(held.has(2));
    stop.cancel();
    task.await.unwrap();
    assert_eq!(store.asked(), ["join", "claim", "renew", "claim", "renew", "claim", "give back"]);
}

#[tokio::test]
async fn a_store_that_fails_is_asked_again_soon() {
    let (store, clock) = (Arc::new(Scripted::default()), clock());
    let mut holder = holder(&store, &clock);
    let mut held = holder.held(Work::Source);
    store.free.lock().insert(1);
    store.failures.lock().push_back(StoreError::Closed);
    let (changes, stop) = (watch::Sender::new(0), CancellationToken::new());
    holder.step().await.unwrap_err();
    assert_eq!(holder.next(true), Some(clock.now().plus(PAUSE)));
    let task = tokio::spawn(holder.run(changes.subscribe(), stop.clone()));
    changes.send_replace(1);
    told(&mut held, &clock).await;
    held.look();
    assert!(held.has(1));
    stop.cancel();
    task.await.unwrap();
}

#[tokio::test]
async fn a_change_between_a_look_and_a_wait_is_not_missed() {
    let (store, clock) = (Arc::new(Scripted::default()), clock());
    let mut holder = holder(&store, &clock);
    let mut held = holder.held(Work::Source);
    held.look();
    store.free.lock().insert(1);
    holder.step().await.unwrap();
    assert!(!held.has(1), "not looked at yet");
    held.changed().await;
    held.look();
    assert!(held.has(1));
}

#[tokio::test]
async fn what_a_node_leaves_is_free_as_soon_as_it_may_be() {
    let (store, clock) = (Arc::new(Scripted::default()), clock());
    *store.free.lock() = BTreeSet::from([1, 2]);
    let mut holder = holder(&store, &clock);
    holder.step().await.unwrap();
    let renewal = holder.clock.steady().plus(TERM / RENEW_PART);
    assert_eq!(holder.next(false), Some(renewal));
    *store.free.lock() = BTreeSet::from([1]);
    *store.leaving.lock() = BTreeSet::from([2]);
    holder.step().await.unwrap();
    let grace = Member { incarnation: 1, term: Some(TERM) }.grace();
    assert_eq!(holder.next(false), Some(holder.clock.steady().plus(grace)));
    // However often it is asked meanwhile.
    clock.advance(grace / 2);
    holder.step().await.unwrap();
    assert_eq!(holder.next(false), Some(holder.clock.steady().plus(grace / 2)));
    assert!(store.left.lock().is_empty(), "roles may be at it");
    clock.advance(grace / 2);
    holder.step().await.unwrap();
    assert_eq!(*store.left.lock(), BTreeSet::from([2]));
    assert_eq!(holder.next(false), Some(holder.clock.steady().plus(TERM / RENEW_PART)));
}

#[tokio::test]
async fn what_roles_have_ended_is_free_at_once() {
    let (store, clock) = (Arc::new(Scripted::default()), clock());
    *store.free.lock() = BTreeSet::from([1, 2]);
    let mut holder = holder(&store, &clock);
    let held = holder.held(Work::Source);
    holder.step().await.unwrap();
    *store.free.lock() = BTreeSet::from([1]);
    holder.step().await.unwrap();
    assert!(!store.asked().contains(&"leave"), "nothing has ended");
    held.ended(2);
    holder.step().await.unwrap();
    assert_eq!(store.asked(), ["renew", "leave", "claim"]);
    assert_eq!(*store.left.lock(), BTreeSet::from([2]));
    holder.step().await.unwrap();
    assert_eq!(store.asked(), ["renew", "claim"], "told once");
}
