//! Files that come back other than they were left: missing, cut, flipped, or of another time.
//!
//! Whatever was done to them, one of two things holds: the store is refused with the name of a
//! file, or what is lost is told, and no version is given twice within an epoch.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use milkrun::{
    event::{Cursor, Version},
    settings::TopicSettings,
    store::{Options, Read, Store, StoreError, open},
};
use tempfile::TempDir;

use super::{NOW, append, events, id_of, later, name};
use crate::{process::seeded, support::full};

mod in_place;
mod returned;

/// A store's files, and what it has acknowledged.
struct Files {
    folder: TempDir,
    given: HashSet<(Cursor, String)>,
}

/// Everything beside the file that belongs to a store.
const ENDINGS: [&str; 4] = ["", "-wal", "-heads", "-trace"];

impl Files {
    fn path(&self, ending: &str) -> PathBuf {
        self.folder.path().join(format!("log.db{ending}"))
    }

    async fn open(&self) -> Result<Arc<dyn Store>, StoreError> {
        open_at(&self.path("")).await
    }

    /// What a killed process would leave of an open store.
    fn snapshot(&self) -> Self {
        let copy = Self { folder: TempDir::new().unwrap(), given: self.given.clone() };
        for ending in ENDINGS {
            let _ = fs::copy(self.path(ending), copy.path(ending));
        }
        copy
    }

    /// Appends events with these ids, each in a commit of its own.
    async fn give(&mut self, store: &Arc<dyn Store>, ids: impl IntoIterator<Item = u64>) {
        for id in ids {
            let placed = append(store, &name("orders"), [id]).await.unwrap()[0];
            let cursor = Cursor { epoch: placed.epoch, version: placed.version };
            self.given.insert((cursor, id.to_string()));
        }
    }
}

async fn open_at(path: &Path) -> Result<Arc<dyn Store>, StoreError> {
    // Nothing in memory: what is read is what the file has.
    let options = Options { tail_bytes: 0, ..Options::default() };
    open(&format!("sqlite:{}", path.display()), &options).await
}

/// A store of two runs that was killed in the second: 20 events in the file, 30 in the log; and the
/// file as the first run left it.
async fn killed() -> (Files, Files) {
    let mut files = Files { folder: TempDir::new().unwrap(), given: HashSet::new() };
    let store = files.open().await.unwrap();
    store.put_topic(&name("orders"), &TopicSettings::default(), NOW).await.unwrap();
    files.give(&store, 1..=20).await;
    store.close().await;
    let backup = files.snapshot();
    let store = files.open().await.unwrap();
    files.give(&store, 21..=50).await;
    let killed = files.snapshot();
    store.close().await;
    (killed, backup)
}

/// Holds the files to the promise; answers what a refusal said, or how many events are lost.
async fn hold(what: &str, files: &Files) -> Result<usize, String> {
    let store = match files.open().await {
        Ok(store) => store,
        Err(error) => {
            let said = error.to_string();
            assert!(said.contains("log.db"), "{what}: names no file: {error:?}");
            return Err(said);
        }
    };
    let topic = name("orders");
    let (mut here, mut told, mut after) = (HashSet::new(), 0, Version::ZERO);
    loop {
        match store.read(&topic, Read::after(after)).await {
            Ok(page) if page.events.is_empty() && page.passed.is_none() => break,
            Ok(page) => {
                for event in &page.events {
                    let cursor = Cursor { epoch: event.epoch, version: event.version };
                    let one = (cursor, id_of(event));
                    assert!(files.given.contains(&one), "{what}: {one:?} was never given");
                    here.insert(one);
                }
                let last = page.events.last().map(|event| event.version);
                after = last.or(page.passed).unwrap();
                if after >= page.state.head {
                    break;
                }
            }
            Err(StoreError::Damaged { to, .. }) => (after, told) = (to, told + 1),
            // Its name is damaged: the log tells that it is gone, and nothing is taken for it.
            Err(error @ StoreError::NotFound { .. }) => return Err(error.to_string()),
            Err(error) => panic!("{what}: {error:?}"),
        }
    }
    let lost = files.given.difference(&here).count();
    // What else is damaged keeps it from going on, with an error.
    let trimmed = store.trim(later(1)).await.map_err(|error| error.to_string())?;
    let told = told + trimmed.damage.len();
    assert!(lost == 0 || told > 0, "{what}: {lost} events are lost without a word");
    let gaps = store.gaps(&topic, 100).await.map_err(|error| error.to_string())?;
    assert!(lost == 0 || !gaps.is_empty(), "{what}: no gap");
    let fresh = append(&store, &topic, 1_001..=1_010).await.map_err(|error| error.to_string())?;
    for placed in fresh {
        let cursor = Cursor { epoch: placed.epoch, version: placed.version };
        let twice = files.given.iter().find(|(given, _)| *given == cursor);
        assert_eq!(twice, None, "{what}: given twice");
    }
    store.close().await;
    Ok(lost)
}

#[tokio::test]
async fn what_a_kill_leaves_is_whole() {
    let (killed, backup) = killed().await;
    assert_eq!(hold("killed", &killed).await, Ok(0));
    assert_eq!(hold("closed", &backup).await, Ok(0));
    let store = killed.open().await.unwrap();
    assert_eq!(store.topic(&name("orders")).await.unwrap().epochs.len(), 1, "one epoch");
    store.close().await;
}

#[tokio::test]
async fn a_lost_or_older_file_is_told_and_no_version_is_given_twice() {
    let (killed, backup) = killed().await;
    let damaged = |damage: &dyn Fn(&Files)| {
        let files = killed.snapshot();
        damage(&files);
        files
    };
    let length = fs::metadata(killed.path("-wal")).unwrap().len();
    let cut = |bytes: u64| {
        move |files: &Files| {
            fs::File::options()
                .write(true)
                .open(files.path("-wal"))
                .unwrap()
                .set_len(bytes)
                .unwrap();
        }
    };
    let without =
        |ending: &'static str| move |files: &Files| fs::remove_file(files.path(ending)).unwrap();
    let lost = hold("no -wal", &damaged(&without("-wal"))).await.unwrap();
    assert!(lost >= 30, "{lost}");
    assert!(hold("-wal cut", &damaged(&cut(length / 2))).await.unwrap() > 0);
    assert!(hold("-wal cut to nothing", &damaged(&cut(0))).await.unwrap() >= 30);
    assert_eq!(hold("no record", &damaged(&without("-heads"))).await, Ok(0));
    let alone = damaged(&|files| {
        for ending in ["-wal", "-heads", "-trace"] {
            let _ = fs::remove_file(files.path(ending));
        }
    });
    // Nobody can tell then what is lost, only that it cannot be told.
    let store = alone.open().await.unwrap();
    assert_eq!(store.gaps(&name("orders"), 9).await.unwrap()[0].reason, "history_lost");
    assert_eq!(store.topic(&name("orders")).await.unwrap().epochs.len(), 2);
    store.close().await;
    let restored = damaged(&|files| {
        fs::remove_file(files.path("-wal")).unwrap();
        fs::copy(backup.path(""), files.path("")).unwrap();
    });
    assert_eq!(hold("restored", &restored).await, Ok(30));
    let store = restored.open().await.unwrap();
    let state = store.topic(&name("orders")).await.unwrap();
    assert!(state.head >= Version(60), "not below the record: {}", state.head);
    assert_eq!(state.epochs[1].first, Version(21), "{:?}", state.epochs);
    store.close().await;
}

#[tokio::test]
async fn a_log_of_another_time_is_refused_by_name() {
    let (killed, backup) = killed().await;
    let mixed = killed.snapshot();
    fs::copy(backup.path(""), mixed.path("")).unwrap();
    let said = hold("old file, newer -wal", &mixed).await.unwrap_err();
    assert!(said.contains("do not belong together") && said.contains("log.db-wal"), "{said}");
    // The same file goes on once the log is out of the way.
    fs::rename(mixed.path("-wal"), mixed.folder.path().join("aside")).unwrap();
    assert_eq!(hold("-wal moved away", &mixed).await, Ok(30));

    let put_back = killed.snapshot();
    let store = put_back.open().await.unwrap();
    append(&store, &name("orders"), 51..=60).await.unwrap();
    store.close().await;
    fs::copy(killed.path("-wal"), put_back.path("-wal")).unwrap();
    let said = hold("-wal put back", &put_back).await.unwrap_err();
    assert!(said.contains("do not belong together"), "{said}");
}

#[tokio::test]
async fn a_flipped_bit_loses_nothing_without_a_word() {
    let (killed, _) = killed().await;
    let mut chance = seeded();
    for ending in ENDINGS {
        let Ok(whole) = fs::read(killed.path(ending)) else { continue };
        for _ in 0..if full() { 200 } else { 6 } {
            let files = killed.snapshot();
            let (at, bit) = (chance.usize(..whole.len()), chance.u8(..8));
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << bit;
            fs::write(files.path(ending), bytes).unwrap();
            let _ = hold(&format!("bit {bit} of byte {at} in log.db{ending}"), &files).await;
        }
    }
}

#[tokio::test]
async fn an_empty_file_in_place_of_a_store_is_refused() {
    let (killed, backup) = killed().await;
    fs::write(killed.path(""), "").unwrap();
    let said = hold("empty, with a log", &killed).await.unwrap_err();
    assert!(said.contains("log.db-wal holds what was written"), "{said}");
    fs::remove_file(backup.path("")).unwrap();
    let said = hold("removed", &backup).await.unwrap_err();
    assert!(said.contains("log.db-heads tells of a store"), "{said}");
    assert!(!backup.path("").exists(), "nothing is made in its place");
    fs::remove_file(backup.path("-heads")).unwrap();
    backup.open().await.unwrap().close().await;
}

#[tokio::test]
async fn a_damaged_event_is_never_given() {
    let (_, files) = killed().await;
    rows(&files, "UPDATE events SET data = x'7b7d' WHERE slot & 255 = 7").await;
    let store = files.open().await.unwrap();
    let topic = name("orders");
    let page = store.read(&topic, Read::after(Version::ZERO)).await.unwrap();
    assert_eq!(page.events.len(), 6, "what is before it is given");
    match store.read(&topic, Read::after(Version(6))).await {
        Err(StoreError::Damaged { topic, from: Version(7), to: Version(7), problem }) => {
            assert!(topic.as_str() == "orders" && problem.contains("version 7"), "{problem}");
        }
        other => panic!("{other:?}"),
    }
    let page = store.read(&topic, Read::after(Version(7))).await.unwrap();
    assert_eq!(page.events.len(), 13);
    let told = store.trim(later(1)).await.unwrap().damage;
    assert_eq!((told.len(), told[0].reason, told[0].from), (1, "event_damaged", Version(7)));
    assert_eq!(store.gaps(&topic, 9).await.unwrap()[0].reason, "event_damaged");
    let counted = store.gauges().await;
    assert!(counted.contains(&("store_damaged_events", 1.0)), "{counted:?}");
    // It is said once, however often it is read.
    assert!(store.read(&topic, Read::one(Version(7))).await.is_err());
    assert!(store.trim(later(2)).await.unwrap().damage.is_empty());
    store.close().await;
}

#[tokio::test]
async fn events_of_an_earlier_release_are_given_without_a_checksum() {
    let (_, files) = killed().await;
    rows(&files, "UPDATE events SET checksum = NULL").await;
    assert_eq!(hold("no checksums", &files).await, Ok(0));
}

#[tokio::test]
async fn missing_rows_are_an_error_and_then_a_gap() {
    let (_, files) = killed().await;
    rows(&files, "DELETE FROM events WHERE slot & 255 BETWEEN 7 AND 9").await;
    let store = files.open().await.unwrap();
    let topic = name("orders");
    let page = store.read(&topic, Read::after(Version::ZERO)).await.unwrap();
    assert_eq!(page.events.len(), 6);
    match store.read(&topic, Read::after(Version(6))).await {
        Err(StoreError::Damaged { from: Version(7), to: Version(9), .. }) => {}
        other => panic!("{other:?}"),
    }
    let told = store.trim(later(1)).await.unwrap().damage;
    assert_eq!(
        (told[0].reason, told[0].from, told[0].to),
        ("events_missing", Version(7), Version(9))
    );
    // A gap tells of it from now on, and readers pass over it.
    let page = store.read(&topic, Read::after(Version(6))).await.unwrap();
    assert_eq!(page.events[0].version, Version(10));
    let page =
        store.read(&topic, Read { up_to: Version(9), ..Read::after(Version(6)) }).await.unwrap();
    assert_eq!((page.events.len(), page.passed), (0, Some(Version(9))));
    assert_eq!(store.lost(&topic).await.unwrap(), [(Version(7), Version(9))]);
    store.close().await;
    rows(&files, "DELETE FROM events WHERE slot & 255 > 18").await;
    let store = files.open().await.unwrap();
    let gaps = store.gaps(&topic, 9).await.unwrap();
    assert_eq!(gaps[0].detail, "versions 19 to 20 are missing in the file");
    let lost = [(Version(7), Version(9)), (Version(19), Version(20))];
    assert_eq!(store.lost(&topic).await.unwrap(), lost);
    assert_eq!(append(&store, &topic, [77]).await.unwrap()[0].version, Version(21));
    store.close().await;
}

/// Flips bits where the events are: whatever is given is what was appended.
#[tokio::test]
async fn no_flipped_bit_is_given_as_an_event() {
    let (_, files) = killed().await;
    let whole = fs::read(files.path("")).unwrap();
    let topic = name("orders");
    let good = events(1..=20);
    let mut chance = seeded();
    let (mut found, mut refused) = (0, 0);
    // Most of a small file is empty: only pages that hold events are worth it.
    let holds = |page: &[u8]| page.windows(9).any(|bytes| bytes == br#"{"id":"1""#);
    let pages = whole.chunks(8_192).enumerate().filter(|(_, page)| holds(page));
    let used: Vec<usize> = pages
        .flat_map(|(number, page)| (0..page.len()).map(move |at| (number * 8_192 + at, page[at])))
        .filter_map(|(at, byte)| (byte != 0).then_some(at))
        .collect();
    assert!(used.len() > 500, "where the events are was not found");
    for _ in 0..if full() { 1_000 } else { 40 } {
        let (at, bit) = (used[chance.usize(..used.len())], chance.u8(..8));
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << bit;
        let broken = files.snapshot();
        fs::write(broken.path(""), bytes).unwrap();
        let Ok(store) = broken.open().await else {
            refused += 1;
            continue;
        };
        for version in 1..=20 {
            match store.read(&topic, Read::one(Version(version))).await {
                Ok(page) => {
                    for event in &page.events {
                        let expected = &good[usize::try_from(event.version.0).unwrap() - 1];
                        assert_eq!(event.attributes, expected.attributes, "byte {at}, bit {bit}");
                        assert_eq!(event.data, expected.data, "byte {at}, bit {bit}");
                    }
                }
                Err(_) => found += 1,
            }
        }
        store.close().await;
    }
    println!("{found} reads were refused, and {refused} files");
    assert!(found > 0, "no flipped bit was met");
}

/// Changes the rows of a closed store.
async fn rows(files: &Files, sql: &'static str) {
    use sqlx::{Connection as _, SqliteConnection};
    let mut conn =
        SqliteConnection::connect(&format!("sqlite:{}", files.path("").display())).await.unwrap();
    sqlx::raw_sql(sql).execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
}
