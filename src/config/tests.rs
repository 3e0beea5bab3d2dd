//! Tests of the configuration: what is refused and how it is said, and that every sample is good.

use std::{collections::HashMap, path::Path, time::Duration};

use super::*;
use crate::{
    event::Version,
    settings::Delays,
    store::{Origin, StartFrom},
};

mod delivery;
mod places;
mod secrets;
mod written;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn env(name: &str) -> Option<String> {
    let set = HashMap::from([
        ("SECRET", SECRET),
        ("GITHUB_TOKEN", "ghp_veryveryhidden"),
        ("KINTO_USER", "user"),
        ("KINTO_PASSWORD", "hunter2hunter2"),
        ("CONSUMER_SECRET", SECRET),
        ("HOST", "api.example.com"),
        ("SLY", "a\nlisten: 0.0.0.0:1"),
        ("PORT", "9999"),
        ("EMPTY", ""),
        ("SHORT", "abc"),
    ]);
    set.get(name).map(|&value| value.to_owned())
}

fn good(text: &str) -> Config {
    parse(text, "m.yaml", env).unwrap_or_else(|error| panic!("{error}"))
}

fn refused(text: &str) -> String {
    match parse(text, "m.yaml", env) {
        Ok(_) => panic!("taken:\n{text}"),
        Err(error) => error.to_string(),
    }
}

fn source(lines: &str) -> String {
    format!(
        "sources:\n  - name: s\n    topic: t\n    http:\n      url: https://a.example/e\n      id: id\n{lines}"
    )
}

fn subscription(lines: &str) -> String {
    format!(
        "subscriptions:\n  - name: s\n    topic: t\n    webhook: {{ url: \"https://a.example/e\" }}\n{lines}"
    )
}

#[test]
fn a_misspelt_key_is_told_with_place_line_and_nearest_name() {
    let text = "sources:\n  - name: s\n    topic: t\n    intervall: 60s\n    http: { url: \"https://a.example\", id: id }\n";
    insta::assert_snapshot!(refused(text), @r"
    m.yaml:4:5: unknown key `intervall`: did you mean `interval`? (expected one of: name, topic, interval, walk_resume, silent_after, http)
       |
     4 |     intervall: 60s
       |     ^
    ");
}

/// Each text is refused where it says, and with these words.
#[test]
fn a_store_that_cannot_be_is_told() {
    for (text, expected) in [
        ("store: mysql://x\n", ":1:8: `store`: expected `sqlite:`"),
        ("store: postgres://\n", ":1:8: `store`: expected `sqlite:`"),
        ("store: { url: \"sqlite:m.db\", durability: replicated }\n", "a file is on one machine"),
        ("store: { durability: any }\n", "the key `url` is missing in `store`"),
        ("store: { url: { env: NONE } }\n", "the environment variable `NONE` is not set"),
        ("cluster: { term: 1s }\n", ":1:18: `cluster.term`: expected 2s to 5m"),
        ("cluster: { node: \"a b\" }\n", ":1:18: `cluster.node`: expected 1 to 100"),
    ] {
        let told = refused(text);
        assert!(told.contains(expected), "{text}: {told}");
    }
}

#[test]
fn what_is_wrong_is_told() {
    let http = |line: &str| source(&format!("      {line}\n"));
    let webhook = |rest: &str| {
        format!(
            "subscriptions:\n  - name: s\n    topic: t\n    webhook: {{ url: \"https://a.example\", {rest} }}\n"
        )
    };
    for (text, expected) in [
        ("stroe: x\n".to_owned(), ":1:1: unknown key `stroe`: did you mean `store`?"),
        ("store: \"sqlite:~/m.db\"\n".into(), ":1:8: `store`: `~` is not expanded here"),
        ("listen: 8080\n".into(), ":1:9: `listen: 8080`: expected an address and a port"),
        ("outbound: { allow: [10.0.0.0/99] }\n".into(), ":1:21: `outbound.allow`: `10.0.0.0/99`"),
        ("insecure: yes\n".into(), ":1:11: "),
        ("topics: { Bad: {} }\n".into(), ":1:11: `Bad` is not a name"),
        ("topics: { milkrun.x: {} }\n".into(), "`milkrun.`"),
        ("topics: { a: { retention: { age: 30 } } }\n".into(), "`30` is no length of time"),
        ("topics: { a: { retention: { count: 0 } } }\n".into(), "more than zero"),
        ("topics:\n  a: {}\n  a: {}\n".into(), ":3:3: the key `a` is there twice"),
        ("store: [\n".into(), "m.yaml:"),
        (
            "limits: { in_flight_max: 0 }\n".into(),
            "`limits.in_flight_max: 0`: expected 1 to 1000000",
        ),
        (
            "limits: { walks_max: 2305843009213693952 }\n".into(),
            "`limits.walks_max: 2305843009213693952`: expected 1 to 1000000",
        ),
        ("limits: { streams_max: 1000001 }\n".into(), "`limits.streams_max: 1000001`: expected"),
        ("limits: { readers: 65 }\n".into(), "`limits.readers: 65`: expected 1 to 64"),
        ("limits: { dedupe_keys_max: 0 }\n".into(), "`limits.dedupe_keys_max: 0`: expected 1"),
        ("limits: { walk_bytes_max: 1 }\n".into(), "expected 33554432 to 68719476736"),
        ("limits: { tail_bytes: 18446744073709551615 }\n".into(), "`limits.tail_bytes"),
        (http("pages: link_haeder"), "unknown value `link_haeder`: did you mean `link_header`?"),
        (http("pages: { link_header: { rell: x } }"), "unknown key `rell`: did you mean `rel`?"),
        (http("cursor: { max_field: { kind: time } }"), "the key `path` is missing"),
        (http("overlap: 2m"), "`http`: `overlap`"),
        (http("start: soon"), "`now`, `earliest`"),
        (
            "sources: [{ name: s, topic: t, http: { url: \"https://a.example\", id: { expr: \"item.\" } } }]\n".into(),
            "`http`: `id",
        ),
        (http("auth: { bearer: { env: NOT_SET } }"), "`NOT_SET` is not set"),
        (http("auth: { bearer: { envv: X } }"), "unknown value `envv`: did you mean `env`?"),
        (http("auth: { bearer: { file: /does/not/exist } }"), "cannot read `/does/not/exist`"),
        (http("auth: { bearer: { env: EMPTY } }"), "the secret is empty"),
        (http("auth: { api_key: { value: { env: HOST } } }"), "one of `header` and `query`"),
        (http("headers: { \"a b\": x }"), "cannot be sent as an HTTP header"),
        (source("    interval: { every: 1s, min: 2s }\n"), "min ≤ every ≤ max"),
        (
            "sources: [{ name: s, topic: t, http: { url: nope, id: id } }]\n".into(),
            "`url`: expected a URL",
        ),
        (
            "sources: [{ name: s, topic: t, http: { url: \"https://u:p@a.example\", id: id } }]\n"
                .into(),
            "`url`",
        ),
        (
            "sources: [{ name: s, http: { url: \"https://a.example\", id: id } }]\n".into(),
            "the key `topic` is missing",
        ),
        (subscription("    from: yesterday\n"), "`from: yesterday`: expected latest, earliest"),
        (subscription("    order: kye\n"), ":5:12: unknown value `kye`: did you mean `key`?"),
        ("outbound: { proxy: a.example }\n".into(), ":1:20: `outbound.proxy`: expected the URL"),
        (
            "limits: { host_in_flight_max: 0 }\n".into(),
            "`limits.host_in_flight_max: 0`: expected 1 to 1000000",
        ),
        (subscription("    topics: [u]\n"), "one of `topic` and `topics`"),
        (subscription("    concurrency: 0\n"), "`concurrency`: expected 1 to 1024"),
        (subscription("    max_exceptions: 1000001\n"), "`max_exceptions`: expected 1 to 1000000"),
        (subscription("    retry: { max_attempts: 1001 }\n"), "`retry.max_attempts`: expected 1 to 1000"),
        (webhook("timeout: 6m"), "`webhook.timeout`: expected at most 5m"),
        (webhook("headers: { user-agent: x }"), "is set by the relay itself"),
        (
            subscription("    retry: { schedule: [1s], exponential: {} }\n"),
            "one of `schedule` and `exponential`",
        ),
        (
            subscription("    retry: { exponential: { multiplier: 0.5 } }\n"),
            "`retry.exponential.multiplier`",
        ),
        (subscription("    retry: { never_retry: [200] }\n"), "`retry.never_retry`"),
        (subscription("    hold: { after: 0 }\n"), "`hold.after`"),
        (webhook("secret: { env: SHORT }"), "a signing secret"),
        (webhook("headers: { webhook-id: x }"), "is set by the relay itself"),
        ("subscriptions: [{ name: s, topic: t, webhook: { url: \"http://169.254.169.254/x\" } }]\n".into(), "`webhook.url`: `169.254.169.254` is the forbidden address"),
        ("subscriptions: [{ name: s, topic: t, webhook: { url: \"http://localhost/x\" } }]\n".into(), "`outbound.allow`"),
        ("subscriptions: [{ name: s, topic: t, webhook: { url: \"https://u:p@a.example\" } }]\n".into(), "`webhook.url`: expected no user"),
        ("sources: [{ name: s, topic: t, http: { url: \"http://[::ffff:127.0.0.1]/\", id: id } }]\n".into(), "is the forbidden address"),

        (webhook("timeout: 0s"), "`webhook.timeout`: expected more than zero"),
        ("store: ${NOT_SET}\n".into(), ":1:8: the environment variable `NOT_SET` is not set"),
        ("store: $HOME\n".into(), "`$HOME`: write `${HOME}`"),
        ("store: ${A:?b}\n".into(), "expected `${NAME}` or `${NAME:-default}`"),
    ] {
        let told = refused(&text);
        assert!(told.contains(expected), "{text}\nexpected: {expected}\ntold: {told}");
    }
}

#[test]
fn several_problems_are_told_at_once() {
    let text = "listen: nowhere\nsources:\n  - { name: s, topic: t, http: { url: \"https://a.example\", id: id } }\n  - { name: s, topic: T, http: { url: x, id: id } }\n";
    let told = refused(text);
    let places: Vec<&str> =
        told.lines().filter_map(|l| l.strip_prefix("m.yaml:")?.split(": ").next()).collect();
    assert_eq!(places, ["1:9", "4:13", "4:23", "4:39"], "{told}");
    assert!(told.contains("there is a source `s` already, in line 3"));
}

#[test]
fn a_secret_in_plain_text_is_refused_and_never_shown() {
    for text in [
        source("      auth: { bearer: hunter2hunter2 }\n"),
        source("      auth: { basic: { user: u, password: hunter2hunter2 } }\n"),
        "subscriptions: [{ name: s, topic: t, webhook: { url: \"https://a.example\", secret: hunter2hunter2 } }]\n".into(),
    ] {
        let told = refused(&text);
        assert!(told.contains("expected { env: NAME } or { file: PATH }"), "{told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
}

#[test]
fn a_dollar_sign_in_a_key_is_one() {
    let text = "sources:\n- name: a\n  topic: t\n  http:\n    url: https://a.example/\n    id: id\n    query:\n      \"$filter\": \"price gt $$5 and {cursor}\"\n      $top: \"${TOP}\"\n      \"$$x\": ${NONE:-a}\n    cursor: { last_id: {} }\n    body: [{ $a: [b] }, { \"${NOT_SET}\": [$$c] }]\n";
    let top = |name: &str| (name == "TOP").then(|| "$5".to_owned());
    let config = parse(text, "m.yaml", top).unwrap();
    let http = &config.sources[0].http;
    let query: Vec<(&str, &str)> =
        http.query.iter().map(|param| (&*param.name, &*param.value)).collect();
    assert_eq!(query, [("$filter", "price gt $5 and {cursor}"), ("$top", "$5"), ("$$x", "a")]);
    assert_eq!(http.body, Some(serde_json::json!([{"$a": ["b"]}, {"${NOT_SET}": ["$c"]}])));
    let error = parse(&text.replace("$$5", "$five"), "m.yaml", top).unwrap_err().to_string();
    assert!(error.contains("m.yaml:8:18: `$five`"), "{error}");
}

#[test]
fn variables_are_put_into_values_and_nowhere_else() {
    let text = "# ${NOT_SET} in a comment\nlisten: \"127.0.0.1:${PORT}\"\nstore: sqlite:${DIR:-data}/$$x.db\nlimits: { walks_max: \"${PORT}\" }\n";
    let config = good(text);
    assert_eq!(config.listen.port(), 9999);
    assert_eq!(config.store.as_str(), "sqlite:data/$x.db");
    assert_eq!(config.limits.walks_max, 9999);
    // A value with a line break stays one value.
    let told = refused("store: ${SLY}\n");
    assert!(told.contains("`store`: expected `sqlite:`"), "{told}");
}

#[test]
fn secrets_are_read_and_hidden() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, "hidden-in-a-file\n").unwrap();
    let text = source(&format!(
        "      auth: {{ bearer: {{ file: \"{}\" }} }}\n      headers: {{ x-a: {{ env: GITHUB_TOKEN }} }}\n",
        file.display()
    ));
    let config = good(&text);
    let spec = &config.sources[0].http;
    assert_eq!(
        spec.auth,
        probes::http::Auth::Bearer(probes::http::Secret("hidden-in-a-file".into()))
    );
    assert_eq!(spec.headers[0].value, "ghp_veryveryhidden");
    let debug = format!("{:?}", config.sources);
    assert!(!debug.contains("hidden-in") && !debug.contains("veryhidden"), "{debug}");
}

#[test]
fn what_is_shown_hides_secrets_and_what_came_from_variables() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.yaml");
    let text = source(
        "      headers: { x-a: \"Token ${GITHUB_TOKEN}\" }\n      auth: { bearer: { env: SECRET } }\n",
    );
    std::fs::write(&path, text).unwrap();
    let shown = show(&path, env).unwrap();
    assert!(shown.contains("Token ${GITHUB_TOKEN}"), "{shown}");
    assert!(shown.contains("env: SECRET"), "{shown}");
    assert!(shown.contains("127.0.0.1:8080"), "{shown}");
    assert!(!shown.contains("veryhidden") && !shown.contains(SECRET), "{shown}");
    // What is shown is a file again.
    assert_eq!(good(&shown).sources[0].http, load(&path, env).unwrap().sources[0].http);
}

#[test]
fn a_file_becomes_a_config() {
    let config = good(
        "topics: { t: { retention: { age: null, count: 10 }, dedupe: { age: 1d } }, bare: }\n\
         sources:\n  - name: s\n    topic: implicit\n    interval: { every: 20s, max: 1m }\n    http: { url: \"https://${HOST}/e?x=1\", id: [id, rev], pages: link_header, cursor: none }\n\
         subscriptions:\n  - name: b\n    topics: [t, other]\n    from: 42\n    webhook: { url: \"https://a.example\", secrets: [{ env: SECRET }, { env: CONSUMER_SECRET }], timeout: 3s }\n    retry: { schedule: [1s, 2s], jitter: 0, max_attempts: 3, never_retry: [400] }\n    concurrency: 4\n",
    );
    let names: Vec<&str> = config.topics.iter().map(|(topic, _)| topic.as_str()).collect();
    assert_eq!(names, ["bare", "implicit", "other", "t"]);
    let settings = &config.topics[3].1;
    assert_eq!((settings.max_age, settings.max_count), (None, Some(10)));
    assert_eq!(settings.dedupe_age, Duration::from_hours(24));
    let source = &config.sources[0];
    assert_eq!(source.http.default_kind, "implicit.event");
    assert_eq!(source.http.url.to_string(), "https://api.example.com/e?x=1");
    assert_eq!(source.interval_min, Duration::from_secs(2));
    assert_eq!(source.interval_max, Duration::from_mins(1));
    let subscription = &config.subscriptions[0];
    assert_eq!(subscription.from, StartFrom::After(Version(41)));
    assert_eq!(subscription.origin, Origin::File);
    assert_eq!(subscription.settings.secrets.len(), 2);
    assert_eq!(subscription.settings.retry.max_attempts, Some(3));
    let delays = vec![Duration::from_secs(1), Duration::from_secs(2)];
    assert_eq!(subscription.settings.retry.delays, Delays::Schedule { delays, jitter: 0.0 });
}

#[test]
fn an_empty_file_has_the_defaults() {
    for text in ["", "# nothing\n", "{}\n"] {
        let config = good(text);
        assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(config.limits, Limits::default());
    }
}

fn samples() -> Vec<std::path::PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let mut found = Vec::new();
    for directory in [root.clone(), root.join("recipes")] {
        let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        found.extend(entries.filter(|path| path.extension().is_some_and(|e| e == "yaml")));
    }
    found
}

#[test]
fn every_sample_is_good_and_follows_the_schema() {
    let samples = samples();
    assert!(samples.len() >= 3);
    let schema = jsonschema::validator_for(&schema()).unwrap();
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&token, "s3cret-token").unwrap();
    let set = |name: &str| match name {
        "GRAPH_TOKEN_FILE" => Some(token.path().display().to_string()),
        _ if ["_TOKEN", "_KEY", "_USER"].iter().any(|end| name.ends_with(end)) => {
            Some("s3cret-value".to_owned())
        }
        _ => env(name),
    };
    for path in samples {
        let config = load(&path, set).unwrap_or_else(|error| panic!("{error}"));
        assert!(config.listen.ip().is_loopback());
        let text = std::fs::read_to_string(&path).unwrap();
        let tree: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
        schema.validate(&tree).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

/// The documented sample needs no environment at all.
#[test]
fn the_first_sample_works_without_anything_set() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/milkrun.yaml");
    load(&path, |_| None).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn the_schema_refuses_what_the_reader_refuses() {
    let schema = jsonschema::validator_for(&schema()).unwrap();
    for wrong in [
        serde_json::json!({ "stroe": "x" }),
        serde_json::json!({ "sources": [{ "name": "s", "topic": "t", "http": { "url": "u", "id": "id", "pgaes": "none" } }] }),
        serde_json::json!({ "sources": [{ "name": "s", "topic": "t" }] }),
        serde_json::json!({ "topics": { "a": { "retention": { "age": 30 } } } }),
    ] {
        assert!(!schema.is_valid(&wrong), "{wrong}");
    }
}
