//! A value of another type in a column, as flipped bits leave it: whatever reads it answers with an
//! error that names the table, and nothing panics.

use std::fs;

use milkrun::{
    event::{Topic, Version},
    settings::TopicSettings,
    store::{
        Append, DeadSelect, Exception, ExceptionKind, NewEvent, NewGap, NewJob, NewRejected,
        Options, Read, Settlement, SourceProgress, StoreError, open,
    },
};
use sqlx::{Connection as _, SqliteConnection};

use super::{
    NOW, access_keys, events, later, name,
    positions::{dead, retry, settle, settlement, with_position},
    source,
    sqlite::{self, SqliteBench},
};
use crate::support::scaled;

/// Without `STRICT`, SQLite takes any value in any column.
const LOOSEN: &str = "PRAGMA writable_schema = ON; \
    CREATE TEMP TABLE kept AS SELECT name AS called, sql AS was FROM sqlite_schema; \
    UPDATE sqlite_schema SET sql = \
    replace(replace(sql, ') STRICT, WITHOUT', ') WITHOUT'), ') STRICT', ')'); \
    PRAGMA writable_schema = RESET;";
/// Makes the tables what they were.
const TIGHTEN: &str = "PRAGMA writable_schema = ON; \
    UPDATE sqlite_schema SET sql = (SELECT was FROM kept WHERE called = name); \
    PRAGMA writable_schema = RESET;";

/// Columns of which no such error tells.
const TOLD_OTHERWISE: [&str; 31] = [
    // Statements only compare them: a row whose value is damaged is not found.
    "jobs.subscription",
    "jobs.topic",
    "sources.topic",
    "dead_letters.subscription",
    "dead_letters.position",
    "exceptions.position",
    "gaps.topic",
    "meta.name",
    // Of a job that runs its position is asked.
    "jobs.reach",
    "jobs.delivered",
    // The event is `Damaged`, or its dead letter is shown without it.
    "events.attributes",
    "events.form",
    "events.data",
    "events.checksum",
    "exceptions.recorded",
    "exceptions.attributes",
    "exceptions.form",
    "exceptions.data",
    "exceptions.checksum",
    "dead_letters.recorded",
    "dead_letters.attributes",
    "dead_letters.form",
    "dead_letters.data",
    "dead_letters.checksum",
    // The event is set aside, and a gap tells of it.
    "pending.since",
    "pending.source",
    "pending.event_id",
    "pending.attributes",
    "pending.form",
    "pending.data",
    "pending.checksum",
];

#[tokio::test]
async fn a_damaged_column_is_an_error_that_names_its_table() {
    let bench = sqlite::bench().await;
    fill(&bench).await;
    let errors = look(&bench).await;
    assert!(errors.is_empty(), "nothing is damaged yet: {errors:?}");
    let kept = ["", "-heads"].map(|ending| {
        let path = format!("{}{ending}", bench.path());
        (fs::read(&path).unwrap(), path)
    });
    for (table, column, kind) in columns(&bench).await.into_iter().step_by(scaled(5, 1)) {
        let value = match kind.as_str() {
            "INTEGER" => "'no ' || hex(randomblob(9))",
            "TEXT" => "randomblob(9)",
            _ => "7",
        };
        bench.run(loosened(&format!("UPDATE {table} SET {column} = {value}"))).await;
        let errors = look(&bench).await;
        let is_told = |error: &String| error.starts_with(&format!("unreadable row in {table}: "));
        let name = format!("{table}.{column}");
        let is_known = TOLD_OTHERWISE.contains(&name.as_str());
        assert!(is_known || errors.iter().any(is_told), "{name}: {errors:?}");
        // This is the answer of a writer that panicked.
        assert!(!errors.iter().any(|error| error.contains("unknown")), "{name}: {errors:?}");
        for (bytes, path) in &kept {
            fs::write(path, bytes).unwrap();
        }
    }
}

/// A change of a file that may put a value of any type into any column.
pub(super) fn loosened(change: &str) -> String {
    format!("{LOOSEN} {change}; {TIGHTEN}")
}

/// One row at least in every table.
async fn fill(bench: &SqliteBench) {
    let (store, topic, position) = with_position(bench).await;
    let saved = Settlement {
        open: vec![Version(5)],
        put: vec![retry(2), Exception { kind: ExceptionKind::Stopped, ..retry(3) }],
        dead: vec![dead(3), dead(4)],
        ..settlement(&position, 6)
    };
    settle(&store, saved).await.unwrap();
    let state = store.put_source(&source(&topic), NOW).await.unwrap();
    let progress = SourceProgress {
        source: state.id,
        fence: state.fence,
        journal: events([22, 21]),
        rejected: vec![NewRejected { reason: "no id".into(), item: b"{}".to_vec() }],
        gap: Some(NewGap { reason: "cursor_lost".into(), detail: "gone".into() }),
        ..SourceProgress::default()
    };
    let wait = |(event, seconds)| NewEvent { deliver_at: Some(later(seconds)), ..event };
    let events = events([31, 32]).into_iter().zip([1, 60]).map(wait).collect();
    let append = Append { topic: topic.clone(), events, progress: Some(progress), now: NOW };
    store.append(append).await.unwrap();
    store.release_pending(later(1), 1).await.unwrap();
    let job =
        NewJob { topic, from: Version(1), to: Version(4), rate: Some("10/s".parse().unwrap()) };
    store.start_replay(&name("billing"), &job, NOW).await.unwrap();
    store.keep_believed(NOW).await.unwrap();
    let soon = Some(later(9));
    store.put_key(&access_keys::key("billing", soon)).await.unwrap();
    store.close().await;
    drop(store);
    bench
        .run(
            "INSERT INTO holes VALUES (1, 90, 90); \
             UPDATE exceptions SET (recorded, attributes, form, data, checksum) = (SELECT \
             recorded, attributes, form, data, checksum FROM events WHERE slot = 1 << 40 | version); \
             UPDATE dead_letters SET (recorded, attributes, form, data, checksum) = (SELECT \
             recorded, attributes, form, data, checksum FROM events WHERE slot = 1 << 40 | version)"
                .into(),
        )
        .await;
}

/// Every column that can have a value of another type, with its table and its type.
async fn columns(bench: &SqliteBench) -> Vec<(String, String, String)> {
    let mut conn = SqliteConnection::connect(&format!("sqlite:{}", bench.path())).await.unwrap();
    let sql = "SELECT t.name, c.name, c.type FROM pragma_table_list t, pragma_table_info(t.name) c \
        WHERE t.schema = 'main' AND t.type = 'table' AND t.name NOT LIKE 'sqlite_%' \
        AND (c.pk = 0 OR c.type <> 'INTEGER' OR t.wr)";
    let found = sqlx::query_as(sql).fetch_all(&mut conn).await.unwrap();
    conn.close().await.unwrap();
    found
}

/// Reads whatever there is to read; answers the errors.
async fn look(bench: &SqliteBench) -> Vec<String> {
    let options = Options { tail_bytes: 0, ..Options::default() };
    let store = match open(&format!("sqlite:{}", bench.path()), &options).await {
        Ok(store) => store,
        Err(StoreError::Opening { source, .. }) => return vec![source.to_string()],
        Err(error) => return vec![error.to_string()],
    };
    let (topic, billing, shop): (Topic, _, _) = (name("orders"), name("billing"), name("shop"));
    let mut errors = Vec::new();
    macro_rules! ask {
        ($($call:expr),+ $(,)?) => { $( errors.extend($call.await.err().map(|error| error.to_string())); )+ };
    }
    ask!(
        store.believed(),
        store.keys(),
        store.read(&topic, Read::after(Version::ZERO)),
        store.version_before(&topic, later(1)),
        store.gaps(&topic, 9),
        store.sources(),
        store.journal(&shop, 9),
        store.rejected(&shop, 9),
        store.subscriptions(0),
        store.position(1),
        store.position(2),
        store.kept_event(1, Version(2)),
        store.event_states(&topic, Version(2)),
        store.event_states(&topic, Version(4)),
        store.event_states(&topic, Version(9)),
        store.replays(&billing),
        store.dead_letters(&billing, &DeadSelect::All, 0, 9),
        store.was_pending(&topic, Version(11)),
        store.put_topic(&name("other"), &TopicSettings::default(), NOW),
        store.put_source(&source(&topic), NOW),
        store.redrive(&billing, DeadSelect::Ids(vec![2]), None, NOW),
        store.trim(later(1)),
        store.trim(later(3 * 86_400)),
    );
    store.close().await;
    errors
}
