//! One attempt: from a version to what came back.

use std::sync::Arc;

use sinks::{Outcome, SilentKind, Sink};

use super::{
    endpoint::Place,
    parcel::{Delivery, Plan},
};
use crate::{
    clock::Clock,
    event::{Event, Micros, Version},
    store::{Read, Store, StoreError, TopicState},
};

/// An attempt under way.
pub(super) struct Flight {
    pub(super) store: Arc<dyn Store>,
    pub(super) sink: Arc<dyn Sink>,
    pub(super) clock: Clock,
    pub(super) plan: Arc<Plan>,
    pub(super) topic: Arc<TopicState>,
    pub(super) version: Version,
    /// The event, when it is at hand.
    pub(super) event: Option<Arc<Event>>,
    /// 1 for the first.
    pub(super) attempt: u32,
    /// Whether it counts among the retries under way.
    pub(super) is_retry: bool,
    pub(super) place: Place,
}

/// An attempt that is over.
pub(super) struct Landed {
    pub(super) version: Version,
    pub(super) attempt: u32,
    pub(super) is_retry: bool,
    pub(super) started: Micros,
    pub(super) ended: Micros,
    pub(super) end: End,
    /// Given back only when the health has learnt of the end.
    pub(super) place: Place,
}

/// How an attempt ended.
pub(super) enum End {
    /// With an answer or without.
    Pushed(Outcome),
    /// The log has not got the event any more.
    Missing,
    /// The event could not be read; nothing was tried.
    Unread(StoreError),
}

impl Flight {
    /// Reads the event if need be, pushes it once and tells how that went.
    pub(super) async fn fly(mut self) -> Landed {
        let event = match self.event.take() {
            Some(event) => Ok(Some(event)),
            None => self.read().await,
        };
        let started = self.clock.now();
        let end = match event {
            Ok(Some(event)) => End::Pushed(self.push(event, started).await),
            Ok(None) => End::Missing,
            Err(error) => End::Unread(error),
        };
        Landed {
            version: self.version,
            attempt: self.attempt,
            is_retry: self.is_retry,
            started,
            ended: self.clock.now(),
            end,
            place: self.place,
        }
    }

    async fn read(&self) -> Result<Option<Arc<Event>>, StoreError> {
        let after = self.version.previous();
        let one = Read { up_to: self.version, max_events: 1, ..Read::after(after) };
        let page = self.store.read(&self.topic.topic, one).await?;
        Ok(page.events.into_iter().find(|event| event.version == self.version))
    }

    async fn push(&self, event: Arc<Event>, now: Micros) -> Outcome {
        let parcel = self.plan.parcel(&Delivery {
            previous: Some(event.version.previous()),
            events: &[event],
            replay: None,
            topic: &self.topic.topic,
            topic_uid: &self.topic.uid,
            attempt: self.attempt,
            now,
        });
        match parcel {
            Ok(parcel) => self.sink.push(parcel).await,
            Err(error) => Outcome::Silent { kind: SilentKind::Other, message: error.to_string() },
        }
    }
}
