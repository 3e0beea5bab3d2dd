//! Dead letters that hold their key back, and which are chosen.

use milkrun::{
    event::Version,
    settings::TopicSettings,
    store::{
        DeadFilter, DeadReason, DeadSelect, Exception, ExceptionKind, LastAnswer, NewDeadLetter,
        PositionState, RecentDeaths, Settlement, StoreError,
    },
};

use super::{
    Bench, NOW, later, name,
    positions::{dead, retry, settle, settlement, with_position},
    standings, subscribe, trim_all,
};

fn stopped(version: u64) -> Exception {
    Exception { kind: ExceptionKind::Stopped, lane: Some(u64::MAX - version), ..retry(version) }
}

fn parked(version: u64) -> Exception {
    Exception { kind: ExceptionKind::Parked, lane: Some(u64::MAX - 2), ..retry(version) }
}

fn kinds(position: &PositionState) -> Vec<(u64, ExceptionKind)> {
    position.exceptions.iter().map(|one| (one.version.0, one.kind)).collect()
}

pub(super) async fn a_key_stands_still_until_its_letter_is_redriven(bench: &dyn Bench) {
    let (store, _, position) = with_position(bench).await;
    settle(&store, Settlement { put: vec![retry(2)], ..settlement(&position, 5) }).await.unwrap();
    let died = Settlement {
        put: vec![stopped(2), parked(4)],
        dead: vec![dead(2), dead(3)],
        ..settlement(&position, 5)
    };
    settle(&store, died.clone()).await.unwrap();
    settle(&store, died).await.unwrap();
    store.close().await;
    drop(store);
    let store = bench.open().await;
    let found = store.position(position.id).await.unwrap();
    assert_eq!(found.exceptions, [stopped(2), parked(4)]);
    let shown = store.subscription(&name("billing")).await.unwrap();
    assert_eq!(shown.positions[0].stopped_keys, 1);
    standings::check(&store).await;
    let who = name("billing");
    assert_eq!(store.dead_letters(&who, &DeadSelect::All, 0, 10).await.unwrap().len(), 2);
    assert_eq!(store.redrive(&who, DeadSelect::All, None, later(60)).await.unwrap(), 2);
    let found = store.position(position.id).await.unwrap();
    let again = &found.exceptions[0];
    assert_eq!((again.kind, again.attempts, again.tries), (ExceptionKind::Retry, 0, 0));
    assert_eq!((again.due, again.lane), (later(60), Some(u64::MAX - 2)), "its lane stays");
    assert_eq!(found.exceptions.len(), 3);
    assert!(store.dead_letters(&who, &DeadSelect::All, 0, 10).await.unwrap().is_empty());
}

pub(super) async fn a_key_goes_on_when_its_letter_is_deleted(bench: &dyn Bench) {
    let (store, _, position) = with_position(bench).await;
    let died = Settlement {
        put: vec![stopped(2), parked(4)],
        dead: vec![dead(2), dead(3)],
        ..settlement(&position, 5)
    };
    settle(&store, died).await.unwrap();
    let who = name("billing");
    let edit = store.subscription(&who).await.unwrap().edit;
    assert_eq!(store.delete_dead_letters(&who, DeadSelect::All).await.unwrap(), 2);
    let found = store.position(position.id).await.unwrap();
    assert_eq!(kinds(&found), [(4, ExceptionKind::Parked)]);
    assert_eq!(store.subscriptions(edit).await.unwrap().len(), 1, "its holder looks");
}

pub(super) async fn a_key_goes_on_when_its_letter_is_trimmed(bench: &dyn Bench) {
    let (store, _, position) = with_position(bench).await;
    let died = Settlement {
        put: vec![stopped(2), parked(4)],
        dead: vec![dead(2)],
        ..settlement(&position, 5)
    };
    settle(&store, died).await.unwrap();
    let edit = store.subscription(&name("billing")).await.unwrap().edit;
    trim_all(&store, later(31 * 86_400)).await;
    let found = store.position(position.id).await.unwrap();
    assert_eq!(kinds(&found), [(4, ExceptionKind::Parked)]);
    assert_eq!(store.subscriptions(edit).await.unwrap().len(), 1, "its holder looks");
}

pub(super) async fn what_stands_still_is_redriven_however_full_it_is(bench: &dyn Bench) {
    let (store, _, position) = with_position(bench).await;
    let who = name("billing");
    let mut settings = store.subscription(&who).await.unwrap().settings;
    settings.max_exceptions = 3;
    store.set_subscription(&who, &settings, None, NOW).await.unwrap();
    let died = Settlement {
        put: vec![stopped(2), parked(4), parked(5)],
        dead: vec![dead(1), dead(2)],
        reach: Version(5),
        ..settlement(&position, 5)
    };
    settle(&store, died).await.unwrap();
    assert_eq!(store.redrive(&who, DeadSelect::All, None, later(0)).await.unwrap(), 1);
    let found = store.position(position.id).await.unwrap();
    assert_eq!(kinds(&found)[0], (2, ExceptionKind::Retry));
    assert_eq!(
        store.dead_letters(&who, &DeadSelect::All, 0, 10).await.unwrap()[0].from,
        Version(1)
    );
}

pub(super) async fn letters_are_chosen(bench: &dyn Bench) {
    let (store, topic, position) = with_position(bench).await;
    let other = name("other");
    store.put_topic(&other, &TopicSettings::default(), NOW).await.unwrap();
    let refused = NewDeadLetter {
        reason: DeadReason::Refused,
        last: LastAnswer { status: Some(400), error: None },
        ..dead(3)
    };
    let died = Settlement { dead: vec![dead(1), dead(2), refused], ..settlement(&position, 9) };
    settle(&store, died).await.unwrap();
    let died = Settlement { dead: vec![dead(4)], now: later(60), ..settlement(&position, 9) };
    settle(&store, died).await.unwrap();
    let who = name("billing");
    let all = DeadFilter::default();
    for (filter, expected) in [
        (all.clone(), vec![1, 2, 3, 4]),
        (DeadFilter { topic: Some(topic.clone()), ..all.clone() }, vec![1, 2, 3, 4]),
        (DeadFilter { topic: Some(other), ..all.clone() }, vec![]),
        (DeadFilter { reason: Some(DeadReason::Refused), ..all.clone() }, vec![3]),
        (DeadFilter { from: Some(Version(2)), to: Some(Version(3)), ..all.clone() }, vec![2, 3]),
        (DeadFilter { since: Some(later(60)), ..all.clone() }, vec![4]),
        (DeadFilter { status: Some(500), to: Some(Version(3)), ..all.clone() }, vec![1, 2]),
    ] {
        let select = DeadSelect::Where(filter.clone());
        let found = store.dead_letters(&who, &select, 0, 10).await.unwrap();
        let found: Vec<u64> = found.iter().map(|letter| letter.from.0).collect();
        assert_eq!(found, expected, "{filter:?}");
    }
    let nowhere = DeadFilter { topic: Some(name("none")), ..all.clone() };
    let missing = store.redrive(&who, DeadSelect::Where(nowhere), None, NOW).await;
    assert!(matches!(missing, Err(StoreError::NotFound { .. })));
    let refused = DeadFilter { reason: Some(DeadReason::Refused), ..all.clone() };
    let deleted = store.delete_dead_letters(&who, DeadSelect::Where(refused)).await.unwrap();
    assert_eq!(deleted, 1);
    let early = DeadFilter { to: Some(Version(2)), ..all };
    let redriven = store.redrive(&who, DeadSelect::Where(early), None, NOW).await.unwrap();
    assert_eq!(redriven, 2);
    let left = store.dead_letters(&who, &DeadSelect::All, 0, 10).await.unwrap();
    assert_eq!(left.iter().map(|letter| letter.from.0).collect::<Vec<_>>(), [4]);
}

pub(super) async fn letters_of_all_are_listed(bench: &dyn Bench) {
    let (store, topic, first) = with_position(bench).await;
    let second = subscribe(&store, "audit", &topic).await;
    let second = store.position(second.positions[0].id).await.unwrap();
    for position in [&first, &second] {
        let died = Settlement { dead: vec![dead(1), dead(2)], ..settlement(position, 5) };
        settle(&store, died).await.unwrap();
    }
    let list = async |of: Option<&[i64]>, after: i64, limit: usize| {
        let found = store.all_dead_letters(of, &DeadSelect::All, after, limit).await.unwrap();
        found.iter().map(|one| (one.subscription, one.from.0)).collect::<Vec<_>>()
    };
    let (a, b) = (first.subscription, second.subscription);
    assert_eq!(list(None, 0, 10).await, [(a, 1), (a, 2), (b, 1), (b, 2)]);
    assert_eq!(list(Some(&[b]), 0, 10).await, [(b, 1), (b, 2)]);
    assert_eq!(list(Some(&[]), 0, 10).await, []);
    let page = store.all_dead_letters(None, &DeadSelect::All, 0, 3).await.unwrap();
    assert_eq!(list(None, page[2].id, 3).await, [(b, 2)]);
    let late = DeadFilter { from: Some(Version(2)), ..DeadFilter::default() };
    let found = store.all_dead_letters(None, &DeadSelect::Where(late), 0, 10).await.unwrap();
    assert_eq!(found.len(), 2);
}

pub(super) async fn what_was_given_up_of_late_is_counted(bench: &dyn Bench) {
    let (store, topic, first) = with_position(bench).await;
    let second = subscribe(&store, "audit", &topic).await;
    let second = store.position(second.positions[0].id).await.unwrap();
    for (position, version, seconds) in [(&first, 1, 0), (&first, 2, 60), (&second, 1, 90)] {
        let died = Settlement {
            dead: vec![dead(version)],
            now: later(seconds),
            ..settlement(position, 5)
        };
        settle(&store, died).await.unwrap();
    }
    let found = async |since: u64| {
        let recent = store.recent_deaths(later(since)).await.unwrap();
        let short = |one: RecentDeaths| {
            assert!(!one.is_expired);
            (one.subscription, one.count, (one.first.0 - NOW.0) / 1_000_000)
        };
        recent.into_iter().map(short).collect::<Vec<_>>()
    };
    let (a, b) = (first.subscription, second.subscription);
    assert_eq!(found(0).await, [(a, 2, 0), (b, 1, 90)]);
    assert_eq!(found(60).await, [(a, 1, 60), (b, 1, 90)]);
    assert_eq!(found(91).await, []);
}

pub(super) async fn letters_are_redriven_one_after_the_other(bench: &dyn Bench) {
    let (store, _, position) = with_position(bench).await;
    let died = Settlement { dead: (1..=5).map(dead).collect(), ..settlement(&position, 9) };
    settle(&store, died).await.unwrap();
    let rate = Some("2/s".parse().unwrap());
    store.redrive(&name("billing"), DeadSelect::All, rate, NOW).await.unwrap();
    let found = store.position(position.id).await.unwrap();
    let due: Vec<i64> = found.exceptions.iter().map(|one| (one.due.0 - NOW.0) / 1_000).collect();
    assert_eq!(due, [0, 500, 1_000, 1_500, 2_000]);
    assert!(found.exceptions.iter().all(|one| one.first == NOW));
}
