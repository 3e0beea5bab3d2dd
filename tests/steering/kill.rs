//! SIGKILL with everything under way at once: afterwards every event is accounted for.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use milkrun::clock::Clock;
use serde_json::{Value, json};

use super::{
    RUN,
    hooks::{Hook, Hooks, Said, Seen},
    publish_keyed, subscribe,
};
use crate::{
    history::{self, Fault, History, Rules, check, entries},
    process::seeded,
    support::{Api, Place, eventually, scaled},
};

const KEYS: u64 = 20;
/// Deliveries of one subscription that are in flight at the kill.
const IN_FLIGHT: usize = 500;
/// One in so many fails at one subscription until the relay was killed.
const FAILING: u64 = 10;

/// What is sent again after the kill may be old: everything was slow.
const RULES: Rules =
    Rules { reading: Duration::from_millis(100), unsaved_max: None, recovery_max: None };

/// The hooks, by their numbers.
const SLOW: u32 = 0;
const SICK: u32 = 1;
const KEYED: u32 = 2;
const REPLAYED: u32 = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_with_everything_under_way_it_accounts_for_every_event() {
    let count = scaled(2_000, 20_000) as u64;
    let pending = scaled(200, 2_000) as u64;
    let place = Place::new("topics: { numbers: {} }\n");
    let relay = place.start().await;
    let killed = Arc::new(AtomicBool::new(false));
    let hooks = Hooks::start(script(killed.clone())).await;
    let api = relay.api();

    // A replay job beside a live position that has nothing left to do.
    subscribe(api, "replayed", &hooks.url(REPLAYED), &json!({ "concurrency": 64 })).await;
    publish_keyed(api, 1, count, KEYS).await;
    let versions = usize::try_from(count).unwrap();
    hooks.until(RUN, "the live position", |counts| counts.accepted >= versions).await;
    let job = json!({ "from": "earliest", "to": count, "rate": "200/s" });
    let job = api.post("/v1/subscriptions/replayed/replays", &job).await.ok();
    let job = job["id"].as_str().map_or_else(|| job["id"].to_string(), str::to_owned);

    let due = Duration::from_secs(20);
    publish_pending(api, count + 1, count + pending, due).await;
    let slow = json!({ "concurrency": 600, "webhook": { "timeout": "5m" } });
    subscribe(api, "slow", &hooks.url(SLOW), &merged(slow, &hooks.url(SLOW))).await;
    let sick =
        json!({ "retry": { "schedule": ["200ms", "5s", "5s", "5s", "5s"], "max_attempts": 20 } });
    subscribe(api, "sick", &hooks.url(SICK), &sick).await;
    let keyed = json!({
        "order": "key", "concurrency": 64, "hold": { "interval": "20ms", "max_interval": "20ms" },
        "retry": { "exponential": { "initial": "5ms", "max": "20ms" }, "max_attempts": 1000 },
    });
    subscribe(api, "keyed", &hooks.url(KEYED), &keyed).await;
    hooks.until(RUN, "so many in flight", |counts| counts.open >= IN_FLIGHT).await;
    eventually("some that are tried again", || async {
        let position = live(api, "sick").await;
        (position["exceptions"].as_u64() >= Some(1)).then_some(())
    })
    .await;
    let progress = |seen: &[Seen]| seen.iter().filter(|seen| seen.replayed).count();
    eventually("the replay under way", || async { (progress(&hooks.seen()) >= 50).then_some(()) })
        .await;

    let at = relay.kill().await;
    killed.store(true, SeqCst);
    let before = hooks.seen();
    assert!(progress(&before) < versions, "the replay was over before the kill");
    let relay = place.start().await;
    let api = relay.api();
    let left = api.get("/v1/topics/numbers/pending?limit=1").await.ok();
    assert_eq!(left["pending"].as_array().map(Vec::len), Some(1), "nothing pending: {left}");
    let shown = api.get(&format!("/v1/subscriptions/replayed/replays/{job}")).await.ok();
    assert_eq!(shown["status"], "running", "{shown}");

    let all = count + pending;
    relay.until_head("numbers", all).await;
    for name in ["slow", "sick", "keyed", "replayed"] {
        settled(api, name, all).await;
    }
    eventually("the replay complete", || async {
        let shown = api.get(&format!("/v1/subscriptions/replayed/replays/{job}")).await.ok();
        (shown["status"] == "done").then_some(())
    })
    .await;
    check_replay(&hooks.seen(), count);
    let figures = check(&history(&hooks.seen(), at, &api.log("numbers").await), &RULES).clean();
    println!(
        "killed with {} requests open, {} of the replay done: {all} events accounted for by four \
         subscriptions, {figures:?}",
        before.iter().filter(|seen| seen.answered.is_none()).count(),
        progress(&before),
    );
    assert!(relay.stop().await.success());
}

/// Until the kill one hook answers nothing, and one refuses every tenth event; one fails at random
/// all the time.
fn script(killed: Arc<AtomicBool>) -> impl Fn(&Hook) -> Said + Send + Sync + 'static {
    let dice = Mutex::new(seeded());
    move |hook| match hook.whose {
        SLOW if !killed.load(SeqCst) => Said::after(RUN, 204),
        SICK if !killed.load(SeqCst) && hook.version.is_multiple_of(FAILING) => Said::status(500),
        KEYED if dice.lock().unwrap().u8(0..10) < 3 => Said::status(500),
        KEYED => Said::after(Duration::from_millis(1), 204),
        _ => Said::status(204),
    }
}

/// A webhook's settings replace those of [`subscribe`] as a whole.
fn merged(mut more: Value, url: &str) -> Value {
    more["webhook"]["url"] = url.into();
    more
}

/// Publishes events that fall due together, `ahead` from now.
async fn publish_pending(api: &Api, first: u64, last: u64, ahead: Duration) {
    let due = Clock::system().now().plus(ahead).to_string();
    let event = |n: u64| {
        json!({
            "specversion": "1.0", "id": n.to_string(), "source": "/numbers", "type": "number",
            "partitionkey": format!("k{}", n % KEYS), "data": n, "deliverat": due,
        })
    };
    let events: Value = (first..=last).map(event).collect();
    let request = api
        .request("POST", "/v1/topics/numbers/events")
        .header("content-type", "application/cloudevents-batch+json")
        .body(events.to_string());
    api.send(request).await.ok();
}

/// The live position of a subscription, as the API shows it.
async fn live(api: &Api, name: &str) -> Value {
    let shown = api.get(&format!("/v1/subscriptions/{name}")).await.ok();
    let positions = shown["positions"].as_array().unwrap();
    positions.iter().find(|position| position["job"].is_null()).unwrap().clone()
}

/// Waits until the API says that a subscription has everything up to `version`.
async fn settled(api: &Api, name: &str, version: u64) {
    eventually(&format!("{name} to have everything"), || async {
        let position = live(api, name).await;
        assert_eq!(position["dead_letters"], 0, "{name}: {position}");
        let done = position["floor"].as_u64() == Some(version);
        done.then_some(())
    })
    .await;
}

/// The replay job sent what it was to send, and no more.
fn check_replay(seen: &[Seen], count: u64) {
    let again = seen.iter().filter(|seen| seen.replayed && seen.accepted());
    let versions: HashSet<u64> = again.map(|seen| seen.version).collect();
    assert!((1..=count).all(|version| versions.contains(&version)), "the replay has gaps");
    assert!(versions.iter().all(|version| *version <= count), "the replay went too far");
}

/// What live positions sent, to be checked.
fn history(seen: &[Seen], killed: Instant, log: &[String]) -> History {
    let topic = history::Topic { log: entries(log), ..Default::default() };
    let subscription = |whose: u32| {
        let live = seen.iter().filter(|seen| seen.whose == whose && !seen.replayed);
        let delivery = |seen: &Seen| history::Delivery {
            version: seen.version,
            started: seen.arrived,
            finished: seen.answered,
            accepted: seen.accepted(),
        };
        let in_order = whose == KEYED;
        let topic = "numbers".to_owned();
        let deliveries = live.map(delivery).collect();
        (whose.to_string(), history::Subscription { topic, in_order, busy: false, deliveries })
    };
    History {
        topics: [("numbers".to_owned(), topic)].into(),
        subscriptions: [SLOW, SICK, KEYED, REPLAYED].map(subscription).into(),
        faults: vec![Fault::at("a kill", killed)],
        ..History::default()
    }
}
