//! Many writers to one topic whose commits end late, and sometimes not at all: whoever reads along
//! misses nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use sqlx::{Connection as _, PgConnection};
use tokio::task::JoinSet;

use super::account::RULES;
use crate::{
    history::{History, Reading, Topic, check, entries},
    support::{
        Api, LONG, Place, Relay,
        postgres::{Database, Release},
        scaled, within,
    },
};

const NODES: usize = 4;
const WRITERS: usize = 16;
const READERS: usize = 4;

/// Holds up every commit that has rows for a table by up to half a second, and ends one in ten of them
/// without effect. Sequences know no rollback, so theirs are counted.
const UNSTEADY: &str = "CREATE SEQUENCE commits_tried; CREATE SEQUENCE commits_refused;
    CREATE FUNCTION unsteady() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    PERFORM nextval('commits_tried'), pg_sleep(random() * 0.5);
    IF random() < 0.1 THEN PERFORM nextval('commits_refused');
    RAISE EXCEPTION 'refused by the test' USING ERRCODE = 'serialization_failure'; END IF;
    RETURN NULL; END $$;";

fn unsteady(table: &str) -> String {
    format!(
        "CREATE CONSTRAINT TRIGGER unsteady AFTER INSERT ON {table} DEFERRABLE INITIALLY DEFERRED \
         FOR EACH ROW EXECUTE FUNCTION unsteady()"
    )
}

/// What is told of the unsteady commits.
async fn told(database: &Database) -> (i64, i64) {
    let mut conn = PgConnection::connect(&database.url).await.expect("a connection");
    let sql = "SELECT t.last_value, CASE WHEN r.is_called THEN r.last_value ELSE 0 END \
        FROM commits_tried t, commits_refused r";
    sqlx::query_as(sql).fetch_one(&mut conn).await.expect("counts")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_along_with_late_commits_miss_nothing() {
    let database = Database::new(Release::Oldest).await;
    let (mut places, mut relays) = (Vec::new(), Vec::<Relay>::new());
    for node in 0..NODES {
        places.push(node_of(&database, node));
        relays.push(places[node].start().await);
    }
    let apis: Vec<Api> = relays.iter().map(|relay| relay.api().clone()).collect();
    database.run(UNSTEADY.into()).await;
    database.run(unsteady("seen")).await;

    let each = scaled(8, 100);
    let all = WRITERS * each;
    let (mut writers, mut readers) = (JoinSet::new(), JoinSet::new());
    for reader in 0..READERS {
        // Each asks two nodes by turns: what one has told, the other must know.
        let two = [apis[reader % 2].clone(), apis[(reader + 1) % 2].clone()];
        readers.spawn(tail(two, all));
    }
    let refused = Arc::new(AtomicUsize::new(0));
    for writer in 0..WRITERS {
        writers.spawn(write(apis[writer % NODES].clone(), writer, each, refused.clone()));
    }
    within(LONG * 4, "every event published", writers.join_all()).await;
    let read = within(LONG, "every event read", readers.join_all()).await;

    let emitted = (0..WRITERS).map(|writer| (0..each).map(|n| id(writer, n)).collect());
    let log = entries(&apis[0].log("orders").await);
    let orders = Topic { emitted: emitted.collect(), readers: read, log, ..Topic::default() };
    let topics = [("orders".to_owned(), orders)].into();
    check(&History { topics, ..History::default() }, &RULES).clean();
    let (tried, rolled_back) = told(&database).await;
    println!(
        "{WRITERS} writers on {NODES} nodes, {all} events, {tried} commits of which {rolled_back} were \
         rolled back, {} publications refused: skipped 0, gaps 0, spurious 409: 0",
        refused.load(SeqCst)
    );
    assert!(rolled_back > 0, "of {tried} commits none was rolled back");
    for relay in relays {
        assert!(relay.stop().await.success());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_from_a_sequence_are_skipped() {
    let database = Database::new(Release::Oldest).await;
    database.run("CREATE TABLE numbers (version bigserial PRIMARY KEY, id text)".into()).await;
    database.run(UNSTEADY.into()).await;
    database.run(unsteady("numbers")).await;
    let (url, each) = (database.url.clone(), 8);
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let url = url.clone();
        writers.spawn(async move {
            let mut conn = PgConnection::connect(&url).await.expect("a connection");
            for n in 0..each {
                let sql = "INSERT INTO numbers (id) VALUES ($1)";
                while sqlx::query(sql).bind(id(writer, n)).execute(&mut conn).await.is_err() {}
            }
        });
    }
    let reader = tokio::spawn(async move {
        let mut conn = PgConnection::connect(&url).await.expect("a connection");
        let (mut read, mut last) = (0, 0);
        loop {
            let sql = "SELECT version FROM numbers WHERE version > $1 ORDER BY version";
            let rows = sqlx::query_scalar(sql).bind(last).fetch_all(&mut conn).await;
            let versions: Vec<i64> = rows.expect("a page");
            read += versions.len();
            last = versions.last().copied().unwrap_or(last);
            tokio::time::sleep(Duration::from_millis(10)).await;
            if writers.is_empty() {
                return read;
            }
            while writers.try_join_next().is_some() {}
        }
    });
    let read = within(LONG, "the writers", reader).await.expect("a reader");
    let skipped = WRITERS * each - read;
    println!("versions from a sequence: {skipped} of {} skipped", WRITERS * each);
    assert!(skipped > 0, "the test above could not fail");
}

/// A node that only publishes and answers.
fn node_of(database: &Database, node: usize) -> Place {
    let (store, cluster) = (format!("\"{}\"", database.url), format!("{{ node: node-{node} }}"));
    Place::node(&store, &cluster, "topics: { orders: {} }\n")
}

/// Publishes one event after the other, each until it is accepted.
async fn write(api: Api, writer: usize, count: usize, refused: Arc<AtomicUsize>) {
    for n in 0..count {
        let event = format!(
            "{{\"specversion\":\"1.0\",\"id\":\"{}\",\"source\":\"/writers\",\"type\":\"order\"}}",
            id(writer, n)
        );
        loop {
            let reply = api.send(api.event("orders", event.clone())).await;
            if reply.status < 300 {
                break;
            }
            assert_eq!(reply.status, 503, "{reply:?}");
            refused.fetch_add(1, SeqCst);
        }
    }
}

/// Reads on from the last cursor until so many events came; answers what it read.
async fn tail(two: [Api; 2], count: usize) -> Vec<Reading> {
    let (mut read, mut after, mut last) = (Vec::new(), "0".to_owned(), 0);
    for api in two.iter().cycle() {
        let page = api.get(&format!("/v1/topics/orders/events?after={after}&wait=1s")).await;
        // Anything else, a 409 above all, would be untrue: nothing was taken back.
        assert_eq!(page.status, 200, "after {after}: {page:?}");
        let next = page.json()["next"].as_str().expect("a cursor").to_owned();
        let reading = Reading::of(last, page.status, &page.body).expect("a page");
        if let Reading::Page { entries, .. } = &reading {
            last = entries.last().map_or(last, |entry| entry.version);
        }
        read.push(reading);
        after = next;
        if last >= count as u64 {
            break;
        }
    }
    read
}

fn id(writer: usize, n: usize) -> String {
    format!("{writer}-{n}")
}
