//! Who sent a request, for handlers whose answer depends on it.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;

use crate::{
    api::problem::Problem,
    event::{Name, Topic, TopicPattern},
    key::{AccessKey, Grant},
    store::Subscription,
};

/// Who sent a request.
#[derive(Debug, Clone)]
pub(crate) enum Caller {
    /// There are no keys: whoever reaches the relay may do everything.
    Anybody,
    /// Somebody without a key.
    Nobody,
    /// The holder of this key.
    Holder(Arc<AccessKey>),
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // Only a router without the gate leaves it out.
        parts.extensions.get::<Self>().cloned().ok_or_else(Problem::internal)
    }
}

impl Caller {
    /// What the caller's key is good for; `None` when there is nothing to ask for one.
    pub(crate) fn grant(&self) -> Option<&Grant> {
        match self {
            Self::Holder(key) => Some(&key.grant),
            Self::Anybody | Self::Nobody => None,
        }
    }

    /// Whether a key that is good for this is there, or none is needed.
    fn may(&self, is_good: impl FnOnce(&Grant) -> bool) -> bool {
        matches!(self, Self::Anybody) || self.grant().is_some_and(is_good)
    }

    /// Whether everything may be done.
    pub(in crate::api) fn is_admin(&self) -> bool {
        self.may(Grant::is_admin)
    }

    /// Whether this topic is among those of the key.
    pub(in crate::api) fn covers(&self, topic: &Topic) -> bool {
        self.may(|grant| grant.covers(topic))
    }

    /// Whether every topic that `wanted` means is among those of the key.
    pub(in crate::api) fn covers_all(&self, wanted: &TopicPattern) -> bool {
        self.may(|grant| grant.covers_all(wanted))
    }

    /// Whether a subscription is the caller's: of the same owner, and in no topic but the key's.
    pub(in crate::api) fn owns(&self, subscription: &Subscription) -> bool {
        self.may(|grant| {
            let is_own = subscription.settings.owner.as_ref() == Some(&grant.owner);
            let is_covered = subscription.topics.iter().all(|topic| grant.covers_all(topic));
            grant.is_admin() || (is_own && is_covered)
        })
    }

    /// The owner of what this caller makes.
    pub(in crate::api) fn owner(&self) -> Option<&Name> {
        self.grant().map(|grant| &grant.owner)
    }
}
