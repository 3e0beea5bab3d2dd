//! One process on one file, whatever name it goes by, and as long as it is that file.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink},
    path::Path,
    sync::Arc,
};

use milkrun::{
    settings::TopicSettings,
    store::{Options, Store, StoreError, open},
};

use super::{NOW, append, name};

async fn at(path: &Path) -> Result<Arc<dyn Store>, StoreError> {
    open(&format!("sqlite:{}", path.display()), &Options::default()).await
}

async fn refusal(path: &Path) -> String {
    match at(path).await.map(drop) {
        Err(StoreError::Refused(said)) => said,
        other => panic!("{}: expected a refusal, not {other:?}", path.display()),
    }
}

#[tokio::test]
async fn a_file_has_one_relay_under_any_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    let store = at(&path).await.unwrap();
    let link = folder.path().join("link.db");
    symlink(&path, &link).unwrap();
    let said = refusal(&link).await;
    assert!(said.contains("another relay uses"), "{said}");
    // The named lock alone is not what keeps the file.
    fs::remove_file(folder.path().join("log.db.lock")).unwrap();
    for other in [&path, &link] {
        let said = refusal(other).await;
        assert!(said.contains("another process has it locked"), "{said}");
    }
    let twin = folder.path().join("twin.db");
    fs::hard_link(&path, &twin).unwrap();
    for other in [&path, &twin] {
        let said = refusal(other).await;
        assert!(said.contains("2 names (hard links)"), "{said}");
    }
    fs::remove_file(&twin).unwrap();
    store.close().await;
    // Through the link it is the same file, with the same log beside it.
    let store = at(&link).await.unwrap();
    store.put_topic(&name("orders"), &TopicSettings::default(), NOW).await.unwrap();
    assert!(path.with_file_name("log.db-wal").exists());
    store.close().await;
}

#[tokio::test]
async fn what_is_no_place_for_a_store_is_refused_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let nothing = folder.path().join("nothing.db");
    symlink(folder.path().join("absent"), &nothing).unwrap();
    assert!(refusal(&nothing).await.contains("nothing.db: it is a link to nothing"));
    assert!(refusal(folder.path()).await.contains("no ordinary file"));
    assert!(refusal(Path::new("~/milkrun.db")).await.contains("`~` is not expanded"));
    assert!(!Path::new("~").exists());
    let text = folder.path().join("notes.txt");
    fs::write(&text, "Buy milk, and eggs. ".repeat(20)).unwrap();
    assert!(refusal(&text).await.contains("notes.txt: it is no SQLite database"));
    let closed = folder.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o500)).unwrap();
    let said = at(&closed.join("log.db")).await.err();
    // Whoever may do anything gets a store there.
    assert!(said.is_none_or(|error| error.to_string().contains("closed/log.db")));
}

#[tokio::test]
async fn another_programs_database_is_left_alone() {
    use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
    let folder = tempfile::tempdir().unwrap();
    for (file, sql) in [
        ("tables.db", "CREATE TABLE bookmarks (url TEXT); CREATE TABLE meta (name TEXT)"),
        ("id.db", "PRAGMA application_id = 252006675; CREATE TABLE features (id INTEGER)"),
    ] {
        let path = folder.path().join(file);
        let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
        let mut conn = SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut conn).await.unwrap();
        conn.close().await.unwrap();
        let before = fs::read(&path).unwrap();
        let said = refusal(&path).await;
        assert!(said.contains(file) && said.contains("another program's database"), "{said}");
        assert_eq!(fs::read(&path).unwrap(), before, "{file}");
    }
    let own = folder.path().join("own.db");
    at(&own).await.unwrap().close().await;
    assert_eq!(&fs::read(&own).unwrap()[68..72], b"Mkrn");
}

#[tokio::test]
async fn a_file_that_is_gone_acknowledges_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (path, aside) = (folder.path().join("log.db"), folder.path().join("aside"));
    let store = at(&path).await.unwrap();
    let topic = name("orders");
    store.put_topic(&topic, &TopicSettings::default(), NOW).await.unwrap();
    append(&store, &topic, 1..=3).await.unwrap();
    for ending in ["", "-wal", "-shm"] {
        let name = folder.path().join(format!("log.db{ending}"));
        fs::rename(&name, &aside).unwrap();
        for _ in 0..2 {
            match append(&store, &topic, [4]).await {
                Err(StoreError::Lost(said)) => {
                    assert!(said.contains(&format!("log.db{ending}: it was removed")), "{said}");
                }
                other => panic!("{ending}: acknowledged: {other:?}"),
            }
        }
        assert!(matches!(store.ready().await, Err(StoreError::Lost(_))));
        fs::write(&name, "another").unwrap();
        assert!(matches!(append(&store, &topic, [4]).await, Err(StoreError::Lost(_))));
        fs::rename(&aside, &name).unwrap();
        store.ready().await.unwrap();
    }
    assert_eq!(append(&store, &topic, [4]).await.unwrap()[0].version.0, 4);
    store.close().await;
}

/// Nothing that waits or never ends is opened in the place of a file of ours.
#[tokio::test]
async fn what_is_no_regular_file_beside_the_store_is_refused_by_name() {
    use rustix::fs::{CWD, Mode, mkfifoat};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    at(&path).await.unwrap().close().await;
    for ending in ["-heads", ".lock", "-reserve", "-wal", "-shm", "-journal"] {
        let name = folder.path().join(format!("log.db{ending}"));
        let aside = folder.path().join("aside");
        let was_there = fs::rename(&name, &aside).is_ok();
        for kind in ["named pipe", "symbolic link", "folder"] {
            match kind {
                "named pipe" => mkfifoat(CWD, &name, Mode::RUSR | Mode::WUSR).unwrap(),
                "symbolic link" => symlink("/dev/zero", &name).unwrap(),
                _ => fs::create_dir(&name).unwrap(),
            }
            let said = refusal(&path).await;
            let expected = format!("log.db{ending}: it is no regular file, but a {kind}");
            assert!(said.contains(&expected), "{said}");
            let _ = fs::remove_file(&name).or_else(|_| fs::remove_dir(&name));
        }
        if was_there {
            fs::rename(&aside, &name).unwrap();
        }
    }
    let lock = folder.path().join("log.db.lock");
    fs::File::create(&lock).unwrap().set_len(3 << 30).unwrap();
    assert!(refusal(&path).await.contains("log.db.lock: it is too large"));
    assert_eq!(fs::metadata(&lock).unwrap().len(), 3 << 30, "it is left as it is");
    fs::remove_file(&lock).unwrap();
    at(&path).await.unwrap().close().await;
}

/// Whoever opens it, as root with an offline command, makes nothing that its owner cannot open.
#[tokio::test]
async fn what_is_made_beside_the_store_is_its_owners() {
    const OWNER: u32 = 65_534;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    at(&path).await.unwrap().close().await;
    if chown(&path, Some(OWNER), Some(OWNER)).is_err() {
        eprintln!("SKIPPED: only root can give files away");
        return;
    }
    let endings = ["-heads", ".lock", "-reserve", "-trace"];
    for ending in endings {
        fs::remove_file(folder.path().join(format!("log.db{ending}"))).unwrap();
    }
    let check = |endings: &[&str]| {
        for ending in endings {
            let known = fs::metadata(folder.path().join(format!("log.db{ending}"))).unwrap();
            let found = (known.uid(), known.gid(), known.mode() & 0o777);
            assert_eq!(found, (OWNER, OWNER, 0o600), "log.db{ending}");
        }
    };
    let store = at(&path).await.unwrap();
    check(&[&endings[..], &["", "-wal", "-shm", "-trace-wal", "-trace-shm"]].concat());
    store.close().await;
    check(&endings);
}
