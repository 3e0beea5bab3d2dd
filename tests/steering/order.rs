//! Order per key, and strict order, with a receiver that fails at random.

use std::{collections::HashMap, sync::Mutex, time::Duration};

use serde_json::{Value, json};

use super::{
    RUN,
    hooks::{Hooks, Said, Seen},
    publish_keyed, subscribe,
};
use crate::{
    process::seeded,
    support::{Place, scaled},
};

const KEYS: u64 = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_a_key_come_one_after_the_other_whatever_fails() {
    let count = scaled(2_000, 50_000) as u64;
    let seen = run("key", count).await;
    let by_key = check_order(&seen, |version| version % KEYS);
    assert_eq!(by_key.len() as u64, KEYS);
    let overlaps = seen.windows(2).filter(|two| Some(two[1].arrived) < two[0].answered).count();
    println!("order key: {} requests for {count} events, {overlaps} overlaps", seen.len());
    assert!(overlaps > 0, "nothing ran in parallel");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_strict_order_everything_comes_one_after_the_other() {
    let count = scaled(300, 5_000) as u64;
    let seen = run("strict", count).await;
    check_order(&seen, |_| 0);
    println!("order strict: {} requests for {count} events", seen.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_fails_delays_no_other() {
    let count = scaled(1_000, 10_000) as u64;
    let place = Place::new("topics: { numbers: {} }\n");
    let relay = place.start().await;
    publish_keyed(relay.api(), 1, count, KEYS).await;
    // All of one key fail, for good.
    let hooks =
        Hooks::start(|hook| Said::status(if hook.version % KEYS == 7 { 500 } else { 204 })).await;
    let more = json!({ "order": "key", "retry": { "schedule": ["1h"] }, "hold": quick_hold() });
    subscribe(relay.api(), "sink", &hooks.url(0), &more).await;
    let good = usize::try_from(count - count / KEYS).unwrap();
    hooks.until(RUN, "every other key", |counts| counts.accepted >= good).await;
    let tried = hooks.seen().into_iter().filter(|seen| seen.version % KEYS == 7);
    assert!(tried.map(|seen| seen.version).all(|version| version == 7), "the key went on");
    assert!(relay.stop().await.success());
}

/// A hold that ends soon, so that a test of something else need not wait for it.
fn quick_hold() -> Value {
    json!({ "interval": "20ms", "max_interval": "20ms" })
}

/// Publishes `count` events to a subscription of this order whose receiver fails three times in
/// ten and takes its time; answers the requests until all were accepted.
async fn run(order: &str, count: u64) -> Vec<Seen> {
    let dice = Mutex::new(seeded());
    let place = Place::new("topics: { numbers: {} }\n");
    let relay = place.start().await;
    let hooks = Hooks::start(move |_| {
        let mut dice = dice.lock().unwrap();
        let delay = Duration::from_micros(dice.u64(0..3_000));
        let status = if dice.u8(0..10) < 3 { dice.choice([500, 0]).unwrap() } else { 204 };
        Said { delay, ..Said::status(status) }
    })
    .await;
    let more = json!({
        "order": order,
        "concurrency": 64,
        "retry": { "exponential": { "initial": "5ms", "max": "20ms" }, "max_attempts": 1000 },
        "hold": quick_hold(),
    });
    subscribe(relay.api(), "sink", &hooks.url(0), &more).await;
    publish_keyed(relay.api(), 1, count, KEYS).await;
    let accepted = usize::try_from(count).unwrap();
    hooks.until(RUN, "everything accepted", |counts| counts.accepted >= accepted).await;
    assert!(relay.stop().await.success());
    hooks.seen()
}

/// Of each key, versions come in order, none is skipped, and each is tried again and again until it
/// is accepted, before the next one starts. Answers how many requests each key had.
pub(super) fn check_order(seen: &[Seen], key: impl Fn(u64) -> u64) -> HashMap<u64, usize> {
    let mut last: HashMap<u64, Seen> = HashMap::new();
    let mut requests: HashMap<u64, usize> = HashMap::new();
    for now in seen {
        let key = key(now.version);
        *requests.entry(key).or_default() += 1;
        if let Some(before) = last.insert(key, *now) {
            if before.version == now.version {
                assert!(!before.accepted(), "{before:?} was sent again: {now:?}");
            } else {
                assert!(before.version < now.version, "{now:?} came after {before:?}");
                assert!(before.accepted(), "{now:?} came although {before:?} was not accepted");
            }
            // A connection that was closed without an answer has none to wait for.
            if let Some(answered) = before.answered {
                assert!(answered <= now.arrived, "{now:?} came before the answer to {before:?}");
            }
        }
    }
    requests
}
