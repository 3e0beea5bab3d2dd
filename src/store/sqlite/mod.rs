//! The store on one SQLite file, for one process.
//!
//! One task owns the only writing connection and decides every operation in memory (`writer`,
//! `rules::group`); readers have connections of their own; the trace has a file of its own.

use std::sync::Arc;

use tokio::{
    sync::{Mutex, Semaphore, mpsc},
    task::JoinHandle,
};
use tokio_util::sync::DropGuard;

pub(crate) use self::file::room;
pub use self::file::verify::{look, verify};
use self::{
    desk::{shared::Shared, writer::Op},
    file::vigil::Vigil,
};

mod access_keys;
pub(super) mod backup;
mod begin;
mod believed;
mod dead;
mod desk;
mod epochs;
mod file;
mod held_positions;
mod holding;
mod log;
pub(super) mod outgoing;
mod pending;
mod positions;
mod redrive;
mod replays;
mod retention;
mod settings;
mod sources;
mod standings;
mod states;
mod subscriptions;
mod summaries;
mod topics;
mod trace;
mod trim;
mod waiting;

/// Operations that may wait for the writer.
const QUEUE: usize = 4_096;

/// Attributes and data that may wait for the writer.
const QUEUE_BYTES: usize = 256 << 20;

/// A store on one SQLite file.
pub struct SqliteStore {
    shared: Arc<Shared>,
    writer: mpsc::Sender<Op>,
    task: Mutex<Option<JoinHandle<()>>>,
    /// Permits for KiB of waiting appends.
    room: Semaphore,
    trace: trace::Trace,
    holders: parking_lot::Mutex<holding::Holders>,
    vigil: Mutex<Option<Vigil>>,
    /// Ends who looks after the reserve.
    _stop: DropGuard,
}

impl crate::store::Store for SqliteStore {}

impl Drop for SqliteStore {
    /// Whoever does not close it lets go of the file all the same.
    fn drop(&mut self) {
        self.shared.held.lock().take();
    }
}
