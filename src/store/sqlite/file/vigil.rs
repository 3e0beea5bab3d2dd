//! Once a second: is the file still there and what it was, and the record of heads on the disk?

use std::{fs::OpenOptions, sync::Arc, time::Duration};

use tokio::{task::JoinHandle, time::MissedTickBehavior};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    beside::sibling,
    intact::{self, Files, Seen},
    wal::{self, Salts},
};
use crate::{regular, store::sqlite::Shared};

const EVERY: Duration = Duration::from_secs(1);
/// Before the second look at what seems wrong.
const AGAIN: Duration = Duration::from_millis(100);

/// The task that looks; it ends when this is dropped.
pub(crate) struct Vigil {
    stop: DropGuard,
    task: JoinHandle<()>,
}

/// What was there the time before.
#[derive(Default)]
struct Before {
    salts: Option<Salts>,
    seen: Option<Seen>,
    /// It was said that the files cannot be looked at.
    told: bool,
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
    let mut before = Before::default();
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let shared = shared.clone();
        // What it does can wait for the disk.
        let looked = tokio::task::spawn_blocking(move || {
            step(&shared, &mut before);
            before
        });
        before = looked.await.unwrap_or_default();
    }
}

fn step(shared: &Shared, before: &mut Before) {
    // The writer asks at every commit; a relay without any is to notice, too.
    if shared.check().is_err() {
        return;
    }
    if let Err(error) = look(shared, before) {
        if !std::mem::replace(&mut before.told, true) {
            tracing::warn!(
                event = "store.watch_failed", file = %shared.path.display(), %error,
                "the file and what lies beside it cannot be looked at: damage may go unseen"
            );
        }
        return;
    }
    before.told = false;
    shared.mend_heads();
    shared.heads.sync();
}

fn look(shared: &Shared, before: &mut Before) -> std::io::Result<()> {
    let log_path = sibling(&shared.path, "-wal");
    let Some((database, index)) = shared.open_files() else { return Ok(()) };
    let mut looks = 0;
    let found = loop {
        let log = match regular::open(&log_path, OpenOptions::new().read(true)) {
            Ok(log) => Some(log),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let (database, index, path) = (&*database, &*index, &*shared.path);
        let files = Files { database, index, log: log.as_ref(), path, log_path: &log_path };
        looks += 1;
        match intact::look(&files, before.seen.as_ref())? {
            Err(_) if looks == 1 => std::thread::sleep(AGAIN),
            found => break found,
        }
    };
    match found {
        Ok(Some(seen)) => before.seen = Some(seen),
        Ok(None) => {}
        Err(problem) => {
            shared.changed_in_place(problem);
            return Ok(());
        }
    }
    let salts = wal::salts(&log_path)?;
    // Fresh ones may not be on the disk yet: after a power cut the log would look like an older one.
    if salts.is_some() && salts == before.salts {
        shared.heads.set(|head| head.wal = salts);
    }
    before.salts = salts;
    Ok(())
}
