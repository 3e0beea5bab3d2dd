//! A real Prometheus that scrapes a busy relay: what should alert does, and nothing else.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    process::{Child, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{OF_A_DATABASE, prometheus, read};
use crate::support::{
    Api, Place, eventually,
    producer::Producer,
    receiver::{Answer, Receiver},
    relay::free_port,
    server::{Asked, Server, json as answer_json},
};

/// The times of the rules go by so many times as fast.
const FASTER: u64 = 60;

/// A Prometheus that ends with this.
struct Prometheus {
    process: Child,
    api: Api,
    _folder: TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // What cannot be ended has ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Prometheus {
    /// One that scrapes every second, with the rules made faster.
    async fn start(target: &str) -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(
            folder.path().join("rules.yml"),
            faster(&read("ops/prometheus/milkrun.rules.yml")),
        )
        .unwrap();
        let config = json!({
            "global": { "scrape_interval": "1s", "evaluation_interval": "1s" },
            "rule_files": ["rules.yml"],
            "scrape_configs": [{ "job_name": "milkrun", "static_configs": [{ "targets": [target] }] }],
        });
        fs::write(folder.path().join("prometheus.yml"), config.to_string()).unwrap();
        let listen = format!("127.0.0.1:{}", free_port());
        let process = prometheus("prometheus")
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--log.level=error"])
            .arg(format!("--web.listen-address={listen}"))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let api = Api::new(format!("http://{listen}"));
        eventually("Prometheus", || async {
            let request = api.request("GET", "/-/ready");
            api.try_send(request).await.filter(|reply| reply.status == 200).map(drop)
        })
        .await;
        Self { process, api, _folder: folder }
    }

    /// The alerts that fire, each with whom it is about.
    async fn firing(&self) -> BTreeSet<(String, String)> {
        let alerts = self.api.get("/api/v1/alerts").await.ok();
        let alerts = alerts["data"]["alerts"].as_array().unwrap().iter();
        let firing = alerts.filter(|alert| alert["state"] == "firing").map(|alert| {
            let labels = &alert["labels"];
            let whom = ["subscription", "source", "topic", "instance"];
            let whom = whom.iter().find_map(|label| labels[*label].as_str()).unwrap_or_default();
            (labels["alertname"].as_str().unwrap().to_owned(), whom.to_owned())
        });
        firing.collect()
    }

    /// How many results an expression has.
    async fn results(&self, expression: &str) -> usize {
        let query: String = url::form_urlencoded::byte_serialize(expression.as_bytes()).collect();
        let reply = self.api.get(&format!("/api/v1/query?query={query}")).await;
        assert_eq!(reply.status, 200, "{expression}: {}", reply.body);
        reply.json()["data"]["result"].as_array().unwrap().len()
    }
}

/// The rules with every time made shorter.
fn faster(rules: &str) -> String {
    let shorter = |word: &str| {
        let seconds = match (word.strip_suffix('m'), word.strip_suffix('h')) {
            (Some(minutes), _) => minutes.parse::<u64>().ok()? * 60,
            (_, Some(hours)) => hours.parse::<u64>().ok()? * 3_600,
            _ => word.parse().ok().filter(|seconds| [21_600, 3_600, 600, 300].contains(seconds))?,
        };
        let unit = if word.ends_with(['m', 'h']) { "s" } else { "" };
        Some(format!("{}{unit}", seconds / FASTER))
    };
    let mut made = String::new();
    for piece in rules.split_inclusive(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
        let word = piece.trim_end_matches(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        made.push_str(&shorter(word).unwrap_or_else(|| word.to_owned()));
        made.push_str(&piece[word.len()..]);
    }
    made
}

/// An expression with something in the place of its variables.
fn filled(expression: &str) -> String {
    let mut parts = expression.split('$');
    let mut made = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let bare = part.trim_start_matches('{');
        let end = bare.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':');
        let (name, rest) = bare.split_at(end.unwrap_or(bare.len()));
        let rest = if bare.len() < part.len() { rest.trim_start_matches('}') } else { rest };
        made.push_str(match name {
            "__rate_interval" | "__range" => "10s",
            "__interval" => "1s",
            _ => ".*",
        });
        made.push_str(rest);
    }
    made
}

/// The expressions of the dashboard, with something in the place of its variables.
fn expressions(dashboard: &Value, found: &mut BTreeSet<String>) {
    match dashboard {
        Value::Object(fields) => {
            if let Some(Value::String(expression)) = fields.get("expr") {
                found.insert(filled(expression));
            }
            fields.values().for_each(|field| expressions(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| expressions(item, found)),
        _ => {}
    }
}

fn source(name: &str, url: &str, more: &str) -> String {
    format!(
        "  - {{ name: {name}, topic: {name}, interval: {{ every: 500ms, min: 500ms, max: 500ms }}, \
         {more} http: {{ url: \"{url}\", listed: oldest_first, items: events, id: id }} }}\n"
    )
}

#[tokio::test]
async fn what_should_alert_does_and_nothing_else() {
    let producer = Producer::start(50).await;
    let failing = Server::start(|_: Asked| async { answer_json("{") }).await;
    let one = r#"{"events": [{"id": "1"}]}"#;
    let silent = Server::start(move |_: Asked| async move { answer_json(one) }).await;
    let healthy = Receiver::accepting().await;
    let slow = Receiver::start(|_| Answer { status: 204, delay: Duration::from_millis(500) }).await;
    let poisoned =
        Receiver::start(|delivery| Answer::status(if delivery.version == 7 { 500 } else { 204 }))
            .await;
    let mut dead = Receiver::accepting().await;
    dead.down();
    let mut yaml = format!(
        "sources:\n  - {{ name: healthy, topic: numbers, interval: {{ every: 500ms, min: 500ms, \
         max: 500ms }}, http: {} }}\n",
        producer.http(50)
    );
    yaml.push_str(&source("failing", &failing.url("/"), ""));
    yaml.push_str(&source("silent", &silent.url("/"), "silent_after: 5s,"));
    yaml.push_str("subscriptions:\n");
    for (name, url) in [
        ("healthy", healthy.url()),
        ("slow", slow.url()),
        ("poisoned", poisoned.url()),
        ("dead", dead.url()),
    ] {
        writeln!(
            yaml,
            "  - {{ name: {name}, topic: numbers, from: earliest, concurrency: 1, \
             retry: {{ schedule: [100ms, 100ms] }}, webhook: {{ url: \"{url}\", \
             secret: {{ env: HOOK_SECRET }} }} }}"
        )
        .unwrap();
    }
    let place = Place::new(&yaml);
    let relay = place.start().await;
    let prometheus = Prometheus::start(&relay.api().address()).await;
    let expected: BTreeSet<(String, String)> = [
        ("MilkrunBehind", "slow"),
        ("MilkrunBehindAndGrowing", "slow"),
        ("MilkrunOnHold", "dead"),
        ("MilkrunDeadLettersAdded", "poisoned"),
        ("MilkrunSourceFailing", "failing"),
        ("MilkrunSourceSilent", "silent"),
    ]
    .map(|(alert, whom)| (alert.to_owned(), whom.to_owned()))
    .into();
    let mut fired = BTreeSet::new();
    // A minute for all: the longest waits 15 s to grow, and 15 s more.
    for _ in 0..120 {
        producer.emit(5);
        tokio::time::sleep(Duration::from_millis(500)).await;
        fired.extend(prometheus.firing().await);
    }
    assert_eq!(fired, expected);
    let mut asked = BTreeSet::new();
    expressions(&serde_json::from_str(&read("ops/grafana/milkrun.json")).unwrap(), &mut asked);
    assert!(asked.len() > 20, "{asked:?}");
    let is_of_a_database =
        |text: &str| OF_A_DATABASE.iter().any(|name| text.contains(&format!("milkrun_{name}")));
    for expression in asked.iter().filter(|expression| !is_of_a_database(expression)) {
        assert!(prometheus.results(expression).await > 0, "no data: {expression}");
    }
    assert!(relay.stop().await.success());
}
