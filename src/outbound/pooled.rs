//! The network of probes, and of webhooks behind a proxy: a general client with a pool, over
//! connections that lead to vetted addresses.
//!
//! The target of a request goes out byte for byte as the request has it: nothing here reads it.

use std::{
    collections::HashMap,
    io::{Error, ErrorKind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{
    Extensions, HeaderValue, Request, Response, StatusCode, Uri, header,
    uri::{Authority, PathAndQuery, Scheme},
};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{
    client::legacy::{
        self,
        connect::{capture_connection, proxy::Tunnel},
    },
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use parking_lot::Mutex;
use rustls::ClientConfig;
use sinks::Manner;
use tokio::time::Instant;
use tower::{ServiceExt as _, service_fn};
use url::Host;

use self::link::Link;
use super::{
    Body, Guard, IDLE_FOR, IDLE_PER_HOST, Refused,
    bounds::{Bounds, PRODUCERS, TooLarge, WEBHOOKS, is_too_large},
    forbidden,
    proxy::{Proxy, Through, blame},
    stream::{Stream, host_of},
    tls, translate,
    watched::{Seen, Watched},
    with_address,
};
use crate::clock;

mod link;

/// How much of the body of a webhook's answer may be on its way by HTTP/2.
const STREAM_BYTES: u32 = 64 << 10;
/// How much of all of them over one connection.
const CONNECTION_BYTES: u32 = 1 << 20;

type Client = legacy::Client<Connector, Full<Bytes>>;

/// Clients that are replaced before the addresses they know are too old.
pub(super) struct Pooled {
    connector: Connector,
    /// Whether the status of an answer is worth something without its head.
    is_for_webhooks: bool,
    /// One for each manner that was asked for, all of one age.
    current: Mutex<(HashMap<Manner, Client>, Instant)>,
}

impl Pooled {
    /// Vets by `guard`, goes through its proxy, and trusts by `config`.
    pub(super) fn new(
        guard: Guard,
        mut config: ClientConfig,
        is_for_webhooks: bool,
    ) -> Result<Self, String> {
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let proxy = guard.proxy.as_deref().map(Proxy::of).transpose()?;
        let of_proxy = if proxy.as_ref().is_some_and(|proxy| proxy.is_secure) {
            Some(Arc::new(tls::config(None)?))
        } else {
            None
        };
        let paths = Paths { guard, tls: Arc::new(config), proxy, of_proxy };
        let connector = Connector(Arc::new(paths));
        let current = Mutex::new((HashMap::new(), clock::instant()));
        Ok(Self { connector, is_for_webhooks, current })
    }

    /// Sends a request, and gives what was said first.
    pub(super) async fn exchange(&self, request: Request<Bytes>) -> Result<Response<Body>, Error> {
        let paths = &self.connector.0;
        let (mut request, host) = prepare(request)?;
        paths.guard.check_host(&host).map_err(forbidden)?;
        let through = paths.through(request.uri());
        if through != Through::Nothing
            && let Host::Domain(name) = &host
        {
            paths.guard.vetted(name).await?;
        }
        if let (Through::Relay, Some(proxy)) = (through, &paths.proxy)
            && let Some(authorization) = &proxy.authorization
        {
            request.headers_mut().insert(header::PROXY_AUTHORIZATION, authorization.clone());
        }
        let manner = request.extensions_mut().remove::<Manner>().unwrap_or_default();
        if manner.once {
            request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        let response = self.send(request, manner).await?;
        through.check(response.status())?;
        Ok(response)
    }

    /// Sends a request, and once more if the connection that was kept for it had ended.
    async fn send(
        &self,
        request: Request<Full<Bytes>>,
        manner: Manner,
    ) -> Result<Response<Body>, Error> {
        let client = self.client(manner);
        let again = request.clone();
        let bounds = self.bounds();
        let sent = match send_once(&client, request, bounds).await {
            Err(failed) if failed.is_untouched() && !manner.once => {
                self.connector.0.guard.resends.inc();
                // One of which none is kept has to open another.
                let fresh = self.client(Manner { once: true, ..manner });
                send_once(&fresh, again, bounds).await
            }
            sent => sent,
        };
        sent.or_else(|failed| match failed.status() {
            Some(status) if self.is_for_webhooks => Ok(bounds.cut(status)),
            _ => Err(failed.located(bounds)),
        })
    }

    const fn bounds(&self) -> &'static Bounds {
        if self.is_for_webhooks { &WEBHOOKS } else { &PRODUCERS }
    }

    /// The client of the present. With the one before go its connections, as soon as nobody uses
    /// them: so none takes a request later than that after it was opened.
    fn client(&self, manner: Manner) -> Client {
        let mut current = self.current.lock();
        if current.1.elapsed() >= self.connector.0.guard.connection_max {
            *current = (HashMap::new(), clock::instant());
        }
        let client = current.0.entry(manner).or_insert_with(|| self.build(manner));
        client.clone()
    }

    fn build(&self, manner: Manner) -> Client {
        let bounds = self.bounds();
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        if self.is_for_webhooks {
            // More than so much of an answer nobody reads; without this it may be 2 MiB of each.
            builder.http2_initial_stream_window_size(STREAM_BYTES);
            builder.http2_initial_connection_window_size(CONNECTION_BYTES);
        }
        builder
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(if manner.once { 0 } else { IDLE_PER_HOST })
            .pool_idle_timeout(IDLE_FOR)
            .http1_title_case_headers(manner.title_case)
            // As RFC 9112, section 5.2, wants it.
            .http1_allow_obsolete_multiline_headers_in_responses(true)
            .http1_max_headers(bounds.fields)
            .http1_max_buf_size(bounds.bytes)
            .http2_max_header_list_size(bounds.list_bytes())
            .build(self.connector.clone())
    }
}

/// A request that got no answer that can be read.
struct Unanswered {
    error: Error,
    /// The status of an answer that was read, but whose head is too large.
    status: Option<StatusCode>,
    /// What is known of its connection, if there was one.
    seen: Option<Arc<Seen>>,
}

impl Unanswered {
    /// A connection that had served before broke, and nothing of an answer had come.
    fn is_untouched(&self) -> bool {
        self.error.kind() == ErrorKind::ConnectionReset
            && self.seen.as_ref().is_some_and(|seen| seen.is_untouched())
    }

    /// The status of an answer whose head is too large.
    fn status(&self) -> Option<StatusCode> {
        let seen = self.seen.as_ref().filter(|_| is_too_large(&self.error));
        self.status.or_else(|| seen?.status())
    }

    /// The error with its address, and the bounds if it is about them.
    fn located(self, bounds: &Bounds) -> Error {
        let error = bounds.explain(self.error);
        match self.seen {
            Some(seen) => seen.locate(error),
            None => error,
        }
    }
}

async fn send_once(
    client: &Client,
    mut request: Request<Full<Bytes>>,
    bounds: &Bounds,
) -> Result<Response<Body>, Unanswered> {
    let connection = capture_connection(&mut request);
    let (error, status) = match client.request(request).await {
        Ok(response) if bounds.hold(response.headers()) => {
            return Ok(response.map(|body| body.map_err(|error| translate(&error)).boxed_unsync()));
        }
        Ok(response) => (Error::other(TooLarge), Some(response.status())),
        Err(error) => (translate(&error), None),
    };
    let mut known = Extensions::new();
    if let Some(connected) = connection.connection_metadata().as_ref() {
        connected.get_extras(&mut known);
    }
    Err(Unanswered { error, status, seen: known.remove() })
}

/// A request with its host as it is vetted, which is what a proxy is told too; path and query stay
/// as they are.
fn prepare(request: Request<Bytes>) -> Result<(Request<Full<Bytes>>, Host), Error> {
    let mut request = request.map(Full::new);
    let mut uri = std::mem::take(request.uri_mut()).into_parts();
    let (Some(scheme), Some(authority)) = (&uri.scheme, &uri.authority) else {
        return Err(Error::other("expected an absolute URL"));
    };
    if *scheme != Scheme::HTTP && *scheme != Scheme::HTTPS {
        return Err(forbidden(Refused::Scheme(scheme.to_string())));
    }
    let host = host_of(authority)?;
    let usual = if *scheme == Scheme::HTTPS { 443 } else { 80 };
    let authority = match authority.port_u16() {
        Some(port) if port != usual => format!("{host}:{port}"),
        _ => host.to_string(),
    };
    uri.authority = Some(authority.parse::<Authority>().map_err(Error::other)?);
    uri.path_and_query.get_or_insert(PathAndQuery::from_static("/"));
    *request.uri_mut() = Uri::from_parts(uri).map_err(Error::other)?;
    Ok((request, host))
}

/// How connections come about.
struct Paths {
    guard: Guard,
    tls: Arc<ClientConfig>,
    proxy: Option<Proxy>,
    /// The trust in a proxy that is spoken to by TLS.
    of_proxy: Option<Arc<ClientConfig>>,
}

impl Paths {
    fn through(&self, uri: &Uri) -> Through {
        match (&self.proxy, uri.scheme() == Some(&Scheme::HTTPS)) {
            (None, _) => Through::Nothing,
            (Some(_), true) => Through::Tunnel,
            (Some(_), false) => Through::Relay,
        }
    }

    /// A connection for the requests to `uri`'s host.
    async fn open(&self, uri: Uri) -> Result<Link, Error> {
        let through = self.through(&uri);
        let authority = uri.authority().ok_or_else(|| Error::other("expected a host"))?;
        let host = host_of(authority)?;
        let is_secure = uri.scheme() == Some(&Scheme::HTTPS);
        let stream = match &self.proxy {
            None => {
                let port = authority.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
                Stream::open(&self.guard, &host, port).await?
            }
            Some(proxy) if through == Through::Tunnel => self.tunnel(proxy, uri).await?,
            Some(proxy) => self.reach(proxy).await.map_err(blame)?,
        };
        let address = if self.proxy.is_none() { Some(stream.address()?) } else { None };
        let stream = if is_secure {
            let secured = stream.secure(host, self.tls.clone()).await;
            secured.map_err(|error| match address {
                Some(address) => with_address(address, &error),
                None => error,
            })?
        } else {
            stream
        };
        let stream = TokioIo::new(Watched::new(stream, address));
        Ok(Link { stream, is_relayed: through == Through::Relay })
    }

    /// A connection to the proxy itself.
    async fn reach(&self, proxy: &Proxy) -> Result<Stream, Error> {
        let stream = Stream::open_proxy(&self.guard, &proxy.host, proxy.port).await?;
        match &self.of_proxy {
            Some(tls) => stream.secure(proxy.host.clone(), tls.clone()).await,
            None => Ok(stream),
        }
    }

    /// A connection to `uri`'s host that the proxy has joined (CONNECT, RFC 9110 section 9.3.6).
    async fn tunnel(&self, proxy: &Proxy, uri: Uri) -> Result<Stream, Error> {
        let stream = self.reach(proxy).await.map_err(blame)?;
        let mut stream = Some(TokioIo::new(stream));
        let reached = service_fn(move |_| {
            let stream = stream.take().ok_or_else(|| Error::other("asked for twice"));
            std::future::ready(stream)
        });
        let mut tunnel = Tunnel::new(Uri::default(), reached);
        if let Some(authorization) = &proxy.authorization {
            tunnel = tunnel.with_auth(authorization.clone());
        }
        let joined = tunnel.oneshot(uri).await.map_err(|error| blame(translate(&error)))?;
        Ok(joined.into_inner())
    }
}

/// What the client asks for connections.
#[derive(Clone)]
struct Connector(Arc<Paths>);

impl tower::Service<Uri> for Connector {
    type Response = Link;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Link, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let paths = self.0.clone();
        Box::pin(async move { paths.open(uri).await })
    }
}
