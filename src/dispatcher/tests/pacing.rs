//! Rates, replays, filters, expiry, and faults that are nobody's but ours.

use sinks::{Outcome, SilentKind};

use super::rig::*;
use crate::{
    event::{Micros, Version},
    settings::Rate,
    store::{AttemptQuery, DeadReason, JobStatus, NewJob, SubscriptionStatus},
};

#[tokio::test]
async fn a_rate_is_kept_to() {
    let mut paced = settings();
    paced.rate = Some(Rate::each_second(10));
    let mut rig = Rig::running(paced, 100).await;
    for tick in 1..=30_u64 {
        rig.clock.advance(std::time::Duration::from_millis(100));
        // One more has fallen due, and must come before the next tick.
        rig.judged(tick).await;
    }
    assert!((30..=32).contains(&rig.pushes().len()), "{}", rig.pushes().len());
    rig.cut().await;
}

/// A rate that comes with the consent holds from the first request on, for all positions together.
#[tokio::test]
async fn an_allowed_rate_is_kept_to_from_the_first_request_on() {
    let mut greeted = settings();
    greeted.handshake = true;
    let mut rig = Rig::new(greeted).await;
    *rig.sink.per_minute.lock().unwrap() = Some(6);
    rig.publish(20).await;
    let job = NewJob { topic: topic(), from: Version(1), to: Version(20), rate: None };
    rig.store.start_replay(&name(), &job, rig.clock.now()).await.unwrap();
    rig.start();
    let began = rig.clock.now();
    for due in 1..=4_u64 {
        rig.judged(due).await;
        // Whoever may go now has gone.
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        rig.turn(10);
    }
    let times: Vec<_> = rig.pushes().iter().map(|push| push.at.since(began).as_secs()).collect();
    assert_eq!(times[..4], [0, 10, 20, 30], "{times:?}");
    rig.cut().await;
}

/// Stored by an earlier release: it dies of its own, with words, and holds nobody up.
#[tokio::test]
async fn an_event_with_attributes_too_large_for_headers_dies_alone() {
    let mut binary = settings();
    binary.format = crate::settings::Format::Binary;
    let mut rig = Rig::new(binary).await;
    let large = format!(r#","subject":"{}""#, "é".repeat(2_000));
    rig.publish_with(3, |id| if id == 2 { large.clone() } else { String::new() }).await;
    rig.start();
    rig.pushed(2).await;
    rig.saved(|subscription| subscription.positions[0].reach == Version(3)).await;
    rig.stop().await;
    assert_eq!(rig.versions(), [1, 3]);
    let dead = rig.dead_letters().await;
    assert_eq!((dead.len(), dead[0].from, dead[0].reason), (1, Version(2), DeadReason::TooLarge));
    let error = dead[0].last.error.as_deref().unwrap();
    assert!(error.contains("`subject`: has 12"), "{error}");
    assert!(error.contains("`format: structured`"), "{error}");
}

#[tokio::test]
async fn a_replay_runs_beside_live_delivery_and_ends() {
    let mut rig = Rig::running(settings(), 200).await;
    rig.judged(200).await;
    let job = NewJob { topic: topic(), from: Version(51), to: Version(150), rate: None };
    let job = rig.store.start_replay(&name(), &job, rig.clock.now()).await.unwrap();
    rig.publish(50).await;
    rig.judged(350).await;
    let store = rig.store.clone();
    let done = || async { store.replays(&name()).await.unwrap().remove(0) };
    let ended = tokio::time::timeout(DEADLINE, async {
        while done().await.status != JobStatus::Done {
            tokio::task::yield_now().await;
        }
    });
    ended.await.expect("the replay ended");
    rig.stop().await;
    let pushes = rig.pushes();
    let mut replayed: Vec<u64> = pushes
        .iter()
        .filter(|push| push.replay == job.id.unsigned_abs())
        .map(|push| push.version)
        .collect();
    replayed.sort_unstable();
    assert_eq!(replayed, (51..=150).collect::<Vec<_>>());
    assert_eq!(pushes.iter().filter(|push| push.replay == 0).count(), 250);
    assert_eq!(done().await.delivered, 100);
    rig.all_settled(250).await;
}

#[tokio::test]
async fn a_replay_survives_a_restart_and_keeps_its_own_rate() {
    let mut rig = Rig::running(settings(), 40).await;
    rig.judged(40).await;
    let rate = Some(Rate::each_second(10));
    let job = NewJob { topic: topic(), from: Version(1), to: Version(40), rate };
    rig.store.start_replay(&name(), &job, rig.clock.now()).await.unwrap();
    for tick in 1..=20 {
        rig.judged(40 + tick).await;
        rig.clock.advance(std::time::Duration::from_millis(100));
    }
    let before = rig.pushes().len();
    assert!(before <= 62, "{before}");
    rig.stop().await;
    rig.start();
    for tick in 21..=40 {
        rig.judged(40 + tick).await;
        rig.clock.advance(std::time::Duration::from_millis(100));
    }
    rig.stop().await;
    assert_eq!(rig.pushes().len(), 80);
    assert_eq!(rig.store.replays(&name()).await.unwrap()[0].reach, Version(40));
}

#[tokio::test]
async fn only_what_is_wanted_is_sent_and_each_names_the_one_before() {
    let mut filtered = settings();
    filtered.filter = Some(serde_json::json!({ "exact": { "subject": "a" } }));
    let mut rig = Rig::new(filtered.clone()).await;
    let subject = |version: u64| {
        format!(r#","subject":"{}""#, if version.is_multiple_of(5) { "a" } else { "b" })
    };
    rig.publish_with(50, subject).await;
    rig.answer(|push| status(if push.version == 50 { 500 } else { 200 }));
    rig.start();
    rig.judged(10).await;
    let mut seen: Vec<(u64, u64)> =
        rig.pushes().iter().map(|push| (push.previous, push.version)).collect();
    seen.sort_unstable();
    let expected = (1..=10).map(|n| (if n == 1 { 0 } else { 5 * (n - 1) }, 5 * n));
    assert_eq!(seen, expected.collect::<Vec<_>>());
    // What is not wanted any more is settled, its retry too.
    filtered.filter = Some(serde_json::json!({ "exact": { "subject": "b" } }));
    rig.store.set_subscription(&name(), &filtered, None, rig.clock.now()).await.unwrap();
    // The dispatcher hears of it between two of these at the latest.
    let mut head = 50;
    while rig.pushes().len() == 10 {
        rig.publish_with(1, |_| r#","subject":"b""#.into()).await;
        head += 1;
    }
    rig.turn(10);
    rig.saved(|saved| saved.positions[0].floor == Version(head)).await;
    rig.stop().await;
    assert!(rig.versions()[10..].iter().all(|version| *version > 50), "{:?}", rig.versions());
    let query = AttemptQuery { version: Some(Version(50)), limit: 9, ..AttemptQuery::default() };
    rig.traced(query, 2).await;
}

#[tokio::test]
async fn an_event_that_breaks_the_filter_is_a_dead_letter() {
    let mut broken = settings();
    broken.filter = Some(serde_json::json!("1 // (version - 3) > -9"));
    let mut rig = Rig::running(broken, 5).await;
    rig.saved(|saved| saved.positions[0].floor == Version(5)).await;
    rig.stop().await;
    let dead = rig.dead_letters().await;
    assert_eq!((dead.len(), dead[0].from, dead[0].reason), (1, Version(3), DeadReason::Expression));
    assert!(dead[0].last.error.as_ref().unwrap().contains("`filter`"), "{dead:?}");
    assert_eq!(rig.versions().len(), 4);
    // It counts and is traced like any death.
    assert_eq!((rig.count("dead"), rig.count("delivered")), (1, 4));
    let query = AttemptQuery { version: Some(Version(3)), limit: 9, ..AttemptQuery::default() };
    rig.traced(query.clone(), 1).await;
    let traced = rig.store.attempts(query).await.unwrap();
    assert_eq!(traced[0].verdict, "dead");
    assert!(traced[0].error.as_ref().unwrap().contains("`filter`"), "{traced:?}");
}

#[tokio::test]
async fn what_has_expired_is_not_sent() {
    let mut rig = Rig::new(settings()).await;
    let now = rig.clock.now();
    let expiry = |version: u64| {
        let at = Micros(now.0 + if version == 2 { -1 } else { 25_000_000 });
        format!(r#","expirytime":"{at}""#)
    };
    rig.publish_with(4, expiry).await;
    rig.answer(|push| status(if push.version == 4 { 500 } else { 200 }));
    rig.start();
    rig.judged(3).await;
    rig.turn(30);
    rig.saved(|saved| saved.positions[0].floor == Version(4)).await;
    rig.stop().await;
    let mut versions = rig.versions();
    versions.sort_unstable();
    assert_eq!(versions, [1, 3, 4]);
    assert!(rig.dead_letters().await.is_empty());
}

#[tokio::test]
async fn what_is_our_own_fault_is_never_charged_to_the_endpoint() {
    let mut rig = Rig::new(settings()).await;
    rig.publish(50).await;
    rig.answer(|_| Outcome::Silent { kind: SilentKind::Proxy, message: "down".into() });
    rig.start();
    rig.until(|| rig.all_judged() && rig.pushes().len() >= 5).await;
    let before = rig.pushes().len();
    // Six days, beyond the end of any hold of the endpoint's own.
    for trial in 1..=144 {
        rig.turn(3_600);
        rig.judged((before + trial) as u64).await;
    }
    assert_eq!(rig.subscription().await.status, SubscriptionStatus::Active);
    rig.answer(|_| status(200));
    rig.turn(60);
    rig.until(|| rig.count("delivered") == 50).await;
    rig.stop().await;
    rig.all_settled(50).await;
}
