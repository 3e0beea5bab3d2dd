//! A server that speaks TLS in some odd way at first and properly then.

use std::{
    convert::Infallible,
    future::ready,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};

/// How a server speaks.
#[derive(Clone)]
pub(super) enum Speech {
    /// TLS, and HTTP as it is agreed on.
    Tls(Arc<ServerConfig>),
    /// TLS, and HTTP/2 whatever is agreed on.
    Http2(Arc<ServerConfig>),
    /// HTTP without TLS.
    Plain,
    /// Says this to the first bytes, and ends.
    Says(&'static [u8], End),
    /// TLS; answers this, and ends the connection without saying so (`close_notify`).
    Cut(Arc<ServerConfig>, Arc<str>),
}

/// How a connection ends.
#[derive(Clone, Copy)]
pub(super) enum End {
    Close,
    Reset,
    /// Not at all.
    Stall,
}

/// Lists three events until [`Secure::heal`], then four; takes every POST.
pub(super) struct Secure {
    pub address: SocketAddr,
    healthy: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Secure {
    /// Speaks as `odd` until it is healed.
    pub(super) async fn start(odd: Speech, well: Speech) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let healthy = Arc::new(AtomicBool::new(false));
        let shared = healthy.clone();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let speech = if shared.load(SeqCst) { &well } else { &odd };
                tokio::spawn(serve(stream, speech.clone(), shared.clone()));
            }
        });
        Self { address, healthy, task }
    }

    /// From now on it speaks properly.
    pub(super) fn heal(&self) {
        self.healthy.store(true, SeqCst);
    }
}

impl Drop for Secure {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, speech: Speech, healthy: Arc<AtomicBool>) {
    let service = service_fn(move |request| {
        ready(Ok::<_, Infallible>(answer(&request, healthy.load(SeqCst))))
    });
    // Who asks may end each of these early.
    match speech {
        Speech::Plain => {
            let auto = auto::Builder::new(TokioExecutor::new());
            let _ = auto.serve_connection(TokioIo::new(stream), service).await;
        }
        Speech::Says(bytes, end) => {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(bytes).await;
            match end {
                End::Close => close(stream).await,
                End::Reset => stream.set_zero_linger().unwrap(),
                End::Stall => until_left(&mut stream).await,
            }
        }
        Speech::Tls(config) => {
            match TlsAcceptor::from(config).accept(stream).into_fallible().await {
                Ok(stream) => {
                    let auto = auto::Builder::new(TokioExecutor::new());
                    let _ = auto.serve_connection(TokioIo::new(stream), service).await;
                }
                Err((_, stream)) => close(stream).await,
            }
        }
        Speech::Http2(config) => {
            let Ok(stream) = TlsAcceptor::from(config).accept(stream).await else { return };
            // What comes before the request is another fault: it was not asked for.
            tokio::time::sleep(Duration::from_millis(200)).await;
            let http2 = http2::Builder::new(TokioExecutor::new());
            let _ = http2.serve_connection(TokioIo::new(stream), service).await;
        }
        Speech::Cut(config, text) => {
            let Ok(mut stream) = TlsAcceptor::from(config).accept(stream).await else { return };
            let _ = stream.read(&mut [0; 8192]).await;
            let _ = stream.write_all(text.as_bytes()).await;
            let _ = stream.flush().await;
            close(stream.into_inner().0).await;
        }
    }
}

/// Ends a connection without a reset: who closes with something unread resets it.
async fn close(mut stream: TcpStream) {
    let _ = stream.shutdown().await;
    until_left(&mut stream).await;
}

async fn until_left(stream: &mut TcpStream) {
    while !matches!(stream.read(&mut [0; 4096]).await, Ok(0) | Err(_)) {}
}

fn answer(request: &Request<Incoming>, is_healthy: bool) -> Response<Full<Bytes>> {
    let query = request.uri().query().unwrap_or_default();
    let body = match query {
        _ if request.method() == Method::POST => "",
        "after=a3" if is_healthy => r#"[{"id":"a4"}]"#,
        "" if is_healthy => r#"[{"id":"a1"},{"id":"a2"},{"id":"a3"},{"id":"a4"}]"#,
        "" => r#"[{"id":"a1"},{"id":"a2"},{"id":"a3"}]"#,
        _ => "[]",
    };
    Response::new(Full::new(Bytes::from_static(body.as_bytes())))
}
