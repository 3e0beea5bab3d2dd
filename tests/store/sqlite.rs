//! SQLite under the contract, and what only SQLite has.

use std::sync::Arc;

use milkrun::{
    event::Version,
    seal::Seal,
    settings::{SubscriptionSettings, TopicSettings},
    store::{EventSource, NewJob, NewSource, Options, Store, StoreError, open},
};
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

use super::{Bench, NOW, name, source};

/// A file in a folder of its own.
pub(super) struct SqliteBench {
    folder: TempDir,
}

/// A new file.
pub(super) async fn bench() -> SqliteBench {
    SqliteBench { folder: tempfile::tempdir().expect("a folder") }
}

impl SqliteBench {
    pub(super) fn path(&self) -> String {
        self.folder.path().join("log.db").display().to_string()
    }

    /// A second connection, by which a case breaks the database.
    async fn saboteur(&self) -> SqliteConnection {
        SqliteConnection::connect(&format!("sqlite:{}", self.path())).await.expect("a connection")
    }

    pub(super) async fn run(&self, sql: String) {
        let mut conn = self.saboteur().await;
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut conn).await.expect("sabotage");
        conn.close().await.expect("closed");
    }
}

#[async_trait::async_trait]
impl Bench for SqliteBench {
    async fn open_sealed(&self, seal: Seal) -> Result<Arc<dyn Store>, StoreError> {
        // Small, so that cases read from the tail and from the file.
        let options = Options {
            tail_bytes: 4_000,
            dedupe_keys_max: 20_000,
            pending_max: 3_000,
            positions_max: 100,
            seal,
            ..Options::default()
        };
        open(&format!("sqlite:{}", self.path()), &options).await
    }

    /// A file has one process, so its nodes share what is open.
    async fn beside(&self, first: &Arc<dyn Store>) -> Arc<dyn Store> {
        first.clone()
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

/// What the first release wrote: one subscription in two topics, and numbers that were given out.
const FIRST_RELEASE: &str = r"
    INSERT INTO topics (uid, name, head, settings) VALUES ('1', 'orders', 9, '{}'), ('2', 'bills', 5, '{}');
    INSERT INTO epochs VALUES (1, 1, 7, 0, 'created'), (2, 1, 8, 0, 'created');
    INSERT INTO subscriptions (name, origin, status, settings, edit, created) VALUES ('billing', 'api',
        'active', SETTINGS, 1, 0);
    INSERT INTO positions (subscription, topic, reach, open) VALUES (1, 1, 4, x'0000000000000003'), (1, 2, 5, x''), (9, 2, 0, x'');
    DELETE FROM positions WHERE subscription = 9;
    INSERT INTO exceptions (position, version, kind, attempts, tries, due, first, successes)
        VALUES (1, 2, 'retry', 1, 1, 0, 0, 0);
    PRAGMA user_version = 1;
";

#[tokio::test]
async fn a_file_of_the_first_release_is_taken_over() {
    let bench = bench().await;
    let settings = SubscriptionSettings::new("https://example.com".into(), Vec::new());
    let settings = serde_json::to_string(&settings).expect("JSON").replace('\'', "''");
    let rows = FIRST_RELEASE.replace("SETTINGS", &format!("'{settings}'"));
    let options = SqliteConnectOptions::new().filename(bench.path()).create_if_missing(true);
    let mut conn = SqliteConnection::connect_with(&options).await.expect("a file");
    for sql in [include_str!("../../migrations/sqlite/0001_log.sql").to_owned(), rows] {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut conn).await.expect("rows");
    }
    conn.close().await.expect("closed");
    let store = bench.open().await;
    let who = name("billing");
    let known = store.subscription(&who).await.expect("a subscription");
    let topics: Vec<_> = known.topics.iter().map(ToString::to_string).collect();
    assert_eq!(topics, ["bills", "orders"]);
    let position = store.position(1).await.expect("a position");
    assert_eq!((position.reach, position.open), (Version(4), vec![Version(3)]));
    assert_eq!((position.exceptions.len(), position.exceptions[0].lane), (1, None));
    let job = NewJob { topic: name("bills"), from: Version(1), to: Version(2), rate: None };
    store.start_replay(&who, &job, NOW).await.expect("a job");
    let known = store.subscription(&who).await.expect("a subscription");
    assert_eq!(known.positions[2].id, 4, "no number is given out twice");
}

/// A file of the release before, made by its migrations alone: a source that has begun, and one
/// that has not.
#[tokio::test]
async fn a_source_of_the_layout_before_keeps_its_place_and_its_name() {
    let bench = bench().await;
    let options = SqliteConnectOptions::new()
        .filename(bench.path())
        .create_if_missing(true)
        .pragma("auto_vacuum", "INCREMENTAL")
        .pragma("journal_mode", "WAL");
    let mut conn = SqliteConnection::connect_with(&options).await.unwrap();
    for migration in [
        include_str!("../../migrations/sqlite/0001_log.sql"),
        include_str!("../../migrations/sqlite/0002_delivery.sql"),
        include_str!("../../migrations/sqlite/0003_resets.sql"),
        "PRAGMA user_version = 3",
    ] {
        sqlx::raw_sql(migration).execute(&mut conn).await.unwrap();
    }
    conn.close().await.unwrap();
    // The topic as any release makes it.
    let store = bench.open().await;
    let topic = "orders".parse().unwrap();
    store.put_topic(&topic, &TopicSettings::default(), NOW).await.unwrap();
    store.close().await;
    drop(store);
    bench
        .run(
            "INSERT INTO sources (name, topic, status, contract, config_hash, cursor, cursor_contract, walks) \
             SELECT column1, t.id, 'active', 'before', 'x', column2, column3, column4 \
             FROM topics t, (VALUES ('begun', '\"4\"', 'before', 9), ('reset', NULL, '', 9), \
             ('new', NULL, '', 0)) WHERE t.name = 'orders'"
                .into(),
        )
        .await;
    let store = bench.open().await;
    for (who, cursor, event_source) in [
        ("begun", Some("\"4\""), "https://a.example/list"),
        ("reset", None, "https://a.example/list"),
        ("new", None, "https://a.example/list?q=1"),
    ] {
        let new = NewSource {
            name: name(who),
            contract: "now".into(),
            contract_before: Some("before".into()),
            event_source: EventSource {
                set: None,
                default: "https://a.example/list?q=1".into(),
                before: "https://a.example/list".into(),
            },
            ..source(&topic)
        };
        let put = store.put_source(&new, NOW).await.unwrap();
        assert!(!put.needs_cursor(), "{put:?}");
        assert_eq!(put.cursor.as_deref(), cursor, "{who}");
        assert_eq!(put.event_source.as_deref(), Some(event_source), "{who}");
    }
    store.close().await;
}
