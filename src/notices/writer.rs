//! The one who appends notices: [`Writer::step`] and a small loop.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use uuid::{NoContext, Timestamp, Uuid};

use super::{Board, Notice};
use crate::{
    event::{Data, Micros, Name, NewEvent, Topic},
    store::{Append, Store, StoreError, SubscriptionStatus},
    telemetry::TopicLabel,
    wire::Candidate,
};

/// Notices appended in one transaction.
const GROUP: usize = 1_000;
/// How long to leave a store alone that took nothing.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// Appends what was told.
pub struct Writer {
    store: Arc<dyn Store>,
    board: Arc<Board>,
    pub(super) topic: Topic,
    /// Taken from the board and not looked at yet.
    taken: VecDeque<(Micros, Notice)>,
    /// To be appended; stays until it is, so that what was appended already is recognised.
    events: Vec<NewEvent>,
}

impl Writer {
    pub(super) fn new(store: Arc<dyn Store>, board: Arc<Board>) -> Self {
        Self { store, board, topic: Name::notices(), taken: VecDeque::new(), events: Vec::new() }
    }

    /// Appends what may be told now, and says when there is more; `None`: when something is told.
    ///
    /// # Errors
    /// As the store has them; the next step tries again.
    pub async fn step(&mut self) -> Result<Option<Micros>, StoreError> {
        self.put(false).await?;
        Ok(self.board.waiting().due(self.board.clock.steady()))
    }

    /// Steps until `stop`, and then tells what is left once. `stop` belongs behind the stop of
    /// everybody who has something to tell.
    pub async fn run(mut self, stop: CancellationToken) {
        let board = self.board.clone();
        while !stop.is_cancelled() {
            let due = match self.step().await {
                Ok(due) => due,
                Err(StoreError::Closed) => return,
                Err(error) => {
                    tracing::warn!(
                        event = "notice.append_failed", %error,
                        "notices were not appended; tried again soon"
                    );
                    stop.run_until_cancelled(board.clock.pause(STORE_PAUSE)).await;
                    continue;
                }
            };
            let due = async {
                match due {
                    Some(due) => board.clock.until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                // What was told since the step looked has left its mark.
                () = board.wake.notified() => {}
                () = due => {}
            }
        }
        while let Ok(true) = self.put(true).await {}
        let lost = self.events.len() + self.taken.len() + board.waiting().told.len();
        if lost > 0 {
            board.dropped(lost as u64);
        }
    }

    /// Appends one group; whether there was one.
    async fn put(&mut self, all: bool) -> Result<bool, StoreError> {
        let now = self.board.clock.now();
        if self.events.is_empty() && self.taken.is_empty() {
            let steady = self.board.clock.steady();
            self.taken = self.board.waiting().take((now, steady), GROUP, all).into();
        }
        let any = !self.events.is_empty() || !self.taken.is_empty();
        while let Some((at, notice)) = self.taken.front() {
            let about_itself = match notice.subscription() {
                Some(name) => self.hears_notices(name).await?,
                None => false,
            };
            if !about_itself {
                self.events.extend(event(notice, *at));
            }
            self.taken.pop_front();
        }
        if self.events.is_empty() {
            return Ok(any);
        }
        let events = self.events.clone();
        let append = Append { topic: self.topic.clone(), events, progress: None, now };
        let placed = self.store.append(append).await?;
        self.events.clear();
        let label = TopicLabel { topic: self.topic.to_string() };
        self.board.metrics.appended.get_or_create(&label).inc_by(placed.len() as u64);
        Ok(any)
    }

    /// Whether a subscription gets notices itself; one that is gone is nobody's concern either.
    async fn hears_notices(&self, name: &Name) -> Result<bool, StoreError> {
        match self.store.subscription(name).await {
            Ok(known) => Ok(known.status == SubscriptionStatus::Deleted
                || known.positions.iter().any(|position| position.topic == self.topic)),
            Err(StoreError::NotFound { .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }
}

/// A notice as an event; names and plain values only, which are valid attributes.
fn event(notice: &Notice, at: Micros) -> Option<NewEvent> {
    let micros = u64::try_from(at.0).unwrap_or_default();
    let nanos = u32::try_from(micros % 1_000_000 * 1_000).unwrap_or_default();
    let stamp = Timestamp::from_unix(NoContext, micros / 1_000_000, nanos);
    let id = Uuid::new_v7(stamp).to_string();
    let candidate = Candidate {
        id: id.into(),
        source: "milkrun".into(),
        kind: notice.kind().into(),
        subject: notice.subject().map(Into::into),
        time: Some(at.to_string().into()),
        content_type: Some("application/json".into()),
        data: Data::Json(Bytes::from(notice.data(at).to_string())),
        ..Candidate::default()
    };
    candidate.admit().ok()
}
