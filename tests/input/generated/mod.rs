//! Calls that are made of the served OpenAPI document, right ones and wrong ones: none ends in a 5xx,
//! none breaks its connection, every refusal is a problem, and the relay is as well as before.
//!
//! `MILKRUN_CALLS_SEED=N` makes the calls of one seed again. Numbers of jobs and of pending events
//! are the relay's, and calls run beside each other: a seed tells nearly the same story again.

mod calls;
mod client;
mod events;
mod headers;
mod judge;
mod known;
mod targets;
mod values;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use fastrand::Rng;

use self::{calls::Plan, client::Client, judge::Judge, known::Known};
use crate::support::{Api, Place, Receiver, full, scaled, within};

/// Calls under way at once.
const WORKERS: usize = 8;
/// What is known to exist is made again after so many calls, for some of them delete it.
const RENEWED: u64 = 250;
/// What a whole run may take at most.
const RUN: Duration = Duration::from_mins(8);
/// So much more memory than at the beginning may be held at the end. The newest events of each topic
/// are kept, some of which have a megabyte.
const GROWTH_MIB_MAX: u64 = 200;
/// After so many faults nobody needs more of them.
const FAULTS_MAX: usize = 12;

/// What all workers share.
struct Shared {
    seed: u64,
    count: u64,
    next: AtomicU64,
    plan: Plan,
    known: Known,
    judge: Mutex<Judge>,
    faults: Mutex<Vec<String>>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_api_calls_break_nothing() {
    let hooks = known::hooks().await;
    let place = Place::new(&known::config(&hooks));
    let relay = place.start().await;
    let api = relay.api().clone();
    let shared = Arc::new(Shared {
        seed: seed(),
        count: scaled(3_000, 25_000) as u64,
        next: AtomicU64::new(0),
        plan: Plan::new(api.get("/openapi.json").await.ok()),
        known: Known::new(api.clone(), hooks.url("")),
        judge: Mutex::default(),
        faults: Mutex::default(),
    });
    shared.known.renew().await;
    let (before, begun) = (relay.resident_bytes() >> 20, Instant::now());
    let workers = (0..WORKERS).map(|_| tokio::spawn(work(shared.clone())));
    for worker in workers.collect::<Vec<_>>() {
        within(RUN, "the calls of one seed", worker).await.unwrap();
    }
    let after = relay.resident_bytes() >> 20;
    println!(
        "seed {}: {} calls in {:?}, {before} MiB before, {after} MiB after\n{}",
        shared.seed,
        shared.count,
        begun.elapsed(),
        shared.judge.lock().unwrap()
    );
    let faults = std::mem::take(&mut *shared.faults.lock().unwrap());
    assert!(faults.is_empty(), "{}\nagain: MILKRUN_CALLS_SEED={}", faults.join("\n"), shared.seed);
    shared.judge.lock().unwrap().check_spread();
    is_well(&api).await;
    let growth = after.saturating_sub(before);
    assert!(growth < GROWTH_MIB_MAX, "{growth} MiB more, seed {}", shared.seed);
    assert!(relay.stop().await.success());
    let printed = place.printed();
    let bad = |line: &&str| line.contains(" ERROR ") || line.contains("panicked");
    let bad: Vec<&str> = printed.lines().filter(bad).take(FAULTS_MAX).collect();
    assert!(bad.is_empty(), "seed {}:\n{}", shared.seed, bad.join("\n"));
}

/// The seed that is given; else always the same in the short form, and another one every time in
/// the full form.
fn seed() -> u64 {
    match std::env::var("MILKRUN_CALLS_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) if full() => u64::from(fastrand::u32(..)),
        Err(_) => 1,
    }
}

/// Makes calls until all are made.
async fn work(shared: Arc<Shared>) {
    let mut client = Client::new(shared.known.address());
    loop {
        let number = shared.next.fetch_add(1, SeqCst);
        if number >= shared.count || shared.faults.lock().unwrap().len() >= FAULTS_MAX {
            return;
        }
        if number % RENEWED == RENEWED - 1 {
            shared.known.renew().await;
        }
        // One call has dice of its own: what others draw does not change it.
        let rng = Rng::with_seed(shared.seed.wrapping_mul(1_000_003).wrapping_add(number));
        let call = shared.plan.call(&shared.known.now(), rng);
        let answer = client.send(&call).await;
        let judged = shared.judge.lock().unwrap().judge(&shared.plan, &call, &answer);
        if let Err(problem) = judged {
            let fault = format!("call {number}: {problem}\n  {call}\n  {answer:?}");
            shared.faults.lock().unwrap().push(fault);
        }
    }
}

/// The relay is ready, and takes, delivers and shows events.
async fn is_well(api: &Api) {
    assert_eq!(api.get("/readyz").await.ok()["status"], "ok");
    let receiver = Receiver::accepting().await;
    api.send_json("PUT", "/v1/topics/healthy", &serde_json::json!({})).await.ok();
    let webhook = serde_json::json!({ "url": receiver.url() });
    let body = serde_json::json!({ "name": "healthy", "topic": "healthy", "webhook": webhook });
    api.post("/v1/subscriptions", &body).await.ok();
    api.publish("healthy", 1, 10).await;
    receiver.until_accepted(10).await;
    assert_eq!(api.log("healthy").await.len(), 10);
}
