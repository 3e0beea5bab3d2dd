//! A file that is damaged: what is not whole is told, and nothing takes its place.

use milkrun::{
    event::Version,
    store::{DeadSelect, Moved, Read, StoreError, Watch, migrate},
};
use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};

use super::{super::later, MANY, Move, assert_alike, name, told};
use crate::support::postgres::Release;

/// What is told.
#[derive(Default)]
struct Told(Vec<String>);

impl Watch for Told {
    fn events(&mut self, _done: u64, _all: u64) {}
    fn lost(&mut self, what: &str) {
        self.0.push(what.to_owned());
    }
}

impl Move {
    /// Changes the rows of the closed file.
    async fn sabotage(&self, sql: &str) {
        let mut conn = SqliteConnection::connect(&self.from()).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut conn).await.unwrap();
        conn.close().await.unwrap();
    }

    async fn run_and_tell(&self) -> (Moved, Vec<String>) {
        let mut told = Told::default();
        let moved = migrate(&self.from(), &self.database.url, later(100), &mut told).await;
        (moved.unwrap(), told.0)
    }
}

const METRICS: &str = "(SELECT id FROM topics WHERE name = 'metrics') << 40";

#[tokio::test]
async fn damage_is_told_and_stays_damage() {
    let all = Move::new(Release::Newest).await;
    all.filled().await;
    all.sabotage(&format!(
        "UPDATE events SET data = x'00' WHERE slot = {METRICS} | 2100; \
         DELETE FROM events WHERE slot BETWEEN {METRICS} | 3000 AND {METRICS} | 3002; \
         UPDATE events SET attributes = 'x' WHERE slot = {METRICS} | 3999; \
         DELETE FROM events WHERE slot = {METRICS} | 4000; \
         UPDATE pending SET data = x'00' WHERE id = (SELECT max(id) FROM pending); \
         UPDATE journal SET id = 'x' WHERE slot = (SELECT max(slot) FROM journal); \
         UPDATE exceptions SET data = x'00' WHERE attributes IS NOT NULL; \
         UPDATE dead_letters SET data = x'00' WHERE attributes IS NOT NULL"
    ))
    .await;
    let (moved, said) = all.run_and_tell().await;
    assert_eq!((moved.lost, said.len()), (8, 8), "{said:?}");
    for part in [
        "topic `metrics`: version 2100 is damaged: its checksum is wrong",
        "topic `metrics`: versions 3000 to 3002 are missing in the file",
        "topic `metrics`: version 3999 is damaged: its checksum is wrong",
        "topic `metrics`: versions 4000 to 4000 are missing in the file",
        "is damaged in the file (its checksum is wrong) and is lost: publish it again",
        "has listed is damaged: its checksum is wrong",
        "version 2, which is kept beside the log (exceptions), is damaged",
        "version 3, which is kept beside the log (dead_letters), is damaged",
    ] {
        assert_eq!(said.iter().filter(|said| said.contains(part)).count(), 1, "{part}: {said:?}");
    }
    let (store, topic) = (all.target().await, name("metrics"));
    for version in [2_100, 3_999].map(Version) {
        let found = store.read(&topic, Read::one(version)).await;
        assert!(matches!(found, Err(StoreError::Damaged { .. })), "{found:?}");
    }
    let page = store.read(&topic, Read::after(Version(2_999))).await.unwrap();
    assert_eq!(page.events[0].version, Version(3_003), "readers pass over what is missing");
    let page = store.read(&topic, Read::one(Version(3_001))).await.unwrap();
    assert_eq!((page.events.len(), page.passed), (0, Some(Version(3_001))));
    let gaps = store.gaps(&topic, 10).await.unwrap();
    let gaps: Vec<_> = gaps.iter().map(|gap| (gap.version.0, gap.reason.as_str())).collect();
    assert_eq!(
        gaps,
        [
            (3_999, "events_missing"),
            (3_998, "event_damaged"),
            (2_999, "events_missing"),
            (2_099, "event_damaged"),
        ]
    );
    let bills = store.topic(&name("bills")).await.unwrap();
    let gap = &store.gaps(&bills.topic, 1).await.unwrap()[0];
    assert_eq!((gap.reason.as_str(), gap.version), ("pending_damaged", bills.head));
    assert_eq!(store.pending(&bills.topic, 0, 100).await.unwrap().len(), 4);
    let journal = store.journal(&name("shop"), 100).await;
    assert!(matches!(journal, Err(StoreError::Unreadable { .. })), "{journal:?}");
    let letters = store.dead_letters(&name("billing"), &DeadSelect::All, 0, 100).await.unwrap();
    let old = letters.iter().find(|letter| letter.from == Version(3)).unwrap();
    assert!(old.event.is_none(), "{old:?}");
    let told = told(&store).await;
    assert!(told.contains(&"kept: Err(\"damaged\")".to_owned()));
    // Nothing is taken for older than it is.
    let found = store.version_before(&topic, later(2)).await.unwrap();
    assert_eq!(found, Version::ZERO);
    assert_eq!(store.topic(&topic).await.unwrap().head, Version(MANY));
    store.close().await;
}

/// What a relay has told of already is as it was.
#[tokio::test]
async fn what_is_known_to_be_lost_is_not_told_twice() {
    let all = Move::new(Release::Oldest).await;
    all.filled().await;
    all.sabotage(&format!(
        "UPDATE events SET data = x'00' WHERE slot = {METRICS} | 7; \
         DELETE FROM events WHERE slot BETWEEN {METRICS} | 20 AND {METRICS} | 2022; \
         DELETE FROM events WHERE slot > {METRICS} | 4490"
    ))
    .await;
    let store = all.file().await;
    told(&store).await;
    assert_eq!(store.trim(later(60)).await.unwrap().damage.len(), 3);
    store.close().await;
    drop(store);
    let before = all.told().await;
    let (moved, said) = all.run_and_tell().await;
    assert_eq!((moved.lost, said.len()), (1, 1), "{said:?}");
    let store = all.target().await;
    assert_alike(&before, &told(&store).await);
    let found = milkrun::store::verify(&all.database.url).await.unwrap();
    assert_eq!(found.problem_count, 1, "{found:?}");
    store.close().await;
}

/// A page of the file that cannot be read takes its own events along only.
#[tokio::test]
async fn a_torn_page_loses_its_own_events() {
    let all = Move::new(Release::Newest).await;
    all.filled().await;
    let bytes = std::fs::read(all.path()).unwrap();
    let mark = br#"{"id":"2345","source":"/test","type":"t"}"#;
    let at = bytes.windows(mark.len()).position(|part| part == mark).unwrap();
    let mut torn = bytes.clone();
    // The head of the page that has the event.
    torn[at / 8_192 * 8_192..][..8].fill(0x77);
    std::fs::write(all.path(), torn).unwrap();
    let (moved, said) = all.run_and_tell().await;
    let lost = said.iter().filter(|said| said.contains("topic `metrics`")).count();
    assert!(lost > 10 && moved.lost == said.len() as u64, "{said:?}");
    let store = all.target().await;
    let topic = name("metrics");
    let found = store.read(&topic, Read::one(Version(2_345))).await;
    assert!(matches!(found, Err(StoreError::Damaged { .. })), "{found:?}");
    for version in [1, 2_000, 3_000, MANY].map(Version) {
        assert_eq!(store.read(&topic, Read::one(version)).await.unwrap().events.len(), 1);
    }
    store.close().await;
}
