//! A relay with something of every kind, which its document and its clients are tried on.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::support::{
    Api, Place, Relay, Server,
    api::cloud_event,
    eventually,
    relay::SECRET,
    server::{answer, json as json_answer},
};

/// A relay that asks for a key, and what it pushes to and polls.
pub(super) struct Rig {
    relay: Relay,
    place: Place,
    key: String,
    document: Value,
    folder: PathBuf,
    _hooks: Server,
}

impl Rig {
    /// Starts a relay with topics, a source, a subscription on hold, dead letters, pending events and a
    /// replay.
    pub(super) async fn start() -> Self {
        let hooks = hooks().await;
        let place = Place::new("");
        let made = ["keys", "create", "--for-file", "--owner", "ops", "--scope", "admin"];
        let made = place.run(&made).await;
        assert_eq!(made.code, Some(0), "{}", made.stderr);
        let key = made.stdout.trim().to_owned();
        let (_, keys) = made.stderr.split_once("\nkeys:").expect("lines for the file");
        place.write(&format!(
            "topics: {{ filed: {{}} }}\nsubscriptions:\n  - name: filed-hook\n    topic: filed\n    \
             webhook: {{ url: \"{}\", secret: {{ env: HOOK_SECRET }} }}\nsources:\n  - name: feed\n    \
             topic: fed\n    interval: 1h\n    http: {{ url: \"{}\", id: id, items: \"\" }}\nkeys:{keys}",
            hooks.url("/accept"),
            hooks.url("/list")
        ));
        let relay = place.start().await;
        let api = relay.api();
        let rig = Caller { api, key: &key };
        for topic in ["orders", "billing"] {
            rig.send("PUT", &format!("/v1/topics/{topic}"), &json!({})).await;
        }
        let policy = json!({ "after": 1, "interval": "1h", "max_interval": "1h" });
        for (name, topics, path, more) in [
            ("good", json!(["orders"]), "/accept", json!({})),
            (
                "refused",
                json!(["orders", "billing"]),
                "/refuse",
                json!({ "retry": { "never_retry": [400] } }),
            ),
            ("held", json!(["orders"]), "/down", json!({ "hold": policy })),
        ] {
            let mut body = json!({ "name": name, "topics": topics,
                "webhook": { "url": hooks.url(path), "secret": SECRET } });
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            rig.send("POST", "/v1/subscriptions", &body).await;
        }
        for topic in ["orders", "billing", "filed"] {
            rig.publish(&format!("/v1/topics/{topic}/events"), 1..21).await;
            rig.publish(&format!("/v1/topics/{topic}/events?prepare=true"), 101..111).await;
        }
        let job = json!({ "from": "earliest", "rate": "1/h" });
        rig.send("POST", "/v1/subscriptions/good/replays", &job).await;
        eventually("a hold, and a dead letter", || async {
            let held = rig.send("GET", "/v1/subscriptions/held", &Value::Null).await;
            let dead = "/v1/subscriptions/refused/dead-letters";
            let dead = rig.send("GET", dead, &Value::Null).await;
            let is_there =
                held["health"]["state"] == "holding" && dead["dead_letters"][0].is_object();
            is_there.then_some(())
        })
        .await;
        let document = rig.send("GET", "/openapi.json", &Value::Null).await;
        let folder = place.path("made");
        fs::create_dir(&folder).unwrap();
        Self { relay, place, key, document, folder, _hooks: hooks }
    }

    /// Writes the document down, changed, and says where.
    pub(super) fn document(&self, change: impl FnOnce(&mut Value)) -> PathBuf {
        let mut document = self.document.clone();
        change(&mut document);
        let path = self.folder.join("openapi.json");
        fs::write(&path, document.to_string()).unwrap();
        path
    }

    /// A folder for what is made.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The URL of the relay.
    pub(super) fn base(&self) -> String {
        self.place.base()
    }

    /// A key that is good for everything.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// The relay is ready, and has told of no fault of its own.
    pub(super) async fn is_well(&self) {
        assert_eq!(self.relay.api().get("/readyz").await.ok()["status"], "ok");
        let printed = self.place.printed();
        let bad = |line: &&str| line.contains(" ERROR ") || line.contains("panicked");
        let bad: Vec<&str> = printed.lines().filter(bad).take(10).collect();
        assert!(bad.is_empty(), "{}", bad.join("\n"));
    }
}

/// Who has the key.
struct Caller<'a> {
    api: &'a Api,
    key: &'a str,
}

impl Caller<'_> {
    async fn send(&self, method: &str, path: &str, body: &Value) -> Value {
        let request = self.api.request(method, path).bearer_auth(self.key);
        let request = if body.is_null() {
            request
        } else {
            request.header("content-type", "application/json").body(body.to_string())
        };
        self.api.send(request).await.ok()
    }

    async fn publish(&self, path: &str, numbers: std::ops::Range<u64>) {
        let events: Vec<String> = numbers.map(cloud_event).collect();
        let request = self.api.request("POST", path).bearer_auth(self.key);
        let request = request.header("content-type", "application/cloudevents-batch+json");
        self.api.send(request.body(format!("[{}]", events.join(",")))).await.ok();
    }
}

/// Answers what the relay asks: a hook that accepts, one that refuses, one that is down, and a list.
async fn hooks() -> Server {
    Server::start(|asked| async move {
        match asked.parts.uri.path() {
            "/list" => json_answer(r#"[{"id":"1"},{"id":"2"},{"no":"id"}]"#),
            "/refuse" => answer(400, &[], "refused"),
            "/down" => answer(503, &[], "down"),
            _ => answer(204, &[], ""),
        }
    })
    .await
}
