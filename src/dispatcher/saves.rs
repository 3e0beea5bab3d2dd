//! Settlements of many positions, handed to the store together.

use std::{
    collections::HashMap,
    sync::Arc,
    thread::{self, ThreadId},
};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::store::{Settlement, Store, StoreError};

type Waiting = (Settlement, oneshot::Sender<Result<(), StoreError>>);

/// Settlements that wait for the others.
///
/// All positions save at the same moments. A writer that is handed the first of a hundred while the
/// others are being made ready would have committed it by then, and a commit costs as much for one
/// as for all of them. Those of each thread go by themselves: nobody waits for another thread.
#[derive(Debug, Default)]
pub struct Saves(Mutex<HashMap<ThreadId, Vec<Waiting>>>);

impl Saves {
    /// Saves one settlement, with those of everyone else who can run now.
    ///
    /// # Errors
    /// Those of [`Positions::settle`](crate::store::Positions::settle).
    pub async fn save(
        self: &Arc<Self>,
        store: &Arc<dyn Store>,
        settlement: Settlement,
    ) -> Result<(), StoreError> {
        let (sender, answer) = oneshot::channel();
        let thread = thread::current().id();
        if self.put(thread, (settlement, sender)) {
            // Apart from whoever came first: he may be dropped, and the others wait for it.
            tokio::spawn(hand_over(self.clone(), thread, store.clone()));
        }
        answer.await.unwrap_or(Err(StoreError::Unknown(None)))
    }

    /// Whether it is the first of its thread.
    fn put(&self, thread: ThreadId, waiting: Waiting) -> bool {
        let mut all = self.0.lock();
        let own = all.entry(thread).or_default();
        own.push(waiting);
        own.len() == 1
    }

    fn take(&self, thread: ThreadId) -> Vec<Waiting> {
        let mut all = self.0.lock();
        all.remove(&thread).unwrap_or_default()
    }
}

async fn hand_over(saves: Arc<Saves>, thread: ThreadId, store: Arc<dyn Store>) {
    // A thread comes back to who yields when all the others have had their turn.
    tokio::task::yield_now().await;
    let (settlements, senders): (Vec<_>, Vec<_>) = saves.take(thread).into_iter().unzip();
    for (sender, answer) in senders.into_iter().zip(store.settle(settlements).await) {
        // Whoever asked may have ended.
        let _ = sender.send(answer);
    }
}
