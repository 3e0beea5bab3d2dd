//! Versions that were given and are lost, and damage that is still to be told of.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::atomic::{AtomicU64, Ordering},
};

use parking_lot::{Mutex, RwLock};
use sqlx::SqliteConnection;

use super::row::Cells;
use crate::{
    event::Version,
    store::{Damage, StoreError},
};

/// Why rows are damage that are not there.
pub(crate) const MISSING: &str = "events_missing";
/// Why versions are damage that were given and that a file has not got any more.
pub(crate) const LOST: &str = "history_lost";
/// Damage that is told of since the start; what is beyond is only counted.
const TOLD_MAX: usize = 10_000;

/// Lost versions in order, by topic.
type Known = HashMap<i64, Vec<(Version, Version)>>;

/// What is lost.
#[derive(Default)]
pub(crate) struct Holes {
    known: RwLock<Known>,
    waiting: Mutex<Waiting>,
    found: AtomicU64,
}

/// Damage to be told of.
#[derive(Default)]
struct Waiting {
    damage: Vec<Found>,
    /// What was told, by topic and first version: it is found at every read.
    told: HashSet<(i64, Version)>,
    /// Pending events that are damaged, by number, with what is wrong.
    pending: BTreeMap<i64, String>,
}

/// Damage of a topic.
#[derive(Clone)]
pub(crate) struct Found {
    pub(crate) topic: i64,
    pub(crate) damage: Damage,
    /// Whether the file tells of it.
    pub(crate) kept: bool,
}

impl Holes {
    /// Those that the file tells of.
    pub(crate) async fn load(conn: &mut SqliteConnection) -> Result<Self, StoreError> {
        let mut known = Known::new();
        let sql = "-- holes\nSELECT topic, first, last FROM holes ORDER BY topic, first";
        for row in sqlx::query(sql).fetch_all(conn).await? {
            let row = Cells::of(&row, "holes");
            let holes = known.entry(row.get("topic")?).or_default();
            holes.push((row.get("first")?, row.get("last")?));
        }
        Ok(Self { known: RwLock::new(known), ..Self::default() })
    }

    /// The first version from `from` on that is not known to be lost.
    pub(crate) fn after(&self, topic: i64, from: Version) -> Version {
        let known = self.known.read();
        let Some(holes) = known.get(&topic) else { return from };
        holes.iter().fold(
            from,
            |from, (first, last)| {
                if (*first..=*last).contains(&from) { last.next() } else { from }
            },
        )
    }

    /// The last version before the first known hole behind `from`, at most `up_to`.
    pub(crate) fn before(&self, topic: i64, from: Version, up_to: Version) -> Version {
        let known = self.known.read();
        let holes = known.get(&topic).into_iter().flatten();
        let first = holes.map(|(first, _)| first.previous()).find(|last| *last >= from);
        first.map_or(up_to, |last| last.min(up_to))
    }

    /// Takes in versions that the file tells of from now on.
    pub(crate) fn add(&self, topic: i64, first: Version, last: Version) {
        let mut known = self.known.write();
        let holes = known.entry(topic).or_default();
        holes.push((first, last));
        holes.sort_unstable();
    }

    /// Lets go of what lies below a topic's oldest version.
    pub(crate) fn forget(&self, topic: i64, below: Version) {
        let mut known = self.known.write();
        if let Some(holes) = known.get_mut(&topic) {
            holes.retain(|(_, last)| *last >= below);
        }
    }

    /// Says that events are damaged or missing, once until it was told of; answers the error for
    /// whoever asked for them.
    pub(crate) fn find(&self, topic: i64, damage: Damage) -> StoreError {
        let error = StoreError::Damaged {
            topic: damage.topic.clone(),
            from: damage.from,
            to: damage.to,
            problem: damage.detail.clone(),
        };
        let mut waiting = self.waiting.lock();
        if waiting.told.len() < TOLD_MAX && waiting.told.insert((topic, damage.from)) {
            self.tell(&damage);
            waiting.damage.push(Found { topic, damage, kept: false });
        }
        error
    }

    /// Says that a pending event is damaged, to whoever may take it out of what waits.
    pub(crate) fn find_pending(&self, id: i64, problem: String) {
        let mut waiting = self.waiting.lock();
        if waiting.pending.len() < TOLD_MAX {
            waiting.pending.insert(id, problem);
        }
    }

    /// The pending events that were found damaged.
    pub(crate) fn take_pending(&self) -> Vec<(i64, String)> {
        let mut waiting = self.waiting.lock();
        std::mem::take(&mut waiting.pending).into_iter().collect()
    }

    /// What was found when the file was opened, and is in it.
    pub(crate) fn tell_later(&self, damage: Vec<(i64, Damage)>) {
        for (_, damage) in &damage {
            self.tell(damage);
        }
        let found = |(topic, damage)| Found { topic, damage, kept: true };
        self.put_back(damage.into_iter().map(found));
    }

    fn tell(&self, damage: &Damage) {
        tracing::error!(
            event = "store.damaged",
            topic = %damage.topic, from = damage.from.0, to = damage.to.0, reason = damage.reason,
            "{}", damage.detail
        );
        self.count(1 + damage.to.0.saturating_sub(damage.from.0));
    }

    /// Counts events that are lost or damaged.
    pub(crate) fn count(&self, events: u64) {
        self.found.fetch_add(events, Ordering::Relaxed);
    }

    /// What is to be told, as it was found.
    pub(crate) fn take(&self) -> Vec<Found> {
        let mut waiting = self.waiting.lock();
        std::mem::take(&mut waiting.damage)
    }

    /// Puts back what could not be told.
    pub(crate) fn put_back(&self, found: impl IntoIterator<Item = Found>) {
        self.waiting.lock().damage.extend(found);
    }

    /// Events found damaged or missing, since the start.
    pub(crate) fn found(&self) -> u64 {
        self.found.load(Ordering::Relaxed)
    }
}
