//! Newest-first walks: the journal, the numbering, and restarts in the middle of both.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use probes::{
    Listed,
    http::{PageNumber, Pages, Spec},
};

use super::support::*;
use crate::{prober::Stepped, store::Steer};

fn newest_first(spec: &mut Spec) {
    spec.listed = Listed::NewestFirst;
    spec.pages = Pages::PageNumber(PageNumber::default());
}

/// `count` items, newest first, `size` on a page.
fn feed(count: &Arc<AtomicU64>, size: u64) -> Box<Answer> {
    let count = count.clone();
    at_once(move |request| {
        let last = count.load(Ordering::SeqCst).saturating_sub((page_of(request) - 1) * size);
        items((last.saturating_sub(size) + 1..=last).rev())
    })
}

#[tokio::test]
async fn pages_wait_in_the_journal_and_are_numbered_oldest_first() {
    let count = Arc::new(AtomicU64::new(6));
    let bench = Bench::new(newest_first, feed(&count, 2)).await;
    assert_eq!(bench.step().await, Stepped::Again);
    assert!(bench.ids().await.is_empty());
    assert_eq!(bench.state().await.journaled, 2);
    bench.walk().await;
    assert_eq!(bench.ids().await, ids(1..=6));
    let state = bench.state().await;
    assert_eq!((state.journaled, state.mark, state.walks), (0, None, 1));
    count.store(7, Ordering::SeqCst);
    bench.turn().await;
    bench.walk().await;
    assert_eq!(bench.ids().await, ids(1..=7));
}

#[tokio::test]
async fn a_restart_between_two_pages_loses_nothing() {
    let count = Arc::new(AtomicU64::new(6));
    let mut bench = Bench::new(newest_first, feed(&count, 2)).await;
    bench.walk().await;
    count.store(12, Ordering::SeqCst);
    bench.turn().await;
    assert_eq!(bench.step().await, Stepped::Again);
    bench.restart();
    bench.asked();
    bench.walk().await;
    assert_eq!(bench.asked(), ["page=2", "page=3", "page=4"], "the walk goes on where it was");
    assert_eq!(bench.ids().await, ids(1..=12));
}

#[tokio::test]
async fn a_walk_that_is_too_old_starts_anew_and_loses_nothing() {
    let count = Arc::new(AtomicU64::new(6));
    let mut bench = Bench::new(newest_first, feed(&count, 2)).await;
    assert_eq!(bench.step().await, Stepped::Again);
    bench.restart();
    // Meanwhile the list moves on by more than a page: a stale mark would miss what was shifted.
    count.store(9, Ordering::SeqCst);
    bench.clock.advance(Duration::from_mins(11));
    bench.asked();
    bench.walk().await;
    assert_eq!(bench.asked()[0], "page=1");
    assert_eq!(bench.ids().await, ids(1..=9));
}

#[tokio::test]
async fn a_restart_while_numbering_goes_on_whatever_its_age() {
    let count = Arc::new(AtomicU64::new(2_500));
    let mut bench = Bench::new(newest_first, feed(&count, 500)).await;
    while bench.ids().await.is_empty() {
        // The empty page at the end is asked for again, with pauses.
        bench.turn().await;
        assert_ne!(bench.step().await, Stepped::Idle);
    }
    assert_eq!(bench.ids().await.len(), 1_000);
    assert_eq!(bench.state().await.cursor, None, "the cursor moves with the last event only");
    bench.restart();
    bench.clock.advance(Duration::from_hours(5));
    bench.asked();
    bench.walk().await;
    assert_eq!(bench.asked(), Vec::<String>::new(), "no request is needed");
    assert_eq!(bench.ids().await, ids(1..=2_500));
    assert!(bench.state().await.cursor.is_some());
}

#[tokio::test]
async fn a_journal_that_is_damaged_is_listed_again() {
    let count = Arc::new(AtomicU64::new(2_500));
    let bench = Bench::new(newest_first, feed(&count, 500)).await;
    while bench.ids().await.is_empty() {
        bench.turn().await;
        assert_ne!(bench.step().await, Stepped::Idle);
    }
    bench.sabotage("UPDATE journal SET attributes = replace(attributes, '\"12', '\"13')").await;
    bench.asked();
    bench.walk().await;
    assert_eq!(bench.asked()[0], "page=1");
    assert_eq!(bench.ids().await, ids(1..=2_500), "nothing is lost, changed or there twice");
    assert_eq!(bench.state().await.journaled, 0);
}

#[tokio::test]
async fn a_walk_that_meets_nothing_known_records_a_gap() {
    let count = Arc::new(AtomicU64::new(4));
    let spec = |spec: &mut Spec| {
        newest_first(spec);
        spec.stop.max_pages = 2;
    };
    let mut bench = Bench::new(spec, feed(&count, 2)).await;
    bench.walk().await;
    count.store(10, Ordering::SeqCst);
    bench.turn().await;
    bench.walk().await;
    let gaps = bench.store.gaps(&bench.setup.topic, 10).await.unwrap();
    // The first walk was cut off too: what lies behind its bound was never seen.
    assert_eq!(gaps[0].reason, "bound_reached");
    let notices = bench.notices().await;
    assert_eq!(notices.len(), gaps.len());
    let (kind, data) = &notices[0];
    assert_eq!((&**kind, &data["reason"]), ("gap.recorded", &"bound_reached".into()));
    assert_eq!((&data["source"], &data["topic"]), (&"shop".into(), &"orders".into()));
    assert_eq!(bench.ids().await, ["1", "2", "3", "4", "7", "8", "9", "10"]);
}

#[tokio::test]
async fn setting_the_cursor_drops_mark_and_journal() {
    let count = Arc::new(AtomicU64::new(6));
    let bench = Bench::new(newest_first, feed(&count, 2)).await;
    assert_eq!(bench.step().await, Stepped::Again);
    let now = bench.clock.now();
    bench
        .store
        .steer_source(&bench.setup.name, Steer::Reset(probes::http::reset), now)
        .await
        .unwrap();
    bench.asked();
    bench.walk().await;
    assert_eq!(bench.asked()[0], "page=1");
    assert_eq!(bench.ids().await, ids(1..=6));
}

#[tokio::test]
async fn the_etag_of_a_walk_that_failed_on_page_2_never_hides_page_2() {
    let (count, ill) = (Arc::new(AtomicU64::new(2)), Arc::new(AtomicBool::new(false)));
    let (list, fails) = (feed(&count, 2), ill.clone());
    let shown = count.clone();
    let answer: Box<Answer> = Box::new(move |request| {
        let etag = format!("\"{}\"", shown.load(Ordering::SeqCst));
        let known = request.headers().get("if-none-match").is_some_and(|known| *known == etag);
        let first = page_of(request) == 1;
        if (first && known) || (!first && fails.load(Ordering::SeqCst)) {
            let code = if first { 304 } else { 500 };
            return Box::pin(async move { status(code) });
        }
        let answer = list(request);
        Box::pin(async move {
            let mut answer = answer.await;
            answer.headers_mut().insert("etag", etag.parse().unwrap());
            answer
        })
    });
    let bench = Bench::new(newest_first, answer).await;
    bench.walk().await;
    bench.turn().await;
    bench.walk().await;
    assert_eq!(bench.report().await.result, "unchanged", "the ETag is used at all");
    count.store(6, Ordering::SeqCst);
    ill.store(true, Ordering::SeqCst);
    bench.turn().await;
    bench.walk().await;
    assert_eq!(bench.report().await.result, "status");
    ill.store(false, Ordering::SeqCst);
    bench.clock.advance(Duration::from_mins(11));
    bench.walk().await;
    assert_eq!(bench.ids().await, ids(1..=6));
}
