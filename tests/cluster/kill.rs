//! A node that dies: its work is taken over, and nothing is lost.

use std::time::{Duration, Instant};

use super::{account::account, commit_times::CommitTimes, load::Load, rig::Rig};
use crate::{
    history::Fault,
    support::{full, scaled},
};

/// Settlements are saved at most so far apart.
const UNSAVED: Duration = Duration::from_millis(50);

/// The answer of a consumer is read so late at most, in an unoptimised build on two busy cores.
const READING: Duration = Duration::from_millis(if cfg!(debug_assertions) { 200 } else { 20 });

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
    let commits = CommitTimes::start(&rig.database).await;
    let mut taken_over = Vec::new();
    for round in 0..kills {
        let victim = round % rig.nodes.len();
        tokio::time::sleep(Duration::from_millis(fastrand::u64(500..1_500))).await;
        let relay = rig.nodes[victim].relay.take().expect("a node that runs");
        let killed = Instant::now();
        relay.kill().await;
        ends.push(Fault::at("a kill", killed));
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
    // What was gathered for a commit waits for the one under way, and then for its own.
    for (end, oldest) in ends.iter().zip(&figures.oldest) {
        let commit = commits.before(end.began);
        let bound = UNSAVED + 2 * commit + READING;
        assert!(
            *oldest <= bound,
            "settled {oldest:?} before a kill, when a commit took {commit:?}"
        );
    }
    rig.stop_all().await;
}
