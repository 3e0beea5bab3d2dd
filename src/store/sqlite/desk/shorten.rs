//! Keeps the write-ahead log short, also when a program that is not ours reads the file for long:
//! then the writer goes on, says so, and looks again later.

use std::{fs, time::Duration};

use tokio::time::{Instant, sleep, timeout};

use super::{Desk, checkpoint::Checkpoints};
use crate::{
    clock,
    store::{StoreError, sqlite::file::beside::sibling},
};

/// Above this size the readers' gate is closed and the log is truncated.
const BYTES_MAX: u64 = 128 << 20;
/// How long our own readers, and a checkpoint under way, are waited for.
const PATIENCE: Duration = Duration::from_millis(500);
/// How often it is tried: a reader that was there the last time is not waited for again.
const TRIES: u32 = 25;
const TRIES_PINNED: u32 = 2;
/// The pause between two tries.
const BETWEEN: Duration = Duration::from_millis(20);
/// How long the log is left alone when it could not be truncated.
const PAUSE: Duration = Duration::from_secs(5);
/// A program that is not ours reads, and nothing can be taken off the log.
const PINNED: &str = "log_pinned";

/// What is known of the log between two looks.
pub(crate) struct Log {
    /// Above this size it is truncated.
    bytes_max: u64,
    /// Not to be tried before.
    not_before: Option<Instant>,
    /// Whether somebody who is not ours kept it long the last time.
    is_pinned: bool,
}

impl Default for Log {
    fn default() -> Self {
        Self { bytes_max: BYTES_MAX, not_before: None, is_pinned: false }
    }
}

impl Log {
    /// Truncates the log when readers have kept it from being reused for too long.
    pub(crate) async fn check(&mut self, desk: &mut Desk, checkpoints: &Checkpoints) {
        let log = sibling(&desk.shared.path, "-wal");
        let bytes = fs::metadata(&log).map_or(0, |file| file.len());
        if bytes <= self.bytes_max {
            desk.shared.troubles.ended(PINNED, "the write-ahead log is short again");
            return;
        }
        if self.not_before.is_some_and(|moment| clock::instant() < moment) {
            return;
        }
        let tries = if self.is_pinned { TRIES_PINNED } else { TRIES };
        match truncate(desk, checkpoints, tries).await {
            // Not tried: somebody of ours is at it.
            Ok(None) => {}
            Ok(Some(true)) => {
                (self.not_before, self.is_pinned) = (None, false);
                desk.shared.troubles.ended(PINNED, "the write-ahead log is short again");
            }
            Ok(Some(false)) => {
                (self.not_before, self.is_pinned) = (Some(clock::instant() + PAUSE), true);
                let detail = format!(
                    "another program reads {}, so its write-ahead log cannot be shortened and has \
                     grown to {} MiB; end that program (sqlite3, a dump, a backup): until then \
                     everything works, and the log grows",
                    desk.shared.path.display(),
                    bytes >> 20
                );
                desk.shared.troubles.began(PINNED, detail);
            }
            Err(error) => {
                self.not_before = Some(clock::instant() + PAUSE);
                tracing::error!(event = "store.checkpoint_failed", %error, "a checkpoint failed");
                if matches!(error, StoreError::Database(_)) {
                    desk.doubt();
                }
            }
        }
    }
}

/// Whether the log is empty now, if that was tried. SQLite waits for nobody (`busy_timeout` is 0);
/// our own short reads are over between two tries.
async fn truncate(
    desk: &mut Desk,
    checkpoints: &Checkpoints,
    tries: u32,
) -> Result<Option<bool>, StoreError> {
    let shared = desk.shared.clone();
    let Ok(_gate) = timeout(PATIENCE, shared.gate.write()).await else { return Ok(None) };
    // Two at once, and this one would do nothing.
    let Ok(_turn) = timeout(PATIENCE, checkpoints.hold()).await else { return Ok(None) };
    for number in 1.. {
        let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
        let busy: i64 = sqlx::query_scalar(sql).fetch_one(&mut desk.conn).await?;
        let is_empty = busy == 0;
        if is_empty || number >= tries {
            return Ok(Some(is_empty));
        }
        sleep(BETWEEN).await;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use sqlx::{Connection as _, SqliteConnection};

    use super::*;
    use crate::store::sqlite::SqliteStore;
    use crate::{
        event::Micros,
        settings::TopicSettings,
        store::{Keeping as _, Options, Topics as _},
    };

    /// Looks at the log in the writer's turn, as if anything were too long.
    async fn look(store: &SqliteStore) -> Duration {
        let (path, room) = (store.shared.path.clone(), store.shared.room.clone());
        store
            .at_desk(move |desk| {
                Box::pin(async move {
                    let checkpoints = Checkpoints::start(path, room);
                    let begun = Instant::now();
                    Log { bytes_max: 0, ..Log::default() }.check(desk, &checkpoints).await;
                    let took = begun.elapsed();
                    checkpoints.stop().await;
                    Ok(took)
                })
            })
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn a_reader_that_is_not_ours_is_not_waited_for_but_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.db");
        let store = SqliteStore::open(&path, &Options::default()).await.unwrap();
        let settings = TopicSettings::default();
        store.put_topic(&"t".parse().unwrap(), &settings, Micros(1)).await.unwrap();
        let url = format!("sqlite:{}", path.display());
        let mut outside = SqliteConnection::connect(&url).await.unwrap();
        let read = "BEGIN; SELECT count(*) FROM topics";
        sqlx::raw_sql(read).execute(&mut outside).await.unwrap();
        store.put_topic(&"u".parse().unwrap(), &settings, Micros(1)).await.unwrap();
        let took = look(&store).await;
        assert!(took < Duration::from_secs(2), "the writer stood still for {took:?}");
        let troubles = store.troubles();
        assert_eq!(troubles.len(), 1, "{troubles:?}");
        assert_eq!(troubles[0].code, PINNED);
        assert!(troubles[0].detail.contains("another program reads"), "{troubles:?}");
        sqlx::raw_sql("COMMIT").execute(&mut outside).await.unwrap();
        look(&store).await;
        assert!(store.troubles().is_empty(), "{:?}", store.troubles());
        store.close().await;
    }
}
