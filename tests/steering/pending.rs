//! Events that are published before their time: none early, few late, all kept.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use milkrun::{clock::Clock, event::Micros};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{
    RUN,
    hooks::{Hooks, Said, percentile},
    subscribe,
};
use crate::support::{Api, Place, full, producer, scaled};

/// What 99 in a hundred are less late than.
const LATE: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn measured_pending_events_come_on_time_and_survive_a_kill() {
    let count = scaled(5_000, 100_000) as u64;
    let plan = Plan::new(count);
    let place = Place::new("topics: { numbers: {} }\n");
    let relay = place.start().await;
    let late = Arc::new(Mutex::new(Vec::new()));
    let (measured, due) = (late.clone(), plan);
    let hooks = Hooks::start(move |hook| {
        let event: Value = serde_json::from_slice(&hook.body).unwrap();
        let n = event["id"].as_str().and_then(producer::number).unwrap();
        measured.lock().unwrap().push((n, due.lateness(n, hook.arrived)));
        Said::status(204)
    })
    .await;
    subscribe(relay.api(), "sink", &hooks.url(0), &json!({ "concurrency": 64 })).await;

    let ids = publish(relay.api(), &plan).await;
    let cancelled: HashSet<u64> = (1..=count).filter(|n| n % 100 == 50).collect();
    for n in &cancelled {
        let path = format!("/v1/topics/numbers/pending/{}", ids[n]);
        let cancel = relay.api().request("DELETE", &path);
        relay.api().send(cancel.header("content-type", "application/json")).await.ok();
    }
    assert!(Instant::now() < plan.first, "publishing took too long to tell anything");
    assert_eq!(relay.api().head("numbers").await, 0, "something is in the log before its time");
    let reader = Reader::start(place.api(), plan);

    let wanted = usize::try_from(count).unwrap() - cancelled.len();
    hooks.until(RUN, "half of them", |counts| counts.accepted >= wanted / 2).await;
    let killed = relay.kill().await;
    let relay = place.start().await;
    let back = Instant::now();
    hooks.until(RUN, "all of them", |counts| counts.accepted >= wanted).await;
    relay.until_head("numbers", wanted as u64).await;

    let mut log: Vec<u64> =
        relay.api().log("numbers").await.iter().map(|line| number(line)).collect();
    log.sort_unstable();
    let expected: Vec<u64> = (1..=count).filter(|n| !cancelled.contains(n)).collect();
    assert_eq!(log, expected, "not every event that was due is in the log, once");
    let visible = reader.stop();
    assert!(visible.iter().all(|(_, early)| early.is_ok()), "a reader saw one before its time");

    let late = late.lock().unwrap().clone();
    assert!(late.iter().all(|(n, _)| !cancelled.contains(n)), "a cancelled one was delivered");
    let early: Vec<_> = late.iter().filter(|(_, late)| late.is_err()).collect();
    assert!(early.is_empty(), "delivered early: {early:?}");
    // Nobody can be on time while the relay is not there.
    let away = |n: &u64| (killed..back).contains(&plan.due(*n));
    let on_duty = late.iter().filter(|(n, _)| !away(n));
    let mut on_duty: Vec<Duration> = on_duty.map(|(_, late)| late.unwrap()).collect();
    println!(
        "{count} pending events over {:?}, {} cancelled, the relay killed and away for {:?}: {} \
         deliveries, late by {:?} (half of them), {:?} (90 %), {:?} (99 %), {:?} (the last); {} \
         seen by a reader, none early",
        plan.over,
        cancelled.len(),
        back - killed,
        late.len(),
        percentile(&mut on_duty, 50),
        percentile(&mut on_duty, 90),
        percentile(&mut on_duty, 99),
        percentile(&mut on_duty, 100),
        visible.len(),
    );
    assert!(percentile(&mut on_duty, 99) < LATE);
    assert!(relay.stop().await.success());
}

/// When each event is due: evenly spread, not in the order of their numbers.
#[derive(Debug, Clone, Copy)]
struct Plan {
    count: u64,
    first: Instant,
    /// The same moment on the wall.
    wall: Micros,
    over: Duration,
}

impl Plan {
    fn new(count: u64) -> Self {
        // Publishing and cancelling must be done before the first falls due.
        let ahead = Duration::from_secs(if full() { 40 } else { 15 });
        let over = Duration::from_secs(if full() { 60 } else { 15 });
        Self { count, first: Instant::now() + ahead, wall: Clock::system().now().plus(ahead), over }
    }

    fn offset(&self, n: u64) -> Duration {
        // Any number without a common divisor scatters them.
        let place = n * 7_919 % self.count;
        // To the millisecond, as it is published.
        Duration::from_millis(self.over.as_secs() * 1_000 * place / self.count)
    }

    fn due(&self, n: u64) -> Instant {
        self.first + self.offset(n)
    }

    /// How late a moment is for event `n`; an error says how early.
    fn lateness(&self, n: u64, at: Instant) -> Result<Duration, Duration> {
        at.checked_duration_since(self.due(n)).ok_or_else(|| self.due(n) - at)
    }
}

/// Publishes all; answers their pending ids.
async fn publish(api: &Api, plan: &Plan) -> HashMap<u64, String> {
    let mut ids = HashMap::new();
    let numbers: Vec<u64> = (1..=plan.count).collect();
    for chunk in numbers.chunks(1_000) {
        let event = |n: &u64| {
            json!({
                "specversion": "1.0", "id": producer::id(*n), "source": "/numbers",
                "type": "number", "data": n, "deliverat": plan.wall.plus(plan.offset(*n)).to_string(),
            })
        };
        let events: Value = chunk.iter().map(event).collect();
        let request = api
            .request("POST", "/v1/topics/numbers/events")
            .header("content-type", "application/cloudevents-batch+json")
            .body(events.to_string());
        let said = api.send(request).await.ok();
        for (n, placed) in chunk.iter().zip(said["events"].as_array().unwrap()) {
            let id = &placed["pending"];
            let id = id.as_str().map_or_else(|| id.to_string(), str::to_owned);
            assert_ne!(id, "null", "{placed}");
            ids.insert(*n, id);
        }
    }
    ids
}

fn number(line: &str) -> u64 {
    let event: Value = serde_json::from_str(line).unwrap();
    event["id"].as_str().and_then(producer::number).unwrap()
}

/// An event, and how late it was; an error says how early.
type Timed = (u64, Result<Duration, Duration>);

/// Reads the log over and over while the relay comes and goes; notes when each event was seen.
struct Reader {
    seen: Arc<Mutex<Vec<Timed>>>,
    task: JoinHandle<()>,
}

impl Reader {
    fn start(api: Api, plan: Plan) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = seen.clone();
        let task = tokio::spawn(async move {
            let mut after = 0;
            let mut rhythm = tokio::time::interval(Duration::from_millis(20));
            loop {
                rhythm.tick().await;
                let path = format!("/v1/topics/numbers/events?after={after}&limit=1000");
                let request = api.request("GET", &path).header("accept", "application/x-ndjson");
                let Some(page) = api.try_send(request).await else { continue };
                let now = Instant::now();
                if page.status != 200 {
                    continue;
                }
                for line in page.body.lines() {
                    // The last line may be cut off by a kill.
                    let Ok(event) = serde_json::from_str::<Value>(line) else { break };
                    after = event["version"].as_u64().unwrap();
                    let n = number(line);
                    kept.lock().unwrap().push((n, plan.lateness(n, now)));
                }
            }
        });
        Self { seen, task }
    }

    fn stop(self) -> Vec<Timed> {
        self.task.abort();
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}
