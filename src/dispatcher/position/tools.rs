//! What the worker of a position is given, and told.

use std::{sync::Arc, time::Duration};

use sinks::Sink;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    dispatcher::{parcel::Addressee, window::Rules},
    holdings::Claimed,
    notices::Notices,
    settings::{OnDead, Order},
    sift::Sift,
    store::Store,
    telemetry::Metrics,
};

/// What the worker is told from outside.
#[derive(Debug, Clone)]
pub struct Assignment {
    /// The subscription's settings.
    pub addressee: Arc<Addressee>,
    /// Its sieve.
    pub sift: Arc<Sift>,
    /// Whether anything may be started.
    pub serve: bool,
    /// The position's fence, as the assignment was given.
    pub fence: u64,
    /// How many may be in flight over all positions of the subscription.
    pub ceiling: usize,
    /// The number of the subscription's last change.
    pub edit: u64,
}

impl Assignment {
    /// What the window of a position is told; a replay promises no order.
    pub(super) fn rules(&self, is_replay: bool) -> Rules {
        let settings = &self.addressee.settings;
        let order = if is_replay { Order::None } else { settings.order };
        Rules {
            order,
            batch: settings.batch,
            wants_all: self.sift.wants_all(),
            max_exceptions: settings.max_exceptions,
            overtaken_max: if is_replay { Duration::ZERO } else { settings.priority.max_wait },
            at_most_once: settings.is_at_most_once(),
            stop_key: order != Order::None && settings.on_dead == OnDead::StopKey,
        }
    }
}

/// What every worker is given.
#[derive(Clone)]
pub struct Tools {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Time.
    pub clock: Clock,
    /// The way to consumers.
    pub sink: Arc<dyn Sink>,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Takes what is to be told.
    pub notices: Notices,
    /// What the node holds: nothing else may be started.
    pub held: Claimed,
    /// Start nothing new.
    pub soft: CancellationToken,
    /// Drop everything.
    pub hard: CancellationToken,
}
