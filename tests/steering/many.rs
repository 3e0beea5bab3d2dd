//! Very many subscriptions in one process, some of them to receivers that take very long.

use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;

use super::{
    RUN,
    hooks::{Hooks, Said, percentile},
    subscribe,
};
use crate::support::{Api, Place, Relay, scaled};

/// Published one after the other, each when all healthy subscriptions have the one before.
const EVENTS: u64 = 20;
/// The most that the process may take.
const MEMORY_BYTES_MAX: u64 = 512 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn measured_a_thousand_slow_subscriptions_do_not_delay_the_other_nine() {
    let all = scaled(300, 10_000);
    let slow = all / 10;
    let takes = Duration::from_secs(scaled(2, 10) as u64);
    raise_open_files();
    let place = Place::new("topics: { numbers: {} }\n");
    let relay = place.start().await;
    let healthy = Hooks::start(|_| Said::status(204)).await;
    let sleepy = Hooks::start(move |_| Said::after(takes, 204)).await;

    let fast = u32::try_from(all - slow).unwrap();
    create(relay.api(), "healthy", &healthy, fast).await;
    // The first delivery of each connects, which is not what is measured.
    round(&relay, &healthy, 1, fast).await;
    let mut alone = rounds(&relay, &healthy, 2, fast).await;
    let alone = (percentile(&mut alone, 50), percentile(&mut alone, 99));
    let before = relay.resident_bytes();

    create(relay.api(), "slow", &sleepy, u32::try_from(slow).unwrap()).await;
    // Each slow one has work under way from here on.
    round(&relay, &healthy, EVENTS + 2, fast).await;
    sleepy.until(RUN, "every slow one busy", |counts| counts.open >= slow).await;
    let mut beside = rounds(&relay, &healthy, EVENTS + 3, fast).await;
    let beside = (percentile(&mut beside, 50), percentile(&mut beside, 99));
    let open = sleepy.counts().open;
    let memory = relay.resident_bytes();

    println!(
        "{fast} healthy subscriptions: half of the deliveries within {:?} and 99 % within {:?}; \
         beside {slow} that take {takes:?} {:?} and {:?}; {open} of those under way at the end; \
         {} MiB resident, {} MiB before the slow ones",
        alone.0,
        alone.1,
        beside.0,
        beside.1,
        memory >> 20,
        before >> 20,
    );
    assert!(open >= slow, "the slow ones were not busy: {open} under way");
    assert!(beside.1 <= alone.1 * 2, "the slow ones delayed the healthy ones");
    assert!(memory < MEMORY_BYTES_MAX, "{memory} bytes resident");
    drop(sleepy);
    drop(healthy);
    drop(relay);
}

/// Subscriptions `NAME-0`, `NAME-1`, … to the next event on.
async fn create(api: &Api, name: &str, hooks: &Hooks, count: u32) {
    let made = stream::iter(0..count).for_each_concurrent(8, |n| async move {
        let more = json!({ "from": "latest" });
        subscribe(api, &format!("{name}-{n}"), &hooks.url(n), &more).await;
    });
    made.await;
}

/// Publishes [`EVENTS`] events from `first` on; answers how long each took to each subscription.
async fn rounds(relay: &Relay, hooks: &Hooks, first: u64, count: u32) -> Vec<Duration> {
    let mut published = Vec::new();
    for n in first..first + EVENTS {
        published.push(round(relay, hooks, n, count).await);
    }
    let seen = hooks.seen();
    let measured = seen.iter().filter(|seen| (first..first + EVENTS).contains(&seen.version));
    let took: Vec<Duration> = measured
        .map(|seen| {
            let at = usize::try_from(seen.version - first).unwrap();
            seen.arrived.saturating_duration_since(published[at])
        })
        .collect();
    assert!(took.len() >= count as usize * published.len(), "{} deliveries", took.len());
    took
}

/// Publishes event `n` and waits until every healthy subscription has it; answers when it was sent.
async fn round(relay: &Relay, hooks: &Hooks, n: u64, count: u32) -> Instant {
    let wanted = hooks.counts().accepted + count as usize;
    let at = Instant::now();
    relay.api().publish("numbers", n, n).await;
    hooks.until(RUN, "an event everywhere", |counts| counts.accepted >= wanted).await;
    at
}

/// Each subscription has a connection of its own.
fn raise_open_files() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}
