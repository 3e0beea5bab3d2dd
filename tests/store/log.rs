//! Appending and reading.

use std::time::Duration;

use futures_util::future::join_all;
use milkrun::{
    event::{Data, Version},
    settings::TopicSettings,
    store::{Append, NewEvent, Read, StoreError},
};

use super::{Bench, NOW, all, append, append_at, later, name, subscribe, with_topic};

pub(super) async fn versions_have_no_gap_however_many_write(bench: &dyn Bench) {
    let (store, topic) = with_topic(bench, TopicSettings::default()).await;
    let appends = (0..100_u64).map(|n| append(&store, &topic, n * 10..n * 10 + 1 + n % 4));
    let answers = join_all(appends).await;
    let mut given: Vec<u64> =
        answers.into_iter().flat_map(Result::unwrap).map(|placed| placed.version.0).collect();
    given.sort_unstable();
    let stored: Vec<u64> = all(&store, &topic).await.iter().map(|(version, _)| *version).collect();
    assert_eq!(stored, (1..=stored.len() as u64).collect::<Vec<_>>());
    assert_eq!(given, stored);
}

pub(super) async fn recorded_never_falls(bench: &dyn Bench) {
    let (store, topic) = with_topic(bench, TopicSettings::default()).await;
    append_at(&store, &topic, [1], later(10)).await.unwrap();
    append_at(&store, &topic, [2], later(5)).await.unwrap();
    let page = store.read(&topic, Read::after(Version::ZERO)).await.unwrap();
    assert_eq!(page.events[1].recorded, later(10));
}

pub(super) async fn a_known_event_answers_with_its_version(bench: &dyn Bench) {
    let (store, topic) = with_topic(bench, TopicSettings::default()).await;
    let first = append(&store, &topic, [1, 2, 3]).await.unwrap();
    let again = append(&store, &topic, [3, 4, 1]).await.unwrap();
    assert_eq!(again[0].version, first[2].version);
    assert!(again[0].duplicate && !again[1].duplicate && again[2].duplicate);
    assert_eq!(again[1].version, Version(4));
    assert_eq!(all(&store, &topic).await.len(), 4);
    // The same id from another source is another event.
    let mut other = super::events([1]);
    other[0].source = "/other".into();
    let append = Append { topic: topic.clone(), events: other, progress: None, now: NOW };
    assert!(!store.append(append).await.unwrap()[0].duplicate);
}

pub(super) async fn equal_events_in_one_group_are_one(bench: &dyn Bench) {
    let (store, topic) = with_topic(bench, TopicSettings::default()).await;
    let placed = append(&store, &topic, [1, 1]).await.unwrap();
    assert_eq!(placed[0].version, placed[1].version);
    assert!(!placed[0].duplicate && placed[1].duplicate);
    let answers = join_all((0..20).map(|_| append(&store, &topic, [7]))).await;
    let fresh = answers.iter().flatten().flatten().filter(|placed| !placed.duplicate).count();
    assert_eq!(fresh, 1);
    assert_eq!(all(&store, &topic).await.len(), 2);
}

pub(super) async fn a_failing_operation_fails_alone(bench: &dyn Bench) {
    let (store, topic) = with_topic(bench, TopicSettings::default()).await;
    bench.refuse_events_with("\"id\":\"666\"").await;
    let ids = [1, 2, 666, 3, 4];
    let answers = join_all(ids.map(|id| append(&store, &topic, [id]))).await;
    for (id, answer) in ids.iter().zip(&answers) {
        assert_eq!(answer.is_ok(), *id != 666, "{id}: {answer:?}");
    }
    let stored = all(&store, &topic).await;
    assert_eq!(stored.iter().map(|(version, _)| *version).collect::<Vec<_>>(), [1, 2, 3, 4]);
    // What failed is not known: it may come again.
    assert!(append(&store, &topic, [666]).await.is_err());
}

pub(super) async fn a_failed_commit_is_unknown_and_safe_to_repeat(bench: &dyn Bench) {
    let (store, topic) = with_topic(bench, TopicSettings::default()).await;
    append(&store, &topic, [1]).await.unwrap();
    bench.fail_commits(true).await;
    for answer in join_all([2, 3].map(|id| append(&store, &topic, [id]))).await {
        assert!(matches!(answer, Err(StoreError::Unknown(_))), "{answer:?}");
    }
    assert_eq!(all(&store, &topic).await.len(), 1, "nobody sees what was not committed");
    bench.fail_commits(false).await;
    let placed = append(&store, &topic, [2, 3]).await.unwrap();
    assert_eq!(placed.iter().map(|placed| placed.version.0).collect::<Vec<_>>(), [2, 3]);
    assert!(placed.iter().all(|placed| !placed.duplicate));
}

pub(super) async fn reads_stop_at_their_limits(bench: &dyn Bench) {
    let (store, topic) = with_topic(bench, TopicSettings::default()).await;
    append(&store, &topic, 1..=50).await.unwrap();
    for after in [0, 10, 45, 49, 50, 60] {
        let read = Read { max_events: 7, ..Read::after(Version(after)) };
        let page = store.read(&topic, read).await.unwrap();
        let expected: Vec<u64> = (after + 1..=50).take(7).collect();
        assert_eq!(page.events.iter().map(|event| event.version.0).collect::<Vec<_>>(), expected);
        assert_eq!(page.state.head, Version(50));
    }
    let one = store.read(&topic, Read { max_bytes: 1, ..Read::after(Version(3)) }).await.unwrap();
    assert_eq!(one.events.len(), 1, "a read never stops before one event");
    let bounded = Read { up_to: Version(12), ..Read::after(Version(10)) };
    assert_eq!(store.read(&topic, bounded).await.unwrap().events.len(), 2);
    let missing = store.read(&name("none"), Read::after(Version::ZERO)).await;
    assert!(matches!(missing, Err(StoreError::NotFound { .. })));
}

pub(super) async fn a_reader_is_woken(bench: &dyn Bench) {
    let (store, topic) = with_topic(bench, TopicSettings::default()).await;
    let mut head = store.head(&topic).await.unwrap();
    assert_eq!(*head.borrow_and_update(), Version::ZERO);
    append(&store, &topic, [1, 2]).await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), head.changed()).await.unwrap().unwrap();
    assert_eq!(*head.borrow_and_update(), Version(2));
}

pub(super) async fn what_was_stored_is_there_after_a_restart(bench: &dyn Bench) {
    let (store, topic) = with_topic(bench, TopicSettings::default()).await;
    append(&store, &topic, 1..=30).await.unwrap();
    let (stored, state) = (all(&store, &topic).await, store.topic(&topic).await.unwrap());
    store.close().await;
    assert!(matches!(append(&store, &topic, [99]).await, Err(StoreError::Closed)));
    drop(store);
    let store = bench.open().await;
    assert_eq!(all(&store, &topic).await, stored);
    let after = store.topic(&topic).await.unwrap();
    assert_eq!(
        (after.head, after.bytes, after.recorded),
        (state.head, state.bytes, state.recorded)
    );
    assert_eq!((&after.uid, &after.epochs), (&state.uid, &state.epochs));
    let placed = append(&store, &topic, [30, 31]).await.unwrap();
    assert!(placed[0].duplicate, "known events are known after a restart");
    assert_eq!(placed[1].version, Version(31));
}

pub(super) async fn a_new_epoch_begins_behind_the_head(bench: &dyn Bench) {
    let (store, topic) = with_topic(bench, TopicSettings::default()).await;
    let old = append(&store, &topic, 1..=3).await.unwrap()[0].epoch;
    let cursor = store.new_epoch(&topic, "restored", NOW).await.unwrap();
    assert_eq!(cursor.version, Version(4));
    assert_ne!(cursor.epoch, old);
    let placed = append(&store, &topic, [4]).await.unwrap();
    assert_eq!((placed[0].version, placed[0].epoch), (Version(4), cursor.epoch));
    store.close().await;
    drop(store);
    let store = bench.open().await;
    let state = store.topic(&topic).await.unwrap();
    assert_eq!(state.epoch_of(Version(3)), old);
    assert_eq!(state.epoch_of(Version(4)), cursor.epoch);
    assert_eq!(state.epochs[1].reason, "restored");
    let events = store.read(&topic, Read::after(Version(2))).await.unwrap().events;
    assert_eq!((events[0].epoch, events[1].epoch), (old, cursor.epoch));
}

pub(super) async fn a_moment_is_found(bench: &dyn Bench) {
    let (store, topic) = with_topic(bench, TopicSettings::default()).await;
    for n in 1..=20 {
        append_at(&store, &topic, [n], later(n)).await.unwrap();
    }
    for (moment, expected) in [(0, 0), (1, 0), (2, 1), (15, 14), (20, 19), (21, 20), (99, 20)] {
        let found = store.version_before(&topic, later(moment)).await.unwrap();
        assert_eq!(found, Version(expected), "{moment}");
    }
}

pub(super) async fn a_topic_in_use_is_not_deleted(bench: &dyn Bench) {
    let (store, topic) = with_topic(bench, TopicSettings::default()).await;
    subscribe(&store, "billing", &topic).await;
    let refused = store.delete_topic(&topic, NOW).await;
    assert!(matches!(&refused, Err(StoreError::Conflict(text)) if text.contains("billing")));
    assert!(store.topic(&topic).await.is_ok());
    let missing = store.delete_topic(&name("none"), NOW).await;
    assert!(matches!(missing, Err(StoreError::NotFound { .. })));
}

pub(super) async fn data_comes_back_byte_for_byte(bench: &dyn Bench) {
    let (store, topic) = with_topic(bench, TopicSettings::default()).await;
    let kinds = [
        Data::None,
        Data::Json("{ \"a\" :\n 1.50e1 }".into()),
        Data::Text("a\u{0}é".into()),
        Data::Binary(vec![0xff, 0x00].into()),
    ];
    let events = kinds
        .iter()
        .zip(0..)
        .map(|(data, id)| NewEvent { data: data.clone(), ..super::events([id]).remove(0) });
    let append =
        Append { topic: topic.clone(), events: events.collect(), progress: None, now: NOW };
    store.append(append).await.unwrap();
    for reopened in [false, true] {
        let store = if reopened {
            store.close().await;
            bench.open().await
        } else {
            store.clone()
        };
        let page = store.read(&topic, Read::after(Version::ZERO)).await.unwrap();
        let read: Vec<Data> = page.events.iter().map(|event| event.data.clone()).collect();
        assert_eq!(read, kinds, "reopened: {reopened}");
    }
}
