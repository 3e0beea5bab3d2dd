//! What is counted and shown: every metric through the real binary, its page, the rules that alert on
//! it, and the dashboard.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
};

use milkrun::telemetry::list::{Described, METRICS};
use serde_json::json;

use crate::support::{
    Place, eventually, installed,
    producer::Producer,
    receiver::{Answer, Receiver},
    relay::free_port,
};

mod alerts;

/// What a node on a file has not.
const OF_A_DATABASE: [&str; 6] = [
    "store_oldest_xmin_seconds",
    "cluster_nodes",
    "cluster_term_left_seconds",
    "cluster_held_sources",
    "cluster_held_subscriptions",
    "cluster_held_topics",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// A program of Prometheus, as `scripts/test` has installed it.
fn prometheus(program: &str) -> Command {
    let usual = "target/prometheus/usr/bin";
    Command::new(installed("MILKRUN_TEST_PROMETHEUS", usual, Some(program)))
}

/// The name of a metric as it is asked for.
fn exposed(metric: &Described) -> String {
    let total = if metric.kind.to_string() == "counter" { "_total" } else { "" };
    format!("{}{total}", metric.family())
}

/// The families of an exposition: what each says of itself, and its lines.
fn families(text: &str) -> BTreeMap<String, (String, String, Vec<String>)> {
    let mut families: BTreeMap<String, (String, String, Vec<String>)> = BTreeMap::new();
    let mut last = String::new();
    for line in text.lines().filter(|line| *line != "# EOF") {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            let before = families.insert(name.to_owned(), (help.to_owned(), String::new(), vec![]));
            assert!(before.is_none(), "{name} stands twice");
            name.clone_into(&mut last);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(name, last, "a type without its help");
            kind.clone_into(&mut families.get_mut(name).unwrap().1);
        } else {
            assert!(line.starts_with(&last), "{line} stands below {last}");
            families.get_mut(&last).unwrap().2.push(line.to_owned());
        }
    }
    families
}

/// The value of a line.
fn value(text: &str, line: &str) -> Option<f64> {
    let rest = text.lines().find_map(|shown| shown.strip_prefix(line))?;
    rest.strip_prefix(' ')?.parse().ok()
}

#[tokio::test]
async fn every_metric_of_the_list_is_shown_and_no_other() {
    let producer = Producer::start(50).await;
    let receiver = Receiver::accepting().await;
    let sources = format!(
        "topics: {{ orders: {{ retention: {{ max_bytes: 1000000 }} }} }}\nsources:\n  \
         - {{ name: list, topic: numbers, interval: {{ every: 200ms, min: 200ms, max: 200ms }}, http: {} }}\nsubscriptions:\n  \
         - {{ name: billing, topic: numbers, from: earliest, webhook: {{ url: \"{}\", \
         secret: {{ env: HOOK_SECRET }} }} }}\n",
        producer.http(50),
        receiver.url()
    );
    let place = Place::new(&sources);
    let relay = place.start().await;
    producer.emit(20);
    receiver.until_accepted(20).await;
    let delivered = "milkrun_delivery_seconds_count{subscription=\"billing\"}";
    let text = eventually("all are counted", || async {
        let text = relay.api().get("/metrics").await.body;
        (value(&text, delivered) == Some(20.0)).then_some(text)
    })
    .await;
    let shown = families(&text);
    for metric in METRICS {
        let family = shown.get(&metric.family());
        if OF_A_DATABASE.contains(&metric.name) {
            assert_eq!(family, None, "{}", metric.name);
            continue;
        }
        let (help, kind, lines) = family.unwrap_or_else(|| panic!("{} in {text}", metric.name));
        assert_eq!(*help, format!("{}.", metric.help), "{}", metric.name);
        assert_eq!(*kind, metric.kind.to_string(), "{}", metric.name);
        for label in metric.labels {
            let all = lines.iter().all(|line| line.contains(&format!("{label}=\"")));
            assert!(all && !lines.is_empty(), "{label} in {lines:?}");
        }
    }
    let known: BTreeSet<_> = METRICS.iter().map(Described::family).collect();
    let unknown: Vec<_> = shown.keys().filter(|name| !known.contains(*name)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    for (line, expected) in [
        ("milkrun_subscription_state{subscription=\"billing\",state=\"open\"}", 1.0),
        ("milkrun_subscription_state{subscription=\"billing\",state=\"holding\"}", 0.0),
        ("milkrun_attempts_total{subscription=\"billing\",class=\"2xx\"}", 20.0),
        ("milkrun_dead_letters_total{subscription=\"billing\",reason=\"refused\"}", 0.0),
        ("milkrun_topic_head{topic=\"numbers\"}", 20.0),
        ("milkrun_topic_bytes_max{topic=\"orders\"}", 1_000_000.0),
        ("milkrun_config_last_reload_successful", 1.0),
    ] {
        assert_eq!(value(&text, line), Some(expected), "{line} in {text}");
    }
    assert!(relay.stop().await.success());
}

#[tokio::test]
async fn one_failing_event_among_many_is_owed_alone() {
    // The third is refused for ever; what comes behind it arrives.
    let receiver =
        Receiver::start(|delivery| Answer::status(if delivery.version == 3 { 500 } else { 204 }))
            .await;
    let place = Place::new("topics: { orders: {} }\n");
    let relay = place.start().await;
    relay.api().publish("orders", 1, 41).await;
    let subscription = json!({
        "name": "billing", "topic": "orders", "from": "earliest",
        "webhook": { "url": receiver.url() },
        "retry": { "schedule": ["1h"] },
    });
    relay.api().post("/v1/subscriptions", &subscription).await.ok();
    receiver.until_accepted(40).await;
    let owed = "milkrun_subscription_owed{subscription=\"billing\"}";
    eventually("one is owed", || async {
        let text = relay.api().get("/metrics").await.body;
        (value(&text, owed) == Some(1.0)).then_some(())
    })
    .await;
    let text = relay.api().get("/metrics").await.body;
    // It waits for its retry, and so nothing that could be sent does.
    let oldest = "milkrun_subscription_oldest_seconds{subscription=\"billing\"}";
    assert_eq!(value(&text, oldest), Some(0.0), "{text}");
    let failed = "milkrun_attempts_total{subscription=\"billing\",class=\"5xx\"}";
    assert!(value(&text, failed) >= Some(1.0), "{text}");
    assert!(relay.stop().await.success());
}

#[tokio::test]
async fn metrics_have_a_listener_of_their_own_and_can_be_fewer() {
    let receiver = Receiver::accepting().await;
    let port = free_port();
    let place = Place::new(&format!(
        "topics: {{ orders: {{}} }}\nmetrics: {{ per_subscription: off, listen: \"127.0.0.1:{port}\" }}\n"
    ));
    let relay = place.start().await;
    relay.api().publish("orders", 1, 5).await;
    let subscription = json!({
        "name": "billing", "topic": "orders", "from": "earliest",
        "webhook": { "url": receiver.url() },
    });
    relay.api().post("/v1/subscriptions", &subscription).await.ok();
    receiver.until_accepted(5).await;
    let alone = crate::support::Api::new(format!("http://127.0.0.1:{port}"));
    eventually("all are counted together", || async {
        let text = alone.get("/metrics").await.body;
        let together = "milkrun_attempts_total{subscription=\"\",class=\"2xx\"}";
        (value(&text, together) == Some(5.0)).then_some(())
    })
    .await;
    let text = alone.get("/metrics").await.body;
    assert!(!text.contains("billing"), "{text}");
    alone.get("/v1/topics").await.problem(404, "not_found");
    // A page whose name was made to lead here is no scraper.
    let foreign = alone.request("GET", "/metrics").header("host", "evil.example");
    alone.send(foreign).await.problem(403, "foreign_host");
    assert!(relay.stop().await.success());
}

#[test]
fn the_page_lists_every_metric() {
    let page = read("docs/metrics.md");
    let mut rows: BTreeSet<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    for metric in METRICS {
        let labels =
            if metric.labels.is_empty() { "-".to_owned() } else { metric.labels.join(", ") };
        let row =
            format!("| `{}` | {} | {labels} | {} |", exposed(metric), metric.kind, metric.help);
        assert!(rows.remove(&*row), "docs/metrics.md lacks this row:\n{row}");
    }
    assert!(rows.is_empty(), "docs/metrics.md lists what is not there: {rows:#?}");
}

#[test]
fn the_rules_pass_their_cases() {
    for arguments in [["check", "rules"], ["test", "rules"]] {
        let file = match arguments[0] {
            "check" => "milkrun.rules.yml",
            _ => "milkrun.rules.test.yml",
        };
        let output = prometheus("promtool")
            .args(arguments)
            .arg(file)
            .current_dir(root().join("ops/prometheus"))
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {told}{errors}");
    }
}

#[test]
fn rules_and_dashboard_ask_for_metrics_that_are_there() {
    let mut known = BTreeSet::new();
    for metric in METRICS {
        let name = exposed(metric);
        if metric.kind.to_string() == "histogram" {
            known.extend(["_bucket", "_sum", "_count"].map(|part| format!("{name}{part}")));
        }
        known.insert(name);
    }
    for file in ["ops/prometheus/milkrun.rules.yml", "ops/grafana/milkrun.json"] {
        let text = read(file);
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let asked: BTreeSet<_> = words
            .filter(|word| word.starts_with("milkrun_") || word.starts_with("process_"))
            .collect();
        assert!(asked.len() > 10, "{file}: {asked:?}");
        let unknown: Vec<_> = asked.iter().filter(|word| !known.contains(**word)).collect();
        assert!(unknown.is_empty(), "{file} asks for {unknown:?}");
    }
}

#[test]
fn every_alert_has_a_runbook() {
    let (rules, runbook) = (read("ops/prometheus/milkrun.rules.yml"), read("docs/runbook.md"));
    let alerts: Vec<_> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert_eq!(alerts.len(), 22, "{alerts:?}");
    for alert in alerts {
        assert!(runbook.lines().any(|line| line == format!("## {alert}")), "{alert}");
        let anchor = format!("docs/runbook.md#{}", alert.to_lowercase());
        assert!(rules.contains(&anchor), "{anchor}");
    }
}
