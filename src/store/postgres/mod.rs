//! The store on PostgreSQL, for any number of nodes.
//!
//! A node decides what it appends and settles in memory, by the same rules as on one file
//! (`store::rules`), under the locks of the rows that it is about (`sync`). What there is
//! (topics, sources, subscriptions) is changed by one node at a time (`registry`).

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use self::{gathered::Gathered, lane::Lanes, shared::Shared, trace::Trace};

mod access_keys;
mod begin;
pub mod comers;
mod commit;
mod dead;
mod failing;
mod gathered;
mod held_positions;
mod history;
mod holding;
mod holes;
pub(super) mod incoming;
mod lane;
mod log;
mod partitions;
mod pending;
mod positions;
mod primary;
mod redrive;
mod registry;
mod replays;
mod retention;
mod row;
mod server;
mod settings;
mod settled;
mod shared;
mod snapshot;
mod sources;
pub mod spread;
mod standings;
mod states;
mod steering;
mod subscriptions;
mod summaries;
mod sync;
mod topics;
mod trace;
mod trim;
mod waiting;
mod wake;
mod write;

/// A store on PostgreSQL.
pub struct PostgresStore {
    shared: Arc<Shared>,
    lanes: Lanes,
    trace: Trace,
    gathered: Gathered,
    /// Ends who listens to other nodes.
    stop: CancellationToken,
}

impl crate::store::Store for PostgresStore {}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
