//! How each table is copied from `live`, the file that is in use, to `main`, the copy.

use sqlx::{AssertSqlSafe, SqliteConnection};

use crate::store::{
    StoreError,
    sqlite::file::{LOG, slot},
};

/// Rows that are copied in one look.
pub(super) const PIECE: u64 = 500;

/// A table whose rows are never changed: added at the end of a topic, removed from its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rows {
    /// `events`.
    Events,
    /// `dedupe`.
    Keys,
}

impl Rows {
    /// Keys first: of an event that is copied its key is too, or it comes with the next piece.
    pub(super) const ALL: [Self; 2] = [Self::Keys, Self::Events];

    const fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Keys => "dedupe",
        }
    }

    /// Copies the next rows of a topic; answers how many.
    pub(super) async fn copy_piece(
        self,
        conn: &mut SqliteConnection,
        (low, high): (i64, i64),
    ) -> Result<u64, StoreError> {
        let sql = format!(
            "-- piece\nINSERT INTO main.{table} SELECT * FROM live.{table} WHERE slot BETWEEN \
             (SELECT coalesce(max(slot) + 1, $1) FROM main.{table} WHERE slot BETWEEN $1 AND $2) \
             AND $2 ORDER BY slot LIMIT {PIECE}",
            table = self.name()
        );
        let piece = sqlx::query(AssertSqlSafe(sql)).bind(low).bind(high);
        Ok(piece.execute(conn).await?.rows_affected())
    }

    /// Removes from the copy what is not in the file any more.
    pub(super) async fn remove_old(self, conn: &mut SqliteConnection) -> Result<(), StoreError> {
        let table = self.name();
        // By one look at each end of a topic, not at each row.
        let sql = format!(
            "-- copied topics\nWITH RECURSIVE copied (topic) AS (\
             SELECT min(slot) >> 40 FROM main.{table} UNION ALL \
             SELECT (SELECT min(slot) >> 40 FROM main.{table} WHERE slot >= (topic + 1) << 40) \
             FROM copied WHERE topic IS NOT NULL) SELECT topic FROM copied WHERE topic IS NOT NULL"
        );
        let topics: Vec<i64> = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut *conn).await?;
        for topic in topics {
            let (low, high) = slot::range(topic);
            let sql = format!(
                "-- old rows\nDELETE FROM main.{table} WHERE slot BETWEEN $1 AND coalesce(\
                 (SELECT min(slot) - 1 FROM live.{table} WHERE slot BETWEEN $1 AND $2), $2)"
            );
            let remove = sqlx::query(AssertSqlSafe(sql)).bind(low).bind(high);
            remove.execute(&mut *conn).await?;
        }
        Ok(())
    }
}

/// All other tables, the counters of their numbers last.
pub(super) async fn all_tables(conn: &mut SqliteConnection) -> Result<Vec<String>, StoreError> {
    let sql = "-- other tables\nSELECT name FROM main.sqlite_schema WHERE type = 'table' \
        AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT IN ('events', 'dedupe')";
    let mut tables: Vec<String> = sqlx::query_scalar(sql).fetch_all(conn).await?;
    tables.push("sqlite_sequence".into());
    Ok(tables)
}

/// Makes a table of the copy the same as that of the file.
pub(super) async fn same(conn: &mut SqliteConnection, table: &str) -> Result<(), StoreError> {
    for sql in [
        format!("-- empty\nDELETE FROM main.{table}"),
        format!("-- whole table\nINSERT INTO main.{table} SELECT * FROM live.{table}"),
    ] {
        sqlx::query(AssertSqlSafe(sql)).execute(&mut *conn).await?;
    }
    Ok(())
}

/// Whether both have the same tables, with the same columns in the same order.
pub(super) async fn is_same_schema(conn: &mut SqliteConnection) -> Result<bool, StoreError> {
    let taken: i64 = sqlx::query_scalar("PRAGMA live.user_version").fetch_one(&mut *conn).await?;
    if usize::try_from(taken).ok() != Some(LOG.len()) {
        return Ok(false);
    }
    let sql = "-- schemas\nSELECT count(*) FROM (SELECT name, sql FROM main.sqlite_schema EXCEPT \
        SELECT name, sql FROM live.sqlite_schema)";
    let other: i64 = sqlx::query_scalar(sql).fetch_one(conn).await?;
    Ok(other == 0)
}
