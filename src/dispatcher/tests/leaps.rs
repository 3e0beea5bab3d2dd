//! A wall that is set while events are retried, held and ordered: nothing is early, nothing is late,
//! nothing is given up.

use super::rig::*;
use crate::store::SubscriptionStatus;

const HOUR_US: i64 = 3_600_000_000;
/// An hour and a minute back, an hour and a year forth.
const LEAPS_US: [i64; 4] = [-HOUR_US, -60_000_000, HOUR_US, 365 * 24 * HOUR_US];

#[tokio::test]
async fn a_retry_is_due_when_its_pause_is_over_wherever_the_wall_is_set() {
    for leap in LEAPS_US {
        let mut rig = Rig::running(settings(), 0).await;
        rig.answer(|push| status(if (push.version, push.attempt) == (1, 1) { 500 } else { 200 }));
        rig.publish(1).await;
        rig.judged(1).await;
        rig.clock.set(leap);
        rig.turn(9);
        // New events go as ever.
        rig.publish(1).await;
        rig.judged(2).await;
        assert_eq!(rig.versions(), [1, 2], "early by {leap}");
        rig.turn(1);
        rig.judged(3).await;
        rig.stop().await;
        assert_eq!(rig.versions()[..3], [1, 2, 1], "{leap}");
    }
}

#[tokio::test]
async fn a_retry_is_due_after_a_restart_with_its_wall_set_back() {
    for leap in [-HOUR_US, -60_000_000] {
        let mut rig = Rig::running(settings(), 1).await;
        rig.answer(|push| status(if (push.version, push.attempt) == (1, 1) { 500 } else { 200 }));
        rig.judged(1).await;
        rig.stop().await;
        // A new process: its steady reading begins at its wall.
        rig.clock = crate::clock::ManualClock::new(rig.clock.now().shifted(leap));
        rig.start();
        // It is taken up.
        rig.publish(1).await;
        rig.judged(2).await;
        rig.turn(10);
        rig.judged(3).await;
        rig.stop().await;
        assert_eq!(rig.versions(), [1, 2, 1], "{leap}");
    }
}

#[tokio::test]
async fn what_is_stored_follows_the_wall() {
    let mut rig = Rig::running(settings(), 1).await;
    rig.answer(|_| status(500));
    rig.judged(1).await;
    rig.clock.set(HOUR_US);
    rig.publish(1).await;
    rig.judged(2).await;
    rig.stop().await;
    let position = rig.subscription().await.positions[0].id;
    let state = rig.store.position(position).await.unwrap();
    let now = rig.clock.now();
    for exception in &state.exceptions {
        assert_eq!(exception.due.since(now).as_secs(), 10, "of {}", exception.version);
        assert!(now.since(exception.first).as_secs() < 10, "of {}", exception.version);
    }
    assert_eq!(state.exceptions.len(), 2);
}

#[tokio::test]
async fn a_hold_is_neither_given_up_nor_forgotten_by_a_leap() {
    for leap in LEAPS_US {
        let mut rig = Rig::running(settings(), 20).await;
        rig.answer(|_| reset());
        rig.saved(|known| known.health.as_ref().is_some_and(|health| health.contains("holding")))
            .await;
        rig.until(|| rig.all_judged()).await;
        rig.clock.set(leap);
        let before = rig.pushes().len() as u64;
        for trial in 1..=3 {
            rig.turn(60);
            rig.judged(before + trial).await;
        }
        assert_eq!(rig.subscription().await.status, SubscriptionStatus::Active, "{leap}");
        rig.answer(|_| status(200));
        for _ in 0..10 {
            rig.turn(60);
        }
        rig.saved(|known| known.positions[0].floor.0 == 20).await;
        rig.stop().await;
        assert!(rig.dead_letters().await.is_empty(), "{leap}");
    }
}

#[tokio::test]
async fn a_wall_set_forth_expires_nothing_before_it_is_believed() {
    let mut rig = Rig::running(settings(), 0).await;
    rig.clock.set(LEAPS_US[3]);
    rig.publish_with(1, |_| r#","expirytime":"2023-11-15T00:00:00Z""#.into()).await;
    rig.judged(1).await;
    rig.stop().await;
    assert_eq!(rig.versions(), [1]);
}
