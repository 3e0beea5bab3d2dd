//! One request: from versions to what came back.

use std::sync::Arc;

use sinks::{Greeting, Outcome, Parcel, SilentKind, Sink};

use super::{
    endpoint::Place,
    parcel::{Addressee, Delivery, NotSent},
};
use crate::{
    clock::Clock,
    event::{Event, Micros, Version},
    holdings::Until,
    settle,
    sift::{self, Sift},
    store::{DeadReason, Read, Store, StoreError, TopicState},
};

/// A request under way.
pub(super) struct Flight {
    pub(super) store: Arc<dyn Store>,
    pub(super) sink: Arc<dyn Sink>,
    pub(super) clock: Clock,
    pub(super) until: Until,
    pub(super) addressee: Arc<Addressee>,
    pub(super) sift: Arc<Sift>,
    pub(super) topic: Arc<TopicState>,
    /// Each with its event, when that is at hand.
    pub(super) versions: Vec<(Version, Option<Arc<Event>>)>,
    /// The wanted version before the first.
    pub(super) previous: Option<Version>,
    /// The replay job that asks for it.
    pub(super) replay: Option<i64>,
    /// 1 for the first.
    pub(super) attempt: u32,
    /// Whether it counts among the retries under way.
    pub(super) is_retry: bool,
    pub(super) place: Place,
}

/// A request that is over.
pub(super) struct Landed {
    pub(super) attempt: u32,
    pub(super) is_retry: bool,
    /// As it was asked for when the request was begun.
    pub(super) addressee: Arc<Addressee>,
    pub(super) started: Micros,
    pub(super) ended: Micros,
    /// What was sent, and what came of it.
    pub(super) sent: Vec<Version>,
    /// When each of it was recorded.
    pub(super) recorded: Vec<Micros>,
    pub(super) outcome: Option<Outcome>,
    /// What was not.
    pub(super) unsent: Vec<(Version, Unsent)>,
    /// Given back only when the health has learnt of the end.
    pub(super) place: Place,
}

/// Why a version was not sent.
pub(super) enum Unsent {
    /// The log has not got the event any more.
    Missing,
    /// Nobody wants it any more.
    Filtered,
    /// Its time has passed.
    Expired,
    /// Its filter or transform failed on it, or its attributes are too large to be sent.
    Dead(DeadReason, String),
    /// The event could not be read; nothing was tried.
    Unread(StoreError),
    /// It did not fit to the others, or this node's term is over.
    Later,
}

impl Flight {
    /// Reads the events if need be, sends them once and tells how that went.
    pub(super) async fn fly(mut self) -> Landed {
        let mut unsent = Vec::new();
        let mut events: Vec<Arc<Event>> = Vec::with_capacity(self.versions.len());
        for (version, event) in std::mem::take(&mut self.versions) {
            match self.event(version, event).await {
                // A request is of one epoch.
                Ok(event) if events.first().is_some_and(|first| first.epoch != event.epoch) => {
                    unsent.push((version, Unsent::Later));
                }
                Ok(event) => events.push(event),
                Err(why) => unsent.push((version, why)),
            }
        }
        let started = self.clock.steady();
        let mut outcome = None;
        // A process that stood still since it was begun: it may have been settled elsewhere.
        if self.until.is_over(started) {
            unsent.extend(events.drain(..).map(|event| (event.version, Unsent::Later)));
        }
        if !events.is_empty() {
            match self.push(&events).await {
                Ok(answered) => outcome = Some(settle::timed(answered, self.clock.now())),
                Err((reason, why)) => {
                    let dead =
                        |event: Arc<Event>| (event.version, Unsent::Dead(reason, why.clone()));
                    unsent.extend(events.drain(..).map(dead));
                }
            }
        }
        Landed {
            attempt: self.attempt,
            is_retry: self.is_retry,
            addressee: self.addressee,
            started,
            ended: self.clock.steady(),
            sent: events.iter().map(|event| event.version).collect(),
            recorded: events.iter().map(|event| event.recorded).collect(),
            outcome,
            unsent,
            place: self.place,
        }
    }

    /// The event, if it is still to be sent.
    async fn event(
        &self,
        version: Version,
        at_hand: Option<Arc<Event>>,
    ) -> Result<Arc<Event>, Unsent> {
        let is_fresh = at_hand.is_some();
        let event = match at_hand {
            Some(event) => event,
            None => read(&*self.store, &self.topic, self.place.position(), version)
                .await
                .map_err(Unsent::Unread)?
                .ok_or(Unsent::Missing)?,
        };
        if sift::is_expired(&event, self.clock.believed()) {
            return Err(Unsent::Expired);
        }
        // What is fresh was sifted when it was read.
        let broken = |why| Unsent::Dead(DeadReason::Expression, why);
        if !is_fresh && !self.sift.wants(&event, &self.topic.topic).map_err(broken)? {
            return Err(Unsent::Filtered);
        }
        Ok(event)
    }

    /// Sends; an error is the events' own.
    async fn push(&self, events: &[Arc<Event>]) -> Result<Outcome, (DeadReason, String)> {
        let parcel = self.addressee.parcel(&Delivery {
            events,
            previous: self.previous,
            replay: self.replay,
            topic: &self.topic.topic,
            topic_uid: &self.topic.uid,
            attempt: self.attempt,
            now: self.clock.now(),
            believed: self.clock.believed(),
        });
        match parcel {
            Ok(parcel) => Ok(match self.greet(&parcel, events.len()).await {
                Ok(()) => self.sink.push(parcel).await,
                Err(outcome) => outcome,
            }),
            Err(NotSent::Expression(reason)) => Err((DeadReason::Expression, reason)),
            Err(large @ NotSent::TooLarge(_)) => Err((DeadReason::TooLarge, large.to_string())),
            Err(NotSent::Settings(message)) => {
                Ok(Outcome::Silent { kind: SilentKind::Other, message })
            }
        }
    }

    /// Asks for consent where that is wanted, to send so many events; an error is the attempt's
    /// outcome.
    async fn greet(&self, parcel: &Parcel, events: usize) -> Result<(), Outcome> {
        let settings = &self.addressee.settings;
        if !settings.handshake {
            return Ok(());
        }
        let target = &parcel.target;
        let greet = async {
            let rate = settings.rate.map(|rate| per_minute(rate.per_second()));
            match self.sink.greet(target, parcel.timestamp, rate).await {
                Greeting::Allowed { per_minute } => {
                    Ok(per_minute.map(|rate| f64::from(rate) / 60.0))
                }
                Greeting::Refused(message) => {
                    Err(Outcome::Silent { kind: SilentKind::Other, message })
                }
                Greeting::Failed(outcome) => Err(outcome),
            }
        };
        let waited = || Outcome::Silent {
            kind: SilentKind::Other,
            message: "the handshake failed that another attempt had begun".into(),
        };
        let endpoint = self.place.endpoint();
        let asks = !endpoint.has_agreed(&settings.url);
        endpoint.agree(&settings.url, greet, waited).await?;
        if asks {
            endpoint.pace().left(events, self.clock.steady());
        }
        Ok(())
    }
}

fn per_minute(per_second: f64) -> u32 {
    let rate = (per_second * 60.0).clamp(1.0, 1e9);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to what fits"
    )]
    let rate = rate as u32;
    rate
}

/// One event of the log, or, when that has let go of it, of the exception that keeps it.
pub(super) async fn read(
    store: &dyn Store,
    topic: &TopicState,
    position: i64,
    version: Version,
) -> Result<Option<Arc<Event>>, StoreError> {
    let page = store.read(&topic.topic, Read::one(version)).await?;
    match page.events.into_iter().find(|event| event.version == version) {
        None => store.kept_event(position, version).await,
        event => Ok(event),
    }
}
