//! A relay without a key that has something of every kind, and a browser that is led to attack it.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use milkrun::clock::Clock;
use serde_json::{Value, json};

use crate::support::{
    Api, Place, Relay, Server,
    api::cloud_event,
    browser,
    relay::SECRET,
    server::{answer, json as json_answer},
};

/// What reads tell, but for what time changes.
const STATE: [&str; 11] = [
    "/v1/topics/orders/events",
    "/v1/topics/feed/events",
    "/v1/topics/milkrun.notices/events",
    "/v1/topics/orders/pending",
    "/v1/topics/orders/gaps",
    "/v1/keys",
    "/v1/sources",
    "/v1/subscriptions",
    "/v1/subscriptions/billing/replays",
    "/v1/subscriptions/billing/attempts",
    "/v1/subscriptions/refused/dead-letters",
];

/// A relay, and who is asked and pushed to.
pub(super) struct Rig {
    pub place: Place,
    relay: Relay,
    outside: Arc<AtomicUsize>,
    begun: Instant,
    _hooks: Server,
}

impl Rig {
    /// On loopback, or on every address by the word of the operator.
    pub(super) async fn start(insecure: bool) -> Self {
        let outside = Arc::<AtomicUsize>::default();
        let hooks = hooks(outside.clone()).await;
        let place = Place::new("");
        let base = place.base();
        let (_, port) = base.rsplit_once(':').unwrap();
        let listen = if insecure { "0.0.0.0" } else { "127.0.0.1" };
        let source = |name: &str| {
            format!(
                "  - {{ name: {name}, topic: {name}, interval: 1h, http: {{ url: \"{}\", id: id, items: \"\" }} }}\n",
                hooks.url("/list")
            )
        };
        place.write_raw(&format!(
            "store: \"sqlite:{}\"\nlisten: {listen}:{port}\ninsecure: {insecure}\n\
             outbound: {{ allow: [\"127.0.0.0/8\"] }}\ntopics: {{ orders: {{}} }}\n\
             sources:\n{}{}",
            place.store().display(),
            source("feed"),
            source("paused"),
        ));
        let relay = place.start().await;
        let api = relay.api();
        for (name, path) in [("billing", "/accept"), ("refused", "/refuse"), ("paused", "/accept")]
        {
            let body = json!({ "name": name, "topic": "orders", "retry": { "never_retry": [400] },
                "webhook": { "url": hooks.url(path), "secret": SECRET } });
            api.post("/v1/subscriptions", &body).await.ok();
        }
        api.post("/v1/subscriptions/paused/pause", &json!({})).await.ok();
        relay.until_head("paused", 2).await;
        api.post("/v1/sources/paused/pause", &json!({})).await.ok();
        api.send_json("PUT", "/v1/topics/idle", &json!({})).await.ok();
        api.publish("orders", 1, 3).await;
        // One that is due tomorrow, and two that wait for a word.
        let tomorrow = Clock::system().now().plus(Duration::from_hours(24)).to_string();
        let due = cloud_event(101).replacen('{', &format!("{{\"deliverat\":\"{tomorrow}\","), 1);
        api.send(api.event("orders", due)).await.ok();
        for n in [102, 103] {
            let prepared = api
                .request("POST", "/v1/topics/orders/events?prepare=true")
                .header("content-type", "application/cloudevents+json");
            api.send(prepared.body(cloud_event(n))).await.ok();
        }
        // Its first event goes out, and the job waits.
        let job = json!({ "from": "earliest", "rate": "1/h" });
        api.post("/v1/subscriptions/billing/replays", &job).await.ok();
        let rig = Self { place, relay, outside, begun: Instant::now(), _hooks: hooks };
        rig.settled().await;
        rig
    }

    /// A client of it.
    pub(super) fn api(&self) -> &Api {
        self.relay.api()
    }

    /// The URL of the relay under this name.
    pub(super) fn named(&self, host: &str) -> String {
        self.place.base().replace("127.0.0.1", host)
    }

    /// Waits until all that is under way has arrived, and the notices of it.
    async fn settled(&self) {
        let mut last = Value::Null;
        loop {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let state = self.state().await;
            let all = state["/v1/subscriptions"]["subscriptions"].as_array().unwrap();
            let billing = all.iter().find(|one| one["name"] == "billing").unwrap();
            let delivered = billing["positions"][0]["delivered"] == 3;
            let dead = &state["/v1/subscriptions/refused/dead-letters"]["dead_letters"];
            let fed = &state["/v1/topics/feed/events"]["events"];
            let has = |list: &Value, count: usize| list.as_array().unwrap().len() == count;
            let is_there = delivered && has(dead, 3) && has(fed, 2);
            if is_there && state == last {
                return;
            }
            assert!(self.begun.elapsed() < Duration::from_secs(20), "{state:#}");
            last = state;
        }
    }

    /// All that a write could change, and how often anybody outside was asked.
    pub(super) async fn state(&self) -> Value {
        let mut state = serde_json::Map::new();
        let topics = self.api().get("/v1/topics").await.ok();
        state.insert("/v1/topics".to_owned(), timeless(topics));
        for path in STATE {
            let reply = self.api().get(path).await;
            state.insert(path.to_owned(), timeless(reply.ok()));
        }
        state.insert("asked outside".to_owned(), self.outside.load(Ordering::SeqCst).into());
        let actions = self.place.printed().matches("event=\"operator.action\"").count();
        state.insert("actions in the log".to_owned(), actions.into());
        Value::Object(state)
    }

    /// Leads a browser through `steps`; answers what each found.
    pub(super) async fn browse(&self, steps: &Value) -> Vec<Vec<String>> {
        browse(&self.place.path("browser"), steps).await
    }
}

/// What is shown, without what time changes by itself.
fn timeless(mut value: Value) -> Value {
    match &mut value {
        Value::Object(fields) => {
            let moving = |name: &str| {
                matches!(name, "rate" | "health" | "next_poll" | "report" | "oldest_seconds")
            };
            fields.retain(|name, _| !moving(name));
            fields.values_mut().for_each(|field| *field = timeless(field.take()));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = timeless(item.take())),
        _ => {}
    }
    value
}

/// Runs the browser with a folder of its own.
pub(super) async fn browse(folder: &Path, steps: &Value) -> Vec<Vec<String>> {
    let attack = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/attack.js");
    let plan = json!({ "script": attack, "steps": steps });
    let found = browser::lead(folder, "tests/browser/drive.js", plan).await;
    serde_json::from_value(found).unwrap()
}

/// Who is polled and pushed to.
async fn hooks(asked: Arc<AtomicUsize>) -> Server {
    Server::start(move |request| {
        asked.fetch_add(1, Ordering::SeqCst);
        async move {
            match request.parts.uri.path() {
                "/list" => json_answer(r#"[{"id":"1"},{"id":"2"}]"#),
                "/refuse" => answer(400, &[], "refused"),
                _ => answer(204, &[], ""),
            }
        }
    })
    .await
}
