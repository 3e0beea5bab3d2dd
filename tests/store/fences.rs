//! Sources: progress, journal, fences.

use std::sync::Arc;

use milkrun::{
    event::{Micros, Topic},
    settings::TopicSettings,
    store::{
        Append, EventSource, NewEvent, NewRejected, NewSource, Placed, SourceProgress, SourceState,
        SourceStatus, Steer, Store, StoreError,
    },
};

use super::{Bench, NOW, all, events, later, name, source, with_topic};

async fn with_source(bench: &dyn Bench) -> (Arc<dyn Store>, Topic, SourceState) {
    let (store, topic) = with_topic(bench, TopicSettings::default()).await;
    let state = store.put_source(&source(&topic), NOW).await.unwrap();
    (store, topic, state)
}

async fn save(
    store: &Arc<dyn Store>,
    topic: &Topic,
    events: Vec<NewEvent>,
    progress: SourceProgress,
) -> Result<Vec<Placed>, StoreError> {
    let append = Append { topic: topic.clone(), events, progress: Some(progress), now: NOW };
    store.append(append).await
}

fn progress(state: &SourceState) -> SourceProgress {
    SourceProgress { source: state.id, fence: state.fence, ..SourceProgress::default() }
}

fn ids(events: &[NewEvent]) -> Vec<&str> {
    events.iter().map(|event| event.id.as_str()).collect()
}

pub(super) async fn a_stale_source_changes_nothing(bench: &dyn Bench) {
    let (store, topic, source) = with_source(bench).await;
    store.steer_source(&source.name, Steer::Pause, NOW).await.unwrap();
    let stale = SourceProgress { cursor: Some("9".into()), ..progress(&source) };
    let refused = save(&store, &topic, events([1, 2]), stale).await;
    assert!(matches!(refused, Err(StoreError::Stale)), "{refused:?}");
    assert!(all(&store, &topic).await.is_empty());
    let after = store.source(&source.name).await.unwrap();
    assert_eq!((after.cursor, after.appended), (None, 0));
}

pub(super) async fn progress_and_events_are_one(bench: &dyn Bench) {
    let (store, topic, state) = with_source(bench).await;
    let page = SourceProgress { mark: Some(Some("page 2".into())), ..progress(&state) };
    save(&store, &topic, events([1, 2]), page).await.unwrap();
    let marked = store.source(&state.name).await.unwrap();
    assert_eq!((marked.mark.as_deref(), marked.mark_at), (Some("page 2"), NOW));
    assert_eq!((marked.cursor, marked.walks), (None, 0));
    let end = SourceProgress {
        mark: Some(None),
        cursor: Some("4".into()),
        complete: true,
        report: Some("{}".into()),
        next_poll: Some(later(60)),
        ..progress(&state)
    };
    save(&store, &topic, events([2, 3, 4]), end).await.unwrap();
    let done = store.source(&state.name).await.unwrap();
    assert_eq!((done.mark, done.cursor.as_deref(), done.walks), (None, Some("4"), 1));
    assert_eq!((done.appended, done.duplicates, done.next_poll), (4, 1, later(60)));
    // An event that is refused takes the cursor with it.
    bench.refuse_events_with("\"id\":\"5\"").await;
    let lost = SourceProgress { cursor: Some("5".into()), ..progress(&state) };
    assert!(save(&store, &topic, events([5]), lost).await.is_err());
    assert_eq!(store.source(&state.name).await.unwrap().cursor.as_deref(), Some("4"));
}

pub(super) async fn the_journal_gives_the_last_listed_first(bench: &dyn Bench) {
    let (store, topic, state) = with_source(bench).await;
    for page in [[6, 5], [4, 3], [2, 1]] {
        let page = SourceProgress { journal: events(page), ..progress(&state) };
        save(&store, &topic, Vec::new(), page).await.unwrap();
    }
    assert!(all(&store, &topic).await.is_empty(), "journaled events have no version yet");
    store.close().await;
    drop(store);
    let store = bench.open().await;
    assert_eq!(store.source(&state.name).await.unwrap().journaled, 6);
    for (chunk, left) in [(4, 2), (2, 0)] {
        let batch = store.journal(&state.name, chunk).await.unwrap();
        let done = SourceProgress { journal_done: batch.len(), ..progress(&state) };
        save(&store, &topic, batch, done).await.unwrap();
        assert_eq!(store.source(&state.name).await.unwrap().journaled, left);
    }
    let numbered: Vec<String> = all(&store, &topic).await.into_iter().map(|(_, id)| id).collect();
    assert_eq!(numbered, ["1", "2", "3", "4", "5", "6"]);
}

pub(super) async fn an_abandoned_journal_is_empty(bench: &dyn Bench) {
    let (store, topic, state) = with_source(bench).await;
    let page = SourceProgress { journal: events([3, 2]), ..progress(&state) };
    save(&store, &topic, Vec::new(), page).await.unwrap();
    let anew = SourceProgress { journal_clear: true, journal: events([9, 8]), ..progress(&state) };
    save(&store, &topic, Vec::new(), anew).await.unwrap();
    assert_eq!(ids(&store.journal(&state.name, 10).await.unwrap()), ["8", "9"]);
    let changed = NewSource { config_hash: "2".into(), ..source(&topic) };
    store.put_source(&changed, NOW).await.unwrap();
    assert!(store.journal(&state.name, 10).await.unwrap().is_empty());
}

pub(super) async fn a_source_takes_what_it_has_to_another_topic(bench: &dyn Bench) {
    let (store, topic, state) = with_source(bench).await;
    let item = NewRejected { reason: "no id".into(), item: b"{}".to_vec() };
    let (journal, rejected) = (events([3, 2]), vec![item]);
    let page = SourceProgress { journal, rejected, ..progress(&state) };
    save(&store, &topic, Vec::new(), page).await.unwrap();
    let other: Topic = name("elsewhere");
    store.put_topic(&other, &TopicSettings::default(), NOW).await.unwrap();
    let moved = store.put_source(&source(&other), NOW).await.unwrap();
    assert_eq!((moved.id, &moved.topic, moved.journaled), (state.id, &other, 2));
    assert_eq!(store.rejected(&state.name, 10).await.unwrap().len(), 1);
    let batch = store.journal(&state.name, 10).await.unwrap();
    assert_eq!(ids(&batch), ["2", "3"]);
    let done = SourceProgress { journal_done: 2, ..progress(&moved) };
    save(&store, &other, batch, done).await.unwrap();
    assert_eq!(store.source(&state.name).await.unwrap().journaled, 0);
    assert!(all(&store, &topic).await.is_empty());
    assert_eq!(all(&store, &other).await.len(), 2);
    store.delete_topic(&topic, NOW).await.unwrap();
    assert_eq!(store.rejected(&state.name, 10).await.unwrap().len(), 1);
}

pub(super) async fn a_changed_contract_wants_a_cursor(bench: &dyn Bench) {
    let (store, topic, state) = with_source(bench).await;
    let end = SourceProgress { cursor: Some("4".into()), ..progress(&state) };
    save(&store, &topic, Vec::new(), end).await.unwrap();
    let other = NewSource {
        contract: "http https://other.example last_id".into(),
        config_hash: "2".into(),
        ..source(&topic)
    };
    let stuck = store.put_source(&other, later(1)).await.unwrap();
    assert!(stuck.needs_cursor() && stuck.fence > state.fence, "{stuck:?}");
    assert_eq!((stuck.cursor.as_deref(), stuck.stuck_at), (Some("4"), Some(later(1))));
    // Every start puts it again; since when it stands still does not change.
    let again = store.put_source(&other, later(2)).await.unwrap();
    assert_eq!((again.fence, again.stuck_at), (stuck.fence, Some(later(1))));
    // Whoever still works by the old file keeps nothing.
    let walked = SourceProgress { cursor: Some("8".into()), ..progress(&state) };
    let refused = save(&store, &topic, events([8]), walked).await;
    assert!(matches!(refused, Err(StoreError::Stale)), "{refused:?}");
    let set = store.steer_source(&state.name, Steer::Cursor("7".into()), later(3)).await;
    let set = set.unwrap();
    assert!(!set.needs_cursor() && set.fence > stuck.fence, "{set:?}");
    assert_eq!((set.cursor.as_deref(), set.old_cursor.as_deref()), (Some("7"), Some("4")));
    assert_eq!((set.stuck_at, set.asked_at), (None, later(3)));
    let taken = store.put_source(&other, later(4)).await.unwrap();
    assert!(!taken.needs_cursor() && taken.fence == set.fence, "{taken:?}");
    assert!(all(&store, &topic).await.is_empty());
}

/// Without a relay the cursor is set before the changed file is put.
pub(super) async fn a_cursor_set_by_hand_goes_with_any_contract(bench: &dyn Bench) {
    let (store, topic, state) = with_source(bench).await;
    let none = store.steer_source(&state.name, Steer::KeepCursor, NOW).await;
    assert!(matches!(none, Err(StoreError::Conflict(_))), "{none:?}");
    let other = |n: &str| NewSource {
        contract: format!("http https://{n}.example last_id"),
        config_hash: n.into(),
        ..source(&topic)
    };
    let set = || Steer::Cursor("7".into());
    for (steer, name) in [(set(), "a"), (Steer::KeepCursor, "b")] {
        let kept = store.steer_source(&state.name, steer, NOW).await.unwrap();
        assert_eq!(kept.cursor.as_deref(), Some("7"), "{name}");
        let taken = store.put_source(&other(name), NOW).await.unwrap();
        assert!(!taken.needs_cursor(), "{taken:?}");
        // What it walks then is good for that contract alone.
        let end = SourceProgress { cursor: Some("7".into()), ..progress(&taken) };
        save(&store, &topic, Vec::new(), end).await.unwrap();
        assert!(store.put_source(&other("c"), NOW).await.unwrap().needs_cursor());
        // Back to what it was is no change at all.
        assert!(!store.put_source(&other(name), NOW).await.unwrap().needs_cursor());
    }
    let kept = store.source(&state.name).await.unwrap();
    assert_eq!(kept.old_cursor.as_deref(), Some("7"));
}

pub(super) async fn a_contract_of_an_earlier_release_is_taken_over(bench: &dyn Bench) {
    let (store, topic, state) = with_source(bench).await;
    let end = SourceProgress { cursor: Some("4".into()), complete: true, ..progress(&state) };
    save(&store, &topic, events([4]), end).await.unwrap();
    let upgraded = NewSource {
        contract: "new".into(),
        contract_before: Some(source(&topic).contract),
        config_hash: "new".into(),
        ..source(&topic)
    };
    let taken = store.put_source(&upgraded, NOW).await.unwrap();
    assert!(!taken.needs_cursor(), "{taken:?}");
    assert_eq!((taken.cursor.as_deref(), taken.contract.as_str()), (Some("4"), "new"));
    // It is rewritten: the old one need not be known any more.
    let later = NewSource { contract_before: None, ..upgraded };
    let taken = store.put_source(&later, NOW).await.unwrap();
    assert!(!taken.needs_cursor() && taken.old_cursor.is_none(), "{taken:?}");
}

pub(super) async fn a_source_keeps_what_its_events_are_known_by(bench: &dyn Bench) {
    let (store, topic, state) = with_source(bench).await;
    assert_eq!(state.event_source.as_deref(), Some("https://shop.example"));
    let moved = NewSource {
        event_source: EventSource::fixed("https://moved.example"),
        contract: "moved".into(),
        config_hash: "moved".into(),
        ..source(&topic)
    };
    let kept = store.put_source(&moved, NOW).await.unwrap();
    assert_eq!(kept.event_source.as_deref(), Some("https://shop.example"));
    // What the file sets wins, and stays when it is set no more.
    let mut set = moved.clone();
    set.event_source.set = Some("urn:shop".into());
    for new in [&set, &moved] {
        let put = store.put_source(new, NOW).await.unwrap();
        assert_eq!(put.event_source.as_deref(), Some("urn:shop"));
    }
}

pub(super) async fn rejected_items_are_bounded(bench: &dyn Bench) {
    let (store, topic, state) = with_source(bench).await;
    for page in 0..3 {
        let item = |n: i32| NewRejected { reason: format!("{page}-{n}"), item: b"{}".to_vec() };
        let page = SourceProgress { rejected: (0..600).map(item).collect(), ..progress(&state) };
        save(&store, &topic, Vec::new(), page).await.unwrap();
    }
    let kept = store.rejected(&state.name, 5_000).await.unwrap();
    assert_eq!(kept.len(), 1_000);
    assert_eq!(kept[0].reason, "2-599");
    assert_eq!(store.source(&state.name).await.unwrap().rejected, 1_800);
}

pub(super) async fn steering_raises_the_fence(bench: &dyn Bench) {
    let (store, topic, state) = with_source(bench).await;
    let who = name("shop");
    let mut changes = store.changes();
    changes.mark_unchanged();
    let polled = store.steer_source(&who, Steer::Poll, NOW).await.unwrap();
    assert_eq!((polled.fence, polled.next_poll), (state.fence, NOW));
    assert_eq!((state.asked_at, polled.asked_at), (Micros(0), NOW));
    assert!(changes.has_changed().unwrap());
    let paused = store.steer_source(&who, Steer::Pause, NOW).await.unwrap();
    assert_eq!((paused.fence, paused.status), (state.fence + 1, SourceStatus::Paused));
    assert_eq!(paused.asked_at, NOW);
    let resumed = store.steer_source(&who, Steer::Resume, later(9)).await.unwrap();
    assert_eq!((resumed.status, resumed.asked_at), (SourceStatus::Active, later(9)));
    store.steer_source(&who, Steer::Pause, NOW).await.unwrap();
    let removed = store.steer_source(&who, Steer::Remove, NOW).await.unwrap();
    for steer in [Steer::Pause, Steer::Resume, Steer::Poll] {
        let refused = store.steer_source(&who, steer, NOW).await;
        assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
    }
    assert_eq!((removed.status, removed.removed_at), (SourceStatus::Removed, Some(NOW)));
    let found = store.put_source(&source(&topic), NOW).await.unwrap();
    assert_eq!((found.status, found.id), (SourceStatus::Paused, state.id), "as it was left");
}
