//! The one task that writes: takes what has queued up, decides, commits, answers.

use std::{
    path::Path,
    sync::{Arc, PoisonError, atomic::Ordering},
};

use futures_util::future::BoxFuture;
use sqlx::{Connection as _, Row as _, SqliteConnection};
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    checkpoint::Checkpoints,
    commit,
    file::sibling,
    memory::{Change, Memory},
    ops::Hot,
    plan::Plan,
    shared::{Published, Shared},
};
use crate::{
    event::Version,
    store::{StoreError, TopicState},
};

/// Operations that share one commit at most.
const GROUP: usize = 1_024;

/// Above this size of the write-ahead log the readers' gate is closed and it is truncated.
const WAL_MAX_BYTES: u64 = 128 << 20;

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
}

impl Desk {
    pub(super) fn new(conn: SqliteConnection, memory: Memory, shared: Arc<Shared>) -> Self {
        let desk = Self { conn, memory, shared, changes: Vec::new(), announce: false, sound: true };
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
        self.begin().await.map_err(told)?;
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
                self.roll_back().await;
                Err(match error {
                    StoreError::Database(error) => told(error),
                    other => other,
                })
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
    /// whole, one by one, so that only the guilty one fails.
    pub(super) async fn group(&mut self, ops: Vec<Hot>) {
        if let Err(lost) = self.shared.check() {
            return refuse_all(ops, &lost.to_string());
        }
        if self.recover().await.is_err() {
            for op in ops {
                op.refuse(StoreError::Unknown(None));
            }
            return;
        }
        let plan = Plan::of(&self.memory, ops);
        if plan.is_empty() {
            return;
        }
        match self.write(&plan).await {
            Ok(()) => self.finish(plan),
            Err(Failed::Statement(error)) if plan.len() == 1 => plan.refuse(error),
            Err(Failed::Statement(_)) => {
                for op in plan.into_ops() {
                    let plan = Plan::of(&self.memory, vec![op]);
                    if plan.is_empty() {
                        continue;
                    }
                    match self.write(&plan).await {
                        Ok(()) => self.finish(plan),
                        Err(Failed::Statement(error)) => plan.refuse(error),
                        Err(Failed::Commit) => plan.refuse(StoreError::Unknown(None)),
                        Err(Failed::Lost(lost)) => refuse_all(plan.into_ops(), &lost),
                    }
                }
            }
            Err(Failed::Commit) => plan.refuse(StoreError::Unknown(None)),
            Err(Failed::Lost(lost)) => refuse_all(plan.into_ops(), &lost),
        }
    }

    async fn write(&mut self, plan: &Plan) -> Result<(), Failed> {
        self.begin().await.map_err(|error| Failed::Statement(told(error)))?;
        if let Err(error) = commit::write(&mut self.conn, plan).await {
            self.roll_back().await;
            return Err(Failed::Statement(told(error)));
        }
        self.commit().await.map_err(|error| match error {
            StoreError::Lost(lost) => Failed::Lost(lost),
            _ => Failed::Commit,
        })
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

    async fn begin(&mut self) -> Result<(), sqlx::Error> {
        const BEGIN: &str = "BEGIN IMMEDIATE";
        if sqlx::raw_sql(BEGIN).execute(&mut self.conn).await.is_err() {
            // A transaction that could not be rolled back when it failed may stand in the way.
            self.roll_back().await;
            sqlx::raw_sql(BEGIN).execute(&mut self.conn).await?;
        }
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), StoreError> {
        match sqlx::raw_sql("COMMIT").execute(&mut self.conn).await {
            Ok(_) => {
                // It may have gone to a file that nobody finds again.
                let kept = self.shared.check();
                self.sound &= kept.is_ok();
                kept
            }
            Err(error) => {
                tracing::error!(%error, "a commit failed; its outcome is read back from the file");
                self.sound = false;
                if self.recover().await.is_err() {
                    tracing::error!(
                        "the file could not be read back; the next operation tries again"
                    );
                }
                Err(StoreError::Unknown(Some(error)))
            }
        }
    }

    async fn roll_back(&mut self) {
        if let Err(error) = sqlx::raw_sql("ROLLBACK").execute(&mut self.conn).await {
            // A full disk rolls back by itself; then there is nothing left to undo.
            tracing::debug!(%error, "nothing to roll back");
        }
    }

    /// After a failed commit: memory is read back from the file.
    pub(super) async fn recover(&mut self) -> Result<(), StoreError> {
        if self.sound {
            return Ok(());
        }
        // Fails when no transaction is open, which is what we want.
        let _ = sqlx::raw_sql("ROLLBACK").execute(&mut self.conn).await;
        let loaded = Memory::load(&mut self.conn, self.shared.pending_max).await;
        self.memory = loaded.map_err(|_| StoreError::Unknown(None))?;
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

    /// Truncates the write-ahead log when readers have kept it from being reused for too long.
    async fn check_wal(&mut self, checkpoints: &Checkpoints) {
        let size = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
        if size(&sibling(&self.shared.path, "-wal")) <= WAL_MAX_BYTES {
            return;
        }
        let shared = self.shared.clone();
        let _gate = shared.gate.write().await;
        // Two at once, and this one would do nothing.
        let _turn = checkpoints.hold().await;
        let truncated =
            sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut self.conn).await;
        if let Err(error) = truncated {
            tracing::error!(%error, "a checkpoint failed");
            self.sound = false;
        }
    }
}

enum Failed {
    /// Rolled back: nothing happened.
    Statement(StoreError),
    /// Nobody knows what happened.
    Commit,
    /// It went to a file that nobody finds again.
    Lost(String),
}

fn refuse_all(ops: Vec<Hot>, lost: &str) {
    for op in ops {
        op.refuse(StoreError::Lost(lost.to_owned()));
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

/// Runs until closed.
pub(super) async fn run(mut desk: Desk, mut queue: mpsc::Receiver<Op>) {
    let mut ops = Vec::with_capacity(GROUP);
    let mut groups = 0_u32;
    let mut closing = None;
    let checkpoints = Checkpoints::start(desk.shared.path.clone());
    while closing.is_none() && queue.recv_many(&mut ops, GROUP).await > 0 {
        gather(&mut queue, &mut ops).await;
        let mut hot = Vec::with_capacity(ops.len());
        for op in ops.drain(..) {
            match op {
                Op::Hot(op) => hot.push(op),
                Op::Cold(work) => {
                    desk.group(std::mem::take(&mut hot)).await;
                    work(&mut desk).await;
                }
                Op::Close(done) => closing = Some(done),
            }
        }
        desk.group(hot).await;
        checkpoints.committed();
        groups = groups.wrapping_add(1);
        if groups.is_multiple_of(64) {
            desk.check_wal(&checkpoints).await;
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

/// What a failed statement is called.
fn told(error: sqlx::Error) -> StoreError {
    // 13: SQLITE_FULL.
    let full = |code: &str| code.parse::<u32>().is_ok_and(|code| code & 0xff == 13);
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    if code.is_some_and(|code| full(&code)) {
        StoreError::DiskFull
    } else {
        StoreError::Database(error)
    }
}
