//! Keys of the API as the store keeps them.

use async_trait::async_trait;

use super::StoreError;
use crate::key::{AccessKey, KeyId};

/// Keys of the API. Whoever waits on [`super::Log::changes`] is woken by each change.
#[async_trait]
pub trait AccessKeys: Send + Sync {
    /// Keeps a key. `Exists` when its id is taken; `Full` when there are 10,000.
    async fn put_key(&self, key: &AccessKey) -> Result<(), StoreError>;
    /// All keys by id, those whose time has passed among them.
    async fn keys(&self) -> Result<Vec<AccessKey>, StoreError>;
    /// Removes a key, or `NotFound`. From then on it is good for nothing.
    async fn remove_key(&self, id: &KeyId) -> Result<(), StoreError>;
}
