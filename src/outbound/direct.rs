//! HTTP/1.1 over connections that are driven by whoever uses them.
//!
//! Between a general client and the socket lie a task for each connection and two channels for each
//! request. A webhook is one small request and one small answer, so whoever waits for the answer
//! moves the connection himself, and an idle one needs nobody.

use std::{
    collections::HashMap,
    future::poll_fn,
    io::{Error, ErrorKind},
    pin::{Pin, pin},
    sync::{Arc, Mutex, PoisonError, Weak},
    task::{Context, Poll, Waker},
    thread::{self, ThreadId},
    time::Instant,
};

use bytes::Bytes;
use http::{
    HeaderValue, Request, Response, header,
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

use super::{
    Body, Guard, HEAD_BYTES_MAX, HEAD_FIELDS_MAX, IDLE_FOR, IDLE_PER_HOST, Refused, forbidden,
    stream::{Stream, host_of},
    translate,
};

/// Who is connected to, and the thread whose reactor knows the socket: on another one each answer
/// would have to be handed over.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Peer {
    scheme: Scheme,
    authority: Authority,
    thread: ThreadId,
}

/// The connections of one network.
pub(super) struct Direct {
    guard: Guard,
    tls: Arc<ClientConfig>,
    idle: Arc<Idle>,
}

/// Connections that wait for a request, the freshest last.
#[derive(Default)]
struct Idle(Mutex<HashMap<Peer, Vec<(Connection, Instant)>>>);

/// One connection. It moves only while it is polled.
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// In a place of its own, for it is large and handed on several times in each request.
    socket: Box<http1::Connection<TokioIo<Stream>, Full<Bytes>>>,
    /// From when on its name may have other addresses, so that it takes no more requests.
    stale: Instant,
}

impl Direct {
    /// Vets by `guard`, and trusts by `tls`.
    pub(super) fn new(guard: Guard, tls: ClientConfig) -> Self {
        Self { guard, tls: Arc::new(tls), idle: Arc::default() }
    }

    /// Sends a request, and gives what was said first.
    pub(super) async fn exchange(&self, request: Request<Bytes>) -> Result<Response<Body>, Error> {
        let (peer, mut request) = prepare(request)?;
        // What else is being made ready goes out right behind this: a receiver that falls asleep
        // between two requests is dear to wake.
        tokio::task::yield_now().await;
        // An idle connection may have ended unnoticed: what was not sent over it is sent anew.
        while let Some(connection) = self.idle.take(&peer) {
            match connection.send(request).await {
                Ok((response, connection)) => return Ok(self.answer(response, connection, peer)),
                Err(Unsent { request: Some(unsent), .. }) => request = unsent,
                Err(Unsent { error, .. }) => return Err(error),
            }
        }
        // Apart, for it is large and rare.
        let connection = Box::pin(self.connect(&peer)).await?;
        match connection.send(request).await {
            Ok((response, connection)) => Ok(self.answer(response, connection, peer)),
            Err(Unsent { error, .. }) => Err(error),
        }
    }

    async fn connect(&self, peer: &Peer) -> Result<Connection, Error> {
        let opened = Instant::now();
        let host = host_of(&peer.authority)?;
        let is_secure = peer.scheme == Scheme::HTTPS;
        let port = peer.authority.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
        let mut stream = Stream::open(&self.guard, &host, port).await?;
        if is_secure {
            stream = stream.secure(host, self.tls.clone()).await?;
        }
        let (sender, socket) = http1::Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .max_headers(HEAD_FIELDS_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| translate(&error))?;
        let stale = opened + self.guard.connection_max;
        Ok(Connection { sender, socket: Box::new(socket), stale })
    }

    fn answer(
        &self,
        response: Response<Incoming>,
        connection: Option<Connection>,
        peer: Peer,
    ) -> Response<Body> {
        response.map(|incoming| {
            let rest = connection.map(|connection| (connection, peer, self.idle.clone()));
            let mut body = Driven { incoming, rest };
            if body.is_end_stream() {
                body.give_back();
            }
            body.boxed_unsync()
        })
    }
}

/// A request as the first line wants it, and whom it goes to.
fn prepare(request: Request<Bytes>) -> Result<(Peer, Request<Full<Bytes>>), Error> {
    let mut request = request.map(Full::new);
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
    Ok((Peer { scheme, authority, thread: thread::current().id() }, request))
}

/// A request that got no answer.
struct Unsent {
    error: Error,
    /// The request, when nothing of it went out.
    request: Option<Request<Full<Bytes>>>,
}

impl Connection {
    /// Moves the connection; whether it has ended.
    fn drive(&mut self, context: &mut Context<'_>) -> bool {
        // How it ended is told to the request.
        Pin::new(&mut self.socket).poll(context).is_ready()
    }

    /// Whether it can take a request at once: it is not stale, has not ended as far as can be seen,
    /// and all of the last request went out, although that was answered.
    fn is_ready(&mut self) -> bool {
        Instant::now() < self.stale
            && !self.drive(&mut Context::from_waker(Waker::noop()))
            && self.sender.is_ready()
    }

    /// Sends a request and gives what was said first, and the connection if that goes on.
    async fn send(
        mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<(Response<Incoming>, Option<Self>), Unsent> {
        let ready = poll_fn(|context| {
            if self.drive(context) {
                return Poll::Ready(false);
            }
            self.sender.poll_ready(context).map(|ready| ready.is_ok())
        });
        if !ready.await {
            let error = Error::from(ErrorKind::ConnectionReset);
            return Err(Unsent { error, request: Some(request) });
        }
        let Self { mut sender, socket, stale } = self;
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
            Ok(response) => Ok((response, socket.map(|socket| Self { sender, socket, stale }))),
            Err(mut refused) => {
                let request = refused.take_message();
                Err(Unsent { error: translate(&refused.into_error()), request })
            }
        }
    }
}

impl Idle {
    /// The connection that was used last.
    fn take(&self, peer: &Peer) -> Option<Connection> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_peer = idle.get_mut(peer)?;
        while let Some((mut connection, since)) = of_peer.pop() {
            // The other side may have closed it.
            if since.elapsed() < IDLE_FOR && connection.is_ready() {
                return Some(connection);
            }
        }
        None
    }

    fn put(self: &Arc<Self>, peer: Peer, connection: Connection) {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.is_empty() {
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
        let of_peer = idle.entry(peer).or_default();
        if of_peer.len() < IDLE_PER_HOST {
            of_peer.push((connection, Instant::now()));
        }
    }

    /// Closes what has waited for too long; whether some wait still.
    fn expire(&self) -> bool {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|_, of_peer| {
            of_peer.retain(|(_, since)| since.elapsed() < IDLE_FOR);
            !of_peer.is_empty()
        });
        !idle.is_empty()
    }
}

/// Closes idle connections as long as there are some.
async fn sweep(idle: Weak<Idle>) {
    loop {
        tokio::time::sleep(IDLE_FOR / 4).await;
        if !idle.upgrade().is_some_and(|idle| idle.expire()) {
            return;
        }
    }
}

/// An answer's body, and the connection it comes over.
struct Driven {
    incoming: Incoming,
    /// As long as it goes on.
    rest: Option<(Connection, Peer, Arc<Idle>)>,
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
        frame.map_err(|error| translate(&error))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
