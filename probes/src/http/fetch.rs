//! One request and its whole answer, within one deadline and counted byte by byte.

use std::{io, time::Duration};

use bytes::Bytes;
use bytestring::ByteString;
use encoding_rs::{Encoding, UTF_8};
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

pub(super) use super::seen::Seen;
use super::{
    charset,
    decode::{Coding, Codings},
    limits::Limits,
    seen::{self, FIRST_BYTES},
    unpack::{self, Task},
};
use crate::{Budget, FailureKind, Held, Network, budget::SLICE_BYTES};

/// So much room is made on the word of an answer's head; the rest when that much has come.
const EXPECTED_BYTES_MAX: usize = 4 << 20;

/// The first room of a body whose length is not told.
const FIRST_ROOM_BYTES: usize = 64 << 10;

/// What is read of the body of an answer that is no success.
const REFUSAL_BYTES_MAX: usize = 64 << 10;

/// What came back, decoded.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// UTF-8 text without a byte order mark. Of an answer that is no success the first 64 KiB, as
    /// far as they can be read.
    pub(super) body: Bytes,
    /// The same as text, so that nobody has to look whether it is.
    pub(super) text: ByteString,
    /// What the body counts for in the budget.
    pub(super) held: Held,
    /// What was odd about how it was packed, for a person.
    pub(super) warnings: Vec<String>,
}

/// Why there is no whole answer.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) kind: FailureKind,
    /// For a person; names no URL.
    pub(super) problem: String,
    /// What came although it could not be read.
    pub(super) seen: Option<Box<Seen>>,
}

impl Fault {
    pub(super) fn new(kind: FailureKind, problem: impl Into<String>) -> Self {
        Self { kind, problem: problem.into(), seen: None }
    }
}

type Problem = (FailureKind, String);

/// Sends `request` and reads the answer. `charset` is what its body is in whatever it says.
pub(super) async fn fetch(
    network: &Network,
    budget: &Budget,
    request: Request<Bytes>,
    limits: &Limits,
    charset: Option<&'static Encoding>,
    timeout: Duration,
) -> Result<Answer, Fault> {
    let mut coming = Coming::new(budget.begin(claim(limits)), charset);
    let reading = coming.read(network, budget, request, limits);
    let read = tokio::time::timeout(timeout, reading).await;
    let (kind, problem) = match read {
        Ok(Ok(text)) => return coming.answer(text),
        Ok(Err(problem)) => problem,
        Err(_) if coming.is_refusal() => return coming.answer(None),
        Err(_) => (FailureKind::Timeout, coming.late(budget, timeout)),
    };
    Err(coming.fault(kind, problem))
}

/// The most that a page needs at once: what it grows out of and what it grows into.
fn claim(limits: &Limits) -> usize {
    let (wire, decoded) = (limits.wire_bytes_max, limits.decoded_bytes_max);
    let unpacking = wire.max(decoded).saturating_add(decoded);
    unpacking.max(wire.saturating_add(wire / 2)).saturating_add(SLICE_BYTES)
}

/// An answer as far as it has come.
struct Coming {
    held: Held,
    charset: Option<&'static Encoding>,
    head: Option<(StatusCode, HeaderMap)>,
    wire_bytes: u64,
    /// Whether all has come.
    whole: bool,
    /// As it came, or unpacked so far.
    body: Vec<u8>,
    codings: Codings,
    /// What is being undone.
    coding: Option<Coding>,
}

impl Coming {
    fn new(held: Held, charset: Option<&'static Encoding>) -> Self {
        Self {
            held,
            charset,
            head: None,
            wire_bytes: 0,
            whole: false,
            body: Vec::new(),
            codings: Codings::default(),
            coding: None,
        }
    }

    fn is_refusal(&self) -> bool {
        self.head.as_ref().is_some_and(|(status, _)| !status.is_success())
    }

    /// The text of a success, `None` of anything else.
    async fn read(
        &mut self,
        network: &Network,
        budget: &Budget,
        request: Request<Bytes>,
        limits: &Limits,
    ) -> Result<Option<ByteString>, Problem> {
        let answer = network.clone().oneshot(request).await.map_err(|error| no_answer(&error))?;
        let (parts, body) = answer.into_parts();
        self.codings = Codings::announced(&parts.headers);
        let length = parts.headers.get(header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        self.head = Some((parts.status, parts.headers));
        // A producer that takes its time to answer holds nothing.
        self.held.grow(SLICE_BYTES).await;
        if self.is_refusal() {
            // Nothing that goes wrong here hides the status.
            let _ = self.receive(body, None, REFUSAL_BYTES_MAX).await;
            return Ok(None);
        }
        self.receive(body, length, limits.wire_bytes_max).await?;
        self.whole = true;
        self.text(budget, limits).await.map(Some)
    }

    /// Takes the body as it comes, up to `max` bytes.
    async fn receive<B>(
        &mut self,
        mut body: B,
        length: Option<usize>,
        max: usize,
    ) -> Result<(), Problem>
    where
        B: http_body::Body<Data = Bytes, Error = io::Error> + Unpin,
    {
        let length = length.unwrap_or(0).min(max);
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|error| broken_off(&error))?.into_data() else { continue };
            self.wire_bytes += data.len() as u64;
            let room = max - self.body.len();
            if data.len() > room {
                let some = &data[..room.min(REFUSAL_BYTES_MAX.saturating_sub(self.body.len()))];
                self.make_room(some.len(), length, max).await;
                self.body.extend_from_slice(some);
                let problem = format!("the answer is larger than {max} bytes");
                return Err((FailureKind::TooLarge, problem));
            }
            self.make_room(data.len(), length, max).await;
            self.body.extend_from_slice(&data);
        }
        Ok(())
    }

    /// Makes room for `more` bytes: exactly what is held is taken, and while the body moves both
    /// places are held.
    async fn make_room(&mut self, more: usize, length: usize, max: usize) {
        let (needed, has) = (self.body.len() + more, self.body.capacity());
        if needed <= has {
            return;
        }
        let told = if has < EXPECTED_BYTES_MAX { length.min(EXPECTED_BYTES_MAX) } else { length };
        let target = if told > has { told } else { has.saturating_mul(2).max(FIRST_ROOM_BYTES) };
        let target = target.min(max).max(needed);
        self.held.grow(has + target).await;
        let mut moved = Vec::with_capacity(target);
        moved.extend_from_slice(&self.body);
        self.body = moved;
        self.held.shrink(self.body.capacity().max(SLICE_BYTES));
    }

    /// Unpacks the body and makes it UTF-8.
    async fn text(&mut self, budget: &Budget, limits: &Limits) -> Result<ByteString, Problem> {
        let malformed = |problem| (FailureKind::Malformed, problem);
        let max = limits.decoded_bytes_max;
        loop {
            self.coding = self.codings.next(&self.body).map_err(malformed)?;
            let Some(coding) = self.coding else { break };
            self.turn_into(Task::Unpack(coding), budget, max).await?;
        }
        let empty = HeaderMap::new();
        let headers = self.head.as_ref().map_or(&empty, |(_, headers)| headers);
        let reading =
            charset::decide(&self.body, headers, self.charset, &mut self.codings.warnings)
                .map_err(malformed)?;
        if self.body.len() > max {
            let problem = format!("the answer is larger than {max} bytes when decoded");
            return Err((FailureKind::TooLarge, problem));
        }
        if reading.encoding != UTF_8 {
            self.body.drain(..reading.mark_bytes);
            self.turn_into(Task::Convert(reading.encoding), budget, max).await?;
        }
        self.held.settle(self.body.capacity());
        let body = Bytes::from(std::mem::take(&mut self.body));
        // The one look at whether it is UTF-8; the text carries what came of it.
        let whole = ByteString::try_from(body.clone()).map_err(|error| {
            self.body = body.into();
            malformed(charset::no_utf_8(&self.body, error.valid_up_to()))
        })?;
        let mark = if reading.encoding == UTF_8 { reading.mark_bytes } else { 0 };
        let text = charset::without_marks(&whole[mark..], &mut self.codings.warnings);
        Ok(if text.len() == whole.len() { whole } else { whole.slice_ref(text) })
    }

    async fn turn_into(&mut self, task: Task, budget: &Budget, max: usize) -> Result<(), Problem> {
        let capacity = self.body.capacity();
        let making = unpack::make(task, &self.body, capacity, &mut self.held, budget, max);
        let (body, odd) = making.await?;
        self.codings.warnings.extend(odd);
        self.body = body;
        self.held.shrink(self.body.capacity());
        Ok(())
    }

    fn answer(mut self, text: Option<ByteString>) -> Result<Answer, Fault> {
        let text = match text {
            Some(text) => text,
            None => ByteString::from(
                String::from_utf8_lossy(&self.first(REFUSAL_BYTES_MAX)).into_owned(),
            ),
        };
        if self.is_refusal() {
            self.held.settle(text.len());
        }
        let Self { held, head, codings, .. } = self;
        let Some((status, headers)) = head else {
            return Err(Fault::new(FailureKind::Malformed, "there is no answer"));
        };
        let body = text.as_bytes().clone();
        Ok(Answer { status, headers, body, text, held, warnings: codings.warnings })
    }

    /// Why nothing was read in time.
    fn late(&self, budget: &Budget, timeout: Duration) -> String {
        if self.held.waits() {
            let bytes = budget.total_bytes();
            return format!(
                "no memory for the page within {timeout:?}: all of `limits.walk_bytes_max`, \
                 {bytes} bytes, is held by other pages; raise it, or lower `limits.walks_max`"
            );
        }
        if self.whole {
            return format!(
                "the whole answer came but was not unpacked within {timeout:?}: too many large \
                 answers at once; raise `timeout`, or lower `limits.walks_max`"
            );
        }
        format!("no whole answer within {timeout:?}")
    }

    fn fault(mut self, kind: FailureKind, mut problem: String) -> Fault {
        if kind == FailureKind::Malformed {
            for warning in &self.codings.warnings {
                problem = format!("{problem}; {warning}");
            }
        }
        let first = self.first(FIRST_BYTES).into();
        let bytes = self.wire_bytes;
        let seen = self.head.map(|(status, headers)| Seen { status, headers, bytes, first });
        Fault { kind, problem, seen: seen.map(Box::new) }
    }

    /// The first bytes of the body, as far as they can be had.
    fn first(&mut self, max: usize) -> Vec<u8> {
        let Some((_, headers)) = &self.head else { return Vec::new() };
        let (coding, charset) = (self.coding.take(), self.charset);
        seen::first(&self.body, coding, &mut self.codings, headers, charset, max)
    }
}

fn no_answer(error: &io::Error) -> Problem {
    let kind = match error.kind() {
        io::ErrorKind::PermissionDenied => FailureKind::Forbidden,
        io::ErrorKind::TimedOut => FailureKind::Timeout,
        io::ErrorKind::ResourceBusy => FailureKind::Machine,
        _ => FailureKind::Unreachable,
    };
    (kind, format!("no answer: {error}"))
}

fn broken_off(error: &io::Error) -> Problem {
    let (kind, _) = no_answer(error);
    (kind, format!("the answer broke off: {error}"))
}
