//! What a group of operations will change, decided in order.
//!
//! The group's own effects lie over [`Known`] until the commit: the second of two equal events
//! finds the first here.

use std::{collections::HashMap, sync::Arc};

use super::{
    keys::{ByKey, Key},
    known::{Known, KnownPending, KnownSource, KnownTopic},
    ops::{DuePending, Hot, Reply, refuse},
};
use crate::{
    event::{Event, Micros, Version},
    store::{
        Append, LoggedPending, NewEvent, Placed, Settlement, SourceProgress, StoreError, TopicState,
    },
};

/// The effects of a group, and what to answer when they are committed.
#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) topics: HashMap<i64, TopicPlan>,
    pub(crate) sources: HashMap<i64, KnownSource>,
    /// Events that begin to wait, in the order of their numbers.
    pub(crate) waiting: Vec<NewPending>,
    decided: Vec<Decided>,
}

/// What a topic gains.
pub(crate) struct TopicPlan {
    pub(crate) id: i64,
    /// As it will be.
    pub(crate) state: TopicState,
    pub(crate) events: Vec<Arc<Event>>,
    /// In version order, as `events`.
    pub(crate) hashes: Vec<Key>,
    keys: ByKey<Version>,
    /// The numbers of events that begin to wait.
    pending: HashMap<Key, i64>,
}

/// An event that begins to wait.
pub(crate) struct NewPending {
    pub(crate) id: i64,
    pub(crate) known: KnownPending,
    pub(crate) since: Micros,
    pub(crate) event: NewEvent,
}

/// An operation with its result.
enum Decided {
    Append {
        append: Box<Append>,
        keys: Vec<Key>,
        placed: Vec<Placed>,
        reply: Reply<Vec<Placed>>,
    },
    Release {
        due: Vec<DuePending>,
        now: Micros,
        logged: Vec<LoggedPending>,
        reply: Reply<Vec<LoggedPending>>,
    },
    Settle {
        settlement: Box<Settlement>,
        reply: Reply<()>,
    },
    Health {
        subscription: i64,
        resets: u64,
        health: String,
        reply: Reply<()>,
    },
}

impl Decided {
    /// The operation, to be decided anew.
    fn into_op(self) -> Hot {
        match self {
            Self::Append { append, keys, reply, .. } => Hot::Append { append, keys, reply },
            Self::Release { due, now, reply, .. } => Hot::Release { due, now, reply },
            Self::Settle { settlement, reply } => Hot::Settle { settlement, reply },
            Self::Health { subscription, resets, health, reply } => {
                Hot::Health { subscription, resets, health, reply }
            }
        }
    }

    /// Answers with the result.
    fn answer(self) {
        match self {
            Self::Append { placed, reply, .. } => reply(Ok(placed)),
            Self::Release { logged, reply, .. } => reply(Ok(logged)),
            Self::Settle { reply, .. } | Self::Health { reply, .. } => reply(Ok(())),
        }
    }
}

/// What one source's progress comes to.
pub(crate) struct Progressed<'a> {
    pub(crate) append: &'a Append,
    pub(crate) progress: &'a SourceProgress,
    pub(crate) appended: u64,
    pub(crate) duplicates: u64,
}

impl Plan {
    /// Decides `ops` in order; those that are refused are answered at once and are not in it.
    /// Events that begin to wait get their numbers from `ids`.
    pub(crate) fn of(known: &Known, ops: Vec<Hot>, mut ids: impl Iterator<Item = i64>) -> Self {
        let mut plan = Self { decided: Vec::with_capacity(ops.len()), ..Self::default() };
        for op in ops {
            let decided = plan.decide(known, op, &mut ids);
            plan.decided.extend(decided);
        }
        plan
    }

    fn decide(
        &mut self,
        known: &Known,
        op: Hot,
        ids: &mut impl Iterator<Item = i64>,
    ) -> Option<Decided> {
        Some(match op {
            Hot::Append { append, keys, reply } => {
                let (placed, reply) = told(self.append(known, &append, &keys, ids), reply)?;
                Decided::Append { append, keys, placed, reply }
            }
            Hot::Release { due, now, reply } => {
                let (logged, reply) = told(self.release(known, &due, now), reply)?;
                Decided::Release { due, now, logged, reply }
            }
            Hot::Settle { settlement, reply } => {
                let ((), reply) = told(settle(known, &settlement), reply)?;
                Decided::Settle { settlement, reply }
            }
            Hot::Health { subscription, resets, health, reply } => {
                Decided::Health { subscription, resets, health, reply }
            }
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.decided.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.decided.len()
    }

    /// The operations, to be decided anew.
    pub(crate) fn into_ops(self) -> Vec<Hot> {
        self.decided.into_iter().map(Decided::into_op).collect()
    }

    /// Answers all with one error; the first gets it with its source.
    pub(crate) fn refuse(self, error: StoreError) {
        refuse(self.into_ops(), error);
    }

    /// Answers all, after the commit.
    pub(crate) fn answer(self) {
        self.decided.into_iter().for_each(Decided::answer);
    }

    /// Takes the effects over into memory; answers the topics that gained events.
    pub(crate) fn apply(&self, known: &mut Known) -> Vec<&TopicPlan> {
        for topic in self.topics.values() {
            if let Some(before) = known.topics.get_mut(&topic.id) {
                before.state = Arc::new(topic.state.clone());
                for (key, event) in topic.hashes.iter().zip(&topic.events) {
                    before.keys.insert(*key, event.version);
                }
                known.key_count += topic.hashes.len();
            }
        }
        for waiting in &self.waiting {
            known.wait(waiting.id, waiting.known);
        }
        for (due, _) in self.released() {
            known.wait_no_more(due.id);
        }
        known.sources.extend(self.sources.iter().map(|(id, source)| (*id, source.clone())));
        self.topics.values().filter(|topic| !topic.events.is_empty()).collect()
    }

    /// The pending events in it that go into the log, and where they go.
    pub(crate) fn released(&self) -> impl Iterator<Item = (&DuePending, &LoggedPending)> {
        self.decided.iter().flat_map(|decided| match decided {
            Decided::Release { due, logged, .. } => due.iter().zip(logged),
            _ => [].iter().zip(&[]),
        })
    }

    /// The settlements in it.
    pub(crate) fn settlements(&self) -> impl Iterator<Item = &Settlement> {
        self.decided.iter().filter_map(|decided| match decided {
            Decided::Settle { settlement, .. } => Some(&**settlement),
            _ => None,
        })
    }

    /// The healths in it.
    pub(crate) fn healths(&self) -> impl Iterator<Item = (i64, u64, &str)> {
        self.decided.iter().filter_map(|decided| match decided {
            Decided::Health { subscription, resets, health, .. } => {
                Some((*subscription, *resets, health.as_str()))
            }
            _ => None,
        })
    }

    /// The progress of sources in it, in order.
    pub(crate) fn progressed(&self) -> impl Iterator<Item = Progressed<'_>> {
        self.decided.iter().filter_map(|decided| {
            let Decided::Append { append, placed, .. } = decided else { return None };
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
        known: &Known,
        append: &Append,
        keys: &[Key],
        ids: &mut impl Iterator<Item = i64>,
    ) -> Result<Vec<Placed>, StoreError> {
        let topic = known.topic(&append.topic)?;
        if let Some(progress) = &append.progress {
            self.progress(known, progress)?;
        }
        let later = append.events.iter().filter(|event| is_later(event, append.now)).count();
        if later > 0 && known.pending.len() + self.waiting.len() + later > known.pending_max {
            return Err(StoreError::Full(format!(
                "{} events are pending already; {} may be",
                known.pending.len() + self.waiting.len(),
                known.pending_max
            )));
        }
        let plan = self.topics.entry(topic.state.id).or_insert_with(|| TopicPlan::new(topic));
        let mut placed = Vec::with_capacity(append.events.len());
        for (event, key) in append.events.iter().zip(keys) {
            placed.push(match plan.known(topic, *key) {
                Some(placed) => placed,
                None if is_later(event, append.now) => {
                    let id = ids.next().unwrap_or(i64::MAX);
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
        known: &Known,
        due: &[DuePending],
        now: Micros,
    ) -> Result<Vec<LoggedPending>, StoreError> {
        let mut released = Vec::with_capacity(due.len());
        for one in due {
            let topic = known.topics.get(&one.topic);
            let topic =
                topic.ok_or_else(|| StoreError::not_found("topic", one.topic.to_string()))?;
            let plan = self.topics.entry(one.topic).or_insert_with(|| TopicPlan::new(topic));
            let logged = plan.logged(topic, one.key);
            let placed = logged.unwrap_or_else(|| plan.place(&one.event, one.key, now));
            released.push(LoggedPending {
                topic: topic.state.topic.clone(),
                version: placed.version,
                pending: one.id,
                since: one.since,
                due: one.due,
            });
        }
        Ok(released)
    }

    fn progress(&mut self, known: &Known, progress: &SourceProgress) -> Result<(), StoreError> {
        let source = self.sources.get(&progress.source);
        let source = source.or_else(|| known.sources.get(&progress.source));
        let mut source = source.cloned().ok_or(StoreError::Stale)?;
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
    fn new(topic: &KnownTopic) -> Self {
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
    fn known(&self, topic: &KnownTopic, key: Key) -> Option<Placed> {
        let pending = || self.pending.get(&key).or_else(|| topic.pending.get(&key));
        self.logged(topic, key).or_else(|| pending().map(|id| self.pending(*id, true)))
    }

    /// The version that a known event has.
    fn logged(&self, topic: &KnownTopic, key: Key) -> Option<Placed> {
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
    fn wait(&mut self, id: i64, event: &NewEvent, key: Key, now: Micros) -> NewPending {
        self.pending.insert(key, id);
        let due = event.deliver_at.unwrap_or(now);
        let known = KnownPending { topic: self.id, key, due, committed: false };
        NewPending { id, known, since: now, event: event.clone() }
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

/// What was decided; a refusal is told at once.
fn told<T, U>(decided: Result<T, StoreError>, reply: Reply<U>) -> Option<(T, Reply<U>)> {
    match decided {
        Ok(decided) => Some((decided, reply)),
        Err(error) => {
            reply(Err(error));
            None
        }
    }
}

fn is_later(event: &NewEvent, now: Micros) -> bool {
    event.deliver_at.is_some_and(|due| due > now)
}

fn settle(known: &Known, settlement: &Settlement) -> Result<(), StoreError> {
    match known.positions.get(&settlement.position) {
        Some(position) if position.fence == settlement.fence => Ok(()),
        // A position that is gone has been let go of by everybody.
        _ => Err(StoreError::Stale),
    }
}
