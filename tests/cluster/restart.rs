//! Nodes that come and go in order.

use std::time::{Duration, Instant};

use super::{
    account::account,
    kill::{load, term},
    load::Load,
    rig::Rig,
};
use crate::support::Place;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_loses_and_repeats_nothing() {
    let mut rig = Rig::new(3, term(), load()).await;
    rig.start_all().await;
    rig.lists.emit(rig.load);
    let (begun, before) = (Instant::now(), rig.endpoints.count());
    tokio::time::sleep(Duration::from_secs(1)).await;
    for node in 0..rig.nodes.len() {
        let relay = rig.nodes[node].relay.take().expect("a node that runs");
        assert!(relay.stop().await.success(), "node-{node} did not stop in order");
        rig.until_held().await;
        rig.start(node).await;
        rig.until_held().await;
    }
    assert!(rig.endpoints.count() > before, "nothing was delivered in {:?}", begun.elapsed());
    let had = rig.settle().await;
    let longest = longest_pause(&rig);
    let figures = account(&rig, &had, &[]).await;
    println!("three restarts: longest pause {longest:?}, {figures:?}");
    assert!(longest <= Duration::from_secs(3), "nothing for {longest:?}");
    rig.stop_all().await;
}

/// The longest time without a delivery of a busy subscription.
fn longest_pause(rig: &Rig) -> Duration {
    let got = rig.endpoints.got();
    let busy = (0..rig.load.busy).filter_map(|subscription| got.get(&subscription));
    let pauses = busy.flat_map(|got| got.windows(2).map(|pair| pair[1].started - pair[0].started));
    pauses.max().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_joins_gets_its_part() {
    let mut rig = Rig::new(2, term(), load()).await;
    rig.start_all().await;
    rig.add(2).await;
    rig.start(2).await;
    let joined = Instant::now();
    loop {
        let (held, sources) = (rig.held("subscriptions").await, rig.held("sources").await);
        let is_even = |held: &[u64], all: usize| {
            let even = all as u64 / 3;
            // A piece is not divided.
            held.len() == 3 && held.iter().all(|one| one.abs_diff(even) <= (even / 10).max(1))
        };
        if is_even(&held, rig.load.subscriptions) && is_even(&sources, rig.load.sources) {
            println!("a third node: even after {:?}, {held:?}, {sources:?}", joined.elapsed());
            break;
        }
        assert!(joined.elapsed() < Duration::from_secs(15), "not even: {held:?}, {sources:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    rig.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_starts_with_less_takes_nothing_out() {
    let load = Load { sources: 2, busy: 1, subscriptions: 4, events_per_second: 10 };
    let mut rig = Rig::new(1, Duration::from_secs(3), load).await;
    rig.start_all().await;
    let store = format!("\"{}\"", rig.database.url);
    let bare = Place::node(&store, "{ node: bare, term: 3s }", "");
    let started = bare.start().await;
    let removed = async || {
        let all = rig.any().get("/v1/subscriptions").await.ok();
        let all = all["subscriptions"].as_array().unwrap().clone();
        all.iter().filter(|one| one["status"] == "removed").count()
    };
    assert_eq!(removed().await, 0);
    let printed = bare.printed();
    assert_eq!(printed.matches("subscription.kept").count(), load.subscriptions, "{printed}");
    assert_eq!(printed.matches("source.kept").count(), load.sources, "{printed}");
    // A reload of that file is refused as on one node, and taken when it is meant.
    assert_eq!(bare.run(&["reload"]).await.code, Some(1));
    assert_eq!(removed().await, 0);
    assert_eq!(bare.run(&["reload", "--allow-removal"]).await.code, Some(0));
    assert_eq!(removed().await, load.subscriptions);
    assert!(started.stop().await.success());
    rig.stop_all().await;
}
