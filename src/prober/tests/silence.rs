//! Sources that show nothing new, and gaps: what is told of them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::json;

use super::support::*;
use crate::store::Steer;

const HOUR: Duration = Duration::from_hours(1);

/// A source that shows as many items as `shown` says, or fails when that is 0.
async fn source(shown: &Arc<AtomicU64>) -> Bench {
    let shown = shown.clone();
    let answer = at_once(move |_| match shown.load(Ordering::SeqCst) {
        0 => status(503),
        shown => items(1..=shown),
    });
    Bench::new(|_| {}, answer).await
}

/// Polls once an hour for two days; answers what was told, and after how many hours.
async fn two_days(bench: &mut Bench) -> Vec<(u64, serde_json::Value)> {
    let mut told = Vec::new();
    for hour in 1..=48 {
        bench.clock.advance(HOUR);
        bench.walk().await;
        let mut all = bench.notices().await;
        all.retain(|(kind, _)| kind != "source.failing");
        if let Some((kind, data)) = all.get(told.len()).cloned() {
            assert_eq!(kind, "source.silent");
            told.push((hour, data));
        }
    }
    told
}

#[tokio::test]
async fn a_silence_is_told_of_once() {
    let shown = Arc::new(AtomicU64::new(3));
    let mut bench = source(&shown).await;
    let began = bench.clock.now();
    bench.walk().await;
    let told = two_days(&mut bench).await;
    assert_eq!(told.len(), 1);
    let (hour, data) = &told[0];
    assert_eq!(*hour, 24);
    let expected = json!({
        "source": "shop", "topic": "orders", "since": began.to_string(),
        "silent_after_s": 86_400, "last_error": null,
        "last_success": began.plus(24 * HOUR).to_string(),
    });
    assert_eq!(*data, expected);
}

#[tokio::test]
async fn a_new_event_ends_a_silence_and_a_restart_does_not() {
    let shown = Arc::new(AtomicU64::new(1));
    let mut bench = source(&shown).await;
    bench.walk().await;
    assert_eq!(two_days(&mut bench).await.len(), 1);
    bench.restart();
    bench.clock.advance(30 * HOUR);
    bench.walk().await;
    assert_eq!(bench.notices().await.len(), 1, "the silence is the same");
    shown.store(2, Ordering::SeqCst);
    // Long after, and with something new: no moment to tell of silence.
    bench.clock.advance(30 * HOUR);
    bench.walk().await;
    bench.clock.advance(23 * HOUR);
    bench.walk().await;
    assert_eq!(bench.notices().await.len(), 1);
    bench.clock.advance(HOUR);
    bench.walk().await;
    assert_eq!(bench.notices().await.len(), 2);
}

#[tokio::test]
async fn a_silence_of_failures_names_the_last_error_and_the_last_success() {
    let shown = Arc::new(AtomicU64::new(1));
    let mut bench = source(&shown).await;
    let began = bench.clock.now();
    bench.walk().await;
    shown.store(0, Ordering::SeqCst);
    let told = two_days(&mut bench).await;
    assert_eq!(told.len(), 1);
    let data = &told[0].1;
    assert_eq!(data["last_success"], began.to_string());
    assert_eq!(data["last_error"]["kind"], "status");
    assert!(data["last_error"]["message"].as_str().unwrap().contains("503"), "{data}");
}

#[tokio::test]
async fn silence_may_be_of_no_interest() {
    let mut bench = source(&Arc::new(AtomicU64::new(1))).await;
    bench.setup.silent_after = None;
    bench.walk().await;
    assert_eq!(two_days(&mut bench).await, []);
}

/// A source that is set back finds what the log knows, and only the log knows it.
#[tokio::test]
async fn known_events_are_no_news() {
    let mut bench = source(&Arc::new(AtomicU64::new(1))).await;
    bench.walk().await;
    for expected in [0, 1, 1] {
        bench.clock.advance(12 * HOUR);
        let now = bench.clock.now();
        bench
            .store
            .steer_source(&bench.setup.name, Steer::Reset(probes::http::reset), now)
            .await
            .unwrap();
        bench.walk().await;
        assert_eq!(bench.report().await.duplicates, 1);
        assert_eq!(bench.notices().await.len(), expected);
    }
}
