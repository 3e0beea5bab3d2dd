//! What a start costs with much history.

use std::time::Duration;

use crate::support::{Place, full};

/// In a debug build the same work takes several times as long; the bound is for release builds.
const DEBUG_FACTOR: u32 = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn measured_start_with_100_000_events() {
    let place = Place::new("topics: { numbers: {} }\n");
    let relay = place.start().await;
    relay.api().publish("numbers", 1, 100_000).await;
    assert!(relay.stop().await.success());

    let mut relay = place.spawn();
    let took = relay.ready().await;
    assert_eq!(relay.api().head("numbers").await, 100_000);
    let resident_mib = relay.resident_bytes() >> 20;
    println!("100000 events stored: ready after {took:?}, {resident_mib} MiB resident");
    let limit = Duration::from_secs(1) * if full() { 1 } else { DEBUG_FACTOR };
    assert!(took < limit, "ready after {took:?}");
    assert!(resident_mib < 150, "{resident_mib} MiB resident");
    assert!(relay.stop().await.success());
}
