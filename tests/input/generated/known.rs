//! What exists while calls are made, and making it again: half of all names refer to it.

use std::{
    sync::{
        Arc, RwLock,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use milkrun::clock::Clock;
use serde_json::{Value, json};

use crate::support::{
    Api, Server,
    api::cloud_event,
    relay::SECRET,
    server::{answer, json as json_answer},
};

/// Answers what the relay asks: hooks that accept and refuse, and a list for the source.
pub(super) async fn hooks() -> Server {
    Server::start(|asked| async move {
        match asked.parts.uri.path() {
            "/list" => json_answer(r#"[{"id":"1"},{"id":"2"},{"no":"id"}]"#),
            "/refuse" => answer(400, &[], "refused"),
            _ => answer(204, &[], ""),
        }
    })
    .await
}

/// A relay with a topic, a subscription and a source of its file.
pub(super) fn config(hooks: &Server) -> String {
    format!(
        "topics: {{ filed: {{}} }}\nsubscriptions:\n  - name: filed-hook\n    topic: filed\n    \
         webhook: {{ url: \"{}\", secret: {{ env: HOOK_SECRET }} }}\nsources:\n  - name: feed\n    \
         topic: fed\n    interval: 1h\n    http: {{ url: \"{}\", id: id, items: \"\" }}\n",
        hooks.url("/accept"),
        hooks.url("/list")
    )
}

/// What there is, as it was seen last.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub topics: Vec<String>,
    pub subscriptions: Vec<String>,
    pub sources: Vec<String>,
    /// Dead letters.
    pub ids: Vec<i64>,
    /// Pending events, each with its topic.
    pub pending: Vec<(String, i64)>,
    /// Replay jobs, each with its subscription.
    pub replays: Vec<(String, i64)>,
    /// Versions and cursors.
    pub versions: Vec<String>,
    /// Where webhooks may go.
    pub urls: Vec<String>,
    /// A moment that is an hour ahead.
    pub later: String,
}

/// What exists, kept so.
pub(super) struct Known {
    api: Api,
    hooks: String,
    rounds: AtomicU64,
    names: RwLock<Arc<Names>>,
}

impl Known {
    /// Nothing yet; webhooks go to `hooks`.
    pub(super) fn new(api: Api, hooks: String) -> Self {
        Self { api, hooks, rounds: AtomicU64::new(0), names: RwLock::default() }
    }

    /// Host and port of the relay.
    pub(super) fn address(&self) -> String {
        self.api.address()
    }

    /// What there is at present.
    pub(super) fn now(&self) -> Arc<Names> {
        self.names.read().unwrap().clone()
    }

    /// Makes what calls have deleted or changed, and looks at what there is.
    pub(super) async fn renew(&self) {
        let round = self.rounds.fetch_add(1, SeqCst);
        for topic in ["alpha", "beta", "spare"] {
            self.tell("PUT", &format!("/v1/topics/{topic}"), &json!({})).await;
        }
        self.subscribe("one", &json!(["alpha"]), "/accept").await;
        self.subscribe("two", &json!(["alpha", "beta"]), "/refuse").await;
        for topic in ["alpha", "beta", "filed"] {
            let events: Vec<String> = (1..=5).map(|n| cloud_event(round * 5 + n)).collect();
            self.publish(&format!("/v1/topics/{topic}/events"), &events).await;
        }
        let mut names = Names {
            topics: ["alpha", "beta", "spare", "filed", "fed"].map(str::to_owned).to_vec(),
            subscriptions: ["one", "two", "filed-hook"].map(str::to_owned).to_vec(),
            sources: vec!["feed".to_owned()],
            urls: ["/accept", "/refuse"].map(|path| format!("{}{path}", self.hooks)).to_vec(),
            later: Clock::system().now().plus(Duration::from_hours(1)).to_string(),
            versions: (1..=5).map(|n| n.to_string()).collect(),
            ..Names::default()
        };
        self.number(round, &mut names).await;
        for topic in ["alpha", "filed"] {
            let state = self.tell("GET", &format!("/v1/topics/{topic}"), &Value::Null).await;
            names.versions.extend(state["cursor"].as_str().map(str::to_owned));
        }
        *self.names.write().unwrap() = Arc::new(names);
    }

    /// Makes a subscription, or sets one that exists back to what it was.
    async fn subscribe(&self, name: &str, topics: &Value, path: &str) {
        let url = format!("{}{path}", self.hooks);
        let mut body = json!({ "webhook": { "url": url, "auth": null, "tls": null, "handshake": null },
            "filter": null, "transform": null, "format": null, "batch": null, "order": null,
            "on_dead": null, "rate": null, "retry": { "never_retry": [400] } });
        let made = format!("/v1/subscriptions/{name}");
        self.tell("PATCH", &made, &body).await;
        body["webhook"]["secret"] = SECRET.into();
        (body["name"], body["topics"]) = (name.into(), topics.clone());
        self.tell("POST", "/v1/subscriptions", &body).await;
        self.tell("POST", &format!("{made}/resume"), &json!({})).await;
    }

    /// Pending events and replay jobs, made now, and dead letters.
    async fn number(&self, round: u64, names: &mut Names) {
        let prepared: Vec<String> =
            (1..=4).map(|n| cloud_event(1_000_000 + round * 4 + n)).collect();
        for topic in ["alpha", "spare", "filed"] {
            let path = format!("/v1/topics/{topic}/events?prepare=true");
            let published = self.publish(&path, &prepared).await;
            let ids = members(&published, "events", "pending");
            names.pending.extend(ids.map(|id| (topic.to_owned(), id)));
        }
        for name in ["one", "two"] {
            let place = format!("/v1/subscriptions/{name}");
            let wanted = json!({ "topic": "alpha", "from": "earliest", "rate": "1/h" });
            self.tell("POST", &format!("{place}/replays"), &wanted).await;
            let jobs = self.tell("GET", &format!("{place}/replays"), &Value::Null).await;
            let ids = members(&jobs, "replays", "id");
            names.replays.extend(ids.map(|id| (name.to_owned(), id)));
            let dead = format!("{place}/dead-letters?limit=5");
            let dead = self.tell("GET", &dead, &Value::Null).await;
            names.ids.extend(members(&dead, "dead_letters", "id"));
        }
    }

    async fn publish(&self, path: &str, events: &[String]) -> Value {
        let request = self.api.request("POST", path);
        let request = request.header("content-type", "application/cloudevents-batch+json");
        let reply = self.api.send(request.body(format!("[{}]", events.join(",")))).await;
        assert!(reply.status < 500, "POST {path}: {reply:?}");
        serde_json::from_str(&reply.body).unwrap_or_default()
    }

    /// What is answered; refusals are as good, for calls run beside this.
    async fn tell(&self, method: &str, path: &str, body: &Value) -> Value {
        let reply = if body.is_null() {
            self.api.get(path).await
        } else {
            self.api.send_json(method, path, body).await
        };
        assert!(reply.status < 500, "{method} {path}: {reply:?}");
        serde_json::from_str(&reply.body).unwrap_or_default()
    }
}

/// A number of each in a list.
fn members<'a>(answer: &'a Value, list: &str, number: &'a str) -> impl Iterator<Item = i64> + 'a {
    let all = answer[list].as_array().into_iter().flatten();
    all.filter_map(move |one| one[number].as_i64())
}
