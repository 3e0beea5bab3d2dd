//! A file that is read to be moved into a database: held like a relay holds it, and changed in
//! nothing.

use std::{path::Path, sync::Arc};

use super::file::{Identity, as_left::Left, holes::Holes, row::Cells, slot};
use crate::{
    event::Version,
    store::{StoreError, TopicState, migrate::rows::Header},
};

mod batch;
mod missing;

/// A file that is being moved.
pub(crate) struct Outgoing {
    file: Left,
    /// By their numbers.
    topics: Vec<Arc<TopicState>>,
    holes: Holes,
}

impl Outgoing {
    /// Takes the file at `path`.
    ///
    /// # Errors
    /// As [`Left::open`]; `Refused` when there is none.
    pub(crate) async fn open(path: &Path) -> Result<Self, StoreError> {
        if !path.exists() {
            let why = format!("{}: there is no such file", path.display());
            return Err(StoreError::Refused(why));
        }
        let mut file = Left::open(path).await?;
        let topics = file.known.topics.values().map(|topic| topic.state.clone());
        let mut topics: Vec<_> = topics.collect();
        topics.sort_by_key(|topic| topic.id);
        match Holes::load(&mut file.conn).await {
            Ok(holes) => Ok(Self { file, topics, holes }),
            Err(error) => {
                file.end().await;
                Err(error)
            }
        }
    }

    /// How many events the topics have.
    pub(crate) fn events(&self) -> u64 {
        let kept = |topic: &Arc<TopicState>| (topic.head.0 + 1).saturating_sub(topic.oldest.0);
        self.topics.iter().map(kept).sum()
    }

    /// What is moved at once.
    pub(crate) async fn header(&mut self) -> Result<Header, StoreError> {
        let sql = "-- meta\nSELECT (SELECT value FROM meta WHERE name = 'hash_key') AS hash_key, \
            (SELECT value FROM meta WHERE name = 'believed_us') AS believed, \
            (SELECT coalesce(max(edit), 0) FROM subscriptions) AS edit";
        let row = sqlx::query(sql).fetch_one(&mut *self.file.conn).await?;
        let row = Cells::of(&row, "meta");
        let (hash_key, believed) = (row.get("hash_key")?, row.get("believed")?);
        let edit = row.get("edit")?;
        let sql = "-- numbers\nSELECT name, seq FROM sqlite_sequence";
        let numbers = sqlx::query_as(sql).fetch_all(&mut *self.file.conn).await?;
        let mut topics = Vec::with_capacity(self.topics.len());
        for topic in self.topics.clone() {
            let (low, high) = slot::range(topic.id);
            let sql = "-- first key\nSELECT min(slot) FROM dedupe WHERE slot BETWEEN $1 AND $2";
            let first: Option<i64> = sqlx::query_scalar(sql)
                .bind(low)
                .bind(high)
                .fetch_one(&mut *self.file.conn)
                .await?;
            let forgotten =
                first.map_or(topic.head, |first| Version(slot::split(first).1).previous());
            topics.push((topic, forgotten));
        }
        let Identity { store, run } = self.file.identity.clone();
        Ok(Header { store, run, hash_key, believed, topics, numbers, edit })
    }

    /// Lets go of the file.
    pub(crate) async fn close(self) {
        self.file.end().await;
    }
}
