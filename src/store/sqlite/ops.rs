//! The operations that share commits, each with its way to answer.

use tokio::sync::oneshot;

use super::{keys::Key, pending::Waited};
use crate::{
    event::Micros,
    store::{Append, Placed, Released, Settlement, StoreError},
};

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// The operations of every second; small, for a thousand of them are moved about at once.
pub(super) enum Hot {
    Append { append: Box<Append>, keys: Vec<Key>, reply: Reply<Vec<Placed>> },
    Release { due: Vec<Waited>, now: Micros, reply: Reply<Vec<Released>> },
    Settle { settlement: Box<Settlement>, reply: Reply<()> },
    Health { subscription: i64, resets: u64, health: String, reply: Reply<()> },
}

impl Hot {
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
