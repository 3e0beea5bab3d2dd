//! Events that wait for their time.

use std::sync::Arc;

use bytes::Bytes;
use milkrun::{
    event::{Data, Micros, Topic, Version},
    settings::TopicSettings,
    store::{Append, NewEvent, Pending, Placed, Store, StoreError},
};

use super::{Bench, NOW, all, append, events, later, name, trim_all, with_topic};

fn due_at(ids: impl IntoIterator<Item = u64>, due: Micros) -> Vec<NewEvent> {
    let wait = |event| NewEvent { deliver_at: Some(due), ..event };
    events(ids).into_iter().map(wait).collect()
}

async fn put(
    store: &Arc<dyn Store>,
    topic: &Topic,
    events: Vec<NewEvent>,
) -> Result<Vec<Placed>, StoreError> {
    store.append(Append { topic: topic.clone(), events, progress: None, now: NOW }).await
}

async fn release(store: &Arc<dyn Store>, now: Micros) -> Vec<(i64, u64)> {
    let released = store.release_pending(now, 1_000).await.unwrap();
    released.iter().map(|one| (one.pending, one.version.0)).collect()
}

async fn ids(store: &Arc<dyn Store>, topic: &Topic) -> Vec<String> {
    all(store, topic).await.into_iter().map(|(_, id)| id).collect()
}

pub(super) async fn a_due_event_goes_once_and_not_before(bench: &dyn Bench) {
    let (store, topic) = with_topic(bench, TopicSettings::default()).await;
    let placed = put(&store, &topic, due_at([1], later(60))).await.unwrap().remove(0);
    let id = placed.pending.unwrap();
    assert_eq!((placed.version, placed.duplicate), (Version::ZERO, false));
    assert!(all(&store, &topic).await.is_empty(), "nobody reads it");
    assert_eq!(store.topic(&topic).await.unwrap().head, Version::ZERO);
    store.close().await;
    drop(store);
    let store = bench.open().await;
    assert_eq!(release(&store, Micros(later(60).0 - 1)).await, []);
    let waits = store.pending_event(&topic, id).await.unwrap();
    assert_eq!((waits.due, waits.since, waits.is_prepared()), (later(60), NOW, false));
    assert_eq!(waits.event, due_at([1], later(60))[0]);
    let mut head = store.head(&topic).await.unwrap();
    head.mark_unchanged();
    assert_eq!(release(&store, later(60)).await, [(id, 1)]);
    assert!(head.has_changed().unwrap());
    assert_eq!(release(&store, later(99)).await, []);
    // No number that a caller may give is too small or too large.
    for none in [id, 0, i64::MIN, i64::MAX] {
        let gone = store.pending_event(&topic, none).await;
        assert!(matches!(gone, Err(StoreError::NotFound { .. })), "{none}: {gone:?}");
    }
    store.close().await;
    drop(store);
    let store = bench.open().await;
    assert_eq!(release(&store, later(99)).await, []);
    assert_eq!(ids(&store, &topic).await, ["1"]);
    let waited = store.was_pending(&topic, Version(1)).await.unwrap().unwrap();
    assert_eq!((waited.pending, waited.since, waited.due), (id, NOW, later(60)));
    let next = put(&store, &topic, due_at([2], later(200))).await.unwrap()[0].pending.unwrap();
    assert!(next > id, "no number is given out twice");
    append(&store, &topic, [3]).await.unwrap();
    assert!(store.was_pending(&topic, Version(2)).await.unwrap().is_none());
}

pub(super) async fn due_events_go_in_their_order(bench: &dyn Bench) {
    let (store, topic) = with_topic(bench, TopicSettings::default()).await;
    let other = name("other");
    store.put_topic(&other, &TopicSettings::default(), NOW).await.unwrap();
    put(&store, &topic, due_at([1, 2], later(30))).await.unwrap();
    put(&store, &topic, due_at([3], later(10))).await.unwrap();
    put(&store, &other, due_at([4], later(20))).await.unwrap();
    put(&store, &topic, due_at([5], later(40))).await.unwrap();
    let two = store.release_pending(later(30), 2).await.unwrap();
    assert_eq!(two.iter().map(|one| &one.topic).collect::<Vec<_>>(), [&topic, &other]);
    release(&store, later(30)).await;
    assert_eq!(ids(&store, &topic).await, ["3", "1", "2"]);
    assert_eq!(ids(&store, &other).await, ["4"]);
    assert_eq!(store.pending(&topic, 0, 10).await.unwrap().len(), 1);
}

pub(super) async fn a_pending_event_is_known(bench: &dyn Bench) {
    let (store, topic) = with_topic(bench, TopicSettings::default()).await;
    let first = put(&store, &topic, due_at([1, 1], later(60))).await.unwrap();
    assert_eq!((first[1].pending, first[1].duplicate), (first[0].pending, true));
    let again = put(&store, &topic, due_at([1], later(90))).await.unwrap();
    assert_eq!((again[0].pending, again[0].duplicate), (first[0].pending, true));
    let now = append(&store, &topic, [1]).await.unwrap();
    assert_eq!((now[0].pending, now[0].duplicate), (first[0].pending, true));
    assert!(all(&store, &topic).await.is_empty());
    release(&store, later(60)).await;
    let logged = put(&store, &topic, due_at([1], later(90))).await.unwrap();
    assert_eq!((logged[0].pending, logged[0].version), (None, Version(1)));
    assert!(logged[0].duplicate);
    let cancelled = put(&store, &topic, due_at([2], later(90))).await.unwrap();
    store.cancel_pending(&topic, cancelled[0].pending.unwrap()).await.unwrap();
    let anew = append(&store, &topic, [2]).await.unwrap();
    assert!(!anew[0].duplicate, "what was cancelled never was");
}

pub(super) async fn pending_and_logged_in_one_append_are_all_or_nothing(bench: &dyn Bench) {
    let (store, topic) = with_topic(bench, TopicSettings::default()).await;
    let mut mixed = due_at([1], later(60));
    mixed.extend(events([2]));
    mixed.extend(due_at([3], NOW));
    let placed = put(&store, &topic, mixed).await.unwrap();
    assert!(placed[0].pending.is_some());
    assert_eq!((placed[1].version, placed[2].version), (Version(1), Version(2)));
    bench.refuse_events_with("\"id\":\"5\"").await;
    let mut mixed = due_at([4], later(60));
    mixed.extend(events([5]));
    assert!(put(&store, &topic, mixed).await.is_err());
    assert_eq!(store.pending(&topic, 0, 10).await.unwrap().len(), 1);
    let again = put(&store, &topic, due_at([4], later(60))).await.unwrap();
    assert!(!again[0].duplicate);
}

pub(super) async fn pending_events_are_bounded(bench: &dyn Bench) {
    let (store, topic) = with_topic(bench, TopicSettings::default()).await;
    put(&store, &topic, due_at(1..=2_999, later(60))).await.unwrap();
    let mut over = due_at([3_000, 3_001], later(60));
    over.extend(events([9_000]));
    let refused = put(&store, &topic, over).await;
    assert!(matches!(refused, Err(StoreError::Full(_))), "{refused:?}");
    assert!(all(&store, &topic).await.is_empty(), "half done");
    put(&store, &topic, due_at([3_000], later(60))).await.unwrap();
    append(&store, &topic, [9_000]).await.unwrap();
    assert_eq!(store.release_pending(later(60), 5_000).await.unwrap().len(), 1_000);
    put(&store, &topic, due_at([3_001], later(60))).await.unwrap();
}

pub(super) async fn a_pending_event_is_changed_and_cancelled(bench: &dyn Bench) {
    let (store, topic) = with_topic(bench, TopicSettings::default()).await;
    let other = name("other");
    store.put_topic(&other, &TopicSettings::default(), NOW).await.unwrap();
    let placed = put(&store, &topic, due_at([1, 2], later(60))).await.unwrap();
    let (first, second) = (placed[0].pending.unwrap(), placed[1].pending.unwrap());
    store.change_pending(&topic, first, later(90)).await.unwrap();
    store.cancel_pending(&topic, second).await.unwrap();
    for elsewhere in [
        store.change_pending(&other, first, NOW).await,
        store.cancel_pending(&other, first).await,
        store.cancel_pending(&topic, second).await,
        store.cancel_pending(&topic, 99).await,
    ] {
        assert!(matches!(elsewhere, Err(StoreError::NotFound { .. })), "{elsewhere:?}");
    }
    store.close().await;
    drop(store);
    let store = bench.open().await;
    assert_eq!(release(&store, later(89)).await, []);
    assert_eq!(release(&store, later(90)).await, [(first, 1)]);
    assert_eq!(ids(&store, &topic).await, ["1"]);
}

pub(super) async fn a_prepared_event_waits_for_its_commit(bench: &dyn Bench) {
    let (store, topic) = with_topic(bench, TopicSettings::default()).await;
    let placed = put(&store, &topic, due_at([1, 2, 3], Pending::PREPARED)).await.unwrap();
    let [first, second, third] = [0, 1, 2].map(|index: usize| placed[index].pending.unwrap());
    assert!(store.pending_event(&topic, first).await.unwrap().is_prepared());
    assert_eq!(release(&store, later(86_000)).await, []);
    let refused = store.change_pending(&topic, first, NOW).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))));
    assert_eq!(store.commit_pending(&topic, first, later(5), NOW).await.unwrap(), None);
    let twice = store.commit_pending(&topic, first, later(5), NOW).await;
    assert!(matches!(twice, Err(StoreError::Conflict(_))));
    store.cancel_pending(&topic, second).await.unwrap();
    assert_eq!(release(&store, later(5)).await, [(first, 1)]);
    trim_all(&store, later(86_400)).await;
    assert!(store.pending_event(&topic, third).await.is_ok());
    trim_all(&store, later(86_401)).await;
    assert!(store.pending_event(&topic, third).await.is_err(), "never committed");
    assert!(store.commit_pending(&topic, third, NOW, NOW).await.is_err());
}

pub(super) async fn what_was_committed_is_not_taken_back(bench: &dyn Bench) {
    let (store, topic) = with_topic(bench, TopicSettings::default()).await;
    let placed = put(&store, &topic, due_at([1, 2], Pending::PREPARED)).await.unwrap();
    let [first, second] = [0, 1].map(|index: usize| placed[index].pending.unwrap());
    bench.refuse_events_with("\"id\":\"1\"").await;
    assert!(store.commit_pending(&topic, first, NOW, NOW).await.is_err());
    assert!(store.pending_event(&topic, first).await.unwrap().is_prepared(), "half done");
    store.cancel_pending(&topic, first).await.unwrap();
    // Due at once: nothing has to move it.
    let logged = store.commit_pending(&topic, second, NOW, NOW).await.unwrap().unwrap();
    assert_eq!((logged.pending, logged.version, logged.due), (second, Version(1), NOW));
    assert_eq!(ids(&store, &topic).await, ["2"]);
    assert_eq!(store.was_pending(&topic, Version(1)).await.unwrap(), Some(logged));
    let late = store.cancel_pending(&topic, second).await;
    assert!(matches!(late, Err(StoreError::NotFound { .. })), "{late:?}");
    // Due later: it stays committed, over a restart too.
    let placed = put(&store, &topic, due_at([3], Pending::PREPARED)).await.unwrap();
    let third = placed[0].pending.unwrap();
    assert_eq!(store.commit_pending(&topic, third, later(60), NOW).await.unwrap(), None);
    let refused = store.cancel_pending(&topic, third).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
    store.close().await;
    drop(store);
    let store = bench.open().await;
    let refused = store.cancel_pending(&topic, third).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
    assert_eq!(release(&store, later(60)).await, [(third, 2)]);
}

pub(super) async fn what_fails_to_go_stays_pending(bench: &dyn Bench) {
    let (store, topic) = with_topic(bench, TopicSettings::default()).await;
    let id = put(&store, &topic, due_at([1], later(60))).await.unwrap()[0].pending.unwrap();
    bench.fail_commits(true).await;
    let unknown = store.release_pending(later(60), 10).await;
    assert!(matches!(unknown, Err(StoreError::Unknown(_))), "{unknown:?}");
    bench.fail_commits(false).await;
    assert_eq!(release(&store, later(60)).await, [(id, 1)]);
    let id = put(&store, &topic, due_at([2], later(60))).await.unwrap()[0].pending.unwrap();
    bench.refuse_events_with("\"id\":\"2\"").await;
    assert!(store.release_pending(later(60), 10).await.is_err());
    assert!(store.pending_event(&topic, id).await.is_ok());
    assert_eq!(ids(&store, &topic).await, ["1"]);
}

pub(super) async fn the_next_due_time_is_told(bench: &dyn Bench) {
    let (store, topic) = with_topic(bench, TopicSettings::default()).await;
    let mut next = store.next_pending();
    assert_eq!(*next.borrow_and_update(), None);
    let first = put(&store, &topic, due_at([1], later(60))).await.unwrap()[0].pending.unwrap();
    assert_eq!(*next.borrow_and_update(), Some(later(60)));
    put(&store, &topic, due_at([2], later(90))).await.unwrap();
    put(&store, &topic, due_at([3], Pending::PREPARED)).await.unwrap();
    assert!(!next.has_changed().unwrap());
    store.change_pending(&topic, first, later(100)).await.unwrap();
    assert_eq!(*next.borrow_and_update(), Some(later(90)));
    store.close().await;
    drop(store);
    let store = bench.open().await;
    let mut next = store.next_pending();
    assert_eq!(*next.borrow_and_update(), Some(later(90)));
    release(&store, later(100)).await;
    assert_eq!(*next.borrow_and_update(), None);
}

pub(super) async fn a_deleted_topic_takes_its_pending_events_along(bench: &dyn Bench) {
    let (store, topic) = with_topic(bench, TopicSettings::default()).await;
    put(&store, &topic, due_at(1..=2_000, later(60))).await.unwrap();
    store.delete_topic(&topic, NOW).await.unwrap();
    assert_eq!(*store.next_pending().borrow(), None);
    assert_eq!(release(&store, later(60)).await, []);
    store.put_topic(&topic, &TopicSettings::default(), NOW).await.unwrap();
    assert!(store.pending(&topic, 0, 10).await.unwrap().is_empty());
    trim_all(&store, later(1)).await;
    put(&store, &topic, due_at(1..=3_000, later(60))).await.unwrap();
    store.close().await;
    drop(store);
    let store = bench.open().await;
    assert_eq!(release(&store, later(60)).await.len(), 1_000);
}

pub(super) async fn a_page_of_pending_events_is_bounded(bench: &dyn Bench) {
    let (store, topic) = with_topic(bench, TopicSettings::default()).await;
    let big =
        |event: NewEvent| NewEvent { data: Data::Binary(Bytes::from(vec![7; 1 << 20])), ..event };
    let large = due_at(1..=12, later(60)).into_iter().map(big).collect();
    put(&store, &topic, large).await.unwrap();
    let page = store.pending(&topic, 0, 100).await.unwrap();
    assert_eq!(page.len(), 7);
    let rest = store.pending(&topic, page[6].id, 100).await.unwrap();
    assert_eq!(rest.len(), 5);
    assert_eq!(store.pending(&topic, page[0].id, 2).await.unwrap()[0].id, page[1].id);
    assert_eq!(release(&store, later(60)).await.len(), 7);
    assert_eq!(release(&store, later(60)).await.len(), 5);
}
