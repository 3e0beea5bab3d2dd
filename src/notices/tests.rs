//! Notices on their way into the topic: what is told, counted, held back, dropped.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{DeadLetters, Notice, Notices, WAITING_MAX, Writer, settings};
use crate::{
    clock::{Clock, ManualClock},
    event::{Event, Micros, Name, Version},
    settings::{SubscriptionSettings, TopicSettings},
    store::{
        DeadReason, LastAnswer, NewSubscription, Origin, Read, StartFrom, Store,
        support::{Folder, store},
    },
    telemetry::Metrics,
};

struct Bench {
    _folder: Folder,
    store: Arc<dyn Store>,
    clock: ManualClock,
    metrics: Arc<Metrics>,
    notices: Notices,
    writer: Writer,
}

impl Bench {
    /// A store with the topic `orders` and the subscriptions `shop`, which gets its events, and
    /// `ops`, which gets notices.
    async fn new() -> Self {
        let (folder, store) = store().await;
        let clock = ManualClock::new(Micros(1_800_000_000_123_456));
        let orders = "orders".parse().unwrap();
        store.put_topic(&orders, &TopicSettings::default(), clock.now()).await.unwrap();
        store.put_topic(&Name::notices(), &settings(), clock.now()).await.unwrap();
        for (name, topics) in
            [("shop", vec![orders.clone()]), ("ops", vec![orders, Name::notices()])]
        {
            let new = NewSubscription {
                name: name.parse().unwrap(),
                origin: Origin::Api,
                topics: topics.into_iter().map(Into::into).collect(),
                from: StartFrom::Latest,
                settings: SubscriptionSettings::new("https://a.example/".into(), Vec::new()),
            };
            store.put_subscription(&new, clock.now()).await.unwrap();
        }
        let metrics = Metrics::new();
        let manual = Clock::Manual(clock.clone());
        let (notices, writer) = Notices::new(store.clone(), manual, metrics.clone());
        Self { _folder: folder, store, clock, metrics, notices, writer }
    }

    async fn events(&self) -> Vec<Arc<Event>> {
        self.store.read(&Name::notices(), Read::after(Version::ZERO)).await.unwrap().events
    }

    /// Type, subject and the count in the data, as far as there is one.
    async fn told(&self) -> Vec<(String, String, Option<u64>)> {
        let events = self.events().await;
        let read = |event: &Arc<Event>| {
            let data: serde_json::Value = serde_json::from_slice(event.data.bytes()).unwrap();
            let attribute = |name| event.attributes.get(name).unwrap();
            (attribute("type"), attribute("subject"), data["count"].as_u64())
        };
        events.iter().map(read).collect()
    }
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn recovered(subscription: &str) -> Notice {
    Notice::Recovered { subscription: name(subscription), since: Micros(1_800_000_000_000_000) }
}

fn dead(subscription: &str, version: u64) -> Notice {
    Notice::DeadLetters(DeadLetters {
        subscription: name(subscription),
        count: 1,
        topic: name("orders"),
        version: Version(version),
        reason: DeadReason::Attempts,
        attempts: 9,
        last: LastAnswer { status: Some(500), error: None },
    })
}

#[tokio::test]
async fn a_notice_is_an_event_like_any_other() {
    let mut bench = Bench::new().await;
    bench.notices.tell(Notice::Failing {
        subscription: name("shop"),
        reason: "5 attempts in a row failed".into(),
        since: bench.clock.now(),
        last: LastAnswer { status: Some(503), error: None },
    });
    // The time is that of the telling, not of the append.
    bench.clock.advance(Duration::from_secs(5));
    assert_eq!(bench.writer.step().await.unwrap(), None);
    let events = bench.events().await;
    let event = &events[0];
    let id: uuid::Uuid = event.attributes.get("id").unwrap().parse().unwrap();
    assert_eq!(id.get_version_num(), 7);
    for (attribute, value) in [
        ("source", "milkrun"),
        ("type", "subscription.failing"),
        ("subject", "shop"),
        ("time", "2027-01-15T08:00:00.123456Z"),
        ("datacontenttype", "application/json"),
    ] {
        assert_eq!(event.attributes.get(attribute).as_deref(), Some(value));
    }
    let data: serde_json::Value = serde_json::from_slice(event.data.bytes()).unwrap();
    assert_eq!(
        data,
        serde_json::json!({
            "subscription": "shop",
            "reason": "5 attempts in a row failed",
            "since": "2027-01-15T08:00:00.123456Z",
            "last": { "status": 503, "error": null },
        })
    );
}

#[tokio::test]
async fn nothing_is_told_of_who_gets_notices() {
    let mut bench = Bench::new().await;
    for subscription in ["ops", "shop", "nobody"] {
        bench.notices.tell(recovered(subscription));
        bench.notices.tell(dead(subscription, 1));
    }
    bench.writer.step().await.unwrap();
    let about: Vec<_> =
        bench.told().await.into_iter().map(|(kind, about, _)| (kind, about)).collect();
    let expected = ["subscription.recovered", "dead_letter.added"];
    assert_eq!(about, expected.map(|kind| (kind.to_owned(), "shop".to_owned())));
}

#[tokio::test]
async fn dead_letters_are_told_of_once_a_minute_with_their_count() {
    let mut bench = Bench::new().await;
    let start = bench.clock.now();
    // One every two seconds for three minutes.
    let mut due = None;
    for version in 1..=90 {
        bench.notices.tell(dead("shop", version));
        due = bench.writer.step().await.unwrap();
        bench.clock.advance(Duration::from_secs(2));
    }
    assert_eq!(due, Some(start.plus(Duration::from_mins(3))));
    bench.writer.step().await.unwrap();
    let counts: Vec<_> = bench.told().await.into_iter().map(|told| told.2.unwrap()).collect();
    assert_eq!(counts, [1, 30, 30, 29], "none is told twice or lost");
    // A minute of peace, and the next is told of at once.
    bench.clock.advance(Duration::from_mins(1));
    assert_eq!(bench.writer.step().await.unwrap(), None);
    bench.notices.tell(dead("shop", 91));
    bench.writer.step().await.unwrap();
    assert_eq!(bench.told().await.len(), 5);
}

#[tokio::test]
async fn what_finds_no_room_is_counted() {
    let mut bench = Bench::new().await;
    for _ in 0..WAITING_MAX + 3 {
        bench.notices.tell(recovered("shop"));
    }
    assert_eq!(bench.metrics.notices_dropped.get(), 3);
    let text = bench.metrics.encode(&[]);
    assert!(text.contains("milkrun_notices_dropped_total 3\n"), "{text}");
    let due = bench.writer.step().await.unwrap();
    assert_eq!(due, Some(bench.clock.now()), "there is more");
    while bench.writer.step().await.unwrap().is_some() {}
    let head = bench.store.topic(&Name::notices()).await.unwrap().head;
    assert_eq!(head, Version(WAITING_MAX as u64));
    Notices::none().tell(recovered("shop"));
}

#[tokio::test]
async fn a_store_that_refuses_gets_the_same_notices_again() {
    let mut bench = Bench::new().await;
    let later = name("later");
    bench.writer.topic = later.clone();
    bench.notices.tell(recovered("shop"));
    assert!(bench.writer.step().await.is_err());
    bench.notices.tell(dead("shop", 1));
    assert!(bench.writer.step().await.is_err());
    bench.store.put_topic(&later, &settings(), bench.clock.now()).await.unwrap();
    while bench.writer.step().await.unwrap() == Some(bench.clock.now()) {}
    let page = bench.store.read(&later, Read::after(Version::ZERO)).await.unwrap();
    assert_eq!(page.events.len(), 2);
    assert_eq!(bench.metrics.notices_dropped.get(), 0);
}

#[tokio::test]
async fn the_loop_wakes_and_tells_all_at_the_stop() {
    let bench = Bench::new().await;
    let stop = CancellationToken::new();
    let mut head = bench.store.head(&Name::notices()).await.unwrap();
    let running = tokio::spawn(bench.writer.run(stop.clone()));
    bench.notices.tell(dead("shop", 1));
    let limit = Duration::from_secs(10);
    tokio::time::timeout(limit, head.wait_for(|head| head.0 == 1)).await.unwrap().unwrap();
    // Its minute is not over, but there will be no later.
    bench.notices.tell(dead("shop", 2));
    stop.cancel();
    tokio::time::timeout(limit, running).await.unwrap().unwrap();
    assert_eq!(bench.store.topic(&Name::notices()).await.unwrap().head, Version(2));
}
