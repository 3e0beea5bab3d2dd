//! Pauses that the producer asks for in the middle of a walk.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::Response;
use probes::{
    Listed,
    http::{PageNumber, Pages, Spec},
};
use tokio_util::sync::CancellationToken;

use super::support::*;
use crate::{
    prober::{Memory, Stepped},
    store::Steer,
};

fn newest_first(spec: &mut Spec) {
    spec.listed = Listed::NewestFirst;
    spec.pages = Pages::PageNumber(PageNumber::default());
}

fn asking(
    mut answer: Response<Bytes>,
    headers: &[(&'static str, &'static str)],
) -> Response<Bytes> {
    for (name, value) in headers {
        answer.headers_mut().insert(*name, value.parse().unwrap());
    }
    answer
}

fn oldest_first(spec: &mut Spec) {
    spec.pages = Pages::PageNumber(PageNumber::default());
}

/// Three pages of one item, of which each is answered with `refusal` first.
fn pages(refusal: impl Fn() -> Response<Bytes> + Send + Sync + 'static) -> Box<Answer> {
    let asked = AtomicU64::new(0);
    at_once(move |request| {
        let count = asked.fetch_add(1, Ordering::SeqCst);
        match page_of(request) {
            _ if count.is_multiple_of(2) => refusal(),
            page @ 1..=3 => items([page]),
            _ => items([]),
        }
    })
}

/// Polls when due, in ever new processes, until a walk is complete; what was asked for.
async fn walk_on(bench: &mut Bench) -> Vec<String> {
    for _ in 0..40 {
        bench.turn().await;
        bench.step().await;
        bench.restart();
        if bench.state().await.walks > 0 {
            return bench.asked();
        }
    }
    panic!("the walk does not end: {:?}", bench.asked());
}

#[tokio::test]
async fn a_walk_stays_good_over_pauses_longer_than_walk_resume() {
    type Refusal = fn() -> Response<Bytes>;
    let refusals: [(Refusal, u64); 3] = [
        (|| asking(status(429), &[("retry-after", "3600")]), 3_600),
        (|| asking(status(202), &[("retry-after", "3600")]), 3_600),
        (
            || {
                let spent = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "5400")];
                asking(status(403), &spent)
            },
            5_400,
        ),
    ];
    for (refusal, pause) in refusals {
        let mut bench = Bench::new(oldest_first, pages(refusal)).await;
        let began = bench.clock.now();
        let asked = walk_on(&mut bench).await;
        let each = |page| [format!("page={page}"), format!("page={page}")];
        assert_eq!(asked, (1..=4).flat_map(each).collect::<Vec<_>>());
        assert_eq!(bench.ids().await, ids(1..=3));
        let took = bench.clock.now().since(began).as_secs();
        assert!((4 * pause..4 * pause + 60).contains(&took), "{took}");
    }
}

#[tokio::test]
async fn our_own_pauses_make_a_walk_older() {
    let answer = at_once(|request| match page_of(request) {
        1 => items([1]),
        _ => status(500),
    });
    let mut bench = Bench::new(newest_first, answer).await;
    bench.walk().await;
    bench.restart();
    bench.clock.advance(Duration::from_mins(11));
    bench.asked();
    bench.walk().await;
    assert_eq!(bench.asked(), ["page=1", "page=2"]);
}

#[tokio::test]
async fn a_pause_between_pages_is_obeyed_and_kept_over_a_stop() {
    for headers in [
        &[("retry-after", "1200"), ("x-poll-interval", "9000")][..],
        &[("ratelimit-remaining", "0"), ("ratelimit-reset", "1200")],
    ] {
        let answer = at_once(move |request| match page_of(request) {
            page @ 1..=2 => asking(items([page]), headers),
            _ => items([]),
        });
        let mut bench = Bench::new(oldest_first, answer).await;
        let due = bench.clock.now().plus(Duration::from_mins(20));
        assert_eq!(bench.step().await, Stepped::Due(due));
        bench.restart();
        bench.clock.advance(Duration::from_secs(1_199));
        assert_eq!(bench.step().await, Stepped::Due(due), "a start does not shorten it");
        bench.asked();
        let mut memory = Memory::default();
        bench.clock.advance(Duration::from_secs(1));
        bench.prober.step(&bench.setup, &mut memory).await;
        bench.turn().await;
        bench.prober.step(&bench.setup, &mut memory).await;
        bench.prober.step(&bench.setup, &mut memory).await;
        assert_eq!(bench.asked(), ["page=2", "page=3"], "{headers:?}");
        assert_eq!(bench.ids().await, ids(1..=2));
        assert_eq!(bench.state().await.walks, 1);
    }
}

#[tokio::test]
async fn a_poll_interval_does_not_slow_a_walk() {
    let answer = at_once(|request| match page_of(request) {
        page @ 1..=2 => asking(items([3 - page]), &[("x-poll-interval", "600")]),
        _ => items([]),
    });
    let bench = Bench::new(newest_first, answer).await;
    assert_eq!(bench.step().await, Stepped::Again);
}

#[tokio::test]
async fn a_stop_ends_a_pause_at_once() {
    let answer = at_once(|_| asking(items([1]), &[("retry-after", "1200")]));
    let bench = Bench::new(newest_first, answer).await;
    let (soft, hard) = (CancellationToken::new(), CancellationToken::new());
    let asked = Arc::clone(&bench.asked);
    let running = tokio::spawn(bench.looping().run(soft.clone(), hard));
    let deadline = Duration::from_secs(20);
    tokio::time::timeout(deadline, async {
        while bench.state().await.journaled == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    soft.cancel();
    let cut = tokio::time::timeout(deadline, running).await.unwrap().unwrap();
    assert_eq!((cut, asked.lock().unwrap().len()), (false, 1));
    assert!(bench.state().await.mark.is_some(), "it goes on after the start");
}

#[tokio::test]
async fn waits_in_mid_walk_are_counted_from_page_to_page() {
    let bench = Bench::new(oldest_first, pages(|| status(202))).await;
    let mut counts = Vec::new();
    let mut memory = Memory::default();
    while bench.state().await.walks == 0 {
        bench.turn().await;
        bench.prober.step(&bench.setup, &mut memory).await;
        counts.push(bench.report().await.waits.map_or(0, |waits| waits.count));
    }
    assert_eq!(counts, [1, 0, 1, 0, 1, 0, 1, 0]);
}

#[test]
fn first_polls_are_spread_over_the_interval_and_few_do_not_wait() {
    let seconds = |index, all, interval, chance| {
        crate::prober::turn(index, all, Duration::from_secs(interval), chance).as_secs_f64()
    };
    assert!(seconds(0, 1, 3_600, 0.99) < 1e-9);
    assert!((seconds(1, 2, 3_600, 0.0) - 0.5).abs() < 1e-9);
    assert!(seconds(999, 1_000, 3_600, 0.99) > 998.0);
    for index in 0..200_u32 {
        let at = seconds(index as usize, 200, 60, 0.5);
        assert!((at - (f64::from(index) + 0.5) * 0.3).abs() < 1e-6, "{index}: {at}");
    }
}

#[tokio::test]
async fn sources_take_turns_at_a_start_but_for_one_that_is_asked_for() {
    const COUNT: usize = 8;
    let bench = Bench::new(|_| {}, at_once(|_| items([]))).await;
    let (soft, hard) = (CancellationToken::new(), CancellationToken::new());
    let begun = std::time::Instant::now();
    let prober = bench.looping_many(COUNT, Duration::from_millis(1_600)).await;
    let running = tokio::spawn(prober.run(soft.clone(), hard.clone()));
    let polled = async |name: &str| {
        let name = name.parse().unwrap();
        let deadline = Duration::from_secs(20);
        tokio::time::timeout(deadline, async {
            while bench.store.source(&name).await.unwrap().walks == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await
        .unwrap();
        begun.elapsed()
    };
    // The seventh has its turn at 1.2 s.
    let now = bench.clock.now();
    bench.store.steer_source(&"shop-7".parse().unwrap(), Steer::Poll, now).await.unwrap();
    polled("shop-7").await;
    let other = bench.store.source(&"shop-6".parse().unwrap()).await.unwrap();
    assert!(other.walks == 0 || begun.elapsed() >= Duration::from_millis(1_200));
    assert!(polled("shop-6").await >= Duration::from_millis(1_200));
    soft.cancel();
    running.await.unwrap();
}
