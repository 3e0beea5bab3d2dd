//! The trace's file is expendable: whatever happens to it, attempts are recorded again.

use std::{fs, path::PathBuf, process::Command, sync::Arc, time::Duration};

use milkrun::{
    event::Version,
    store::{Attempt, AttemptQuery, Change, Store},
};
use sqlx::{Connection as _, SqliteConnection};

use super::{
    Bench as _, NOW,
    columns::loosened,
    sqlite::{SqliteBench, bench},
};

fn attempt(version: u64) -> Attempt {
    Attempt {
        id: 0,
        subscription: 1,
        topic: 1,
        version: Version(version),
        attempt: 2,
        started: NOW,
        duration_ms: 7,
        status: Some(503),
        answer: b"later".to_vec(),
        error: None,
        verdict: "retry".to_owned(),
    }
}

fn path(bench: &SqliteBench) -> PathBuf {
    format!("{}-trace", bench.path()).into()
}

async fn saboteur(bench: &SqliteBench, sql: impl Into<String>) {
    let url = format!("sqlite:{}", path(bench).display());
    let mut conn = SqliteConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.into())).execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
}

/// Looks until there is something; nothing signals what is written behind our back.
async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let ask = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), ask).await.unwrap_or_else(|_| panic!("{what}"))
}

async fn until_recorded(store: &Arc<dyn Store>, version: u64) {
    until("the attempt was not recorded", async || {
        let version = Some(Version(version));
        let query = AttemptQuery { version, limit: 10, ..AttemptQuery::default() };
        let found = store.attempts(query).await.unwrap();
        (!found.is_empty()).then_some(())
    })
    .await;
}

/// What was set aside.
fn damaged(bench: &SqliteBench) -> Vec<PathBuf> {
    let folder = path(bench).parent().unwrap().to_owned();
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|file| file.to_str().unwrap().contains("-trace.damaged-")).collect()
}

fn mended(store: &Arc<dyn Store>) -> bool {
    let replaced = |news: &milkrun::store::News| {
        news.change == Change::Mended && news.trouble.code == "trace_replaced"
    };
    store.news().iter().any(replaced)
}

#[tokio::test]
async fn attempts_are_recorded_again_after_a_write_that_failed() {
    let bench = bench().await;
    let store = bench.open().await;
    // As SQLite itself does on a full disk or an I/O error: the whole transaction is undone.
    let refuse =
        "CREATE TRIGGER refuse BEFORE INSERT ON attempts BEGIN SELECT RAISE(ROLLBACK, 'no'); END";
    saboteur(&bench, refuse).await;
    store.trace(vec![attempt(1)]);
    let code = until("nobody says so", async || store.troubles().first().map(|one| one.code)).await;
    assert_eq!(code, "trace_unavailable");
    saboteur(&bench, "DROP TRIGGER refuse").await;
    store.trace(vec![attempt(2)]);
    until_recorded(&store, 2).await;
    // What failed was kept and written later.
    until_recorded(&store, 1).await;
    assert!(store.troubles().is_empty(), "{:?}", store.troubles());
    assert!(damaged(&bench).is_empty());
    store.close().await;
}

#[tokio::test]
async fn a_trace_that_is_no_database_is_set_aside_at_the_start() {
    let bench = bench().await;
    fs::write(path(&bench), "garbage ".repeat(5_000)).unwrap();
    let store = bench.open().await;
    store.trace(vec![attempt(1)]);
    until_recorded(&store, 1).await;
    assert!(mended(&store));
    let [aside] = &damaged(&bench)[..] else { panic!("{:?}", damaged(&bench)) };
    assert!(fs::read_to_string(aside).unwrap().starts_with("garbage "));
    store.close().await;
}

#[tokio::test]
async fn a_folder_in_the_place_of_the_trace_does_not_stop_the_start() {
    let bench = bench().await;
    fs::create_dir(path(&bench)).unwrap();
    let store = bench.open().await;
    store.trace(vec![attempt(1)]);
    until_recorded(&store, 1).await;
    store.close().await;
}

#[tokio::test]
async fn a_trace_that_becomes_unreadable_is_set_aside() {
    let bench = bench().await;
    let store = bench.open().await;
    store.trace(vec![attempt(1)]);
    until_recorded(&store, 1).await;
    saboteur(&bench, "PRAGMA wal_checkpoint(TRUNCATE)").await;
    // By another process: closing the file in this one would drop SQLite's locks on it.
    let of = format!("of={}", path(&bench).display());
    let dd = Command::new("dd")
        .args(["if=/dev/urandom", &of, "bs=8192", "count=20", "conv=notrunc"])
        .output()
        .unwrap();
    assert!(dd.status.success(), "{dd:?}");
    let query = AttemptQuery { limit: 10, ..AttemptQuery::default() };
    until("it was not set aside", async || {
        store.trace(vec![attempt(2)]);
        // Never an error: whoever changes a subscription is shown its last attempts.
        store.attempts(query.clone()).await.unwrap();
        (!damaged(&bench).is_empty()).then_some(())
    })
    .await;
    until_recorded(&store, 2).await;
    assert!(mended(&store));
    store.close().await;
}

/// As flipped bits leave it: rows of one kind have a column whose value is none.
#[tokio::test]
async fn a_trace_with_a_damaged_column_is_set_aside() {
    for damage in ["UPDATE attempts SET started = 'no'", "UPDATE deliveries SET answer = 7"] {
        let bench = bench().await;
        let store = bench.open().await;
        let delivered =
            |version| Attempt { attempt: 1, verdict: "delivered".to_owned(), ..attempt(version) };
        store.trace((2..10).map(delivered).chain([attempt(1)]).collect());
        until_recorded(&store, 1).await;
        until_recorded(&store, 2).await;
        store.close().await;
        saboteur(&bench, loosened(damage)).await;
        let store = bench.open().await;
        let query = AttemptQuery { limit: 10, ..AttemptQuery::default() };
        assert_eq!(store.attempts(query).await.unwrap(), [], "{damage}");
        assert!(mended(&store), "{damage}");
        store.close().await;
    }
}

#[tokio::test]
async fn only_the_newest_damaged_traces_are_kept() {
    let bench = bench().await;
    for number in 1..=5 {
        let _ = fs::remove_file(path(&bench));
        fs::write(path(&bench), format!("garbage {number}")).unwrap();
        let store = bench.open().await;
        assert!(mended(&store));
        store.close().await;
    }
    assert_eq!(damaged(&bench).len(), 3);
}

/// The trace is taken away, or older files put in its place, while it is open.
#[tokio::test]
async fn a_trace_that_is_taken_away_is_begun_anew() {
    for is_replaced in [false, true] {
        let bench = bench().await;
        let store = bench.open().await;
        store.trace(vec![attempt(1)]);
        until_recorded(&store, 1).await;
        let folder = tempfile::tempdir().unwrap();
        for ending in ["", "-wal", "-shm"] {
            let name = PathBuf::from(format!("{}{ending}", path(&bench).display()));
            let aside = folder.path().join("aside");
            fs::copy(&name, &aside).unwrap();
            fs::remove_file(&name).unwrap();
            if is_replaced {
                fs::copy(&aside, &name).unwrap();
            }
        }
        let told = until("nothing is told", async || {
            store.news().into_iter().find(|news| news.trouble.code == "trace_replaced")
        });
        let told = told.await;
        assert_eq!(told.change, Change::Mended);
        assert!(told.trouble.detail.contains("while it was in use"), "{told:?}");
        store.trace(vec![attempt(2)]);
        until_recorded(&store, 2).await;
        assert!(store.troubles().is_empty(), "{:?}", store.troubles());
        // They are in the file of that name.
        let url = format!("sqlite:{}", path(&bench).display());
        let mut conn = SqliteConnection::connect(&url).await.unwrap();
        let sql = "SELECT version FROM attempts";
        let found: Vec<i64> = sqlx::query_scalar(sql).fetch_all(&mut conn).await.unwrap();
        assert_eq!(found, [2]);
    }
}
