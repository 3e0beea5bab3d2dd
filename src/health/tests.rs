//! Sequences of attempts and what they make of an endpoint.

use proptest::prelude::*;

use super::*;
use crate::{clock::Clock, event::Version};

mod kept;
mod strict;

const START: Micros = Micros(1_000_000_000);
const CEILING: usize = 16;
const EVENT: Option<Fault> = Some(Fault::Event);
const ENDPOINT: Option<Fault> = Some(Fault::Endpoint { throttled: false });
const THROTTLED: Option<Fault> = Some(Fault::Endpoint { throttled: true });

fn at(seconds: u64) -> Micros {
    START.plus(Duration::from_secs(seconds))
}

/// One whole attempt on a version at a second.
fn attempt(health: &mut Health, version: u64, second: u64, fault: Option<Fault>) -> bool {
    asking(health, version, second, fault, 0)
}

fn asking(
    health: &mut Health,
    version: u64,
    second: u64,
    fault: Option<Fault>,
    retry_after_s: u64,
) -> bool {
    let delivery = (1, Version(version));
    health.begin(delivery);
    let ended = Ended {
        delivery,
        started: at(second),
        fault,
        retry_after: Duration::from_secs(retry_after_s),
        stands_out: false,
        is_ours: false,
        is_alone: false,
    };
    let saved = health.learn(ended, &HoldPolicy::default(), CEILING, at(second)).changed;
    health.end(delivery);
    saved
}

fn held() -> Health {
    let mut health = Health::default();
    for version in 1..=5 {
        attempt(&mut health, version, 0, ENDPOINT);
    }
    assert!(health.is_holding());
    health
}

fn clock(second: u64) -> Clock {
    Clock::Manual(crate::clock::ManualClock::new(at(second)))
}

#[test]
fn five_failures_of_two_events_begin_a_hold() {
    let mut health = Health::default();
    for turn in 0..4 {
        attempt(&mut health, 1 + turn % 2, 0, EVENT);
    }
    assert!(!health.is_holding());
    assert!(attempt(&mut health, 1, 0, EVENT), "to be saved");
    assert!(health.is_holding());
}

#[test]
fn a_success_between_begins_the_count_anew() {
    let mut health = Health::default();
    for turn in 0..20 {
        attempt(&mut health, turn, 0, if turn % 5 == 4 { None } else { ENDPOINT });
    }
    assert!(!health.is_holding());
}

#[test]
fn one_event_holds_only_without_a_proper_answer() {
    let mut poison = Health::default();
    let mut crasher = Health::default();
    for _ in 0..5 {
        attempt(&mut poison, 1, 0, EVENT);
        attempt(&mut crasher, 1, 0, ENDPOINT);
    }
    assert!(!poison.is_holding() && crasher.is_holding());
    let mut mixed = Health::default();
    for fault in [ENDPOINT, ENDPOINT, EVENT, ENDPOINT, ENDPOINT] {
        attempt(&mut mixed, 1, 0, fault);
    }
    assert!(!mixed.is_holding());
}

#[test]
fn events_that_stand_out_tell_nothing_of_the_endpoint() {
    let mut health = Health::default();
    for version in 0..50 {
        let delivery = (1, Version(version));
        let retry_after = Duration::ZERO;
        let ended = Ended {
            delivery,
            started: START,
            fault: EVENT,
            retry_after,
            stands_out: true,
            is_ours: false,
            is_alone: false,
        };
        health.learn(ended, &HoldPolicy::default(), CEILING, START);
    }
    assert!(!health.is_holding());
}

#[test]
fn trials_are_one_at_a_time_and_ever_further_apart() {
    let mut health = held();
    let mut second = 0;
    let mut waits = Vec::new();
    for _ in 0..6 {
        let next = health.next_trial().unwrap();
        assert_eq!(health.leave(1, next.minus(Duration::from_micros(1))), Leave::Wait);
        assert!(matches!(health.leave(1, next), Leave::Trial(_)));
        let wait = next.since(at(second)).as_secs();
        waits.push(wait);
        second += wait;
        health.begin((1, Version(99)));
        assert_eq!((health.leave(1, at(9_999)), health.next_trial()), (Leave::Wait, None));
        health.end((1, Version(99)));
        attempt(&mut health, 9, second, ENDPOINT);
    }
    assert_eq!(waits, [5, 10, 20, 40, 60, 60]);
}

#[test]
fn trials_take_turns_between_new_and_oldest_and_between_positions() {
    let mut health = held();
    for position in [1, 2, 5] {
        health.wish(position, true);
    }
    let mut seen = Vec::new();
    for round in 1..=4 {
        let now = at(round * 1_000);
        let position = [1, 2, 5].into_iter().find(|p| health.leave(*p, now) != Leave::Wait);
        let position = position.unwrap();
        let Leave::Trial(turn) = health.leave(position, now) else { panic!() };
        seen.push((position, turn));
        let delivery = (position, Version(1));
        health.begin(delivery);
        health.end(delivery);
    }
    assert_eq!(seen, [(2, Turn::New), (5, Turn::Oldest), (1, Turn::New), (2, Turn::Oldest)]);
    health.wish(5, false);
    assert_eq!(health.leave(1, at(9_000)), Leave::Trial(Turn::New));
}

#[test]
fn late_failures_of_before_do_not_lengthen_the_hold() {
    let mut health = held();
    health.begin((1, Version(50)));
    let late = Ended {
        delivery: (1, Version(77)),
        started: START,
        fault: ENDPOINT,
        retry_after: Duration::ZERO,
        stands_out: false,
        is_ours: false,
        is_alone: false,
    };
    health.learn(late, &HoldPolicy::default(), CEILING, at(1));
    health.end((1, Version(50)));
    assert_eq!(health.next_trial(), Some(at(5)));
}

#[test]
fn the_first_success_ends_the_hold_and_a_slow_start_follows() {
    let mut health = held();
    assert!(attempt(&mut health, 9, 30, None), "to be saved");
    assert!(!health.is_holding());
    assert_eq!(health.stood_still(), Duration::from_secs(30));
    let mut allowed = Vec::new();
    while let Leave::Free(free @ ..=CEILING) = health.leave(1, at(31)) {
        allowed.push(free);
        for version in 0..free as u64 {
            attempt(&mut health, 100 + version, 31, None);
        }
    }
    assert_eq!(allowed, [2, 4, 8]);
    assert_eq!(health.leave(1, at(31)), Leave::Free(usize::MAX));
}

#[test]
fn throttling_halves_once_a_round_and_successes_add_one_a_round() {
    let mut health = Health::default();
    for version in 1..=8 {
        health.begin((1, Version(version)));
    }
    for version in 1..=4 {
        let delivery = (1, Version(version));
        let retry_after = Duration::ZERO;
        let ended = Ended {
            delivery,
            started: START,
            fault: THROTTLED,
            retry_after,
            stands_out: false,
            is_ours: false,
            is_alone: false,
        };
        let saved = health.learn(ended, &HoldPolicy::default(), CEILING, at(1)).changed;
        assert_eq!(saved, version == 1, "it shows as soon as it is so");
        health.end(delivery);
    }
    assert_eq!(health.limit.permitted, Some(8), "of what is permitted, not of what was in flight");
    for version in 5..=8 {
        health.end((1, Version(version)));
    }
    let mut steps = Vec::new();
    for version in 0..17 {
        let before = health.limit.permitted;
        let saved = attempt(&mut health, version, 2, None);
        assert_eq!(saved, health.limit.permitted != before);
        steps.push(health.limit.permitted.unwrap());
    }
    assert_eq!(steps, [[8; 7].as_slice(), &[9; 9], &[10]].concat());
}

#[test]
fn retry_after_of_a_throttled_endpoint_begins_a_hold_of_at_most_the_limit() {
    let mut health = Health::default();
    asking(&mut health, 1, 0, THROTTLED, 90);
    assert_eq!(health.next_trial(), Some(at(90)));
    asking(&mut health, 1, 90, THROTTLED, 1_000_000);
    assert_eq!(health.next_trial(), Some(at(90 + 3_600)));
    let mut other = Health::default();
    asking(&mut other, 1, 0, EVENT, 90);
    assert!(!other.is_holding());
}

#[test]
fn an_endpoint_that_says_how_long_is_taken_at_its_word_first() {
    let mut health = Health::default();
    asking(&mut health, 1, 0, THROTTLED, 1);
    let mut waits = Vec::new();
    let mut second = 0;
    for _ in 0..8 {
        let next = health.next_trial().unwrap();
        waits.push(next.since(at(second)).as_secs());
        second += next.since(at(second)).as_secs();
        asking(&mut health, 1, second, THROTTLED, 1);
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
}

#[test]
fn those_that_were_refused_together_were_refused_once() {
    let mut health = Health::default();
    let refuse = |health: &mut Health, version, started, now| {
        let delivery = (1, Version(version));
        let retry_after = Duration::ZERO;
        let ended = Ended {
            delivery,
            started,
            fault: THROTTLED,
            retry_after,
            stands_out: false,
            is_ours: false,
            is_alone: false,
        };
        health.learn(ended, &HoldPolicy::default(), CEILING, now)
    };
    attempt(&mut health, 200, 0, None);
    for version in 0..100 {
        let learnt = refuse(&mut health, version, START, at(1));
        assert_eq!(learnt.refused, version == 0);
    }
    assert!(!health.is_holding());
    // The next ones, without a success between, are as telling as any.
    for version in 0..4 {
        refuse(&mut health, version, at(2), at(2));
    }
    assert!(health.is_holding());
    let mut dead = Health::default();
    for version in 0..5 {
        refuse(&mut dead, version, START, at(1));
    }
    assert!(dead.is_holding(), "it never took anything");
}

#[test]
fn whoever_gives_way_waits_only_while_little_is_permitted() {
    let mut health = Health::default();
    health.wish(1, true);
    assert_eq!(health.leave_last(2, START), Leave::Free(usize::MAX));
    asking(&mut health, 1, 0, THROTTLED, 0);
    assert_eq!(health.leave_last(2, START), Leave::Wait);
    health.wish(1, false);
    assert_eq!(health.leave_last(2, START), Leave::Free(8));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(crate::cases()))]

    /// Whatever happens, somebody may go on sooner or later, and the counts hold.
    #[test]
    fn nobody_waits_for_ever(steps in prop::collection::vec((0..4_u8, 0..6_u64, 0..9_u64), 0..300)) {
        let mut health = Health::default();
        let mut now = 0;
        for (what, version, seconds) in steps {
            now += seconds;
            let fault = [None, EVENT, ENDPOINT, THROTTLED][usize::from(what)];
            asking(&mut health, version, now, fault, seconds * u64::from(what == 3));
            prop_assert_eq!(health.in_flight, 0);
            prop_assert!(health.trial.is_none());
            prop_assert!(health.failures.last.len() <= 5);
            prop_assert!(health.limit.permitted.is_none_or(|n| (1..=CEILING).contains(&n)));
            prop_assert_eq!(health.state == State::Holding, health.is_holding());
            prop_assert_ne!(health.leave(1, at(now + 3_601)), Leave::Wait);
        }
    }

    /// The machine against its rule in the plainest words: the last five that tell of the endpoint
    /// failed, and were of two events or got no proper answer.
    #[test]
    fn a_hold_begins_by_its_rule(steps in prop::collection::vec((0..4_u8, 0..4_u64), 0..60)) {
        let mut health = Health::default();
        let mut row: Vec<(u64, bool)> = Vec::new();
        for (second, (what, version)) in (0..).zip(steps) {
            let fault = [None, EVENT, ENDPOINT, THROTTLED][usize::from(what)];
            attempt(&mut health, version, second, fault);
            match fault {
                None => row.clear(),
                Some(fault) => row.push((version, fault != Fault::Event)),
            }
            let last: Vec<_> = row.iter().rev().take(5).collect();
            let of_one = last.iter().all(|(version, _)| *version == last[0].0);
            let expected = last.len() == 5 && (!of_one || last.iter().all(|(_, endpoint)| *endpoint));
            prop_assert_eq!(health.is_holding(), expected);
            if expected {
                break;
            }
        }
    }
}
