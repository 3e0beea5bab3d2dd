//! Role `dispatch`: one worker for every position, from the log to the sink.
//!
//! Reading order: [`window`], [`health`](crate::health) and [`pace`] say what may be started and what
//! was settled (all pure), [`sift`](crate::sift) what is wanted, [`parcel`] what is sent, [`pool`] and
//! [`endpoint`] what is shared, and [`position`] is the worker whose step puts them to work.

use std::sync::Arc;

use sinks::Sink;
use tokio_util::sync::CancellationToken;

use self::{common::Common, position::Tools, supervisor::Supervisor, threads::Threads};
use crate::{
    clock::Clock,
    holdings::Claimed,
    notices::Notices,
    store::{Store, Work},
    telemetry::Metrics,
};

pub mod common;
mod consent;
pub mod endpoint;
mod flight;
mod landing;
pub mod pace;
pub mod parcel;
pub mod pool;
pub mod position;
pub mod saves;
mod supervisor;
mod threads;
pub mod trial;
pub mod window;

/// Bounds of the whole dispatcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most requests under way; every subscription may always have one.
    pub in_flight_max: usize,
    /// The most requests under way to one host, whoever subscribed there.
    pub host_in_flight_max: usize,
    /// Threads of their own for the workers; none: they run where the dispatcher does.
    pub threads: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { in_flight_max: 4_096, host_in_flight_max: 1_024, threads: 0 }
    }
}

/// Serves all subscriptions of a store.
pub struct Dispatcher {
    store: Arc<dyn Store>,
    clock: Clock,
    sink: Arc<dyn Sink>,
    metrics: Arc<Metrics>,
    notices: Notices,
    held: Claimed,
    limits: Limits,
}

impl Dispatcher {
    /// A dispatcher; it does nothing until it is run.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        clock: Clock,
        sink: Arc<dyn Sink>,
        metrics: Arc<Metrics>,
        notices: Notices,
        limits: Limits,
    ) -> Self {
        let held = Claimed::everything(Work::Subscription);
        Self { store, clock, sink, metrics, notices, held, limits }
    }

    /// Serves those that this node holds.
    #[must_use]
    pub fn holding(self, held: Claimed) -> Self {
        Self { held, ..self }
    }

    /// Keeps one worker for every position of every active subscription that it holds, until `soft`
    /// (start nothing new, finish what is in flight, save) or `hard` (drop everything). Answers
    /// whether attempts were under way at a hard stop.
    pub async fn run(self, soft: CancellationToken, hard: CancellationToken) -> bool {
        self.supervisor(soft, hard).run().await
    }

    fn supervisor(self, soft: CancellationToken, hard: CancellationToken) -> Supervisor {
        let Self { store, clock, sink, metrics, notices, held, limits } = self;
        let common = Common::new(limits.in_flight_max, limits.host_in_flight_max);
        let tools = Tools { store, clock, sink, metrics, notices, held: held.clone(), soft, hard };
        Supervisor::new(tools, held, common, Threads::start(limits.threads))
    }
}

#[cfg(test)]
mod tests;
