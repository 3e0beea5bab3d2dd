//! Files that another program changes or replaces while the store is open.

use std::{fs, sync::Arc, time::Duration};

use milkrun::{
    event::Version,
    settings::TopicSettings,
    store::{Store, StoreError},
};

use super::{Files, hold, killed};
use crate::store::{NOW, append, name};

/// Looks for what is seen once a second.
async fn seen<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..60 {
        if let Some(found) = look().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("not seen within 3 s: {what}")
}

fn cut(files: &Files, ending: &str, bytes: u64) {
    let file = fs::File::options().write(true).open(files.path(ending)).unwrap();
    file.set_len(bytes).unwrap();
}

/// An open store in its third run, with a few commits in its log; and the file of an earlier run.
async fn open(waits: bool) -> (Files, Files, Arc<dyn Store>) {
    let (_, backup) = killed().await;
    let mut files = backup.snapshot();
    let store = files.open().await.unwrap();
    files.give(&store, 101..=130).await;
    store.close().await;
    let store = files.open().await.unwrap();
    files.give(&store, 201..=203).await;
    if waits {
        // It is looked at while all is well.
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        store.ready().await.unwrap();
    }
    files.give(&store, 204..=206).await;
    (files, backup, store)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_changed_in_place_acknowledges_nothing() {
    type Change<'a> = &'a dyn Fn(&Files, &Files);
    let half = |files: &Files, _: &Files| {
        cut(files, "-wal", fs::metadata(files.path("-wal")).unwrap().len() / 2);
    };
    let cases: [(&str, &str, Change<'_>); 7] = [
        ("-wal emptied", "-wal", &|files, _| cut(files, "-wal", 0)),
        ("-wal cut", "-wal", &half),
        ("-wal overwritten", "-wal", &|files, _| {
            let bytes = fs::metadata(files.path("-wal")).unwrap().len();
            fs::write(files.path("-wal"), vec![7; usize::try_from(bytes).unwrap()]).unwrap();
        }),
        ("file cut", "", &|files, _| cut(files, "", 8_192)),
        ("file cut at once", "", &|files, _| cut(files, "", 8_192)),
        ("file emptied", "", &|files, _| cut(files, "", 0)),
        ("an older file copied over it", "", &|files, backup| {
            fs::copy(backup.path(""), files.path("")).unwrap();
        }),
    ];
    for (what, ending, change) in cases {
        let (files, backup, store) = open(!what.ends_with("at once")).await;
        change(&files, &backup);
        let said = seen(what, async || match store.ready().await {
            Err(StoreError::Lost(said)) => Some(said),
            _ => None,
        });
        let said = said.await;
        let file = format!("log.db{ending}: it was changed in place");
        assert!(said.contains(&file), "{what}: {said}");
        let refused = append(&store, &name("orders"), [999]).await;
        assert!(matches!(refused, Err(StoreError::Lost(_))), "{what}: {refused:?}");
        store.close().await;
        // Nothing was laid over the other: the next start tells what is lost.
        if ending == "-wal" {
            assert!(hold(what, &files.snapshot()).await.unwrap() > 0, "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_at_work_is_not_taken_for_one_that_was_changed() {
    let (files, _, store) = open(true).await;
    let settings = TopicSettings::default();
    let begun = tokio::time::Instant::now();
    let mut id = 1_000;
    while begun.elapsed() < Duration::from_secs(6) {
        for _ in 0..40 {
            append(&store, &name("orders"), id..id + 50).await.unwrap();
            id += 50;
        }
        let other = name(&format!("t{id}"));
        store.put_topic(&other, &settings, NOW).await.unwrap();
        store.delete_topic(&other, NOW).await.unwrap();
        store.ready().await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let told: Vec<_> = store.news().into_iter().map(|news| news.trouble).collect();
    assert_eq!(told, []);
    store.close().await;
    drop(files);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_is_replaced_or_changed_is_written_anew() {
    type Change<'a> = &'a dyn Fn(&Files, &Files);
    let put = |files: &Files, text: &[u8]| fs::write(files.path("-heads"), text).unwrap();
    let cases: [(&str, Change<'_>); 5] = [
        ("removed", &|files, _| fs::remove_file(files.path("-heads")).unwrap()),
        ("replaced", &|files, backup| {
            fs::copy(backup.path("-heads"), files.path("aside")).unwrap();
            fs::rename(files.path("aside"), files.path("-heads")).unwrap();
        }),
        ("overwritten", &|files, backup| put(files, &fs::read(backup.path("-heads")).unwrap())),
        ("cut", &|files, _| cut(files, "-heads", 256)),
        ("a line changed", &|files, _| {
            let mut text = fs::read(files.path("-heads")).unwrap();
            let at = text.len() - 240;
            text[at] ^= 1;
            put(files, &text);
        }),
    ];
    for (what, change) in cases {
        let (files, backup, store) = open(true).await;
        change(&files, &backup);
        let detail = seen(what, async || {
            let mut news = store.news().into_iter().map(|news| news.trouble);
            news.find(|trouble| trouble.code == "record_replaced").map(|trouble| trouble.detail)
        });
        let detail = detail.await;
        assert!(detail.contains("log.db-heads: it was removed, replaced"), "{what}: {detail}");
        // By it a log that is gone is seen.
        let killed = files.snapshot();
        fs::remove_file(killed.path("-wal")).unwrap();
        assert_eq!(hold(what, &killed).await, Ok(6), "{what}");
        assert_eq!(append(&store, &name("orders"), [777]).await.unwrap()[0].version, Version(57));
        store.close().await;
        files.open().await.unwrap().close().await;
    }
}
