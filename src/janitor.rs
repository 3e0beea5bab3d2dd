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
