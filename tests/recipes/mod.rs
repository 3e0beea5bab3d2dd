//! The recipes as shipped, each against recorded answers: two walks, a restart in mid-walk, a
//! repeat, and an empty poll. `NAME/expect.yaml` says what is asked and what must come of it; the
//! answers lie beside it.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::support::{
    Place, Raw, Relay, eventually,
    raw::{self, recorded},
};

mod page;

/// What must come of one recipe.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    /// The environment; `{{BASE}}` is the origin of the recorded producer.
    env: BTreeMap<String, String>,
    /// The walks, in order.
    walks: Vec<Walk>,
    /// Every event of the log, from version 1 on: `[id, type, time, subject, key]`.
    events: Vec<[Option<String>; 5]>,
}

/// One walk.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Walk {
    /// What is asked, and what is answered.
    asks: Vec<Exchange>,
    /// What its report says.
    result: String,
    /// Why it ended.
    stopped_by: String,
    /// How many events it appended.
    new: u64,
    /// What an operator should know of it.
    #[serde(default)]
    message: Option<String>,
    /// The value of the cursor behind it; `{{BASE}}` as above.
    #[serde(default)]
    cursor: Option<String>,
}

/// One request and its answer.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exchange {
    /// Method, target and body, byte for byte.
    ask: String,
    /// The file of the answer: `.http` is a whole one, `.json` its body.
    get: String,
    /// The relay is killed while it waits for this answer, and asks again when it is back.
    #[serde(default)]
    killed: bool,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The names of all recipes.
fn names() -> Vec<String> {
    let files = fs::read_dir(root().join("config/recipes")).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> =
        names.map(|name| name.strip_suffix(".yaml").unwrap().to_owned()).collect();
    names.sort();
    names
}

fn recipe(name: &str) -> String {
    fs::read_to_string(root().join(format!("config/recipes/{name}.yaml"))).unwrap()
}

fn expected(name: &str) -> Expected {
    let path = root().join(format!("tests/recipes/{name}/expect.yaml"));
    let text =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{error}: {}", path.display()));
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn answer(name: &str, file: &str) -> String {
    let path = root().join(format!("tests/recipes/{name}/{file}"));
    let text =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{error}: {}", path.display()));
    if path.extension().is_some_and(|end| end == "json") { raw::json(&text) } else { text }
}

/// A place with the recipe as shipped, but for the guard and the interval: the test says when.
fn place(name: &str, env: &BTreeMap<String, String>, base: &str) -> Place {
    let mut place = Place::new("");
    let shipped = recipe(name);
    let lines = shipped.lines().map(|line| match line.split_once("interval:") {
        Some((indent, _)) if indent.trim().is_empty() => format!("{indent}interval: 1h\n"),
        _ => format!("{line}\n"),
    });
    let lines: String = lines.collect();
    let guard = "outbound: { allow: [\"127.0.0.0/8\"] }\n";
    let guard = if lines.contains("\noutbound:") { "" } else { guard };
    place.write_raw(&format!("{guard}{lines}"));
    let (data, listen) = (place.path(""), place.base());
    place.env("MILKRUN_DATA", data.to_str().unwrap());
    place.env("MILKRUN_LISTEN", listen.trim_start_matches("http://"));
    for (name, value) in env {
        let value = match value.strip_prefix("file:") {
            Some(text) => {
                fs::write(place.path(name), text).unwrap();
                place.path(name).to_str().unwrap().to_owned()
            }
            None => value.replace("{{BASE}}", base),
        };
        place.env(name, &value);
    }
    place
}

/// The producer: it answers what is expected, one after the other.
struct Recorded {
    raw: Raw,
    held: Arc<AtomicUsize>,
    release: Arc<AtomicBool>,
}

impl Recorded {
    async fn start(name: &str, expected: &Expected) -> Self {
        let script: Vec<(Exchange, String)> = expected
            .walks
            .iter()
            .flat_map(|walk| walk.asks.clone())
            .map(|exchange| (exchange.clone(), answer(name, &exchange.get)))
            .collect();
        let held: Arc<AtomicUsize> = Arc::default();
        let release: Arc<AtomicBool> = Arc::default();
        let (holding, released, next) = (held.clone(), release.clone(), Mutex::new(0));
        let raw = Raw::start(move |_, base| {
            let mut next = next.lock().unwrap();
            let (exchange, text) = script.get(*next)?;
            if exchange.killed && !released.swap(false, SeqCst) {
                holding.fetch_add(1, SeqCst);
                return None;
            }
            *next += 1;
            Some(recorded(text, base))
        })
        .await;
        Self { raw, held, release }
    }

    /// What was asked, but for what a killed relay did not wait for.
    fn asked(&self) -> Vec<String> {
        self.raw.sent().iter().map(raw::Sent::line).collect()
    }
}

/// The only source of a relay.
async fn state(relay: &Relay) -> Value {
    let list = relay.api().get("/v1/sources").await.ok();
    let name = list["sources"][0]["name"].as_str().unwrap().to_owned();
    relay.api().get(&format!("/v1/sources/{name}")).await.ok()
}

/// Runs one recipe through its walks.
async fn run(name: &str) {
    let expected = expected(name);
    let producer = Recorded::start(name, &expected).await;
    let place = place(name, &expected.env, &producer.raw.url(""));
    let mut relay = place.start().await;
    let mut asked = Vec::new();
    let mut kills = 0;
    for (at, walk) in expected.walks.iter().enumerate() {
        let what = format!("walk {} of {name}", at + 1);
        if at > 0 {
            let name = state(&relay).await["name"].as_str().unwrap().to_owned();
            relay.api().post(&format!("/v1/sources/{name}/poll"), &json!({})).await.ok();
        }
        if walk.asks.iter().any(|exchange| exchange.killed) {
            kills += 1;
            let held = &producer.held;
            eventually(&what, || async { (held.load(SeqCst) == kills).then_some(()) }).await;
            relay.kill().await;
            producer.release.store(true, SeqCst);
            relay = place.start().await;
        }
        let walked = || async {
            let state = state(&relay).await;
            let failed = state["report"]["result"]
                .as_str()
                .is_some_and(|result| !matches!(result, "ok" | "unchanged" | "waiting"));
            assert!(!failed, "{what}: {state:#}\n{:#?}", producer.asked());
            (state["walks"].as_u64() == Some(at as u64 + 1)).then_some(state)
        };
        let state = eventually(&what, walked).await;
        for exchange in &walk.asks {
            asked.extend(std::iter::repeat_n(
                exchange.ask.clone(),
                1 + usize::from(exchange.killed),
            ));
        }
        assert_eq!(producer.asked(), asked, "{what}");
        let report = &state["report"];
        let got = json!([report["result"], report["stopped_by"], report["new"], report["message"]]);
        assert_eq!(
            got,
            json!([walk.result, walk.stopped_by, walk.new, walk.message]),
            "{what}: {state:#}"
        );
        let base = producer.raw.url("");
        let cursor = walk.cursor.as_ref().map(|text| text.replace("{{BASE}}", &base));
        assert_eq!(state["cursor"]["value"], json!(cursor), "{what}: {state:#}");
        assert_eq!(state["rejected"], 0, "{what}");
    }
    let topic = state(&relay).await["topic"].as_str().unwrap().to_owned();
    events(name, &relay.api().log(&topic).await, &expected.events);
}

/// Versions run from 1 on, and each event is what it must be.
fn events(name: &str, log: &[String], expected: &[[Option<String>; 5]]) {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let got: Vec<[Option<String>; 5]> = log
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .enumerate()
        .map(|(at, event)| {
            let version = event["version"].as_u64();
            let version = version.or_else(|| event["version"].as_str()?.parse().ok());
            assert_eq!(version, Some(at as u64 + 1), "{event:#}");
            ["id", "type", "time", "subject", "partitionkey"].map(|field| text(&event[field]))
        })
        .collect();
    assert_eq!(got, expected, "{name}");
}

macro_rules! recipes {
    ($($test:ident: $name:literal,)*) => {
        const TESTED: &[&str] = &[$($name),*];
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                run($name).await;
            }
        )*
    };
}

recipes! {
    github: "github-events",
    graph: "graph-delta",
    jira: "jira-search",
    jsonapi: "jsonapi",
    kinto: "kinto",
    mediawiki: "mediawiki-recentchanges",
    okta: "okta-system-log",
    slack: "slack-audit",
    stripe: "stripe-events",
    usgs: "usgs-earthquakes",
}

#[test]
fn every_recipe_is_tested() {
    assert_eq!(names(), TESTED);
    for name in TESTED {
        let walks = expected(name).walks;
        assert!(walks.len() >= 4, "{name} has {} walks", walks.len());
        let asks = || walks.iter().flat_map(|walk| &walk.asks);
        assert!(asks().any(|exchange| exchange.killed), "{name} has no restart");
        assert!(walks.iter().filter(|walk| walk.new > 0).count() >= 2, "{name}");
        assert!(walks.iter().filter(|walk| walk.new == 0).count() >= 2, "{name}");
    }
}

/// `milkrun check` accepts each as shipped, and tells of a fault in it.
#[tokio::test]
async fn every_recipe_is_accepted() {
    for name in names() {
        let mut place = place(&name, &expected(&name).env, "https://producer.example");
        place.env("CONSUMER_SECRET", crate::support::relay::SECRET);
        place.write_raw(&recipe(&name));
        let config = place.config();
        let check = ["check", "-c", config.to_str().unwrap()];
        let ended = place.run(&check).await;
        assert_eq!(ended.code, Some(0), "{name}: {ended:?}");
        place.write_raw(&recipe(&name).replace("\n      items:", "\n      itmes:"));
        assert_eq!(place.run(&check).await.code, Some(78), "{name}");
    }
}
