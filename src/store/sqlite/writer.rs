//! The one task that writes: takes what has queued up, decides, commits, answers.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

use futures_util::{FutureExt as _, future::BoxFuture};
use sqlx::{Connection as _, Row as _, SqliteConnection};
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    checkpoint::Checkpoints,
    commit,
    memory::{Change, Memory},
    ops::{Hot, refuse},
    plan::Plan,
    shared::{Published, Shared},
    shorten, transaction, vacuum,
};
use crate::{
    event::Version,
    store::{StoreError, TopicState},
};

/// Operations that share one commit at most.
const GROUP: usize = 1_024;

/// How long a program that has locked the file is waited for. What comes later is refused at once,
/// until the lock is gone.
const PATIENCE: Duration = Duration::from_secs(2);
/// Another program has locked the file.
const LOCKED: &str = "store_locked";

/// Something done at the desk in its turn.
pub(super) type Work = Box<dyn for<'a> FnOnce(&'a mut Desk) -> BoxFuture<'a, ()> + Send>;

/// What is asked of the writer.
pub(super) enum Op {
    /// Decided in memory and committed with others.
    Hot(Hot),
    /// Has a transaction of its own.
    Cold(Work),
    /// Nothing more will come.
    Close(oneshot::Sender<()>),
}

/// What the writer works with.
pub(super) struct Desk {
    pub(super) conn: SqliteConnection,
    pub(super) memory: Memory,
    pub(super) shared: Arc<Shared>,
    /// Of the transaction under way; taken over when it is committed.
    changes: Vec<Change>,
    announce: bool,
    /// Whether memory is what the file says.
    sound: bool,
    /// Whether another program had locked the file when it was tried last.
    locked: bool,
    pub(super) vacuum: vacuum::Pace,
}

impl Desk {
    pub(super) fn new(conn: SqliteConnection, memory: Memory, shared: Arc<Shared>) -> Self {
        let desk = Self {
            conn,
            memory,
            shared,
            changes: Vec::new(),
            announce: false,
            sound: true,
            locked: false,
            vacuum: vacuum::Pace::default(),
        };
        desk.publish_all();
        desk
    }

    /// Notes what a transaction changes in memory, once it is committed.
    pub(super) fn change(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// Wakes whoever watches the registry, once the transaction is committed.
    pub(super) fn announce(&mut self) {
        self.announce = true;
    }

    /// The number of the next change of a subscription.
    pub(super) fn next_edit(&mut self) -> u64 {
        let noted = self.changes.iter().rev().find_map(|change| match change {
            Change::Edit(edit) => Some(*edit),
            _ => None,
        });
        let edit = noted.unwrap_or(self.memory.edit) + 1;
        self.change(Change::Edit(edit));
        edit
    }

    /// Runs `work` in a transaction; memory follows the commit.
    pub(super) async fn transact<T>(
        &mut self,
        work: impl for<'a> FnOnce(&'a mut Self) -> BoxFuture<'a, Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.changes.clear();
        self.announce = false;
        self.shared.check()?;
        self.recover().await?;
        self.begin().await?;
        let result = work(self).await;
        match result {
            Ok(value) => {
                self.commit().await?;
                for change in std::mem::take(&mut self.changes) {
                    self.take_over(change);
                }
                if self.announce {
                    self.shared.changes.send_modify(|number| *number += 1);
                }
                Ok(value)
            }
            Err(error) => {
                transaction::roll_back(&mut self.conn).await;
                Err(error)
            }
        }
    }

    fn take_over(&mut self, change: Change) {
        let topic = match &change {
            Change::Topic(state) => Some(state.id),
            Change::TopicGone(id) => {
                let mut topics = self.shared.topics.write().unwrap_or_else(PoisonError::into_inner);
                topics.retain(|_, topic| topic.state.id != *id);
                self.shared.heads.forget(*id);
                self.shared.holes.forget(*id, Version::MAX);
                None
            }
            _ => None,
        };
        self.memory.apply(change);
        self.publish_sizes();
        if let Some(topic) = topic.and_then(|id| self.memory.topics.get(&id)) {
            self.shared.heads.note(&topic.state);
            publish(&self.shared, &topic.state);
        }
    }

    /// Decides the operations in order and commits them together; if the database refuses the
    /// whole, one by one, so that only the guilty one fails. On a full disk what is new is refused,
    /// and the rest goes on from the reserve.
    pub(super) async fn group(&mut self, mut ops: Vec<Hot>) {
        if let Err(lost) = self.shared.check() {
            return refuse(ops, lost);
        }
        loop {
            if let Err(error) = self.recover().await {
                return refuse(ops, error);
            }
            if self.shared.room.is_short() {
                let (new, others) = ops.into_iter().partition(Hot::is_new);
                refuse(new, StoreError::DiskFull);
                ops = others;
            }
            let plan = Plan::of(&self.memory, ops);
            if plan.is_empty() {
                return;
            }
            match self.write(&plan).await {
                Ok(()) => return self.finish(plan),
                Err(StoreError::DiskFull) if self.shared.room.give().await => {
                    ops = plan.into_ops();
                }
                Err(StoreError::Database(_)) if plan.len() > 1 => {
                    for op in plan.into_ops() {
                        Box::pin(self.group(vec![op])).await;
                    }
                    return;
                }
                Err(error) => return plan.refuse(error),
            }
        }
    }

    async fn write(&mut self, plan: &Plan) -> Result<(), StoreError> {
        self.begin().await?;
        if let Err(error) = commit::write(&mut self.conn, plan).await {
            transaction::roll_back(&mut self.conn).await;
            return Err(error.into());
        }
        self.commit().await
    }

    /// Takes over what was committed: tail, memory, heads, then the answers.
    fn finish(&mut self, plan: Plan) {
        for topic in plan.apply(&mut self.memory) {
            self.shared.tail.push(topic.id, &topic.events);
            if let Some(topic) = self.memory.topics.get(&topic.id) {
                self.shared.heads.note(&topic.state);
                publish(&self.shared, &topic.state);
            }
        }
        self.publish_sizes();
        plan.answer();
    }

    async fn begin(&mut self) -> Result<(), StoreError> {
        let patience = if self.locked { Duration::ZERO } else { PATIENCE };
        let begun = transaction::begin(&mut self.conn, patience).await.map_err(StoreError::from);
        let is_locked = matches!(begun, Err(StoreError::Busy(_)));
        if is_locked && !self.locked {
            let detail = format!(
                "another program has locked {}, so nothing can be written: publishes are refused \
                 with 503; end that program (sqlite3, a backup), and it goes on by itself",
                self.shared.path.display()
            );
            self.shared.troubles.began(LOCKED, detail);
        } else if begun.is_ok() && self.locked {
            self.shared.troubles.ended(LOCKED, "the file can be written again");
        }
        self.locked = is_locked;
        begun
    }

    async fn commit(&mut self) -> Result<(), StoreError> {
        let Err(error) = transaction::commit(&mut self.conn).await else {
            // It may have gone to a file that nobody finds again.
            let kept = self.shared.check();
            if kept.is_err() {
                self.doubt();
            }
            return kept;
        };
        match StoreError::from(error) {
            // Its frame in the log is not whole, so nothing was committed.
            full @ (StoreError::DiskFull | StoreError::Busy(_)) => {
                transaction::roll_back(&mut self.conn).await;
                Err(full)
            }
            error => {
                tracing::error!(error = ?error, "a commit failed; its outcome is read back from the file");
                self.doubt();
                if self.recover().await.is_err() {
                    tracing::error!(
                        "the file could not be read back; the next operation tries again"
                    );
                }
                let StoreError::Database(source) = error else {
                    return Err(StoreError::Unknown(None));
                };
                Err(StoreError::Unknown(Some(source)))
            }
        }
    }

    /// Memory may not be what the file says.
    pub(super) fn doubt(&mut self) {
        self.sound = false;
    }

    /// After a failed commit: memory is read back from the file.
    pub(super) async fn recover(&mut self) -> Result<(), StoreError> {
        if self.sound {
            return Ok(());
        }
        transaction::roll_back(&mut self.conn).await;
        let loaded = Memory::load(&mut self.conn, self.shared.pending_max).await;
        self.memory = loaded.map_err(|error| error.again())?;
        self.sound = true;
        self.publish_all();
        Ok(())
    }

    /// What is published besides topics.
    fn publish_sizes(&self) {
        self.shared.keys.store(self.memory.key_count, Ordering::Relaxed);
        self.shared.pending.store(self.memory.pending.len(), Ordering::Relaxed);
        let next = self.memory.next_due();
        let known = &self.shared.next_pending;
        known.send_if_modified(|known| std::mem::replace(known, next) != next);
    }

    fn publish_all(&self) {
        for topic in self.memory.topics.values() {
            publish(&self.shared, &topic.state);
        }
        self.publish_sizes();
    }
}

/// Takes in what is asked for by those that can run already, as long as there are more of them: one
/// commit costs about as much for all of them.
async fn gather(queue: &mut mpsc::Receiver<Op>, ops: &mut Vec<Op>) {
    loop {
        let before = ops.len();
        tokio::task::yield_now().await;
        while ops.len() < GROUP
            && let Ok(op) = queue.try_recv()
        {
            ops.push(op);
        }
        if ops.len() == before || ops.len() >= GROUP {
            return;
        }
    }
}

/// Does a group, then what has a transaction of its own. A value that a damaged row has not got ends
/// that alone, and whoever asked learns that the outcome is unknown; the writer goes on.
async fn guarded(desk: &mut Desk, group: Vec<Hot>, work: Option<Work>) {
    let done = AssertUnwindSafe(async {
        desk.group(group).await;
        if let Some(work) = work {
            work(desk).await;
        }
    });
    if done.catch_unwind().await.is_err() {
        tracing::error!(
            "a row of the store is damaged where it was needed; look at the store with \
             `milkrun check --store` when the relay is stopped"
        );
        desk.shared.holes.count(1);
        desk.doubt();
    }
}

/// Runs until closed.
pub(super) async fn run(mut desk: Desk, mut queue: mpsc::Receiver<Op>) {
    let mut ops = Vec::with_capacity(GROUP);
    let mut groups = 0_u32;
    let mut closing = None;
    let mut log = shorten::Log::default();
    let checkpoints = Checkpoints::start(desk.shared.path.clone(), desk.shared.room.clone());
    while closing.is_none() && queue.recv_many(&mut ops, GROUP).await > 0 {
        gather(&mut queue, &mut ops).await;
        let mut hot = Vec::with_capacity(ops.len());
        for op in ops.drain(..) {
            match op {
                Op::Hot(op) => hot.push(op),
                Op::Cold(work) => {
                    guarded(&mut desk, std::mem::take(&mut hot), Some(work)).await;
                }
                Op::Close(done) => closing = Some(done),
            }
        }
        guarded(&mut desk, hot, None).await;
        checkpoints.committed();
        groups = groups.wrapping_add(1);
        if groups.is_multiple_of(64) {
            log.check(&mut desk, &checkpoints).await;
        }
    }
    checkpoints.stop().await;
    let _ = sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut desk.conn).await;
    if let Err(error) = desk.conn.close().await {
        tracing::warn!(%error, "the database was not closed cleanly");
    }
    if let Some(done) = closing {
        let _ = done.send(());
    }
}

/// The file's key for hashing `source` and `id`; made with the file.
pub(super) async fn hash_key(conn: &mut SqliteConnection) -> Result<[u8; 16], StoreError> {
    let fresh = uuid::Uuid::new_v4().into_bytes();
    let sql = "-- hash key\nINSERT INTO meta (name, value) VALUES ('hash_key', $1) ON CONFLICT DO NOTHING";
    sqlx::query(sql).bind(&fresh[..]).execute(&mut *conn).await?;
    let sql = "-- hash key read\nSELECT value FROM meta WHERE name = 'hash_key'";
    let key: Vec<u8> = sqlx::query(sql).fetch_one(conn).await?.get(0);
    key.try_into().map_err(|_| StoreError::Unreadable {
        table: "meta",
        problem: "the hash key is not of 16 bytes".into(),
    })
}

fn publish(shared: &Shared, state: &Arc<TopicState>) {
    let mut topics = shared.topics.write().unwrap_or_else(PoisonError::into_inner);
    let topic = topics.entry(state.topic.clone()).or_insert_with(|| Published {
        state: state.clone(),
        head: watch::Sender::new(state.head),
    });
    topic.state = state.clone();
    topic.head.send_if_modified(|head| std::mem::replace(head, state.head) != state.head);
}
