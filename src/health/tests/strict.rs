//! Endpoints under a strict order, where one event is asked at a time.

use super::*;

/// One failure with a clear answer, of an event that the order lets nobody overtake.
fn alone(health: &mut Health, version: u64, second: u64) -> Learnt {
    let delivery = (1, Version(version));
    health.begin(delivery);
    let ended = Ended {
        delivery,
        started: at(second),
        fault: Some(Fault::Event),
        retry_after: Duration::ZERO,
        stands_out: false,
        is_ours: false,
        is_alone: true,
    };
    let learnt = health.learn(ended, &HoldPolicy::default(), CEILING, at(second));
    health.end(delivery);
    learnt
}

#[test]
fn an_endpoint_that_gave_no_answer_and_gives_a_clear_one_is_back_under_a_strict_order() {
    let mut health = held();
    assert!(health.is_holding());
    assert!(alone(&mut health, 9, 5).changed);
    assert!(!health.is_holding(), "nobody else can tell that it is back");
    assert_eq!(alone(&mut health, 9, 6).recovered, None, "not before a success");
}

#[test]
fn an_endpoint_that_refuses_every_event_stays_on_hold_under_a_strict_order() {
    let mut health = Health::default();
    for version in [1, 1, 1, 1, 2] {
        alone(&mut health, version, 0);
    }
    assert!(health.is_holding(), "two events were refused");
    for second in [5, 15, 35] {
        alone(&mut health, 2, second);
        assert!(health.is_holding());
    }
}

#[test]
fn a_recovery_is_told_after_an_operator_has_resumed() {
    let mut health = held();
    let since = health.hold.as_ref().map(|hold| hold.since);
    health.resume(at(6), at(6));
    let text = health.stored(&clock(6));
    let mut health = Health::load(Some(&text), &clock(6));
    assert_eq!(health.succeed(CEILING, at(7)).recovered, since);
    assert_eq!(health.succeed(CEILING, at(8)).recovered, None);
}
