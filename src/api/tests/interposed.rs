//! A store with which a commit can be put between a reader's look and its wait.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use tokio::sync::watch;

use super::*;
use crate::{
    event::{Cursor, Event, Name, Version},
    settings::{Rate, SubscriptionSettings},
    store::*,
};

mod forwards;
mod missed;
mod settled;

/// The store inside, and what is appended right after one of the next reads.
pub(super) struct Interposed {
    inner: Arc<dyn Store>,
    reads: AtomicUsize,
    next: Mutex<Option<Append>>,
}

impl Interposed {
    pub(super) fn new(inner: Arc<dyn Store>) -> Self {
        Self { inner, reads: AtomicUsize::new(0), next: Mutex::new(None) }
    }

    /// Appends an event of this id after the read that comes behind `reads` others.
    pub(super) fn append_behind(&self, reads: usize, id: &str) {
        let event = NewEvent {
            source: "/s".to_owned(),
            id: id.to_owned(),
            attributes: format!(r#"{{"id":"{id}","source":"/s","type":"t"}}"#).into(),
            data: crate::event::Data::None,
            deliver_at: None,
        };
        let topic = "orders".parse().unwrap();
        *self.next.lock().unwrap() =
            Some(Append { topic, events: vec![event], progress: None, now: NOW });
        self.reads.store(reads, Ordering::SeqCst);
    }

    async fn meanwhile(&self) {
        let later = |left: usize| left.checked_sub(1);
        if self.reads.fetch_update(Ordering::SeqCst, Ordering::SeqCst, later).is_ok() {
            return;
        }
        let next = self.next.lock().unwrap().take();
        if let Some(append) = next {
            self.inner.append(append).await.unwrap();
        }
    }
}

impl Store for Interposed {}

#[async_trait]
impl Log for Interposed {
    async fn append(&self, append: Append) -> Result<Vec<Placed>, StoreError> {
        self.inner.append(append).await
    }

    async fn read(&self, topic: &Topic, read: Read) -> Result<Page, StoreError> {
        let page = self.inner.read(topic, read).await;
        self.meanwhile().await;
        page
    }

    async fn version_before(&self, topic: &Topic, moment: Micros) -> Result<Version, StoreError> {
        self.inner.version_before(topic, moment).await
    }

    async fn head(&self, topic: &Topic) -> Result<watch::Receiver<Version>, StoreError> {
        self.inner.head(topic).await
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changes()
    }
}
