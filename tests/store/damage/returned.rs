//! Topics that come back from an older file, or are not in it any more.

use std::fs;

use milkrun::{
    event::{Cursor, Version},
    settings::TopicSettings,
    store::Store,
};

use super::{Files, killed};
use crate::store::{NOW, append, later, name};

/// The damage that is told of, by topic.
async fn told(store: &dyn Store) -> Vec<(String, &'static str, u64)> {
    let damage = store.trim(later(1)).await.unwrap().damage;
    damage.into_iter().map(|one| (one.topic.to_string(), one.reason, one.to.0)).collect()
}

/// A store of 20 events of `orders` as it was stopped, and as it is after three more and `change`.
async fn gone_on(change: impl AsyncFnOnce(&dyn Store)) -> (Files, Files) {
    let (_, backup) = killed().await;
    let mut files = backup.snapshot();
    let store = files.open().await.unwrap();
    files.give(&store, 101..=103).await;
    change(&*store).await;
    store.close().await;
    (files, backup)
}

/// Puts the older file back, and leaves the record as it is.
fn restore(files: &Files, backup: &Files) {
    fs::copy(backup.path(""), files.path("")).unwrap();
}

#[tokio::test]
async fn a_deleted_topic_that_a_file_brings_back_begins_above_its_last_head() {
    for is_made_anew in [false, true] {
        let (files, backup) = gone_on(async |store| {
            store.delete_topic(&name("orders"), NOW).await.unwrap();
            if is_made_anew {
                store.put_topic(&name("orders"), &TopicSettings::default(), NOW).await.unwrap();
            }
        })
        .await;
        // However often it is started in between.
        files.open().await.unwrap().close().await;
        restore(&files, &backup);
        let store = files.open().await.unwrap();
        assert!(told(&*store).await.contains(&("orders".into(), "history_lost", 23)));
        let gaps = store.gaps(&name("orders"), 9).await.unwrap();
        assert!(gaps[0].detail.contains("versions 21 to 23 were given before"), "{gaps:?}");
        let placed = append(&store, &name("orders"), 201..=203).await.unwrap();
        assert_eq!(placed[0].version, Version(24));
        for one in placed {
            let cursor = Cursor { epoch: one.epoch, version: one.version };
            assert!(files.given.iter().all(|(given, _)| *given != cursor), "given twice");
        }
        store.close().await;
    }
}

#[tokio::test]
async fn a_topic_that_a_file_has_not_got_is_told_and_its_head_is_kept() {
    let put = async |store: &dyn Store| {
        store.put_topic(&name("late"), &TopicSettings::default(), NOW).await.unwrap();
    };
    let (mut files, backup) = gone_on(put).await;
    let store = files.open().await.unwrap();
    append(&store, &name("late"), 1..=3).await.unwrap();
    store.close().await;
    let between = files.snapshot();
    let store = files.open().await.unwrap();
    for placed in append(&store, &name("late"), 4..=5).await.unwrap() {
        let cursor = Cursor { epoch: placed.epoch, version: placed.version };
        files.given.insert((cursor, String::new()));
    }
    store.close().await;

    restore(&files, &backup);
    let store = files.open().await.unwrap();
    assert!(told(&*store).await.contains(&("late".into(), "history_lost", 5)));
    store.close().await;
    // It is told once; a file that has the topic again goes on above what was given.
    let anew = files.snapshot();
    restore(&files, &between);
    let store = files.open().await.unwrap();
    assert_eq!(told(&*store).await.iter().filter(|(topic, ..)| topic == "late").count(), 1);
    let placed = append(&store, &name("late"), [9]).await.unwrap()[0];
    let cursor = Cursor { epoch: placed.epoch, version: placed.version };
    assert!(placed.version == Version(6) && files.given.iter().all(|(given, _)| *given != cursor));
    store.close().await;

    // One of that name is another topic, and says what came before.
    let store = anew.open().await.unwrap();
    assert_eq!(told(&*store).await, []);
    put(&*store).await;
    let gaps = store.gaps(&name("late"), 9).await.unwrap();
    assert_eq!((gaps.len(), gaps[0].reason.as_str()), (1, "history_lost"), "{gaps:?}");
    store.delete_topic(&name("late"), NOW).await.unwrap();
    put(&*store).await;
    assert!(store.gaps(&name("late"), 9).await.unwrap().is_empty(), "that one was deleted");
    store.close().await;
}

/// An earlier release keeps no tombstones: a topic that its record does not name may be one that
/// was deleted.
#[tokio::test]
async fn a_record_without_tombstones_vouches_for_no_topic_that_it_does_not_name() {
    let delete = async |store: &dyn Store| {
        store.delete_topic(&name("orders"), NOW).await.unwrap();
    };
    let (files, backup) = gone_on(delete).await;
    let record = fs::read_to_string(files.path("-heads")).unwrap();
    let line = |text: &str| format!("{:08x} {text}", crc32fast::hash(text.as_bytes()));
    let head = record.lines().next().unwrap()[9..].trim_end().trim_end_matches(" whole");
    fs::write(files.path("-heads"), format!("{:<255}\n", line(head))).unwrap();
    restore(&files, &backup);
    let store = files.open().await.unwrap();
    assert_eq!(store.topic(&name("orders")).await.unwrap().epochs.len(), 2);
    store.close().await;
}
