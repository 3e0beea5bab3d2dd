//! Steps: what is on disk when, failures, steering, and the loop.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::Response;
use probes::http::{CursorRule, LastId, PageNumber, Pages, Spec};
use tokio_util::sync::CancellationToken;

use super::support::*;
use crate::{
    event::Version,
    prober::{Memory, Stepped},
    settings::TopicSettings,
    store::{EventSource, NewSource, Steer},
};

fn paged(spec: &mut Spec) {
    spec.pages = Pages::PageNumber(PageNumber::default());
}

#[tokio::test]
async fn every_page_is_on_disk_before_the_next_request() {
    let bench = Bench::new(
        paged,
        at_once(|request| match page_of(request) {
            page @ 1..=3 => items(page * 10..=page * 10 + 1),
            _ => items([]),
        }),
    )
    .await;
    for (page, head) in [(1, 2), (2, 4), (3, 6)] {
        assert_eq!(bench.step().await, Stepped::Again);
        assert_eq!(bench.asked(), [format!("page={page}")]);
        let topic = bench.store.topic(&bench.setup.topic).await.unwrap();
        assert_eq!(topic.head, Version(head));
        assert_eq!(bench.state().await.cursor, None, "the cursor stays until the walk is complete");
    }
    assert!(matches!(bench.step().await, Stepped::Due(_)));
    let report = bench.report().await;
    assert_eq!((report.requests, report.items, report.new, report.duplicates), (4, 6, 6, 0));
    assert_eq!(report.stopped_by.as_deref(), Some("empty_page"));
    assert!(bench.state().await.cursor.is_some());
    assert_eq!(bench.state().await.walks, 1);
}

#[tokio::test]
async fn an_interrupted_walk_is_repeated_without_duplicates() {
    let mut bench = Bench::new(
        paged,
        at_once(|request| match page_of(request) {
            page @ 1..=3 => items([page]),
            _ => items([]),
        }),
    )
    .await;
    bench.step().await;
    bench.step().await;
    bench.restart();
    bench.clock.advance(Duration::from_mins(11));
    bench.walk().await;
    assert_eq!(bench.ids().await, ids(1..=3));
    let report = bench.report().await;
    assert_eq!((report.new, report.duplicates), (1, 2));
}

#[tokio::test]
async fn a_failure_keeps_the_place_and_backs_off() {
    let ill = Arc::new(Mutex::new(true));
    let state = ill.clone();
    let bench = Bench::new(
        paged,
        at_once(move |request| match page_of(request) {
            1 => items([1]),
            2 if *state.lock().unwrap() => Response::builder()
                .status(503)
                .header("retry-after", "100")
                .body(Bytes::new())
                .unwrap(),
            2 => items([2]),
            _ => items([]),
        }),
    )
    .await;
    bench.walk().await;
    let report = bench.report().await;
    assert_eq!(report.result, "status");
    assert!(report.message.unwrap().contains("503"));
    let wait = bench.state().await.next_poll.since(bench.clock.now());
    assert_eq!(wait, Duration::from_secs(100));
    assert!(matches!(bench.step().await, Stepped::Due(_)), "not before that");
    *ill.lock().unwrap() = false;
    bench.turn().await;
    bench.asked();
    bench.walk().await;
    assert_eq!(bench.asked(), ["page=2", "page=3"], "the walk goes on");
    assert_eq!(bench.ids().await, ["1", "2"]);
    assert_eq!(bench.report().await.result, "ok");
}

#[tokio::test]
async fn a_page_that_repeats_ends_the_walk_and_is_told() {
    let bench = Bench::new(paged, at_once(|_| items([1]))).await;
    bench.walk().await;
    let report = bench.report().await;
    assert_eq!((report.result.as_str(), report.new), ("ok", 1));
    assert_eq!(report.stopped_by.as_deref(), Some("page_repeats"));
    assert!(report.message.unwrap().contains("has the items of an earlier one"));
    let state = bench.state().await;
    assert!(state.mark.is_none() && state.cursor.is_some());
}

#[tokio::test]
async fn a_walk_that_always_fails_half_way_is_tried_ever_more_seldom() {
    let ill = Arc::new(Mutex::new(true));
    let state = ill.clone();
    let answer = at_once(move |request| match page_of(request) {
        1 => items([1]),
        2 if *state.lock().unwrap() => status(404),
        2 => items([2]),
        3 => status(404),
        _ => items([]),
    });
    let bench = Bench::new(paged, answer).await;
    let mut memory = Memory::default();
    let mut waits = Vec::new();
    let mut walk = async || {
        loop {
            if let Stepped::Due(due) = bench.prober.step(&bench.setup, &mut memory).await {
                let wait = due.since(bench.clock.now());
                bench.clock.advance(wait);
                return (memory.failures, wait);
            }
        }
    };
    for failures in 1..=10 {
        let (counted, wait) = walk().await;
        assert_eq!(counted, failures, "page 1 is no recovery");
        waits.push(wait);
    }
    assert_eq!(bench.asked().len(), 20);
    assert!(waits[9] > Duration::from_mins(3), "{waits:?}");
    *ill.lock().unwrap() = false;
    assert_eq!(walk().await.0, 1, "it came further, and fails there");
    assert_eq!(walk().await.0, 2);
}

#[tokio::test]
async fn a_pause_while_a_page_is_under_way_makes_it_stale() {
    let (asked, told) =
        (Arc::new(tokio::sync::Notify::new()), Arc::new(tokio::sync::Notify::new()));
    let (ask, tell) = (asked.clone(), told.clone());
    let answer: Box<Answer> = Box::new(move |_| {
        let (ask, tell) = (ask.clone(), tell.clone());
        Box::pin(async move {
            ask.notify_one();
            tell.notified().await;
            items([1])
        })
    });
    let bench = Bench::new(|_| {}, answer).await;
    let steer = async {
        asked.notified().await;
        let now = bench.clock.now();
        bench.store.steer_source(&bench.setup.name, Steer::Pause, now).await.unwrap();
        told.notify_one();
    };
    let (stepped, ()) = tokio::join!(bench.step(), steer);
    assert_eq!(stepped, Stepped::Again);
    assert!(bench.ids().await.is_empty());
    assert_eq!(bench.metrics.stale.get(), 1);
    assert_eq!(bench.step().await, Stepped::Idle);
}

/// A changed file reaches the store before it reaches the worker.
#[tokio::test]
async fn a_worker_with_an_old_setup_asks_nothing() {
    let bench = Bench::new(paged, at_once(|_| items([1]))).await;
    assert_eq!(bench.step().await, Stepped::Again);
    bench.asked();
    let changed = NewSource {
        name: bench.setup.name.clone(),
        topic: bench.setup.topic.clone(),
        contract: bench.setup.contract.clone(),
        contract_before: None,
        event_source: EventSource::fixed("https://shop.example.com/orders"),
        config_hash: "another".into(),
    };
    bench.store.put_source(&changed, bench.clock.now()).await.unwrap();
    assert_eq!(bench.step().await, Stepped::Idle);
    assert_eq!(bench.asked(), [""; 0]);
}

#[tokio::test]
async fn a_quiet_source_whose_dedupe_window_has_passed_re_appends_nothing() {
    let settings = TopicSettings { dedupe_count: 1, ..TopicSettings::default() };
    let bench = Bench::with_topic(&settings, |_| {}, at_once(|_| items(1..=5))).await;
    bench.walk().await;
    for _ in 0..3 {
        bench.turn().await;
        bench.clock.advance(Duration::from_hours(24 * 8));
        bench.walk().await;
    }
    assert_eq!(bench.ids().await, ids(1..=5));
}

#[tokio::test]
async fn rejected_items_are_listed() {
    let page = br#"[{"id":1},{"x":1},{"id":2}]"#;
    let bench = Bench::new(|_| {}, at_once(move |_| Response::new(Bytes::from_static(page)))).await;
    bench.walk().await;
    assert_eq!(bench.ids().await, ["1", "2"]);
    let rejected = bench.store.rejected(&bench.setup.name, 10).await.unwrap();
    assert_eq!(rejected[0].reason, "id: `id` finds nothing; the item has `x`");
    assert_eq!(rejected[0].item, br#"{"x":1}"#);
}

#[tokio::test]
async fn a_cursor_that_is_suspected_is_kept_with_its_suspicion() {
    let spec = |spec: &mut Spec| {
        spec.cursor =
            CursorRule::LastId(LastId { query: Some("after".into()), ..Default::default() });
    };
    let answer = at_once(|request| match request.uri().query() {
        Some("after=2") => status(410),
        _ => items(1..=2),
    });
    let mut bench = Bench::new(spec, answer).await;
    bench.walk().await;
    let mut results = Vec::new();
    for _ in 0..5 {
        bench.turn().await;
        bench.walk().await;
        results.push(bench.report().await.result);
    }
    assert_eq!(results, ["status", "status", "cursor_doubted", "status", "cursor_lost"]);
    assert_eq!(bench.state().await.walks, 1);
    let gaps = bench.store.gaps(&bench.setup.topic, 10).await.unwrap();
    assert_eq!(gaps.len(), 1);
    let notices = bench.notices().await;
    let lost = notices.iter().filter(|(_, notice)| notice["reason"] == "cursor_lost");
    assert_eq!(
        (lost.count(), notices.len()),
        (1, 2),
        "the loss, and five failed walks: {notices:?}"
    );
}

#[tokio::test]
async fn the_loop_polls_when_due_and_when_told_and_stops_softly() {
    let bench = Bench::new(|_| {}, at_once(|_| items([1]))).await;
    let (soft, hard) = (CancellationToken::new(), CancellationToken::new());
    let mut changes = bench.store.head(&bench.setup.topic).await.unwrap();
    let Bench { store, clock, asked, setup, .. } = &bench;
    let running = tokio::spawn(bench.looping().run(soft.clone(), hard));
    let deadline = Duration::from_secs(20);
    tokio::time::timeout(deadline, changes.wait_for(|head| head.0 == 1)).await.unwrap().unwrap();
    let polls = |count: usize| async move {
        tokio::time::timeout(deadline, async {
            while asked.lock().unwrap().len() < count {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
    };
    store.steer_source(&setup.name, Steer::Poll, clock.now()).await.unwrap();
    polls(2).await;
    soft.cancel();
    let cut = tokio::time::timeout(deadline, running).await.unwrap().unwrap();
    assert!(!cut);
}

#[tokio::test]
async fn a_hard_stop_tells_that_it_dropped_a_page() {
    let asked = Arc::new(tokio::sync::Notify::new());
    let ask = asked.clone();
    let answer: Box<Answer> = Box::new(move |_| {
        ask.notify_one();
        Box::pin(std::future::pending())
    });
    let bench = Bench::new(|_| {}, answer).await;
    let (soft, hard) = (CancellationToken::new(), CancellationToken::new());
    let running = tokio::spawn(bench.looping().run(soft.clone(), hard.clone()));
    let deadline = Duration::from_secs(20);
    tokio::time::timeout(deadline, asked.notified()).await.unwrap();
    soft.cancel();
    hard.cancel();
    assert!(tokio::time::timeout(deadline, running).await.unwrap().unwrap());
    assert!(bench.ids().await.is_empty());
}

#[tokio::test]
async fn a_worker_that_breaks_down_is_replaced() {
    let broke = Arc::new(tokio::sync::Notify::new());
    let (told, first) = (broke.clone(), AtomicBool::new(true));
    let answer = at_once(move |_| {
        if first.swap(false, Ordering::SeqCst) {
            told.notify_one();
            panic!("a worker that is meant to break down");
        }
        items([1])
    });
    let bench = Bench::new(|_| {}, answer).await;
    let mut head = bench.store.head(&bench.setup.topic).await.unwrap();
    let (soft, hard) = (CancellationToken::new(), CancellationToken::new());
    let (store, clock) = (bench.store.clone(), bench.clock.clone());
    let running = tokio::spawn(bench.prober.run(soft.clone(), hard));
    let seen = async {
        broke.notified().await;
        // The pause begins some time after the breakdown.
        while tokio::time::timeout(Duration::from_millis(10), head.changed()).await.is_err() {
            clock.advance(Duration::from_secs(1));
        }
    };
    tokio::time::timeout(Duration::from_secs(10), seen).await.unwrap();
    soft.cancel();
    running.await.unwrap();
    store.close().await;
}
