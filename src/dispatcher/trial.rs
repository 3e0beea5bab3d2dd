//! One event for one subscription, outside of all accounting: what would be sent, and sending it.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Request, header};
use sinks::{Auth, Greeting, Outcome, Parcel, Sink as _, webhook::Webhook};

use super::parcel::{Addressee, Delivery};
use crate::{
    event::{Event, Micros},
    sift::Sift,
    store::{Subscription, TopicState},
};

/// What a subscription makes of an event.
#[derive(Debug)]
pub struct Trial {
    /// Whether the filter wants the event, or how it fails on it.
    pub wanted: Result<bool, String>,
    /// What would be sent, or why nothing can be.
    pub drawn: Result<Drawn, String>,
}

/// A request that can be sent.
#[derive(Debug)]
pub struct Drawn {
    /// As it is sent. A token that has to be got first stands there as a sensitive header.
    pub request: Request<Bytes>,
    parcel: Parcel,
}

impl Trial {
    /// Makes of an event what an attempt at `now` would.
    #[must_use]
    pub fn new(
        webhook: &Webhook,
        subscription: &Subscription,
        event: &Arc<Event>,
        state: &TopicState,
        now: Micros,
    ) -> Self {
        let sift = Sift::new(&subscription.settings);
        let wanted = sift.wants(event, &state.topic);
        // With a filter the one before is not known without looking for it.
        let previous = Some(event.version.previous()).filter(|_| sift.wants_all());
        let delivery = Delivery {
            events: std::slice::from_ref(event),
            previous: previous.filter(|previous| *previous >= state.oldest),
            replay: None,
            topic: &state.topic,
            topic_uid: &state.uid,
            attempt: 1,
            now,
            believed: now,
        };
        Self { wanted, drawn: Drawn::new(webhook, &Addressee::new(subscription), &delivery) }
    }
}

impl Drawn {
    fn new(
        webhook: &Webhook,
        addressee: &Addressee,
        delivery: &Delivery<'_>,
    ) -> Result<Self, String> {
        let parcel = addressee.parcel(delivery).map_err(|error| error.to_string())?;
        let mut request = webhook.draw(parcel.clone()).map_err(|error| error.to_string())?;
        if let Some(Auth::OAuth2(_)) = &parcel.target.auth {
            let mut token = HeaderValue::from_static("Bearer");
            token.set_sensitive(true);
            request.headers_mut().insert(header::AUTHORIZATION, token);
        }
        Ok(Self { request, parcel })
    }

    /// The body before it is compressed, as it is signed.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        &self.parcel.body
    }

    /// Sends it once; the endpoint is asked for its consent before, if it wants that.
    ///
    /// # Errors
    /// It does not consent; says why.
    pub async fn send(self, webhook: &Webhook) -> Result<Outcome, String> {
        if self.parcel.target.greeted {
            match webhook.greet(&self.parcel.target, self.parcel.timestamp, None).await {
                Greeting::Allowed { .. } => {}
                Greeting::Refused(reason) => return Err(format!("handshake: {reason}")),
                Greeting::Failed(outcome) => return Ok(outcome),
            }
        }
        Ok(webhook.push(self.parcel).await)
    }
}
