//! Serving connections: bounded in number and in header time, stopped twice.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use axum::Router;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto::Builder, graceful::GracefulShutdown},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::unstuck::Unstuck;

/// Connections at once: those that wait and as many again.
const CONNECTIONS_MAX: usize = 20_000;
/// How long a client may take over the head of a request, and be idle between two.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest head of a request.
const HEADER_BYTES_MAX: usize = 64 << 10;
/// How long to wait when the system gives no connection (no file left, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `soft`, then lets requests under way end, until `hard`.
///
/// Long polls and streams end by the token in the router's state, which should be `soft` too. A
/// connection that cannot be taken is logged and waited out.
///
/// # Errors
/// When the socket does not listen any more.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    soft: CancellationToken,
    hard: CancellationToken,
) -> io::Result<()> {
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            () = soft.cancelled() => break,
            () = hard.cancelled() => break,
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Ok((stream, place)) => {
                let stream = Unstuck::new(stream, soft.clone());
                connect(stream, place, router.clone(), &graceful, hard.clone());
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Err(error),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
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
    // Small answers go out at once; where the system refuses, they are late, not lost.
    let _ = stream.set_nodelay(true);
    Ok((stream, place))
}

fn connect(
    stream: Unstuck<TcpStream>,
    place: OwnedSemaphorePermit,
    router: Router,
    graceful: &GracefulShutdown,
    hard: CancellationToken,
) {
    let service = hyper::service::service_fn(move |request: http::Request<Incoming>| {
        let answer = router.clone().oneshot(request.map(axum::body::Body::new));
        async move { answer.await.map_err(|never: Infallible| never) }
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(HEADER_BYTES_MAX).unwrap_or(u32::MAX));
    let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
    let connection = graceful.watch(connection);
    tokio::spawn(async move {
        let _place = place;
        tokio::select! {
            // A client that breaks off is no concern of the relay.
            _ = connection => {}
            () = hard.cancelled() => {}
        }
    });
}
