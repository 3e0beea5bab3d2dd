//! What goes, what is owed, and what is said about it.

use std::{sync::Arc, time::Duration};

use milkrun::{
    event::{Topic, Version},
    settings::{TopicSettings, days},
    store::{DeadLetter, DeadReason, DeadSelect, Read, Settlement, Steer, Store},
};

use super::{
    Bench, NOW, all, append, append_at, id_of, later, name,
    positions::{dead, retry, settle, settlement},
    source, subscribe, trim_all, with_topic,
};

fn day(count: u64) -> milkrun::event::Micros {
    NOW.plus(days(count))
}

async fn oldest(store: &Arc<dyn Store>, topic: &Topic) -> u64 {
    store.topic(topic).await.unwrap().oldest.0
}

pub(super) async fn age_and_count_let_go(bench: &dyn Bench) {
    let settings = TopicSettings {
        max_age: Some(days(2)),
        max_count: Some(1_500),
        ..TopicSettings::default()
    };
    let (store, topic) = with_topic(bench, settings).await;
    append_at(&store, &topic, 1..=10, NOW).await.unwrap();
    append_at(&store, &topic, 11..=20, day(1)).await.unwrap();
    trim_all(&store, day(2)).await;
    assert_eq!(oldest(&store, &topic).await, 1, "not older than two days yet");
    trim_all(&store, day(2).plus(Duration::from_secs(1))).await;
    assert_eq!(oldest(&store, &topic).await, 11);
    append_at(&store, &topic, 21..=4_000, day(2)).await.unwrap();
    trim_all(&store, day(2)).await;
    assert_eq!(oldest(&store, &topic).await, 2_501);
    let page = store.read(&topic, Read::after(Version::ZERO)).await.unwrap();
    assert_eq!(page.events[0].version, Version(2_501));
    let kept = all(&store, &topic).await.len();
    assert_eq!(kept, 1_500);
    let state = store.topic(&topic).await.unwrap();
    store.close().await;
    drop(store);
    let store = bench.open().await;
    assert_eq!(oldest(&store, &topic).await, 2_501);
    let mut bytes = 0;
    let mut after = Version::ZERO;
    while let Some(last) = store.read(&topic, Read::after(after)).await.unwrap().events.last() {
        let page = store.read(&topic, Read::after(after)).await.unwrap();
        bytes += page.events.iter().map(|event| event.size_bytes() as u64).sum::<u64>();
        after = last.version;
    }
    assert_eq!(state.bytes, bytes);
}

pub(super) async fn what_is_owed_stays(bench: &dyn Bench) {
    let settings = TopicSettings { max_age: Some(days(1)), ..TopicSettings::default() };
    let (store, topic) = with_topic(bench, settings).await;
    append(&store, &topic, 1..=10).await.unwrap();
    let slow = subscribe(&store, "slow", &topic).await;
    let quick = subscribe(&store, "quick", &topic).await;
    for (subscription, reach) in [(&slow, 6), (&quick, 10)] {
        let position = store.position(subscription.positions[0].id).await.unwrap();
        settle(&store, settlement(&position, reach)).await.unwrap();
    }
    trim_all(&store, day(5)).await;
    assert_eq!(oldest(&store, &topic).await, 7);
    assert!(store.dead_letters(&name("slow"), &DeadSelect::All, 0, 10).await.unwrap().is_empty());
}

pub(super) async fn the_cap_lets_go_of_what_is_owed_and_says_so(bench: &dyn Bench) {
    let settings = TopicSettings { max_bytes: Some(60_000), ..TopicSettings::default() };
    let (store, topic) = with_topic(bench, settings).await;
    append(&store, &topic, 1..=5_000).await.unwrap();
    let far = subscribe(&store, "far", &topic).await;
    let far = store.position(far.positions[0].id).await.unwrap();
    let saved = Settlement {
        open: vec![Version(8), Version(4_490)],
        put: vec![retry(5)],
        ..settlement(&far, 4_500)
    };
    settle(&store, saved).await.unwrap();
    let slow = subscribe(&store, "slow", &topic).await;
    let slow = store.position(slow.positions[0].id).await.unwrap();
    settle(&store, settlement(&slow, 10)).await.unwrap();
    let expired = trim_all(&store, NOW).await;
    let state = store.topic(&topic).await.unwrap();
    assert!(state.bytes <= 60_000 && state.bytes > 59_000, "{}", state.bytes);
    let cut = state.oldest.previous();
    let ranges = |letters: Vec<DeadLetter>| {
        let range = |letter: DeadLetter| {
            assert_eq!(letter.reason, DeadReason::Expired);
            (letter.from.0, letter.to.0, letter.count)
        };
        letters.into_iter().map(range).collect::<Vec<_>>()
    };
    // Only 5 and 8 were owed to the one; one range to the other, however many pieces went.
    let letters = store.dead_letters(&name("far"), &DeadSelect::All, 0, 10).await.unwrap();
    assert_eq!(ranges(letters), [(5, 1_000, 2)]);
    let letters = store.dead_letters(&name("slow"), &DeadSelect::All, 0, 10).await.unwrap();
    assert_eq!(ranges(letters), [(11, cut.0, cut.0 - 10)]);
    let told = |who: &str| {
        let of = || expired.iter().filter(|expired| expired.subscription.as_str() == who);
        (of().map(|expired| expired.count).sum::<u64>(), of().map(|expired| expired.to).max())
    };
    assert_eq!(told("far"), (2, Some(Version(1_000))));
    assert_eq!(told("slow"), (cut.0 - 10, Some(cut)));
    let found = store.position(far.id).await.unwrap();
    assert!(found.fence > far.fence, "the holder must look again");
    assert_eq!((found.reach, found.open.len()), (Version(4_500), 0));
    let kept: Vec<u64> = found.exceptions.iter().map(|kept| kept.version.0).collect();
    assert_eq!(kept, [4_490], "in flight and still there: due again");
    assert_eq!(store.position(slow.id).await.unwrap().reach, cut);
    assert_eq!(store.redrive(&name("slow"), DeadSelect::All, None, NOW).await.unwrap(), 0);
}

pub(super) async fn owed_has_an_end(bench: &dyn Bench) {
    let settings =
        TopicSettings { max_age: Some(days(1)), owed: days(3), ..TopicSettings::default() };
    let (store, topic) = with_topic(bench, settings).await;
    append(&store, &topic, 1..=10).await.unwrap();
    subscribe(&store, "slow", &topic).await;
    trim_all(&store, day(4)).await;
    assert_eq!(oldest(&store, &topic).await, 1);
    trim_all(&store, day(4).plus(Duration::from_secs(1))).await;
    assert_eq!(oldest(&store, &topic).await, 11);
    let letters = store.dead_letters(&name("slow"), &DeadSelect::All, 0, 10).await.unwrap();
    assert_eq!((letters[0].from, letters[0].to, letters[0].count), (Version(1), Version(10), 10));
}

pub(super) async fn nothing_is_owed_when_that_is_turned_off(bench: &dyn Bench) {
    let settings =
        TopicSettings { max_count: Some(4), owed: Duration::ZERO, ..TopicSettings::default() };
    let (store, topic) = with_topic(bench, settings).await;
    append(&store, &topic, 1..=10).await.unwrap();
    subscribe(&store, "slow", &topic).await;
    trim_all(&store, later(1)).await;
    assert_eq!(oldest(&store, &topic).await, 7);
    let letters = store.dead_letters(&name("slow"), &DeadSelect::All, 0, 10).await.unwrap();
    assert_eq!((letters[0].from, letters[0].to, letters[0].count), (Version(1), Version(6), 6));
}

pub(super) async fn known_events_are_bounded_over_all_topics(bench: &dyn Bench) {
    let (store, topic) = with_topic(bench, TopicSettings::default()).await;
    for n in 0..25 {
        append(&store, &topic, n * 1_000..(n + 1) * 1_000).await.unwrap();
    }
    trim_all(&store, NOW).await;
    // The bench keeps 20,000 at most.
    assert!(!append(&store, &topic, [0]).await.unwrap()[0].duplicate);
    assert!(append(&store, &topic, [24_000]).await.unwrap()[0].duplicate);
}

pub(super) async fn a_redriven_event_outlives_the_log(bench: &dyn Bench) {
    let settings =
        TopicSettings { max_age: Some(days(1)), owed: Duration::ZERO, ..TopicSettings::default() };
    let (store, topic) = with_topic(bench, settings).await;
    append(&store, &topic, 1..=10).await.unwrap();
    let subscription = subscribe(&store, "billing", &topic).await;
    let position = store.position(subscription.positions[0].id).await.unwrap();
    settle(&store, Settlement { dead: vec![dead(3)], ..settlement(&position, 10) }).await.unwrap();
    trim_all(&store, day(9)).await;
    store.redrive(&name("billing"), DeadSelect::All, None, day(9)).await.unwrap();
    append_at(&store, &topic, 11..=20, day(9)).await.unwrap();
    // It holds nothing back, and nothing takes it away.
    trim_all(&store, day(20)).await;
    assert_eq!(oldest(&store, &topic).await, 21);
    let found = store.position(position.id).await.unwrap();
    assert_eq!(found.exceptions.len(), 1);
    // A rewind does not lead back to it, so it takes nothing away either.
    store.rewind(&name("billing"), None, Version(20), day(20)).await.unwrap();
    assert_eq!(store.position(position.id).await.unwrap().exceptions.len(), 1);
    let kept = store.kept_event(position.id, Version(3)).await.unwrap();
    assert_eq!(id_of(&kept.unwrap()), "3");
    assert!(store.kept_event(position.id, Version(4)).await.unwrap().is_none());
}

pub(super) async fn a_dead_letter_keeps_its_event(bench: &dyn Bench) {
    let settings = TopicSettings { max_age: Some(days(1)), ..TopicSettings::default() };
    let (store, topic) = with_topic(bench, settings).await;
    append(&store, &topic, 1..=10).await.unwrap();
    let subscription = subscribe(&store, "billing", &topic).await;
    let position = store.position(subscription.positions[0].id).await.unwrap();
    let saved = Settlement { dead: vec![dead(3)], ..settlement(&position, 10) };
    settle(&store, saved).await.unwrap();
    let who = name("billing");
    let before =
        store.dead_letters(&who, &DeadSelect::All, 0, 10).await.unwrap()[0].event.clone().unwrap();
    trim_all(&store, day(9)).await;
    assert!(all(&store, &topic).await.is_empty());
    let after =
        store.dead_letters(&who, &DeadSelect::All, 0, 10).await.unwrap()[0].event.clone().unwrap();
    assert_eq!(before, after);
    assert_eq!(store.redrive(&who, DeadSelect::All, None, NOW).await.unwrap(), 1);
    let kept = store.kept_event(position.id, before.version).await.unwrap();
    assert_eq!(kept.as_deref(), Some(&*before), "it is delivered from here");
    // It dies again: the event goes back to the dead letter.
    let saved = Settlement { dead: vec![dead(3)], ..settlement(&position, 10) };
    settle(&store, saved).await.unwrap();
    let again = store.dead_letters(&who, &DeadSelect::All, 0, 10).await.unwrap().remove(0);
    assert_eq!(id_of(again.event.as_ref().unwrap()), "3");
    trim_all(&store, day(40)).await;
    assert!(store.dead_letters(&who, &DeadSelect::All, 0, 10).await.unwrap().is_empty(), "30 days");
}

pub(super) async fn known_events_are_forgotten_after_the_window(bench: &dyn Bench) {
    let settings =
        TopicSettings { dedupe_age: days(7), dedupe_count: 100, ..TopicSettings::default() };
    let (store, topic) = with_topic(bench, settings).await;
    append(&store, &topic, [1]).await.unwrap();
    trim_all(&store, day(6)).await;
    assert!(append_at(&store, &topic, [1], day(6)).await.unwrap()[0].duplicate);
    trim_all(&store, day(8)).await;
    let again = append_at(&store, &topic, [1], day(8)).await.unwrap();
    assert!(!again[0].duplicate);
    // By count, at once and to the event.
    append_at(&store, &topic, 100..=198, day(8)).await.unwrap();
    assert!(append_at(&store, &topic, [1], day(8)).await.unwrap()[0].duplicate);
    append_at(&store, &topic, [199], day(8)).await.unwrap();
    assert!(!append_at(&store, &topic, [1], day(8)).await.unwrap()[0].duplicate);
    trim_all(&store, day(8)).await;
    assert!(append_at(&store, &topic, [1], day(8)).await.unwrap()[0].duplicate);
    store.close().await;
    drop(store);
    let store = bench.open().await;
    assert!(append_at(&store, &topic, [1], day(8)).await.unwrap()[0].duplicate);
}

pub(super) async fn a_deleted_topic_is_cleared(bench: &dyn Bench) {
    let (store, topic) = with_topic(bench, TopicSettings::default()).await;
    append(&store, &topic, 1..=3_000).await.unwrap();
    let uid = store.topic(&topic).await.unwrap().uid.clone();
    store.put_source(&source(&topic), NOW).await.unwrap();
    store.steer_source(&name("shop"), Steer::Remove, NOW).await.unwrap();
    store.delete_topic(&topic, NOW).await.unwrap();
    assert!(store.topic(&topic).await.is_err());
    store.put_topic(&topic, &TopicSettings::default(), NOW).await.unwrap();
    assert!(all(&store, &topic).await.is_empty());
    store.put_source(&source(&topic), NOW).await.expect("the name is free");
    assert_ne!(store.topic(&topic).await.unwrap().uid, uid);
    let placed = append_at(&store, &topic, [1], later(1)).await.unwrap();
    assert_eq!((placed[0].version, placed[0].duplicate), (Version(1), false));
    trim_all(&store, NOW).await;
    assert_eq!(all(&store, &topic).await.len(), 1);
}
