//! What is known of an endpoint in the next process.

use super::*;

#[test]
fn an_endless_hold_is_given_up_and_resuming_forgets_it() {
    let mut health = held();
    let policy = HoldPolicy::default();
    assert!(!health.is_given_up(&policy, at(5 * 86_400 - 1)));
    assert!(health.is_given_up(&policy, at(5 * 86_400)));
    health.resume(at(50), at(80));
    assert!(!health.is_holding());
    assert_eq!(health.stood_still(), Duration::from_secs(80));
}

#[test]
fn what_was_our_own_fault_is_never_given_up() {
    let mut health = held();
    let policy = HoldPolicy::default();
    for day in 1..30 {
        let delivery = (1, Version(9));
        health.begin(delivery);
        let retry_after = Duration::ZERO;
        let (started, fault, stands_out) = (at(day * 86_400), ENDPOINT, false);
        let ended = Ended {
            delivery,
            started,
            fault,
            retry_after,
            stands_out,
            is_ours: true,
            is_alone: false,
        };
        health.learn(ended, &policy, CEILING, started);
        health.end(delivery);
        assert!(!health.is_given_up(&policy, started));
    }
}

#[test]
fn a_hold_outlives_the_process() {
    let mut health = held();
    attempt(&mut health, 9, 5, ENDPOINT);
    let text = health.stored(&clock(5));
    assert!(text.contains(r#""state":"holding""#), "{text}");
    let loaded = Health::load(Some(&text), &clock(7));
    assert_eq!(loaded.next_trial(), Some(at(15)));
    assert!(!Health::load(Some("nonsense"), &clock(7)).is_holding());
    // With its wall set back an hour meanwhile.
    let text = health.stored(&clock(4_000));
    let loaded = Health::load(Some(&text), &clock(400));
    let left = loaded.next_trial().map(|trial| trial.0 - at(400).0);
    assert_eq!(left, health.next_trial().map(|trial| trial.0 - at(4_000).0));
}

#[test]
fn time_when_the_relay_was_down_does_not_count_against_the_endpoint() {
    const DAY: u64 = 86_400;
    let policy = HoldPolicy::default();
    let mut health = held();
    attempt(&mut health, 9, 2 * DAY, ENDPOINT);
    let text = health.stored(&clock(2 * DAY));
    // Six days later.
    let mut health = Health::load(Some(&text), &clock(8 * DAY));
    attempt(&mut health, 9, 8 * DAY, ENDPOINT);
    assert!(!health.is_given_up(&policy, at(8 * DAY)));
    attempt(&mut health, 9, 9 * DAY, ENDPOINT);
    assert!(!health.is_given_up(&policy, at(11 * DAY - 1)));
    assert!(health.is_given_up(&policy, at(11 * DAY)), "two days and three");
    assert!(attempt(&mut health, 9, 11 * DAY, None), "to be saved");
    assert_eq!(health.stood_still(), Duration::from_secs(11 * DAY));
}
