//! What the writer decides by: heads, names, fences and known keys, as of the last commit.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use futures_util::TryStreamExt as _;
use sqlx::{Row as _, SqliteConnection, sqlite::SqliteRow};

use super::{
    keys::{Key, Keys},
    slot,
};
use crate::{
    event::{Epoch, Micros, Name, Topic, Version},
    store::{EpochStart, Fence, Pending, StoreError, TopicState},
};

/// The whole of it.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// By row number.
    pub(super) topics: HashMap<i64, TopicMemory>,
    /// Row numbers by name.
    pub(super) names: BTreeMap<Topic, i64>,
    /// By row number.
    pub(super) sources: HashMap<i64, SourceMemory>,
    /// By row number.
    pub(super) positions: HashMap<i64, PositionMemory>,
    /// By row number.
    pub(super) pending: HashMap<i64, PendingMemory>,
    /// When each is due, and its row number.
    pub(super) due: BTreeSet<(Micros, i64)>,
    /// The number that the next pending event gets.
    pub(super) pending_next: i64,
    /// The most pending events.
    pub(super) pending_max: usize,
    /// The last change of a subscription.
    pub(super) edit: u64,
    /// Dedupe keys over all topics.
    pub(super) key_count: usize,
}

/// One topic.
#[derive(Debug)]
pub(super) struct TopicMemory {
    pub(super) state: Arc<TopicState>,
    pub(super) keys: Keys,
    /// The numbers of pending events.
    pub(super) pending: HashMap<Key, i64>,
}

/// One pending event.
#[derive(Debug, Clone, Copy)]
pub(super) struct PendingMemory {
    pub(super) topic: i64,
    pub(super) key: Key,
    pub(super) due: Micros,
    /// It was prepared and is committed, so nobody takes it back.
    pub(super) committed: bool,
}

/// One source.
#[derive(Debug, Clone)]
pub(super) struct SourceMemory {
    pub(super) fence: Fence,
    /// The count that the next journal row gets.
    pub(super) journal_next: u64,
    /// The count that the next rejected row gets.
    pub(super) rejected_next: u64,
}

/// One position.
#[derive(Debug, Clone, Copy)]
pub(super) struct PositionMemory {
    pub(super) subscription: i64,
    pub(super) topic: i64,
    pub(super) fence: Fence,
    /// The replay job that it serves.
    pub(super) job: Option<i64>,
}

/// What a registry operation changes here, once it is committed.
#[derive(Debug)]
pub(super) enum Change {
    Topic(TopicState),
    TopicGone(i64),
    Source(i64, SourceMemory),
    SourceGone(i64),
    Position(i64, PositionMemory),
    PositionGone(i64),
    Edit(u64),
    PendingDue(i64, Micros),
    /// Its commit, and when it is due.
    PendingCommitted(i64, Micros),
    PendingGone(Vec<i64>),
    /// Keys of the versions up to one, and how many.
    KeysGone(i64, Version, usize),
}

impl Memory {
    /// Reads all of it from the file.
    pub(super) async fn load(
        conn: &mut SqliteConnection,
        pending_max: usize,
    ) -> Result<Self, StoreError> {
        let mut memory = Self { pending_max, ..Self::default() };
        memory.load_topics(conn).await?;
        memory.load_keys(conn).await?;
        memory.load_sources(conn).await?;
        memory.load_positions(conn).await?;
        memory.load_pending(conn).await?;
        Ok(memory)
    }

    /// Reads the topics alone.
    pub(super) async fn load_topics(
        &mut self,
        conn: &mut SqliteConnection,
    ) -> Result<(), StoreError> {
        let mut epochs: HashMap<i64, Vec<EpochStart>> = HashMap::new();
        let sql = "-- epochs\nSELECT topic, first, epoch, started, reason FROM epochs ORDER BY topic, first";
        for row in sqlx::query(sql).fetch_all(&mut *conn).await? {
            epochs.entry(row.get(0)).or_default().push(EpochStart {
                first: version(&row, 1),
                epoch: Epoch(row.get(2)),
                started: Micros(row.get(3)),
                reason: row.get(4),
            });
        }
        let sql = "-- topics\nSELECT id, uid, name, head, oldest, recorded, bytes, edit, settings FROM topics";
        for row in sqlx::query(sql).fetch_all(&mut *conn).await? {
            let id = row.get(0);
            let epochs = epochs.remove(&id).unwrap_or_default();
            let state = topic_state(&row, epochs)?;
            self.apply(Change::Topic(state));
        }
        Ok(())
    }

    async fn load_keys(&mut self, conn: &mut SqliteConnection) -> Result<(), StoreError> {
        let mut rows =
            sqlx::query("-- keys\nSELECT slot, hashes FROM dedupe ORDER BY slot").fetch(conn);
        while let Some(row) = rows.try_next().await? {
            let (topic, first) = slot::split(row.get(0));
            let hashes: &[u8] = row.get(1);
            let Some(topic) = self.topics.get_mut(&topic) else { continue };
            for (key, number) in hash_list(hashes).zip(first..) {
                topic.keys.insert(key, Version(number));
                self.key_count += 1;
            }
        }
        Ok(())
    }

    async fn load_sources(&mut self, conn: &mut SqliteConnection) -> Result<(), StoreError> {
        let sql = "-- source fences\nSELECT id, fence FROM sources";
        for row in sqlx::query(sql).fetch_all(&mut *conn).await? {
            let id: i64 = row.get(0);
            let (low, high) = slot::range(id);
            let next = async |conn: &mut SqliteConnection, sql: &'static str| {
                let row = sqlx::query(sql).bind(low).bind(high).fetch_one(conn).await?;
                let last: Option<i64> = row.get(0);
                Ok::<_, StoreError>(last.map_or(1, |last| slot::split(last).1 + 1))
            };
            let memory = SourceMemory {
                fence: unsigned(&row, 1),
                journal_next: next(
                    conn,
                    "-- journal end\nSELECT max(slot) FROM journal WHERE slot BETWEEN $1 AND $2",
                )
                .await?,
                rejected_next: next(
                    conn,
                    "-- rejected end\nSELECT max(slot) FROM rejected WHERE slot BETWEEN $1 AND $2",
                )
                .await?,
            };
            self.sources.insert(id, memory);
        }
        Ok(())
    }

    async fn load_positions(&mut self, conn: &mut SqliteConnection) -> Result<(), StoreError> {
        let sql = "-- position fences\nSELECT id, subscription, topic, fence, job FROM positions";
        for row in sqlx::query(sql).fetch_all(&mut *conn).await? {
            let memory = PositionMemory {
                subscription: row.get(1),
                topic: row.get(2),
                fence: unsigned(&row, 3),
                job: row.get(4),
            };
            self.positions.insert(row.get(0), memory);
        }
        let sql = "-- last edit\nSELECT coalesce(max(edit), 0) FROM subscriptions";
        self.edit = unsigned(&sqlx::query(sql).fetch_one(conn).await?, 0);
        Ok(())
    }

    async fn load_pending(&mut self, conn: &mut SqliteConnection) -> Result<(), StoreError> {
        let sql = "-- pending\nSELECT id, topic, due, hash, committed FROM pending";
        let mut rows = sqlx::query(sql).fetch(&mut *conn);
        while let Some(row) = rows.try_next().await? {
            // One that is too short is found damaged when it is due.
            let key = hash_list(row.get(3)).next().unwrap_or_default();
            let (topic, due, committed) = (row.get(1), Micros(row.get(2)), row.get(4));
            let one = PendingMemory { topic, key, due, committed };
            self.wait(row.get(0), one);
        }
        drop(rows);
        // Numbers of events that are gone are not given out again.
        let sql = "-- last pending\nSELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'pending'";
        self.pending_next = sqlx::query(sql).fetch_one(conn).await?.get::<i64, _>(0) + 1;
        Ok(())
    }

    /// Takes in a pending event; those of a topic that is gone are nobody's.
    pub(super) fn wait(&mut self, id: i64, one: PendingMemory) {
        if let Some(topic) = self.topics.get_mut(&one.topic) {
            topic.pending.insert(one.key, id);
            self.due.insert((one.due, id));
            self.pending.insert(id, one);
        }
    }

    /// Lets go of a pending event.
    pub(super) fn wait_no_more(&mut self, id: i64) {
        let Some(one) = self.pending.remove(&id) else { return };
        self.due.remove(&(one.due, id));
        if let Some(topic) = self.topics.get_mut(&one.topic) {
            topic.pending.remove(&one.key);
        }
    }

    /// When the next pending event is due.
    pub(super) fn next_due(&self) -> Option<Micros> {
        self.due.first().map(|(due, _)| *due).filter(|due| *due != Pending::PREPARED)
    }

    /// The topic of that name.
    pub(super) fn topic(&self, topic: &Topic) -> Result<&TopicMemory, StoreError> {
        let id = self.names.get(topic);
        id.and_then(|id| self.topics.get(id))
            .ok_or_else(|| StoreError::not_found("topic", topic.as_str()))
    }

    /// Takes over what was committed.
    pub(super) fn apply(&mut self, change: Change) {
        match change {
            Change::Topic(state) => {
                self.names.insert(state.topic.clone(), state.id);
                let state = Arc::new(state);
                self.topics
                    .entry(state.id)
                    .and_modify(|topic| topic.state = state.clone())
                    .or_insert_with(|| TopicMemory {
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
                    self.wait(id, PendingMemory { due, ..one });
                }
            }
            Change::PendingCommitted(id, due) => {
                if let Some(one) = self.pending.get(&id).copied() {
                    self.due.remove(&(one.due, id));
                    self.wait(id, PendingMemory { due, committed: true, ..one });
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

/// The hashes of one dedupe row, in version order.
pub(super) fn hash_list(bytes: &[u8]) -> impl Iterator<Item = Key> {
    bytes.as_chunks::<16>().0.iter().map(|chunk| Key::from_be_bytes(*chunk))
}

fn topic_state(row: &SqliteRow, epochs: Vec<EpochStart>) -> Result<TopicState, StoreError> {
    let unreadable = |problem: String| StoreError::Unreadable { table: "topics", problem };
    if epochs.is_empty() {
        return Err(unreadable("a topic without an epoch".into()));
    }
    Ok(TopicState {
        id: row.get(0),
        uid: row.get(1),
        topic: name(row, 2, "topics")?,
        head: version(row, 3),
        oldest: version(row, 4),
        recorded: Micros(row.get(5)),
        bytes: unsigned(row, 6),
        epochs: epochs.into(),
        edit: unsigned(row, 7),
        settings: serde_json::from_str(row.get(8))
            .map_err(|error| unreadable(error.to_string()))?,
    })
}

/// A name in a row.
pub(super) fn name(
    row: &SqliteRow,
    column: usize,
    table: &'static str,
) -> Result<Name, StoreError> {
    let text: &str = row.get(column);
    text.parse().map_err(|error| StoreError::Unreadable { table, problem: format!("{error}") })
}

/// A count in a row: SQLite has no unsigned integers, and none of ours is negative.
pub(super) fn unsigned(row: &SqliteRow, column: usize) -> u64 {
    row.get::<i64, _>(column).cast_unsigned()
}

/// A version in a row.
pub(super) fn version(row: &SqliteRow, column: usize) -> Version {
    Version(unsigned(row, column))
}
