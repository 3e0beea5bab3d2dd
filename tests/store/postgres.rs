//! PostgreSQL under the contract, and what only PostgreSQL has.

use std::{sync::Arc, time::Duration};

use milkrun::{
    event::{Topic, Version},
    settings::TopicSettings,
    store::{DeadFilter, DeadSelect, Options, Placed, Read, Store, open},
};

use super::{Bench, append, name, subscribe, with_topic};
use crate::support::{
    LONG,
    postgres::{Database, Release},
    within,
};

/// A database of its own.
pub(super) struct PostgresBench {
    database: Database,
}

/// A new database on the oldest release.
pub(super) async fn oldest() -> PostgresBench {
    PostgresBench { database: Database::new(Release::Oldest).await }
}

/// A new database on the newest release.
pub(super) async fn newest() -> PostgresBench {
    PostgresBench { database: Database::new(Release::Newest).await }
}

#[async_trait::async_trait]
impl Bench for PostgresBench {
    async fn open(&self) -> Arc<dyn Store> {
        // Small, so that cases read from the tail and from the tables.
        let options = Options {
            tail_bytes: 4_000,
            dedupe_keys_max: 20_000,
            pending_max: 3_000,
            positions_max: 100,
            ..Options::default()
        };
        open(&self.database.url, &options).await.expect("a store")
    }

    async fn beside(&self, _first: &Arc<dyn Store>) -> Arc<dyn Store> {
        self.open().await
    }

    async fn refuse_events_with(&self, text: &str) {
        self.database
            .run(format!(
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                 IF strpos(NEW.attributes, '{text}') > 0 THEN RAISE 'refused by the test'; END IF; \
                 RETURN NEW; END $$; \
                 CREATE TRIGGER refuse BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION refuse()"
            ))
            .await;
    }

    async fn fail_commits(&self, fail: bool) {
        // Checked at COMMIT only, and refused there. Every append of events writes their keys.
        self.database
            .run(if fail {
                "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                 RAISE 'spoiled by the test'; END $$; \
                 CREATE CONSTRAINT TRIGGER spoil AFTER INSERT ON seen \
                 DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION spoil()"
                    .into()
            } else {
                "DROP TRIGGER spoil ON seen".into()
            })
            .await;
    }
}

/// Appends events of these ids one by one, through one node.
async fn write(store: Arc<dyn Store>, topic: Topic, ids: std::ops::Range<u64>) -> Vec<Placed> {
    let mut placed = Vec::new();
    for id in ids {
        placed.extend(append(&store, &topic, [id]).await.expect("an append"));
    }
    placed
}

/// Follows a topic through one node until it has so many events.
async fn follow(store: Arc<dyn Store>, topic: Topic, count: u64) -> Vec<u64> {
    let (mut found, mut head) = (Vec::new(), store.head(&topic).await.expect("a head"));
    while (found.len() as u64) < count {
        head.borrow_and_update();
        let after = Version(found.last().copied().unwrap_or(0));
        let page = store.read(&topic, Read::after(after)).await.expect("a page");
        found.extend(page.events.iter().map(|event| event.version.0));
        if page.events.is_empty() {
            let _ = tokio::time::timeout(Duration::from_secs(2), head.changed()).await;
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_number_one_topic_without_a_gap() {
    let bench = oldest().await;
    let (one, topic) = with_topic(&bench, TopicSettings::default()).await;
    let two = bench.beside(&one).await;
    let readers = [&one, &two].map(|store| tokio::spawn(follow(store.clone(), topic.clone(), 400)));
    // Each event comes through both nodes, at about the same time.
    let writers = (0..8).flat_map(|part: u64| {
        let (ids, topic) = (part * 50..(part + 1) * 50, topic.clone());
        [&one, &two].map(|store| tokio::spawn(write(store.clone(), topic.clone(), ids.clone())))
    });
    let (mut new, mut versions) = (0, std::collections::BTreeMap::<u64, u64>::new());
    for writer in writers.collect::<Vec<_>>() {
        for placed in writer.await.expect("a writer") {
            new += u64::from(!placed.duplicate);
            *versions.entry(placed.version.0).or_default() += 1;
        }
    }
    assert_eq!(new, 400, "each event is new once");
    assert!(versions.keys().copied().eq(1..=400), "no gap: {versions:?}");
    assert!(versions.values().all(|times| *times == 2), "each event has one version: {versions:?}");
    for reader in readers {
        let found = within(LONG, "all events", reader).await.expect("a reader");
        assert!(found.iter().copied().eq(1..=400), "skipped or given twice: {found:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_changes_at_once_wait_for_their_turn() {
    let bench = oldest().await;
    let (store, topic) = with_topic(&bench, TopicSettings::default()).await;
    // More than there are connections, each of which needs another one on its way.
    let changes = (0..32).map(|number| {
        let (store, topic) = (store.clone(), topic.clone());
        tokio::spawn(async move {
            subscribe(&store, &format!("billing-{number}"), &topic).await;
            let all = DeadSelect::Where(DeadFilter { topic: Some(topic), ..DeadFilter::default() });
            store.delete_dead_letters(&name(&format!("billing-{number}")), all).await
        })
    });
    for change in changes.collect::<Vec<_>>() {
        let removed = within(Duration::from_secs(20), "the changes", change).await;
        assert_eq!(removed.expect("a change").expect("no letters"), 0);
    }
}
