//! What this node knows of the store, and what its readers see.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize},
    },
    time::Duration,
};

use parking_lot::{Mutex, RwLock};
use prometheus_client::metrics::histogram::Histogram;
use sqlx::PgPool;
use tokio::sync::{Notify, watch};

use super::{comers::Comers, failing::Failing, history, row, server::Server};
use crate::{
    clock::Clock,
    event::{Micros, Topic, Version},
    seal::Seal,
    store::{Options, Pending, StoreError, TopicState, tail::Tail},
};

/// What this node knows of the store.
pub(super) struct Shared {
    pub(super) pool: PgPool,
    /// For who holds which work: a term must not run out behind readers who wait for a connection.
    pub(super) holding: PgPool,
    pub(super) server: Arc<Server>,
    pub(super) clock: Clock,
    /// How long a node holds its work after a renewal.
    pub(super) term: Duration,
    pub(super) lease: Mutex<Lease>,
    pub(super) comers: Comers,
    pub(super) topics: RwLock<BTreeMap<Topic, Published>>,
    pub(super) changes: watch::Sender<u64>,
    pub(super) tail: Tail,
    pub(super) hash_key: [u8; 16],
    pub(super) keys_max: usize,
    pub(super) keys: AtomicUsize,
    /// Seals what subscriptions are set to.
    pub(super) seal: Seal,
    pub(super) pending_max: usize,
    pub(super) positions_max: usize,
    /// When the next pending event is due.
    pub(super) next_pending: watch::Sender<Option<Micros>>,
    /// Held while that is asked: what was asked last is told last.
    looking: tokio::sync::Mutex<()>,
    /// Held by who changes what there is.
    pub(super) registering: Arc<tokio::sync::Mutex<()>>,
    /// Owed events that retention removed, since the start.
    pub(super) expired: AtomicU64,
    /// Dead letters that went by age or number, since the start.
    pub(super) dead_trimmed: AtomicU64,
    pub(super) moved: Moved,
    pub(super) failing: Failing,
    /// How long commits take.
    pub(super) commit_seconds: Histogram,
}

/// This process as a node.
#[derive(Debug, Default)]
pub(super) struct Lease {
    /// Its number.
    pub(super) incarnation: Option<i64>,
    /// When its term ends.
    pub(super) end: Option<Micros>,
}

/// Heads that moved here and are still to be told; of topic 0: that other events are pending.
#[derive(Debug, Default)]
pub(super) struct Moved {
    pub(super) heads: Mutex<BTreeMap<i64, Version>>,
    pub(super) some: Notify,
}

impl Moved {
    /// Notes the head of a topic.
    pub(super) fn note(&self, topic: i64, head: Version) {
        self.heads.lock().insert(topic, head);
        self.some.notify_one();
    }

    /// Notes again what could not be told, unless something later was noted meanwhile.
    pub(super) fn note_if_none(&self, topic: i64, head: Version) {
        self.heads.lock().entry(topic).or_insert(head);
        self.some.notify_one();
    }
}

/// One topic as readers see it.
#[derive(Clone)]
pub(super) struct Published {
    pub(super) state: Arc<TopicState>,
    pub(super) head: watch::Sender<Version>,
}

impl Shared {
    pub(super) fn new(
        [pool, holding]: [PgPool; 2],
        server: Arc<Server>,
        hash_key: [u8; 16],
        options: &Options,
    ) -> Self {
        Self {
            pool,
            holding,
            server,
            clock: options.clock.clone(),
            term: options.term,
            lease: Mutex::default(),
            comers: Comers::default(),
            topics: RwLock::default(),
            changes: watch::Sender::new(0),
            tail: Tail::new(options.tail_bytes),
            hash_key,
            keys_max: options.dedupe_keys_max,
            keys: AtomicUsize::new(0),
            seal: options.seal.clone(),
            pending_max: options.pending_max,
            positions_max: options.positions_max,
            next_pending: watch::Sender::new(None),
            looking: tokio::sync::Mutex::default(),
            registering: Arc::default(),
            expired: AtomicU64::new(0),
            dead_trimmed: AtomicU64::new(0),
            moved: Moved::default(),
            failing: Failing::default(),
            commit_seconds: options.commit_seconds.clone(),
        }
    }

    /// Whether work with this holder is another node's. A process that is no node writes by fences
    /// alone.
    pub(super) fn is_anothers(&self, holder: Option<i64>) -> bool {
        let own = self.lease.lock().incarnation;
        own.zip(holder).is_some_and(|(own, holder)| own != holder)
    }

    /// How much is left of this node's term; a whole one for a process that is no node.
    pub(super) fn term_left(&self) -> Duration {
        let end = self.lease.lock().end;
        end.map_or(self.term, |end| end.since(self.clock.steady()))
    }

    /// The topic as this node saw it last.
    pub(super) fn published(&self, topic: &Topic) -> Option<Published> {
        self.topics.read().get(topic).cloned()
    }

    /// The topic as it is now.
    pub(super) async fn fresh(&self, topic: &Topic) -> Result<Published, StoreError> {
        let sql = "-- topic\nSELECT * FROM topics WHERE name = $1";
        let found = sqlx::query(sql).bind(topic.as_str()).fetch_optional(&self.pool).await?;
        let Some(found) = found else {
            self.topics.write().remove(topic);
            return Err(StoreError::not_found("topic", topic.as_str()));
        };
        Ok(self.publish(&Arc::new(row::topic_state(&found)?)))
    }

    /// Every topic as it is now.
    pub(super) async fn refresh(&self) -> Result<(), StoreError> {
        // Seen before: what comes later may be newer than what is read.
        let seen: Vec<Arc<TopicState>> =
            self.topics.read().values().map(|topic| topic.state.clone()).collect();
        let sql = "-- topics\nSELECT * FROM topics";
        let rows = sqlx::query(sql).fetch_all(&self.pool).await?;
        let mut states: Vec<_> = rows.iter().map(row::topic_state).collect::<Result<_, _>>()?;
        for seen in seen {
            if let Some(state) = states.iter_mut().find(|state| state.id == seen.id)
                && has_gone_back(state, &seen)
            {
                *state = self.cut(&seen).await?;
            }
        }
        self.topics.write().retain(|topic, _| states.iter().any(|state| state.topic == *topic));
        for state in states {
            self.publish(&Arc::new(state));
        }
        Ok(())
    }

    /// Shows readers a state that was committed; an older one than they see is none.
    pub(super) fn publish(&self, state: &Arc<TopicState>) -> Published {
        let mut topics = self.topics.write();
        let topic = topics.entry(state.topic.clone()).or_insert_with(|| Published {
            state: state.clone(),
            head: watch::Sender::new(state.head),
        });
        let is_another = topic.state.id != state.id;
        let (before, now) = (&topic.state.epochs, &state.epochs);
        let is_cut = before.len() < now.len() || (before.len() == now.len() && before != now);
        if is_cut {
            // Other events may have those versions by now.
            self.tail.forget(topic.state.id, Version::MAX);
        }
        let is_older = before.len() > now.len() || topic.state.head > state.head;
        if is_another || is_cut || !is_older {
            topic.state = state.clone();
            topic.head.send_if_modified(|head| std::mem::replace(head, state.head) != state.head);
        }
        topic.clone()
    }

    /// A topic whose head is below one that was seen: an epoch begins there.
    async fn cut(&self, seen: &TopicState) -> Result<TopicState, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let sql = "-- gone back\nSELECT * FROM topics WHERE id = $1 FOR NO KEY UPDATE";
        let row = sqlx::query(sql).bind(seen.id).fetch_one(&mut *transaction).await?;
        let mut state = row::topic_state(&row)?;
        if has_gone_back(&state, seen) {
            let (now, troubles) = (self.clock.now(), &self.server.troubles);
            state = history::cut(&mut transaction, &state, seen.head, now, troubles).await?;
        }
        transaction.commit().await?;
        Ok(state)
    }

    /// Tells whoever watches that something was changed.
    pub(super) fn announce(&self) {
        self.changes.send_modify(|number| *number += 1);
    }

    /// The name of a topic.
    pub(super) async fn name_of(&self, id: i64) -> Result<Option<Topic>, StoreError> {
        let known = |shared: &Self| {
            let topics = shared.topics.read();
            topics
                .values()
                .find(|known| known.state.id == id)
                .map(|known| known.state.topic.clone())
        };
        if let Some(topic) = known(self) {
            return Ok(Some(topic));
        }
        self.refresh().await?;
        Ok(known(self))
    }

    /// Learns when the next pending event is due. What cannot be learnt now is learnt at the next
    /// look of this node.
    pub(super) async fn look_at_pending(&self) {
        let _looking = self.looking.lock().await;
        let sql = "-- next pending\nSELECT min(due) FROM pending WHERE due < $1";
        let found = sqlx::query_scalar::<_, Option<i64>>(sql)
            .bind(Pending::PREPARED.0)
            .fetch_one(&self.pool)
            .await;
        if let Ok(next) = found {
            let next = next.map(Micros);
            self.next_pending.send_if_modified(|known| std::mem::replace(known, next) != next);
        }
    }
}

/// Whether a head was seen that is not there any more, and no epoch tells of it.
pub(super) fn has_gone_back(state: &TopicState, seen: &TopicState) -> bool {
    state.head < seen.head && state.epochs == seen.epochs
}
