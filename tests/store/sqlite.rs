//! SQLite under the contract, and what only SQLite has.

use std::sync::Arc;

use milkrun::store::{Options, Store, StoreError, open};
use sqlx::{Connection as _, SqliteConnection};
use tempfile::TempDir;

use super::Bench;

/// A file in a folder of its own.
pub struct SqliteBench {
    folder: TempDir,
}

/// A new file.
pub async fn bench() -> SqliteBench {
    SqliteBench { folder: tempfile::tempdir().expect("a folder") }
}

impl SqliteBench {
    fn path(&self) -> String {
        self.folder.path().join("log.db").display().to_string()
    }

    /// A second connection, by which a case breaks the database.
    async fn saboteur(&self) -> SqliteConnection {
        SqliteConnection::connect(&format!("sqlite:{}", self.path())).await.expect("a connection")
    }

    async fn run(&self, sql: String) {
        let mut conn = self.saboteur().await;
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut conn).await.expect("sabotage");
        conn.close().await.expect("closed");
    }
}

#[async_trait::async_trait]
impl Bench for SqliteBench {
    async fn open(&self) -> Arc<dyn Store> {
        // Small, so that cases read from the tail and from the file.
        let options = Options { tail_bytes: 4_000, dedupe_keys_max: 20_000, ..Options::default() };
        open(&format!("sqlite:{}", self.path()), &options).await.expect("a store")
    }

    async fn refuse_events_with(&self, text: &str) {
        self.run(format!(
            "CREATE TRIGGER refuse BEFORE INSERT ON events WHEN instr(NEW.attributes, '{text}') \
             BEGIN SELECT RAISE(ABORT, 'refused by the test'); END"
        ))
        .await;
    }

    async fn fail_commits(&self, fail: bool) {
        // A foreign key that is checked at COMMIT only, and broken.
        self.run(if fail {
            "CREATE TABLE parent (id INTEGER PRIMARY KEY);
             CREATE TABLE child (id INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
             CREATE TRIGGER spoil AFTER INSERT ON events BEGIN INSERT INTO child VALUES (1); END"
                .into()
        } else {
            "DROP TRIGGER spoil".into()
        })
        .await;
    }
}

#[tokio::test]
async fn a_second_opener_is_refused_and_told_who_has_it() {
    let bench = bench().await;
    let _store = bench.open().await;
    let second = open(&format!("sqlite:{}", bench.path()), &Options::default()).await;
    match second.err() {
        Some(StoreError::Refused(text)) => {
            assert!(text.contains(&std::process::id().to_string()), "{text}");
        }
        other => panic!("expected a refusal, not {other:?}"),
    }
}

#[tokio::test]
async fn a_file_of_a_later_release_is_refused() {
    let bench = bench().await;
    bench.open().await.close().await;
    bench.run("PRAGMA user_version = 99".into()).await;
    let opened = open(&format!("sqlite:{}", bench.path()), &Options::default()).await;
    assert!(matches!(opened.err(), Some(StoreError::Refused(_))));
}

#[tokio::test]
async fn the_file_is_laid_out_as_designed() {
    let bench = bench().await;
    bench.open().await.close().await;
    let mut conn = bench.saboteur().await;
    for (pragma, expected) in [("page_size", 8_192_i64), ("auto_vacuum", 2)] {
        let sql = sqlx::AssertSqlSafe(format!("PRAGMA {pragma}"));
        let value: (i64,) = sqlx::query_as(sql).fetch_one(&mut conn).await.expect(pragma);
        assert_eq!(value.0, expected, "{pragma}");
    }
    let mode: (String,) =
        sqlx::query_as("PRAGMA journal_mode").fetch_one(&mut conn).await.expect("a mode");
    assert_eq!(mode.0, "wal");
}

#[tokio::test]
async fn an_address_of_no_store_is_refused() {
    for url in ["", "mysql://x", "sqlite:", "sqlite::memory:"] {
        let opened = open(url, &Options::default()).await;
        assert!(matches!(opened.err(), Some(StoreError::Refused(_))), "{url}");
    }
}
