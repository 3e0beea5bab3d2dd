//! The lanes: each takes the appends of its topics as they queue up, decides them together and
//! commits them. One more takes settlements.
//!
//! A topic has one lane of a node, so its appends never wait for each other here. Between nodes the
//! row of the topic is the lock, and whoever has it learns what others did meanwhile ([`super::sync`]).

use std::{
    hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher},
    sync::Arc,
};

use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{
    commit::{Ended, Link},
    shared::Shared,
    sync::Synced,
    write,
};
use crate::{
    event::{Micros, Topic, Version},
    store::{
        StoreError,
        question::question,
        rules::{
            group::Plan,
            ops::{Hot, Reply, refuse},
        },
    },
};

/// Lanes of appends.
const LANES: usize = 4;
/// The trouble of rows that somebody else holds for long.
const HELD: &str = "rows_held";
/// Operations that may wait in one.
const QUEUE: usize = 1_024;
/// A lane takes no more once it has so many events.
const EVENTS_MAX: usize = 1_000;
/// Nor once they have so many bytes.
const BYTES_MAX: usize = 1 << 20;

/// The lanes of a node.
pub(super) struct Lanes {
    appends: Vec<mpsc::Sender<Hot>>,
    settlements: mpsc::Sender<Hot>,
    tasks: parking_lot::Mutex<Vec<JoinHandle<()>>>,
    stop: CancellationToken,
}

impl Lanes {
    pub(super) fn start(shared: &Arc<Shared>) -> Self {
        let (mut tasks, stop) = (Vec::new(), CancellationToken::new());
        let mut start = || {
            let (sender, queue) = mpsc::channel(QUEUE);
            tasks.push(tokio::spawn(Lane::new(shared.clone()).run(queue, stop.clone())));
            sender
        };
        let appends = (0..LANES).map(|_| start()).collect();
        let settlements = start();
        Self { appends, settlements, tasks: parking_lot::Mutex::new(tasks), stop }
    }

    /// Asks for something of one topic.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        topic: &Topic,
        op: impl FnOnce(Reply<T>) -> Hot,
    ) -> Result<T, StoreError> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(topic);
        let lane = usize::try_from(hash % LANES as u64).unwrap_or_default();
        ask(&self.appends[lane], op).await
    }

    /// Asks for something of positions.
    pub(super) async fn settle<T: Send + 'static>(
        &self,
        op: impl FnOnce(Reply<T>) -> Hot,
    ) -> Result<T, StoreError> {
        ask(&self.settlements, op).await
    }

    /// Ends what was asked for.
    pub(super) async fn close(&self) {
        self.stop.cancel();
        let tasks = std::mem::take(&mut *self.tasks.lock());
        for task in tasks {
            let _ = task.await;
        }
    }
}

async fn ask<T: Send + 'static>(
    lane: &mpsc::Sender<Hot>,
    op: impl FnOnce(Reply<T>) -> Hot,
) -> Result<T, StoreError> {
    let (reply, answer) = question();
    lane.send(op(reply)).await.map_err(|_| StoreError::Closed)?;
    answer.await
}

/// One lane.
struct Lane {
    shared: Arc<Shared>,
    link: Link,
    /// Since when rows are held by somebody else.
    held_since: Option<Micros>,
    synced: Synced,
}

impl Lane {
    fn new(shared: Arc<Shared>) -> Self {
        Self { shared, link: Link::default(), held_since: None, synced: Synced::default() }
    }

    /// Takes what has queued up, until `stop`; then what was asked before.
    async fn run(mut self, mut queue: mpsc::Receiver<Hot>, stop: CancellationToken) {
        while let Some(first) = stop.run_until_cancelled(queue.recv()).await.flatten() {
            self.group(gather(first, &mut queue)).await;
        }
        queue.close();
        while let Some(first) = queue.recv().await {
            self.group(gather(first, &mut queue)).await;
        }
    }

    /// Decides the operations in order and commits them together; if the database refuses the whole,
    /// one by one, so that only the guilty one fails.
    async fn group(&mut self, ops: Vec<Hot>) {
        let plan = match self.decide(ops).await {
            Ok(plan) => plan,
            Err((ops, error)) => return refuse(ops, error),
        };
        if plan.is_empty() {
            self.link.roll_back().await;
            return plan.answer();
        }
        if let Err(error) = self.write(&plan).await {
            self.link.roll_back().await;
            if plan.len() == 1 {
                self.tell_failed(&error);
                return plan.refuse(error);
            }
            for op in plan.into_ops() {
                Box::pin(self.group(vec![op])).await;
            }
            return;
        }
        match self.link.commit(&self.shared).await {
            Ended::Committed => {
                let shared = &self.shared;
                shared.failing.worked(shared.clock.steady(), &shared.server.troubles);
                self.finish(plan).await;
            }
            Ended::Unknown(error) => {
                // What is known may not be what the database says; nor who still holds its locks.
                self.forget();
                plan.refuse(StoreError::Unknown(error));
            }
        }
    }

    async fn write(&mut self, plan: &Plan) -> Result<(), StoreError> {
        Ok(write::write(self.link.conn()?, plan, &self.synced).await?)
    }

    /// Begins a transaction, learns what the operations are about, and decides them.
    async fn decide(&mut self, mut ops: Vec<Hot>) -> Result<Plan, (Vec<Hot>, StoreError)> {
        match self.begin(&ops).await {
            Ok(ids) => Ok({
                // What another node moved or took back meanwhile is not pending any more.
                for op in &mut ops {
                    if let Hot::Release { due, .. } = op {
                        due.retain(|due| self.synced.is_still(due));
                    }
                }
                Plan::of(&self.synced.known, ops, ids.into_iter())
            }),
            Err(error) => {
                self.tell_held(&error);
                self.tell_failed(&error);
                self.forget();
                Err((ops, unreachable(error)))
            }
        }
    }

    async fn begin(&mut self, ops: &[Hot]) -> Result<Vec<i64>, StoreError> {
        if self.link.begin(&self.shared).await? {
            // Another server, perhaps, in another history.
            self.synced = Synced::default();
        }
        let ids = self.synced.sync(self.link.conn()?, ops, &self.shared).await?;
        if self.held_since.take().is_some() {
            self.shared.server.troubles.ended(HELD, "rows of the database are free again");
        }
        Ok(ids)
    }

    /// Tells of a database that refuses what is written.
    fn tell_failed(&self, error: &StoreError) {
        let shared = &self.shared;
        shared.failing.failed(error, shared.clock.steady(), &shared.server.troubles);
    }

    /// Tells of rows that somebody else holds for longer than a node's term.
    fn tell_held(&mut self, error: &StoreError) {
        if !matches!(error, StoreError::Busy(_)) {
            return;
        }
        let now = self.shared.clock.steady();
        let held = now.since(*self.held_since.get_or_insert(now));
        if held > self.shared.term {
            self.shared.server.troubles.began(
                HELD,
                format!(
                    "appends or settlements wait since {} s for rows that somebody else holds: look \
                     for the session in pg_stat_activity; a client that was cut off while its commit \
                     waited for a standby (wait_event SyncRep) keeps them until that answers",
                    held.as_secs()
                ),
            );
        }
    }

    /// Takes over what was committed, then answers.
    async fn finish(&mut self, plan: Plan) {
        for topic in plan.apply(&mut self.synced.known) {
            self.shared.tail.push(topic.id, &topic.events);
            if let Some(known) = self.synced.known.topics.get(&topic.id) {
                self.shared.publish(&known.state);
                self.shared.moved.note(topic.id, known.state.head);
            }
        }
        self.synced.committed(&plan);
        if !plan.waiting.is_empty() || plan.released().next().is_some() {
            self.shared.moved.note(0, Version::ZERO);
            self.shared.look_at_pending().await;
        }
        plan.answer();
    }

    fn forget(&mut self) {
        self.link.drop();
        self.synced = Synced::default();
    }
}

/// What could not be begun because nobody answers; nothing was changed.
fn unreachable(error: StoreError) -> StoreError {
    match error {
        StoreError::Database(sqlx::Error::Io(error)) => {
            tracing::error!(event = "store.unreachable", %error, "the database cannot be reached");
            StoreError::Busy("the database cannot be reached; it is safe to repeat")
        }
        error => error,
    }
}

/// As much of what has queued up as goes into one commit.
fn gather(first: Hot, queue: &mut mpsc::Receiver<Hot>) -> Vec<Hot> {
    let (mut ops, mut next) = (Vec::new(), Some(first));
    let (mut events, mut bytes) = (0, 0);
    while let Some(op) = next {
        let (more, size) = weight(&op);
        events += more;
        bytes += size;
        ops.push(op);
        let full = events >= EVENTS_MAX || bytes >= BYTES_MAX;
        next = if full { None } else { queue.try_recv().ok() };
    }
    ops
}

/// Events and bytes of an operation.
fn weight(op: &Hot) -> (usize, usize) {
    match op {
        Hot::Append { append, .. } => {
            let bytes = append.events.iter().map(crate::store::NewEvent::size_bytes).sum();
            (append.events.len().max(1), bytes)
        }
        Hot::Release { due, .. } => (due.len(), 0),
        Hot::Settle { .. } | Hot::Health { .. } => (1, 0),
    }
}
