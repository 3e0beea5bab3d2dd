//! A consumer that takes so many a second and no more, with a backlog that it missed.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use serde_json::json;

use super::{
    RUN,
    hooks::{Hooks, Said, Seen},
    subscribe,
};
use crate::support::{Place, scaled};

/// What the relay has to find its pace.
const SETTLING: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn measured_a_throttling_consumer_is_used_and_not_pestered() {
    throttle(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn measured_a_throttling_consumer_that_says_how_long_is_used_and_not_pestered() {
    throttle(Some(1)).await;
}

async fn throttle(retry_after: Option<u32>) {
    let rate = scaled(400, 2_000);
    let backlog = scaled(20_000, 1_000_000);
    let place = Place::new("topics: { numbers: {} }\n");
    let relay = place.start().await;
    relay.api().publish("numbers", 1, backlog as u64).await;

    let well: &'static AtomicBool = Box::leak(Box::new(AtomicBool::new(false)));
    let window = Window::new(rate);
    let hooks = Hooks::start(move |_| {
        if !well.load(SeqCst) {
            return Said::status(503);
        }
        if window.admits() { Said::status(204) } else { Said { retry_after, ..Said::status(429) } }
    })
    .await;
    subscribe(relay.api(), "consumer", &hooks.url(0), &json!({ "concurrency": 64 })).await;
    hooks.until(RUN, "a hold", |counts| counts.requests >= 5).await;
    well.store(true, SeqCst);
    hooks.until(RUN, "the recovery", |counts| counts.accepted > 0).await;

    let recovered = Instant::now();
    let watched = SETTLING + Duration::from_secs(scaled(30, 60) as u64);
    let all = hooks.until(RUN, "the whole backlog", |counts| counts.accepted >= backlog);
    let ended = tokio::time::timeout(watched, all).await;
    assert!(ended.is_err(), "the backlog was too small to be watched");
    let (from, until) = (recovered + SETTLING, recovered + watched);
    let seen = hooks.seen();
    let answered = |since: Instant, until: Instant, status: u16| {
        let within =
            |seen: &&Seen| seen.status == status && seen.arrived >= since && seen.arrived < until;
        seen.iter().filter(within).count()
    };
    let early = (answered(recovered, from, 204), answered(recovered, from, 429));
    let (taken, refused) = (answered(from, until, 204), answered(from, until, 429));
    let seconds = (until - from).as_secs_f64();
    let used = share(taken, 1) / (share(rate, 1) * seconds) * 100.0;
    let refusals = share(refused, taken + refused) * 100.0;
    println!(
        "{rate}/s, Retry-After {retry_after:?}: in the first {SETTLING:?} {} taken and {} refused, \
         in the {seconds} s after them {taken} taken ({used:.1} % of the capacity) and {refused} \
         refused ({refusals:.1} % of the requests)",
        early.0, early.1,
    );
    assert!(refusals <= 5.0, "{refusals:.1} % refused");
    assert!(used >= 80.0, "{used:.1} % used");
    drop(relay);
}

#[expect(clippy::cast_precision_loss, reason = "counts of a test are far below 2^52")]
fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// Admits so many in each second; seconds are fixed, as most rate limiters have them.
struct Window {
    most: usize,
    now: Mutex<(Instant, usize)>,
}

impl Window {
    fn new(most: usize) -> Self {
        Self { most, now: Mutex::new((Instant::now(), 0)) }
    }

    fn admits(&self) -> bool {
        let mut now = self.now.lock().unwrap();
        let whole = now.0.elapsed().as_secs();
        if whole > 0 {
            *now = (now.0 + Duration::from_secs(whole), 0);
        }
        now.1 += 1;
        now.1 <= self.most
    }
}
