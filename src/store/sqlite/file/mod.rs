//! The database file: its settings, its schema, and whether it is ours.

use std::{fs, path::Path};

use sqlx::{
    ConnectOptions as _, Connection as _, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions},
};

use self::{beside::sibling, held::Held, row::Cells};

use crate::store::StoreError;

pub(crate) mod as_left;
pub(crate) mod beside;
pub(crate) mod heads;
pub(crate) mod held;
pub(crate) mod holes;
pub(crate) mod intact;
pub(crate) mod mend;
pub(crate) mod opening;
pub(crate) mod record;
pub(crate) mod room;
pub(crate) mod row;
pub(crate) mod sheet;
pub(crate) mod untold;
pub(crate) mod verify;
pub(crate) mod vigil;
pub(crate) mod waiting;
pub(crate) mod wal;

pub(crate) use crate::store::slot;

/// `Mkrn`: whose the file is, in its header (`PRAGMA application_id`).
pub(crate) const APPLICATION_ID: i32 = 0x4d6b_726e;

/// Earlier versions can lose committed writes when two connections write and checkpoint at once.
const SQLITE_MIN: (u32, u32, u32) = (3, 51, 3);

/// Pages in the write-ahead log at which a commit checkpoints.
const CHECKPOINT_PAGES: u32 = 8_000;

/// Whose a file is, and how often it was opened to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) store: String,
    pub(crate) run: u64,
}

/// One step of a schema, in order; `PRAGMA user_version` counts those that were taken.
pub(crate) type Migrations = &'static [&'static str];

/// The schema of the main file.
pub(crate) const LOG: Migrations = &[
    include_str!("../../../../migrations/sqlite/0001_log.sql"),
    include_str!("../../../../migrations/sqlite/0002_delivery.sql"),
    include_str!("../../../../migrations/sqlite/0003_resets.sql"),
    include_str!("../../../../migrations/sqlite/0004_source_identity.sql"),
    include_str!("../../../../migrations/sqlite/0005_checksums.sql"),
    include_str!("../../../../migrations/sqlite/0006_committed.sql"),
    include_str!("../../../../migrations/sqlite/0007_owed.sql"),
    include_str!("../../../../migrations/sqlite/0008_keys.sql"),
];
/// The schema of the trace's file.
pub(crate) const TRACE: Migrations = &[
    include_str!("../../../../migrations/sqlite/trace_0001_attempts.sql"),
    include_str!("../../../../migrations/sqlite/trace_0002_deliveries.sql"),
];

/// What the file says of itself without its write-ahead log; `None` when that is nothing.
///
/// # Errors
/// `Refused` when it is another program's.
pub(crate) async fn bare(held: &Held, has_log: bool) -> Result<Option<Identity>, StoreError> {
    let path = held.path();
    let refused = |why: String| {
        let told = format!("{}: {why}; name a file of its own for the store", path.display());
        Err(StoreError::Refused(told))
    };
    let header = held.header().unwrap_or_default();
    let id = header.get(68..72).and_then(|id| id.try_into().ok()).map(i32::from_be_bytes);
    let id = match id {
        Some(id) if header.starts_with(b"SQLite format 3\0") => id,
        _ => return refused("it is no SQLite database".into()),
    };
    let options = options(path).read_only(true).immutable(true);
    let mut conn = SqliteConnection::connect_with(&options).await?;
    let tables = tables(&mut conn).await;
    let identity = identity(&mut conn).await.unwrap_or_default();
    conn.close().await?;
    match (id, tables) {
        // Of an earlier release, or nothing but a header yet.
        (APPLICATION_ID, _) | (0, Ok((4, _) | (_, 0))) => Ok(identity),
        // Half of a checkpoint can be in it, and the log has the rest.
        (0, Err(_)) if has_log => Ok(identity),
        (0, Err(error)) => refused(format!("it cannot be read as a database ({error})")),
        (id, _) => refused(format!("it is another program's database (application_id {id})")),
    }
}

/// How many of four tables of ours there are, and how many tables.
async fn tables(conn: &mut SqliteConnection) -> Result<(i64, i64), sqlx::Error> {
    let sql = "-- tables\nSELECT count(*) FILTER (WHERE name IN ('meta', 'topics', 'epochs', 'events')), \
        count(*) FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
    sqlx::query_as(sql).fetch_one(conn).await
}

/// Whose a file is, as its `meta` says.
pub(crate) async fn identity(conn: &mut SqliteConnection) -> Result<Option<Identity>, StoreError> {
    let sql = "-- identity\nSELECT (SELECT CAST(value AS TEXT) FROM meta WHERE name = 'store') AS store, \
        (SELECT CAST(value AS TEXT) FROM meta WHERE name = 'run') AS run";
    let row = sqlx::query(sql).fetch_one(conn).await?;
    let row = Cells::of(&row, "meta");
    let store: Option<String> = row.get("store")?;
    let run = row.get::<Option<&str>>("run")?.and_then(|run| run.parse().ok());
    Ok(store.zip(run).map(|(store, run)| Identity { store, run }))
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(std::time::Duration::from_secs(5))
        .statement_cache_capacity(200)
        .disable_statement_logging()
}

/// Of a file that may have to be made.
fn making(path: &Path) -> SqliteConnectOptions {
    options(path)
        // Both must precede the first table; on an existing file they change nothing.
        .pragma("page_size", "8192")
        .pragma("auto_vacuum", "INCREMENTAL")
        .pragma("cache_size", "-32768")
        // What a statement may have to undo: else a file is made and removed for each large one.
        .pragma("temp_store", "MEMORY")
}

/// Opens the one writing connection of a file, making and migrating it as needed.
/// `synchronous` is `FULL` for what must not be lost.
pub(crate) async fn open_writer(
    path: &Path,
    synchronous: &'static str,
    migrations: Migrations,
) -> Result<SqliteConnection, StoreError> {
    let options = making(path)
        .create_if_missing(true)
        .pragma("journal_mode", "WAL")
        .pragma("synchronous", synchronous)
        .pragma("wal_autocheckpoint", CHECKPOINT_PAGES.to_string())
        .pragma("journal_size_limit", (128 << 20).to_string())
        // What is deleted is overwritten where that costs no page more.
        .pragma("secure_delete", "FAST");
    let mut conn = SqliteConnection::connect_with(&options).await?;
    check_version(&mut conn).await?;
    migrate(&mut conn, path, migrations).await?;
    restrict(path);
    Ok(conn)
}

/// Opens an empty file that a store is copied to: until all is in it, it is no store.
pub(crate) async fn open_copy(path: &Path) -> Result<SqliteConnection, StoreError> {
    // What breaks off is thrown away, and what is whole is synced as a file.
    let options = making(path).pragma("journal_mode", "OFF").pragma("synchronous", "OFF");
    let mut conn = SqliteConnection::connect_with(&options).await?;
    migrate(&mut conn, path, LOG).await?;
    Ok(conn)
}

/// Opens a connection that writes nothing of its own, and copies what others wrote.
pub(crate) async fn open_beside(path: &Path) -> Result<SqliteConnection, StoreError> {
    let options = options(path).pragma("synchronous", "FULL").pragma("cache_size", "-1024");
    Ok(SqliteConnection::connect_with(&options).await?)
}

/// Opens a connection that changes nothing, neither in the file nor beside it; `has_log` says that
/// what was written last is in a log beside it.
pub(crate) async fn open_to_look(path: &Path, has_log: bool) -> Result<SqlitePool, StoreError> {
    let options = if has_log {
        // The index of the log is read or built in memory, never written.
        let url = url::Url::from_file_path(path);
        let url = url.map_err(|()| StoreError::Refused(format!("{}: no path", path.display())))?;
        options(Path::new(&format!("{url}?readonly_shm=1"))).read_only(true)
    } else {
        options(path).read_only(true).immutable(true)
    };
    Ok(SqlitePoolOptions::new().max_connections(1).connect_with(options).await?)
}

/// Opens connections that only read.
pub(crate) async fn open_readers(path: &Path, count: u32) -> Result<SqlitePool, StoreError> {
    let options = options(path).read_only(true).pragma("cache_size", "-8192");
    Ok(SqlitePoolOptions::new()
        .max_connections(count)
        .min_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_with(options)
        .await?)
}

async fn check_version(conn: &mut SqliteConnection) -> Result<(), StoreError> {
    let text: String = sqlx::query_scalar("SELECT sqlite_version()").fetch_one(&mut *conn).await?;
    let parts: Vec<u32> = text.split('.').filter_map(|part| part.parse().ok()).collect();
    match parts[..] {
        [major, minor, patch, ..] if (major, minor, patch) >= SQLITE_MIN => Ok(()),
        _ => Err(StoreError::Refused(format!(
            "SQLite {text} can lose committed writes; 3.51.3 or later is needed"
        ))),
    }
}

async fn migrate(
    conn: &mut SqliteConnection,
    path: &Path,
    migrations: Migrations,
) -> Result<(), StoreError> {
    let taken: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *conn).await?;
    let taken = usize::try_from(taken).unwrap_or(usize::MAX);
    if taken > migrations.len() {
        return Err(StoreError::Refused(format!(
            "{} was written by a later release (schema {taken}, this one knows {})",
            path.display(),
            migrations.len()
        )));
    }
    for (number, migration) in migrations.iter().enumerate().skip(taken) {
        let mut transaction = conn.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::raw_sql(*migration).execute(&mut *transaction).await?;
        let count = format!("PRAGMA user_version = {}", number + 1);
        sqlx::raw_sql(sqlx::AssertSqlSafe(count)).execute(&mut *transaction).await?;
        transaction.commit().await?;
    }
    Ok(())
}

/// The file holds signing secrets: nobody but its owner may read it.
fn restrict(path: &Path) {
    #[cfg(unix)]
    for name in [path.to_owned(), sibling(path, "-wal"), sibling(path, "-shm")] {
        use std::os::unix::fs::PermissionsExt as _;
        if let Err(error) = fs::set_permissions(&name, fs::Permissions::from_mode(0o600)) {
            tracing::warn!(
                event = "store.permissions_failed", file = %name.display(), %error,
                "could not restrict access to the file"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without the lower bound in Cargo.toml the bundled SQLite could slide back unnoticed.
    #[tokio::test]
    async fn the_bundled_sqlite_is_safe() {
        let mut conn = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        check_version(&mut conn).await.unwrap();
    }
}
