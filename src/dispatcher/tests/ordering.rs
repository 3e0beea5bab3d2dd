//! Orders, batches, priorities, and what is sent once only.

use std::collections::BTreeSet;

use super::rig::*;
use crate::{
    settings::{BatchPolicy, Format, OnDead, Order},
    store::{DeadReason, DeadSelect},
};

/// Odd and even versions are two keys.
fn parity(version: u64) -> String {
    format!(r#","partitionkey":"{}""#, version % 2)
}

fn ordered(order: Order) -> crate::settings::SubscriptionSettings {
    crate::settings::SubscriptionSettings { order, ..settings() }
}

#[tokio::test]
async fn a_failing_key_holds_back_itself_alone() {
    let mut rig = Rig::new(ordered(Order::Key)).await;
    rig.publish_with(40, parity).await;
    rig.answer(|push| status(if push.version == 1 && push.attempt < 3 { 500 } else { 200 }));
    rig.start();
    rig.until(|| rig.count("delivered") == 20).await;
    let even: Vec<u64> = rig.versions().into_iter().filter(|version| version % 2 == 0).collect();
    assert!(even.is_sorted() && even.len() == 20, "{even:?}");
    for attempts in 2..=3 {
        rig.turn(10);
        rig.until(|| rig.versions().iter().filter(|version| **version == 1).count() == attempts)
            .await;
    }
    rig.until(|| rig.count("delivered") == 40).await;
    rig.stop().await;
    let odd: Vec<u64> = rig.versions().into_iter().filter(|version| version % 2 == 1).collect();
    assert_eq!(odd[..4], [1, 1, 1, 3]);
    assert!(odd.is_sorted(), "{odd:?}");
    rig.all_settled(40).await;
}

#[tokio::test]
async fn keys_keep_their_order_through_a_crash() {
    let mut rig = Rig::new(ordered(Order::Key)).await;
    rig.publish_with(30, parity).await;
    rig.answer(|push| status(if push.version == 1 { 500 } else { 200 }));
    rig.start();
    rig.until(|| rig.count("delivered") == 15).await;
    rig.saved(|saved| saved.positions[0].exceptions == 15).await;
    rig.stick(true);
    rig.turn(10);
    rig.until(|| rig.versions().iter().filter(|version| **version == 1).count() == 2).await;
    rig.cut().await;
    rig.answer(|_| status(200));
    rig.stick(false);
    let before = rig.pushes().len();
    rig.turn(10);
    rig.start();
    rig.until(|| rig.count("delivered") == 30).await;
    rig.stop().await;
    let after = rig.versions().split_off(before);
    assert_eq!(after, (0..15).map(|count| 2 * count + 1).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_strict_order_is_one_after_the_other() {
    let mut rig = Rig::new(ordered(Order::Strict)).await;
    rig.publish(10).await;
    rig.answer(|push| status(if push.version == 3 { 500 } else { 200 }));
    rig.start();
    rig.judged(3).await;
    for judged in 4..=5 {
        rig.turn(10);
        rig.judged(judged).await;
    }
    // It died, and the others go on.
    rig.until(|| rig.count("delivered") == 9).await;
    rig.stop().await;
    assert_eq!(rig.versions(), [1, 2, 3, 3, 3, 4, 5, 6, 7, 8, 9, 10]);
    assert_eq!(rig.dead_letters().await.len(), 1);
}

#[tokio::test]
async fn a_key_that_stops_goes_on_when_its_letter_is_redriven_or_deleted() {
    let mut stopping = ordered(Order::Key);
    (stopping.on_dead, stopping.retry.never_retry) = (OnDead::StopKey, vec![400]);
    let mut rig = Rig::new(stopping).await;
    rig.publish_with(12, parity).await;
    rig.answer(|push| status(if matches!(push.version, 1 | 7) { 400 } else { 200 }));
    rig.start();
    rig.until(|| rig.count("delivered") == 6 && rig.count("dead") == 1).await;
    rig.stop().await;
    rig.start();
    rig.saved(|saved| saved.positions[0].dead_letters == 1).await;
    let now = rig.clock.now();
    rig.store.delete_dead_letters(&name(), DeadSelect::All).await.unwrap();
    rig.until(|| rig.count("delivered") == 8 && rig.count("dead") == 2).await;
    rig.saved(|saved| saved.positions[0].dead_letters == 1).await;
    rig.answer(|_| status(200));
    rig.store.redrive(&name(), DeadSelect::All, None, now).await.unwrap();
    rig.until(|| rig.count("delivered") == 11).await;
    rig.stop().await;
    let odd: Vec<u64> = rig.versions().into_iter().filter(|version| version % 2 == 1).collect();
    assert_eq!(odd, [1, 3, 5, 7, 7, 9, 11]);
    rig.all_settled(12).await;
}

fn batched(max_events: usize) -> crate::settings::SubscriptionSettings {
    let max_wait = std::time::Duration::from_secs(5);
    let batch = Some(BatchPolicy { max_events, max_wait });
    crate::settings::SubscriptionSettings { batch, format: Format::Batch, ..settings() }
}

#[tokio::test]
async fn a_batch_is_full_or_its_time_has_come() {
    let mut rig = Rig::running(batched(4), 10).await;
    rig.until(|| rig.count("delivered") == 8).await;
    let sizes: Vec<u64> = rig.pushes().iter().map(|push| push.count).collect();
    assert_eq!(sizes, [4, 4]);
    rig.turn(5);
    rig.until(|| rig.count("delivered") == 10).await;
    rig.stop().await;
    let last = *rig.pushes().last().unwrap();
    assert_eq!((last.version, last.count, last.previous), (10, 2, 8));
    rig.all_settled(10).await;
}

#[tokio::test]
async fn a_batch_that_fails_is_halved_until_only_the_guilty_one_counts() {
    let mut rig = Rig::new(batched(16)).await;
    rig.publish(64).await;
    rig.answer(|push| {
        let has = push.version >= 37 && push.version - push.count < 37;
        status(if has { 500 } else { 200 })
    });
    rig.start();
    rig.until(|| rig.count("delivered") == 63).await;
    let alone = |rig: &Rig| {
        let of_it = |push: &Push| push.version == 37 && push.count == 1;
        rig.pushes().iter().filter(|push| of_it(push)).count()
    };
    for attempts in 2..=3 {
        rig.until(|| rig.all_judged()).await;
        rig.turn(10);
        rig.until(|| alone(&rig) == attempts).await;
    }
    rig.until(|| rig.count("dead") == 1).await;
    rig.stop().await;
    let dead = rig.dead_letters().await;
    assert_eq!((dead[0].from.0, dead[0].attempts, dead[0].reason), (37, 3, DeadReason::Attempts));
    rig.all_settled(64).await;
}

#[tokio::test]
async fn a_batch_may_be_accepted_in_part() {
    let mut rig = Rig::new(batched(8)).await;
    rig.publish(8).await;
    rig.answer(|push| if push.count == 8 { accepted_up_to(5) } else { status(200) });
    rig.start();
    rig.until(|| rig.count("delivered") == 7).await;
    let second = rig.pushes()[1];
    assert_eq!((second.version, second.count), (8, 2), "behind the first not accepted");
    rig.turn(10);
    rig.until(|| rig.count("delivered") == 8).await;
    rig.stop().await;
    let last = *rig.pushes().last().unwrap();
    assert_eq!((last.version, last.attempt), (6, 2), "which was counted an attempt");
    rig.all_settled(8).await;
}

#[tokio::test]
async fn what_is_never_accepted_dies_and_is_not_taken_for_delivered() {
    let mut rig = Rig::new(batched(3)).await;
    rig.publish(3).await;
    rig.answer(|_| accepted_up_to(1));
    rig.start();
    // Behind the first not accepted the last goes alone at once, and both twice more.
    for pushed in [2, 4, 6] {
        rig.pushed(pushed).await;
        rig.until(|| rig.all_judged()).await;
        rig.turn(10);
    }
    rig.until(|| rig.count("dead") == 2).await;
    rig.stop().await;
    assert_eq!(rig.count("delivered"), 1);
    let dead: Vec<u64> = rig.dead_letters().await.iter().map(|letter| letter.from.0).collect();
    assert_eq!(dead, [2, 3]);
}

#[tokio::test]
async fn higher_priorities_go_first() {
    let mut one = settings();
    one.concurrency = 1;
    let mut rig = Rig::new(one).await;
    rig.publish_with(300, |version| match version {
        291..=300 => r#","priority":9"#.into(),
        281..=290 => r#","priority":3"#.into(),
        _ => String::new(),
    })
    .await;
    rig.start();
    rig.judged(300).await;
    rig.stop().await;
    let order = rig.versions();
    assert_eq!(order[..10], (291..=300).collect::<Vec<_>>());
    assert_eq!(order[10..20], (281..=290).collect::<Vec<_>>());
    assert_eq!(order[20..], (1..=280).collect::<Vec<_>>());
    rig.all_settled(300).await;
}

#[tokio::test]
async fn what_is_sent_at_most_once_is_never_sent_again() {
    let mut once = settings();
    once.retry.max_attempts = Some(1);
    let mut rig = Rig::new(once).await;
    rig.publish(40).await;
    rig.answer(|push| if push.version.is_multiple_of(10) { reset() } else { status(200) });
    rig.start();
    rig.until(|| rig.count("delivered") >= 20).await;
    rig.stick(true);
    rig.publish(20).await;
    let in_flight = || {
        let ended = rig.count("delivered") + rig.count("dead");
        rig.pushes().len() as u64 - ended
    };
    rig.until(|| in_flight() >= 4).await;
    assert!(rig.cut().await, "attempts were under way");
    rig.stick(false);
    rig.answer(|_| status(200));
    rig.start();
    rig.saved(|saved| saved.positions[0].reach.0 == 60).await;
    rig.until(|| rig.pushes().len() >= 50).await;
    rig.stop().await;
    let versions = rig.versions();
    let distinct: BTreeSet<u64> = versions.iter().copied().collect();
    assert_eq!(distinct.len(), versions.len(), "sent twice: {versions:?}");
    rig.all_settled(60).await;
    let dead = rig.dead_letters().await;
    assert!(dead.iter().all(|letter| letter.from.0.is_multiple_of(10)), "{dead:?}");
}
