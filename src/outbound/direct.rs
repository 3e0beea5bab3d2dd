//! HTTP/1.1 over connections that are driven by whoever uses them.
//!
//! Between a general client and the socket lie a task for each connection and two channels for each
//! request. A webhook is one small request and one small answer, so whoever waits for the answer
//! moves the connection himself, and an idle one needs nobody.

use std::{
    future::poll_fn,
    io::{Error, ErrorKind},
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
    thread::{self, ThreadId},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderValue, Request, Response, StatusCode, header,
    uri::{Authority, PathAndQuery, Scheme},
};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::time::Instant;

use sinks::{Asked, Manner};

use super::{
    Body, Guard, IDLE_FOR, Refused,
    bounds::{TooLarge, WEBHOOKS, is_too_large},
    forbidden,
    idle::{Idle, Rest, idle_for},
    stream::{Stream, host_of},
    translate,
    watched::{Seen, Watched},
    with_address,
};
use crate::clock;

/// Who is connected to, how fields are spelt there, and the thread whose reactor knows the socket:
/// on another one each answer would have to be handed over.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Peer {
    scheme: Scheme,
    authority: Authority,
    title_case: bool,
    thread: ThreadId,
}

/// Connections that wait for a request.
type Waiting = Idle<Peer, Connection>;

/// The connections of one network.
pub(super) struct Direct {
    guard: Guard,
    tls: Arc<ClientConfig>,
    idle: Arc<Waiting>,
}

/// One connection. It moves only while it is polled.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// In a place of its own, for it is large and handed on several times in each request.
    socket: Box<http1::Connection<TokioIo<Watched>, Full<Bytes>>>,
    terms: Terms,
}

/// What is known of a connection.
#[derive(Clone)]
struct Terms {
    seen: Arc<Seen>,
    /// From when on its name may have other addresses, so that it takes no more requests.
    stale: Instant,
    /// How long it may be idle.
    idle_for: Duration,
}

impl Direct {
    /// Vets by `guard`, and trusts by `tls`.
    pub(super) fn new(guard: Guard, tls: ClientConfig) -> Self {
        Self { guard, tls: Arc::new(tls), idle: Arc::default() }
    }

    /// Sends a request, and gives what was said first.
    pub(super) async fn exchange(&self, request: Request<Bytes>) -> Result<Response<Body>, Error> {
        let (Wanted { peer, once, asked }, mut request) = prepare(request)?;
        // What else is being made ready goes out right behind this: a receiver that falls asleep
        // between two requests is dear to wake.
        tokio::task::yield_now().await;
        // Nobody knows what the other side has read of a request over a connection that it was
        // closing: what must not be sent twice goes over one of its own.
        while !once && let Some(connection) = self.idle.take(&peer) {
            asked.note(connection.terms.seen.address());
            let again = request.clone();
            match connection.send(request).await {
                // So some say that it was idle for too long, and mean no request (RFC 9110, 15.5.9).
                Ok((response, _)) if is_farewell(&response) => {
                    self.guard.resends.inc();
                    request = again;
                    break;
                }
                Ok((response, connection)) => return Ok(self.answer(response, connection, peer)),
                // It had ended unnoticed, and nothing went out.
                Err(Unanswered { request: Some(unsent), .. }) => request = unsent,
                // It ended under the request, as idle ones are closed: that is no attempt.
                Err(Unanswered { is_untouched: true, .. }) => {
                    self.guard.resends.inc();
                    request = again;
                    break;
                }
                Err(failed) => return failed.end(),
            }
        }
        // Apart, for it is large and rare.
        let connection = Box::pin(self.connect(&peer)).await?;
        asked.note(connection.terms.seen.address());
        match connection.send(request).await {
            Ok((response, connection)) => Ok(self.answer(response, connection, peer)),
            Err(failed) => failed.end(),
        }
    }

    async fn connect(&self, peer: &Peer) -> Result<Connection, Error> {
        let opened = clock::instant();
        let host = host_of(&peer.authority)?;
        let is_secure = peer.scheme == Scheme::HTTPS;
        let port = peer.authority.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
        let mut stream = Stream::open(&self.guard, &host, port).await?;
        let address = stream.address()?;
        if is_secure {
            let secured = stream.secure(host, self.tls.clone()).await;
            stream = secured.map_err(|error| with_address(address, &error))?;
        }
        let stream = Watched::new(stream, Some(address));
        let stale = opened + self.guard.connection_max;
        let terms = Terms { seen: stream.seen(), stale, idle_for: IDLE_FOR };
        let (sender, socket) = http1::Builder::new()
            .max_buf_size(WEBHOOKS.bytes)
            .max_headers(WEBHOOKS.fields)
            .title_case_headers(peer.title_case)
            // Who asks has to read a folded line (RFC 9112, section 5.2).
            .allow_obsolete_multiline_headers_in_responses(true)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| translate(&error))?;
        Ok(Connection { sender, socket: Box::new(socket), terms })
    }

    fn answer(
        &self,
        response: Response<Incoming>,
        connection: Option<Connection>,
        peer: Peer,
    ) -> Response<Body> {
        response.map(|incoming| {
            let address = connection.as_ref().and_then(|open| open.terms.seen.address());
            let rest = connection.map(|connection| (connection, peer, self.idle.clone()));
            let mut body = Driven { incoming, address, rest };
            if body.is_end_stream() {
                body.give_back();
            }
            body.boxed_unsync()
        })
    }
}

/// A request as the first line wants it, and whom it goes to.
fn prepare(request: Request<Bytes>) -> Result<(Wanted, Request<Full<Bytes>>), Error> {
    let mut request = request.map(Full::new);
    let mut extensions = std::mem::take(request.extensions_mut());
    let Manner { once, title_case } = extensions.remove().unwrap_or_default();
    let asked = extensions.remove().unwrap_or_default();
    let uri = std::mem::take(request.uri_mut()).into_parts();
    let (Some(scheme), Some(authority)) = (uri.scheme, uri.authority) else {
        return Err(Error::other("expected an absolute URL"));
    };
    if scheme != Scheme::HTTP && scheme != Scheme::HTTPS {
        return Err(forbidden(Refused::Scheme(scheme.to_string())));
    }
    let path = uri.path_and_query.unwrap_or_else(|| PathAndQuery::from_static("/"));
    *request.uri_mut() = path.into();
    let host = HeaderValue::from_str(authority.as_str()).map_err(Error::other)?;
    request.headers_mut().insert(header::HOST, host);
    if once {
        request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let peer = Peer { scheme, authority, title_case, thread: thread::current().id() };
    Ok((Wanted { peer, once, asked }, request))
}

/// How a request is to be sent.
struct Wanted {
    peer: Peer,
    once: bool,
    asked: Asked,
}

fn is_farewell(response: &Response<Incoming>) -> bool {
    let closes = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"close");
    response.status() == StatusCode::REQUEST_TIMEOUT
        && response.headers().get(header::CONNECTION).is_some_and(closes)
}

/// A request that got no answer that can be read.
struct Unanswered {
    error: Error,
    /// The request, when nothing of it went out.
    request: Option<Request<Full<Bytes>>>,
    /// A connection that had served before broke, and nothing of an answer had come.
    is_untouched: bool,
    /// The status of an answer whose head is too large.
    status: Option<StatusCode>,
}

impl Unanswered {
    fn end(self) -> Result<Response<Body>, Error> {
        self.status.map(|status| WEBHOOKS.cut(status)).ok_or(self.error)
    }
}

impl Connection {
    /// Moves the connection; whether it has ended.
    fn drive(&mut self, context: &mut Context<'_>) -> bool {
        // How it ended is told to the request.
        Pin::new(&mut self.socket).poll(context).is_ready()
    }

    /// Sends a request and gives what was said first, and the connection if that goes on.
    async fn send(
        mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<(Response<Incoming>, Option<Self>), Unanswered> {
        let ready = poll_fn(|context| {
            if self.drive(context) {
                return Poll::Ready(false);
            }
            self.sender.poll_ready(context).map(|ready| ready.is_ok())
        });
        if !ready.await {
            let error = self.terms.seen.locate(Error::from(ErrorKind::ConnectionReset));
            let request = Some(request);
            return Err(Unanswered { error, request, is_untouched: false, status: None });
        }
        let Self { mut sender, socket, mut terms } = self;
        let mut socket = Some(socket);
        let answer = {
            let mut answer = pin!(sender.try_send_request(request));
            poll_fn(|context| {
                // A connection that has ended holds a request that it did not begin until it is
                // gone itself.
                if let Some(open) = &mut socket
                    && Pin::new(open).poll(context).is_ready()
                {
                    socket = None;
                }
                answer.as_mut().poll(context)
            })
            .await
        };
        match answer {
            Ok(response) if !WEBHOOKS.hold(response.headers()) => Err(Unanswered {
                request: None,
                is_untouched: false,
                status: Some(response.status()),
                error: Error::other(TooLarge),
            }),
            Ok(response) => {
                terms.idle_for = idle_for(response.headers());
                Ok((response, socket.map(|socket| Self { sender, socket, terms })))
            }
            Err(mut refused) => {
                let request = refused.take_message();
                let error = translate(&refused.into_error());
                let broke = error.kind() == ErrorKind::ConnectionReset;
                Err(Unanswered {
                    request,
                    is_untouched: broke && terms.seen.is_untouched(),
                    status: terms.seen.status().filter(|_| is_too_large(&error)),
                    error: terms.seen.locate(WEBHOOKS.explain(error)),
                })
            }
        }
    }
}

impl Rest for Connection {
    /// It has not ended as far as can be seen, and all of the last request went out, although that
    /// was answered.
    fn is_ready(&mut self) -> bool {
        !self.drive(&mut Context::from_waker(Waker::noop())) && self.sender.is_ready()
    }

    fn until(&self, now: Instant) -> Instant {
        self.terms.stale.min(now + self.terms.idle_for)
    }
}

/// An answer's body, and the connection it comes over.
struct Driven {
    incoming: Incoming,
    /// Who answers.
    address: Option<SocketAddr>,
    /// As long as it goes on.
    rest: Option<(Connection, Peer, Arc<Waiting>)>,
}

impl Driven {
    /// Keeps the connection for the next request; there is nothing more to come.
    fn give_back(&mut self) {
        if let Some((mut connection, peer, idle)) = self.rest.take()
            // It takes note of the end.
            && connection.is_ready()
        {
            idle.put(peer, connection);
        }
    }
}

impl http_body::Body for Driven {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Some((connection, ..)) = &mut self.rest
            && connection.drive(context)
        {
            // What it has brought is in the body by now.
            self.rest = None;
        }
        let frame = Pin::new(&mut self.incoming).poll_frame(context);
        // A body without a length only ends when it says so.
        if matches!(frame, Poll::Ready(None)) || self.incoming.is_end_stream() {
            self.give_back();
        }
        let address = self.address;
        frame.map_err(|error| match (translate(&error), address) {
            (error, Some(address)) => with_address(address, &error),
            (error, None) => error,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
