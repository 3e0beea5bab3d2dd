//! Events that their consumer cannot take.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use serde_json::json;

use super::{position, subscribe};
use crate::support::{Answer, Api, Place, Receiver, eventually, scaled};

/// One event in so many fails.
const EVERY: u64 = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn measured_one_failing_event_in_a_hundred_dies_alone_and_comes_back() {
    let count = scaled(1_000, 10_000) as u64;
    let failing = count / EVERY;
    let place = Place::new("topics: { numbers: {} }\n");
    let relay = place.start().await;
    relay.api().publish("numbers", 1, count).await;

    let healthy = Receiver::accepting().await;
    let begun = Instant::now();
    subscribe(relay.api(), "healthy", &healthy.url(), &json!({})).await;
    healthy.until_accepted(usize::try_from(count).unwrap()).await;
    let alone = begun.elapsed();

    let mended = Arc::new(AtomicBool::new(false));
    let well = mended.clone();
    let sick = Receiver::start(move |delivery| {
        let bad = delivery.version % EVERY == 0 && delivery.version <= count;
        Answer::status(if bad && !well.load(SeqCst) { 500 } else { 204 })
    })
    .await;
    let more = json!({
        "retry": { "schedule": ["200ms", "200ms", "200ms"] },
        "hold": { "interval": "100ms", "max_interval": "100ms" },
    });
    let begun = Instant::now();
    subscribe(relay.api(), "sick", &sick.url(), &more).await;
    sick.until_accepted(usize::try_from(count - failing).unwrap()).await;
    let took = begun.elapsed();
    println!(
        "{count} events, {failing} of them failing: the others took {took:?}, without failures \
         {alone:?}"
    );
    assert!(took < alone * 2 + Duration::from_millis(500), "the failing ones delayed the others");

    // Other events go on meanwhile, as in life; their successes end a hold.
    let published = with_trickle(relay.api(), count, "every failing event dead", || async {
        let position = position(relay.api(), "sick").await;
        (position["dead_letters"].as_u64() == Some(failing)).then_some(())
    })
    .await;
    let deliveries = sick.deliveries();
    for version in (EVERY..=count).step_by(100) {
        let tries = deliveries.iter().filter(|delivery| delivery.version == version);
        let attempts: Vec<u32> = tries.map(|delivery| delivery.attempt).collect();
        let expected = 1..=u32::try_from(attempts.len()).unwrap();
        // More than the schedule only when the endpoint was on hold, where failures do not count.
        assert!(attempts.len() >= 4 && expected.eq(attempts.iter().copied()), "{attempts:?}");
    }

    mended.store(true, SeqCst);
    let redrive = "/v1/subscriptions/sick/dead-letters/redrive";
    let said = relay.api().post(redrive, &json!({ "all": true })).await.ok();
    assert_eq!(said["redriven"].as_u64(), Some(failing), "{said}");
    sick.until_accepted(usize::try_from(published).unwrap()).await;
    eventually("no dead letter left", || async {
        let position = position(relay.api(), "sick").await;
        (position["dead_letters"] == 0 && position["exceptions"] == 0).then_some(())
    })
    .await;
    assert!(relay.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poison_event_on_a_quiet_subscription_does_not_stop_the_next_good_one() {
    let place = Place::new("topics: { numbers: {} }\n");
    let relay = place.start().await;
    let receiver =
        Receiver::start(|delivery| Answer::status(if delivery.version == 1 { 500 } else { 204 }))
            .await;
    let more = json!({
        "retry": { "schedule": ["50ms", "50ms", "50ms", "50ms", "50ms", "50ms"] },
        "hold": { "interval": "1h", "max_interval": "1h" },
    });
    subscribe(relay.api(), "quiet", &receiver.url(), &more).await;
    relay.api().publish("numbers", 1, 1).await;
    // Past the number of failures in a row that would begin a hold.
    receiver.until_requests(6).await;
    relay.api().publish("numbers", 2, 2).await;
    receiver.until_accepted(1).await;
    eventually("the poison dead", || async {
        let position = position(relay.api(), "quiet").await;
        (position["dead_letters"] == 1).then_some(())
    })
    .await;
    assert!(relay.stop().await.success());
}

/// Publishes one event after the other until `look` gives something; answers the last version.
async fn with_trickle<F>(api: &Api, from: u64, what: &str, mut look: impl FnMut() -> F) -> u64
where
    F: Future<Output = Option<()>>,
{
    let mut last = from;
    while look().await.is_none() {
        last += 1;
        assert!(last < from + 5_000, "5,000 events later still not: {what}");
        api.publish("numbers", last, last).await;
    }
    last
}
