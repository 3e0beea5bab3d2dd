//! The built binary with its wall set back and forth: at the start, under load, on hold, in the middle
//! of a walk and of a retry. Nothing stops, nothing is early, nothing is deleted or disabled.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::support::{Answer, Library, Place, Producer, Receiver, full, receiver::Delivery};

const HOUR_US: i64 = 3_600_000_000;
const PAGE: u64 = 5;
/// The pause before the retry that is watched, and before each trial of the endpoint on hold.
const PAUSE: Duration = Duration::from_secs(4);
/// Nothing stops for longer.
const STOP_MAX: Duration = Duration::from_secs(2);
/// Nothing is earlier.
const EARLY_MAX: Duration = Duration::from_secs(1);

/// Back by an hour and a minute, forth by an hour and a year; in the short form the first and last.
fn leaps_us() -> Vec<i64> {
    let year_us = 365 * 24 * HOUR_US;
    if full() { vec![-HOUR_US, -60_000_000, HOUR_US, year_us] } else { vec![-HOUR_US, year_us] }
}

/// The wall of one place.
struct Wall(PathBuf);

impl Wall {
    fn of(place: &mut Place, library: &Library) -> Self {
        let wall = Self(place.path("clock"));
        wall.set(0);
        library.load(place);
        place.env("CLOCK_FILE", wall.0.to_str().unwrap());
        wall
    }

    fn set(&self, ahead_us: i64) {
        // In place: the relay has it mapped.
        let file = fs::File::options().create(true).write(true).truncate(false).open(&self.0);
        std::os::unix::fs::FileExt::write_all_at(&file.unwrap(), &ahead_us.to_ne_bytes(), 0)
            .unwrap();
    }
}

/// A producer with a load, a consumer of it, one that refuses first attempts, and one that is down.
struct Scene {
    place: Place,
    wall: Wall,
    producer: Producer,
    healthy: Receiver,
    again: Receiver,
    held: Receiver,
}

impl Scene {
    async fn new(library: &Library) -> Self {
        let producer = Producer::start(PAGE).await;
        let healthy = Receiver::accepting().await;
        let again =
            Receiver::start(|push| Answer::status(if push.attempt == 1 { 500 } else { 204 }));
        let held = Receiver::start(|_| Answer::status(502));
        let (again, held) = (again.await, held.await);
        let mut place = Place::new(&config(&producer, [&healthy, &again, &held]));
        let wall = Wall::of(&mut place, library);
        Self { place, wall, producer, healthy, again, held }
    }

    /// Lets events happen for so long: a walk of several pages is under way nearly always.
    async fn run(&self, time: Duration) {
        let began = Instant::now();
        while began.elapsed() < time {
            self.producer.emit(2 * PAGE + 1);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Nothing is missing, everything is in force.
    async fn check(&self, leap_us: i64) {
        let api = self.place.api();
        let topic = api.get("/v1/topics/numbers").await.ok();
        assert_eq!(topic["oldest"], 1, "{leap_us}: events were deleted: {topic}");
        for name in ["healthy", "again", "held"] {
            let known = api.get(&format!("/v1/subscriptions/{name}")).await.ok();
            assert_eq!(known["status"], "active", "{leap_us}: {known}");
        }
        let dead = api.get("/v1/subscriptions/again/dead-letters").await.ok();
        assert_eq!(dead["dead_letters"].as_array().map(Vec::len), Some(0), "{leap_us}: {dead}");
    }
}

fn config(producer: &Producer, hooks: [&Receiver; 3]) -> String {
    let [healthy, again, held] = hooks.map(Receiver::url);
    let http = producer.http(PAGE);
    let seconds = PAUSE.as_secs();
    format!(
        "topics: {{ numbers: {{ retention: {{ age: 30m, owed: 10m }} }} }}\n\
         sources:\n  - name: numbers\n    topic: numbers\n    \
         interval: {{ every: 200ms, min: 20ms, max: 200ms }}\n    http: {http}\n\
         subscriptions:\n\
         \x20 - {{ name: healthy, topic: numbers, from: earliest, webhook: {{ url: \"{healthy}\" }} }}\n\
         \x20 - {{ name: again, topic: numbers, from: earliest, retry: {{ schedule: [{seconds}s], jitter: 0 }}, \
         hold: {{ after: 1000 }}, webhook: {{ url: \"{again}\" }} }}\n\
         \x20 - {{ name: held, topic: numbers, from: earliest, hold: {{ interval: {seconds}s, max_interval: {seconds}s }}, \
         webhook: {{ url: \"{held}\" }} }}\n"
    )
}

/// The longest time without a delivery.
fn longest_pause(deliveries: &[Delivery], since: Instant) -> Duration {
    let mut times: Vec<Instant> = deliveries.iter().map(|push| push.started).collect();
    times.retain(|time| *time >= since);
    times.insert(0, since);
    times.push(Instant::now());
    times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
}

/// Every second attempt came when its pause was over; answers how many there were.
fn check_retries(deliveries: &[Delivery], leap_us: i64) -> usize {
    let first = |version| {
        deliveries.iter().find(|push| push.version == version && push.attempt == 1).unwrap()
    };
    let seconds = deliveries.iter().filter(|push| push.attempt == 2);
    let mut count = 0;
    for second in seconds {
        let waited = second.started - first(second.version).started;
        assert!(waited + EARLY_MAX >= PAUSE, "{leap_us}: a retry was early: {waited:?}");
        assert!(waited <= PAUSE + STOP_MAX, "{leap_us}: a retry was late: {waited:?}");
        count += 1;
    }
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn measured_leaps_of_the_wall_stop_nothing_and_hurry_nothing() {
    let library = Library::build("process/clock.c");
    for leap_us in leaps_us() {
        let scene = Scene::new(&library).await;
        let relay = scene.place.start().await;
        scene.run(PAUSE + Duration::from_secs(1)).await;
        let held_before = scene.held.requests();
        assert!(held_before > 0 && scene.again.requests() > 0, "nothing is on hold, or retried");

        let leapt = Instant::now();
        scene.wall.set(leap_us);
        scene.run(2 * PAUSE).await;

        let pause = longest_pause(&scene.healthy.deliveries(), leapt);
        assert!(pause <= STOP_MAX, "{leap_us}: deliveries stopped for {pause:?}");
        let retried = check_retries(&scene.again.deliveries(), leap_us);
        let trials = scene.held.requests() - held_before;
        assert!((1..=3).contains(&trials), "{leap_us}: {trials} trials in {:?}", 2 * PAUSE);
        scene.check(leap_us).await;
        let notices = scene.place.api().log("milkrun.notices").await;
        let told = |line: &String| {
            let notice: Value = serde_json::from_str(line).unwrap();
            notice["type"] == "clock.set"
                && notice["data"]["by_ms"]
                    .as_i64()
                    .is_some_and(|by_ms| (by_ms - leap_us / 1_000).abs() < 1_000)
        };
        assert!(notices.iter().any(told), "{leap_us}: no notice: {notices:?}");
        assert!(scene.place.printed().contains("the machine's clock was set"));
        assert!(relay.stop().await.success());
        println!(
            "set by {} s: longest pause {pause:?}, {retried} retries on time",
            leap_us / 1_000_000
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn measured_a_start_with_the_wall_set_stops_nothing_and_deletes_nothing() {
    let library = Library::build("process/clock.c");
    for leap_us in leaps_us() {
        let scene = Scene::new(&library).await;
        let relay = scene.place.start().await;
        scene.run(PAUSE).await;
        assert!(relay.stop().await.success());
        let retried = scene.again.deliveries().len();

        scene.wall.set(leap_us);
        let relay = scene.place.start().await;
        let ready = Instant::now();
        scene.run(PAUSE + STOP_MAX).await;
        let pause = longest_pause(&scene.healthy.deliveries(), ready);
        assert!(pause <= STOP_MAX, "{leap_us}: deliveries stopped for {pause:?}");
        let again = scene.again.deliveries();
        let owed = again[..retried].iter().filter(|push| push.attempt == 1);
        for push in owed {
            let second =
                again.iter().find(|next| next.version == push.version && next.attempt == 2);
            assert!(second.is_some(), "{leap_us}: version {} is not retried", push.version);
        }
        scene.check(leap_us).await;
        assert!(relay.stop().await.success());
        println!("started with the wall set by {} s: longest pause {pause:?}", leap_us / 1_000_000);
    }
}
