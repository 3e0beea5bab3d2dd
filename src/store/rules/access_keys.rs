//! Keys of the API: what may be done to them, and how a grant is written.

use super::bounds;
use crate::{
    key::{AccessKey, Grant, KeyId},
    store::StoreError,
};

/// Whether one more key finds room beside `count`.
pub(crate) fn room(count: i64) -> Result<(), StoreError> {
    if count < bounds::KEYS_MAX {
        return Ok(());
    }
    let most = bounds::KEYS_MAX;
    Err(StoreError::Full(format!("there are {most} keys already: revoke those that nobody uses")))
}

/// What putting a key came to, by the rows that it made.
pub(crate) fn was_put(key: &AccessKey, rows: u64) -> Result<(), StoreError> {
    match rows {
        0 => Err(StoreError::Exists { what: "key", name: key.id.to_string() }),
        _ => Ok(()),
    }
}

/// What removing a key came to, by the rows that it took.
pub(crate) fn was_removed(id: &KeyId, rows: u64) -> Result<(), StoreError> {
    match rows {
        0 => Err(StoreError::not_found("key", id.as_str())),
        _ => Ok(()),
    }
}

/// Plain data, which JSON always takes.
pub(crate) fn granted_text(grant: &Grant) -> String {
    serde_json::to_string(grant).expect("grants are plain data")
}
