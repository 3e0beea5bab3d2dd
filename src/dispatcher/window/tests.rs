//! The window by example; [`model`] holds it against a model.

use std::collections::BTreeMap;

use super::*;
use crate::{
    event::{Data, Epoch},
    sift::FREE,
    store::{DeadReason, LastAnswer, Settlement},
};

mod lanes;
mod model;

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
        topic_id: 5,
        fence: 3,
        reach: Version(0),
        open: vec![],
        exceptions: vec![],
        dead_up_to: Version(0),
        job: None,
        saved: Micros(0),
    }
}

fn rules() -> Rules {
    Rules {
        order: Order::None,
        batch: None,
        wants_all: true,
        max_exceptions: 9,
        overtaken_max: Duration::from_mins(1),
        at_most_once: false,
        stop_key: false,
    }
}

fn keyed() -> Rules {
    Rules { order: Order::Key, ..rules() }
}

fn window(state: PositionState) -> Window {
    Window::new(state, rules())
}

/// Odd and even versions are two keys.
fn by_parity(event: &Event) -> Sifted {
    Sifted::Wanted { lane: 1 + event.version.0 % 2, priority: 0 }
}

fn free(_: &Event) -> Sifted {
    Sifted::Wanted { lane: FREE, priority: 0 }
}

fn first(take: Option<Take>) -> Option<u64> {
    take.map(|take| take.versions[0].0.0)
}

fn all(take: Option<Take>) -> Vec<u64> {
    take.map(|take| take.versions.iter().map(|(version, _)| version.0).collect())
        .unwrap_or_default()
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
    let put = |version: &Version| settlement.put.iter().any(|put| put.version == *version);
    for letter in &settlement.dead {
        state.dead_up_to = state.dead_up_to.max(letter.version);
        if !put(&letter.version) {
            kept.remove(&letter.version);
        }
    }
    for version in &settlement.clear {
        kept.remove(version);
    }
    state.exceptions = kept.into_values().collect();
}

#[test]
fn what_was_open_is_started_again_before_what_is_new() {
    let state = PositionState { reach: Version(5), open: vec![Version(3)], ..saved() };
    let mut window = window(state);
    window.extend(events(4..=7), NOW, free);
    assert_eq!((window.ready().0, window.end()), (2, Version(7)));
    assert_eq!(first(window.start_new(1, NOW)), Some(3));
    assert_eq!(first(window.start_new(1, NOW)), Some(6));
    let settlement = window.save(NOW).unwrap();
    assert_eq!(settlement.open, [Version(3), Version(6)]);
    assert_eq!(settlement.reach, Version(6));
    assert!(window.save(NOW).is_none());
}

#[test]
fn an_open_version_with_an_exception_is_a_retry() {
    let exceptions = vec![exception(Version(2), 50)];
    let state = PositionState { reach: Version(5), open: vec![Version(2)], exceptions, ..saved() };
    let mut window = window(state);
    assert_eq!(window.next_new(), None);
    assert_eq!(window.start_due(Micros(49)), None);
    let take = window.start_due(Micros(50)).unwrap();
    assert!(take.is_retry);
    assert_eq!(take.versions[0].0, Version(2));
    assert!(window.settle(Version(2), Settled::Delivered));
    assert!(!window.settle(Version(2), Settled::Delivered), "settled twice");
    assert_eq!(window.save(NOW).unwrap().clear, [Version(2)]);
}

#[test]
fn the_oldest_is_the_lowest_version_that_is_due() {
    let exceptions = [(2, 90), (3, 20), (4, 10)].map(|(v, due)| exception(Version(v), due));
    let state = PositionState { reach: Version(9), exceptions: exceptions.into(), ..saved() };
    let mut window = window(state);
    assert_eq!(first(window.start_oldest(Micros(50))), Some(3));
    assert_eq!(first(window.start_oldest(Micros(50))), Some(4));
    assert_eq!(window.start_oldest(Micros(50)), None);
}

#[test]
fn a_failed_save_is_part_of_the_next() {
    let mut window = window(saved());
    window.extend(events(1..=3), NOW, free);
    for _ in 0..3 {
        window.start_new(1, NOW);
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
    let mut window = window(PositionState { dead_up_to: Version(1), ..saved() });
    window.extend(events(1..=2), NOW, free);
    window.start_new(1, NOW);
    window.start_new(1, NOW);
    window.settle(Version(1), Settled::Delivered);
    window.settle(Version(2), Settled::Delivered);
    assert_eq!(window.save(NOW).unwrap().undead, [Version(1)]);
}

#[test]
fn a_merge_takes_what_is_new_and_not_what_was_settled_meanwhile() {
    let exceptions = vec![exception(Version(2), 0)];
    let state = PositionState { reach: Version(9), exceptions, ..saved() };
    let mut window = window(state.clone());
    window.begin_merge();
    window.start_due(NOW);
    window.settle(Version(2), Settled::Delivered);
    let mut read = state;
    read.exceptions.push(exception(Version(4), 0));
    window.merge(read);
    assert_eq!(first(window.start_due(NOW)), Some(4));
    assert_eq!(window.start_due(NOW), None);
}

#[test]
fn what_nobody_wants_moves_the_reach_and_is_no_hurry_to_save() {
    let mut window = Window::new(saved(), Rules { wants_all: false, ..rules() });
    let every_third = |event: &Event| match event.version.0 % 3 {
        0 => Sifted::Wanted { lane: FREE, priority: 0 },
        1 => Sifted::Skipped,
        _ if event.version.0 == 5 => Sifted::Broken("no".into()),
        _ => Sifted::Skipped,
    };
    window.extend(events(1..=7), NOW, every_third);
    assert_eq!(
        (window.reach(), window.is_unsaved(), window.is_behind()),
        (Version(2), false, true)
    );
    let take = window.start_new(1, NOW).unwrap();
    assert_eq!((take.versions[0].0, take.previous), (Version(3), None));
    assert_eq!(window.reach(), Version(5), "over what is broken, too");
    let take = window.start_new(1, NOW).unwrap();
    assert_eq!((take.versions[0].0, take.previous), (Version(6), Some(Version(3))));
    assert_eq!(window.reach(), Version(7));
    let settlement = window.save(NOW).unwrap();
    assert_eq!(settlement.dead.len(), 1);
    assert_eq!(settlement.dead[0].reason, DeadReason::Expression);
    window.settle(Version(6), Settled::Retry(exception(Version(6), 0)));
    assert_eq!(window.start_due(NOW).unwrap().previous, Some(Version(3)));
}

#[test]
fn a_batch_waits_for_its_time_or_its_number() {
    let batch = Some(BatchPolicy { max_events: 3, max_wait: Duration::from_secs(2) });
    let mut window = Window::new(saved(), Rules { batch, ..rules() });
    window.extend(events(1..=2), NOW, free);
    let later = NOW.plus(Duration::from_secs(2));
    assert_eq!(window.next_new(), Some(later));
    window.extend(events(3..=4), later, free);
    assert_eq!(window.next_new(), Some(Micros(0)));
    assert_eq!(all(window.start_new(3, NOW)), [1, 2, 3]);
    assert_eq!(window.next_new(), Some(later.plus(Duration::from_secs(2))));
}

#[test]
fn a_batch_that_fails_goes_in_halves_before_anything_else() {
    let batch = Some(BatchPolicy { max_events: 5, max_wait: Duration::ZERO });
    let mut window = Window::new(saved(), Rules { batch, ..rules() });
    window.extend(events(1..=9), NOW, free);
    assert_eq!(all(window.start_new(5, NOW)), [1, 2, 3, 4, 5]);
    let five: Vec<Version> = (1..=5).map(Version).collect();
    window.split(&five);
    assert_eq!(window.save(NOW).unwrap().open, five);
    assert_eq!(all(window.start_new(5, NOW)), [1, 2, 3]);
    assert_eq!(all(window.start_new(5, NOW)), [4, 5]);
    assert_eq!(all(window.start_new(5, NOW)), [6, 7, 8, 9]);
    window.split(&[Version(4), Version(5)]);
    assert_eq!(all(window.start_new(1, NOW)), [4]);
    window.settle(Version(4), Settled::Delivered);
    assert_eq!(all(window.start_new(9, NOW)), [5]);
}

#[test]
fn what_is_sent_at_most_once_is_settled_before() {
    let exceptions = vec![exception(Version(1), 0)];
    let state = PositionState { reach: Version(1), exceptions, ..saved() };
    let mut window = Window::new(state, Rules { at_most_once: true, ..rules() });
    window.extend(events(2..=3), NOW, free);
    window.start_due(NOW).unwrap();
    window.start_new(1, NOW).unwrap();
    let settlement = window.save(NOW).unwrap();
    assert_eq!((settlement.reach, &settlement.open[..]), (Version(2), &[][..]));
    assert_eq!((&settlement.clear[..], settlement.put.len()), (&[Version(1)][..], 0));
    // The save failed: nothing was sent, and all of it is owed again.
    window.settle(Version(1), Settled::Back);
    window.settle(Version(2), Settled::Back);
    window.unsave(settlement);
    let settlement = window.save(NOW).unwrap();
    assert_eq!((&settlement.open[..], settlement.put.len()), (&[Version(2)][..], 1));
    assert!(settlement.clear.is_empty());
}
