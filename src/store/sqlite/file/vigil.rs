//! Once a second: is the file still there, and the record of heads on the disk?

use std::{sync::Arc, time::Duration};

use tokio::{task::JoinHandle, time::MissedTickBehavior};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    beside::sibling,
    wal::{self, Salts},
};
use crate::store::sqlite::Shared;

const EVERY: Duration = Duration::from_secs(1);

/// The task that looks; it ends when this is dropped.
pub(crate) struct Vigil {
    stop: DropGuard,
    task: JoinHandle<()>,
}

impl Vigil {
    pub(crate) fn start(shared: Arc<Shared>) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn(run(shared, stop.clone()));
        Self { stop: stop.drop_guard(), task }
    }

    pub(crate) async fn stop(self) {
        drop(self.stop);
        // It has nothing to say.
        let _ = self.task.await;
    }
}

async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen = None;
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let shared = shared.clone();
        // What it does can wait for the disk.
        let looked = tokio::task::spawn_blocking(move || step(&shared, seen));
        seen = looked.await.unwrap_or_default();
    }
}

/// Answers the log's salts, which were `seen` the time before.
fn step(shared: &Shared, seen: Option<Salts>) -> Option<Salts> {
    // The writer asks at every commit; a relay without any is to notice, too.
    if shared.check().is_err() {
        return seen;
    }
    let salts = wal::salts(&sibling(&shared.path, "-wal")).unwrap_or_default();
    // Fresh ones may not be on the disk yet: after a power cut the log would look like an older one.
    if salts.is_some() && salts == seen {
        shared.heads.set(|head| head.wal = salts);
    }
    shared.heads.sync();
    salts
}
