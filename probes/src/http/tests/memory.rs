//! Many large answers at once: memory stays bounded, and who is small is served.

#![expect(clippy::disallowed_methods, reason = "a test measures with the machine's clock")]

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;

use super::{
    super::{fetch::fetch, limits::Limits},
    packing::{brotli_bomb, gzip, network, zstd},
};
use crate::{Budget, FailureKind, Network};

const MIB: usize = 1 << 20;

/// What the process has in memory now. The kernel counts in pages of 4 KiB.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

fn packed(body: &[u8], coding: &'static str) -> Network {
    let frames = body.chunks(4096).map(Bytes::copy_from_slice).collect();
    network(200, &[("content-encoding", coding)], frames)
}

/// Asks a network; how long the body was, or the kind of failure, and its text.
async fn ask(
    network: Network,
    budget: Budget,
    limits: Limits,
    timeout: Duration,
) -> Result<usize, (FailureKind, String)> {
    let request = Request::new(Bytes::new());
    let answer = fetch(&network, &budget, request, &limits, None, timeout).await;
    let answer = answer.map_err(|fault| (fault.kind, fault.problem))?;
    // A page is kept until it is on disk.
    tokio::time::sleep(Duration::from_millis(20)).await;
    Ok(answer.body.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bombs_at_once_stay_in_the_budget_and_a_small_page_passes() {
    let limits = Limits { decoded_bytes_max: 8 * MIB, ..Limits::default() };
    let budget = Budget::new(64 * MIB);
    let bodies = [
        (packed(&gzip(&vec![b'1'; 7 * MIB]), "gzip"), true),
        (packed(&gzip(&vec![b'1'; 9 * MIB]), "gzip"), false),
        (packed(&gzip(&gzip(&vec![b'1'; 7 * MIB])), "gzip, gzip"), true),
        (packed(&zstd(&vec![b'1'; 7 * MIB]), "zstd"), true),
        (packed(&brotli_bomb(), "br"), false),
    ];
    let before = resident();
    let timeout = Duration::from_mins(2);
    let bombs: Vec<_> = (0..100)
        .map(|at| {
            let (network, fits) = bodies[at % bodies.len()].clone();
            (tokio::spawn(ask(network, budget.clone(), limits.clone(), timeout)), fits)
        })
        .collect();
    let (mut most, mut held, mut slowest) = (0, 0, Duration::ZERO);
    let small = network(200, &[], vec![Bytes::from_static(b"[1]")]);
    let small_gzip = packed(&gzip(&vec![b'1'; 20_000]), "gzip");
    while bombs.iter().any(|(bomb, _)| !bomb.is_finished()) {
        most = most.max(resident().saturating_sub(before));
        held = held.max(budget.held_bytes());
        for (network, bytes) in [(&small, 3), (&small_gzip, 20_000)] {
            let begun = Instant::now();
            let asked = ask(network.clone(), budget.clone(), limits.clone(), timeout).await;
            assert_eq!(asked.unwrap(), bytes);
            slowest = slowest.max(begun.elapsed());
        }
    }
    for (bomb, fits) in bombs {
        match bomb.await.unwrap() {
            Ok(bytes) => assert!(fits && bytes == 7 * MIB),
            Err((kind, problem)) => {
                assert!(!fits && kind == FailureKind::TooLarge, "{problem}");
            }
        }
    }
    println!("{} MiB more, {} MiB held, a small page {slowest:?}", most / MIB, held / MIB);
    assert!(held <= 64 * MIB && held > 7 * MIB, "{held}");
    assert!(most <= (64 + 64) * MIB, "{} MiB more", most / MIB);
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    assert_eq!(budget.held_bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_gets_no_memory_is_told_why() {
    let limits = Limits { wire_bytes_max: 4 * MIB, ..Limits::default() };
    let budget = Budget::new(8 * MIB);
    let mut page = budget.begin(7 * MIB);
    page.grow(7 * MIB).await;
    let large = network(200, &[], vec![Bytes::from(vec![b' '; 3 * MIB])]);
    let timeout = Duration::from_secs(30);
    let asked = ask(large.clone(), budget.clone(), limits.clone(), timeout).await;
    let (kind, problem) = asked.unwrap_err();
    assert_eq!(kind, FailureKind::Timeout);
    assert!(
        problem.contains("no memory for the page within 30s: all of `limits.walk_bytes_max`"),
        "{problem}"
    );
    drop(page);
    assert_eq!(ask(large, budget.clone(), limits, timeout).await, Ok(3 * MIB));
    assert_eq!(budget.held_bytes(), 0);
}

/// Pages that all grow, with room for one at a time: each holds a part and wants more.
#[tokio::test]
async fn pages_that_grow_do_not_wait_for_each_other() {
    let (limits, budget) = (Limits::default(), Budget::new(12 * MIB));
    let frames = || vec![Bytes::from(vec![b'1'; 100_000]); 50];
    let timeout = Duration::from_secs(20);
    let asked = (0..40).map(|_| {
        tokio::spawn(ask(network(200, &[], frames()), budget.clone(), limits.clone(), timeout))
    });
    for page in asked.collect::<Vec<_>>() {
        assert_eq!(page.await.unwrap(), Ok(5_000_000));
    }
    assert_eq!(budget.held_bytes(), 0);
}
