//! Keys of the API.

use async_trait::async_trait;
use sqlx::{SqlitePool, sqlite::SqliteRow};

use super::{SqliteStore, desk::Desk, file::row::Cells};
use crate::{
    key::{AccessKey, KeyId},
    store::{AccessKeys, StoreError, rules::access_keys},
};

#[async_trait]
impl AccessKeys for SqliteStore {
    async fn put_key(&self, key: &AccessKey) -> Result<(), StoreError> {
        let key = key.clone();
        self.cold(move |desk| Box::pin(put(desk, key))).await
    }

    async fn keys(&self) -> Result<Vec<AccessKey>, StoreError> {
        all(&self.shared.readers).await
    }

    async fn remove_key(&self, id: &KeyId) -> Result<(), StoreError> {
        let id = id.clone();
        self.cold(move |desk| Box::pin(remove(desk, id))).await
    }
}

/// All keys by id.
pub(super) async fn all(readers: &SqlitePool) -> Result<Vec<AccessKey>, StoreError> {
    let sql = "-- keys\nSELECT id, hash, granted, expires, created FROM keys ORDER BY id";
    let rows = sqlx::query(sql).fetch_all(readers).await?;
    rows.iter().map(key).collect()
}

fn key(row: &SqliteRow) -> Result<AccessKey, StoreError> {
    let row = Cells::of(row, "keys");
    Ok(AccessKey {
        id: row.get("id")?,
        hash: row.get("hash")?,
        grant: row.json("granted")?,
        expires: row.get("expires")?,
        created: Some(row.get("created")?),
    })
}

async fn put(desk: &mut Desk, key: AccessKey) -> Result<(), StoreError> {
    let count: i64 = sqlx::query_scalar("-- count of keys\nSELECT count(*) FROM keys")
        .fetch_one(&mut desk.conn)
        .await?;
    access_keys::room(count)?;
    let sql = "-- new key\nINSERT INTO keys (id, hash, granted, expires, created) \
        VALUES ($1, $2, $3, $4, $5) ON CONFLICT (id) DO NOTHING";
    let put = sqlx::query(sql)
        .bind(key.id.as_str())
        .bind(&key.hash.0[..])
        .bind(access_keys::granted_text(&key.grant))
        .bind(key.expires.map(|expires| expires.0))
        .bind(key.created.map_or(0, |created| created.0))
        .execute(&mut desk.conn)
        .await?;
    access_keys::was_put(&key, put.rows_affected())?;
    desk.announce();
    Ok(())
}

async fn remove(desk: &mut Desk, id: KeyId) -> Result<(), StoreError> {
    let sql = "-- remove key\nDELETE FROM keys WHERE id = $1";
    let removed = sqlx::query(sql).bind(id.as_str()).execute(&mut desk.conn).await?;
    access_keys::was_removed(&id, removed.rows_affected())?;
    desk.announce();
    Ok(())
}
