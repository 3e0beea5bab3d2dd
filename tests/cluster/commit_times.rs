//! How long a commit like a settlement's takes on the database, all the while.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use sqlx::{Connection as _, PgConnection};
use tokio::task::JoinHandle;

use crate::support::postgres::Database;

/// Measures until dropped.
pub(crate) struct CommitTimes {
    took: Arc<Mutex<Vec<(Instant, Duration)>>>,
    task: JoinHandle<()>,
}

impl CommitTimes {
    pub(crate) async fn start(database: &Database) -> Self {
        database
            .run("CREATE TABLE measured (n bigint); INSERT INTO measured VALUES (0)".into())
            .await;
        let mut conn = PgConnection::connect(&database.url).await.expect("a connection");
        let took = Arc::<Mutex<Vec<(Instant, Duration)>>>::default();
        let seen = took.clone();
        let task = tokio::spawn(async move {
            loop {
                let begun = Instant::now();
                // As many round trips as a settlement has.
                for sql in [
                    "BEGIN",
                    "SELECT n FROM measured FOR UPDATE",
                    "UPDATE measured SET n = n + 1",
                    "SELECT n FROM measured",
                    "SELECT n FROM measured",
                    "COMMIT",
                ] {
                    sqlx::query(sql).execute(&mut conn).await.expect("a statement");
                }
                seen.lock().unwrap().push((begun, begun.elapsed()));
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        Self { took, task }
    }

    /// The longest of those that were under way in the second before `at`.
    pub(crate) fn before(&self, at: Instant) -> Duration {
        let took = self.took.lock().unwrap();
        let near = took
            .iter()
            .filter(|(begun, took)| *begun <= at && *begun + *took + Duration::from_secs(1) >= at);
        near.map(|(_, took)| *took).max().unwrap_or_default()
    }
}

impl Drop for CommitTimes {
    fn drop(&mut self) {
        self.task.abort();
    }
}
