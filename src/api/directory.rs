//! Which subscriptions there are, and how they do, as the lists of the API need it.
//!
//! Nearly every list tells the names of subscriptions or asks whose they are. With 10,000 of them,
//! reading all takes far longer than the list itself: so they are kept here, and a look reads what
//! has changed since the one before. What changes with every delivery is not kept.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use tokio::sync::Mutex;

use crate::{
    clock::Clock,
    event::{Micros, Name},
    store::{RecentDeaths, Share, Standing, Store, StoreError, Subscription, SubscriptionStatus},
};

/// For how long a look builds upon the one before: the store tells of a deleted subscription for an
/// hour.
const KEPT: Duration = Duration::from_mins(10);
/// What reading how all of them do may take of the time, as one part of so many.
const COST_SHARE: u32 = 100;
/// For how long what was given up is told of.
pub(super) const RECENT: Duration = Duration::from_hours(1);

/// All subscriptions that exist, without their positions and their health.
#[derive(Debug, Clone, Default)]
pub(super) struct All {
    by_id: HashMap<i64, Arc<Subscription>>,
    by_name: BTreeMap<Name, Arc<Subscription>>,
    /// The last change that is in it.
    edit: u64,
}

impl All {
    /// The one of a row number.
    pub(super) fn get(&self, id: i64) -> Option<&Subscription> {
        self.by_id.get(&id).map(|one| &**one)
    }

    /// What the one of a row number is called.
    pub(super) fn name(&self, id: i64) -> Option<&Name> {
        self.get(id).map(|one| &one.name)
    }

    /// The one of a name.
    pub(super) fn named(&self, name: &Name) -> Option<&Subscription> {
        self.by_name.get(name).map(|one| &**one)
    }

    /// All of them, by name.
    pub(super) fn by_name(&self) -> impl Iterator<Item = &Subscription> {
        self.by_name.values().map(|one| &**one)
    }

    fn apply(&mut self, changed: Subscription) {
        self.edit = self.edit.max(changed.edit);
        let (id, name) = (changed.id, changed.name.clone());
        if changed.status == SubscriptionStatus::Deleted {
            self.by_id.remove(&id);
            // Another may have the name by now.
            if self.by_name.get(&name).is_some_and(|one| one.id == id) {
                self.by_name.remove(&name);
            }
            return;
        }
        let kept = Arc::new(Subscription { positions: Vec::new(), health: None, ..changed });
        self.by_id.insert(id, kept.clone());
        self.by_name.insert(name, kept);
    }
}

/// How all subscriptions do.
#[derive(Debug)]
pub(super) struct Doing {
    /// By name, of those that are neither removed nor deleted.
    pub(super) standings: Vec<Standing>,
    /// What was given up within [`RECENT`].
    pub(super) deaths: Vec<RecentDeaths>,
}

/// What was read of how they do.
#[derive(Debug)]
struct Taken {
    doing: Arc<Doing>,
    /// The last change before it was read.
    edit: u64,
    /// Until when it is as good as new, by the steady reading.
    until: Micros,
}

/// Which subscriptions there are: one for all who ask.
pub(super) struct Directory {
    store: Arc<dyn Store>,
    clock: Clock,
    /// With the steady reading of the last look.
    known: Mutex<Option<(Arc<All>, Micros)>>,
    taken: Mutex<Option<Taken>>,
}

impl Directory {
    pub(super) fn new(store: Arc<dyn Store>, clock: Clock) -> Self {
        Self { store, clock, known: Mutex::default(), taken: Mutex::default() }
    }

    /// All that exist, with every change that was made before this was asked.
    pub(super) async fn look(&self) -> Result<Arc<All>, StoreError> {
        let mut known = self.known.lock().await;
        let now = self.clock.steady();
        let kept = known.as_ref().filter(|(_, looked)| now.since(*looked) < KEPT);
        let mut all = kept.map_or_else(Arc::default, |(all, _)| all.clone());
        let changed = self.store.subscriptions(all.edit).await?;
        if !changed.is_empty() {
            let all = Arc::make_mut(&mut all);
            for one in changed {
                all.apply(one);
            }
        }
        *known = Some((all.clone(), now));
        Ok(all)
    }

    /// How all of them do, as it was a moment ago: for a hundred times as long as reading it takes, what
    /// was read is good for everybody who asks, unless somebody changed a subscription since.
    pub(super) async fn doing(&self) -> Result<Arc<Doing>, StoreError> {
        let edit = self.look().await?.edit;
        let mut taken = self.taken.lock().await;
        let began = self.clock.steady();
        if let Some(taken) = taken.as_ref().filter(|one| one.edit == edit && began < one.until) {
            return Ok(taken.doing.clone());
        }
        let doing = Arc::new(Doing {
            standings: self.store.standings(&Share::Everything).await?,
            deaths: self.store.recent_deaths(self.clock.now().minus(RECENT)).await?,
        });
        let now = self.clock.steady();
        let until = now.plus(now.since(began).saturating_mul(COST_SHARE));
        *taken = Some(Taken { doing: doing.clone(), edit, until });
        Ok(doing)
    }
}
