//! Notices: what the relay has to say of itself, as events in the topic `milkrun.notices`.
//!
//! Whoever notices something tells it to [`Notices`], which never waits; one [`Writer`] appends
//! what was told. `docs/notices.md` lists them. None is about a subscription to that topic, for
//! each would cause the next.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use self::dead::Dead;
pub use self::{
    notice::{Action, DeadLetters, LastError, Notice, SourceTrouble},
    writer::Writer,
};
use crate::{
    clock::Clock,
    event::{Micros, Name},
    settings::{TopicSettings, days},
    store::Store,
    telemetry::Metrics,
};

mod dead;
mod notice;
#[cfg(test)]
mod tests;
mod writer;

/// The most notices that wait to be appended; what comes then is dropped and counted.
const WAITING_MAX: usize = 10_000;
/// How often dead letters of one subscription are told of at most.
const DEAD_EVERY: Duration = Duration::from_mins(1);

/// What their topic, [`Name::notices`], is set to: 30 days, 100,000 events and 64 MiB.
#[must_use]
pub fn settings() -> TopicSettings {
    TopicSettings {
        max_age: Some(days(30)),
        max_count: Some(100_000),
        max_bytes: Some(64 << 20),
        ..TopicSettings::default()
    }
}

/// Takes notices from whoever has one; cheap to clone, never waits.
#[derive(Clone, Debug)]
pub struct Notices(Option<Arc<Board>>);

/// What has been told and is not appended yet.
#[derive(Debug)]
struct Board {
    clock: Clock,
    metrics: Arc<Metrics>,
    waiting: Mutex<Waiting>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    /// In the order told.
    told: VecDeque<(Micros, Notice)>,
    /// By subscription; what was told of within the last minute, or is to be told.
    dead: HashMap<Name, Dead>,
}

impl Notices {
    /// A board for notices, and who appends what is put there to `store`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, clock: Clock, metrics: Arc<Metrics>) -> (Self, Writer) {
        let waiting = Mutex::default();
        let board = Arc::new(Board { clock, metrics, waiting, wake: Notify::new() });
        (Self(Some(board.clone())), Writer::new(store, board))
    }

    /// Nobody listens.
    #[must_use]
    pub const fn none() -> Self {
        Self(None)
    }

    /// Hands a notice over. When too many wait already it is dropped, counted and logged.
    pub fn tell(&self, notice: Notice) {
        let Some(board) = &self.0 else { return };
        let reading = board.clock.read();
        let fits = {
            let mut waiting = board.waiting();
            match notice {
                Notice::DeadLetters(letters) => waiting.add_dead(letters, reading.steady),
                _ if waiting.told.len() >= WAITING_MAX => false,
                notice => {
                    waiting.told.push_back((reading.wall, notice));
                    true
                }
            }
        };
        if fits {
            board.wake.notify_one();
        } else {
            board.dropped(1);
        }
    }
}

impl Board {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Whatever a panicking holder left is whole: it only pushes and counts.
        self.waiting.lock()
    }

    fn dropped(&self, count: u64) {
        self.metrics.notices_dropped.inc_by(count);
        tracing::warn!(
            event = "notice.dropped",
            count,
            "notices were dropped: too many wait to be appended"
        );
    }
}

impl Waiting {
    /// Counts dead letters; whether there was room for another subscription.
    fn add_dead(&mut self, letters: DeadLetters, now: Micros) -> bool {
        if let Some(known) = self.dead.get_mut(&letters.subscription) {
            known.add(letters);
            return true;
        }
        if self.dead.len() >= WAITING_MAX {
            return false;
        }
        self.dead.insert(letters.subscription.clone(), Dead::new(letters, now));
        true
    }

    /// Takes what may be told now (by the wall, and by the steady reading), at most `most`; with
    /// `all`, what has been counted within the minute too.
    fn take(
        &mut self,
        (now, steady): (Micros, Micros),
        most: usize,
        all: bool,
    ) -> Vec<(Micros, Notice)> {
        let told = self.told.len().min(most);
        let mut taken: Vec<_> = self.told.drain(..told).collect();
        self.dead.retain(|_, dead| {
            if taken.len() < most
                && let Some(letters) = dead.take(steady, all)
            {
                taken.push((now, Notice::DeadLetters(letters)));
            }
            !dead.is_over(steady)
        });
        taken
    }

    /// When there is something to take next; `None`: when something is told.
    fn due(&self, now: Micros) -> Option<Micros> {
        if self.told.is_empty() { self.dead.values().map(Dead::due).min() } else { Some(now) }
    }
}
