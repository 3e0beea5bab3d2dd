//! What the writer publishes and readers see.

use std::{
    collections::BTreeMap,
    fs::File,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize},
    },
};

use parking_lot::{Mutex, RwLock};
use prometheus_client::metrics::histogram::Histogram;
use sqlx::sqlite::SqlitePool;
use tokio::sync::watch;

use crate::store::sqlite::file::{
    beside::sibling, heads::Heads, held::Held, holes::Holes, record, room::Room, wal,
};
use crate::{
    event::{Micros, Topic, Version},
    seal::Seal,
    store::{Options, StoreError, TopicState, Troubles, tail::Tail},
};

/// The record of heads was not what was noted there, and was written anew.
const RECORD_REPLACED: &str = "record_replaced";
/// The record of heads is damaged, and cannot be written anew.
const RECORD_DAMAGED: &str = "record_damaged";

/// What the writer publishes and readers see.
pub(crate) struct Shared {
    pub(crate) topics: RwLock<BTreeMap<Topic, Published>>,
    pub(crate) changes: watch::Sender<u64>,
    pub(crate) tail: Tail,
    pub(crate) readers: SqlitePool,
    /// Closed for a moment while the write-ahead log is truncated.
    pub(crate) gate: tokio::sync::RwLock<()>,
    pub(crate) hash_key: [u8; 16],
    pub(crate) keys_max: usize,
    pub(crate) keys: AtomicUsize,
    /// Seals what subscriptions are set to.
    pub(crate) seal: Seal,
    pub(crate) pending_max: usize,
    pub(crate) positions_max: usize,
    pub(crate) pending: AtomicUsize,
    /// When the next pending event is due.
    pub(crate) next_pending: watch::Sender<Option<Micros>>,
    /// Owed events that retention removed, since the start.
    pub(crate) expired: AtomicU64,
    /// Dead letters that went by age or number, since the start.
    pub(crate) dead_trimmed: AtomicU64,
    /// Let go of when the store is closed.
    pub(crate) held: Mutex<Option<Held>>,
    /// What is wrong with the file's name, as it was last told.
    pub(crate) lost: Mutex<Option<String>>,
    /// The real path of the file.
    pub(crate) path: PathBuf,
    pub(crate) heads: Heads,
    /// Versions that are known to be lost, by topic.
    pub(crate) holes: Holes,
    /// Room on the disk.
    pub(crate) room: Arc<Room>,
    /// What keeps it from working as it should.
    pub(crate) troubles: Arc<Troubles>,
    /// How long commits take.
    pub(crate) commit_seconds: Histogram,
}

/// One topic as readers see it.
#[derive(Clone)]
pub(crate) struct Published {
    pub(crate) state: Arc<TopicState>,
    pub(crate) head: watch::Sender<Version>,
}

impl Shared {
    /// What is published of a file that was just opened.
    pub(crate) fn new(
        held: Held,
        options: &Options,
        readers: SqlitePool,
        hash_key: [u8; 16],
        (heads, holes): (Heads, Holes),
        room: Arc<Room>,
    ) -> Self {
        Self {
            topics: RwLock::default(),
            changes: watch::Sender::new(0),
            tail: Tail::new(options.tail_bytes),
            readers,
            gate: tokio::sync::RwLock::default(),
            hash_key,
            keys_max: options.dedupe_keys_max,
            keys: AtomicUsize::new(0),
            seal: options.seal.clone(),
            pending_max: options.pending_max,
            positions_max: options.positions_max,
            pending: AtomicUsize::new(0),
            next_pending: watch::Sender::new(None),
            expired: AtomicU64::new(0),
            dead_trimmed: AtomicU64::new(0),
            path: held.path().to_owned(),
            held: Mutex::new(Some(held.with_companions())),
            lost: Mutex::default(),
            heads,
            holes,
            troubles: room.troubles().clone(),
            room,
            commit_seconds: options.commit_seconds.clone(),
        }
    }

    pub(crate) fn published(&self, topic: &Topic) -> Result<Published, StoreError> {
        let topics = self.topics.read();
        topics.get(topic).cloned().ok_or_else(|| StoreError::not_found("topic", topic.as_str()))
    }

    /// Whether what is written goes to the file of that name; says when that changes.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let found = match &*self.held.lock() {
            Some(held) => held.check().err(),
            None => None,
        };
        let mut lost = self.lost.lock();
        if *lost != found {
            if let Some(problem) = &found {
                tracing::error!(
                    event = "store.file_lost",
                    "{problem}: nothing more is acknowledged; put it back, or start anew"
                );
            } else {
                tracing::warn!(
                    event = "store.file_returned", file = %self.path.display(),
                    "the file is back"
                );
            }
            lost.clone_from(&found);
        }
        found.map_or(Ok(()), |problem| Err(StoreError::Lost(problem)))
    }

    /// As [`Self::check`], when that said last that it does not. Until then a commit looks once,
    /// behind itself: what it wrote into a file that is gone is refused as an outcome that is not
    /// known, and is recognised when it is repeated in the file that is back.
    pub(crate) fn check_again(&self) -> Result<(), StoreError> {
        if self.lost.lock().is_some() { self.check() } else { Ok(()) }
    }

    /// The file, and the index of its log, as they were opened.
    pub(crate) fn open_files(&self) -> Option<(Arc<File>, Arc<File>)> {
        self.held.lock().as_ref()?.open_files()
    }

    /// Says that a file was changed in place, from which there is no way back while it runs.
    pub(crate) fn changed_in_place(&self, problem: String) {
        if let Some(held) = &mut *self.held.lock() {
            held.changed_in_place(problem);
        }
        let _ = self.check();
    }

    /// Whether that was said.
    pub(crate) fn is_changed_in_place(&self) -> bool {
        self.held.lock().as_ref().is_some_and(Held::is_changed_in_place)
    }

    /// Writes the record of heads anew when it is not what was noted there.
    pub(crate) fn mend_heads(&self) {
        let Some(problem) = self.heads.damage() else { return };
        let states = || {
            let topics = self.topics.read();
            topics.values().map(|topic| topic.state.clone()).collect()
        };
        match self.heads.write_anew(&self.path, states) {
            Ok(()) => {
                self.troubles.ended(RECORD_DAMAGED, "the record of heads is written again");
                self.troubles.mended(RECORD_REPLACED, format!("{problem}; it was written anew"));
            }
            Err(error) => {
                let detail = format!("{problem}; {}", record::cannot_write(&self.path, &error));
                self.troubles.began(RECORD_DAMAGED, detail);
            }
        }
    }

    /// Everything is closed: notes that, and lets go of the file; blocks.
    pub(crate) fn let_go(&self) {
        let mut held = self.held.lock();
        let is_ours = held.as_ref().is_some_and(|held| held.check_file().is_ok());
        if is_ours {
            self.mend_heads();
        }
        if is_ours && matches!(wal::salts(&sibling(&self.path, "-wal")), Ok(None)) {
            self.heads.set(|head| (head.closed, head.wal) = (true, None));
        }
        self.heads.sync();
        *held = None;
    }

    pub(crate) fn name_of(&self, topic: i64) -> Option<Topic> {
        let topics = self.topics.read();
        topics.values().find(|known| known.state.id == topic).map(|known| known.state.topic.clone())
    }
}
