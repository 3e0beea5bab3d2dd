//! Pending events: moved into the log when they are due. A part of the role `janitor`.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    holdings::Claimed,
    store::{Store, StoreError, Work},
    telemetry::{Metrics, TopicLabel},
};

/// Events moved in one transaction: an append waits for one piece at most.
const CHUNK: usize = 1_000;
/// How long a failing store is left alone.
const PAUSE: Duration = Duration::from_secs(1);

/// Moves pending events into the log.
pub struct Releaser {
    store: Arc<dyn Store>,
    clock: Clock,
    metrics: Arc<Metrics>,
    held: Claimed,
}

impl Releaser {
    /// A releaser for this store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, clock: Clock, metrics: Arc<Metrics>) -> Self {
        Self { store, clock, metrics, held: Claimed::everything(Work::Pending) }
    }

    /// Moves events while this node holds that work.
    #[must_use]
    pub fn holding(self, held: Claimed) -> Self {
        Self { held, ..self }
    }

    /// Moves one piece of what is due; answers how many events went.
    ///
    /// # Errors
    /// As the store has them; the next step tries again.
    pub async fn step(&self) -> Result<usize, StoreError> {
        let released = self.store.release_pending(self.clock.now(), CHUNK).await?;
        for piece in released.chunk_by(|one, next| one.topic == next.topic) {
            let label = TopicLabel { topic: piece[0].topic.to_string() };
            self.metrics.appended.get_or_create(&label).inc_by(piece.len() as u64);
        }
        Ok(released.len())
    }

    /// Steps until `stop`, each time when the next event is due.
    pub async fn run(mut self, stop: CancellationToken) {
        // Registered before looking.
        let mut next = self.store.next_pending();
        while !stop.is_cancelled() {
            if self.held.is_empty() {
                stop.run_until_cancelled(self.held.any()).await;
                continue;
            }
            let due = *next.borrow_and_update();
            if due.is_some_and(|due| due <= self.clock.now()) {
                if let Err(error) = self.step().await {
                    tracing::error!(
                        event = "topic.pending_failed", %error,
                        "pending events that are due were not moved; tried again soon"
                    );
                    stop.run_until_cancelled(self.clock.pause(PAUSE)).await;
                }
                continue;
            }
            let until_due = async {
                match due {
                    Some(due) => self.clock.until_wall(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = until_due => {}
                changed = next.changed() => if changed.is_err() { return },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::ManualClock,
        event::{Data, Micros, Topic, Version},
        settings::TopicSettings,
        store::{Append, NewEvent, support::store},
    };

    const START: Micros = Micros(1_769_860_800_000_000);

    fn second(count: u64) -> Micros {
        START.plus(Duration::from_secs(count))
    }

    async fn publish(store: &Arc<dyn Store>, topic: &Topic, id: u64, due: Micros) -> Option<i64> {
        let event = NewEvent {
            source: "/s".into(),
            id: id.to_string(),
            attributes: format!(r#"{{"id":"{id}","source":"/s","type":"t"}}"#).into(),
            data: Data::None,
            deliver_at: Some(due),
        };
        let append =
            Append { topic: topic.clone(), events: vec![event], progress: None, now: START };
        store.append(append).await.unwrap()[0].pending
    }

    #[tokio::test]
    async fn events_are_moved_when_they_are_due_and_not_before() {
        let (_folder, store) = store().await;
        let topic: Topic = "orders".parse().unwrap();
        store.put_topic(&topic, &TopicSettings::default(), START).await.unwrap();
        let clock = ManualClock::new(START);
        let metrics = Metrics::new();
        let releaser = Releaser::new(store.clone(), Clock::Manual(clock.clone()), metrics.clone());
        assert_eq!(releaser.step().await.unwrap(), 0);
        let stop = CancellationToken::new();
        let task = tokio::spawn(releaser.run(stop.clone()));
        publish(&store, &topic, 1, second(60)).await;
        let sooner = publish(&store, &topic, 2, second(90)).await.unwrap();
        let mut head = store.head(&topic).await.unwrap();
        clock.advance(Duration::from_secs(59));
        // A change wakes the worker, which must wait on.
        store.change_pending(&topic, sooner, second(59)).await.unwrap();
        head.wait_for(|head| *head == Version(1)).await.unwrap();
        assert_eq!(store.pending(&topic, 0, 10).await.unwrap().len(), 1, "one second early");
        clock.advance(Duration::from_secs(1));
        head.wait_for(|head| *head == Version(2)).await.unwrap();
        let label = TopicLabel { topic: "orders".into() };
        stop.cancel();
        task.await.unwrap();
        assert_eq!(metrics.appended.get_or_create(&label).get(), 2);
    }
}
