//! What waits to be written to the trace: bounded, and when it is full successes go first.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use super::Attempt;

/// Records that may wait.
const RECORDS_MAX: usize = 20_000;
/// Records of one transaction.
pub(crate) const BATCH: usize = 10_000;

/// Records that wait for their writer.
#[derive(Default)]
pub(crate) struct TraceQueue {
    waiting: Mutex<VecDeque<Attempt>>,
    pub(crate) arrived: Notify,
    pub(crate) dropped: AtomicU64,
    pub(crate) closed: AtomicBool,
}

impl TraceQueue {
    pub(crate) fn waiting(&self) -> MutexGuard<'_, VecDeque<Attempt>> {
        self.waiting.lock()
    }

    /// Drops what is too much, and counts it.
    pub(crate) fn bound(&self, waiting: &mut VecDeque<Attempt>) {
        let excess = waiting.len().saturating_sub(RECORDS_MAX);
        if excess > 0 {
            shed(waiting, excess);
            self.dropped.fetch_add(excess as u64, Ordering::Relaxed);
        }
    }

    /// Before those that came later.
    pub(crate) fn put_back(&self, batch: Vec<Attempt>) {
        let mut waiting = self.waiting();
        batch.into_iter().rev().for_each(|attempt| waiting.push_front(attempt));
        self.bound(&mut waiting);
    }

    /// Until there is enough for a batch, or nothing more will come.
    pub(crate) async fn crowded(&self) {
        loop {
            let arrived = self.arrived.notified();
            let waiting = self.waiting().len();
            if waiting >= BATCH / 2 || self.closed.load(Ordering::Acquire) {
                return;
            }
            arrived.await;
        }
    }
}

/// Drops `excess` records: the oldest successes, then the oldest of all.
fn shed(waiting: &mut VecDeque<Attempt>, mut excess: usize) {
    waiting.retain(|attempt| {
        let goes = excess > 0 && attempt.verdict == "delivered";
        excess -= usize::from(goes);
        !goes
    });
    waiting.drain(..excess);
}
