//! What the one writer works with: the connection, what is known, and how a transaction begins and
//! ends.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::future::BoxFuture;
use sqlx::SqliteConnection;
use tokio::sync::watch;

use self::{
    pieces::Pieces,
    shared::{Published, Shared},
};
use crate::{
    clock,
    event::Version,
    store::{
        StoreError, TopicState,
        rules::{
            group::Plan,
            known::{Change, Known},
            ops::{Hot, refuse},
        },
    },
};

pub(crate) mod ask;
pub(crate) mod bulk;
pub(crate) mod checkpoint;
pub(crate) mod load;
pub(crate) mod pieces;
pub(crate) mod shared;
pub(crate) mod shorten;
pub(crate) mod transaction;
pub(crate) mod vacuum;
pub(crate) mod write;
pub(crate) mod writer;

/// How long a program that has locked the file is waited for. What comes later is refused at once,
/// until the lock is gone.
const PATIENCE: Duration = Duration::from_secs(2);
/// Another program has locked the file.
const LOCKED: &str = "store_locked";

/// What the writer works with.
pub(crate) struct Desk {
    pub(crate) conn: SqliteConnection,
    pub(crate) known: Known,
    /// The number that the next pending event gets.
    pending_next: i64,
    pub(crate) shared: Arc<Shared>,
    /// Of the transaction under way; taken over when it is committed.
    changes: Vec<Change>,
    announce: bool,
    /// Whether what is known is what the file says.
    sound: bool,
    /// Whether another program had locked the file when it was tried last.
    locked: bool,
    pub(crate) pieces: Pieces,
}

impl Desk {
    pub(crate) fn new(
        conn: SqliteConnection,
        (known, pending_next): (Known, i64),
        shared: Arc<Shared>,
    ) -> Self {
        let desk = Self {
            conn,
            known,
            pending_next,
            shared,
            changes: Vec::new(),
            announce: false,
            sound: true,
            locked: false,
            pieces: Pieces::default(),
        };
        desk.publish_all();
        desk
    }

    /// Notes what a transaction changes in what is known, once it is committed.
    pub(crate) fn change(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// Wakes whoever watches the registry, once the transaction is committed.
    pub(crate) fn announce(&mut self) {
        self.announce = true;
    }

    /// The number of the next change of a subscription.
    pub(crate) fn next_edit(&mut self) -> u64 {
        let noted = self.changes.iter().rev().find_map(|change| match change {
            Change::Edit(edit) => Some(*edit),
            _ => None,
        });
        let edit = noted.unwrap_or(self.known.edit) + 1;
        self.change(Change::Edit(edit));
        edit
    }

    /// Runs `work` in a transaction; what is known follows the commit.
    pub(crate) async fn transact<T>(
        &mut self,
        work: impl for<'a> FnOnce(&'a mut Self) -> BoxFuture<'a, Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.changes.clear();
        self.announce = false;
        self.shared.check_again()?;
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
                if let Some(topic) = self.known.topics.get(id) {
                    self.shared.heads.bury(&topic.state);
                }
                let mut topics = self.shared.topics.write();
                topics.retain(|_, topic| topic.state.id != *id);
                drop(topics);
                self.shared.holes.forget(*id, Version::MAX);
                None
            }
            _ => None,
        };
        self.known.apply(change);
        self.publish_sizes();
        if let Some(topic) = topic.and_then(|id| self.known.topics.get(&id)) {
            self.shared.heads.note(&topic.state);
            publish(&self.shared, &topic.state);
        }
    }

    /// Decides the operations in order and commits them together; if the database refuses the
    /// whole, one by one, so that only the guilty one fails. On a full disk what is new is refused,
    /// and the rest goes on from the reserve.
    pub(crate) async fn group(&mut self, mut ops: Vec<Hot>) {
        if let Err(lost) = self.shared.check_again() {
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
            let plan = Plan::of(&self.known, ops, self.pending_next..);
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
        if let Err(error) = write::write(&mut self.conn, plan).await {
            transaction::roll_back(&mut self.conn).await;
            return Err(error.into());
        }
        self.commit().await
    }

    /// Takes over what was committed: tail, what is known, heads, then the answers.
    fn finish(&mut self, plan: Plan) {
        if let Some(last) = plan.waiting.last() {
            self.pending_next = last.id + 1;
        }
        for topic in plan.apply(&mut self.known) {
            self.shared.tail.push(topic.id, &topic.events);
            if let Some(topic) = self.known.topics.get(&topic.id) {
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
        let begun = clock::instant();
        let committed = transaction::commit(&mut self.conn).await;
        self.shared.commit_seconds.observe(begun.elapsed().as_secs_f64());
        let Err(error) = committed else {
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
                tracing::error!(
                    event = "store.commit_failed", error = ?error,
                    "a commit failed; its outcome is read back from the file"
                );
                self.doubt();
                if self.recover().await.is_err() {
                    tracing::error!(
                        event = "store.read_back_failed",
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

    /// What is known may not be what the file says.
    pub(crate) fn doubt(&mut self) {
        self.sound = false;
    }

    /// After a failed commit: what is known is read back from the file.
    pub(crate) async fn recover(&mut self) -> Result<(), StoreError> {
        if self.sound {
            return Ok(());
        }
        transaction::roll_back(&mut self.conn).await;
        let loaded = load::all(&mut self.conn, self.shared.pending_max).await;
        (self.known, self.pending_next) = loaded.map_err(|error| error.again())?;
        self.sound = true;
        self.publish_all();
        Ok(())
    }

    /// What is published besides topics.
    fn publish_sizes(&self) {
        self.shared.keys.store(self.known.key_count, Ordering::Relaxed);
        self.shared.pending.store(self.known.pending.len(), Ordering::Relaxed);
        let next = self.known.next_due();
        let known = &self.shared.next_pending;
        known.send_if_modified(|known| std::mem::replace(known, next) != next);
    }

    fn publish_all(&self) {
        for topic in self.known.topics.values() {
            publish(&self.shared, &topic.state);
        }
        self.publish_sizes();
    }
}

fn publish(shared: &Shared, state: &Arc<TopicState>) {
    let mut topics = shared.topics.write();
    let topic = topics.entry(state.topic.clone()).or_insert_with(|| Published {
        state: state.clone(),
        head: watch::Sender::new(state.head),
    });
    topic.state = state.clone();
    topic.head.send_if_modified(|head| std::mem::replace(head, state.head) != state.head);
}
