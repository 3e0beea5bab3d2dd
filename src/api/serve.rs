//! Serving connections: bounded in number and in patience, stopped twice.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use axum::Router;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::{
        conn::auto::Builder,
        graceful::{GracefulShutdown, Watcher},
    },
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::{
    budget::Budget,
    sending::{self, Sending, Sent, Streams},
    tls::Tls,
    unstuck::Unstuck,
};
use crate::summed::Summed;

/// Connections at once: those that wait and as many again.
const CONNECTIONS_MAX: usize = 20_000;
/// The largest head of a request.
const HEADER_BYTES_MAX: usize = 64 << 10;
/// Requests under way on one HTTP/2 connection.
const STREAMS_MAX: u32 = 32;
/// What one HTTP/2 connection may send ahead of being read, over all of its streams.
const WINDOW_BYTES: u32 = 65_535;
/// What one HTTP/2 stream holds ready to be sent.
const SEND_BYTES_MAX: usize = 64 << 10;
/// How long to wait when the system gives no connection (no file left, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long clients are waited for; one that takes longer loses its connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// For the first request, for the head of each, and (HTTP/1) between two.
    pub(super) head: Duration,
    /// How often an HTTP/2 client is asked for a sign of life, and how long that may take.
    pub(super) ping: Duration,
    /// How long what was sent may stay untaken.
    pub(super) send: Duration,
    /// The same while more than a quarter of the budget is held.
    pub(super) send_tight: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { head: seconds(30), ping: seconds(30), send: seconds(60), send_tight: seconds(5) }
    }
}

/// Where clients come in.
pub struct Entrance {
    listener: TcpListener,
    tls: Option<Tls>,
}

impl From<TcpListener> for Entrance {
    /// In clear.
    fn from(listener: TcpListener) -> Self {
        Self { listener, tls: None }
    }
}

impl Entrance {
    /// Encrypted, when there is a certificate.
    #[must_use]
    pub fn with_tls(self, tls: Option<Tls>) -> Self {
        Self { tls, ..self }
    }
}

/// Serves until `soft`, then lets requests under way end, until `hard`.
///
/// Long polls and streams end by the token in the router's state, which should be `soft` too. A
/// connection that cannot be taken is logged and waited out. `budget` is the router's.
///
/// # Errors
/// When the socket does not listen any more.
pub async fn serve(
    entrance: impl Into<Entrance>,
    router: Router,
    budget: Budget,
    soft: CancellationToken,
    hard: CancellationToken,
) -> io::Result<()> {
    serve_with(entrance, router, budget, soft, hard, Patience::default()).await
}

/// As [`serve`], with another patience.
pub(super) async fn serve_with(
    entrance: impl Into<Entrance>,
    router: Router,
    budget: Budget,
    soft: CancellationToken,
    hard: CancellationToken,
    patience: Patience,
) -> io::Result<()> {
    let Entrance { listener, tls } = entrance.into();
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut refused = Summed::default();
    loop {
        let accepted = tokio::select! {
            () = soft.cancelled() => break,
            () = hard.cancelled() => break,
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Ok((stream, place)) => {
                set_up(&stream, patience);
                let stream = Unstuck::new(stream, soft.clone());
                let client = Client {
                    place,
                    tls: tls.clone(),
                    soft: soft.clone(),
                    hard: hard.clone(),
                    budget: budget.clone(),
                    patience,
                };
                connect(stream, client, router.clone(), graceful.watcher());
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Err(error),
            Err(error) => {
                if let Some(tries) = refused.count() {
                    tracing::error!(
                        event = "api.accept_failed", %error, tries,
                        "cannot accept a connection: raise this machine's limits (open files, say)"
                    );
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    tokio::select! {
        () = graceful.shutdown() => {}
        () = hard.cancelled() => {}
    }
    Ok(())
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

/// Tells the system how the connection is to be; where it refuses, the connection is served as is.
fn set_up(stream: &TcpStream, patience: Patience) {
    // Small answers go out at once.
    let _ = stream.set_nodelay(true);
    // RFC 5482: the system ends a connection whose peer takes nothing for so long.
    #[cfg(target_os = "linux")]
    {
        let millis = u32::try_from(patience.send.as_millis()).unwrap_or(u32::MAX);
        let _ = rustix::net::sockopt::set_tcp_user_timeout(stream, millis);
    }
}

/// What a connection is served with.
struct Client {
    place: OwnedSemaphorePermit,
    tls: Option<Tls>,
    soft: CancellationToken,
    hard: CancellationToken,
    budget: Budget,
    patience: Patience,
}

fn connect(stream: Unstuck<TcpStream>, client: Client, router: Router, watcher: Watcher) {
    let Client { place, tls, soft, hard, budget, patience } = client;
    let asked = CancellationToken::new();
    let first = asked.clone();
    let service = hyper::service::service_fn(move |request: http::Request<Incoming>| {
        first.cancel();
        let version = request.version();
        let answer = router.clone().oneshot(request.map(axum::body::Body::new));
        async move {
            let answer = answer.await.map_err(|never: Infallible| never)?;
            Ok::<_, Infallible>(answer.map(|body| Sent::new(body, version)))
        }
    });
    let sending = Sending::default();
    let send = sending::Patience { usual: patience.send, tight: patience.send_tight, budget };
    let mut builder = Builder::new(Streams { connection: sending.clone(), patience: send.clone() });
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(patience.head)
        .max_buf_size(HEADER_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(patience.ping)
        .keep_alive_timeout(patience.ping)
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_send_buf_size(SEND_BYTES_MAX)
        .max_header_list_size(u32::try_from(HEADER_BYTES_MAX).unwrap_or(u32::MAX));
    // A client that breaks off is no concern of the relay.
    let connection = async move {
        let Some(tls) = tls else {
            let served = builder.serve_connection(TokioIo::new(stream), service).into_owned();
            let _ = watcher.watch(served).await;
            return;
        };
        let stream = tokio::select! {
            stream = tls.accept(stream) => stream,
            () = soft.cancelled() => return,
        };
        match stream {
            Ok(stream) => {
                let served = builder.serve_connection(TokioIo::new(stream), service).into_owned();
                let _ = watcher.watch(served).await;
            }
            Err(error) => tracing::debug!(%error, "a client could not agree on TLS"),
        }
    };
    // The protocol is told by the first bytes, before either of them has a timer.
    let silent = async move {
        if tokio::time::timeout(patience.head, asked.cancelled()).await.is_ok() {
            std::future::pending::<()>().await;
        }
    };
    tokio::spawn(async move {
        let _place = place;
        tokio::select! {
            () = sending.scope(connection) => {}
            () = sending.stalled(&send) => {}
            () = hard.cancelled() => {}
            () = silent => {}
        }
    });
}
