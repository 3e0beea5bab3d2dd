//! The role `probe`: one worker per source, each a [`Prober::step`] and a small loop.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use probes::{Budget, Network, Probe};
use tokio::{
    sync::{Semaphore, watch},
    task::JoinHandle,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::{self, Clock, chance},
    event::{Micros, Name, Topic},
    holdings::Claimed,
    notices::Notices,
    store::{Store, Work},
    telemetry::Metrics,
};

mod cursor;
mod due;
mod failed;
mod memory;
mod number;
mod pace;
mod progress;
mod quiet;
mod report;
mod silence;
mod step;
mod tell;
#[cfg(test)]
mod tests;
mod trouble;

pub use self::{
    cursor::{shown, start_at},
    memory::{Memory, Stepped},
    pace::Schedule,
    report::Report,
    silence::Silence,
    trouble::{Failing, Said, Waits},
};

/// One source as it is to be probed.
#[derive(Clone)]
pub struct SourceSetup {
    /// Its number in the store.
    pub id: i64,
    /// Its name; the store knows it.
    pub name: Name,
    /// Where its events go.
    pub topic: Topic,
    /// What a stored cursor must have been made for.
    pub contract: String,
    /// As in the store; another there means that this setup is out of date.
    pub config_hash: String,
    /// The producer.
    pub probe: Arc<dyn Probe>,
    /// How often.
    pub schedule: Schedule,
    /// How old an interrupted walk may be to be continued.
    pub walk_resume: Duration,
    /// How long it may show nothing new before that is told; `None`: for ever.
    pub silent_after: Option<Duration>,
}

/// Bounds of all walks together.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Requests under way at once.
    pub walks: usize,
    /// Decoded bytes of all pages held at once.
    pub walk_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { walks: 64, walk_bytes_max: 256 << 20 }
    }
}

/// How long a worker that broke down is left alone.
const PAUSE: Duration = Duration::from_secs(1);

/// Probes sources.
pub struct Prober {
    store: Arc<dyn Store>,
    clock: Clock,
    network: Network,
    metrics: Arc<Metrics>,
    notices: Notices,
    sources: watch::Receiver<Arc<Vec<SourceSetup>>>,
    held: Claimed,
    walks: Semaphore,
    budget: Budget,
    /// When it was made: nothing that producers said before makes its requests conditional.
    began: Micros,
}

impl Prober {
    /// A prober of what `sources` holds, now and after every change of it. The store must know
    /// each source by then.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        clock: Clock,
        network: Network,
        metrics: Arc<Metrics>,
        notices: Notices,
        sources: watch::Receiver<Arc<Vec<SourceSetup>>>,
        limits: Limits,
    ) -> Self {
        let walks = Semaphore::new(limits.walks.max(1));
        let budget = Budget::new(limits.walk_bytes_max);
        let began = clock.now();
        let held = Claimed::everything(Work::Source);
        Self { store, clock, network, metrics, notices, sources, held, walks, budget, began }
    }

    /// Of these sources, asks those that this node holds.
    #[must_use]
    pub fn holding(self, held: Claimed) -> Self {
        Self { held, ..self }
    }

    /// Probes until `soft` (pages under way are finished and kept) or `hard` (they are dropped);
    /// whether `hard` dropped one.
    pub async fn run(mut self, soft: CancellationToken, hard: CancellationToken) -> bool {
        let (mut sources, mut held) = (self.sources.clone(), self.held.clone());
        // The workers share the prober; only this loop watches the list.
        self.sources = watch::channel(Arc::default()).1;
        let prober = Arc::new(self);
        let mut workers: HashMap<Name, Worker> = HashMap::new();
        // Of sources that are gone: some may be at their last page.
        let mut leaving: Vec<Worker> = Vec::new();
        loop {
            let all = sources.borrow_and_update().clone();
            held.look();
            let wanted: Vec<_> = all.iter().filter(|one| held.has(one.id)).cloned().collect();
            let renewed = renew(&prober, &mut workers, &wanted, &soft, &hard);
            leaving.retain(|worker| !worker.task.is_finished());
            leaving.extend(workers.into_values());
            workers = renewed;
            tokio::select! {
                () = soft.cancelled() => break,
                () = hard.cancelled() => break,
                () = held.changed() => {}
                changed = sources.changed() => if changed.is_err() {
                    // Nobody can change the list any more.
                    tokio::select! {
                        () = soft.cancelled() => break,
                        () = hard.cancelled() => break,
                        () = held.changed() => {}
                    }
                },
            }
        }
        // Who waits for a place has no page under way, and must not begin one when a place is free.
        prober.walks.close();
        let mut cut = false;
        for worker in workers.into_values().chain(leaving) {
            cut |= worker.end().await;
        }
        cut
    }

    /// Waits for a source's turn, unless it is not due anyway or somebody steers it before.
    async fn until_turn(&self, name: &Name, turn: Instant) {
        let mut changes = self.store.changes();
        let began = self.clock.now();
        let turn = tokio::time::sleep_until(turn);
        tokio::pin!(turn);
        loop {
            changes.borrow_and_update();
            // What is wrong with the store, the first step tells.
            let Ok(state) = self.store.source(name).await else { return };
            if state.next_poll > began || state.asked_at >= self.began {
                return;
            }
            tokio::select! {
                () = &mut turn => return,
                Ok(()) = changes.changed() => {}
            }
        }
    }

    /// Works on one source until it is told to stop, again after breaking down; whether `hard` cut
    /// off a step.
    async fn keep_tending(
        self: Arc<Self>,
        setup: SourceSetup,
        soft: CancellationToken,
        hard: CancellationToken,
    ) -> bool {
        loop {
            let work = self.clone().tend(setup.clone(), soft.clone(), hard.clone());
            let error = match tokio::spawn(work).await {
                Ok(cut) => return cut,
                Err(error) => error,
            };
            tracing::error!(
                event = "source.worker_failed", %error, source = %setup.name,
                "a worker broke down"
            );
            tokio::select! {
                () = soft.cancelled() => return false,
                () = hard.cancelled() => return false,
                () = self.clock.pause(PAUSE) => {}
            }
        }
    }

    /// Works on one source until it is told to stop; whether `hard` cut off a step.
    async fn tend(
        self: Arc<Self>,
        setup: SourceSetup,
        soft: CancellationToken,
        hard: CancellationToken,
    ) -> bool {
        let mut changes = self.store.changes();
        let mut memory = Memory::default();
        while !soft.is_cancelled() {
            changes.borrow_and_update();
            let stepped = tokio::select! {
                () = hard.cancelled() => return true,
                stepped = self.step(&setup, &mut memory) => stepped,
            };
            let due = async {
                match stepped {
                    Stepped::Again => {}
                    Stepped::Due(moment) => self.clock.until(moment).await,
                    Stepped::Idle => std::future::pending().await,
                }
            };
            tokio::select! {
                () = soft.cancelled() => break,
                () = hard.cancelled() => break,
                () = due => {}
                // A store that is gone wakes nobody; the next step tells.
                Ok(()) = changes.changed() => {}
            }
        }
        false
    }
}

/// The task that tends one source.
struct Worker {
    /// What it asks with.
    probe: Arc<dyn Probe>,
    /// Whether nobody here tends it after this worker.
    is_last: Arc<AtomicBool>,
    stop: CancellationToken,
    /// When its first poll is its turn.
    turn: Instant,
    /// Whether a step was cut off.
    task: JoinHandle<bool>,
}

impl Worker {
    /// Whether it tends this source just as it is to be tended.
    fn is_for(&self, setup: &SourceSetup) -> bool {
        Arc::ptr_eq(&self.probe, &setup.probe) && !self.task.is_finished()
    }

    /// Stops the worker softly; whether a step of it was cut off all the same.
    async fn end(self) -> bool {
        self.stop.cancel();
        // It waits for its work, and what breaks down there is told there.
        self.task.await.unwrap_or(false)
    }
}

/// How long after a start each source more may spread all first polls.
const SPREAD_PER_SOURCE: Duration = Duration::from_secs(1);

/// How long after a start the source of this index, of so many that start together, is polled for
/// the first time: in file order, evenly over its interval, but the first ones without much ado.
fn turn(index: usize, all: usize, interval: Duration, chance: f64) -> Duration {
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let spread = SPREAD_PER_SOURCE * count(all.saturating_sub(1));
    let share = (f64::from(count(index)) + chance) / f64::from(count(all.max(1)));
    spread.min(interval).mul_f64(share)
}

/// Keeps the workers of sources that are as they were, and starts one for every other source that is
/// wanted. One that replaces another of its name waits
/// until that one has finished its page; those that nobody replaces are left, and told to stop.
fn renew(
    prober: &Arc<Prober>,
    workers: &mut HashMap<Name, Worker>,
    wanted: &[SourceSetup],
    soft: &CancellationToken,
    hard: &CancellationToken,
) -> HashMap<Name, Worker> {
    let new = wanted.iter().filter(|setup| !workers.contains_key(&setup.name)).count();
    let mut started = 0;
    let mut renewed = HashMap::new();
    for setup in wanted {
        let mut before = workers.remove(&setup.name);
        if let Some(kept) = before.take_if(|before| before.is_for(setup)) {
            // Others have come or gone: that is no concern of this one.
            renewed.insert(setup.name.clone(), kept);
            continue;
        }
        let turn = before.as_ref().map_or_else(
            || clock::instant() + turn(started, new, setup.schedule.interval, chance()),
            |before| before.turn,
        );
        started += usize::from(before.is_none());
        let stop = soft.child_token();
        let (prober, setup, hard) = (prober.clone(), setup.clone(), hard.clone());
        let (id, probe) = (setup.id, setup.probe.clone());
        let is_last = Arc::new(AtomicBool::new(false));
        let was_last = is_last.clone();
        let (name, token) = (setup.name.clone(), stop.clone());
        let task = tokio::spawn(async move {
            let mut cut = match before {
                Some(before) => before.end().await,
                None => false,
            };
            tokio::select! {
                () = token.cancelled() => {}
                () = prober.until_turn(&setup.name, turn) => {
                    cut |= prober.clone().keep_tending(setup, token, hard).await;
                }
            }
            if was_last.load(Ordering::Acquire) {
                prober.held.ended(id);
            }
            cut
        });
        renewed.insert(name, Worker { probe, is_last, stop, turn, task });
    }
    for removed in workers.values() {
        removed.is_last.store(true, Ordering::Release);
        removed.stop.cancel();
    }
    renewed
}
