//! PostgreSQL under the contract, and what only PostgreSQL has.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use milkrun::{
    event::{Topic, Version},
    seal::Seal,
    settings::TopicSettings,
    store::{
        DeadFilter, DeadSelect, Member, NewMember, Options, Placed, Read, Share, Store, StoreError,
        Work, open,
    },
};

use sqlx::{Connection as _, PgConnection};

use super::{Bench, NOW, append, name, subscribe, with_topic};
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
    async fn open_sealed(&self, seal: Seal) -> Result<Arc<dyn Store>, StoreError> {
        // Small, so that cases read from the tail and from the tables.
        let options = Options {
            tail_bytes: 4_000,
            dedupe_keys_max: 20_000,
            pending_max: 3_000,
            positions_max: 100,
            seal,
            ..Options::default()
        };
        open(&self.database.url, &options).await
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

async fn join(store: &Arc<dyn Store>, who: &str) -> Member {
    let new = NewMember { name: who.into(), roles: Vec::new(), work: [Work::Retention].into() };
    store.join(&new).await.unwrap()
}

async fn held(store: &Arc<dyn Store>, member: &Member) -> BTreeSet<i64> {
    match store.claim(member, Work::Retention).await.unwrap() {
        Share::These(numbers) => numbers,
        share => panic!("{share:?}"),
    }
}

/// A piece that moves is nobody's until its holder has ended it, or has had the time to.
#[tokio::test]
async fn what_a_node_was_told_to_leave_and_has_ended_is_free_at_once() {
    let bench = newest().await;
    let one = bench.open().await;
    for topic in ["a", "b", "c", "d"] {
        one.put_topic(&name(topic), &TopicSettings::default(), NOW).await.unwrap();
    }
    let first = join(&one, "one").await;
    let all = held(&one, &first).await;
    assert_eq!(all.len(), 4);
    let two = bench.beside(&one).await;
    let second = join(&two, "two").await;
    assert_eq!(held(&one, &first).await, all, "it may be one of many that come and go");
    let kept = within(LONG, "a part for the node that came", async {
        loop {
            let kept = held(&one, &first).await;
            if kept != all {
                break kept;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    let leaving: BTreeSet<i64> = all.difference(&kept).copied().collect();
    assert_eq!((kept.len(), leaving.len()), (2, 2));
    assert!(held(&two, &second).await.is_empty(), "not before they are ended");
    // What was not told to go stays, whatever a role says.
    one.leave(&first, Work::Retention, &kept).await.unwrap();
    assert_eq!(held(&one, &first).await, kept);
    let mut changes = two.changes();
    changes.mark_unchanged();
    one.leave(&first, Work::Retention, &leaving).await.unwrap();
    within(LONG, "the other is told", changes.changed()).await.unwrap();
    assert_eq!(held(&two, &second).await, leaving);
    assert_eq!(held(&one, &first).await, kept);
}

/// Readers wait for each other, and nobody's term runs out behind them.
#[tokio::test]
async fn a_term_is_renewed_however_many_read() {
    let bench = newest().await;
    let (store, topic) = with_topic(&bench, TopicSettings::default()).await;
    let member = join(&store, "one").await;
    let mut other = PgConnection::connect(&bench.database.url).await.unwrap();
    let mut lock = other.begin().await.unwrap();
    sqlx::query("LOCK TABLE gaps IN ACCESS EXCLUSIVE MODE").execute(&mut *lock).await.unwrap();
    let readers: Vec<_> = (0..20)
        .map(|_| {
            let (store, topic) = (store.clone(), topic.clone());
            tokio::spawn(async move { store.gaps(&topic, 1).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(readers.iter().all(|reader| !reader.is_finished()), "nothing keeps them waiting");
    within(Duration::from_secs(5), "another term", store.renew(&member)).await.unwrap();
    let claim = store.claim(&member, Work::Retention);
    assert!(!within(Duration::from_secs(5), "a claim", claim).await.unwrap().is_empty());
    lock.rollback().await.unwrap();
    for reader in readers {
        reader.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn what_is_acknowledged_is_on_disk_whatever_the_database_says() {
    let bench = newest().await;
    let (_, name) = bench.database.url.rsplit_once('/').unwrap();
    bench.database.run(format!("ALTER DATABASE {name} SET synchronous_commit = off")).await;
    let (store, topic) = with_topic(&bench, TopicSettings::default()).await;
    // What is written while it is off has no place in the log that was flushed: see what appends say.
    bench
        .database
        .run(
            "CREATE TABLE said (waits text); CREATE FUNCTION say() RETURNS trigger LANGUAGE plpgsql \
             AS $$ BEGIN INSERT INTO said SELECT current_setting('synchronous_commit'); \
             RETURN NEW; END $$; CREATE TRIGGER say BEFORE INSERT ON events FOR EACH ROW \
             EXECUTE FUNCTION say()"
                .into(),
        )
        .await;
    append(&store, &topic, 1..=2).await.unwrap();
    let mut conn = PgConnection::connect(&bench.database.url).await.unwrap();
    let said: Vec<String> =
        sqlx::query_scalar("SELECT DISTINCT waits FROM said").fetch_all(&mut conn).await.unwrap();
    assert_eq!(said, ["on"]);
    store.close().await;
}

#[tokio::test]
async fn a_user_who_may_not_make_tables_is_told_what_helps() {
    let bench = newest().await;
    let guest = "DO $$ BEGIN CREATE ROLE guest LOGIN; EXCEPTION WHEN duplicate_object THEN END $$";
    bench.database.run(guest.into()).await;
    let url = bench.database.url.replace("milkrun@", "guest@");
    let refused = open(&url, &Options::default()).await.err().expect("no privilege").to_string();
    assert!(refused.contains("may not make tables"), "{refused}");
}
