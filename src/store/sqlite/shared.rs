//! What the writer publishes and readers see.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, AtomicUsize},
    },
};

use sqlx::sqlite::SqlitePool;
use tokio::sync::watch;

use crate::{
    event::{Micros, Topic, Version},
    store::{StoreError, TopicState, tail::Tail},
};

/// What the writer publishes and readers see.
pub(super) struct Shared {
    pub(super) topics: RwLock<BTreeMap<Topic, Published>>,
    pub(super) changes: watch::Sender<u64>,
    pub(super) tail: Tail,
    pub(super) readers: SqlitePool,
    /// Closed for a moment while the write-ahead log is truncated.
    pub(super) gate: tokio::sync::RwLock<()>,
    pub(super) hash_key: [u8; 16],
    pub(super) keys_max: usize,
    pub(super) keys: AtomicUsize,
    pub(super) pending_max: usize,
    pub(super) pending: AtomicUsize,
    /// When the next pending event is due.
    pub(super) next_pending: watch::Sender<Option<Micros>>,
    /// Owed events that retention removed, since the start.
    pub(super) expired: AtomicU64,
    /// Dead letters that went by age or number, since the start.
    pub(super) dead_trimmed: AtomicU64,
    pub(super) path: PathBuf,
}

/// One topic as readers see it.
#[derive(Clone)]
pub(super) struct Published {
    pub(super) state: Arc<TopicState>,
    pub(super) head: watch::Sender<Version>,
}

impl Shared {
    pub(super) fn published(&self, topic: &Topic) -> Result<Published, StoreError> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        topics.get(topic).cloned().ok_or_else(|| StoreError::not_found("topic", topic.as_str()))
    }

    pub(super) fn name_of(&self, topic: i64) -> Option<Topic> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        topics.values().find(|known| known.state.id == topic).map(|known| known.state.topic.clone())
    }
}
