//! The role `janitor`: keeps every table within its bounds, piece by piece.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    event::{Micros, Topic},
    notices::{DeadLetters, Notice, Notices},
    store::{DeadReason, Expired, LastAnswer, Store, StoreError, Trimmed},
};

/// The pause when there was nothing more to remove: so long a topic may be over its cap.
const IDLE: Duration = Duration::from_secs(5);
/// The pause between two pieces: appends go first.
const BETWEEN: Duration = Duration::from_millis(20);
/// How often the caps are looked at.
const LOOK_EVERY: Duration = Duration::from_mins(1);
/// From this share of its cap on, a topic is said to be nearly full.
const NEARLY_FULL_PERCENT: u64 = 80;

/// Removes what is past its time or limit.
pub struct Janitor {
    store: Arc<dyn Store>,
    clock: Clock,
    notices: Notices,
    looked: Option<Micros>,
    /// Topics that were said to be nearly full, and are.
    nearly_full: HashSet<Topic>,
}

impl Janitor {
    /// A janitor of this store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, clock: Clock, notices: Notices) -> Self {
        Self { store, clock, notices, looked: None, nearly_full: HashSet::new() }
    }

    /// Removes one piece; answers whether there is more.
    ///
    /// # Errors
    /// As the store has them; the next step tries again.
    pub async fn step(&mut self) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let Trimmed { more, expired } = self.store.trim(now).await?;
        for expired in expired {
            self.tell_of(expired);
        }
        if !more && self.looked.is_none_or(|looked| now.since(looked) >= LOOK_EVERY) {
            self.looked = Some(now);
            self.look_at_caps().await?;
        }
        Ok(more)
    }

    /// Steps until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let pause = match self.step().await {
                Ok(true) => BETWEEN,
                Ok(false) => IDLE,
                Err(error) => {
                    tracing::error!(%error, "old events were not removed; tried again soon");
                    IDLE
                }
            };
            stop.run_until_cancelled(self.clock.pause(pause)).await;
        }
    }

    /// A range of owed events that went is a dead letter of a kind.
    fn tell_of(&self, expired: Expired) {
        let Expired { subscription, topic, to, count } = expired;
        let (reason, attempts, last) = (DeadReason::Expired, 0, LastAnswer::default());
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
                %topic, bytes, max_bytes,
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
        settings::{SubscriptionSettings, TopicSettings},
        store::{self, Append, NewEvent, NewSubscription, Options, Origin, Read, StartFrom},
        telemetry::Metrics,
    };

    async fn open(dir: &tempfile::TempDir) -> Arc<dyn Store> {
        let url = format!("sqlite:{}", dir.path().join("relay.db").display());
        store::open(&url, &Options::default()).await.unwrap()
    }

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
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir).await;
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
        let dead = told.iter().find(|event| event.attributes.contains("dead_letter.added"));
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
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir).await;
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
}
