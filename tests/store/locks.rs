//! The order of locks: whatever many nodes do at once on PostgreSQL, none waits for one that waits for it.

use std::{sync::Arc, time::Duration};

use milkrun::{
    event::{Topic, Version},
    settings::TopicSettings,
    store::{
        Append, NewSource, Options, Settlement, SourceProgress, SourceState, Steer, Store,
        SubscriptionSteer, open,
    },
};
use sqlx::{Connection as _, PgConnection};

use super::{NOW, events, name, source, subscribe};
use crate::{
    process::seeded,
    support::{
        postgres::{Database, Release},
        scaled,
    },
};

const NODES: usize = 4;
const CONNECTIONS: u64 = 16;
const TOPICS: usize = 6;

/// A topic with what works on it.
#[derive(Clone)]
struct Place {
    topic: Topic,
    source: SourceState,
    subscription: String,
    /// Topic and number of its position.
    position: (i64, i64),
}

/// How often the database ended a transaction because two waited for each other.
async fn deadlocks(database: &Database) -> i64 {
    let mut conn = PgConnection::connect(&database.url).await.expect("a connection");
    // What other sessions counted is there about a second later.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let sql = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    sqlx::query_scalar(sql).fetch_one(&mut conn).await.expect("a count")
}

async fn place(store: &Arc<dyn Store>, number: usize) -> Place {
    let topic: Topic = name(&format!("topic-{number}"));
    store.put_topic(&topic, &TopicSettings::default(), NOW).await.expect("a topic");
    let new = NewSource { name: name(&format!("shop-{number}")), ..source(&topic) };
    let source = store.put_source(&new, NOW).await.expect("a source");
    let who = format!("billing-{number}");
    let position = subscribe(store, &who, &topic).await.positions[0].id;
    let state = store.position(position).await.expect("a position");
    Place { topic, source, subscription: who, position: (state.topic_id, position) }
}

/// One transaction of some kind; refusals are as good as success.
async fn act(store: &Arc<dyn Store>, places: &[Place], dice: &mut fastrand::Rng) {
    let place = &places[dice.usize(0..places.len())];
    match dice.u8(0..20) {
        0..=7 => {
            let events = events((0..dice.u64(1..5)).map(|_| dice.u64(..)));
            let progress = dice.bool().then(|| SourceProgress {
                source: place.source.id,
                fence: place.source.fence,
                cursor: Some(dice.u32(..).to_string()),
                ..SourceProgress::default()
            });
            let append = Append { topic: place.topic.clone(), events, progress, now: NOW };
            let _ = store.append(append).await;
        }
        8..=14 => {
            let many = (0..dice.usize(1..4)).map(|_| {
                let (topic, position) = places[dice.usize(0..places.len())].position;
                let reach = Version(0);
                Settlement { topic, position, fence: 0, reach, now: NOW, ..Settlement::default() }
            });
            for settled in store.settle(many.collect()).await {
                let _ = settled;
            }
        }
        15 => {
            let settings = TopicSettings::default();
            let _ = store.put_topic(&place.topic, &settings, NOW).await;
        }
        16 => {
            let steer = if dice.bool() { Steer::Pause } else { Steer::Resume };
            let _ = store.steer_source(&place.source.name, steer, NOW).await;
        }
        17 => {
            let pause = dice.bool();
            let steer = if pause { SubscriptionSteer::Pause } else { SubscriptionSteer::Resume };
            let _ = store.steer_subscription(&name(&place.subscription), steer, NOW).await;
        }
        18 => {
            let (who, to) = (name(&place.subscription), Version(0));
            let _ = store.rewind(&who, Some(&place.topic), to, NOW).await;
        }
        _ => {
            let _ = store.trim(NOW).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_done_at_once_nobody_waits_in_a_circle() {
    let database = Database::new(Release::Newest).await;
    let (mut dice, mut stores) = (seeded(), Vec::new());
    for _ in 0..NODES {
        let store = open(&database.url, &Options::default()).await.expect("a store");
        stores.push(store);
    }
    let mut places = Vec::new();
    for number in 0..TOPICS {
        places.push(place(&stores[0], number).await);
    }
    let count = scaled(20_000, 1_000_000) as u64;
    let tasks: Vec<_> = (0..CONNECTIONS)
        .map(|task| {
            let store = stores[usize::try_from(task).expect("few") % NODES].clone();
            let (places, mut dice) = (places.clone(), dice.fork());
            tokio::spawn(async move {
                for _ in 0..count / CONNECTIONS {
                    act(&store, &places, &mut dice).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("a task");
    }
    let heads = stores[0].topics().await.expect("topics");
    let events: u64 = heads.iter().map(|topic| topic.head.0).sum();
    let deadlocks = deadlocks(&database).await;
    println!(
        "{count} transactions of {CONNECTIONS} at once, {events} events: {deadlocks} deadlocks"
    );
    assert!(events > count / 4, "only {events} events");
    assert_eq!(deadlocks, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_wait_for_each_other_are_counted() {
    let database = Database::new(Release::Newest).await;
    database.run("CREATE TABLE two (n int); INSERT INTO two VALUES (1), (2)".into()).await;
    let lock = async |first: i32, second: i32| {
        let mut conn = PgConnection::connect(&database.url).await.expect("a connection");
        let mut transaction = conn.begin().await.expect("a transaction");
        for n in [first, second] {
            let sql = "SELECT n FROM two WHERE n = $1 FOR UPDATE";
            if sqlx::query(sql).bind(n).execute(&mut *transaction).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    tokio::join!(lock(1, 2), lock(2, 1));
    assert_eq!(deadlocks(&database).await, 1, "the test above could not fail");
}
