//! Opening the store: its tables, made once whoever comes first, and everything that works on it.

use std::sync::Arc;

use sqlx::{PgConnection, postgres::PgPoolOptions};

use tokio_util::sync::CancellationToken;

use super::{
    PostgresStore,
    lane::Lanes,
    primary::{Hosts, Primary},
    row::Cells,
    shared::Shared,
    trace::Trace,
    wake,
};
use crate::{
    clock,
    store::{Options, StoreError},
};

/// Each is applied once, in this order.
const MIGRATIONS: [&str; 1] = [include_str!("../../../migrations/postgres/0001_store.sql")];

/// Of the lock under which the tables are made: one node at a time.
const MIGRATING: i64 = 0x006d_696c_6b72_756e;

impl PostgresStore {
    /// Opens the store at `url`, making its tables as needed.
    ///
    /// # Errors
    /// `Refused` when the address cannot be read or the tables are of a later release; else as the
    /// database has them.
    pub async fn open(url: &str, options: &Options) -> Result<Self, StoreError> {
        let hosts = Hosts::parse(url)?;
        let Primary { connect, .. } = hosts.primary(0).await?;
        let pool = PgPoolOptions::new().max_connections(options.readers.max(4));
        let pool = pool.connect_with(connect.clone()).await?;
        let mut conn = pool.acquire().await?;
        migrate(&mut conn).await?;
        let hash_key = hash_key(&mut conn).await?;
        drop(conn);
        let shared = Arc::new(Shared::new(pool, connect, hash_key, options));
        shared.refresh().await?;
        shared.look_at_pending().await;
        let stop = CancellationToken::new();
        tokio::spawn(wake::run(shared.clone(), stop.clone()));
        tokio::spawn(wake::tell(shared.clone(), stop.clone()));
        let (lanes, trace) = (Lanes::start(&shared), Trace::start(shared.clone()));
        Ok(Self { shared, lanes, trace, stop })
    }
}

/// Makes the tables, or brings those of an earlier release up to this one.
async fn migrate(conn: &mut PgConnection) -> Result<(), StoreError> {
    let lock = "-- migrating\nSELECT pg_advisory_lock($1)";
    sqlx::query(lock).bind(MIGRATING).execute(&mut *conn).await?;
    let done = apply(conn).await;
    let unlock = "-- migrated\nSELECT pg_advisory_unlock($1)";
    sqlx::query(unlock).bind(MIGRATING).execute(&mut *conn).await?;
    done
}

async fn apply(conn: &mut PgConnection) -> Result<(), StoreError> {
    let sql = "CREATE TABLE IF NOT EXISTS schema (version integer NOT NULL)";
    sqlx::query(sql).execute(&mut *conn).await?;
    let sql = "-- schema\nSELECT coalesce(max(version), 0) FROM schema";
    let version: i32 = sqlx::query_scalar(sql).fetch_one(&mut *conn).await?;
    let known = usize::try_from(version).unwrap_or(usize::MAX);
    if known > MIGRATIONS.len() {
        return Err(StoreError::Refused(format!(
            "the database has tables of version {version}, and this release knows {}: start a newer \
             release of milkrun",
            MIGRATIONS.len()
        )));
    }
    for (migration, number) in MIGRATIONS.iter().zip(1_i32..).skip(known) {
        let whole = format!(
            "BEGIN; {migration}; DELETE FROM schema; INSERT INTO schema VALUES ({number}); COMMIT;"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(whole)).execute(&mut *conn).await?;
    }
    Ok(())
}

/// The store's key for hashing `source` and `id`; made with the tables.
async fn hash_key(conn: &mut PgConnection) -> Result<[u8; 16], StoreError> {
    let fresh = clock::fresh_uuid().into_bytes();
    let sql = "-- hash key\nINSERT INTO meta (name, value) VALUES ('hash_key', $1) ON CONFLICT DO NOTHING";
    sqlx::query(sql).bind(&fresh[..]).execute(&mut *conn).await?;
    let sql = "-- hash key read\nSELECT value FROM meta WHERE name = 'hash_key'";
    let row = sqlx::query(sql).fetch_one(conn).await?;
    let row = Cells::of(&row, "meta");
    let key: &[u8] = row.get("value")?;
    key.try_into().map_err(|_| row.unreadable("the hash key is not of 16 bytes"))
}
