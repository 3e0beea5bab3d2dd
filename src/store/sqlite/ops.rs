//! The operations that share commits, each with its way to answer.

use tokio::sync::oneshot;

use super::{keys::Key, pending::Waited};
use crate::{
    event::Micros,
    store::{Append, Placed, Released, Settlement, StoreError},
};

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// Answers all with one error; the first gets it with its source.
pub(super) fn refuse(ops: Vec<Hot>, error: StoreError) {
    let others = error.again();
    let mut error = Some(error);
    for op in ops {
        op.refuse(error.take().unwrap_or_else(|| others.again()));
    }
}

/// The operations of every second; small, for a thousand of them are moved about at once.
pub(super) enum Hot {
    Append { append: Box<Append>, keys: Vec<Key>, reply: Reply<Vec<Placed>> },
    Release { due: Vec<Waited>, now: Micros, reply: Reply<Vec<Released>> },
    Settle { settlement: Box<Settlement>, reply: Reply<()> },
    Health { subscription: i64, resets: u64, health: String, reply: Reply<()> },
}

impl Hot {
    /// Whether it keeps what is new, which waits while the disk is full. What the relay has to say
    /// of itself is little.
    pub(super) fn is_new(&self) -> bool {
        match self {
            Self::Append { append, .. } => {
                let listed = append.progress.as_ref().is_some_and(|it| !it.journal.is_empty());
                (!append.events.is_empty() || listed) && !append.topic.is_reserved()
            }
            Self::Release { .. } => true,
            Self::Settle { .. } | Self::Health { .. } => false,
        }
    }

    /// Answers a refusal; whoever asked may be gone.
    pub(super) fn refuse(self, error: StoreError) {
        match self {
            Self::Append { reply, .. } => drop(reply.send(Err(error))),
            Self::Release { reply, .. } => drop(reply.send(Err(error))),
            Self::Settle { reply, .. } | Self::Health { reply, .. } => {
                drop(reply.send(Err(error)));
            }
        }
    }
}
