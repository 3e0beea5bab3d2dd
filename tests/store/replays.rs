//! Replay jobs: positions beside the live one.

use std::{sync::Arc, time::Duration};

use milkrun::{
    event::{Topic, Version},
    settings::TopicSettings,
    store::{
        DeadReason, DeadSelect, Exception, ExceptionKind, Job, JobStatus, NewJob, NewSubscription,
        Origin, PositionState, Settlement, StartFrom, Store, StoreError, SubscriptionSteer,
    },
};

use super::{
    Bench, NOW, append, later, name,
    positions::{dead, retry, settle, settlement, with_position},
    subscribe, trim_all, with_topic,
};

fn job(topic: &Topic, from: u64, to: u64) -> NewJob {
    NewJob {
        topic: topic.clone(),
        from: Version(from),
        to: Version(to),
        rate: Some("10/s".parse().unwrap()),
    }
}

async fn started(store: &Arc<dyn Store>, topic: &Topic, from: u64, to: u64) -> Job {
    store.start_replay(&name("billing"), &job(topic, from, to), NOW).await.unwrap()
}

/// The position of a job that runs.
async fn of_job(store: &Arc<dyn Store>, id: i64) -> PositionState {
    let known = store.subscription(&name("billing")).await.unwrap();
    let found = known.positions.iter().find(|position| position.job == Some(id));
    store.position(found.expect("a position").id).await.unwrap()
}

async fn listed(store: &Arc<dyn Store>) -> Vec<Job> {
    store.replays(&name("billing")).await.unwrap()
}

pub(super) async fn a_replay_is_one_more_position(bench: &dyn Bench) {
    let (store, topic, live) = with_position(bench).await;
    let edit = store.subscription(&name("billing")).await.unwrap().edit;
    let first = started(&store, &topic, 3, 6).await;
    assert_eq!((first.status, first.reach, first.ended), (JobStatus::Running, Version(2), None));
    assert_eq!(store.subscriptions(edit).await.unwrap().len(), 1, "the dispatcher looks");
    let second = started(&store, &topic, 1, 10).await;
    let position = of_job(&store, first.id).await;
    assert_eq!((position.reach, position.job.as_ref()), (Version(2), Some(&first)));
    let saved = Settlement {
        open: vec![Version(5)],
        put: vec![retry(4)],
        delivered: 1,
        ..settlement(&position, 5)
    };
    settle(&store, saved).await.unwrap();
    store.close().await;
    drop(store);
    let store = bench.open().await;
    let position = of_job(&store, first.id).await;
    assert_eq!((position.reach, position.open), (Version(5), vec![Version(5)]));
    assert_eq!(position.exceptions, [retry(4)]);
    let jobs = listed(&store).await;
    assert_eq!(jobs.iter().map(|job| job.id).collect::<Vec<_>>(), [second.id, first.id]);
    assert_eq!((jobs[1].reach, jobs[1].delivered, jobs[1].rate), (Version(5), 1, first.rate));
    let untouched = store.position(live.id).await.unwrap();
    assert_eq!((untouched.reach, untouched.fence, untouched.job), (live.reach, live.fence, None));
    let known = store.subscription(&name("billing")).await.unwrap();
    assert_eq!(known.live().map(|position| position.id).collect::<Vec<_>>(), [live.id]);
    assert_eq!(known.positions.len(), 3);
}

pub(super) async fn a_replay_ends_once(bench: &dyn Bench) {
    let (store, topic, live) = with_position(bench).await;
    let one = started(&store, &topic, 1, 4).await;
    let position = of_job(&store, one.id).await;
    settle(&store, Settlement { delivered: 4, ..settlement(&position, 4) }).await.unwrap();
    let stale = store.end_replay(position.id, position.fence + 1, later(5)).await;
    assert!(matches!(stale, Err(StoreError::Stale)));
    store.end_replay(position.id, position.fence, later(5)).await.unwrap();
    let again = store.end_replay(position.id, position.fence, later(6)).await;
    assert!(matches!(again, Err(StoreError::Stale)));
    assert!(matches!(settle(&store, settlement(&position, 4)).await, Err(StoreError::Stale)));
    let done = listed(&store).await.remove(0);
    assert_eq!((done.status, done.reach, done.delivered), (JobStatus::Done, Version(4), 4));
    assert_eq!(done.ended, Some(later(5)));
    assert_eq!(store.subscription(&name("billing")).await.unwrap().positions.len(), 1);
    let who = name("billing");
    let refused = store.cancel_replay(&who, one.id, NOW).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))));
    let two = started(&store, &topic, 1, 4).await;
    for _ in 0..2 {
        let cancelled = store.cancel_replay(&who, two.id, later(9)).await.unwrap();
        assert_eq!((cancelled.status, cancelled.ended), (JobStatus::Cancelled, Some(later(9))));
    }
    let unknown = store.cancel_replay(&who, 99, NOW).await;
    assert!(matches!(unknown, Err(StoreError::NotFound { .. })));
    assert!(store.end_replay(live.id, live.fence, NOW).await.is_err(), "live delivery goes on");
    trim_all(&store, later(31 * 86_400)).await;
    assert!(listed(&store).await.is_empty());
}

pub(super) async fn replays_are_bounded(bench: &dyn Bench) {
    let (store, topic, _) = with_position(bench).await;
    let who = name("billing");
    for _ in 0..105 {
        let one = started(&store, &topic, 1, 4).await;
        store.cancel_replay(&who, one.id, NOW).await.unwrap();
    }
    for _ in 0..10 {
        started(&store, &topic, 1, 4).await;
    }
    let eleventh = store.start_replay(&who, &job(&topic, 1, 4), NOW).await;
    assert!(matches!(eleventh, Err(StoreError::Full(_))));
    assert_eq!(listed(&store).await.len(), 110);
}

pub(super) async fn a_replay_out_of_range_is_refused(bench: &dyn Bench) {
    let (store, topic, _) = with_position(bench).await;
    let other = name("other");
    store.put_topic(&other, &TopicSettings::default(), NOW).await.unwrap();
    let start = async |new: NewJob| store.start_replay(&name("billing"), &new, NOW).await;
    for (from, to) in [(3, 2), (11, 11), (5, 11)] {
        let refused = start(job(&topic, from, to)).await;
        assert!(matches!(refused, Err(StoreError::Conflict(_))), "{from} {to}");
    }
    assert!(matches!(start(job(&other, 1, 1)).await, Err(StoreError::Conflict(_))));
    assert!(matches!(start(job(&name("no"), 1, 1)).await, Err(StoreError::NotFound { .. })));
    let trimmed = TopicSettings { max_bytes: Some(300), ..TopicSettings::default() };
    store.put_topic(&topic, &trimmed, NOW).await.unwrap();
    trim_all(&store, NOW).await;
    assert!(matches!(start(job(&topic, 1, 10)).await, Err(StoreError::Trimmed { .. })));
}

pub(super) async fn what_steers_live_delivery_leaves_replays_alone(bench: &dyn Bench) {
    let (store, topic) = with_topic(bench, TopicSettings::default()).await;
    let other = name("other");
    store.put_topic(&other, &TopicSettings::default(), NOW).await.unwrap();
    append(&store, &topic, 1..=10).await.unwrap();
    let settings = subscribe(&store, "template", &topic).await.settings;
    let new = NewSubscription {
        name: name("billing"),
        origin: Origin::File,
        topics: vec![topic.clone().into(), other.clone().into()],
        from: StartFrom::Earliest,
        settings,
    };
    store.put_subscription(&new, NOW).await.unwrap();
    let one = started(&store, &topic, 1, 8).await;
    let position = of_job(&store, one.id).await;
    settle(&store, settlement(&position, 5)).await.unwrap();
    store.rewind(&name("billing"), Some(&topic), Version(2), NOW).await.unwrap();
    store.steer_subscription(&name("billing"), SubscriptionSteer::Pause, NOW).await.unwrap();
    store.put_subscription(&new, NOW).await.unwrap();
    assert_eq!(of_job(&store, one.id).await.reach, Version(5));
    settle(&store, settlement(&position, 6)).await.unwrap();
    let narrower = NewSubscription { topics: vec![other.into()], ..new };
    let known = store.put_subscription(&narrower, NOW).await.unwrap();
    assert_eq!(known.positions.len(), 1, "what is no longer wanted goes with its replays");
    assert_eq!(listed(&store).await[0].status, JobStatus::Cancelled);
    store.steer_subscription(&name("billing"), SubscriptionSteer::Delete, NOW).await.unwrap();
    assert!(matches!(settle(&store, settlement(&position, 7)).await, Err(StoreError::Stale)));
}

pub(super) async fn dead_letters_of_a_replay_outlive_it(bench: &dyn Bench) {
    let (store, topic, live) = with_position(bench).await;
    let who = name("billing");
    let stands = Exception { kind: ExceptionKind::Stopped, ..retry(1) };
    let died =
        Settlement { put: vec![stands], dead: vec![dead(1), dead(2)], ..settlement(&live, 9) };
    settle(&store, died).await.unwrap();
    let one = started(&store, &topic, 1, 8).await;
    let position = of_job(&store, one.id).await;
    assert_eq!(position.dead_up_to, Version(2));
    let saved = Settlement {
        dead: vec![dead(3)],
        undead: vec![Version(1), Version(2)],
        ..settlement(&position, 8)
    };
    settle(&store, saved).await.unwrap();
    store.end_replay(position.id, position.fence, NOW).await.unwrap();
    let letters = store.dead_letters(&who, &DeadSelect::All, 0, 10).await.unwrap();
    let versions: Vec<u64> = letters.iter().map(|letter| letter.from.0).collect();
    assert_eq!(versions, [1, 3], "what stands still waits for somebody");
    assert_eq!(store.redrive(&who, DeadSelect::All, None, NOW).await.unwrap(), 2);
    let found = store.position(live.id).await.unwrap();
    assert_eq!(found.exceptions.iter().map(|one| one.version.0).collect::<Vec<_>>(), [1, 3]);
}

pub(super) async fn what_a_replay_needs_is_kept_and_its_loss_is_said(bench: &dyn Bench) {
    let day = Duration::from_hours(24);
    let settings = TopicSettings { max_age: Some(day), owed: 3 * day, ..TopicSettings::default() };
    let (store, topic) = with_topic(bench, settings).await;
    append(&store, &topic, 1..=10).await.unwrap();
    let live = subscribe(&store, "billing", &topic).await;
    let live = store.position(live.positions[0].id).await.unwrap();
    settle(&store, settlement(&live, 10)).await.unwrap();
    let one = started(&store, &topic, 4, 7).await;
    trim_all(&store, NOW.plus(3 * day)).await;
    assert_eq!(store.topic(&topic).await.unwrap().oldest, Version(4));
    trim_all(&store, NOW.plus(5 * day)).await;
    assert_eq!(store.topic(&topic).await.unwrap().oldest, Version(11));
    let position = of_job(&store, one.id).await;
    assert_eq!(position.reach, Version(7), "there is nothing left");
    let letters = store.dead_letters(&name("billing"), &DeadSelect::All, 0, 10).await.unwrap();
    assert_eq!((letters[0].from, letters[0].to, letters[0].count), (Version(4), Version(7), 4));
    assert_eq!(letters[0].reason, DeadReason::Expired);
}
