//! A healthy consumer beside a dead one, and the dead one's return.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use serde_json::json;

use super::{position, subscribe};
use crate::support::{Answer, Place, Receiver, Relay, eventually, receiver::Delivery, scaled};

const CONCURRENCY: usize = 16;
const HOLD_MS: u128 = 500;
/// Failures in a row that begin a hold; until then each may be followed by another request.
const FIRST_FAILURES: usize = 5;
const RATIO_MIN: f64 = 0.9;
/// Rounds that are always made, and the most, for a machine that is busy with something else.
const ROUNDS: usize = 5;
const ROUNDS_MAX: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn measured_a_dead_consumer_costs_a_healthy_one_nothing() {
    let count = scaled(2_000, 10_000);
    let place = Place::new("topics: { numbers: {} }\n");
    let relay = place.start().await;
    relay.api().publish("numbers", 1, count as u64).await;

    let living = Arc::new(AtomicBool::new(false));
    let lives = living.clone();
    let dead = Receiver::start(move |_| {
        let status = if lives.load(SeqCst) { 204 } else { 503 };
        Answer { status, delay: Duration::from_millis(5) }
    })
    .await;
    let hold = json!({ "interval": "500ms", "max_interval": "500ms" });
    let more = json!({ "hold": hold, "concurrency": CONCURRENCY });
    let died = Instant::now();
    subscribe(relay.api(), "dead", &dead.url(), &more).await;
    dead.until_requests(5).await;

    // Several holds long, so that their cost shows.
    dead.until_requests(CONCURRENCY + 4).await;
    let (requests, holds) = (dead.requests(), died.elapsed().as_millis().div_ceil(HOLD_MS));
    println!("the dead consumer cost {requests} requests in {holds} hold intervals");
    assert!(
        requests as u128 <= (CONCURRENCY + FIRST_FAILURES) as u128 + holds,
        "{requests} in {holds} holds"
    );

    let ratio = compare(&relay, count).await;
    assert!(ratio >= RATIO_MIN, "the dead consumer slowed the healthy one: {ratio:.2}");

    living.store(true, SeqCst);
    dead.until_accepted(count).await;
    let mut after = dead.deliveries();
    let back = after.iter().position(Delivery::accepted).unwrap();
    after.drain(..back);
    // Slow start: the second request waits for the first one's answer.
    assert!(after[1].started >= after[0].finished.unwrap(), "a stampede");
    assert!(after.iter().all(Delivery::accepted), "errors after the return");
    assert_eq!(after.len(), count, "sent twice after the return");
    let settled = eventually("everything settled", || async {
        let position = position(relay.api(), "dead").await;
        (position["floor"].as_u64() == Some(count as u64)).then_some(position)
    })
    .await;
    assert_eq!(settled["dead_letters"], 0, "the outage killed events: {settled}");
    assert!(relay.stop().await.success());
}

/// The speed of a healthy consumer beside the dead one, as a share of its speed while that one is
/// paused: the median of several rounds of each in turn, for what else the machine does slows or
/// spares one now and then. What slows one alone is there in every round, so more do not hide it.
async fn compare(relay: &Relay, count: usize) -> f64 {
    let mut ratios = Vec::new();
    // The first time everything is cold.
    drain(relay, "warm-up", count).await;
    loop {
        let round = ratios.len() + 1;
        relay.api().post("/v1/subscriptions/dead/pause", &json!({})).await.ok();
        let alone = drain(relay, &format!("alone-{round}"), count).await;
        relay.api().post("/v1/subscriptions/dead/resume", &json!({})).await.ok();
        let beside = drain(relay, &format!("beside-{round}"), count).await;
        ratios.push(alone.div_duration_f64(beside));
        ratios.sort_unstable_by(f64::total_cmp);
        let median = ratios[ratios.len() / 2];
        println!(
            "{count} events, round {round}: alone in {alone:?}, beside a dead consumer in \
             {beside:?}, median of the ratios {median:.2}"
        );
        if round >= ROUNDS_MAX || (round >= ROUNDS && median >= RATIO_MIN) {
            return median;
        }
    }
}

/// How long a new subscription takes to receive everything.
async fn drain(relay: &Relay, name: &str, count: usize) -> Duration {
    let healthy = Receiver::accepting().await;
    let begun = Instant::now();
    subscribe(relay.api(), name, &healthy.url(), &json!({ "concurrency": CONCURRENCY })).await;
    healthy.until_accepted(count).await;
    let took = begun.elapsed();
    relay.api().send_json("DELETE", &format!("/v1/subscriptions/{name}"), &json!({})).await.ok();
    took
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_nobody_answers_for_gets_everything_when_it_is_back() {
    let place = Place::new("topics: { numbers: {} }\n");
    let relay = place.start().await;
    let mut receiver = Receiver::accepting().await;
    receiver.down();
    let hold = json!({ "interval": "100ms", "max_interval": "200ms" });
    subscribe(relay.api(), "away", &receiver.url(), &json!({ "hold": hold })).await;
    relay.api().publish("numbers", 1, 200).await;
    eventually("the hold", || async {
        let failed = relay.api().get("/v1/subscriptions/away/attempts").await.ok();
        (failed.to_string().matches("refused").count() >= 5).then_some(())
    })
    .await;
    receiver.up().await;
    receiver.until_accepted(200).await;
    let position = position(relay.api(), "away").await;
    assert_eq!(position["dead_letters"], 0, "{position}");
    assert!(relay.stop().await.success());
}
