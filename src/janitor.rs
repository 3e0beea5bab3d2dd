//! The role `janitor`: keeps every table within its bounds, piece by piece.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    event::{Micros, Topic},
    notices::{Notice, Notices},
    store::{Store, StoreError},
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
        let more = self.store.trim(now).await?;
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

    use super::*;
    use crate::{
        clock::ManualClock,
        event::{Data, Version},
        notices,
        settings::TopicSettings,
        store::{self, Append, NewEvent, Options, Read},
        telemetry::Metrics,
    };

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
    async fn a_topic_near_its_cap_is_told_of_once_until_it_is_so_again() {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", dir.path().join("relay.db").display());
        let store = store::open(&url, &Options::default()).await.unwrap();
        let clock = ManualClock::new(Micros(1_769_860_800_000_000));
        let topic: Topic = "orders".parse().unwrap();
        let capped = |max_bytes| TopicSettings { max_bytes, ..TopicSettings::default() };
        let put = async |topic: &Topic, settings: TopicSettings| {
            store.put_topic(topic, &settings, clock.now()).await.unwrap();
        };
        put(&Topic::notices(), notices::settings()).await;
        put(&topic, capped(Some(1_000))).await;
        let data = Data::Json(Bytes::from(format!("\"{}\"", "x".repeat(900))));
        let event = NewEvent {
            source: "/s".into(),
            id: "1".into(),
            attributes: "{}".into(),
            data,
            deliver_at: None,
        };
        let append =
            Append { topic: topic.clone(), events: vec![event], progress: None, now: clock.now() };
        store.append(append).await.unwrap();
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
