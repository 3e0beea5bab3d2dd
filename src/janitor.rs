//! The role `janitor`: keeps every table within its bounds, piece by piece, and tells what the store
//! has to say of itself.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use self::losses::Losses;
use crate::{
    clock::{CONFIRMED_AFTER, Clock},
    event::{Micros, Topic},
    holdings::Claimed,
    notices::{DeadLetters, Notice, Notices},
    store::{DeadReason, Expired, LastAnswer, Store, StoreError, Trimmed, Work},
    telemetry::Metrics,
};

mod losses;

/// The pause when there was nothing more to remove: so long a topic may be over its cap.
const IDLE: Duration = Duration::from_secs(5);
/// The pause between two pieces: appends go first.
const BETWEEN: Duration = Duration::from_millis(20);
/// How often the caps are looked at.
const LOOK_EVERY: Duration = Duration::from_mins(1);
/// How often the store is told which moment has come.
const KEEP_EVERY: Duration = Duration::from_mins(1);
/// A clock that is ahead of what the store last knew by this is told of.
const TOLD_AHEAD: Duration = Duration::from_hours(1);
/// From this share of its cap on, a topic is said to be nearly full.
const NEARLY_FULL_PERCENT: u64 = 80;

/// Removes what is past its time or limit.
pub struct Janitor {
    store: Arc<dyn Store>,
    clock: Clock,
    notices: Notices,
    metrics: Arc<Metrics>,
    held: Claimed,
    looked: Option<Micros>,
    /// Topics that were said to be nearly full, and are.
    nearly_full: HashSet<Topic>,
    trust: Option<Trust>,
    losses: Losses,
}

/// How far the clock is trusted after a start: a machine that was off for long and one whose clock
/// is wrong look alike, so what seems to have passed meanwhile deletes nothing for hours.
#[derive(Debug, Clone, Copy)]
struct Trust {
    /// The latest moment that the store knew.
    known: Option<Micros>,
    /// When this process began, by the steady reading.
    began: Micros,
    /// When the store was last told.
    kept: Micros,
}

impl Trust {
    fn now(&self, clock: &Clock) -> Micros {
        let (believed, up) = (clock.believed(), clock.steady().since(self.began));
        match self.known {
            Some(known) if up < CONFIRMED_AFTER => believed.min(known.plus(up)),
            _ => believed,
        }
    }
}

impl Janitor {
    /// A janitor of this store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, clock: Clock, notices: Notices) -> Self {
        let nearly_full = HashSet::new();
        let (looked, trust, losses) = (None, None, Losses::default());
        let held = Claimed::everything(Work::Retention);
        let metrics = Metrics::new();
        Self { store, clock, notices, metrics, held, looked, nearly_full, trust, losses }
    }

    /// Removes while this node holds that work.
    #[must_use]
    pub fn holding(self, held: Claimed) -> Self {
        Self { held, ..self }
    }

    /// Counts what was owed and went.
    #[must_use]
    pub fn counting(self, metrics: Arc<Metrics>) -> Self {
        Self { metrics, ..self }
    }

    /// Removes one piece; answers whether there is more.
    ///
    /// # Errors
    /// As the store has them; the next step tries again.
    pub async fn step(&mut self) -> Result<bool, StoreError> {
        self.tell_of_the_store().await;
        let trust = self.trust().await?;
        let now = self.clock.steady();
        let trimmed = self.store.trim(trust.now(&self.clock)).await?;
        self.losses.add(&trimmed);
        let lines = self.losses.lines(now);
        for line in lines.owed {
            tracing::warn!(event = "dead_letter.added", "{line}");
        }
        if let Some(line) = lines.dead_letters {
            tracing::warn!(event = "dead_letter.removed", "{line}");
        }
        let Trimmed { more, expired, damage, .. } = trimmed;
        for damage in damage {
            self.notices.tell(Notice::Damaged(damage));
        }
        for expired in expired {
            self.tell_of(expired);
        }
        if !more && self.looked.is_none_or(|looked| now.since(looked) >= LOOK_EVERY) {
            self.looked = Some(now);
            self.look_at_caps().await?;
        }
        Ok(more)
    }

    /// How far the clock is trusted; what is trusted is kept for the next process.
    async fn trust(&mut self) -> Result<Trust, StoreError> {
        let steady = self.clock.steady();
        let mut trust = match self.trust {
            Some(trust) => trust,
            None => self.begin(steady).await?,
        };
        if steady.since(trust.kept) >= KEEP_EVERY {
            self.store.keep_believed(trust.now(&self.clock)).await?;
            trust.kept = steady;
        }
        self.trust = Some(trust);
        Ok(trust)
    }

    async fn begin(&self, steady: Micros) -> Result<Trust, StoreError> {
        let known = self.store.believed().await?;
        let ahead = known.map_or(Duration::ZERO, |known| self.clock.believed().since(known));
        if ahead >= TOLD_AHEAD {
            tracing::info!(
                event = "clock.ahead",
                ahead_s = ahead.as_secs(),
                confirmed_after_s = CONFIRMED_AFTER.as_secs(),
                "the clock is ahead of what the store last knew; until it is confirmed that time \
                 deletes nothing"
            );
        }
        Ok(Trust { known, began: steady, kept: Micros(0) })
    }

    /// Steps until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            if self.held.is_empty() {
                self.tell_of_the_store().await;
                let idle = tokio::time::timeout(IDLE, self.held.any());
                stop.run_until_cancelled(idle).await;
                continue;
            }
            let pause = match self.step().await {
                Ok(true) => BETWEEN,
                Ok(false) => IDLE,
                Err(error) => {
                    tracing::error!(
                        event = "store.retention_failed", %error,
                        "old events were not removed; tried again soon"
                    );
                    IDLE
                }
            };
            stop.run_until_cancelled(self.clock.pause(pause)).await;
        }
    }

    /// What the store has to say of itself; also when it takes nothing at present. What every node
    /// sees is told by the one that keeps the notices.
    async fn tell_of_the_store(&self) {
        for news in self.store.news() {
            if !news.is_seen_by_all() || self.keeps_notices().await {
                self.notices.tell(Notice::Store(news));
            }
        }
    }

    /// Unless that can be denied: twice is better than never.
    async fn keeps_notices(&self) -> bool {
        self.store.topic(&Topic::notices()).await.map_or(true, |topic| self.held.has(topic.id))
    }

    /// A range of owed events that went is a dead letter of a kind.
    fn tell_of(&self, expired: Expired) {
        let Expired { subscription, topic, to, count } = expired;
        let (reason, attempts, last) = (DeadReason::Expired, 0, LastAnswer::default());
        self.metrics.deliveries(subscription.as_str()).died(reason, count);
        self.notices.tell(Notice::DeadLetters(DeadLetters {
            subscription,
            count,
            topic,
            version: to,
            reason,
            attempts,
            last,
        }));
    }

    /// Tells once of each topic that is near its cap, until it is so again.
    async fn look_at_caps(&mut self) -> Result<(), StoreError> {
        let topics = self.store.topics().await?;
        let near = topics.iter().filter_map(|topic| {
            let max_bytes = topic.settings.max_bytes?;
            let is_near =
                topic.bytes.saturating_mul(100) >= max_bytes.saturating_mul(NEARLY_FULL_PERCENT);
            is_near.then(|| (topic.topic.clone(), topic.bytes, max_bytes))
        });
        let near: Vec<_> = near.collect();
        for (topic, bytes, max_bytes) in near.iter().cloned() {
            if self.nearly_full.contains(&topic) {
                continue;
            }
            tracing::warn!(
                event = "retention.near_cap", %topic, bytes, max_bytes,
                "the topic is near its cap; above it the oldest events go, owed or not"
            );
            self.notices.tell(Notice::NearCap { topic, bytes, max_bytes });
        }
        self.nearly_full = near.into_iter().map(|(topic, ..)| topic).collect();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;

    use super::*;
    use crate::{
        clock::ManualClock,
        event::{Data, Version},
        notices,
        settings::{SubscriptionSettings, TopicSettings, days},
        store::{Append, NewEvent, NewSubscription, Origin, Read, StartFrom, support::store},
        telemetry::Metrics,
    };

    /// An event of 900 bytes and some.
    fn letter(topic: &Topic, id: &str, now: Micros) -> Append {
        let event = NewEvent {
            source: "/s".into(),
            id: id.into(),
            attributes: "{}".into(),
            data: Data::Json(Bytes::from(format!("\"{}\"", "x".repeat(900)))),
            deliver_at: None,
        };
        Append { topic: topic.clone(), events: vec![event], progress: None, now }
    }

    /// Steps for a minute, as the loop would; answers how many notices there are by then.
    async fn minute(
        janitor: &mut Janitor,
        writer: &mut notices::Writer,
        clock: &ManualClock,
    ) -> usize {
        let mut looked = Vec::new();
        for _ in 0..12 {
            while janitor.step().await.unwrap() {}
            looked.extend(janitor.looked);
            clock.advance(IDLE);
        }
        looked.dedup();
        assert_eq!(looked.len(), 1);
        writer.step().await.unwrap();
        let read = Read::after(Version::ZERO);
        janitor.store.read(&Topic::notices(), read).await.unwrap().events.len()
    }

    #[tokio::test]
    async fn owed_events_that_go_are_told_of_as_dead_letters() {
        let (_folder, store) = store().await;
        let clock = ManualClock::new(Micros(1_769_860_800_000_000));
        let topic: Topic = "orders".parse().unwrap();
        let capped = TopicSettings { max_bytes: Some(3_000), ..TopicSettings::default() };
        store.put_topic(&Topic::notices(), &notices::settings(), clock.now()).await.unwrap();
        store.put_topic(&topic, &capped, clock.now()).await.unwrap();
        let billing = NewSubscription {
            name: "billing".parse().unwrap(),
            origin: Origin::Api,
            topics: vec![topic.clone().into()],
            from: StartFrom::Earliest,
            settings: SubscriptionSettings::new("https://example.com/hook".into(), Vec::new()),
        };
        store.put_subscription(&billing, clock.now()).await.unwrap();
        for id in 1..=6 {
            store.append(letter(&topic, &id.to_string(), clock.now())).await.unwrap();
        }
        let manual = Clock::Manual(clock.clone());
        let (notices, mut writer) = Notices::new(store.clone(), manual.clone(), Metrics::new());
        let mut janitor = Janitor::new(store.clone(), manual, notices);
        while janitor.step().await.unwrap() {}
        writer.step().await.unwrap();
        let told = store.read(&Topic::notices(), Read::after(Version::ZERO)).await.unwrap().events;
        let dead =
            told.iter().find(|event| event.attributes.as_str().contains("dead_letter.added"));
        let Some(Data::Json(data)) = dead.map(|event| &event.data) else { panic!("{told:?}") };
        let data: serde_json::Value = serde_json::from_slice(data).unwrap();
        let gone = store.topic(&topic).await.unwrap().oldest.0 - 1;
        assert!(gone > 0);
        assert_eq!(
            (&data["subscription"], &data["reason"], &data["version"], &data["count"]),
            (&json!("billing"), &json!("expired"), &json!(gone), &json!(gone)),
            "{data}"
        );
    }

    #[tokio::test]
    async fn a_topic_near_its_cap_is_told_of_once_until_it_is_so_again() {
        let (_folder, store) = store().await;
        let clock = ManualClock::new(Micros(1_769_860_800_000_000));
        let topic: Topic = "orders".parse().unwrap();
        let capped = |max_bytes| TopicSettings { max_bytes, ..TopicSettings::default() };
        let put = async |topic: &Topic, settings: TopicSettings| {
            store.put_topic(topic, &settings, clock.now()).await.unwrap();
        };
        put(&Topic::notices(), notices::settings()).await;
        put(&topic, capped(Some(1_000))).await;
        store.append(letter(&topic, "1", clock.now())).await.unwrap();
        let manual = Clock::Manual(clock.clone());
        let (notices, mut writer) = Notices::new(store.clone(), manual.clone(), Metrics::new());
        let mut janitor = Janitor::new(store.clone(), manual, notices);
        for _ in 0..3 {
            assert_eq!(minute(&mut janitor, &mut writer, &clock).await, 1);
        }
        put(&topic, capped(Some(2_000))).await;
        assert_eq!(minute(&mut janitor, &mut writer, &clock).await, 1);
        put(&topic, capped(Some(1_000))).await;
        assert_eq!(minute(&mut janitor, &mut writer, &clock).await, 2);
    }

    /// A topic with one event of 40 days ago, and one of now.
    async fn aged(store: &Arc<dyn Store>, clock: &ManualClock) -> Topic {
        let topic: Topic = "orders".parse().unwrap();
        let old = TopicSettings { max_age: Some(days(30)), ..TopicSettings::default() };
        store.put_topic(&topic, &old, clock.now()).await.unwrap();
        store.append(letter(&topic, "1", clock.now().minus(days(40)))).await.unwrap();
        store.append(letter(&topic, "2", clock.now())).await.unwrap();
        topic
    }

    async fn oldest(store: &Arc<dyn Store>, topic: &Topic) -> u64 {
        store.topic(topic).await.unwrap().oldest.0
    }

    #[tokio::test]
    async fn a_wall_that_is_set_forth_deletes_nothing_for_hours() {
        let (_folder, store) = store().await;
        let clock = ManualClock::new(Micros(1_769_860_800_000_000));
        let topic = aged(&store, &clock).await;
        let manual = Clock::Manual(clock.clone());
        let mut janitor = Janitor::new(store.clone(), manual.clone(), Notices::none());
        while janitor.step().await.unwrap() {}
        assert_eq!(oldest(&store, &topic).await, 2, "what is old goes");
        // The start is long ago: what holds now is what is believed of the wall alone.
        clock.advance(CONFIRMED_AFTER);
        clock.set(365 * 86_400_000_000);
        assert!(manual.look().is_some());
        while janitor.step().await.unwrap() {}
        assert_eq!(oldest(&store, &topic).await, 2);
        clock.advance(CONFIRMED_AFTER);
        assert!(manual.look().is_some(), "confirmed");
        while janitor.step().await.unwrap() {}
        assert_eq!(oldest(&store, &topic).await, 3, "it was no mistake");
    }

    #[tokio::test]
    async fn a_wall_that_is_wrong_at_the_start_deletes_nothing_for_hours_however_often_it_starts() {
        let (_folder, store) = store().await;
        let start = Micros(1_769_860_800_000_000);
        let clock = ManualClock::new(start);
        let topic = aged(&store, &clock).await;
        // What is recorded by the wrong clock does not speak for it.
        for (from, id) in [(start, "3"), (start.plus(days(365)), "4"), (start.plus(days(365)), "5")]
        {
            let clock = ManualClock::new(from);
            let manual = Clock::Manual(clock.clone());
            let mut janitor = Janitor::new(store.clone(), manual, Notices::none());
            while janitor.step().await.unwrap() {}
            assert_eq!(oldest(&store, &topic).await, 2, "{id}");
            store.append(letter(&topic, id, clock.now())).await.unwrap();
            clock.advance(Duration::from_hours(1));
            while janitor.step().await.unwrap() {}
            assert_eq!(oldest(&store, &topic).await, 2, "{id}");
        }
    }
}
