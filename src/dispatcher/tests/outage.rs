//! Endpoints that fail: held, tried now and then, and nothing dies of it.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering::SeqCst},
};

use super::rig::*;
use crate::{
    event::Micros,
    settings::SubscriptionSettings,
    store::{SubscriptionStatus, SubscriptionSteer},
};

fn is_holding(subscription: &crate::store::Subscription) -> bool {
    subscription.health.as_ref().is_some_and(|health| health.contains(r#""state":"holding""#))
}

#[tokio::test]
async fn a_healthy_endpoint_gets_every_event_once() {
    let mut rig = Rig::running(settings(), 1_000).await;
    rig.judged(1_000).await;
    rig.stop().await;
    let got: BTreeSet<_> = rig.versions().into_iter().collect();
    assert_eq!((got.len(), rig.pushes().len()), (1_000, 1_000));
    rig.all_settled(1_000).await;
    assert_eq!(rig.subscription().await.positions[0].delivered, 1_000);
}

#[tokio::test]
async fn new_events_wake_an_idle_position() {
    let mut rig = Rig::running(settings(), 0).await;
    for count in 1..=3 {
        rig.publish(1).await;
        rig.judged(count).await;
    }
    rig.stop().await;
    assert_eq!(rig.versions(), [1, 2, 3]);
}

#[tokio::test]
async fn a_dead_endpoint_costs_one_request_per_interval_and_loses_nothing() {
    let mut rig = Rig::new(settings()).await;
    let full = std::env::var_os("MILKRUN_FULL").is_some();
    let (batches, each) = if full { (20, 5_000) } else { (1, 500) };
    let count = batches * each;
    for _ in 0..batches {
        rig.publish(each).await;
    }
    rig.answer(|_| reset());
    rig.start();
    rig.saved(is_holding).await;
    rig.until(|| rig.all_judged()).await;
    let before = rig.pushes().len();
    assert!((5..=8).contains(&before), "{before}");
    // Two days and more.
    for trial in 1..=3_000 {
        rig.turn(60);
        rig.judged((before + trial) as u64).await;
    }
    let versions = rig.versions();
    let tried: BTreeSet<_> = versions[before..].iter().collect();
    assert!(tried.len() > 400, "trials take turns with what was not yet tried: {}", tried.len());
    rig.answer(|_| status(200));
    rig.turn(60);
    rig.until(|| rig.count("delivered") == count).await;
    rig.stop().await;
    assert_eq!(rig.count("dead"), 0);
    rig.all_settled(count).await;
    assert!(!is_holding(&rig.subscription().await));
}

#[tokio::test]
async fn a_machine_that_is_at_its_end_holds_nothing_and_kills_nothing() {
    for max_attempts in [None, Some(1), Some(2)] {
        let mut ours = settings();
        ours.retry.max_attempts = max_attempts;
        let mut rig = Rig::new(ours).await;
        rig.publish(40).await;
        rig.answer(|push| if push.attempt < 4 { machine() } else { status(200) });
        rig.start();
        for round in 1..=4 {
            rig.judged(round * 40).await;
            assert!(!is_holding(&rig.subscription().await), "{max_attempts:?}");
            rig.turn(11);
        }
        rig.until(|| rig.count("delivered") == 40).await;
        rig.stop().await;
        assert_eq!((rig.count("dead"), rig.pushes().len()), (0, 160), "{max_attempts:?}");
        rig.all_settled(40).await;
    }
}

#[tokio::test]
async fn an_endpoint_that_answers_500_to_all_for_two_days_kills_nothing() {
    let mut rig = Rig::new(settings()).await;
    rig.publish(50).await;
    rig.answer(|_| status(500));
    rig.start();
    rig.saved(is_holding).await;
    rig.until(|| rig.all_judged()).await;
    let before = rig.pushes().len();
    for trial in 1..=2_880 {
        rig.turn(60);
        rig.judged((before + trial) as u64).await;
    }
    assert_eq!(rig.count("dead"), 0);
    rig.answer(|_| status(200));
    rig.turn(60);
    rig.until(|| rig.count("delivered") == 50).await;
    rig.stop().await;
    rig.all_settled(50).await;
}

#[tokio::test]
async fn a_hold_outlives_a_restart() {
    let mut rig = Rig::new(settings()).await;
    rig.publish(100).await;
    rig.answer(|_| reset());
    rig.start();
    rig.saved(is_holding).await;
    rig.stop().await;
    let before = rig.pushes().len();
    rig.start();
    rig.turn(5);
    rig.judged(before as u64 + 1).await;
    rig.stop().await;
    assert_eq!(rig.pushes().len(), before + 1);
}

#[tokio::test]
async fn retry_after_of_a_busy_endpoint_is_obeyed() {
    let mut rig = Rig::new(settings()).await;
    rig.publish(1).await;
    rig.answer(|_| busy(600));
    rig.start();
    rig.judged(1).await;
    rig.answer(|_| status(200));
    rig.publish(20).await;
    for _ in 0..9 {
        rig.turn(60);
    }
    rig.saved(is_holding).await;
    assert_eq!(rig.pushes().len(), 1);
    rig.turn(60);
    rig.judged(22).await;
    rig.stop().await;
    rig.all_settled(21).await;
}

#[tokio::test]
async fn an_endless_hold_ends_with_the_subscription_disabled_and_nothing_dead() {
    let mut rig = Rig::new(settings()).await;
    rig.publish(100).await;
    rig.answer(|_| reset());
    rig.start();
    rig.saved(is_holding).await;
    rig.until(|| rig.all_judged()).await;
    rig.turn(5 * 86_400);
    let gone = rig.saved(|saved| saved.status == SubscriptionStatus::Disabled).await;
    assert!(gone.reason.unwrap().contains("hold"));
    assert_eq!(rig.count("dead"), 0);
    rig.answer(|_| status(200));
    rig.steer(crate::store::SubscriptionSteer::Resume).await;
    rig.turn(60);
    rig.until(|| rig.count("delivered") == 100).await;
    rig.stop().await;
    rig.all_settled(100).await;
}

#[tokio::test]
async fn an_age_stands_still_while_the_endpoint_is_on_hold() {
    let mut aging = settings();
    aging.retry.max_age = Some(std::time::Duration::from_secs(30));
    let mut rig = Rig::new(aging).await;
    rig.publish(10).await;
    rig.answer(|_| reset());
    rig.start();
    rig.saved(is_holding).await;
    rig.until(|| rig.all_judged()).await;
    rig.turn(3_600);
    rig.judged(rig.pushes().len() as u64).await;
    // Back again, but not for the first event, which has used up little of its time.
    rig.answer(|push| status(if push.version == 1 { 500 } else { 200 }));
    rig.turn(3_600);
    rig.until(|| rig.count("delivered") == 9).await;
    rig.turn(10);
    rig.until(|| rig.pushes().iter().filter(|push| push.version == 1).count() >= 3).await;
    rig.until(|| rig.count("retry") + rig.count("dead") + 9 == rig.pushes().len() as u64).await;
    assert!(rig.pushes().iter().all(|push| push.at > Micros(0)));
    assert_eq!(rig.count("dead"), 0, "{:?}", rig.pushes());
    rig.stop().await;
}

#[tokio::test]
async fn what_waits_is_tried_at_once_when_it_is_resumed_or_sent_elsewhere() {
    for moves in [false, true] {
        for held in [false, true] {
            let mut rig = Rig::new(settings()).await;
            rig.publish(1).await;
            rig.answer(move |_| if held { busy(3_600) } else { status(500) });
            rig.start();
            rig.judged(1).await;
            rig.saved(|saved| saved.positions[0].exceptions == 1).await;
            rig.answer(|_| status(200));
            if moves {
                let mut elsewhere = settings();
                elsewhere.url = "http://h/y".into();
                let now = rig.clock.now();
                rig.store.set_subscription(&name(), &elsewhere, None, now).await.unwrap();
            } else {
                rig.steer(SubscriptionSteer::Resume).await;
            }
            rig.until(|| rig.count("delivered") == 1).await;
            rig.stop().await;
            rig.all_settled(1).await;
        }
    }
}

#[tokio::test]
async fn what_failed_after_a_pause_waits_for_its_turn() {
    let mut rig = Rig::new(settings()).await;
    rig.publish(1).await;
    rig.answer(|_| status(500));
    rig.start();
    rig.judged(1).await;
    rig.saved(|saved| saved.positions[0].exceptions == 1).await;
    rig.steer(SubscriptionSteer::Resume).await;
    rig.judged(2).await;
    for max_exceptions in [100, 200, 300] {
        let changed = SubscriptionSettings { max_exceptions, ..settings() };
        let now = rig.clock.now();
        rig.store.set_subscription(&name(), &changed, None, now).await.unwrap();
    }
    rig.publish(1).await;
    rig.judged(3).await;
    rig.stop().await;
    assert_eq!(rig.versions(), [1, 1, 2], "changes of other kinds hasten nothing");
}

#[tokio::test]
async fn what_the_old_address_says_tells_nothing_of_the_new_one() {
    let one = SubscriptionSettings { concurrency: 1, ..settings() };
    let mut rig = Rig::new(one).await;
    rig.publish(2).await;
    rig.stick(true);
    rig.start();
    rig.pushed(1).await;
    let mut elsewhere = settings();
    elsewhere.url = "http://h/y".into();
    rig.store.set_subscription(&name(), &elsewhere, None, rig.clock.now()).await.unwrap();
    // It goes beside the first only when the new settings are known.
    rig.pushed(2).await;
    let first = AtomicBool::new(true);
    let late = move |push: Push| push.version == 1 && first.swap(false, SeqCst);
    rig.answer(move |push| status(if late(push) { 410 } else { 200 }));
    rig.stick(false);
    rig.until(|| rig.count("delivered") == 2).await;
    rig.stop().await;
    assert_eq!(rig.subscription().await.status, SubscriptionStatus::Active);
    rig.all_settled(2).await;
}
