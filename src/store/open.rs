//! From a configured address to a store.

use std::{path::Path, sync::Arc};

use super::{
    Address, Keeping as _, Options, Store, StoreError, Stored, Verified, pages,
    postgres::PostgresStore,
    sqlite::{self, SqliteStore},
};

/// Looks at all of the store at `url`, and changes nothing. A file may be used by nobody else.
///
/// # Errors
/// As [`open`].
pub async fn verify(url: &str) -> Result<Verified, StoreError> {
    if Address::new(url).is_database() {
        let options = Options { makes_tables: false, ..Options::default() };
        let store = PostgresStore::open(url, &options).await?;
        let found = pages::verify(&store).await;
        store.close().await;
        return found;
    }
    sqlite::verify(path(url)?).await
}

/// What is stored at `url`, and what is wrong with it as far as that is plain without reading every
/// event; nothing is changed. A database without tables has nothing. `None`: another release has written it, and it is to be opened first.
///
/// # Errors
/// As [`open`].
pub async fn look(url: &str, options: &Options) -> Result<(Option<Stored>, Verified), StoreError> {
    if !Address::new(url).is_database() {
        return sqlite::look(path(url)?, &options.seal).await;
    }
    let store = match PostgresStore::open(url, options).await {
        Err(StoreError::NoTables) => return Ok((Some(Stored::default()), Verified::default())),
        opened => opened?,
    };
    let stored = Stored::of(&store).await;
    store.close().await;
    stored.map(|stored| (Some(stored), Verified::default()))
}

/// Opens the store at `url` (`sqlite:PATH` or `postgres://…`).
///
/// # Errors
/// `Refused` when the address is of an unknown kind or the file is held by another process; else
/// as the store has them.
pub async fn open(url: &str, options: &Options) -> Result<Arc<dyn Store>, StoreError> {
    if Address::new(url).is_database() {
        return Ok(Arc::new(PostgresStore::open(url, options).await?));
    }
    Ok(Arc::new(SqliteStore::open(path(url)?, options).await?))
}

/// The file of an address.
pub(super) fn path(url: &str) -> Result<&Path, StoreError> {
    let path = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:"));
    match path {
        Some(path) if !path.is_empty() && path != ":memory:" => Ok(Path::new(path)),
        _ => Err(StoreError::Refused(format!(
            "`{}` is no store: expected sqlite:PATH, as sqlite:data/milkrun.db, or \
             postgres://USER@HOST/DATABASE",
            Address::new(url)
        ))),
    }
}
