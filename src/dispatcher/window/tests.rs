//! The window against a model: no version is skipped, none settled twice, nothing is lost by a
//! crash, everything is bounded.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::{
    event::{Data, Epoch},
    store::{DeadReason, LastAnswer},
};

const NOW: Micros = Micros(1_000_000);

fn event(version: u64) -> Arc<Event> {
    Arc::new(Event {
        version: Version(version),
        epoch: Epoch(1),
        recorded: NOW,
        attributes: "{}".into(),
        data: Data::None,
    })
}

fn events(range: std::ops::RangeInclusive<u64>) -> Vec<Arc<Event>> {
    range.map(event).collect()
}

fn exception(version: Version, due: i64) -> Exception {
    Exception {
        version,
        kind: ExceptionKind::Retry,
        attempts: 1,
        tries: 1,
        due: Micros(due),
        first: NOW,
        successes: 0,
        stands_out: false,
        last: LastAnswer::default(),
        event: None,
        lane: None,
    }
}

fn letter(version: Version) -> NewDeadLetter {
    NewDeadLetter {
        version,
        reason: DeadReason::Attempts,
        attempts: 1,
        first: NOW,
        last: LastAnswer::default(),
    }
}

fn saved() -> PositionState {
    PositionState {
        id: 7,
        subscription: 1,
        topic: "t".parse().unwrap(),
        fence: 3,
        reach: Version(0),
        open: vec![],
        exceptions: vec![],
        dead_up_to: Version(0),
        job: None,
    }
}

/// What a store does with a settlement.
fn apply(state: &mut PositionState, settlement: &Settlement) {
    assert_eq!((settlement.position, settlement.fence), (state.id, state.fence));
    assert!(settlement.reach >= state.reach);
    state.reach = settlement.reach;
    state.open.clone_from(&settlement.open);
    let mut kept: BTreeMap<_, _> =
        state.exceptions.drain(..).map(|exception| (exception.version, exception)).collect();
    kept.extend(settlement.put.iter().map(|put| (put.version, put.clone())));
    let dead = settlement.dead.iter().map(|letter| &letter.version);
    for version in settlement.clear.iter().chain(dead) {
        kept.remove(version);
        state.dead_up_to = state.dead_up_to.max(*version);
    }
    state.exceptions = kept.into_values().collect();
}

#[test]
fn what_was_open_is_started_again_before_what_is_new() {
    let state = PositionState { reach: Version(5), open: vec![Version(3)], ..saved() };
    let mut window = Window::new(state);
    window.extend(events(4..=7));
    assert_eq!((window.ready().0, window.end()), (2, Version(7)));
    assert_eq!(window.start_new().unwrap().0, Version(3));
    assert_eq!(window.start_new().unwrap().0, Version(6));
    let settlement = window.save(NOW).unwrap();
    assert_eq!(settlement.open, [Version(3), Version(6)]);
    assert_eq!(settlement.reach, Version(6));
    assert!(window.save(NOW).is_none());
}

#[test]
fn an_open_version_with_an_exception_is_a_retry() {
    let exceptions = vec![exception(Version(2), 50)];
    let state = PositionState { reach: Version(5), open: vec![Version(2)], exceptions, ..saved() };
    let mut window = Window::new(state);
    assert!(!window.has_new(9));
    assert_eq!(window.start_due(Micros(49)), None);
    assert_eq!(window.start_due(Micros(50)), Some(Version(2)));
    assert!(window.settle(Version(2), Settled::Delivered));
    assert!(!window.settle(Version(2), Settled::Delivered), "settled twice");
    assert_eq!(window.save(NOW).unwrap().clear, [Version(2)]);
}

#[test]
fn parked_exceptions_are_kept_and_not_started() {
    let parked = Exception { kind: ExceptionKind::Parked, ..exception(Version(2), 0) };
    let state = PositionState { reach: Version(5), exceptions: vec![parked], ..saved() };
    let mut window = Window::new(state);
    assert_eq!((window.next_due(), window.start_oldest(NOW)), (None, None));
    assert!(!window.has_room(1));
}

#[test]
fn the_oldest_is_the_lowest_version_that_is_due() {
    let exceptions = [(2, 90), (3, 20), (4, 10)].map(|(v, due)| exception(Version(v), due));
    let state = PositionState { reach: Version(9), exceptions: exceptions.into(), ..saved() };
    let mut window = Window::new(state);
    assert_eq!(window.start_oldest(Micros(50)), Some(Version(3)));
    assert_eq!(window.start_oldest(Micros(50)), Some(Version(4)));
    assert_eq!(window.start_oldest(Micros(50)), None);
}

#[test]
fn a_failed_save_is_part_of_the_next() {
    let mut window = Window::new(saved());
    window.extend(events(1..=3));
    for _ in 0..3 {
        window.start_new();
    }
    window.settle(Version(1), Settled::Delivered);
    window.settle(Version(2), Settled::Retry(exception(Version(2), 5)));
    window.settle(Version(3), Settled::Dead(letter(Version(3))));
    let failed = window.save(NOW).unwrap();
    window.start_due(NOW);
    window.settle(Version(2), Settled::Delivered);
    window.unsave(failed);
    let settlement = window.save(NOW).unwrap();
    assert!(settlement.put.is_empty());
    assert_eq!((settlement.delivered, &settlement.clear[..]), (2, &[Version(2)][..]));
    assert_eq!(settlement.dead.len(), 1);
}

#[test]
fn a_delivery_at_or_below_the_highest_dead_letter_clears_one() {
    let mut window = Window::new(PositionState { dead_up_to: Version(1), ..saved() });
    window.extend(events(1..=2));
    window.start_new();
    window.start_new();
    window.settle(Version(1), Settled::Delivered);
    window.settle(Version(2), Settled::Delivered);
    assert_eq!(window.save(NOW).unwrap().undead, [Version(1)]);
}

#[test]
fn a_merge_takes_what_is_new_and_not_what_was_settled_meanwhile() {
    let exceptions = vec![exception(Version(2), 0)];
    let state = PositionState { reach: Version(9), exceptions, ..saved() };
    let mut window = Window::new(state.clone());
    window.begin_merge();
    window.start_due(NOW);
    window.settle(Version(2), Settled::Delivered);
    let mut read = state;
    read.exceptions.push(exception(Version(4), 0));
    window.merge(read);
    assert_eq!(window.start_due(NOW), Some(Version(4)));
    assert_eq!(window.start_due(NOW), None);
}

#[derive(Debug, Clone)]
enum Op {
    Append(u64),
    New,
    Due,
    Oldest,
    Settle(u8, u8),
    Save,
    FailedSave,
    Crash,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        2 => (1..6_u64).prop_map(Op::Append),
        6 => Just(Op::New),
        2 => Just(Op::Due),
        1 => Just(Op::Oldest),
        8 => (any::<u8>(), any::<u8>()).prop_map(|(at, how)| Op::Settle(at, how)),
        2 => Just(Op::Save),
        1 => Just(Op::FailedSave),
        1 => Just(Op::Crash),
    ];
    prop::collection::vec(op, 1..200)
}

const CONCURRENCY: usize = 4;
const MAX_EXCEPTIONS: usize = 8;

struct Model {
    window: Window,
    saved: PositionState,
    head: u64,
    /// Versions settled for good within this life, and of those the ones on disk.
    settled: BTreeSet<Version>,
    settled_saved: BTreeSet<Version>,
}

impl Model {
    fn step(&mut self, op: &Op) {
        match op {
            Op::Append(count) => {
                self.window.extend(events(self.head + 1..=self.head + count));
                self.head += count;
            }
            Op::New if self.may_start() && self.window.has_room(MAX_EXCEPTIONS) => {
                self.window.start_new();
            }
            Op::Due if self.may_start() => drop(self.window.start_due(NOW)),
            Op::Oldest if self.may_start() => drop(self.window.start_oldest(NOW)),
            Op::Settle(at, how) => self.settle(usize::from(*at), *how),
            Op::Save => {
                if let Some(settlement) = self.window.save(NOW) {
                    apply(&mut self.saved, &settlement);
                }
                self.settled_saved.clone_from(&self.settled);
            }
            Op::FailedSave => {
                if let Some(settlement) = self.window.save(NOW) {
                    self.window.unsave(settlement);
                }
            }
            Op::Crash => {
                self.window = Window::new(self.saved.clone());
                self.window.extend(events(self.saved.reach.0 + 1..=self.head));
                self.settled.clone_from(&self.settled_saved);
            }
            _ => {}
        }
    }

    fn may_start(&self) -> bool {
        self.window.in_flight() < CONCURRENCY
    }

    fn settle(&mut self, at: usize, how: u8) {
        let flying: Vec<_> = self.window.flying.iter().copied().collect();
        let Some(version) = flying.get(at % flying.len().max(1)).copied() else { return };
        let settled = match how % 5 {
            0 | 1 => Settled::Delivered,
            2 => Settled::Retry(exception(version, NOW.0)),
            3 => Settled::Dead(letter(version)),
            _ => Settled::Back,
        };
        if matches!(settled, Settled::Delivered | Settled::Dead(_)) {
            assert!(self.settled.insert(version), "{version} settled twice");
        }
        assert!(self.window.settle(version, settled));
    }

    /// Every version is in exactly the place it should be.
    fn check(&self) {
        let window = &self.window;
        assert!(window.in_flight() <= CONCURRENCY);
        assert!(window.open().count() <= CONCURRENCY);
        assert!(window.exceptions.len() <= MAX_EXCEPTIONS);
        assert_eq!(window.end(), Version(self.head.max(window.reach.0)));
        for version in (1..=window.reach.0).map(Version) {
            let owed = window.again.contains(&version)
                || window.flying.contains(&version)
                || window.exceptions.contains_key(&version);
            assert_ne!(owed, self.settled.contains(&version), "{version}");
        }
    }
}

proptest! {
    #[test]
    fn nothing_is_skipped_lost_or_settled_twice(ops in ops()) {
        let mut model = Model {
            window: Window::new(saved()),
            saved: saved(),
            head: 0,
            settled: BTreeSet::new(),
            settled_saved: BTreeSet::new(),
        };
        for op in &ops {
            model.step(op);
            model.check();
        }
        // A last crash, and then everything is delivered: nothing may be missing.
        model.step(&Op::Crash);
        loop {
            let started = model.window.start_due(NOW).or_else(|| {
                model.window.start_new().map(|(version, _)| version)
            });
            let Some(version) = started else { break };
            prop_assert!(model.settled.insert(version));
            model.window.settle(version, Settled::Delivered);
        }
        prop_assert_eq!(model.settled.len() as u64, model.head);
    }
}
