//! Opening the store: the file, what is known of it, and everything that works on it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use sqlx::SqliteConnection;
use tokio::sync::{Mutex, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::{
    QUEUE, QUEUE_BYTES, SqliteStore,
    desk::{Desk, load, shared::Shared, writer},
    file::{self, held::Held, holes::Holes, opening, room::Room, row::Cells, vigil::Vigil},
    trace,
};
use crate::{
    clock,
    store::{Options, StoreError},
};

impl SqliteStore {
    /// Opens the file at `path`, making it as needed.
    ///
    /// # Errors
    /// `Refused` when another process has it or it is no store of ours; `Database` when SQLite
    /// cannot open it.
    pub async fn open(path: &Path, options: &Options) -> Result<Self, StoreError> {
        let mut held = Held::take(path)?;
        let path = held.path().to_owned();
        let room = Arc::new(Room::open(&path, Arc::default()));
        loop {
            match Self::open_held(held, options, &room).await {
                Err(StoreError::DiskFull) if room.give_to_start().await => {
                    held = Held::take(&path)?;
                }
                Err(error @ (StoreError::Refused(_) | StoreError::DiskFull)) => return Err(error),
                Err(error) => return Err(cannot_open(path, error)),
                Ok(store) => return Ok(store),
            }
        }
    }

    async fn open_held(
        held: Held,
        options: &Options,
        room: &Arc<Room>,
    ) -> Result<Self, StoreError> {
        let path = held.path().to_owned();
        let mut opened = opening::open(&held, &options.clock).await?;
        let hash_key = hash_key(&mut opened.conn).await?;
        let loaded = load::all(&mut opened.conn, options.pending_max).await?;
        let holes = Holes::load(&mut opened.conn).await?;
        let topics = loaded.0.topics.values().map(|topic| &*topic.state);
        let heads = opened.begin_record(&path, topics)?;
        holes.tell_later(std::mem::take(&mut opened.damage));
        let readers = file::open_readers(&path, options.readers).await?;
        let shared =
            Arc::new(Shared::new(held, options, readers, hash_key, (heads, holes), room.clone()));
        // Who has locked the file is waited for where it is bounded and told.
        sqlx::raw_sql("PRAGMA busy_timeout = 0").execute(&mut opened.conn).await?;
        let desk = Desk::new(opened.conn, loaded, shared.clone());
        let stop = CancellationToken::new();
        tokio::spawn(room.clone().run(stop.clone()));
        let (sender, queue) = mpsc::channel(QUEUE);
        Ok(Self {
            trace: trace::Trace::open(&shared, options.records_attempts).await,
            holders: parking_lot::Mutex::default(),
            vigil: Mutex::new(Some(Vigil::start(shared.clone()))),
            task: Mutex::new(Some(tokio::spawn(writer::run(desk, queue)))),
            writer: sender,
            room: Semaphore::new(QUEUE_BYTES >> 10),
            shared,
            _stop: stop.drop_guard(),
        })
    }
}

/// Names the file; and what is missing where SQLite says only that it cannot make one.
fn cannot_open(path: PathBuf, error: StoreError) -> StoreError {
    let is_unmade = match &error {
        StoreError::Database(error) => StoreError::sqlite_code(error) == Some(14),
        _ => false,
    };
    let lacks_inodes = is_unmade && !file::room::has_inodes(&path);
    // An empty file that was made for a store that could not begin in it.
    if fs::metadata(&path).is_ok_and(|file| file.len() == 0) {
        let _ = fs::remove_file(&path);
    }
    if lacks_inodes {
        return StoreError::Refused(format!(
            "{}: no file can be made beside it{}",
            path.display(),
            file::room::NO_INODES
        ));
    }
    StoreError::Opening { path, source: Box::new(error) }
}

/// The file's key for hashing `source` and `id`; made with the file.
async fn hash_key(conn: &mut SqliteConnection) -> Result<[u8; 16], StoreError> {
    let fresh = clock::fresh_uuid().into_bytes();
    let sql = "-- hash key\nINSERT INTO meta (name, value) VALUES ('hash_key', $1) ON CONFLICT DO NOTHING";
    sqlx::query(sql).bind(&fresh[..]).execute(&mut *conn).await?;
    let sql = "-- hash key read\nSELECT value FROM meta WHERE name = 'hash_key'";
    let row = sqlx::query(sql).fetch_one(conn).await?;
    let row = Cells::of(&row, "meta");
    let key: &[u8] = row.get("value")?;
    key.try_into().map_err(|_| row.unreadable("the hash key is not of 16 bytes"))
}
