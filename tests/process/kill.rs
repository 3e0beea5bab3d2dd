//! Nothing lost, nothing renumbered: SIGKILL at random instants under load.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::task::JoinHandle;

use crate::{
    history::{self, Fault, History, Rules, check, entries},
    support::{
        Answer, Api, Place, Producer, Receiver,
        producer::{id, item, number},
        receiver::Delivery,
        scaled,
    },
};

const PAGE: u64 = 50;
/// Settlements are saved at most so far apart.
const UNSAVED: Duration = Duration::from_millis(50);
/// How long after a kill the consumer may still be reading what the relay had sent before it.
const READING: Duration = Duration::from_millis(100);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_random_instants_it_loses_and_renumbers_nothing() {
    let kills = scaled(5, 50);
    let mut dice = seeded();
    // Two of them in one topic: what order their events come in is decided anew by every run, so
    // that a version given out before its commit would mean something else after a kill.
    let producers = [Producer::start(PAGE).await, Producer::above(1_000_000, PAGE).await];
    let answers = Answer { status: 204, delay: Duration::from_millis(2) };
    let receiver = Receiver::start(move |_| answers).await;
    let place = Place::new(&config(&producers, &receiver.url()));
    let reader = Reader::start(place.api());

    let mut killed = Vec::new();
    for round in 1..=kills {
        let relay = place.start().await;
        // Work is under way at every kill: more events than the relay can have finished by then.
        for producer in &producers {
            producer.emit(dice.u64(50..400));
        }
        tokio::time::sleep(Duration::from_micros(dice.u64(0..600_000))).await;
        killed.push(relay.kill().await);
        assert!(receiver.requests() > 0 || round < 3, "the kills come before any work");
    }
    let relay = place.start().await;
    let numbers: Vec<u64> = producers.iter().flat_map(Producer::numbers).collect();
    let count = numbers.len() as u64;
    relay.until_head("numbers", count).await;
    receiver.until_accepted(usize::try_from(count).unwrap()).await;

    let log = relay.api().log("numbers").await;
    let contents = check_log(&log, &numbers);
    let seen = reader.stop();
    for (version, event) in &seen {
        assert_eq!(Some(event), contents.get(version), "version {version} was renumbered");
    }
    let deliveries = receiver.deliveries();
    check_contents(&deliveries, &contents);
    let figures = check(&history(&producers, &log, &deliveries, &killed), &rules()).clean();
    println!("{kills} kills: {} versions read while it ran, {figures:?}", seen.len());
    assert_eq!(relay.api().head("numbers").await, count, "an event was appended twice");
    assert!(relay.stop().await.success());
}

fn config(producers: &[Producer], hook: &str) -> String {
    let mut yaml = format!(
        "subscriptions:\n  - name: sink\n    topic: numbers\n    from: earliest\n    \
         webhook: {{ url: \"{hook}\", secret: {{ env: HOOK_SECRET }} }}\nsources:\n"
    );
    for (at, producer) in producers.iter().enumerate() {
        let http = producer.http(PAGE);
        write!(
            yaml,
            "  - name: numbers-{at}\n    topic: numbers\n    \
             interval: {{ every: 50ms, min: 10ms, max: 50ms }}\n    http: {http}\n"
        )
        .unwrap();
    }
    yaml
}

/// Dice with a seed that is printed, and may be given as `MILKRUN_SEED`.
pub(crate) fn seeded() -> fastrand::Rng {
    let given = std::env::var("MILKRUN_SEED").ok().map(|seed| seed.parse().unwrap());
    let seed = given.unwrap_or_else(|| fastrand::u64(..));
    println!("MILKRUN_SEED={seed}");
    fastrand::Rng::with_seed(seed)
}

/// The events with these numbers, which rise, are in the log once each, without a gap between the
/// versions and with their own bytes; answers the lines by version.
pub(super) fn check_log(log: &[String], numbers: &[u64]) -> BTreeMap<u64, String> {
    let mut found = Vec::new();
    let mut contents = BTreeMap::new();
    for (version, line) in (1..).zip(log) {
        let event: Value = serde_json::from_str(line).unwrap();
        assert_eq!(event["version"].as_u64(), Some(version), "a gap in {line}");
        let n = event["id"].as_str().and_then(number).unwrap();
        assert!(line.contains(&item(n)), "{line} has not the bytes of {}", item(n));
        found.push(n);
        contents.insert(version, line.clone());
    }
    found.sort_unstable();
    let missing: Vec<_> = numbers.iter().filter(|n| found.binary_search(n).is_err()).collect();
    assert!(missing.is_empty(), "{} events are missing: {missing:?}", missing.len());
    assert_eq!(found, numbers, "an event is there twice");
    contents
}

/// What consumers got of an event is the same each time, with its own bytes.
fn check_contents(deliveries: &[Delivery], contents: &BTreeMap<u64, String>) {
    let mut first: BTreeMap<u64, &Delivery> = BTreeMap::new();
    for delivery in deliveries {
        let version = delivery.version;
        let n = event_number(&contents[&version]);
        let body = std::str::from_utf8(&delivery.body).unwrap();
        assert!(body.contains(&item(n)), "version {version} came with {body}");
        let first = first.entry(version).or_insert(delivery);
        assert_eq!(delivery.body, first.body, "version {version} changed");
        assert_eq!(delivery.id, first.id, "version {version} changed its webhook-id");
    }
}

/// What was sent again is explained by a kill, and was not accepted long before it.
fn rules() -> Rules {
    // What two commits (the one under way when a settlement came, and its own) and the wake-ups may
    // take beyond that; an unoptimised build on two busy cores takes much longer.
    let commits = Duration::from_millis(scaled(400, 50) as u64);
    Rules { reading: READING, unsaved_max: Some(UNSAVED + commits), recovery_max: None }
}

/// What happened, to be checked.
fn history(
    producers: &[Producer],
    log: &[String],
    deliveries: &[Delivery],
    killed: &[Instant],
) -> History {
    let emitted = producers.iter().map(|producer| producer.numbers().map(id).collect());
    let topic =
        history::Topic { emitted: emitted.collect(), log: entries(log), ..Default::default() };
    let delivery = |one: &Delivery| history::Delivery {
        version: one.version,
        started: one.started,
        finished: one.finished,
        accepted: one.accepted(),
    };
    let deliveries = deliveries.iter().map(delivery).collect();
    let sink = history::Subscription { topic: "numbers".into(), deliveries, ..Default::default() };
    History {
        topics: [("numbers".to_owned(), topic)].into(),
        subscriptions: [("sink".to_owned(), sink)].into(),
        faults: killed.iter().map(|at| Fault::at("a kill", *at)).collect(),
        ..History::default()
    }
}

fn event_number(line: &str) -> u64 {
    let event: Value = serde_json::from_str(line).unwrap();
    event["id"].as_str().and_then(number).unwrap()
}

/// Reads the topic `numbers` over the API while the relay comes and goes, and keeps what each
/// version had when it was first seen.
pub(super) struct Reader {
    seen: Arc<Mutex<BTreeMap<u64, String>>>,
    task: JoinHandle<()>,
}

impl Reader {
    pub(super) fn start(api: Api) -> Self {
        let seen = Arc::<Mutex<BTreeMap<u64, String>>>::default();
        let kept = seen.clone();
        let task = tokio::spawn(async move {
            let mut rhythm = tokio::time::interval(Duration::from_millis(5));
            loop {
                rhythm.tick().await;
                let after = kept.lock().unwrap().last_key_value().map_or(0, |(last, _)| *last);
                let path = format!("/v1/topics/numbers/events?after={after}&limit=1000");
                let request = api.request("GET", &path).header("accept", "application/x-ndjson");
                let Some(page) = api.try_send(request).await else { continue };
                if page.status != 200 {
                    continue;
                }
                for line in page.body.lines() {
                    // The last line may be cut off by a kill.
                    let Ok(event) = serde_json::from_str::<Value>(line) else { continue };
                    let version = event["version"].as_u64().unwrap();
                    kept.lock().unwrap().insert(version, line.to_owned());
                }
            }
        });
        Self { seen, task }
    }

    pub(super) fn stop(self) -> BTreeMap<u64, String> {
        self.task.abort();
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}
