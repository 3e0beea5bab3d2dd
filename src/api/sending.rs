//! Whose turn it is: a client that takes nothing loses its answer.
//!
//! TCP tells when nothing of a connection is taken, but not of which stream of an HTTP/2 connection,
//! whose client may go on answering pings for ever. So each answer notes since when its client has
//! been able to take something. Who watches is the task that can give the answer up by ending: that of
//! an HTTP/1 connection, or that of one stream.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http::Version;
use http_body::{Frame, SizeHint};
use hyper::rt::Executor;
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

use super::budget::{Budget, Held};
use crate::clock;

/// The least that is to be taken of what is held, over the whole of it.
const BYTES_A_SECOND_MIN: f64 = 16_384.0;
/// What is handed to an HTTP/1 connection first.
const SLICE_BYTES: usize = 256 << 10;
/// What is handed at once to a client that takes fast: each piece is a call of its own, and wakes
/// whoever takes it.
const SLICE_BYTES_MAX: usize = 1 << 20;
/// Whoever takes a piece within this time is fast: 5 MB/s of the first one, and of each that is larger
/// the more.
const FAST: Duration = Duration::from_millis(50);
/// What is handed to a stream of an HTTP/2 connection at once: about the window of its client.
const STREAM_SLICE_BYTES: usize = 64 << 10;

tokio::task_local! {
    static SENDING: Sending;
}

/// How long a client may take nothing.
#[derive(Debug, Clone)]
pub(super) struct Patience {
    /// While there is room for others.
    pub(super) usual: Duration,
    /// While there is little.
    pub(super) tight: Duration,
    /// What tells which it is.
    pub(super) budget: Budget,
}

impl Patience {
    fn now(&self) -> Duration {
        if self.budget.is_tight() { self.tight.min(self.usual) } else { self.usual }
    }
}

/// Who watches over the answers of a task.
#[derive(Debug, Clone, Default)]
pub(super) struct Sending {
    /// Ends this task.
    task: Arc<Watch>,
    /// Ends the whole connection when ending its streams has freed nothing: the end of an answer may
    /// wait in the connection when its stream is over.
    connection: Arc<Watch>,
}

impl Sending {
    /// Ends when a client has taken nothing of a task's answer for too long, or of anything on the
    /// connection for twice as long.
    pub(super) async fn stalled(&self, patience: &Patience) {
        tokio::select! {
            () = self.task.stalled(patience, 1) => {}
            () = self.connection.stalled(patience, 2) => {}
        }
        patience.budget.count_stalled();
    }

    /// Runs the task that its answers belong to.
    pub(super) fn scope<F: Future>(&self, task: F) -> impl Future<Output = F::Output> + use<F> {
        SENDING.scope(self.clone(), task)
    }

    fn turn(&self, allowance: Duration) -> Arc<Turn> {
        let turn = Turn { since: Mutex::default(), allowance, sending: self.clone() };
        let turn = Arc::new(turn);
        self.task.add(&turn);
        self.connection.add(&turn);
        turn.begin();
        turn
    }
}

/// The turn that memory of an answer begins; none outside of a connection.
fn memory(bytes: usize) -> Option<Arc<Turn>> {
    #[expect(clippy::cast_precision_loss, reason = "seconds are told well enough")]
    let allowance = Duration::from_secs_f64(bytes as f64 / BYTES_A_SECOND_MIN);
    SENDING.try_with(|sending| sending.turn(allowance)).ok()
}

impl Held {
    /// Bytes that count until the last reference to them is gone, wherever they wait to be sent. What
    /// comes second ends then; there is none where no connection sends them.
    pub(super) fn lend<T>(self, data: T) -> (Bytes, Option<oneshot::Receiver<Infallible>>)
    where
        T: AsRef<[u8]> + Send + 'static,
    {
        let (alive, gone) = oneshot::channel();
        let turn = memory(data.as_ref().len());
        let gone = turn.is_some().then_some(gone);
        (Bytes::from_owner(Lent { data, _held: self, _turn: turn, _alive: alive }), gone)
    }
}

struct Lent<T> {
    data: T,
    _held: Held,
    _turn: Option<Arc<Turn>>,
    _alive: oneshot::Sender<Infallible>,
}

impl<T: AsRef<[u8]>> AsRef<[u8]> for Lent<T> {
    fn as_ref(&self) -> &[u8] {
        self.data.as_ref()
    }
}

/// Since when it is the client's turn; `None` while it is the relay's.
#[derive(Debug)]
pub(super) struct Turn {
    since: Mutex<Option<Instant>>,
    /// How much longer than the usual patience it may take.
    allowance: Duration,
    sending: Sending,
}

impl Turn {
    /// The client has something to take, as of now.
    fn begin(&self) {
        self.begin_at(clock::instant());
    }

    /// As [`Self::begin`]; how long the turn before lasted, if it ends with this one.
    fn begin_at(&self, now: Instant) -> Option<Duration> {
        let before = self.set(Some(now));
        if before.is_none() {
            self.sending.task.begun.notify_one();
            self.sending.connection.begun.notify_one();
        }
        before.map(|since| now.saturating_duration_since(since))
    }

    fn set(&self, since: Option<Instant>) -> Option<Instant> {
        std::mem::replace(&mut self.since.lock(), since)
    }

    /// How long it has been going on beyond its allowance.
    fn lasted(&self, now: Instant) -> Option<Duration> {
        let since = *self.since.lock();
        since.map(|since| now.saturating_duration_since(since + self.allowance))
    }
}

/// The turns that somebody watches.
#[derive(Debug, Default)]
struct Watch {
    turns: Mutex<Vec<Weak<Turn>>>,
    begun: Notify,
}

impl Watch {
    async fn stalled(&self, patience: &Patience, times: u32) {
        loop {
            let bound = patience.now() * times;
            match self.longest() {
                Some(lasted) if lasted >= bound => return,
                // Looked at again and again, for the patience may become less.
                Some(_) => tokio::time::sleep(patience.tight.min(patience.usual) / 4).await,
                None => self.begun.notified().await,
            }
        }
    }

    /// How long the longest turn has lasted; none when it is no client's turn.
    fn longest(&self) -> Option<Duration> {
        let now = clock::instant();
        let turns = self.turns.lock();
        turns.iter().filter_map(Weak::upgrade).filter_map(|turn| turn.lasted(now)).max()
    }

    fn add(&self, turn: &Arc<Turn>) {
        let mut turns = self.turns.lock();
        if turns.len() == turns.capacity() {
            turns.retain(|turn| turn.strong_count() > 0);
        }
        turns.push(Arc::downgrade(turn));
    }
}

/// Runs the streams of one HTTP/2 connection, each until it ends or its client takes nothing.
#[derive(Clone)]
pub(super) struct Streams {
    /// Those of the connection's own task.
    pub(super) connection: Sending,
    pub(super) patience: Patience,
}

impl<F> Executor<F> for Streams
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let patience = self.patience.clone();
        let connection = self.connection.connection.clone();
        tokio::spawn(async move {
            let sending = Sending { task: Arc::default(), connection: Arc::default() };
            let within = Sending { task: sending.task.clone(), connection };
            tokio::select! {
                _ = within.scope(stream) => {}
                // Dropping it resets the stream and frees what waits for it.
                () = sending.stalled(&patience) => {}
            }
        });
    }
}

/// The body of an answer, in slices, which notes whose turn it is.
pub(super) struct Sent {
    inner: Body,
    slice_bytes: usize,
    slice_bytes_max: usize,
    /// Whether a piece was handed over.
    begun: bool,
    rest: Bytes,
    turn: Option<Arc<Turn>>,
}

impl Sent {
    /// Of an answer to a request in this version of HTTP.
    pub(super) fn new(inner: Body, version: Version) -> Self {
        let is_empty = http_body::Body::is_end_stream(&inner);
        let turn = if is_empty { None } else { memory(0) };
        let is_stream = version == Version::HTTP_2;
        let (slice_bytes, slice_bytes_max) = if is_stream {
            (STREAM_SLICE_BYTES, STREAM_SLICE_BYTES)
        } else {
            (SLICE_BYTES, SLICE_BYTES_MAX)
        };
        Self { inner, slice_bytes, slice_bytes_max, begun: false, rest: Bytes::new(), turn }
    }
}

impl http_body::Body for Sent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            let frame = match Pin::new(&mut self.inner).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => frame,
                Poll::Pending => {
                    if let Some(turn) = &self.turn {
                        turn.set(None);
                    }
                    return Poll::Pending;
                }
                end @ Poll::Ready(_) => return end,
            };
            match frame.into_data() {
                Ok(data) => self.rest = data,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
        let took = self.turn.as_ref().and_then(|turn| turn.begin_at(clock::instant()));
        if std::mem::replace(&mut self.begun, true) && took.is_some_and(|took| took <= FAST) {
            self.slice_bytes = (2 * self.slice_bytes).min(self.slice_bytes_max);
        }
        let bytes = self.rest.len().min(self.slice_bytes);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(bytes)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (inner, rest) = (self.inner.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + rest);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}
