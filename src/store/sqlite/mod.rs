//! The store on one SQLite file, for one process.
//!
//! One task owns the only writing connection and decides every operation in memory (`writer`,
//! `plan`); readers have connections of their own; the trace has a file of its own.

use std::sync::{Arc, PoisonError};

use async_trait::async_trait;
use tokio::{
    sync::{Mutex, Semaphore, mpsc, oneshot, watch},
    task::JoinHandle,
};
use tokio_util::sync::DropGuard;

use self::{ops::Hot, shared::Shared, vigil::Vigil, writer::Op};
use super::{
    Append, Attempt, AttemptQuery, DeadLetter, DeadSelect, EventState, Fence, Gap, Job, NewEvent,
    NewJob, NewSource, NewSubscription, News, Page, Pending, Placed, PositionState, Read, Rejected,
    Released, Settlement, SourceState, Steer, Store, StoreError, Subscription, SubscriptionSteer,
    TopicState, Trimmed, Trouble,
};
use crate::{
    event::{Cursor, Event, Micros, Name, Topic, Version},
    settings::{Rate, SubscriptionSettings, TopicSettings},
};

mod asking;
mod begin;
mod believed;
mod bulk;
mod checkpoint;
mod commit;
mod dead;
mod file;
mod held;
mod holes;
mod keys;
mod memory;
mod mend;
mod opening;
mod ops;
mod pending;
mod plan;
mod positions;
mod read;
mod record;
mod replays;
mod retention;
mod rewind;
mod room;
mod shared;
mod sheet;
mod shorten;
mod slot;
mod sources;
mod states;
mod subscriptions;
mod topics;
mod trace;
mod transaction;
mod trim;
mod vacuum;
pub mod verify;
mod vigil;
mod wal;
mod writer;

/// Operations that may wait for the writer.
const QUEUE: usize = 4_096;

/// The most events of one append.
const APPEND_MAX: usize = 100_000;

/// Attributes and data that may wait for the writer.
const QUEUE_BYTES: usize = 256 << 20;

/// A store on one SQLite file.
pub struct SqliteStore {
    shared: Arc<Shared>,
    writer: mpsc::Sender<Op>,
    task: Mutex<Option<JoinHandle<()>>>,
    /// Permits for KiB of waiting appends.
    room: Semaphore,
    trace: trace::Trace,
    vigil: Mutex<Option<Vigil>>,
    /// Ends who looks after the reserve.
    _stop: DropGuard,
}

impl Drop for SqliteStore {
    /// Whoever does not close it lets go of the file all the same.
    fn drop(&mut self) {
        self.shared.held.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn put_topic(
        &self,
        topic: &Topic,
        settings: &TopicSettings,
        now: Micros,
    ) -> Result<Arc<TopicState>, StoreError> {
        let (topic, settings) = (topic.clone(), settings.clone());
        self.cold(move |desk| Box::pin(topics::put(desk, topic, settings, now))).await
    }

    async fn delete_topic(&self, topic: &Topic, now: Micros) -> Result<(), StoreError> {
        let topic = topic.clone();
        self.cold(move |desk| Box::pin(topics::delete(desk, topic, now))).await
    }

    async fn topic(&self, topic: &Topic) -> Result<Arc<TopicState>, StoreError> {
        Ok(self.shared.published(topic)?.state)
    }

    async fn topics(&self) -> Result<Vec<Arc<TopicState>>, StoreError> {
        let topics = self.shared.topics.read().unwrap_or_else(PoisonError::into_inner);
        Ok(topics.values().map(|topic| topic.state.clone()).collect())
    }

    async fn new_epoch(
        &self,
        topic: &Topic,
        reason: &str,
        now: Micros,
    ) -> Result<Cursor, StoreError> {
        let (topic, reason) = (topic.clone(), reason.to_owned());
        self.cold(move |desk| Box::pin(topics::new_epoch(desk, topic, reason, now))).await
    }

    async fn gaps(&self, topic: &Topic, limit: usize) -> Result<Vec<Gap>, StoreError> {
        read::gaps(&self.shared, topic, limit).await
    }

    async fn append(&self, mut append: Append) -> Result<Vec<Placed>, StoreError> {
        if append.events.len() > APPEND_MAX {
            return Err(StoreError::Full(format!("an append takes at most {APPEND_MAX} events")));
        }
        let bytes = |event: &NewEvent| event.attributes.len() + event.data.bytes().len();
        let size_kib = append.events.iter().map(bytes).sum::<usize>() >> 10;
        let permits = u32::try_from(size_kib.clamp(1, QUEUE_BYTES >> 10)).unwrap_or(1);
        let _room = self.room.acquire_many(permits).await.map_err(|_| StoreError::Closed)?;
        let keys = append.events.iter().map(|event| self.key(event)).collect();
        // A slice would keep the producer's whole page in memory.
        append.events.iter_mut().for_each(|event| event.data = event.data.copied());
        self.hot(|reply| Hot::Append { append: Box::new(append), keys, reply }).await
    }

    async fn read(&self, topic: &Topic, read: Read) -> Result<Page, StoreError> {
        read::page(&self.shared, topic, read).await
    }

    async fn version_before(&self, topic: &Topic, moment: Micros) -> Result<Version, StoreError> {
        read::version_before(&self.shared, topic, moment).await
    }

    async fn head(&self, topic: &Topic) -> Result<watch::Receiver<Version>, StoreError> {
        Ok(self.shared.published(topic)?.head.subscribe())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    async fn pending(
        &self,
        topic: &Topic,
        after: i64,
        limit: usize,
    ) -> Result<Vec<Pending>, StoreError> {
        pending::list(&self.shared, topic, after, limit).await
    }

    async fn pending_event(&self, topic: &Topic, id: i64) -> Result<Pending, StoreError> {
        pending::one(&self.shared, topic, id).await
    }

    async fn change_pending(&self, topic: &Topic, id: i64, due: Micros) -> Result<(), StoreError> {
        let topic = topic.clone();
        self.cold(move |desk| Box::pin(pending::change(desk, topic, id, due))).await
    }

    async fn commit_pending(
        &self,
        topic: &Topic,
        id: i64,
        due: Micros,
        now: Micros,
    ) -> Result<Option<Released>, StoreError> {
        let topic = topic.clone();
        self.at_desk(move |desk| Box::pin(pending::commit(desk, topic, id, due, now))).await
    }

    async fn cancel_pending(&self, topic: &Topic, id: i64) -> Result<(), StoreError> {
        let topic = topic.clone();
        self.cold(move |desk| Box::pin(pending::cancel(desk, topic, id))).await
    }

    async fn release_pending(
        &self,
        now: Micros,
        limit: usize,
    ) -> Result<Vec<Released>, StoreError> {
        self.at_desk(move |desk| Box::pin(pending::release(desk, now, limit))).await
    }

    fn next_pending(&self) -> watch::Receiver<Option<Micros>> {
        self.shared.next_pending.subscribe()
    }

    async fn was_pending(
        &self,
        topic: &Topic,
        version: Version,
    ) -> Result<Option<Released>, StoreError> {
        pending::was_pending(&self.shared, topic, version).await
    }

    async fn put_source(&self, source: &NewSource, now: Micros) -> Result<SourceState, StoreError> {
        let source = source.clone();
        self.cold(move |desk| Box::pin(sources::put(desk, source, now))).await
    }

    async fn source(&self, name: &Name) -> Result<SourceState, StoreError> {
        sources::one(&mut *self.shared.readers.acquire().await?, name).await
    }

    async fn sources(&self) -> Result<Vec<SourceState>, StoreError> {
        sources::all(&self.shared.readers).await
    }

    async fn steer_source(
        &self,
        name: &Name,
        steer: Steer,
        now: Micros,
    ) -> Result<SourceState, StoreError> {
        let name = name.clone();
        self.cold(move |desk| Box::pin(sources::steer(desk, name, steer, now))).await
    }

    async fn journal(&self, name: &Name, limit: usize) -> Result<Vec<NewEvent>, StoreError> {
        sources::journal(&self.shared.readers, name, limit).await
    }

    async fn rejected(&self, name: &Name, limit: usize) -> Result<Vec<Rejected>, StoreError> {
        sources::rejected(&self.shared.readers, name, limit).await
    }

    async fn put_subscription(
        &self,
        new: &NewSubscription,
        now: Micros,
    ) -> Result<Subscription, StoreError> {
        let new = new.clone();
        self.cold(move |desk| Box::pin(subscriptions::put(desk, new, now))).await
    }

    async fn set_subscription(
        &self,
        name: &Name,
        settings: &SubscriptionSettings,
        edit: Option<u64>,
        now: Micros,
    ) -> Result<Subscription, StoreError> {
        let (name, settings) = (name.clone(), settings.clone());
        self.cold(move |desk| Box::pin(subscriptions::set(desk, name, settings, edit, now))).await
    }

    async fn subscription(&self, name: &Name) -> Result<Subscription, StoreError> {
        subscriptions::one(&mut *self.shared.readers.acquire().await?, name).await
    }

    async fn subscriptions(&self, edit: u64) -> Result<Vec<Subscription>, StoreError> {
        subscriptions::since(&self.shared.readers, edit).await
    }

    async fn steer_subscription(
        &self,
        name: &Name,
        steer: SubscriptionSteer,
        now: Micros,
    ) -> Result<Subscription, StoreError> {
        let name = name.clone();
        self.cold(move |desk| Box::pin(subscriptions::steer(desk, name, steer, now))).await
    }

    async fn rewind(
        &self,
        name: &Name,
        topic: Option<&Topic>,
        to: Version,
        now: Micros,
    ) -> Result<Subscription, StoreError> {
        let (name, topic) = (name.clone(), topic.cloned());
        self.cold(move |desk| Box::pin(rewind::rewind(desk, name, topic, to, now))).await
    }

    async fn position(&self, position: i64) -> Result<PositionState, StoreError> {
        positions::load(&self.shared, position).await
    }

    async fn kept_event(
        &self,
        position: i64,
        version: Version,
    ) -> Result<Option<Arc<Event>>, StoreError> {
        positions::kept(&self.shared, position, version).await
    }

    async fn event_states(
        &self,
        topic: &Topic,
        version: Version,
    ) -> Result<Vec<EventState>, StoreError> {
        states::of(&self.shared, topic, version).await
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Vec<Result<(), StoreError>> {
        let answers = settlements.into_iter().map(|settlement| {
            self.hot(|reply| Hot::Settle { settlement: Box::new(settlement), reply })
        });
        // All are queued before the first is awaited, so they share a commit.
        futures_util::future::join_all(answers).await
    }

    async fn save_health(
        &self,
        subscription: i64,
        resets: u64,
        health: String,
    ) -> Result<(), StoreError> {
        self.hot(|reply| Hot::Health { subscription, resets, health, reply }).await
    }

    async fn start_replay(
        &self,
        name: &Name,
        job: &NewJob,
        now: Micros,
    ) -> Result<Job, StoreError> {
        let (name, job) = (name.clone(), job.clone());
        self.cold(move |desk| Box::pin(replays::start(desk, name, job, now))).await
    }

    async fn replays(&self, name: &Name) -> Result<Vec<Job>, StoreError> {
        replays::list(&self.shared, name).await
    }

    async fn cancel_replay(&self, name: &Name, id: i64, now: Micros) -> Result<Job, StoreError> {
        let name = name.clone();
        self.cold(move |desk| Box::pin(replays::cancel(desk, name, id, now))).await
    }

    async fn end_replay(&self, position: i64, fence: Fence, now: Micros) -> Result<(), StoreError> {
        self.cold(move |desk| Box::pin(replays::end(desk, position, fence, now))).await
    }

    async fn dead_letters(
        &self,
        name: &Name,
        select: &DeadSelect,
        after: i64,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        dead::list(&self.shared, name, select, after, limit).await
    }

    async fn redrive(
        &self,
        name: &Name,
        select: DeadSelect,
        rate: Option<Rate>,
        now: Micros,
    ) -> Result<u64, StoreError> {
        let name = name.clone();
        self.cold(move |desk| Box::pin(dead::redrive(desk, name, select, rate, now))).await
    }

    async fn delete_dead_letters(
        &self,
        name: &Name,
        select: DeadSelect,
    ) -> Result<u64, StoreError> {
        let name = name.clone();
        self.cold(move |desk| Box::pin(dead::delete(desk, name, select))).await
    }

    fn trace(&self, attempts: Vec<Attempt>) {
        self.trace.record(attempts);
    }

    async fn attempts(&self, query: AttemptQuery) -> Result<Vec<Attempt>, StoreError> {
        self.trace.query(query).await
    }

    async fn trim(&self, now: Micros) -> Result<Trimmed, StoreError> {
        let mut more = self.trace.trim(now).await;
        let mut expired = Vec::new();
        let trimmed = || self.shared.dead_trimmed.load(std::sync::atomic::Ordering::Relaxed);
        let before = trimmed();
        // Each topic is a step of its own, so that an append waits for one at most.
        for topic in self.topics().await?.iter().map(|topic| topic.id) {
            let step = self.cold(move |desk| Box::pin(retention::step(desk, topic, now))).await?;
            more |= step.more;
            expired.extend(step.expired);
            more |= self.cold(move |desk| Box::pin(trim::keys(desk, topic, now))).await?;
        }
        more |= self.cold(move |desk| Box::pin(trim::step(desk, now))).await?;
        let damage = self.at_desk(move |desk| Box::pin(mend::tell(desk, now))).await?;
        more |= self.vacuum().await?;
        let dead_letters = trimmed().saturating_sub(before);
        Ok(Trimmed { more, expired, dead_letters, damage })
    }

    async fn believed(&self) -> Result<Option<Micros>, StoreError> {
        believed::read(&self.shared).await
    }

    async fn keep_believed(&self, moment: Micros) -> Result<(), StoreError> {
        self.cold(move |desk| Box::pin(believed::keep(desk, moment))).await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.shared.check()
    }

    fn troubles(&self) -> Vec<Trouble> {
        self.shared.troubles.present()
    }

    fn news(&self) -> Vec<News> {
        self.shared.troubles.news()
    }

    async fn gauges(&self) -> Vec<(&'static str, f64)> {
        let mut gauges = read::gauges(&self.shared).await;
        gauges.extend(self.trace.gauges());
        let waiting = QUEUE - self.writer.capacity();
        let waiting_kib = (QUEUE_BYTES >> 10) - self.room.available_permits();
        #[expect(clippy::cast_precision_loss, reason = "gauges are doubles")]
        gauges.extend([
            ("store_queue_operations", waiting as f64),
            ("store_queue_kib", waiting_kib as f64),
            ("store_disk_full", f64::from(u8::from(self.shared.room.is_short()))),
            ("store_troubles", self.shared.troubles.present().len() as f64),
        ]);
        gauges
    }

    async fn close(&self) {
        if let Some(vigil) = self.vigil.lock().await.take() {
            vigil.stop().await;
        }
        let (done, closed) = oneshot::channel();
        if self.writer.send(Op::Close(done)).await.is_ok() {
            let _ = closed.await;
        }
        if let Some(task) = self.task.lock().await.take() {
            let _ = task.await;
        }
        self.trace.close().await;
        self.shared.readers.close().await;
        let shared = self.shared.clone();
        let _ = tokio::task::spawn_blocking(move || shared.let_go()).await;
    }
}
