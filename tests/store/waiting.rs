//! Rows that wait for a version, damaged in the file: none becomes an event, each loss is told.

use milkrun::{
    settings::TopicSettings,
    store::{Append, EventSource, NewEvent, NewSource, SourceProgress, StoreError, verify},
};

use super::{Bench, NOW, all, events, later, name, source, sqlite, with_topic};

/// Changes of one column each, as bits that flip would make them.
const FLIPS: [&str; 8] = [
    "attributes = replace(attributes, '\"t\"', '\"u\"')",
    "attributes = CAST(x'ff' || substr(attributes, 2) AS TEXT)",
    "data = x'7b226e223a20397d'",
    "form = 2",
    "source = '/tesu'",
    "event_id = '3'",
    "since = since + 1",
    "hash = substr(hash, 2)",
];

#[tokio::test]
async fn a_damaged_pending_event_is_told_and_keeps_nobody_up() {
    for flip in FLIPS {
        let bench = sqlite::bench().await;
        let (store, topic) = with_topic(&bench, TopicSettings::default()).await;
        let wait = |event| NewEvent { deliver_at: Some(later(60)), ..event };
        let events = events(1..=3).into_iter().map(wait).collect();
        let append = Append { topic: topic.clone(), events, progress: None, now: NOW };
        let placed = store.append(append).await.unwrap();
        let damaged = placed[1].pending.unwrap();
        store.close().await;
        drop(store);
        bench.run(format!("UPDATE pending SET {flip} WHERE id = {damaged}")).await;
        let found = verify(&format!("sqlite:{}", bench.path())).await.unwrap();
        assert!(found.problems[0].contains(&format!("pending event {damaged}")), "{found:?}");
        let store = bench.open().await;
        assert_eq!(store.pending(&topic, 0, 9).await.unwrap().len(), 2, "{flip}");
        assert_eq!(store.release_pending(later(60), 9).await.unwrap().len(), 2, "{flip}");
        let ids: Vec<String> = all(&store, &topic).await.into_iter().map(|(_, id)| id).collect();
        assert_eq!(ids, ["1", "3"], "{flip}");
        let gaps = store.gaps(&topic, 9).await.unwrap();
        assert_eq!((gaps.len(), &*gaps[0].reason), (1, "pending_damaged"), "{flip}");
        assert!(gaps[0].detail.contains(&format!("event {damaged} ")), "{flip}: {gaps:?}");
        assert_eq!(store.news()[0].trouble.code, "pending_damaged");
        assert_eq!(store.release_pending(later(99), 9).await.unwrap(), [], "{flip}");
    }
}

/// One that is only listed, or not due for long, is told of as soon as somebody looks.
#[tokio::test]
async fn a_pending_event_that_is_found_damaged_is_told_by_the_next_trim() {
    let bench = sqlite::bench().await;
    let (store, topic) = with_topic(&bench, TopicSettings::default()).await;
    let wait = |event| NewEvent { deliver_at: Some(later(60)), ..event };
    let events = events([1]).into_iter().map(wait).collect();
    let append = Append { topic: topic.clone(), events, progress: None, now: NOW };
    let id = store.append(append).await.unwrap()[0].pending.unwrap();
    // A change of when it is due is none that the checksum takes for damage.
    store.change_pending(&topic, id, later(90)).await.unwrap();
    assert_eq!(store.pending_event(&topic, id).await.unwrap().due, later(90));
    bench.run("UPDATE pending SET due = due + 1000000".into()).await;
    assert!(store.pending_event(&topic, id).await.is_err());
    assert!(store.gaps(&topic, 9).await.unwrap().is_empty());
    store.trim(later(1)).await.unwrap();
    assert_eq!(store.gaps(&topic, 9).await.unwrap().len(), 1);
    assert_eq!(store.next_pending().borrow().to_owned(), None);
}

#[tokio::test]
async fn a_damaged_journal_is_not_numbered() {
    for flip in
        ["attributes = replace(attributes, '\"t\"', '\"u\"')", "id = '9'", "slot = slot + 9"]
    {
        let bench = sqlite::bench().await;
        let (store, topic) = with_topic(&bench, TopicSettings::default()).await;
        let new = NewSource { event_source: EventSource::fixed("/s"), ..source(&topic) };
        let state = store.put_source(&new, NOW).await.unwrap();
        let progress = SourceProgress {
            source: state.id,
            fence: state.fence,
            journal: events([2, 1]),
            ..SourceProgress::default()
        };
        let progress = Some(progress);
        store
            .append(Append { topic: topic.clone(), events: Vec::new(), progress, now: NOW })
            .await
            .unwrap();
        bench.run(format!("UPDATE journal SET {flip} WHERE id = '1'")).await;
        let read = store.journal(&name("shop"), 9).await;
        let damaged = matches!(read, Err(StoreError::Unreadable { table: "journal", .. }));
        assert!(damaged, "{flip}: {read:?}");
        store.close().await;
        let found = verify(&format!("sqlite:{}", bench.path())).await.unwrap();
        assert!(found.problems[0].contains("journal of source"), "{found:?}");
    }
}
