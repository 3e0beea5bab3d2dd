//! A node that dies: its work is taken over, and nothing is lost.

use std::time::{Duration, Instant};

use super::{account::account, load::Load, rig::Rig};
use crate::support::{full, scaled};

/// Settlements are saved at most so far apart.
const UNSAVED: Duration = Duration::from_millis(50);

/// What the nodes work on under a fault.
pub(crate) fn load() -> Load {
    Load {
        sources: scaled(12, 300),
        busy: scaled(8, 100),
        subscriptions: scaled(40, 3_000),
        events_per_second: scaled(160, 2_000) as u64,
    }
}

/// How long a node holds its work.
pub(crate) fn term() -> Duration {
    Duration::from_secs(if full() { 10 } else { 3 })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_killed_is_replaced_and_nothing_is_lost() {
    let kills = scaled(3, 20);
    let (mut rig, mut ends) = (Rig::new(3, term(), load()).await, Vec::new());
    rig.start_all().await;
    rig.lists.emit(rig.load);
    let mut taken_over = Vec::new();
    for round in 0..kills {
        let victim = round % rig.nodes.len();
        tokio::time::sleep(Duration::from_millis(fastrand::u64(500..1_500))).await;
        let relay = rig.nodes[victim].relay.take().expect("a node that runs");
        let killed = Instant::now();
        relay.kill().await;
        ends.push(killed);
        rig.until_held().await;
        taken_over.push(killed.elapsed());
        rig.start(victim).await;
        rig.until_held().await;
    }
    let had = rig.settle().await;
    let figures = account(&rig, &had, &ends).await;
    taken_over.sort_unstable();
    let (median, slowest) = (taken_over[kills / 2], taken_over[kills - 1]);
    println!(
        "{kills} kills, {} events, term {:?}: taken over after {median:?}, {slowest:?} at most, \
         {figures:?}",
        figures.events,
        term()
    );
    assert!(slowest <= term() + Duration::from_secs(2), "taken over after {slowest:?}");
    assert_eq!(figures.unexplained, 0, "sent twice without a kill");
    // Beside the settlements of 50 ms: the commits under way, in an unoptimised build on two cores.
    let commits = Duration::from_millis(scaled(600, 100) as u64);
    assert!(figures.oldest <= UNSAVED + commits, "settled {:?} before the kill", figures.oldest);
    rig.stop_all().await;
}
