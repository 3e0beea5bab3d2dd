//! One worker for every position of every active subscription that this node holds.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    task::{Id, JoinSet},
};
use tokio_util::sync::CancellationToken;

use super::{
    common::Common,
    endpoint::Endpoint,
    parcel::Addressee,
    position::{Assignment, Step, Tools, Worker},
    threads::Threads,
};
use crate::{
    event::{Micros, Name},
    holdings::Claimed,
    settings::Rate,
    sift::Sift,
    store::{PositionSummary, StoreError, Subscription, SubscriptionStatus},
};

/// How long a failing store, or a worker that broke down, is left alone.
const PAUSE: Duration = Duration::from_secs(1);

/// One subscription.
pub(super) struct Served {
    name: Name,
    endpoint: Arc<Endpoint>,
    assignments: HashMap<i64, watch::Sender<Assignment>>,
    /// Since when it is not served.
    idle_since: Option<Micros>,
    /// Begins nothing more, and ends when what is under way is saved.
    soft: CancellationToken,
    /// Drops what is under way.
    hard: CancellationToken,
}

impl Served {
    /// What its workers work with.
    fn tools(&self, all: &Tools) -> Tools {
        Tools { soft: self.soft.clone(), hard: self.hard.clone(), ..all.clone() }
    }
}

/// Who keeps the workers.
pub(super) struct Supervisor {
    tools: Tools,
    held: Claimed,
    common: Arc<Common>,
    pub(super) served: HashMap<i64, Served>,
    /// Subscriptions that are not held any more, some of whose workers have not ended yet.
    leaving: HashMap<i64, Name>,
    /// Those whose last worker has ended since the last look; they may be held again.
    pub(super) left: Vec<(i64, Name)>,
    pub(super) workers: JoinSet<bool>,
    /// Behind the workers, which end before their threads do.
    threads: Threads,
    /// Which subscription and position a worker's task has.
    running: HashMap<Id, (i64, i64)>,
    /// The last change seen.
    pub(super) edit: u64,
}

impl Supervisor {
    /// Serves nothing yet.
    pub(super) fn new(tools: Tools, held: Claimed, common: Arc<Common>, threads: Threads) -> Self {
        Self {
            tools,
            held,
            common,
            served: HashMap::new(),
            leaving: HashMap::new(),
            left: Vec::new(),
            workers: JoinSet::new(),
            threads,
            running: HashMap::new(),
            edit: 0,
        }
    }

    /// Serves until a stop; whether attempts were under way at a hard one.
    pub(super) async fn run(mut self) -> bool {
        // Registered before looking.
        let mut changes = self.tools.store.changes();
        let (mut cut, mut is_due, mut has_failed) = (false, true, false);
        loop {
            if is_due {
                changes.mark_unchanged();
                let looked = self.look().await;
                has_failed = looked.is_err();
                if let Err(error) = looked {
                    tracing::warn!(
                        event = "subscription.list_unread", %error,
                        "the subscriptions cannot be read"
                    );
                }
            }
            let clock = self.tools.clock.clone();
            is_due = tokio::select! {
                biased;
                () = self.tools.hard.cancelled() => break,
                () = self.tools.soft.cancelled() => break,
                Some(ended) = self.workers.join_next_with_id() => {
                    cut |= self.ended(ended);
                    // A thousand may end at once; nothing is read for each of them.
                    while let Some(ended) = self.workers.try_join_next_with_id() {
                        cut |= self.ended(ended);
                    }
                    !self.left.is_empty()
                }
                Ok(()) = changes.changed() => true,
                () = self.held.changed() => true,
                () = clock.pause(PAUSE), if has_failed => true,
            };
        }
        while let Some(ended) = self.workers.join_next().await {
            cut |= ended.unwrap_or(true);
        }
        cut
    }

    /// Takes in what has changed since the last look; all there is when something else is held.
    pub(super) async fn look(&mut self) -> Result<(), StoreError> {
        if self.held.look() {
            self.edit = 0;
        }
        for subscription in self.tools.store.subscriptions(self.edit).await? {
            self.edit = self.edit.max(subscription.edit);
            self.apply(&subscription);
        }
        // Passed over while its workers ended. What all there is was read for is served by now.
        while let Some((id, name)) = self.left.pop() {
            if !self.held.has(id) || self.served.contains_key(&id) {
                continue;
            }
            match self.tools.store.subscription(&name).await {
                Ok(subscription) => self.apply(&subscription),
                Err(StoreError::NotFound { .. }) => {}
                Err(error) => {
                    self.left.push((id, name));
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn apply(&mut self, subscription: &Subscription) {
        if subscription.status == SubscriptionStatus::Deleted {
            // Its workers end when their assignments do.
            if let Some(gone) = self.served.remove(&subscription.id) {
                self.forget_metrics(&gone.name);
            }
            return;
        }
        if !self.held.has(subscription.id) {
            self.let_go(subscription.id);
            return;
        }
        // What it had here before is waited for: two workers of one position would not know of each
        // other.
        if self.leaving.contains_key(&subscription.id) {
            return;
        }
        let now = self.tools.clock.steady();
        let serve = subscription.status == SubscriptionStatus::Active;
        let (common, clock) = (&self.common, &self.tools.clock);
        let served = self.served.entry(subscription.id).or_insert_with(|| {
            let saved = (subscription.resets, subscription.health.as_deref());
            let endpoint = Endpoint::new(subscription.id, saved, common.clone(), clock);
            let name = subscription.name.clone();
            let (soft, hard) = (self.tools.soft.child_token(), self.tools.hard.child_token());
            let assignments = HashMap::new();
            Served { name, endpoint, assignments, idle_since: None, soft, hard }
        });
        served.assignments.retain(|id, _| subscription.positions.iter().any(|held| held.id == *id));
        let settings = &subscription.settings;
        let contract = settings.handshake.then_some(&*settings.url);
        let rate = settings.rate.map(Rate::per_second);
        served.endpoint.set(&host_of(&settings.url), rate, contract);
        let addressee = Arc::new(Addressee::new(subscription));
        let sift = Arc::new(Sift::new(settings));
        let live = subscription.positions.iter().filter(|position| position.job.is_none()).count();
        let ceiling = settings.concurrency.max(1) * live.max(1);
        for position in &subscription.positions {
            let (addressee, sift, fence) = (addressee.clone(), sift.clone(), position.fence);
            let assignment =
                Assignment { addressee, sift, serve, fence, ceiling, edit: subscription.edit };
            self.give(subscription.id, position, assignment);
        }
        self.resume(subscription, now);
    }

    /// Ends the workers of a subscription that is somebody else's: they begin nothing more, and what
    /// is under way is dropped before the other may begin.
    fn let_go(&mut self, subscription: i64) {
        let Some(gone) = self.served.remove(&subscription) else { return };
        tracing::debug!(subscription = %gone.name, "is served by another node");
        if self.has_workers(subscription) {
            self.leaving.insert(subscription, gone.name.clone());
            gone.soft.cancel();
            let (clock, grace) = (self.tools.clock.clone(), self.held.grace());
            tokio::spawn(async move {
                clock.pause(grace).await;
                gone.hard.cancel();
                drop(gone);
            });
        } else {
            self.held.ended(subscription);
        }
    }

    fn has_workers(&self, subscription: i64) -> bool {
        self.running.values().any(|(of, _)| *of == subscription)
    }

    /// Forgets what was learnt of the endpoint when it was resumed or is at another address; after
    /// the assignments, which make what waits due at once.
    fn resume(&mut self, subscription: &Subscription, now: Micros) {
        let Some(served) = self.served.get_mut(&subscription.id) else { return };
        let resets = subscription.resets;
        if subscription.status != SubscriptionStatus::Active {
            served.idle_since.get_or_insert(now);
        } else if let Some(since) = served.idle_since.take() {
            served.endpoint.resume(resets, since, now);
        } else if served.endpoint.resets() != resets {
            served.endpoint.resume(resets, now, now);
        }
    }

    /// Hands an assignment to the position's worker, and starts one when it is needed first.
    fn give(&mut self, subscription: i64, position: &PositionSummary, assignment: Assignment) {
        let Some(served) = self.served.get_mut(&subscription) else { return };
        if let Some(sender) = served.assignments.get(&position.id) {
            sender.send_replace(assignment);
        } else if assignment.serve {
            let (sender, assignments) = watch::channel(assignment);
            served.assignments.insert(position.id, sender);
            let endpoint = served.endpoint.clone();
            let tools = served.tools(&self.tools);
            let worker = hold(tools, position.id, endpoint, assignments);
            self.start(worker, subscription, position.id);
        }
    }

    fn start(
        &mut self,
        worker: impl Future<Output = bool> + Send + 'static,
        subscription: i64,
        position: i64,
    ) {
        let task = match self.threads.of(subscription) {
            Some(thread) => self.workers.spawn_on(worker, thread),
            None => self.workers.spawn(worker),
        };
        self.running.insert(task.id(), (subscription, position));
    }

    /// Notes that a worker ended; one that broke down is replaced.
    pub(super) fn ended(&mut self, ended: Result<(Id, bool), tokio::task::JoinError>) -> bool {
        let (task, cut) = match &ended {
            Ok((task, cut)) => (*task, *cut),
            Err(error) => (error.id(), false),
        };
        let Some((subscription, position)) = self.running.remove(&task) else { return cut };
        if self.leaving.contains_key(&subscription) {
            if !self.has_workers(subscription) {
                self.left.extend(self.leaving.remove_entry(&subscription));
                self.held.ended(subscription);
            }
            if cut && !self.tools.hard.is_cancelled() {
                tracing::warn!(
                    event = "subscription.attempts_dropped",
                    subscription,
                    position,
                    "attempts under way were dropped; the node that serves it now sends them again"
                );
                return false;
            }
            return cut;
        }
        let Some(served) = self.served.get_mut(&subscription) else { return cut };
        let Err(error) = ended else { return cut };
        tracing::error!(
            event = "subscription.worker_failed", %error, subscription = %served.name, position,
            "a worker broke down"
        );
        if let Some(sender) = served.assignments.get(&position) {
            let tools = served.tools(&self.tools);
            let assignments = sender.subscribe();
            let endpoint = served.endpoint.clone();
            let worker = async move {
                tools.clock.pause(PAUSE).await;
                hold(tools, position, endpoint, assignments).await
            };
            self.start(worker, subscription, position);
        }
        cut
    }

    fn forget_metrics(&self, name: &Name) {
        self.tools.metrics.forget_subscription(name.as_str());
    }
}

/// Host and port of a webhook; empty when the address cannot be read.
fn host_of(url: &str) -> String {
    let url = url::Url::parse(url).ok();
    let host = url.as_ref().and_then(|url| Some((url.host_str()?, url.port_or_known_default()?)));
    host.map(|(host, port)| format!("{host}:{port}")).unwrap_or_default()
}

/// Holds a position: takes it up, steps, and takes it up anew when the fence has risen. Answers
/// whether a hard stop cut attempts off.
async fn hold(
    tools: Tools,
    position: i64,
    endpoint: Arc<Endpoint>,
    assignments: watch::Receiver<Assignment>,
) -> bool {
    loop {
        let load = Worker::load(tools.clone(), position, endpoint.clone(), assignments.clone());
        match load.await {
            Ok(mut worker) => loop {
                match worker.step().await {
                    Step::Went => {}
                    Step::Stale => break,
                    Step::Done => return false,
                    Step::Cut(under_way) => return under_way,
                }
            },
            Err(StoreError::NotFound { .. } | StoreError::Closed) => return false,
            Err(error) => {
                if matches!(error, StoreError::Stale) {
                    // This node is about to be told.
                    tracing::debug!(position, "another node serves a position");
                } else {
                    tracing::warn!(
                        event = "subscription.start_failed", %error, position,
                        "a position cannot be taken up"
                    );
                }
                tokio::select! {
                    () = tools.clock.pause(PAUSE) => {}
                    () = tools.soft.cancelled() => return false,
                    // It was let go of: the place is another node's.
                    () = tools.hard.cancelled() => return false,
                }
            }
        }
    }
}
