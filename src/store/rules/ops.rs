//! The operations that share commits, each with its way to answer.

use super::keys::Key;
use crate::{
    event::Micros,
    store::{Append, LoggedPending, NewEvent, Placed, Settlement, StoreError},
};

/// A pending event that is due, with all that the log needs.
pub(crate) struct DuePending {
    pub(crate) id: i64,
    pub(crate) topic: i64,
    pub(crate) key: Key,
    pub(crate) due: Micros,
    pub(crate) since: Micros,
    pub(crate) event: NewEvent,
}

/// Tells whoever asked, who may be gone, how it ended.
pub(crate) type Reply<T> = Box<dyn FnOnce(Result<T, StoreError>) + Send + Sync>;

/// Answers all with one error; the first gets it with its source.
pub(crate) fn refuse(ops: Vec<Hot>, error: StoreError) {
    let others = error.again();
    let mut error = Some(error);
    for op in ops {
        op.refuse(error.take().unwrap_or_else(|| others.again()));
    }
}

/// The operations of every second; small, for a thousand of them are moved about at once.
pub(crate) enum Hot {
    Append { append: Box<Append>, keys: Vec<Key>, reply: Reply<Vec<Placed>> },
    Release { due: Vec<DuePending>, now: Micros, reply: Reply<Vec<LoggedPending>> },
    Settle { settlement: Box<Settlement>, reply: Reply<()> },
    Health { subscription: i64, resets: u64, health: String, reply: Reply<()> },
}

impl Hot {
    /// Whether it keeps what is new, which waits while the disk is full. What the relay has to say
    /// of itself is little.
    pub(crate) fn is_new(&self) -> bool {
        match self {
            Self::Append { append, .. } => {
                let listed = append.progress.as_ref().is_some_and(|it| !it.journal.is_empty());
                (!append.events.is_empty() || listed) && !append.topic.is_reserved()
            }
            Self::Release { .. } => true,
            Self::Settle { .. } | Self::Health { .. } => false,
        }
    }

    /// Answers a refusal.
    pub(crate) fn refuse(self, error: StoreError) {
        match self {
            Self::Append { reply, .. } => reply(Err(error)),
            Self::Release { reply, .. } => reply(Err(error)),
            Self::Settle { reply, .. } | Self::Health { reply, .. } => reply(Err(error)),
        }
    }
}
