//! Keys of the API.

use std::time::Duration;

use milkrun::{
    event::Micros,
    key::{AccessKey, Grant, KeyId, Scope},
    store::StoreError,
};

use tokio::sync::watch;

use super::{Bench, NOW, name};

pub(super) fn key(id: &str, expires: Option<Micros>) -> AccessKey {
    let grant = Grant {
        owner: name("billing"),
        scopes: [Scope::Read, Scope::Subscribe].into(),
        topics: vec!["orders".parse().unwrap(), "billing.*".parse().unwrap()],
        rate: Some("100/s".parse().unwrap()),
    };
    AccessKey::fresh(Some(id.parse().unwrap()), grant, expires, NOW).unwrap().0
}

async fn woken(changes: &mut watch::Receiver<u64>) {
    tokio::time::timeout(Duration::from_secs(10), changes.changed()).await.unwrap().unwrap();
}

pub(super) async fn a_key_is_kept_until_it_is_removed(bench: &dyn Bench) {
    let store = bench.open().await;
    assert_eq!(store.keys().await.unwrap(), []);
    let (b, a) = (key("b", None), key("a", Some(Micros(NOW.0 + 1))));
    store.put_key(&b).await.unwrap();
    store.put_key(&a).await.unwrap();
    let again = store.put_key(&AccessKey { expires: None, ..a.clone() }).await;
    assert!(matches!(again, Err(StoreError::Exists { what: "key", .. })), "{again:?}");
    store.close().await;
    drop(store);
    let store = bench.open().await;
    assert_eq!(store.keys().await.unwrap(), [a.clone(), b.clone()]);
    store.remove_key(&a.id).await.unwrap();
    assert_eq!(store.keys().await.unwrap(), [b]);
    let missing: KeyId = "a".parse().unwrap();
    let gone = store.remove_key(&missing).await;
    assert!(matches!(gone, Err(StoreError::NotFound { what: "key", .. })), "{gone:?}");
    store.put_key(&a).await.unwrap();
    store.close().await;
}

pub(super) async fn a_changed_key_wakes_every_node(bench: &dyn Bench) {
    let first = bench.open().await;
    let second = bench.beside(&first).await;
    let mut changes = second.changes();
    changes.borrow_and_update();
    let new = key("a", None);
    first.put_key(&new).await.unwrap();
    woken(&mut changes).await;
    assert_eq!(second.keys().await.unwrap(), std::slice::from_ref(&new));
    changes.borrow_and_update();
    first.remove_key(&new.id).await.unwrap();
    woken(&mut changes).await;
    assert_eq!(second.keys().await.unwrap(), []);
    first.close().await;
    second.close().await;
}
