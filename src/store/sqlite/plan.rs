//! What a group of operations will change, decided in memory, in order, without SQL.
//!
//! The group's own effects lie over [`Memory`] until the commit: the second of two equal events
//! finds the first here.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use bytes::Bytes;

use super::{
    memory::{Key, Memory, SourceMemory, TopicMemory},
    ops::Hot,
};
use crate::{
    event::{Data, Event, Micros, Version},
    store::{Append, NewEvent, Placed, Settlement, SourceProgress, StoreError, TopicState},
};

/// The effects of a group, and what to answer when they are committed.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) topics: HashMap<i64, TopicPlan>,
    pub(super) sources: HashMap<i64, SourceMemory>,
    decided: Vec<(Hot, Answer)>,
}

/// What a topic gains.
pub(super) struct TopicPlan {
    pub(super) id: i64,
    /// As it will be.
    pub(super) state: TopicState,
    pub(super) events: Vec<Arc<Event>>,
    /// In version order, as `events`.
    pub(super) hashes: Vec<Key>,
    keys: HashMap<Key, Version>,
}

enum Answer {
    Placed(Vec<Placed>),
    Done,
}

/// What one source's progress comes to.
pub(super) struct Progressed<'a> {
    pub(super) append: &'a Append,
    pub(super) progress: &'a SourceProgress,
    pub(super) appended: u64,
    pub(super) duplicates: u64,
}

impl Plan {
    /// Decides `ops` in order; those that are refused are answered at once and are not in it.
    pub(super) fn of(memory: &Memory, ops: Vec<Hot>) -> Self {
        let mut plan = Self::default();
        for op in ops {
            let decided = match &op {
                Hot::Append { append, keys, .. } => {
                    plan.append(memory, append, keys).map(Answer::Placed)
                }
                Hot::Settle { settlement, .. } => settle(memory, settlement).map(|()| Answer::Done),
                Hot::Health { .. } => Ok(Answer::Done),
            };
            match decided {
                Ok(answer) => plan.decided.push((op, answer)),
                Err(error) => op.refuse(error),
            }
        }
        plan
    }

    pub(super) fn is_empty(&self) -> bool {
        self.decided.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.decided.len()
    }

    /// The operations, to be decided anew.
    pub(super) fn into_ops(self) -> Vec<Hot> {
        self.decided.into_iter().map(|(op, _)| op).collect()
    }

    /// Answers all with one error; the first gets it with its source.
    pub(super) fn refuse(self, error: StoreError) {
        let mut error = Some(error);
        for (op, _) in self.decided {
            op.refuse(error.take().unwrap_or(StoreError::Unknown(None)));
        }
    }

    /// Answers all, after the commit; whoever asked may be gone.
    pub(super) fn answer(self) {
        for (op, answer) in self.decided {
            match (op, answer) {
                (Hot::Append { reply, .. }, Answer::Placed(placed)) => {
                    drop(reply.send(Ok(placed)));
                }
                (Hot::Settle { reply, .. } | Hot::Health { reply, .. }, _) => {
                    drop(reply.send(Ok(())));
                }
                (Hot::Append { reply, .. }, Answer::Done) => drop(reply.send(Ok(Vec::new()))),
            }
        }
    }

    /// Takes the effects over into memory; answers the topics that gained events.
    pub(super) fn apply(&self, memory: &mut Memory) -> Vec<&TopicPlan> {
        for topic in self.topics.values() {
            if let Some(known) = memory.topics.get_mut(&topic.id) {
                known.state = Arc::new(topic.state.clone());
                for (key, version) in &topic.keys {
                    let fresh = known.keys.insert(*key, *version).is_none();
                    memory.key_count += usize::from(fresh);
                }
            }
        }
        memory.sources.extend(self.sources.iter().map(|(id, source)| (*id, source.clone())));
        self.topics.values().filter(|topic| !topic.events.is_empty()).collect()
    }

    /// The settlements in it.
    pub(super) fn settlements(&self) -> impl Iterator<Item = &Settlement> {
        self.decided.iter().filter_map(|(op, _)| match op {
            Hot::Settle { settlement, .. } => Some(settlement),
            _ => None,
        })
    }

    /// The healths in it.
    pub(super) fn healths(&self) -> impl Iterator<Item = (i64, &str)> {
        self.decided.iter().filter_map(|(op, _)| match op {
            Hot::Health { subscription, health, .. } => Some((*subscription, health.as_str())),
            _ => None,
        })
    }

    /// The progress of sources in it, in order.
    pub(super) fn progressed(&self) -> impl Iterator<Item = Progressed<'_>> {
        self.decided.iter().filter_map(|(op, answer)| {
            let (Hot::Append { append, .. }, Answer::Placed(placed)) = (op, answer) else {
                return None;
            };
            let duplicates = placed.iter().filter(|placed| placed.duplicate).count() as u64;
            Some(Progressed {
                append,
                progress: append.progress.as_ref()?,
                appended: placed.len() as u64 - duplicates,
                duplicates,
            })
        })
    }

    fn append(
        &mut self,
        memory: &Memory,
        append: &Append,
        keys: &[Key],
    ) -> Result<Vec<Placed>, StoreError> {
        let topic = memory.topic(&append.topic)?;
        if let Some(progress) = &append.progress {
            self.progress(memory, progress)?;
        }
        let id = topic.state.id;
        let plan = match self.topics.entry(id) {
            Entry::Occupied(plan) => plan.into_mut(),
            Entry::Vacant(place) => place.insert(TopicPlan::new(topic)),
        };
        Ok(append
            .events
            .iter()
            .zip(keys)
            .map(|(event, key)| plan.place(topic, event, *key, append.now))
            .collect())
    }

    fn progress(&mut self, memory: &Memory, progress: &SourceProgress) -> Result<(), StoreError> {
        let known = self.sources.get(&progress.source);
        let known = known.or_else(|| memory.sources.get(&progress.source));
        let mut source = known.cloned().ok_or(StoreError::Stale)?;
        if source.fence != progress.fence {
            return Err(StoreError::Stale);
        }
        if progress.journal_clear {
            source.journal_next = 1;
        }
        source.journal_next += progress.journal.len() as u64;
        source.journal_next -= (progress.journal_done as u64).min(source.journal_next - 1);
        source.rejected_next += progress.rejected.len() as u64;
        self.sources.insert(progress.source, source);
        Ok(())
    }
}

impl TopicPlan {
    fn new(topic: &TopicMemory) -> Self {
        Self {
            id: topic.state.id,
            state: (*topic.state).clone(),
            events: Vec::new(),
            hashes: Vec::new(),
            keys: HashMap::new(),
        }
    }

    /// Gives the event its version, or finds the one it has.
    fn place(&mut self, topic: &TopicMemory, event: &NewEvent, key: Key, now: Micros) -> Placed {
        let known = self.keys.get(&key).or_else(|| topic.keys.get(&key)).copied();
        // Keys leave memory in pieces; the window is exact all the same.
        let window = self.state.settings.dedupe_count;
        let known = known.filter(|version| version.0 + window > self.state.head.0);
        if let Some(version) = known {
            return Placed { version, epoch: self.state.epoch_of(version), duplicate: true };
        }
        let version = self.state.head.next();
        let epoch = self.state.epoch_of(version);
        let event = Event {
            version,
            epoch,
            recorded: now.max(self.state.recorded),
            attributes: event.attributes.as_str().into(),
            data: owned(&event.data),
        };
        self.state.head = version;
        self.state.recorded = event.recorded;
        self.state.bytes += event.size_bytes() as u64;
        self.keys.insert(key, version);
        self.hashes.push(key);
        self.events.push(Arc::new(event));
        Placed { version, epoch, duplicate: false }
    }
}

/// A copy of its own: a slice would keep the producer's whole page in memory.
fn owned(data: &Data) -> Data {
    match data {
        Data::None => Data::None,
        Data::Json(bytes) => Data::Json(Bytes::copy_from_slice(bytes)),
        Data::Text(bytes) => Data::Text(Bytes::copy_from_slice(bytes)),
        Data::Binary(bytes) => Data::Binary(Bytes::copy_from_slice(bytes)),
    }
}

fn settle(memory: &Memory, settlement: &Settlement) -> Result<(), StoreError> {
    match memory.positions.get(&settlement.position) {
        Some(position) if position.fence == settlement.fence => Ok(()),
        // A position that is gone has been let go of by everybody.
        _ => Err(StoreError::Stale),
    }
}
