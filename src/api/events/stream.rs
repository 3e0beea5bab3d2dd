//! Events without an end of page: NDJSON up to the head, Server-Sent Events that follow it.
//!
//! A stream reads a small page, hands it to the connection, and reads the next one when the last byte
//! of that has left; between pages it holds nothing but its position.
//!
//! An event that the filter fails on is passed over and told in its place: in an event stream by
//! `event: skipped`, in lines by a line whose only member is `skipped`, which no event has.

use std::{collections::VecDeque, convert::Infallible, io, time::Duration};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::stream;
use http::header;
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};

use super::{
    media::Media,
    selection::{Found, Selection, Skipped},
};
use crate::{
    api::{ApiState, budget::Room, problem::Problem},
    event::{Event, Micros, Version},
    store::TopicState,
    wire,
};

/// How long an event stream is silent at most.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a stream waits for room in the byte budget.
const ROOM_WAIT: Duration = Duration::from_mins(1);
const CHUNK_EVENTS: usize = 1_000;
/// The comment that an event stream begins with. It goes out at once, and is long enough for those
/// in between that wait for a first piece before they pass anything on.
const OPENING_BYTES: usize = 2 << 10;

struct Follow {
    api: ApiState,
    selection: Selection,
    left: Option<usize>,
    /// How long NDJSON waits at the head; event streams wait for ever.
    wait: Option<Duration>,
    sse: bool,
    head: watch::Receiver<Version>,
    told: Told,
    /// Since when nothing came that is told, by the steady reading; of lines, at the head alone.
    silent_since: Option<Micros>,
    done: bool,
    /// Ends when the last chunk has left.
    taken: Option<oneshot::Receiver<Infallible>>,
    _place: OwnedSemaphorePermit,
}

/// What a reader has been told.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    /// Nothing yet.
    Nothing,
    /// That the stream has begun.
    Opening,
    /// Where it stands, or an event.
    Position,
}

/// Why a stream at the head goes on.
enum Wake {
    /// There may be something new.
    Look,
    /// Nothing came for as long as one waits.
    Quiet,
    /// The relay is stopping.
    Stop,
}

/// Answers with a stream of the selection.
pub(super) async fn answer(
    api: &ApiState,
    selection: Selection,
    media: Media,
    left: Option<usize>,
    wait: Option<Duration>,
) -> Result<Response, Problem> {
    // Told while there is an answer to tell it by.
    api.budget.begin_stream()?;
    let follow = Follow {
        head: api.store.head(&selection.topic).await?,
        _place: api.take_place()?,
        api: api.clone(),
        selection,
        left,
        wait,
        sse: media == Media::Sse,
        told: if media == Media::Sse { Told::Nothing } else { Told::Opening },
        silent_since: None,
        done: false,
        taken: None,
    };
    let chunks = stream::unfold(follow, |mut follow| async move {
        let chunk = follow.chunk().await?;
        follow.silent_since = None;
        Some((chunk, follow))
    });
    let headers = [
        (header::CONTENT_TYPE, media.name()),
        // What compresses on the way holds back what it has to compress.
        (header::CACHE_CONTROL, "no-store, no-transform"),
        (header::VARY, "Accept, Accept-Encoding"),
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Body::from_stream(chunks)).into_response())
}

/// As a constant, for every reader is sent the same.
const OPENING: [u8; OPENING_BYTES] = {
    let mut out = [b'-'; OPENING_BYTES];
    (out[0], out[1]) = (b':', b' ');
    (out[OPENING_BYTES - 2], out[OPENING_BYTES - 1]) = (b'\n', b'\n');
    out
};

impl Follow {
    /// The next bytes, or the end.
    async fn chunk(&mut self) -> Option<io::Result<Bytes>> {
        if self.told == Told::Nothing {
            self.told = Told::Opening;
            return Some(Ok(Bytes::from_static(&OPENING)));
        }
        while !self.done && !self.api.stopping.is_cancelled() {
            let mut room = match self.room().await? {
                Ok(room) => room,
                Err(problem) => return Some(self.fail(&problem)),
            };
            self.head.borrow_and_update();
            let wanted = self.left.unwrap_or(CHUNK_EVENTS).min(CHUNK_EVENTS);
            let look = self.selection.look(&self.api, CHUNK_EVENTS, wanted, room.bytes).await;
            let found = match look {
                Ok(found) => found,
                Err(problem) => return Some(self.fail(&problem)),
            };
            self.left = self.left.map(|left| left - found.events.len());
            self.done = self.selection.is_done() || self.left == Some(0);
            if !found.events.is_empty() || !found.skipped.is_empty() {
                self.told = Told::Position;
                let chunk = self.encode(&found);
                if let Err(problem) = room.held.fit(&self.api.budget, chunk.capacity()) {
                    return Some(self.fail(&problem));
                }
                let (chunk, taken) = room.held.lend(chunk);
                self.taken = taken;
                return Some(Ok(chunk));
            }
            drop(room);
            if self.sse || found.looked == 0 {
                self.silent_since.get_or_insert(self.api.clock.steady());
            }
            // What is passed over may go on for ever.
            if self.sse && self.silence_ends() <= self.api.clock.steady() {
                self.told = Told::Position;
                return Some(Ok(self.position(&found.state)));
            }
            if found.looked > 0 || self.done {
                continue;
            }
            if self.sse && self.told != Told::Position {
                self.told = Told::Position;
                return Some(Ok(self.position(&found.state)));
            }
            match self.wake().await {
                Ok(Wake::Look) => {}
                Ok(Wake::Quiet) if self.sse => return Some(Ok(self.position(&found.state))),
                Ok(Wake::Quiet | Wake::Stop) => self.done = true,
                Err(problem) => return Some(self.fail(&problem)),
            }
        }
        None
    }

    /// Room for the next chunk, when the last one has left; none when the relay is stopping.
    async fn room(&mut self) -> Option<Result<Room, Problem>> {
        let api = self.api.clone();
        let room = async {
            if let Some(taken) = self.taken.take() {
                let _ = taken.await;
            }
            let budget = &api.budget;
            tokio::time::timeout(ROOM_WAIT, budget.chunk())
                .await
                .unwrap_or_else(|_| Err(budget.busy()))
        };
        tokio::select! {
            room = room => Some(room),
            () = api.stopping.cancelled() => None,
        }
    }

    /// When the reader is told where it stands, or the lines end, if nothing comes.
    fn silence_ends(&self) -> Micros {
        let wait = if self.sse { HEARTBEAT } else { self.wait.unwrap_or_default() };
        self.silent_since.unwrap_or_else(|| self.api.clock.steady()).plus(wait)
    }

    /// Waits at the head.
    async fn wake(&mut self) -> Result<Wake, Problem> {
        let end = self.silence_ends();
        if end <= self.api.clock.steady() {
            return Ok(Wake::Quiet);
        }
        tokio::select! {
            changed = self.head.changed() => {
                if changed.is_err() {
                    // The topic has gone, or come back.
                    self.head = self.api.store.head(&self.selection.topic).await?;
                }
                Ok(Wake::Look)
            }
            () = self.api.clock.until(end) => Ok(Wake::Quiet),
            () = self.api.stopping.cancelled() => Ok(Wake::Stop),
        }
    }

    /// What was found and what was passed over, in version order.
    fn encode(&self, found: &Found) -> Vec<u8> {
        let bytes = found.events.iter().map(|event| wire::bytes_of(event)).sum();
        let mut out = Vec::with_capacity(bytes);
        let mut skipped: VecDeque<&Skipped> = found.skipped.iter().collect();
        for event in &found.events {
            while let Some(one) = skipped.pop_front_if(|one| one.version < event.version) {
                self.write_skipped(&mut out, one, &found.state);
            }
            self.write(&mut out, event, &found.state);
        }
        for one in skipped {
            self.write_skipped(&mut out, one, &found.state);
        }
        out
    }

    fn write_skipped(&self, out: &mut Vec<u8>, skipped: &Skipped, state: &TopicState) {
        let told = serde_json::json!(skipped);
        let text = if self.sse {
            let id = state.cursor(skipped.version);
            format!("event: skipped\nid: {id}\ndata: {told}\n\n")
        } else {
            format!("{{\"skipped\":{told}}}\n")
        };
        out.extend_from_slice(text.as_bytes());
    }

    fn write(&self, out: &mut Vec<u8>, event: &Event, state: &TopicState) {
        if self.sse {
            out.extend_from_slice(format!("id: {}\ndata: ", event.cursor()).as_bytes());
        }
        wire::write_line(out, event, &state.topic);
        out.extend_from_slice(if self.sse { b"\n\n" } else { b"\n" });
    }

    /// A block that only says where the reader stands.
    fn position(&self, state: &TopicState) -> Bytes {
        format!("id: {}\n\n", state.cursor(self.selection.after)).into()
    }

    /// Ends the stream: told as an event where the form has a place for it, else by breaking off,
    /// so that nobody takes the end for the head.
    fn fail(&mut self, problem: &Problem) -> io::Result<Bytes> {
        self.done = true;
        if self.sse {
            Ok(format!("event: problem\ndata: {}\n\n", problem.to_json()).into())
        } else {
            Err(io::Error::other(problem.detail.clone()))
        }
    }
}
