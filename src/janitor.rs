//! The role `janitor`: keeps every table within its bounds, piece by piece.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    event::Micros,
    store::{Store, StoreError},
};

/// The pause when there was nothing more to remove: so long a topic may be over its cap.
const IDLE: Duration = Duration::from_secs(5);
/// The pause between two pieces: appends go first.
const BETWEEN: Duration = Duration::from_millis(20);
/// How often a topic is said to be nearly full.
const WARN_EVERY: Duration = Duration::from_mins(1);
/// From this share of its cap on, a topic is said to be nearly full.
const NEARLY_FULL_PERCENT: u64 = 80;

/// Removes what is past its time or limit.
pub struct Janitor {
    store: Arc<dyn Store>,
    clock: Clock,
    warned: Option<Micros>,
}

impl Janitor {
    /// A janitor of this store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, clock: Clock) -> Self {
        Self { store, clock, warned: None }
    }

    /// Removes one piece; answers whether there is more.
    ///
    /// # Errors
    /// As the store has them; the next step tries again.
    pub async fn step(&mut self) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let more = self.store.trim(now).await?;
        if !more && self.warned.is_none_or(|warned| now.since(warned) >= WARN_EVERY) {
            self.warned = Some(now);
            self.warn_of_caps().await?;
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

    async fn warn_of_caps(&self) -> Result<(), StoreError> {
        for topic in self.store.topics().await? {
            let Some(cap) = topic.settings.max_bytes else { continue };
            if topic.bytes.saturating_mul(100) >= cap.saturating_mul(NEARLY_FULL_PERCENT) {
                tracing::warn!(
                    topic = %topic.topic, bytes = topic.bytes, max_bytes = cap,
                    "the topic is near its cap; above it the oldest events go, owed or not"
                );
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::ManualClock,
        event::Topic,
        settings::TopicSettings,
        store::{self, Options},
    };

    #[tokio::test]
    async fn caps_are_looked_at_with_every_trim_and_told_of_once_a_minute() {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", dir.path().join("relay.db").display());
        let store = store::open(&url, &Options::default()).await.unwrap();
        let topic: Topic = "orders".parse().unwrap();
        let settings = TopicSettings { max_bytes: Some(1), ..TopicSettings::default() };
        let clock = ManualClock::new(Micros(1_769_860_800_000_000));
        store.put_topic(&topic, &settings, clock.now()).await.unwrap();
        let mut janitor = Janitor::new(store, Clock::Manual(clock.clone()));
        let mut told = Vec::new();
        for _ in 0..25 {
            while janitor.step().await.unwrap() {}
            told.extend(janitor.warned);
            clock.advance(IDLE);
        }
        told.dedup();
        let apart: Vec<u64> = told.windows(2).map(|two| two[1].since(two[0]).as_secs()).collect();
        assert_eq!(apart, [60, 60]);
    }
}
