//! What a backend decides by: heads, names, fences and known keys, as of the last commit.
//!
//! A backend may know a part only, as long as that is all that the operations at hand name.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::keys::{Key, Keys};
use crate::{
    event::{Micros, Topic, Version},
    store::{Fence, Pending, StoreError, TopicState},
};

/// The whole of it.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// By row number.
    pub(crate) topics: HashMap<i64, KnownTopic>,
    /// Row numbers by name.
    pub(crate) names: BTreeMap<Topic, i64>,
    /// By row number.
    pub(crate) sources: HashMap<i64, KnownSource>,
    /// By row number.
    pub(crate) positions: HashMap<i64, KnownPosition>,
    /// By row number.
    pub(crate) pending: HashMap<i64, KnownPending>,
    /// When each is due, and its row number.
    pub(crate) due: BTreeSet<(Micros, i64)>,
    /// The most pending events.
    pub(crate) pending_max: usize,
    /// The last change of a subscription.
    pub(crate) edit: u64,
    /// Dedupe keys over all topics.
    pub(crate) key_count: usize,
}

/// One topic.
#[derive(Debug)]
pub(crate) struct KnownTopic {
    pub(crate) state: Arc<TopicState>,
    pub(crate) keys: Keys,
    /// The numbers of pending events.
    pub(crate) pending: HashMap<Key, i64>,
}

/// One pending event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KnownPending {
    pub(crate) topic: i64,
    pub(crate) key: Key,
    pub(crate) due: Micros,
    /// It was prepared and is committed, so nobody takes it back.
    pub(crate) committed: bool,
}

/// One source.
#[derive(Debug, Clone)]
pub(crate) struct KnownSource {
    pub(crate) fence: Fence,
    /// The count that the next journal row gets.
    pub(crate) journal_next: u64,
    /// The count that the next rejected row gets.
    pub(crate) rejected_next: u64,
}

/// One position.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KnownPosition {
    pub(crate) subscription: i64,
    pub(crate) topic: i64,
    pub(crate) fence: Fence,
    /// The replay job that it serves.
    pub(crate) job: Option<i64>,
}

/// What a registry operation changes here, once it is committed.
#[derive(Debug)]
pub(crate) enum Change {
    Topic(TopicState),
    TopicGone(i64),
    Source(i64, KnownSource),
    SourceGone(i64),
    Position(i64, KnownPosition),
    PositionGone(i64),
    Edit(u64),
    PendingDue(i64, Micros),
    /// Its commit, and when it is due.
    PendingCommitted(i64, Micros),
    PendingGone(Vec<i64>),
    /// Keys of the versions up to one, and how many.
    KeysGone(i64, Version, usize),
}

impl Known {
    /// Takes in a pending event; those of a topic that is gone are nobody's.
    pub(crate) fn wait(&mut self, id: i64, one: KnownPending) {
        if let Some(topic) = self.topics.get_mut(&one.topic) {
            topic.pending.insert(one.key, id);
            self.due.insert((one.due, id));
            self.pending.insert(id, one);
        }
    }

    /// Lets go of a pending event.
    pub(crate) fn wait_no_more(&mut self, id: i64) {
        let Some(one) = self.pending.remove(&id) else { return };
        self.due.remove(&(one.due, id));
        if let Some(topic) = self.topics.get_mut(&one.topic) {
            topic.pending.remove(&one.key);
        }
    }

    /// When the next pending event is due.
    pub(crate) fn next_due(&self) -> Option<Micros> {
        self.due.first().map(|(due, _)| *due).filter(|due| *due != Pending::PREPARED)
    }

    /// The topic of that name.
    pub(crate) fn topic(&self, topic: &Topic) -> Result<&KnownTopic, StoreError> {
        let id = self.names.get(topic);
        id.and_then(|id| self.topics.get(id))
            .ok_or_else(|| StoreError::not_found("topic", topic.as_str()))
    }

    /// Takes over what was committed.
    pub(crate) fn apply(&mut self, change: Change) {
        match change {
            Change::Topic(state) => {
                self.names.insert(state.topic.clone(), state.id);
                let state = Arc::new(state);
                self.topics
                    .entry(state.id)
                    .and_modify(|topic| topic.state = state.clone())
                    .or_insert_with(|| KnownTopic {
                        state,
                        keys: Keys::default(),
                        pending: HashMap::new(),
                    });
            }
            Change::TopicGone(id) => {
                if let Some(topic) = self.topics.remove(&id) {
                    self.names.remove(&topic.state.topic);
                    self.key_count -= topic.keys.len();
                    for id in topic.pending.values() {
                        self.wait_no_more(*id);
                    }
                }
            }
            Change::Source(id, source) => {
                self.sources.insert(id, source);
            }
            Change::SourceGone(id) => {
                self.sources.remove(&id);
            }
            Change::Position(id, position) => {
                self.positions.insert(id, position);
            }
            Change::PositionGone(id) => {
                self.positions.remove(&id);
            }
            Change::Edit(edit) => self.edit = edit,
            Change::PendingDue(id, due) => {
                if let Some(one) = self.pending.get(&id).copied() {
                    self.due.remove(&(one.due, id));
                    self.wait(id, KnownPending { due, ..one });
                }
            }
            Change::PendingCommitted(id, due) => {
                if let Some(one) = self.pending.get(&id).copied() {
                    self.due.remove(&(one.due, id));
                    self.wait(id, KnownPending { due, committed: true, ..one });
                }
            }
            Change::PendingGone(ids) => ids.into_iter().for_each(|id| self.wait_no_more(id)),
            Change::KeysGone(id, up_to, count) => {
                if let Some(topic) = self.topics.get_mut(&id) {
                    self.key_count -= topic.keys.forget(up_to, count);
                }
            }
        }
    }
}
