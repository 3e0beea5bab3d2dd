//! What a subscription is in: topics by name and by pattern.

use std::sync::Arc;

use milkrun::{
    event::Version,
    settings::{SubscriptionSettings, TopicSettings},
    store::{
        NewJob, NewSubscription, Origin, StartFrom, Store, StoreError, Subscription,
        SubscriptionSteer,
    },
};

use super::{Bench, NOW, append, name, with_topic};

fn subscription(topics: &[&str], origin: Origin) -> NewSubscription {
    NewSubscription {
        name: name("billing"),
        origin,
        topics: topics.iter().map(|topic| topic.parse().unwrap()).collect(),
        from: StartFrom::Latest,
        settings: SubscriptionSettings::new("https://example.com".into(), Vec::new()),
    }
}

async fn make(store: &Arc<dyn Store>, topics: &[&str]) {
    for topic in topics {
        store.put_topic(&name(topic), &TopicSettings::default(), NOW).await.unwrap();
    }
}

fn places(subscription: &Subscription) -> Vec<(&str, u64)> {
    let place = subscription.positions.iter();
    place.map(|position| (position.topic.as_str(), position.reach.0)).collect()
}

pub(super) async fn a_pattern_takes_every_topic_that_matches(bench: &dyn Bench) {
    let (store, orders) = with_topic(bench, TopicSettings::default()).await;
    make(&store, &["billing.eu", "billing.us", "other", "milkrun.notices"]).await;
    append(&store, &orders, 1..=3).await.unwrap();
    append(&store, &name("billing.us"), 1..=2).await.unwrap();
    let new = subscription(&["billing.*", "orders", "orders*"], Origin::Api);
    store.put_subscription(&new, NOW).await.unwrap();
    store.close().await;
    drop(store);
    let store = bench.open().await;
    let known = store.subscription(&name("billing")).await.unwrap();
    assert_eq!(known.topics, new.topics);
    assert_eq!(places(&known), [("billing.eu", 0), ("billing.us", 2), ("orders", 3)]);
    let none = NewSubscription { name: name("x"), ..subscription(&["none.*"], Origin::Api) };
    assert!(store.put_subscription(&none, NOW).await.unwrap().positions.is_empty());
    let missing =
        NewSubscription { name: name("y"), ..subscription(&["*", "missing"], Origin::Api) };
    let refused = store.put_subscription(&missing, NOW).await;
    assert!(matches!(refused, Err(StoreError::NotFound { .. })), "{refused:?}");
}

pub(super) async fn a_topic_that_appears_later_is_joined(bench: &dyn Bench) {
    let (store, _) = with_topic(bench, TopicSettings::default()).await;
    let new = subscription(&["billing.*", "orders"], Origin::Api);
    let made = store.put_subscription(&new, NOW).await.unwrap();
    let mut changes = store.changes();
    changes.mark_unchanged();
    make(&store, &["billing.eu"]).await;
    assert!(changes.has_changed().unwrap());
    append(&store, &name("billing.eu"), 1..=3).await.unwrap();
    make(&store, &["billing.eu", "elsewhere"]).await;
    let joined = store.subscriptions(made.edit).await.unwrap();
    assert_eq!(places(&joined[0]), [("billing.eu", 0), ("orders", 0)], "from its first event");
    let held = store.position(joined[0].positions[0].id).await.unwrap();
    assert_eq!(held.topic, name("billing.eu"));
}

pub(super) async fn a_topic_goes_unless_it_is_named(bench: &dyn Bench) {
    let (store, orders) = with_topic(bench, TopicSettings::default()).await;
    let bills = name("billing.eu");
    make(&store, &["billing.eu"]).await;
    append(&store, &bills, 1..=3).await.unwrap();
    let new = subscription(&["*", "orders"], Origin::Api);
    let made = store.put_subscription(&new, NOW).await.unwrap();
    let job = NewJob { topic: bills.clone(), from: Version(1), to: Version(3), rate: None };
    store.start_replay(&made.name, &job, NOW).await.unwrap();
    let named = store.delete_topic(&orders, NOW).await;
    assert!(matches!(named, Err(StoreError::Conflict(_))), "{named:?}");
    let edit = store.subscription(&made.name).await.unwrap().edit;
    store.delete_topic(&bills, NOW).await.unwrap();
    let left = store.subscriptions(edit).await.unwrap();
    assert_eq!(places(&left[0]), [("orders", 0)]);
    make(&store, &["billing.eu"]).await;
    let again = store.subscription(&made.name).await.unwrap();
    assert_eq!(places(&again), [("billing.eu", 0), ("orders", 0)]);
}

pub(super) async fn a_file_changes_what_a_subscription_is_in(bench: &dyn Bench) {
    let (store, orders) = with_topic(bench, TopicSettings::default()).await;
    make(&store, &["billing.eu", "billing.us"]).await;
    append(&store, &orders, 1..=3).await.unwrap();
    let wide = subscription(&["*"], Origin::File);
    let made = store.put_subscription(&wide, NOW).await.unwrap();
    let same = store.put_subscription(&wide, NOW).await.unwrap();
    assert_eq!((same.edit, same.positions.len()), (made.edit, 3), "nothing is written");
    let narrow = subscription(&["billing.*"], Origin::File);
    let changed = store.put_subscription(&narrow, NOW).await.unwrap();
    assert_eq!(places(&changed), [("billing.eu", 0), ("billing.us", 0)]);
    let exact = subscription(&["billing.eu", "billing.us"], Origin::File);
    let named = store.put_subscription(&exact, NOW).await.unwrap();
    assert_eq!(named.topics, exact.topics);
    assert_eq!(named.positions[0].id, changed.positions[0].id, "places are kept");
    assert!(store.delete_topic(&name("billing.eu"), NOW).await.is_err());
}

pub(super) async fn positions_are_bounded(bench: &dyn Bench) {
    let (store, orders) = with_topic(bench, TopicSettings::default()).await;
    append(&store, &orders, 1..=3).await.unwrap();
    let topics: Vec<String> = (0..33).map(|n| format!("billing.{n}")).collect();
    make(&store, &topics.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let who = |who: &str, topics| NewSubscription {
        name: name(who),
        ..subscription(topics, Origin::Api)
    };
    for one in ["a", "b", "c"] {
        store.put_subscription(&who(one, &["billing.*"]), NOW).await.unwrap();
    }
    store.put_subscription(&who("last", &["orders"]), NOW).await.unwrap();
    let full = |refused: StoreError| {
        let StoreError::Full(said) = &refused else { panic!("{refused:?}") };
        assert!(said.contains("limits.positions_max"), "{said}");
    };
    full(store.put_subscription(&who("d", &["orders"]), NOW).await.unwrap_err());
    full(store.put_topic(&name("billing.new"), &TopicSettings::default(), NOW).await.unwrap_err());
    let job = NewJob { topic: orders.clone(), from: Version(1), to: Version(3), rate: None };
    full(store.start_replay(&name("last"), &job, NOW).await.unwrap_err());
    // Nothing of what was refused is there, and what needs no position goes on.
    assert!(store.subscription(&name("d")).await.is_err());
    assert!(store.topic(&name("billing.new")).await.is_err());
    store.put_topic(&name("elsewhere"), &TopicSettings::default(), NOW).await.unwrap();
    store.steer_subscription(&name("a"), SubscriptionSteer::Delete, NOW).await.unwrap();
    store.put_subscription(&who("d", &["orders"]), NOW).await.unwrap();
    store.put_topic(&name("billing.new"), &TopicSettings::default(), NOW).await.unwrap();
    assert_eq!(store.subscription(&name("b")).await.unwrap().positions.len(), 34);
}
