//! Tables: what may be done to topics, subscriptions, positions and replays.

use super::*;
use crate::{
    event::Epoch,
    settings::{SubscriptionSettings, TopicSettings},
};

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn topic(oldest: u64, head: u64) -> TopicState {
    TopicState {
        id: 1,
        uid: "0".repeat(16),
        topic: name("orders"),
        head: Version(head),
        oldest: Version(oldest),
        bytes: 0,
        recorded: Micros(0),
        epochs: [start(1, 1)].into(),
        edit: 0,
        settings: TopicSettings::default(),
    }
}

fn start(epoch: u32, first: u64) -> EpochStart {
    let reason = "created".to_owned();
    EpochStart { epoch: Epoch(epoch), first: Version(first), started: Micros(0), reason }
}

fn settings(url: &str) -> SubscriptionSettings {
    SubscriptionSettings::new(url.into(), Vec::new())
}

fn subscription(origin: Origin, status: SubscriptionStatus) -> Subscription {
    Subscription {
        id: 7,
        name: name("billing"),
        origin,
        status,
        reason: None,
        topics: vec!["orders".parse().unwrap()],
        settings: settings("https://a.example"),
        positions: Vec::new(),
        health: None,
        resets: 0,
        edit: 1,
        created: Micros(0),
        removed_at: None,
    }
}

fn new(origin: Origin, url: &str, topics: &[&str]) -> NewSubscription {
    NewSubscription {
        name: name("billing"),
        origin,
        topics: topics.iter().map(|topic| topic.parse().unwrap()).collect(),
        from: StartFrom::Latest,
        settings: settings(url),
    }
}

#[test]
fn a_name_is_taken_over_by_the_file_from_the_file_alone() {
    let may = |known, put| {
        let known = subscription(known, SubscriptionStatus::Active);
        may_renew(&known, &new(put, "https://a.example", &["orders"]))
    };
    assert!(may(Origin::File, Origin::File).is_ok());
    assert!(matches!(may(Origin::Api, Origin::File), Err(StoreError::Conflict(_))));
    for known in [Origin::File, Origin::Api] {
        assert!(matches!(may(known, Origin::Api), Err(StoreError::Exists { .. })));
    }
}

#[test]
fn what_is_as_it_was_is_not_written() {
    let (active, removed) = (SubscriptionStatus::Active, SubscriptionStatus::Removed);
    let none = Vec::new;
    let same = ("https://a.example", &["orders"][..]);
    for (status, (url, patterns), held, topics, expected) in [
        (active, same, vec![(5, 1)], vec![1], None),
        // It is back, it has another URL, other words for the same topics, one topic more, one less.
        (removed, same, vec![(5, 1)], vec![1], Some((false, none()))),
        (active, ("https://b.example", same.1), vec![(5, 1)], vec![1], Some((true, none()))),
        (active, (same.0, &["*"][..]), vec![(5, 1)], vec![1], Some((false, none()))),
        (active, same, vec![(5, 1)], vec![1, 2], Some((false, none()))),
        (active, same, vec![(5, 1), (6, 2)], vec![1], Some((false, vec![(6, 2)]))),
    ] {
        let known = subscription(Origin::File, status);
        let new = new(Origin::File, url, patterns);
        let found = renewal(&known, &held, &new, &topics.iter().copied().collect());
        let expected =
            expected.map(|(forgets_endpoint, leaves)| Renewal { forgets_endpoint, leaves });
        assert_eq!(found, expected, "{url} {patterns:?} {held:?} {topics:?}");
    }
}

#[test]
fn one_that_left_the_file_is_not_served_and_a_late_disable_does_nothing() {
    let removed = subscription(Origin::File, SubscriptionStatus::Removed);
    for steer in [SubscriptionSteer::Pause, SubscriptionSteer::Resume] {
        assert!(matches!(may_steer(&removed, &steer), Err(StoreError::Conflict(_))));
    }
    assert!(may_steer(&removed, &SubscriptionSteer::Delete).unwrap());
    let disable = |id| SubscriptionSteer::Disable { id, reason: "410".into() };
    for (status, id, expected) in [
        (SubscriptionStatus::Active, 7, true),
        (SubscriptionStatus::Active, 8, false),
        (SubscriptionStatus::Paused, 7, false),
    ] {
        let known = subscription(Origin::Api, status);
        assert_eq!(may_steer(&known, &disable(id)).unwrap(), expected);
    }
}

#[test]
fn a_position_begins_where_it_says_and_not_ahead_of_the_head() {
    let topic = topic(4, 9);
    for (from, expected) in [
        (StartFrom::Latest, Beginning::After(Version(9))),
        (StartFrom::Earliest, Beginning::After(Version(3))),
        (StartFrom::After(Version(9)), Beginning::After(Version(9))),
        (StartFrom::Since(Micros(5)), Beginning::Since(Micros(5))),
    ] {
        assert_eq!(beginning(&topic, from).unwrap(), expected);
    }
    let ahead = beginning(&topic, StartFrom::After(Version(10))).unwrap_err().to_string();
    assert!(ahead.contains("version 10 is ahead of the head 9"), "{ahead}");
}

#[test]
fn rewinds_and_replays_stay_within_the_log() {
    let (who, orders) = (name("billing"), name("orders"));
    let heads = [Version(9), Version(4)];
    assert!(may_rewind(&who, None, &heads, Version(4)).is_ok());
    let ahead = may_rewind(&who, None, &heads, Version(5)).unwrap_err().to_string();
    assert!(ahead.contains("the head 4"), "{ahead}");
    assert!(may_rewind(&who, None, &[], Version(5)).is_ok(), "in no topic there is nothing to do");
    assert!(may_rewind(&who, Some(&orders), &[], Version(1)).is_err());
    let topic = topic(4, 9);
    let replay = |from, to, is_in_topic, running| {
        let job =
            NewJob { topic: orders.clone(), from: Version(from), to: Version(to), rate: None };
        may_replay(&who, is_in_topic, &topic, &job, running)
    };
    assert!(replay(4, 9, true, 9).is_ok());
    assert!(matches!(replay(4, 9, false, 0), Err(StoreError::Conflict(_))));
    assert!(matches!(replay(9, 4, true, 0), Err(StoreError::Conflict(_))));
    assert!(matches!(replay(4, 10, true, 0), Err(StoreError::Conflict(_))));
    assert!(matches!(replay(3, 9, true, 0), Err(StoreError::Trimmed { oldest: Version(4) })));
    assert!(matches!(replay(4, 9, true, 10), Err(StoreError::Full(_))));
}

#[test]
fn an_epoch_that_named_nothing_is_replaced() {
    let topic = topic(1, 9);
    let first = with_epoch(&topic, &start(2, 10));
    assert_eq!(first.epochs.to_vec(), [start(1, 1), start(2, 10)]);
    let second = with_epoch(&first, &start(3, 10));
    assert_eq!(second.epochs.to_vec(), [start(1, 1), start(3, 10)]);
}

#[test]
fn retries_fit_into_the_room_and_what_stands_still_always_does() {
    let letters = [(1, false), (2, true), (3, false), (4, true)];
    for (room, expected) in
        [(0, &[2, 4][..]), (1, &[1, 2, 4]), (2, &[1, 2, 3, 4]), (9, &[1, 2, 3, 4])]
    {
        assert_eq!(that_fit(&letters, room), expected, "{room}");
    }
}

#[test]
fn the_floor_is_below_what_is_not_settled() {
    let open = [Version(7), Version(5)];
    for (open, exception, expected) in
        [(&open[..], None, 4), (&open[..], Some(3), 2), (&[][..], Some(9), 8), (&[][..], None, 12)]
    {
        let found = floor(Version(12), open, exception.map(Version));
        assert_eq!(found, Version(expected), "{open:?} {exception:?}");
    }
}

#[test]
fn positions_have_a_bound() {
    let known = Known::default();
    assert!(room(known.positions.len(), 3, 3).is_ok() && room(known.positions.len(), 0, 0).is_ok());
    let full = room(known.positions.len(), 4, 3).unwrap_err().to_string();
    assert!(full.contains("`limits.positions_max: 3`"), "{full}");
}
