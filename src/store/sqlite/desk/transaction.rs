//! Transactions by SQL alone. sqlx counts how deep they are, and a statement that rolls back by
//! itself, as a full disk or an I/O error makes it, leaves that count wrong for good.

use std::time::Duration;

use sqlx::SqliteConnection;

use crate::store::StoreError;

/// The first pause before a locked file is tried again.
const PAUSE_MIN: Duration = Duration::from_millis(2);
/// The longest.
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// Begins to write; waits for at most `patience` for another program that has locked the file.
/// SQLite itself is to wait for nobody: it would do so on the connection's thread.
pub(crate) async fn begin(
    conn: &mut SqliteConnection,
    patience: Duration,
) -> Result<(), sqlx::Error> {
    let (mut waited, mut pause) = (Duration::ZERO, PAUSE_MIN);
    loop {
        let Err(error) = try_begin(conn).await else { return Ok(()) };
        if !StoreError::is_busy(&error) || waited >= patience {
            return Err(error);
        }
        tokio::time::sleep(pause).await;
        waited += pause;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

async fn try_begin(conn: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    const BEGIN: &str = "BEGIN IMMEDIATE";
    match sqlx::raw_sql(BEGIN).execute(&mut *conn).await {
        Ok(_) => Ok(()),
        Err(error) if StoreError::is_busy(&error) => Err(error),
        Err(_) => {
            // A transaction that could not be rolled back when it failed may stand in the way.
            roll_back(conn).await;
            sqlx::raw_sql(BEGIN).execute(conn).await.map(drop)
        }
    }
}

pub(crate) async fn commit(conn: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql("COMMIT").execute(conn).await.map(drop)
}

pub(crate) async fn roll_back(conn: &mut SqliteConnection) {
    if let Err(error) = sqlx::raw_sql("ROLLBACK").execute(conn).await {
        // A full disk rolls back by itself; then there is nothing left to undo.
        tracing::debug!(%error, "nothing to roll back");
    }
}
