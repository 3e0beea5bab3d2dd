//! Opening the store: its tables, made once whoever comes first, and everything that works on it.

use std::sync::Arc;

use sqlx::{ConnectOptions as _, Connection as _, PgConnection};

use tokio_util::sync::CancellationToken;

use super::{
    PostgresStore, gathered::Gathered, incoming::state, lane::Lanes, primary::Hosts, row::Cells,
    server::Server, shared::Shared, trace::Trace, wake,
};
use crate::{
    clock,
    store::{Options, StoreError},
};

/// Each is applied once, in this order.
const MIGRATIONS: [&str; 3] = [
    include_str!("../../../migrations/postgres/0001_store.sql"),
    include_str!("../../../migrations/postgres/0002_keys.sql"),
    include_str!("../../../migrations/postgres/0003_place.sql"),
];

/// Connections for who holds which work.
const HOLDING: u32 = 2;

/// The code of an error (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
const INSUFFICIENT_PRIVILEGE: &str = "42501";

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
        let primary = hosts.primary(0).await?;
        let connect = primary.connect.clone().options([("client_min_messages", "warning")]);
        let mut conn = connect.connect().await?;
        make_tables(&mut conn, options.makes_tables).await?;
        state::check(&mut conn).await?;
        let hash_key = hash_key(&mut conn).await?;
        conn.close().await?;
        let server = Server::new(hosts, primary, options);
        // A first connection says why, if the server cannot be worked with.
        server.connect().await?.0.close().await?;
        // One of them listens.
        let pools = [server.pool(options.readers.max(4) + 1), server.pool(HOLDING)];
        let shared = Arc::new(Shared::new(pools.clone(), server, hash_key, options));
        shared.refresh().await?;
        shared.look_at_pending().await;
        let stop = CancellationToken::new();
        tokio::spawn(shared.server.clone().follow(pools, stop.clone()));
        tokio::spawn(wake::run(shared.clone(), stop.clone()));
        tokio::spawn(wake::tell(shared.clone(), stop.clone()));
        let (lanes, trace) = (Lanes::start(&shared), Trace::start(shared.clone()));
        Ok(Self { shared, lanes, trace, gathered: Gathered::default(), stop })
    }
}

/// Makes the tables, or brings those of an earlier release up to this one.
pub(super) async fn make_tables(
    conn: &mut PgConnection,
    makes_tables: bool,
) -> Result<(), StoreError> {
    if !makes_tables {
        return check(conn).await;
    }
    let lock = "-- migrating\nSELECT pg_advisory_lock($1)";
    sqlx::query(lock).bind(MIGRATING).execute(&mut *conn).await?;
    let done = apply(conn).await;
    let unlock = "-- migrated\nSELECT pg_advisory_unlock($1)";
    sqlx::query(unlock).bind(MIGRATING).execute(&mut *conn).await?;
    done.map_err(may_not)
}

/// Since PostgreSQL 15 only the owner of a database may make tables in it as it comes.
fn may_not(error: StoreError) -> StoreError {
    let is_privilege = match &error {
        StoreError::Database(sqlx::Error::Database(error)) => {
            error.code().as_deref() == Some(INSUFFICIENT_PRIVILEGE)
        }
        _ => false,
    };
    if !is_privilege {
        return error;
    }
    StoreError::Refused(
        "the user may not make tables in the database: make it the owner, by `ALTER DATABASE milkrun \
         OWNER TO milkrun` with the names of your database and user"
            .into(),
    )
}

/// Whether the tables are those of this release.
async fn check(conn: &mut PgConnection) -> Result<(), StoreError> {
    let sql = "-- tables\nSELECT to_regclass('schema') IS NOT NULL";
    if !sqlx::query_scalar::<_, bool>(sql).fetch_one(&mut *conn).await? {
        return Err(StoreError::NoTables);
    }
    let known = known(conn).await?;
    if known < MIGRATIONS.len() {
        return Err(StoreError::Refused(format!(
            "the database has tables of version {known}, and this release works with {}: \
             `milkrun run` brings them up to it",
            MIGRATIONS.len()
        )));
    }
    Ok(())
}

/// The version of the tables.
async fn known(conn: &mut PgConnection) -> Result<usize, StoreError> {
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
    Ok(known)
}

async fn apply(conn: &mut PgConnection) -> Result<(), StoreError> {
    let sql = "CREATE TABLE IF NOT EXISTS schema (version integer NOT NULL)";
    sqlx::query(sql).execute(&mut *conn).await?;
    let known = known(conn).await?;
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
