//! What a node gives its API besides the store: the way out, bounds, and what it holds.

use std::{collections::BTreeSet, sync::Arc};

use sinks::webhook::Webhook;
use tokio::sync::watch;

use crate::{
    event::{Name, Topic},
    holdings::Claimed,
    store::Work,
};

/// Says whether a webhook's address may be pushed to, and if not, why.
pub type VetUrl = Arc<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// The way out: what may be asked, and who asks.
#[derive(Clone)]
pub struct Outgoing {
    /// Vets the addresses of new webhooks.
    pub vet_url: VetUrl,
    /// Sends what a subscription is tried with.
    pub webhook: Webhook,
}

/// The topics that the configuration file names, as they are at present.
pub type FileTopics = watch::Receiver<Arc<BTreeSet<Topic>>>;

/// Whether a walk of the source can start at what somebody gives as its cursor; what is expected
/// instead.
pub type CheckCursor = Arc<dyn Fn(&Name, &serde_json::Value) -> Result<(), String> + Send + Sync>;

/// What this node holds, for those who watch it.
#[derive(Debug, Clone)]
pub struct HeldWork {
    /// Sources that it asks.
    pub sources: Claimed,
    /// Subscriptions that it serves.
    pub subscriptions: Claimed,
    /// Topics that it keeps within their bounds.
    pub topics: Claimed,
}

impl Default for HeldWork {
    /// All there is.
    fn default() -> Self {
        Self {
            sources: Claimed::everything(Work::Source),
            subscriptions: Claimed::everything(Work::Subscription),
            topics: Claimed::everything(Work::Retention),
        }
    }
}

/// What is bounded over the whole API.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Long polls and streams at once.
    pub waiting_max: usize,
    /// What is held for all clients together: their bodies, and answers until they are sent.
    pub bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { waiting_max: 10_000, bytes_max: 256 << 20 }
    }
}
