//! How subscriptions are doing, as it is told in short.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use milkrun::{
    event::{Micros, Topic, Version},
    store::{
        Exception, ExceptionKind, PositionSummary, Read, Settlement, Share, Store, Subscription,
        SubscriptionStatus, SubscriptionSteer,
    },
};

use super::{
    Bench, name,
    positions::{retry, settle, settlement, with_position},
    subscribe,
};

pub(super) async fn what_has_waited_longest_is_told(bench: &dyn Bench) {
    let (store, topic, position) = with_position(bench).await;
    subscribe(&store, "audit", &topic).await;
    let standing = async |who: &str| {
        let standings = store.standings(&Share::Everything).await.unwrap();
        standings.into_iter().find(|standing| standing.name == name(who)).unwrap()
    };
    let recorded = async |version: u64| {
        store.read(&topic, Read::one(Version(version))).await.unwrap().events.remove(0).recorded
    };
    assert_eq!(standing("billing").await.due, Some(recorded(1).await));
    // What is tried again waits from when that is due; what is parked waits for that.
    let early = Exception { due: recorded(1).await.minus(Duration::from_secs(9)), ..retry(4) };
    let parked = Exception { kind: ExceptionKind::Parked, due: Micros(1), ..retry(2) };
    let saved = Settlement { put: vec![early.clone(), parked], ..settlement(&position, 5) };
    settle(&store, saved).await.unwrap();
    let billing = standing("billing").await;
    assert_eq!((billing.due, billing.exceptions), (Some(early.due), 2));
    let late = Exception { due: Micros(i64::MAX), ..early };
    settle(&store, Settlement { put: vec![late], ..settlement(&position, 5) }).await.unwrap();
    assert_eq!(standing("billing").await.due, Some(recorded(6).await));
    assert_eq!(standing("audit").await.due, Some(recorded(1).await));
    // Nothing waits at the head; the share says whose is asked for.
    let head = store.topic(&topic).await.unwrap().head.0;
    let saved = Settlement { clear: vec![Version(2), Version(4)], ..settlement(&position, head) };
    settle(&store, saved).await.unwrap();
    let billing = standing("billing").await;
    assert_eq!((billing.due, billing.owed), (None, 0));
    let share = Share::These([billing.id].into());
    assert_eq!(store.standings(&share).await.unwrap(), [billing]);
    assert_eq!(store.standings(&Share::Nothing).await.unwrap(), []);
}

pub(super) async fn those_that_are_named_are_read_alone(bench: &dyn Bench) {
    let (store, topic, position) = with_position(bench).await;
    for who in ["audit", "zoo"] {
        subscribe(&store, who, &topic).await;
    }
    let put = vec![retry(2), retry(4)];
    settle(&store, Settlement { put, delivered: 3, ..settlement(&position, 5) }).await.unwrap();
    let all = store.subscriptions_of(&Share::Everything).await.unwrap();
    let names: Vec<&str> = all.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["audit", "billing", "zoo"]);
    let ids: Vec<i64> = all.iter().map(|one| one.id).collect();
    let told = |all: &[Subscription]| format!("{all:?}");
    for some in [&ids[..0], &ids[1..2], &ids[..2], &ids[..]] {
        let share = Share::These(some.iter().copied().collect());
        let mut wanted = all.clone();
        wanted.retain(|one| some.contains(&one.id));
        assert_eq!(told(&store.subscriptions_of(&share).await.unwrap()), told(&wanted));
        let mut standings = store.standings(&Share::Everything).await.unwrap();
        standings.retain(|one| some.contains(&one.id));
        assert_eq!(store.standings(&share).await.unwrap(), standings);
    }
    let billing = store.standings(&Share::These([ids[1]].into())).await.unwrap().remove(0);
    assert_eq!((billing.exceptions, billing.exceptions_most, billing.delivered), (2, 2, 3));
    assert!(store.subscriptions_of(&Share::Nothing).await.unwrap().is_empty());
    store.steer_subscription(&name("zoo"), SubscriptionSteer::Delete, Micros(1)).await.unwrap();
    let share = Share::These(ids.into_iter().collect());
    assert_eq!(store.subscriptions_of(&share).await.unwrap().len(), 2);
}

/// How everybody is doing is told alike in short and with all else that there is.
pub(super) async fn check(store: &Arc<dyn Store>) {
    let topics = store.topics().await.unwrap();
    let all = store.subscriptions(0).await.unwrap();
    let gone = [SubscriptionStatus::Removed, SubscriptionStatus::Deleted];
    let expected = all.iter().filter(|one| !gone.contains(&one.status)).map(|one| one.id);
    let standings = store.standings(&Share::Everything).await.unwrap();
    let told: BTreeSet<i64> = standings.iter().map(|standing| standing.id).collect();
    assert_eq!(told, expected.collect());
    for standing in standings {
        let one = all.iter().find(|one| one.id == standing.id).unwrap();
        let sum = |count: fn(&PositionSummary) -> u64| one.live().map(count).sum::<u64>();
        let topic = |name: &Topic| topics.iter().find(|state| state.topic == *name);
        let owed: u64 = one.live().map(|at| at.owed(topic(&at.topic).map(|state| &**state))).sum();
        assert_eq!((&standing.name, standing.status), (&one.name, one.status));
        assert_eq!(standing.owed, owed, "{standing:?}");
        assert_eq!(standing.exceptions, sum(|at| at.exceptions), "{standing:?}");
        assert_eq!(standing.stopped_keys, sum(|at| at.stopped_keys), "{standing:?}");
        assert_eq!(standing.dead_letters, sum(|at| at.dead_letters), "{standing:?}");
    }
}
