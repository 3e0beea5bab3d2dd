//! The API over a real store, called without sockets.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Body};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use prometheus_client::metrics::counter::Counter;
use serde_json::{Value, json};
use sinks::webhook::Webhook;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tower::{ServiceExt as _, service_fn, util::BoxCloneSyncService};

use super::{Access, ApiState, Budget, Limits, Outgoing, router};
use crate::{
    clock::{Clock, ManualClock},
    event::{Micros, Topic},
    settings::TopicSettings,
    store::{
        self, Durability, Store,
        support::{self, Folder},
    },
    telemetry::Metrics,
};

mod access;
mod attention;
mod bad_input;
mod directory;
mod document;
mod encrypted;
mod find;
mod foreign;
mod holding;
mod holes;
mod interposed;
mod pending;
mod publishing;
mod reading;
mod series;
mod serving;
mod streams;
mod subscriptions;
mod topics;
mod trials;

/// 2026-01-31T12:00:00Z.
const NOW: Micros = Micros(1_769_860_800_000_000);
/// The longest that a test waits for anything.
const DEADLINE: Duration = Duration::from_secs(20);

/// An API over a store in a directory of its own, with the topic `orders`.
struct Relay {
    router: Router,
    budget: Budget,
    store: Arc<dyn Store>,
    clock: ManualClock,
    stopping: CancellationToken,
    /// What left for endpoints, each answered 418.
    sent: Arc<Mutex<Vec<Request<Bytes>>>>,
    file_topics: watch::Sender<Arc<BTreeSet<Topic>>>,
    folder: Folder,
}

struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Asserts a problem and gives it.
    #[track_caller]
    fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status);
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
        problem
    }

    #[track_caller]
    fn ok(self) -> Self {
        assert!(self.status.is_success(), "{} {}", self.status, self.text());
        self
    }
}

impl Relay {
    async fn new() -> Self {
        Self::with(Limits::default()).await
    }

    async fn with(limits: Limits) -> Self {
        let (folder, store) = support::store().await;
        let topic: Topic = "orders".parse().unwrap();
        store.put_topic(&topic, &TopicSettings::default(), NOW).await.unwrap();
        let mut relay = Self {
            router: Router::new(),
            budget: Budget::new(0, Counter::default(), Counter::default()),
            store: store.clone(),
            clock: ManualClock::new(NOW),
            stopping: CancellationToken::new(),
            sent: Arc::default(),
            file_topics: watch::Sender::default(),
            folder,
        };
        relay.serve(store, limits);
        relay
    }

    /// Puts the API over another store.
    fn serve(&mut self, store: Arc<dyn Store>, limits: Limits) {
        let state = self.state(store, Access::Loopback, limits);
        self.budget = state.budget();
        self.router = router(state, Router::new());
    }

    /// Lets others in.
    fn serve_to(&mut self, access: Access) {
        self.router =
            router(self.state(self.store.clone(), access, Limits::default()), Router::new());
    }

    fn state(&self, store: Arc<dyn Store>, access: Access, limits: Limits) -> ApiState {
        let vet = |url: &str| {
            assert_ne!(url, "https://panic.example/", "as a test wants");
            if url.starts_with("https://") { Ok(()) } else { Err("expected https".to_owned()) }
        };
        let state = ApiState::new(
            store,
            Clock::Manual(self.clock.clone()),
            Metrics::new(),
            Outgoing { vet_url: Arc::new(vet), webhook: Webhook::new(self.network(), "test") },
            access,
            self.stopping.clone(),
            limits,
        );
        state.with_file_topics(self.file_topics.subscribe())
    }

    fn network(&self) -> sinks::Network {
        let sent = self.sent.clone();
        BoxCloneSyncService::new(service_fn(move |request| {
            sent.lock().unwrap().push(request);
            let body = Full::new(Bytes::from("short and stout")).map_err(|never| match never {});
            let answer = http::Response::builder().status(418).body(body.boxed_unsync());
            async { Ok(answer.unwrap()) }
        }))
    }

    async fn call(&self, request: Request<Body>) -> http::Response<Body> {
        let answer = self.router.clone().oneshot(request);
        tokio::time::timeout(DEADLINE, answer).await.unwrap().unwrap()
    }

    async fn send(&self, request: Request<Body>) -> Reply {
        let (parts, body) = self.call(request).await.into_parts();
        let body = tokio::time::timeout(DEADLINE, body.collect()).await.unwrap().unwrap();
        Reply { status: parts.status, headers: parts.headers, body: body.to_bytes() }
    }

    async fn get(&self, path: &str) -> Reply {
        self.send(request(Method::GET, path).body(Body::empty()).unwrap()).await
    }

    async fn accept(&self, path: &str, media: &str) -> Reply {
        let request = request(Method::GET, path).header("accept", media);
        self.send(request.body(Body::empty()).unwrap()).await
    }

    async fn with_json(&self, method: Method, path: &str, body: &Value) -> Reply {
        let request = typed(method, path);
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }

    async fn post(&self, path: &str, body: Value) -> Reply {
        self.with_json(Method::POST, path, &body).await
    }

    async fn publish(&self, media: &str, body: impl Into<Body>) -> Reply {
        let request =
            request(Method::POST, "/v1/topics/orders/events").header("content-type", media);
        self.send(request.body(body.into()).unwrap()).await
    }

    /// Publishes events with the ids of `range`.
    async fn fill(&self, range: std::ops::RangeInclusive<u32>) {
        let events: Vec<Value> = range.map(event).collect();
        let body = Value::from(events).to_string();
        self.publish("application/cloudevents-batch+json", body).await.ok();
    }

    /// The present cursor of version 0's epoch, as text before the dash.
    async fn epoch(&self) -> String {
        self.get("/v1/topics/orders").await.ok().json()["epoch"].as_str().unwrap().to_owned()
    }
}

fn request(method: Method, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(path).header("host", "localhost")
}

/// A request that may write, as every write names its type.
fn typed(method: Method, path: &str) -> http::request::Builder {
    request(method, path).header("content-type", "application/json")
}

fn event(id: u32) -> Value {
    json!({
        "specversion": "1.0", "id": id.to_string(), "source": "/shop",
        "type": if id.is_multiple_of(2) { "even" } else { "odd" },
        "partitionkey": format!("k{}", id % 3), "data": {"n": id},
    })
}

fn versions(page: &Value) -> Vec<u64> {
    page["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["version"].as_u64().unwrap())
        .collect()
}

/// An event stream that is read block by block.
struct Blocks {
    body: Body,
    buffer: String,
}

impl Blocks {
    async fn open(relay: &Relay, path: &str, last: Option<&str>) -> Self {
        let mut request = request(Method::GET, path).header("accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let answer = relay.call(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status().as_u16(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        let mut blocks = Self { body: answer.into_body(), buffer: String::new() };
        let opening = blocks.next().await.unwrap();
        assert!(opening.starts_with(':') && !opening.contains('\n'), "{opening}");
        blocks
    }

    /// The next block, or `None` at the end.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.buffer.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.buffer = rest;
                return Some(block);
            }
            let frame = tokio::time::timeout(DEADLINE, self.body.frame()).await.unwrap()?;
            let bytes = frame.unwrap().into_data().unwrap();
            self.buffer.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }

    /// The next event's cursor and JSON, past blocks that only say where we are.
    async fn event(&mut self) -> (String, Value) {
        loop {
            let block = self.next().await.expect("an event");
            if let Some((id, data)) = block.split_once("\ndata: ") {
                let id = id.strip_prefix("id: ").unwrap().to_owned();
                return (id, serde_json::from_str(data).unwrap());
            }
            assert!(block.starts_with("id: "), "{block}");
        }
    }
}
