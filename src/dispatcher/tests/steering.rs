//! What operators and stops do to positions that are served.

use std::collections::BTreeSet;

use tokio::sync::watch;

use super::rig::*;
use crate::{
    dispatcher::*,
    event::Version,
    holdings::Holdings,
    store::{DeadSelect, SubscriptionStatus, SubscriptionSteer},
};

#[tokio::test]
async fn what_comes_to_a_node_together_with_another_change_is_served() {
    let rig = Rig::new(settings()).await;
    let (held, told) = watch::channel(Holdings::default());
    let dispatcher = rig.dispatcher().holding(Claimed::told(told, Work::Subscription));
    let (soft, hard) = (CancellationToken::new(), CancellationToken::new());
    let mut supervisor = dispatcher.supervisor(soft, hard);
    supervisor.look().await.unwrap();
    assert!(supervisor.edit > 0 && supervisor.served.is_empty());
    let id = rig.subscription().await.id;
    held.send_replace(Holdings::these(Work::Subscription, [id]));
    // It was a change of the store that woke it.
    supervisor.look().await.unwrap();
    assert!(supervisor.served.contains_key(&id));
}

/// A thousand may be let go of at once: reading all there is for each of them stops everything.
#[tokio::test]
async fn what_comes_back_while_its_workers_end_is_served_without_reading_everything() {
    let rig = Rig::new(settings()).await;
    let id = rig.subscription().await.id;
    let (held, told) = watch::channel(Holdings::these(Work::Subscription, [id]));
    let dispatcher = rig.dispatcher().holding(Claimed::told(told, Work::Subscription));
    let (soft, hard) = (CancellationToken::new(), CancellationToken::new());
    let mut supervisor = dispatcher.supervisor(soft, hard);
    supervisor.look().await.unwrap();
    assert!(supervisor.served.contains_key(&id));
    held.send_replace(Holdings::default());
    supervisor.look().await.unwrap();
    held.send_replace(Holdings::these(Work::Subscription, [id]));
    supervisor.look().await.unwrap();
    assert!(supervisor.served.is_empty(), "its worker has not ended");
    let read = supervisor.edit;
    assert!(read > 0);
    let ended = supervisor.workers.join_next_with_id().await.unwrap();
    assert!(!supervisor.ended(ended));
    assert_eq!((supervisor.edit, supervisor.left.len()), (read, 1));
    supervisor.look().await.unwrap();
    assert!(supervisor.served.contains_key(&id) && supervisor.left.is_empty());
}

#[tokio::test]
async fn a_pause_finishes_what_is_in_flight_and_keeps_the_place() {
    let mut rig = Rig::new(settings()).await;
    rig.publish(10).await;
    rig.stick(true);
    rig.start();
    rig.pushed(4).await;
    rig.steer(SubscriptionSteer::Pause).await;
    rig.stick(false);
    rig.saved(|saved| saved.positions[0].delivered >= 4).await;
    let before = rig.pushes().len();
    rig.publish(1).await;
    rig.steer(SubscriptionSteer::Resume).await;
    rig.until(|| rig.count("delivered") == 11).await;
    rig.stop().await;
    assert!(before < 11, "nothing starts in a pause");
    assert_eq!(rig.pushes().len(), 11, "nothing is sent twice");
    rig.all_settled(11).await;
}

#[tokio::test]
async fn a_rewind_drops_the_window_and_starts_from_the_new_place() {
    let mut rig = Rig::running(settings(), 10).await;
    rig.judged(10).await;
    rig.store.rewind(&name(), None, Version(6), rig.clock.now()).await.unwrap();
    rig.judged(14).await;
    rig.stop().await;
    let mut again = rig.versions()[10..].to_vec();
    again.sort_unstable();
    assert_eq!(again, [7, 8, 9, 10]);
    rig.all_settled(10).await;
}

#[tokio::test]
async fn a_rewind_voids_what_is_in_flight() {
    let mut rig = Rig::new(settings()).await;
    rig.publish(4).await;
    rig.stick(true);
    rig.start();
    rig.pushed(4).await;
    rig.store.rewind(&name(), None, Version(0), rig.clock.now()).await.unwrap();
    rig.pushed(8).await;
    rig.stick(false);
    rig.until(|| rig.count("delivered") == 4).await;
    rig.stop().await;
    rig.all_settled(4).await;
}

#[tokio::test]
async fn a_deleted_subscription_is_let_go() {
    let mut rig = Rig::running(settings(), 5).await;
    rig.judged(5).await;
    rig.steer(SubscriptionSteer::Delete).await;
    rig.publish(5).await;
    rig.stop().await;
    assert!(rig.pushes().len() <= 10);
    assert!(rig.store.subscription(&name()).await.is_err());
}

#[tokio::test]
async fn gone_disables_the_subscription_and_the_event_stays_owed() {
    let mut rig = Rig::new(settings()).await;
    rig.publish(3).await;
    rig.answer(|_| status(410));
    rig.start();
    let disabled = rig.saved(|saved| saved.status == SubscriptionStatus::Disabled).await;
    assert!(disabled.reason.unwrap().contains("410"));
    rig.answer(|_| status(200));
    rig.steer(SubscriptionSteer::Resume).await;
    rig.until(|| rig.count("delivered") == 3).await;
    rig.stop().await;
    assert!(rig.dead_letters().await.is_empty());
    rig.all_settled(3).await;
}

#[tokio::test]
async fn a_hard_stop_is_told_and_what_was_in_flight_comes_again() {
    let mut rig = Rig::new(settings()).await;
    rig.publish(10).await;
    rig.stick(true);
    rig.start();
    rig.pushed(4).await;
    assert!(rig.cut().await, "attempts were under way");
    rig.stick(false);
    rig.start();
    rig.until(|| rig.count("delivered") == 10).await;
    rig.stop().await;
    let got: BTreeSet<_> = rig.versions().into_iter().collect();
    assert_eq!((got.len(), rig.pushes().len()), (10, 14));
    rig.start();
    assert!(!rig.cut().await, "nothing was under way");
}

#[tokio::test]
async fn a_soft_stop_starts_nothing_new() {
    let mut rig = Rig::new(settings()).await;
    rig.publish(10).await;
    rig.stick(true);
    rig.start();
    rig.pushed(4).await;
    let stop = rig.stop_softly();
    rig.stick(false);
    rig.ended(stop).await;
    assert_eq!(rig.pushes().len(), 4);
    let position = &rig.subscription().await.positions[0];
    assert_eq!((position.reach, position.floor, position.delivered), (Version(4), Version(4), 4));
}

#[tokio::test]
async fn a_full_process_leaves_every_subscription_one_place() {
    let mut rig = Rig::new(settings()).await;
    rig.limits.in_flight_max = 2;
    let other = crate::store::NewSubscription {
        name: "other".parse().unwrap(),
        origin: crate::store::Origin::Api,
        topics: vec![topic().into()],
        from: crate::store::StartFrom::Earliest,
        settings: settings(),
    };
    rig.store.put_subscription(&other, rig.clock.now()).await.unwrap();
    rig.stick(true);
    rig.publish(10).await;
    rig.start();
    rig.pushed(2).await;
    rig.stick(false);
    rig.pushed(20).await;
    rig.stop().await;
    assert_eq!(rig.pushes().len(), 20);
    rig.all_settled(10).await;
}

#[tokio::test]
async fn changed_settings_hold_for_the_next_attempt() {
    let mut patient = settings();
    patient.retry.max_attempts = Some(1_000_000);
    let mut rig = Rig::new(patient).await;
    rig.publish(1).await;
    rig.answer(|_| status(500));
    rig.start();
    rig.judged(1).await;
    let mut strict = settings();
    strict.retry.max_attempts = Some(2);
    rig.store.set_subscription(&name(), &strict, None, rig.clock.now()).await.unwrap();
    // The dispatcher hears of it between two of these; how soon is the machine's affair.
    let begun = std::time::Instant::now();
    for attempt in 2.. {
        rig.turn(10);
        rig.judged(attempt).await;
        // It is counted once it is saved.
        let dead = rig.until(|| rig.count("dead") == 1);
        if tokio::time::timeout(std::time::Duration::from_millis(100), dead).await.is_ok() {
            break;
        }
        assert!(begun.elapsed() < DEADLINE, "it was never heard of: {attempt} attempts");
    }
    rig.stop().await;
    assert_eq!(rig.dead_letters().await.len(), 1);
}

#[tokio::test]
async fn a_letter_that_is_redriven_while_its_event_is_in_flight_leaves_nothing_behind() {
    let mut refusing = settings();
    refusing.retry.never_retry = vec![422];
    let mut rig = Rig::new(refusing).await;
    rig.publish(2).await;
    rig.answer(|_| status(422));
    rig.start();
    rig.until(|| rig.count("dead") == 2).await;
    // Else what the rewind cuts off leaves no letters.
    rig.saved(|saved| saved.positions[0].floor == Version(2)).await;
    let pushed = 2;
    rig.stick(true);
    rig.store.rewind(&name(), None, Version(1), rig.clock.now()).await.unwrap();
    rig.pushed(pushed + 1).await;
    // Saved as begun, so that its letter may be redriven.
    rig.turn(1);
    rig.saved(|saved| saved.positions[0].reach == Version(2)).await;
    let now = rig.clock.now();
    assert_eq!(rig.store.redrive(&name(), DeadSelect::All, None, now).await.unwrap(), 2);
    // That the other is sent tells that the worker knows of both.
    rig.pushed(pushed + 2).await;
    rig.answer(|_| status(200));
    rig.stick(false);
    rig.until(|| rig.count("delivered") == 2).await;
    rig.stop().await;
    rig.all_settled(2).await;
    assert_eq!(rig.pushes().len(), pushed + 2);
}
