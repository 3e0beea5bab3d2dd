//! What a group of operations will change, decided in memory, in order, without SQL.
//!
//! The group's own effects lie over [`Memory`] until the commit: the second of two equal events
//! finds the first here.

use std::{collections::HashMap, sync::Arc};

use super::{
    keys::{ByKey, Key},
    memory::{Memory, PendingMemory, SourceMemory, TopicMemory},
    ops::{Hot, refuse},
    pending::Waited,
};
use crate::{
    event::{Event, Micros, Version},
    store::{
        Append, NewEvent, Placed, Released, Settlement, SourceProgress, StoreError, TopicState,
    },
};

/// The effects of a group, and what to answer when they are committed.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) topics: HashMap<i64, TopicPlan>,
    pub(super) sources: HashMap<i64, SourceMemory>,
    /// Events that begin to wait, in the order of their numbers.
    pub(super) waiting: Vec<Waiting>,
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
    keys: ByKey<Version>,
    /// The numbers of events that begin to wait.
    pending: HashMap<Key, i64>,
}

/// An event that begins to wait.
pub(super) struct Waiting {
    pub(super) id: i64,
    pub(super) memory: PendingMemory,
    pub(super) since: Micros,
    pub(super) event: NewEvent,
}

enum Answer {
    Placed(Vec<Placed>),
    Released(Vec<Released>),
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
        let mut plan = Self { decided: Vec::with_capacity(ops.len()), ..Self::default() };
        for op in ops {
            let decided = match &op {
                Hot::Append { append, keys, .. } => {
                    plan.append(memory, append, keys).map(Answer::Placed)
                }
                Hot::Release { due, now, .. } => {
                    plan.release(memory, due, *now).map(Answer::Released)
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
        refuse(self.into_ops(), error);
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
                (Hot::Append { reply, .. }, _) => drop(reply.send(Ok(Vec::new()))),
                (Hot::Release { reply, .. }, Answer::Released(released)) => {
                    drop(reply.send(Ok(released)));
                }
                (Hot::Release { reply, .. }, _) => drop(reply.send(Ok(Vec::new()))),
            }
        }
    }

    /// Takes the effects over into memory; answers the topics that gained events.
    pub(super) fn apply(&self, memory: &mut Memory) -> Vec<&TopicPlan> {
        for topic in self.topics.values() {
            if let Some(known) = memory.topics.get_mut(&topic.id) {
                known.state = Arc::new(topic.state.clone());
                for (key, event) in topic.hashes.iter().zip(&topic.events) {
                    known.keys.insert(*key, event.version);
                }
                memory.key_count += topic.hashes.len();
            }
        }
        for waiting in &self.waiting {
            memory.pending_next = memory.pending_next.max(waiting.id + 1);
            memory.wait(waiting.id, waiting.memory);
        }
        for (due, _) in self.released() {
            memory.wait_no_more(due.id);
        }
        memory.sources.extend(self.sources.iter().map(|(id, source)| (*id, source.clone())));
        self.topics.values().filter(|topic| !topic.events.is_empty()).collect()
    }

    /// The pending events in it that go into the log, and where they go.
    pub(super) fn released(&self) -> impl Iterator<Item = (&Waited, &Released)> {
        self.decided.iter().flat_map(|(op, answer)| match (op, answer) {
            (Hot::Release { due, .. }, Answer::Released(released)) => due.iter().zip(released),
            _ => [].iter().zip(&[]),
        })
    }

    /// The settlements in it.
    pub(super) fn settlements(&self) -> impl Iterator<Item = &Settlement> {
        self.decided.iter().filter_map(|(op, _)| match op {
            Hot::Settle { settlement, .. } => Some(&**settlement),
            _ => None,
        })
    }

    /// The healths in it.
    pub(super) fn healths(&self) -> impl Iterator<Item = (i64, u64, &str)> {
        self.decided.iter().filter_map(|(op, _)| match op {
            Hot::Health { subscription, resets, health, .. } => {
                Some((*subscription, *resets, health.as_str()))
            }
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
        let later = append.events.iter().filter(|event| is_later(event, append.now)).count();
        if later > 0 && memory.pending.len() + self.waiting.len() + later > memory.pending_max {
            return Err(StoreError::Full(format!(
                "{} events are pending already; {} may be",
                memory.pending.len() + self.waiting.len(),
                memory.pending_max
            )));
        }
        let plan = self.topics.entry(topic.state.id).or_insert_with(|| TopicPlan::new(topic));
        let mut placed = Vec::with_capacity(append.events.len());
        for (event, key) in append.events.iter().zip(keys) {
            placed.push(match plan.known(topic, *key) {
                Some(known) => known,
                None if is_later(event, append.now) => {
                    let id = memory.pending_next.saturating_add_unsigned(self.waiting.len() as u64);
                    self.waiting.push(plan.wait(id, event, *key, append.now));
                    plan.pending(id, false)
                }
                None => plan.place(event, *key, append.now),
            });
        }
        Ok(placed)
    }

    /// Numbers events that are due; one that is in the log already only ends its waiting.
    fn release(
        &mut self,
        memory: &Memory,
        due: &[Waited],
        now: Micros,
    ) -> Result<Vec<Released>, StoreError> {
        let mut released = Vec::with_capacity(due.len());
        for one in due {
            let topic = memory.topics.get(&one.topic);
            let topic =
                topic.ok_or_else(|| StoreError::not_found("topic", one.topic.to_string()))?;
            let plan = self.topics.entry(one.topic).or_insert_with(|| TopicPlan::new(topic));
            let logged = plan.logged(topic, one.key);
            let placed = logged.unwrap_or_else(|| plan.place(&one.event, one.key, now));
            released.push(Released {
                topic: topic.state.topic.clone(),
                version: placed.version,
                pending: one.id,
                since: one.since,
                due: one.due,
            });
        }
        Ok(released)
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
            keys: ByKey::default(),
            pending: HashMap::new(),
        }
    }

    /// Where a known event is, in the log or pending.
    fn known(&self, topic: &TopicMemory, key: Key) -> Option<Placed> {
        let pending = || self.pending.get(&key).or_else(|| topic.pending.get(&key));
        self.logged(topic, key).or_else(|| pending().map(|id| self.pending(*id, true)))
    }

    /// The version that a known event has.
    fn logged(&self, topic: &TopicMemory, key: Key) -> Option<Placed> {
        let known = self.keys.get(&key).copied().or_else(|| topic.keys.get(key));
        // Keys leave memory in pieces; the window is exact all the same.
        let window = self.state.settings.dedupe_count;
        let version =
            known.filter(|version| version.0.saturating_add(window) > self.state.head.0)?;
        let epoch = self.state.epoch_of(version);
        Some(Placed { version, epoch, duplicate: true, pending: None })
    }

    fn pending(&self, id: i64, duplicate: bool) -> Placed {
        let version = Version::ZERO;
        let epoch = self.state.epoch_of(self.state.head.next());
        Placed { version, epoch, duplicate, pending: Some(id) }
    }

    /// Lets the event wait.
    fn wait(&mut self, id: i64, event: &NewEvent, key: Key, now: Micros) -> Waiting {
        self.pending.insert(key, id);
        let due = event.deliver_at.unwrap_or(now);
        let memory = PendingMemory { topic: self.id, key, due, committed: false };
        Waiting { id, memory, since: now, event: event.clone() }
    }

    /// Gives the event its version.
    fn place(&mut self, event: &NewEvent, key: Key, now: Micros) -> Placed {
        let version = self.state.head.next();
        let epoch = self.state.epoch_of(version);
        let event = Event {
            version,
            epoch,
            recorded: now.max(self.state.recorded),
            attributes: event.attributes.clone(),
            data: event.data.clone(),
        };
        self.state.head = version;
        self.state.recorded = event.recorded;
        self.state.bytes += event.size_bytes() as u64;
        self.keys.insert(key, version);
        self.hashes.push(key);
        self.events.push(Arc::new(event));
        Placed { version, epoch, duplicate: false, pending: None }
    }
}

fn is_later(event: &NewEvent, now: Micros) -> bool {
    event.deliver_at.is_some_and(|due| due > now)
}

fn settle(memory: &Memory, settlement: &Settlement) -> Result<(), StoreError> {
    match memory.positions.get(&settlement.position) {
        Some(position) if position.fence == settlement.fence => Ok(()),
        // A position that is gone has been let go of by everybody.
        _ => Err(StoreError::Stale),
    }
}
