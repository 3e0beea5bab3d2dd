//! What the tests of whole deliveries stand on.

use std::{sync::Mutex, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use sinks::{Answer, Greeting, Outcome, Parcel, RetryAfter, SilentKind, Target};
use strum::VariantArray as _;
use tokio::{sync::watch, task::JoinHandle};

use crate::{
    clock::ManualClock,
    dispatcher::*,
    event::{Data, Micros, Name, Topic, Version},
    notices::Notices,
    settings::{Delays, RetryPolicy, SubscriptionSettings, TopicSettings},
    store::{
        Append, AttemptQuery, DeadLetter, DeadSelect, NewEvent, NewSubscription, Origin, StartFrom,
        Subscription, SubscriptionSteer,
        support::{Folder, store},
    },
    telemetry::Class,
};

pub(super) const DEADLINE: Duration = Duration::from_secs(20);

/// One push as the consumer saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Push {
    pub(super) version: u64,
    pub(super) attempt: u32,
    pub(super) at: Micros,
    /// Events in it; `version` is the last.
    pub(super) count: u64,
    /// The replay job that asked for it; 0: live.
    pub(super) replay: u64,
    /// The wanted version before it; 0: not known.
    pub(super) previous: u64,
}

type Answers = Box<dyn Fn(Push) -> Outcome + Send + Sync>;

/// A consumer that answers as it is told and notes what it got.
pub(super) struct Script {
    clock: ManualClock,
    answers: Mutex<Answers>,
    pushes: Mutex<Vec<Push>>,
    count: watch::Sender<usize>,
    /// Pushes wait while this is true.
    stuck: watch::Sender<bool>,
    /// What is allowed with the consent.
    pub(super) per_minute: Mutex<Option<u32>>,
}

#[async_trait]
impl Sink for Script {
    async fn push(&self, parcel: Parcel) -> Outcome {
        let number = |name| parcel.headers[name].to_str().unwrap().parse::<u64>().unwrap();
        let attempt = u32::try_from(number("milkrun-attempt")).unwrap();
        let or = |name, other| if parcel.headers.contains_key(name) { number(name) } else { other };
        let push = Push {
            version: number("milkrun-version"),
            attempt,
            at: self.clock.now(),
            count: or("milkrun-count", 1),
            replay: or("milkrun-replay", 0),
            previous: or("milkrun-previous", 0),
        };
        self.pushes.lock().unwrap().push(push);
        self.count.send_modify(|count| *count += 1);
        let mut stuck = self.stuck.subscribe();
        stuck.wait_for(|stuck| !stuck).await.unwrap();
        (self.answers.lock().unwrap())(push)
    }

    async fn greet(&self, _: &Target, _: i64, _: Option<u32>) -> Greeting {
        // Others get a turn meanwhile, as over a network.
        tokio::task::yield_now().await;
        Greeting::Allowed { per_minute: *self.per_minute.lock().unwrap() }
    }
}

pub(super) fn status(status: u16) -> Outcome {
    let body = Bytes::from_static(b"so");
    Outcome::Answered(Answer { status, body, ..Answer::default() })
}

/// The answer to a batch of which a part was accepted.
pub(super) fn accepted_up_to(version: u64) -> Outcome {
    let accepted_up_to = Some(version);
    Outcome::Answered(Answer { status: 200, accepted_up_to, ..Answer::default() })
}

pub(super) fn busy(seconds: u64) -> Outcome {
    let retry_after = Some(RetryAfter::Seconds(seconds));
    Outcome::Answered(Answer { status: 503, retry_after, ..Answer::default() })
}

pub(super) fn reset() -> Outcome {
    Outcome::Silent { kind: SilentKind::Reset, message: "cut off".into() }
}

/// What this machine had no file left for.
pub(super) fn machine() -> Outcome {
    Outcome::Silent { kind: SilentKind::Machine, message: "too many open files".into() }
}

/// A store, a clock, a consumer and a dispatcher.
pub(super) struct Rig {
    folder: Folder,
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: ManualClock,
    pub(super) sink: Arc<Script>,
    pub(super) limits: Limits,
    metrics: Arc<Metrics>,
    soft: CancellationToken,
    hard: CancellationToken,
    running: Option<JoinHandle<bool>>,
}

pub(super) fn topic() -> Topic {
    "orders".parse().unwrap()
}

pub(super) fn name() -> Name {
    "billing".parse().unwrap()
}

/// Four at once, and three attempts ten seconds apart.
pub(super) fn settings() -> SubscriptionSettings {
    let delays = Delays::Schedule { delays: vec![Duration::from_secs(10); 2], jitter: 0.0 };
    let mut settings = SubscriptionSettings::new("http://h/x".into(), vec![]);
    settings.retry = RetryPolicy { delays, ..RetryPolicy::default() };
    settings.concurrency = 4;
    settings
}

impl Rig {
    pub(super) async fn new(settings: SubscriptionSettings) -> Self {
        let (folder, store) = store().await;
        let clock = ManualClock::new(Micros(1_700_000_000_000_000));
        let sink = Arc::new(Script {
            clock: clock.clone(),
            answers: Mutex::new(Box::new(|_| status(200))),
            pushes: Mutex::default(),
            count: watch::Sender::new(0),
            stuck: watch::Sender::new(false),
            per_minute: Mutex::default(),
        });
        let now = clock.now();
        store.put_topic(&topic(), &TopicSettings::default(), now).await.unwrap();
        let (topics, from) = (vec![topic().into()], StartFrom::Earliest);
        let new = NewSubscription { name: name(), origin: Origin::Api, topics, from, settings };
        store.put_subscription(&new, now).await.unwrap();
        let (soft, hard) = (CancellationToken::new(), CancellationToken::new());
        let (metrics, limits) = (Metrics::new(), Limits::default());
        Self { folder, store, clock, sink, limits, metrics, soft, hard, running: None }
    }

    /// Closes the store, changes rows of its file, and opens it again, with nothing in memory.
    pub(super) async fn damage(&mut self, sql: &'static str) {
        self.store.close().await;
        self.folder.run(sql).await;
        self.store = self.folder.open().await;
    }

    /// A rig with `count` events waiting and the dispatcher running.
    pub(super) async fn running(settings: SubscriptionSettings, count: u64) -> Self {
        let mut rig = Self::new(settings).await;
        rig.publish(count).await;
        rig.start();
        rig
    }

    pub(super) async fn publish(&self, count: u64) {
        self.publish_with(count, |_| String::new()).await;
    }

    /// Publishes events with more attributes, as `,"subject":"a"`, told by the version.
    pub(super) async fn publish_with(&self, count: u64, more: impl Fn(u64) -> String) {
        let head = self.store.topic(&topic()).await.unwrap().head.0;
        let event = |id: u64| NewEvent {
            source: "/s".into(),
            id: id.to_string(),
            attributes: format!(r#"{{"id":"{id}","source":"/s","type":"t"{}}}"#, more(id)).into(),
            data: Data::Json(Bytes::from_static(b"{}")),
            deliver_at: None,
        };
        let events = (head + 1..=head + count).map(event).collect();
        let append = Append { topic: topic(), events, progress: None, now: self.clock.now() };
        self.store.append(append).await.unwrap();
    }

    pub(super) fn start(&mut self) {
        (self.soft, self.hard) = (CancellationToken::new(), CancellationToken::new());
        let running = self.dispatcher().run(self.soft.clone(), self.hard.clone());
        self.running = Some(tokio::spawn(running));
    }

    pub(super) fn dispatcher(&self) -> Dispatcher {
        let clock = Clock::Manual(self.clock.clone());
        let (store, metrics) = (self.store.clone(), self.metrics.clone());
        Dispatcher::new(store, clock, self.sink.clone(), metrics, Notices::none(), self.limits)
    }

    /// Stops softly: everything that was begun is finished and saved.
    pub(super) async fn stop(&mut self) {
        let running = self.stop_softly();
        self.ended(running).await;
    }

    pub(super) fn stop_softly(&mut self) -> JoinHandle<bool> {
        self.soft.cancel();
        self.running.take().unwrap()
    }

    pub(super) async fn ended(&self, running: JoinHandle<bool>) {
        assert!(!tokio::time::timeout(DEADLINE, running).await.unwrap().unwrap(), "was cut");
    }

    /// Stops hard; answers whether attempts were under way.
    pub(super) async fn cut(&mut self) -> bool {
        self.hard.cancel();
        let running = self.running.take().unwrap();
        tokio::time::timeout(DEADLINE, running).await.unwrap().unwrap()
    }

    pub(super) fn answer(&self, answers: impl Fn(Push) -> Outcome + Send + Sync + 'static) {
        *self.sink.answers.lock().unwrap() = Box::new(answers);
    }

    pub(super) fn stick(&self, stuck: bool) {
        self.sink.stuck.send_replace(stuck);
    }

    pub(super) fn turn(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    pub(super) fn pushes(&self) -> Vec<Push> {
        self.sink.pushes.lock().unwrap().clone()
    }

    /// The versions pushed so far, in order.
    pub(super) fn versions(&self) -> Vec<u64> {
        self.pushes().iter().map(|push| push.version).collect()
    }

    /// Waits until so many pushes have come in, ever.
    pub(super) async fn pushed(&self, count: usize) {
        let mut seen = self.sink.count.subscribe();
        let waited = tokio::time::timeout(DEADLINE, seen.wait_for(|seen| *seen >= count)).await;
        let got = self.pushes().len();
        assert!(waited.is_ok(), "waited for {count} pushes, {got} came: {:?}", self.pushes());
    }

    /// Waits until so many attempts have been judged, ever.
    pub(super) async fn judged(&self, count: u64) {
        self.pushed(usize::try_from(count).unwrap()).await;
        self.until(|| self.attempts() >= count).await;
    }

    /// Whether every push has been judged.
    pub(super) fn all_judged(&self) -> bool {
        self.attempts() == self.pushes().iter().map(|push| push.count).sum::<u64>()
    }

    fn attempts(&self) -> u64 {
        Class::VARIANTS.iter().map(|class| self.class(*class)).sum()
    }

    /// Attempts that ended so.
    fn class(&self, class: Class) -> u64 {
        self.metrics.deliveries(name().as_str()).attempts(class)
    }

    /// Attempts by what they came to: those that died are counted once that is saved.
    pub(super) fn count(&self, verdict: &str) -> u64 {
        let dead = self.metrics.deliveries(name().as_str()).all_dead();
        match verdict {
            "delivered" => self.class(Class::Success),
            "dead" => dead,
            _ => self.attempts() - self.class(Class::Success) - dead,
        }
    }

    /// Lets the others run until something holds.
    pub(super) async fn until(&self, holds: impl Fn() -> bool) {
        let waited = tokio::time::timeout(DEADLINE, async {
            while !holds() {
                tokio::task::yield_now().await;
            }
        });
        assert!(waited.await.is_ok(), "it never held: {:?}", self.pushes());
    }

    pub(super) async fn subscription(&self) -> Subscription {
        self.store.subscription(&name()).await.unwrap()
    }

    /// Waits until the subscription as saved is as wanted.
    pub(super) async fn saved(&self, wanted: impl Fn(&Subscription) -> bool) -> Subscription {
        let until = tokio::time::timeout(DEADLINE, async {
            loop {
                let subscription = self.subscription().await;
                if wanted(&subscription) {
                    return subscription;
                }
            }
        });
        until.await.expect("the subscription was never saved so")
    }

    pub(super) async fn steer(&self, steer: SubscriptionSteer) {
        self.store.steer_subscription(&name(), steer, self.clock.now()).await.unwrap();
    }

    /// Waits until so many attempts are in the trace.
    pub(super) async fn traced(&self, query: AttemptQuery, count: usize) {
        let until = tokio::time::timeout(DEADLINE, async {
            while self.store.attempts(query.clone()).await.unwrap().len() < count {}
        });
        until.await.expect("the attempts were never traced");
    }

    pub(super) async fn dead_letters(&self) -> Vec<DeadLetter> {
        self.store.dead_letters(&name(), &DeadSelect::All, 0, 100_000).await.unwrap()
    }

    /// Checks that everything up to the head is settled and saved.
    pub(super) async fn all_settled(&self, head: u64) {
        let position = &self.subscription().await.positions[0];
        assert_eq!((position.reach, position.floor), (Version(head), Version(head)));
        assert_eq!(position.exceptions, 0);
    }
}
