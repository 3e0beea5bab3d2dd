//! From a configured address to a store.

use std::{path::Path, sync::Arc};

use super::{Store, StoreError, sqlite::SqliteStore};

/// How a store is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// Shared by the tails of all topics.
    pub tail_bytes: usize,
    /// Dedupe keys in memory over all topics.
    pub dedupe_keys_max: usize,
    /// Events that wait for their time, over all topics.
    pub pending_max: usize,
    /// Connections that read.
    pub readers: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            tail_bytes: 64 << 20,
            dedupe_keys_max: 4_000_000,
            pending_max: 1_000_000,
            readers: 4,
        }
    }
}

/// Opens the store at `url` (`sqlite:PATH`).
///
/// # Errors
/// `Refused` when the address is of an unknown kind or the file is held by another process; else
/// as the store has them.
pub async fn open(url: &str, options: &Options) -> Result<Arc<dyn Store>, StoreError> {
    let path = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:"));
    match path {
        Some(path) if !path.is_empty() && path != ":memory:" => {
            Ok(Arc::new(SqliteStore::open(Path::new(path), options).await?))
        }
        _ => Err(StoreError::Refused(format!(
            "`{url}` is no store: expected sqlite:PATH, as sqlite:data/milkrun.db"
        ))),
    }
}
