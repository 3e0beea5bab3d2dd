//! An HTTP server on loopback whose answers a test scripts.

use std::{future::Future, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::Bytes,
    extract::Request,
    http::{HeaderMap, Uri, request::Parts},
    response::Response,
};
use tokio::{net::TcpListener, task::JoinHandle};

/// One request as the script sees it.
pub(crate) struct Asked {
    /// Its head.
    pub parts: Parts,
    /// Its whole body.
    pub body: Bytes,
}

impl Asked {
    /// The value of the query parameter `name`, decoded.
    pub(crate) fn query(&self, name: &str) -> Option<String> {
        query(&self.parts.uri, name)
    }

    /// The text of the header `name`.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.parts.headers, name)
    }
}

/// The text of the header `name`.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn query(uri: &Uri, name: &str) -> Option<String> {
    url::form_urlencoded::parse(uri.query()?.as_bytes())
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

/// Serves until dropped.
pub(crate) struct Server {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    /// Serves `script` on a free port.
    pub(crate) async fn start<F, A>(script: F) -> Self
    where
        F: Fn(Asked) -> A + Send + Sync + 'static,
        A: Future<Output = Response> + Send + 'static,
    {
        Self::at("127.0.0.1:0".parse().unwrap(), script).await
    }

    /// Serves `script` at `address`.
    pub(crate) async fn at<F, A>(address: SocketAddr, script: F) -> Self
    where
        F: Fn(Asked) -> A + Send + Sync + 'static,
        A: Future<Output = Response> + Send + 'static,
    {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let script = Arc::new(script);
        let app = Router::new().fallback(move |request: Request| {
            let script = script.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = axum::body::to_bytes(body, 64 << 20).await.unwrap_or_default();
                script(Asked { parts, body }).await
            }
        });
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { address, task }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of `path` on it.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A whole answer.
pub(crate) fn answer(
    status: u16,
    headers: &[(&str, &str)],
    body: impl Into<axum::body::Body>,
) -> Response {
    let mut builder = Response::builder().status(status);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(body.into()).unwrap()
}

/// A JSON answer.
pub(crate) fn json(body: impl Into<axum::body::Body>) -> Response {
    answer(200, &[("content-type", "application/json")], body)
}
