//! The relay's API as a client sees it.

use std::time::Duration;

use axum::http::HeaderMap;
use serde_json::Value;

use super::server::header;

/// A client of one relay.
#[derive(Clone)]
pub(crate) struct Api {
    base: String,
    client: reqwest::Client,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Reply {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: String,
}

impl Reply {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// The body, when the status is a success.
    pub(crate) fn ok(self) -> Value {
        assert!((200..300).contains(&self.status), "{self:?}");
        if self.body.is_empty() { Value::Null } else { self.json() }
    }

    /// The problem's document, when it is one with this status and code.
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(header(&self.headers, "content-type"), Some("application/problem+json"));
        let problem = self.json();
        assert_eq!(problem["code"], code, "{self:?}");
        problem
    }
}

impl Api {
    /// A client of the relay at `base`, as `http://127.0.0.1:8080`.
    pub(crate) fn new(base: String) -> Self {
        // A second call finds one installed, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client =
            reqwest::Client::builder().no_proxy().timeout(Duration::from_mins(1)).build().unwrap();
        Self { base, client }
    }

    /// Host and port of the relay.
    pub(crate) fn address(&self) -> String {
        self.base.trim_start_matches("http://").to_owned()
    }

    /// A request that is not sent yet.
    pub(crate) fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        self.client.request(method, format!("{}{path}", self.base))
    }

    /// Sends; `None` when nobody answered.
    pub(crate) async fn try_send(&self, request: reqwest::RequestBuilder) -> Option<Reply> {
        let response = request.send().await.ok()?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Some(Reply { status, headers, body: response.text().await.ok()? })
    }

    /// Sends.
    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Reply {
        self.try_send(request).await.expect("an answer of the relay")
    }

    /// GET.
    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(self.request("GET", path)).await
    }

    /// GET with `Accept`.
    pub(crate) async fn get_as(&self, path: &str, accept: &str) -> Reply {
        self.send(self.request("GET", path).header("accept", accept)).await
    }

    /// A request with a JSON body.
    pub(crate) async fn send_json(&self, method: &str, path: &str, body: &Value) -> Reply {
        let request = self.request(method, path).header("content-type", "application/json");
        self.send(request.body(body.to_string())).await
    }

    /// POST with a JSON body.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send_json("POST", path, body).await
    }

    /// The publishing of one CloudEvent, that is not sent yet.
    pub(crate) fn event(&self, topic: &str, event: String) -> reqwest::RequestBuilder {
        let request = self.request("POST", &format!("/v1/topics/{topic}/events"));
        request.header("content-type", "application/cloudevents+json").body(event)
    }

    /// Publishes events `first..=last` of the numbered kind, in batches.
    pub(crate) async fn publish(&self, topic: &str, first: u64, last: u64) {
        let numbers: Vec<u64> = (first..=last).collect();
        for chunk in numbers.chunks(1_000) {
            let events: Vec<String> = chunk.iter().map(|n| cloud_event(*n)).collect();
            let request = self
                .request("POST", &format!("/v1/topics/{topic}/events"))
                .header("content-type", "application/cloudevents-batch+json")
                .body(format!("[{}]", events.join(",")));
            self.send(request).await.ok();
        }
    }

    /// The head of a topic.
    pub(crate) async fn head(&self, topic: &str) -> u64 {
        self.get(&format!("/v1/topics/{topic}")).await.ok()["head"].as_u64().unwrap()
    }

    /// Every event of a topic from version 1 on, page by page: the lines of NDJSON.
    pub(crate) async fn log(&self, topic: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let path = format!("/v1/topics/{topic}/events?after={}&limit=1000", lines.len());
            let page = self.get_as(&path, "application/x-ndjson").await;
            assert_eq!(page.status, 200, "{page:?}");
            let before = lines.len();
            lines.extend(page.body.lines().filter(|line| !line.is_empty()).map(str::to_owned));
            if lines.len() == before {
                return lines;
            }
        }
    }
}

/// The ids of events, each a line of NDJSON.
pub(crate) fn ids_of(lines: &[String]) -> Vec<String> {
    let id_of = |line: &String| {
        let event: Value = serde_json::from_str(line).expect("an event");
        event["id"].as_str().expect("an id").to_owned()
    };
    lines.iter().map(id_of).collect()
}

/// Event `n` of the numbered kind as a CloudEvent.
pub(crate) fn cloud_event(n: u64) -> String {
    format!(
        "{{\"specversion\":\"1.0\",\"id\":\"{}\",\"source\":\"/numbers\",\"type\":\"number\",\
         \"data\":{}}}",
        super::producer::id(n),
        super::producer::item(n)
    )
}
