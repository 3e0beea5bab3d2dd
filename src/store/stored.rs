//! What a configuration file is held against.

use std::sync::Arc;

use super::{
    NewSource, NewSubscription, SourceState, Store, StoreError, Subscription, TopicState,
    rules::{registry, source},
};
use crate::key::AccessKey;

/// What is stored of what a configuration file is about.
#[derive(Debug, Default)]
pub struct Stored {
    /// All topics.
    pub topics: Vec<Arc<TopicState>>,
    /// All sources.
    pub sources: Vec<SourceState>,
    /// All subscriptions.
    pub subscriptions: Vec<Subscription>,
    /// All keys.
    pub keys: Vec<AccessKey>,
}

impl Stored {
    /// Reads it.
    ///
    /// # Errors
    /// As the store has them.
    pub async fn of(store: &dyn Store) -> Result<Self, StoreError> {
        Ok(Self {
            topics: store.topics().await?,
            sources: store.sources().await?,
            subscriptions: store.subscriptions(0).await?,
            keys: store.keys().await?,
        })
    }
}

/// Whether putting this source over a known one changes nothing.
#[must_use]
pub fn is_known_source(known: &SourceState, new: &NewSource) -> bool {
    source::is_as_known(known, new)
}

/// Whether putting this subscription over a known one changes nothing.
#[must_use]
pub fn is_known_subscription(known: &Subscription, new: &NewSubscription) -> bool {
    registry::may_renew(known, new).is_ok() && registry::is_as_known(known, new)
}
