//! A wall that is set between polls, in the middle of a walk, and before a restart.

use std::time::Duration;

use http::Response;
use probes::{
    Listed,
    http::{PageNumber, Pages, Spec},
};

use super::support::*;
use crate::prober::{Memory, Stepped};

const HOUR_US: i64 = 3_600_000_000;
const LEAPS_US: [i64; 4] = [-HOUR_US, -60_000_000, HOUR_US, 365 * 24 * HOUR_US];

#[tokio::test]
async fn the_next_poll_is_due_after_its_interval_wherever_the_wall_is_set() {
    for leap in LEAPS_US {
        let bench = Bench::new(|_| {}, at_once(|_| items([1]))).await;
        let mut memory = Memory::default();
        let Stepped::Due(due) = bench.prober.step(&bench.setup, &mut memory).await else {
            panic!("it is due at a moment")
        };
        let steady = bench.clock.now();
        // Seen once, as by the loop that waits for it.
        assert_eq!(bench.prober.step(&bench.setup, &mut memory).await, Stepped::Due(due));
        bench.clock.set(leap);
        assert_eq!(bench.prober.step(&bench.setup, &mut memory).await, Stepped::Due(due), "{leap}");
        assert_eq!(bench.asked().len(), 1, "{leap}");
        let mut pause = due.since(steady);
        for _ in 0..3 {
            bench.clock.advance(pause);
            assert!(matches!(bench.prober.step(&bench.setup, &mut memory).await, Stepped::Due(_)));
            assert_eq!(bench.asked().len(), 1, "{leap}: polled when its interval was over");
            let again = bench.prober.step(&bench.setup, &mut memory).await;
            assert_eq!(bench.asked().len(), 0, "{leap}: polled before its interval was over");
            let Stepped::Due(due) = again else { panic!("it is due at a moment") };
            pause = due.since(bench.clock.now().shifted(-leap));
        }
    }
}

#[tokio::test]
async fn a_poll_is_due_after_a_restart_with_its_wall_set_back() {
    let bench = Bench::new(|_| {}, at_once(|_| items([1]))).await;
    bench.step().await;
    bench.clock.set(-HOUR_US);
    let Stepped::Due(due) = bench.step().await else { panic!("it is due at a moment") };
    let steady = bench.clock.now().shifted(HOUR_US);
    assert!(due.since(steady) <= Duration::from_secs(64), "{:?}", due.since(steady));
}

#[tokio::test]
async fn a_walk_goes_on_where_it_was() {
    for leap in LEAPS_US {
        let paged = |spec: &mut Spec| spec.pages = Pages::PageNumber(PageNumber::default());
        let answer = |request: &http::Request<bytes::Bytes>| match page_of(request) {
            page @ 1..=3 => items([page * 2 - 1, page * 2]),
            _ => Response::new("[]".into()),
        };
        let bench = Bench::new(paged, at_once(answer)).await;
        let mut memory = Memory::default();
        assert_eq!(bench.prober.step(&bench.setup, &mut memory).await, Stepped::Again);
        assert_eq!(bench.prober.step(&bench.setup, &mut memory).await, Stepped::Again);
        bench.clock.set(leap);
        while bench.prober.step(&bench.setup, &mut memory).await == Stepped::Again {}
        let asked = bench.asked();
        let again = asked.iter().filter(|query| !query.contains("page=")).count()
            + asked.iter().filter(|query| query.contains("page=1")).count();
        assert_eq!(again, 1, "{leap}: the walk began anew: {asked:?}");
        assert_eq!(bench.ids().await, ids(1..=6), "{leap}");
    }
}

#[tokio::test]
async fn a_leap_is_no_silence() {
    let mut bench = Bench::new(|_| {}, at_once(|_| items([1]))).await;
    bench.walk().await;
    bench.clock.set(365 * 24 * HOUR_US);
    for _ in 0..3 {
        bench.clock.advance(Duration::from_mins(2));
        bench.walk().await;
    }
    assert_eq!(bench.notices().await, []);
}

/// What makes a producer of its own kind: a change of the source, and the answer to a request.
type Kind = (fn(&mut Spec), fn(&http::Request<bytes::Bytes>) -> Response<bytes::Bytes>);

/// A walk of one page, of several, one that is numbered from its journal, and a poll that fails.
fn kinds() -> [Kind; 4] {
    let paged = |request: &http::Request<bytes::Bytes>| match page_of(request) {
        page @ 1..=2 => items([page * 2 - 1, page * 2]),
        _ => Response::new("[]".into()),
    };
    [
        (|_| {}, |_| items([1])),
        (|spec| spec.pages = Pages::PageNumber(PageNumber::default()), paged),
        (
            |spec| {
                spec.pages = Pages::PageNumber(PageNumber::default());
                spec.listed = Listed::NewestFirst;
            },
            paged,
        ),
        (|_| {}, |_| status(500)),
    ]
}

#[tokio::test]
async fn the_next_poll_is_due_at_whichever_look_the_wall_is_set() {
    for (kind, (change, answer)) in kinds().into_iter().enumerate() {
        for leap in [-HOUR_US, HOUR_US] {
            for looks in 0.. {
                let bench = Bench::new(change, at_once(answer)).await;
                let began = bench.clock.now();
                bench.clock.set_after(looks, leap);
                let case = format!("kind {kind}, set by {leap} µs at look {looks}");
                let (mut memory, mut passed) = (Memory::default(), Duration::ZERO);
                // A walk pauses before it takes an empty page for the end.
                while bench.state().await.report.is_none() {
                    let stepped = bench.prober.step(&bench.setup, &mut memory).await;
                    let Stepped::Due(due) = stepped else { continue };
                    let pause = due.since(began.plus(passed));
                    assert!(pause <= Duration::from_secs(63), "{case}: {pause:?}");
                    let is_over = bench.state().await.report.is_some();
                    assert!(!is_over || pause >= Duration::from_secs(4), "{case}: {pause:?}");
                    bench.clock.advance(pause);
                    passed += pause;
                }
                let leapt = bench.clock.now() != began.plus(passed);
                bench.asked();
                let stepped = bench.prober.step(&bench.setup, &mut memory).await;
                assert_eq!(bench.asked().len(), 1, "{case}: {stepped:?}");
                if !leapt {
                    assert!(looks > 3, "kind {kind} looks at the wall {looks} times");
                    break;
                }
            }
        }
    }
}
