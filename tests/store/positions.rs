//! Subscriptions, positions, settlements and dead letters.

use std::sync::Arc;

use futures_util::future::join_all;
use milkrun::{
    event::{Topic, Version},
    settings::{SubscriptionSettings, TopicSettings},
    store::{
        Attempt, AttemptQuery, DeadReason, DeadSelect, Exception, ExceptionKind, LastAnswer,
        NewDeadLetter, NewSubscription, Origin, PositionState, Settlement, Share, StartFrom, Store,
        StoreError, SubscriptionStatus, SubscriptionSteer,
    },
};

use super::{Bench, NOW, append, id_of, later, name, standings, subscribe, with_topic};

pub(super) async fn with_position(bench: &dyn Bench) -> (Arc<dyn Store>, Topic, PositionState) {
    let (store, topic) = with_topic(bench, TopicSettings::default()).await;
    append(&store, &topic, 1..=10).await.unwrap();
    let subscription = subscribe(&store, "billing", &topic).await;
    let position = store.position(subscription.positions[0].id).await.unwrap();
    (store, topic, position)
}

pub(super) async fn many_are_taken_up_at_once_and_each_is_its_own(bench: &dyn Bench) {
    let (store, topic) = with_topic(bench, TopicSettings::default()).await;
    append(&store, &topic, 1..=10).await.unwrap();
    let mut ids = Vec::new();
    for number in 0..40 {
        let one = subscribe(&store, &format!("s{number}"), &topic).await;
        let position = store.position(one.positions[0].id).await.unwrap();
        let mut reach = settlement(&position, number % 10);
        if number % 4 == 0 {
            reach.put = vec![retry(1)];
        }
        assert!(store.settle(vec![reach]).await[0].is_ok());
        ids.push(position.id);
    }
    // More than one statement reads, and most are not there.
    let asked: Vec<i64> = (0..1_500).chain(ids.iter().copied()).collect();
    let found = join_all(asked.iter().map(|id| store.position(*id))).await;
    for (id, found) in asked.iter().zip(found) {
        let Some(number) = ids.iter().position(|known| known == id) else {
            assert!(matches!(found, Err(StoreError::NotFound { .. })), "{id}: {found:?}");
            continue;
        };
        let found = found.unwrap();
        assert_eq!((found.id, found.reach), (*id, Version(number as u64 % 10)));
        assert_eq!(found.exceptions.len(), usize::from(number % 4 == 0), "{id}");
    }
}

pub(super) fn settlement(position: &PositionState, reach: u64) -> Settlement {
    Settlement {
        topic: position.topic_id,
        position: position.id,
        fence: position.fence,
        reach: Version(reach),
        now: NOW,
        ..Settlement::default()
    }
}

pub(super) fn retry(version: u64) -> Exception {
    Exception {
        version: Version(version),
        kind: ExceptionKind::Retry,
        attempts: 1,
        tries: 2,
        due: later(5),
        first: NOW,
        successes: 7,
        stands_out: true,
        last: LastAnswer { status: Some(500), error: Some("no".into()) },
        lane: None,
    }
}

pub(super) fn dead(version: u64) -> NewDeadLetter {
    NewDeadLetter {
        version: Version(version),
        reason: DeadReason::Attempts,
        attempts: 10,
        first: NOW,
        last: LastAnswer { status: Some(500), error: None },
    }
}

pub(super) async fn settle(
    store: &Arc<dyn Store>,
    settlement: Settlement,
) -> Result<(), StoreError> {
    store.settle(vec![settlement]).await.remove(0)
}

pub(super) async fn a_settlement_is_kept(bench: &dyn Bench) {
    let (store, _, position) = with_position(bench).await;
    assert_eq!((position.reach, position.dead_up_to), (Version(0), Version(0)));
    let saved = Settlement {
        open: vec![Version(3), Version(5)],
        put: vec![retry(2), retry(4)],
        dead: vec![dead(1)],
        delivered: 2,
        ..settlement(&position, 6)
    };
    settle(&store, saved).await.unwrap();
    let changed = Exception { attempts: 2, ..retry(4) };
    let saved = Settlement {
        put: vec![changed.clone()],
        clear: vec![Version(2)],
        open: vec![Version(5)],
        delivered: 1,
        ..settlement(&position, 8)
    };
    settle(&store, saved).await.unwrap();
    store.close().await;
    drop(store);
    let store = bench.open().await;
    let found = store.position(position.id).await.unwrap();
    assert_eq!((found.reach, found.open), (Version(8), vec![Version(5)]));
    assert_eq!(found.exceptions, [changed]);
    assert_eq!(found.dead_up_to, Version(1));
    let summary = store.subscription(&name("billing")).await.unwrap().positions.remove(0);
    assert_eq!((summary.reach, summary.floor), (Version(8), Version(3)));
    assert_eq!((summary.exceptions, summary.dead_letters, summary.delivered), (1, 1, 3));
    standings::check(&store).await;
    let owed = store.standings(&Share::Everything).await.unwrap()[0].owed;
    assert!(owed >= 2, "one is open, one is tried again");
}

pub(super) async fn a_stale_settlement_changes_nothing(bench: &dyn Bench) {
    let (store, topic, position) = with_position(bench).await;
    let other = subscribe(&store, "audit", &topic).await;
    let other = store.position(other.positions[0].id).await.unwrap();
    store.rewind(&name("billing"), None, Version(0), NOW).await.unwrap();
    let answers = store.settle(vec![settlement(&position, 9), settlement(&other, 9)]).await;
    assert!(matches!(answers[0], Err(StoreError::Stale)));
    assert!(answers[1].is_ok());
    assert_eq!(store.position(position.id).await.unwrap().reach, Version(0));
    assert_eq!(store.position(other.id).await.unwrap().reach, Version(9));
}

pub(super) async fn settlements_in_one_group_keep_their_order(bench: &dyn Bench) {
    let (store, _, position) = with_position(bench).await;
    let put = Settlement { put: vec![retry(2)], delivered: 3, ..settlement(&position, 4) };
    let clear = Settlement { clear: vec![Version(2)], delivered: 1, ..settlement(&position, 6) };
    let answers = join_all([put, clear].map(|one| settle(&store, one))).await;
    assert!(answers.iter().all(Result::is_ok));
    let found = store.position(position.id).await.unwrap();
    assert_eq!((found.reach, found.exceptions), (Version(6), vec![]));
    let summary = store.subscription(&name("billing")).await.unwrap().positions.remove(0);
    assert_eq!(summary.delivered, 4);
}

pub(super) async fn dead_letters_are_redriven(bench: &dyn Bench) {
    let (store, _, position) = with_position(bench).await;
    let saved = Settlement { dead: vec![dead(2), dead(4), dead(5)], ..settlement(&position, 6) };
    // Repeated, as after an unknown outcome: each dies once.
    settle(&store, saved.clone()).await.unwrap();
    settle(&store, saved).await.unwrap();
    let who = name("billing");
    let letters = store.dead_letters(&who, &DeadSelect::All, 0, 100).await.unwrap();
    assert_eq!(letters.iter().map(|letter| letter.from.0).collect::<Vec<_>>(), [2, 4, 5]);
    assert_eq!(id_of(letters[1].event.as_ref().unwrap()), "4");
    assert_eq!((letters[1].attempts, letters[1].last.status), (10, Some(500)));
    assert_eq!(
        store.dead_letters(&who, &DeadSelect::All, letters[0].id, 1).await.unwrap()[0].from,
        Version(4)
    );
    let mut changes = store.changes();
    changes.mark_unchanged();
    let one = DeadSelect::Ids(vec![letters[1].id]);
    assert_eq!(store.redrive(&who, one, None, later(9)).await.unwrap(), 1);
    assert!(changes.has_changed().unwrap());
    let found = store.position(position.id).await.unwrap();
    assert_eq!(found.exceptions.len(), 1);
    let exception = &found.exceptions[0];
    assert_eq!((exception.version, exception.attempts), (Version(4), 0));
    assert_eq!(exception.due, later(9));
    let one = DeadSelect::Ids(vec![letters[0].id, 12_345]);
    assert_eq!(store.delete_dead_letters(&who, one).await.unwrap(), 1);
    assert_eq!(store.redrive(&who, DeadSelect::All, None, NOW).await.unwrap(), 1);
    assert!(store.dead_letters(&who, &DeadSelect::All, 0, 100).await.unwrap().is_empty());
}

pub(super) async fn a_rewind_drops_what_is_open(bench: &dyn Bench) {
    let (store, topic, position) = with_position(bench).await;
    let saved = Settlement {
        open: vec![Version(3)],
        put: vec![retry(2)],
        dead: vec![dead(1)],
        ..settlement(&position, 6)
    };
    settle(&store, saved).await.unwrap();
    let who = name("billing");
    store.rewind(&who, Some(&topic), Version(4), NOW).await.unwrap();
    let found = store.position(position.id).await.unwrap();
    assert!(found.fence > position.fence);
    assert_eq!((found.reach, found.open.len(), found.exceptions.len()), (Version(4), 0, 0));
    assert_eq!(found.dead_up_to, Version(1), "dead letters stay");
    let ahead = store.rewind(&who, None, Version(11), NOW).await;
    assert!(matches!(ahead, Err(StoreError::Conflict(_))));
    let elsewhere = store.rewind(&who, Some(&name("none")), Version(1), NOW).await;
    assert!(matches!(elsewhere, Err(StoreError::NotFound { .. })));
}

pub(super) async fn a_delivery_clears_its_dead_letter(bench: &dyn Bench) {
    let (store, _, position) = with_position(bench).await;
    let saved = Settlement { dead: vec![dead(2), dead(3)], ..settlement(&position, 6) };
    settle(&store, saved).await.unwrap();
    let delivered = Settlement { undead: vec![Version(2), Version(5)], ..settlement(&position, 6) };
    settle(&store, delivered).await.unwrap();
    let left = store.dead_letters(&name("billing"), &DeadSelect::All, 0, 10).await.unwrap();
    assert_eq!(left.iter().map(|letter| letter.from.0).collect::<Vec<_>>(), [3]);
}

pub(super) async fn a_deleted_subscription_lets_go(bench: &dyn Bench) {
    let (store, topic, position) = with_position(bench).await;
    let who = name("billing");
    let edit = store.subscription(&who).await.unwrap().edit;
    store.steer_subscription(&who, SubscriptionSteer::Delete, NOW).await.unwrap();
    assert!(matches!(settle(&store, settlement(&position, 3)).await, Err(StoreError::Stale)));
    assert!(matches!(store.subscription(&who).await, Err(StoreError::NotFound { .. })));
    assert!(store.subscriptions(0).await.unwrap().is_empty());
    let changed = store.subscriptions(edit).await.unwrap();
    assert_eq!((&changed[0].name, changed[0].status), (&who, SubscriptionStatus::Deleted));
    let again = subscribe(&store, "billing", &topic).await;
    assert_ne!(again.positions[0].id, position.id);
}

pub(super) async fn names_are_taken_once(bench: &dyn Bench) {
    let (store, topic, _) = with_position(bench).await;
    let new = NewSubscription {
        name: name("billing"),
        origin: Origin::Api,
        topics: vec![topic.clone().into()],
        from: StartFrom::Latest,
        settings: SubscriptionSettings::new("https://example.com".into(), Vec::new()),
    };
    let taken = store.put_subscription(&new, NOW).await;
    assert!(matches!(taken, Err(StoreError::Exists { .. })));
    let from_file = NewSubscription { origin: Origin::File, ..new.clone() };
    assert!(matches!(store.put_subscription(&from_file, NOW).await, Err(StoreError::Conflict(_))));
    let nowhere =
        NewSubscription { name: name("x"), topics: vec![name("none").into()], ..new.clone() };
    assert!(matches!(
        store.put_subscription(&nowhere, NOW).await,
        Err(StoreError::NotFound { .. })
    ));
    let ahead = NewSubscription { name: name("x"), from: StartFrom::After(Version(11)), ..new };
    assert!(matches!(store.put_subscription(&ahead, NOW).await, Err(StoreError::Conflict(_))));
    assert!(store.subscription(&name("x")).await.is_err(), "half done");
}

pub(super) async fn a_subscription_of_the_file_keeps_its_place(bench: &dyn Bench) {
    let (store, topic) = with_topic(bench, TopicSettings::default()).await;
    append(&store, &topic, 1..=10).await.unwrap();
    let mut new = NewSubscription {
        name: name("billing"),
        origin: Origin::File,
        topics: vec![topic.clone().into()],
        from: StartFrom::After(Version(4)),
        settings: SubscriptionSettings::new("https://example.com".into(), Vec::new()),
    };
    let made = store.put_subscription(&new, NOW).await.unwrap();
    let position = store.position(made.positions[0].id).await.unwrap();
    assert_eq!(position.reach, Version(4));
    settle(&store, settlement(&position, 7)).await.unwrap();
    store.steer_subscription(&new.name, SubscriptionSteer::Pause, NOW).await.unwrap();
    store.steer_subscription(&new.name, SubscriptionSteer::Remove, NOW).await.unwrap();
    let resumed = store.steer_subscription(&new.name, SubscriptionSteer::Resume, NOW).await;
    assert!(matches!(resumed, Err(StoreError::Conflict(_))), "it is not in the file");
    new.from = StartFrom::Earliest;
    new.settings.concurrency = 3;
    let found = store.put_subscription(&new, NOW).await.unwrap();
    assert_eq!((found.id, found.status), (made.id, SubscriptionStatus::Paused), "as it was left");
    assert_eq!((found.positions[0].reach, found.settings.concurrency), (Version(7), 3));
}

pub(super) async fn changes_are_listed_by_their_number(bench: &dyn Bench) {
    let (store, topic) = with_topic(bench, TopicSettings::default()).await;
    let first = subscribe(&store, "first", &topic).await;
    let second = subscribe(&store, "second", &topic).await;
    assert!(second.edit > first.edit);
    assert!(store.subscriptions(second.edit).await.unwrap().is_empty());
    let disable = SubscriptionSteer::Disable { id: first.id, reason: "410".into() };
    let disabled = store.steer_subscription(&first.name, disable, NOW).await.unwrap();
    let changed = store.subscriptions(second.edit).await.unwrap();
    assert_eq!(changed.len(), 1);
    assert_eq!((changed[0].id, changed[0].status), (first.id, SubscriptionStatus::Disabled));
    assert_eq!(disabled.reason.as_deref(), Some("410"));
    store.save_health(first.id, 0, "{\"on\":1}".into()).await.unwrap();
    assert_eq!(
        store.subscription(&first.name).await.unwrap().health.as_deref(),
        Some("{\"on\":1}")
    );
    let resumed =
        store.steer_subscription(&first.name, SubscriptionSteer::Resume, NOW).await.unwrap();
    assert_eq!(
        (resumed.status, resumed.reason, resumed.health),
        (SubscriptionStatus::Active, None, None)
    );
    assert_eq!(resumed.resets, 1);
    store.save_health(first.id, 0, "{\"late\":1}".into()).await.unwrap();
    assert_eq!(store.subscription(&first.name).await.unwrap().health, None, "it was forgotten");
    let reason = "410".to_owned();
    let other = SubscriptionSteer::Disable { id: second.id, reason: reason.clone() };
    let kept = store.steer_subscription(&first.name, other, NOW).await.unwrap();
    assert_eq!(kept.status, SubscriptionStatus::Active, "it was meant for another");
    store.steer_subscription(&first.name, SubscriptionSteer::Pause, NOW).await.unwrap();
    let late = SubscriptionSteer::Disable { id: first.id, reason };
    let kept = store.steer_subscription(&first.name, late, NOW).await.unwrap();
    assert_eq!(kept.status, SubscriptionStatus::Paused);
    assert_eq!(store.subscriptions(0).await.unwrap().len(), 2);
}

pub(super) async fn settings_read_before_another_change_are_not_written(bench: &dyn Bench) {
    let (store, ..) = with_position(bench).await;
    let who = name("billing");
    let read = store.subscription(&who).await.unwrap();
    let of = |max_exceptions| SubscriptionSettings { max_exceptions, ..read.settings.clone() };
    store.set_subscription(&who, &of(7), Some(read.edit), NOW).await.unwrap();
    let late = store.set_subscription(&who, &of(8), Some(read.edit), NOW).await;
    assert!(matches!(late, Err(StoreError::Stale)), "{late:?}");
    let kept = store.subscription(&who).await.unwrap();
    assert_eq!(kept.settings.max_exceptions, 7);
    store.set_subscription(&who, &of(9), Some(kept.edit), NOW).await.unwrap();
}

pub(super) async fn attempts_are_found(bench: &dyn Bench) {
    let (store, _, position) = with_position(bench).await;
    let attempt = |version: u64, verdict: &str| Attempt {
        id: 0,
        subscription: position.subscription,
        topic: 1,
        version: Version(version),
        attempt: 1,
        started: later(version),
        duration_ms: 3,
        status: Some(if verdict == "delivered" { 200 } else { 500 }),
        answer: b"body".to_vec(),
        error: None,
        verdict: verdict.into(),
    };
    store.trace((1..=5).map(|n| attempt(n, "delivered")).collect());
    store.trace(vec![attempt(6, "retry")]);
    store.close().await;
    drop(store);
    let store = bench.open().await;
    let of = |query: AttemptQuery| {
        let store = store.clone();
        async move {
            let query = AttemptQuery { limit: 10, ..query };
            let found = store.attempts(query).await.unwrap();
            found.iter().map(|attempt| attempt.version.0).collect::<Vec<_>>()
        }
    };
    assert_eq!(of(AttemptQuery::default()).await, [6, 5, 4, 3, 2, 1]);
    assert_eq!(of(AttemptQuery { failed: true, ..AttemptQuery::default() }).await, [6]);
    assert_eq!(of(AttemptQuery { since: Some(later(5)), ..AttemptQuery::default() }).await, [6, 5]);
    assert_eq!(
        of(AttemptQuery { version: Some(Version(2)), ..AttemptQuery::default() }).await,
        [2]
    );
    assert_eq!(of(AttemptQuery { status: Some(500), ..AttemptQuery::default() }).await, [6]);
    let among = |of: Vec<i64>| AttemptQuery { subscriptions: Some(of), ..AttemptQuery::default() };
    assert_eq!(of(among(vec![99, position.subscription])).await, [6, 5, 4, 3, 2, 1]);
    assert!(of(among(vec![99])).await.is_empty() && of(among(Vec::new())).await.is_empty());
    assert!(
        of(AttemptQuery { subscription: Some(99), ..AttemptQuery::default() }).await.is_empty()
    );
}
