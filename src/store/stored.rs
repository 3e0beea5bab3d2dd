//! What a configuration file is held against.

use std::sync::Arc;

use super::{SourceState, Store, StoreError, Subscription, TopicState};

/// What is stored of what a configuration file is about.
#[derive(Debug)]
pub struct Stored {
    /// All topics.
    pub topics: Vec<Arc<TopicState>>,
    /// All sources.
    pub sources: Vec<SourceState>,
    /// All subscriptions.
    pub subscriptions: Vec<Subscription>,
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
        })
    }
}
