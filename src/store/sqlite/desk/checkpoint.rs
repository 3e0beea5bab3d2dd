//! Checkpoints beside the writer.
//!
//! A commit that finds a long write-ahead log copies it into the file, and all who publish wait for
//! that. Most of the copying is done before, on a connection of its own; a commit does the rest and
//! syncs the file, for only when nothing is left to copy does the log begin anew
//! (<https://sqlite.org/wal.html>, "Avoiding Excessively Large WAL Files").

use std::{path::PathBuf, sync::Arc, time::Duration};

use sqlx::{Connection as _, SqliteConnection};
use tokio::{
    sync::{Mutex, Notify, OwnedMutexGuard},
    task::JoinHandle,
    time::sleep,
};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::store::StoreError;
use crate::store::sqlite::file::{self, room::Room};

/// So many pages that are in the log alone are worth a checkpoint; fewer where the reserve is small,
/// which must hold them.
const PAGES: i64 = 1_000;
const PAGES_MIN: i64 = 32;
const PAGE_BYTES: u64 = 8_192;
/// How often the log is looked at, while there are commits.
const EVERY: Duration = Duration::from_millis(50);
/// How long it is left alone when it fails, or when a reader keeps it from going on.
const PAUSE: Duration = Duration::from_secs(5);

/// The task that copies; it ends when this is dropped.
pub(crate) struct Checkpoints {
    committed: Arc<Notify>,
    /// Held while it copies.
    turn: Arc<Mutex<()>>,
    stop: DropGuard,
    task: JoinHandle<()>,
}

impl Checkpoints {
    /// Begins; without it, commits copy all of it themselves.
    pub(crate) fn start(path: PathBuf, room: Arc<Room>) -> Self {
        let (committed, turn) = (Arc::new(Notify::new()), Arc::new(Mutex::new(())));
        let stop = CancellationToken::new();
        let task = tokio::spawn(run(path, room, committed.clone(), turn.clone(), stop.clone()));
        Self { committed, turn, stop: stop.drop_guard(), task }
    }

    /// Nothing is copied here while this is held.
    pub(crate) async fn hold(&self) -> OwnedMutexGuard<()> {
        self.turn.clone().lock_owned().await
    }

    /// Says that the log may have become longer.
    pub(crate) fn committed(&self) {
        self.committed.notify_one();
    }

    /// Ends, its connection closed.
    pub(crate) async fn stop(self) {
        drop(self.stop);
        // How it ended was told.
        let _ = self.task.await;
    }
}

async fn run(
    path: PathBuf,
    room: Arc<Room>,
    committed: Arc<Notify>,
    turn: Arc<Mutex<()>>,
    stop: CancellationToken,
) {
    let mut conn = match file::open_beside(&path).await {
        Ok(conn) => conn,
        Err(error) => {
            return tracing::warn!(
                event = "store.checkpointer_failed", %error,
                "no checkpoints beside the commits"
            );
        }
    };
    let part = i64::try_from(room.log_bytes() / PAGE_BYTES).unwrap_or(PAGES);
    let pages = part.clamp(PAGES_MIN, PAGES);
    let mut pause = EVERY;
    loop {
        let wait = async {
            tokio::select! {
                () = committed.notified() => {}
                () = room.wants_copy() => {}
            }
            sleep(pause).await;
            turn.lock().await
        };
        let Some(_turn) = stop.run_until_cancelled(wait).await else { break };
        let least = if room.is_short() { 1 } else { pages };
        pause = match step(&mut conn, least).await.map_err(StoreError::from) {
            Ok(Some(0)) => (pause * 2).min(PAUSE),
            Ok(more) => {
                if more.is_some() {
                    room.copied();
                }
                EVERY
            }
            // The file could not grow: what it is to take in is on disk in the log.
            Err(StoreError::DiskFull) if room.give_to_copy().await => {
                committed.notify_one();
                EVERY
            }
            Err(StoreError::DiskFull) => PAUSE,
            Err(error) => {
                tracing::warn!(
                    event = "store.checkpoint_deferred", %error,
                    "a checkpoint beside the commits failed; they make it"
                );
                PAUSE
            }
        };
    }
    if let Err(error) = conn.close().await {
        tracing::warn!(event = "store.close_failed", %error, "a connection was not closed cleanly");
    }
}

/// Copies what is in the log, when `pages` or more are there alone; answers how many were copied,
/// if it was tried.
async fn step(conn: &mut SqliteConnection, pages: i64) -> Result<Option<i64>, sqlx::Error> {
    let (log, copied) = checkpoint(conn, "PRAGMA wal_checkpoint(NOOP)").await?;
    if log - copied < pages {
        return Ok(None);
    }
    let (_, now) = checkpoint(conn, "PRAGMA wal_checkpoint(PASSIVE)").await?;
    Ok(Some(now - copied))
}

/// Pages in the log, and those of them that are in the file.
async fn checkpoint(
    conn: &mut SqliteConnection,
    pragma: &'static str,
) -> Result<(i64, i64), sqlx::Error> {
    let (_busy, log, copied): (i64, i64, i64) = sqlx::query_as(pragma).fetch_one(conn).await?;
    Ok((log, copied))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::store::sqlite::SqliteStore;
    use crate::{
        event::{Data, Micros, Topic},
        settings::TopicSettings,
        store::{Append, Keeping as _, Log as _, NewEvent, Options, Topics as _},
    };

    #[tokio::test]
    async fn what_is_written_is_copied_before_a_commit_has_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.db");
        let store = SqliteStore::open(&path, &Options::default()).await.unwrap();
        let topic: Topic = "t".parse().unwrap();
        store.put_topic(&topic, &TopicSettings::default(), Micros(1)).await.unwrap();
        // 2,000 pages: a commit begins to copy at four times as many.
        for round in 0..20 {
            let event = |number: u64| NewEvent {
                source: "/s".into(),
                id: format!("{round}-{number}"),
                attributes: r#"{"id":"1","source":"/s","type":"t"}"#.into(),
                data: Data::Json(Bytes::from(format!("\"{}\"", "x".repeat(8_000)))),
                deliver_at: None,
            };
            let (events, now) = ((0..100).map(event).collect(), Micros(1));
            let append = Append { topic: topic.clone(), events, progress: None, now };
            store.append(append).await.unwrap();
        }
        let copied = async {
            while std::fs::metadata(&path).unwrap().len() < 8 << 20 {
                sleep(EVERY).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), copied).await.expect("nothing was copied");
        store.close().await;
    }

    #[tokio::test]
    async fn a_long_log_is_copied_beside_the_writer_and_a_short_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.db");
        let mut writer =
            file::open_writer(&path, "FULL", &["CREATE TABLE t (b BLOB)"]).await.unwrap();
        let mut beside = file::open_beside(&path).await.unwrap();
        let insert = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) \
            INSERT INTO t SELECT randomblob(8000) FROM n";
        sqlx::raw_sql(insert).execute(&mut writer).await.unwrap();
        assert_eq!(step(&mut beside, PAGES).await.unwrap(), None);
        for _ in 0..10 {
            sqlx::raw_sql(insert).execute(&mut writer).await.unwrap();
        }
        assert!(step(&mut beside, PAGES).await.unwrap().is_some_and(|copied| copied >= PAGES));
        let (log, copied) = checkpoint(&mut writer, "PRAGMA wal_checkpoint(NOOP)").await.unwrap();
        assert_eq!(log, copied, "nothing is left for the commit");
        let count: i64 =
            sqlx::query_scalar("SELECT count(*) FROM t").fetch_one(&mut writer).await.unwrap();
        assert_eq!(count, 1_100);
    }
}
