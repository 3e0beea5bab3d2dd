//! The store of unit tests: a fresh one, in a folder that goes with it.

use std::sync::Arc;

use sqlx::{Connection as _, SqliteConnection};

use super::{Options, Store, open};

/// Where a test's store is.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    /// Changes the file, past whoever has it open.
    pub(crate) async fn run(&self, sql: &'static str) {
        let mut conn = SqliteConnection::connect(&self.url()).await.expect("a file");
        sqlx::raw_sql(sql).execute(&mut conn).await.expect("a change");
        conn.close().await.expect("an end");
    }

    /// What the store is opened by.
    fn url(&self) -> String {
        format!("sqlite:{}", self.0.path().join("relay.db").display())
    }

    /// Opens the store, the second time with what the first left.
    pub(crate) async fn open(&self) -> Arc<dyn Store> {
        open(&self.url(), &Options::default()).await.expect("a store")
    }
}

/// A fresh store; it is gone with its folder.
pub(crate) async fn store() -> (Folder, Arc<dyn Store>) {
    let folder = Folder::new();
    let store = folder.open().await;
    (folder, store)
}
