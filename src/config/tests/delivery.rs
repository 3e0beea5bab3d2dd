//! What a subscription of the file may ask for, what does not go together, and where that is told.

use super::*;
use crate::settings::{
    Auth, BatchPolicy, Format, OnDead, Order, PriorityPolicy, SubscriptionSettings,
};

const CERTIFICATE: &str = include_str!("client.pem");

fn settings(lines: &str) -> SubscriptionSettings {
    good(&subscription(lines)).subscriptions.remove(0).settings
}

fn webhook(lines: &str) -> String {
    format!(
        "subscriptions:\n  - name: s\n    topic: t\n    webhook:\n      url: https://a.example/\n{lines}"
    )
}

#[test]
fn every_setting_is_taken_over() {
    let made = settings(
        "    filter: { prefix: { type: Push } }\n    batch: { max_events: 7, max_wait: 2s }\n    gzip: true\n    order: key\n    on_dead: stop_key\n    rate: 20/m\n    concurrency: 3\n    hold: { after: 9 }\n    max_exceptions: 11\n",
    );
    assert_eq!(made.filter, Some(serde_json::json!({ "prefix": { "type": "Push" } })));
    let batch = BatchPolicy { max_events: 7, max_wait: Duration::from_secs(2) };
    assert_eq!((made.batch, made.format), (Some(batch), Format::Batch));
    assert_eq!((made.gzip, made.order, made.on_dead), (true, Order::Key, OnDead::StopKey));
    assert_eq!(made.rate.unwrap().to_string(), "20/m");
    assert_eq!((made.concurrency, made.hold.after, made.max_exceptions), (3, 9, 11));
    let other = settings(
        "    transform: { n: \"data.n\" }\n    read_ahead: 10\n    priority_max_wait: 5s\n",
    );
    assert_eq!(other.format, Format::Data);
    let priority = PriorityPolicy { read_ahead: 10, max_wait: Duration::from_secs(5) };
    assert_eq!(other.priority, priority);
    let plain = settings("");
    let usual = SubscriptionSettings::new(plain.url.clone(), Vec::new());
    assert_eq!(plain, usual);
}

#[test]
fn an_endpoint_may_want_credentials_and_certificates() {
    let indented = CERTIFICATE.replace('\n', "\n          ");
    let text = webhook(&format!(
        "      handshake: true\n      title_case_headers: true\n      user_agent: partner/1\n      content_type: application/json\n      tls:\n        certificate: |\n          {}\n        key: {{ file: \"{}/src/config/tests/client.key\" }}\n      auth: {{ oauth2: {{ token_url: \"https://id.example/t\", client_id: me, client_secret: {{ env: SECRET }}, scope: a b }} }}\n",
        indented.trim_end(),
        env!("CARGO_MANIFEST_DIR")
    ));
    let made = good(&text).subscriptions.remove(0).settings;
    assert!(made.handshake && made.tls.ca.is_none());
    assert!(made.title_case_headers);
    assert_eq!(made.user_agent.as_deref(), Some("partner/1"));
    assert_eq!(made.content_type.as_deref(), Some("application/json"));
    assert_eq!(made.tls.certificate.unwrap(), CERTIFICATE);
    assert!(made.tls.key.unwrap().starts_with("-----BEGIN PRIVATE KEY"));
    let oauth2 = Auth::OAuth2 {
        token_url: "https://id.example/t".into(),
        client_id: "me".into(),
        client_secret: SECRET.into(),
        scope: Some("a b".into()),
    };
    assert_eq!(made.auth, Some(oauth2));
    let auth = |text: &str| {
        good(&webhook(&format!("      auth: {text}\n"))).subscriptions.remove(0).settings.auth
    };
    assert_eq!(auth("{ bearer: { env: HOST } }"), Some(Auth::Bearer("api.example.com".into())));
    let basic = Auth::Basic { username: "me".into(), password: "api.example.com".into() };
    assert_eq!(auth("{ basic: { username: me, password: { env: HOST } } }"), Some(basic));
}

/// Both settings are named, and the place is that of the one to change.
#[test]
fn what_does_not_go_together_is_told() {
    for (lines, place, one, other) in [
        (
            "    transform: { a: b }\n    format: structured\n",
            "5:16",
            "`transform`",
            "`format: data`",
        ),
        ("    transform: { a: b }\n    batch: {}\n", "5:16", "`transform`", "not `batch`"),
        ("    batch: {}\n    format: data\n", "5:12", "`batch`", "`format: batch`"),
        ("    on_dead: stop_key\n", "5:14", "`on_dead`", "`order: key`"),
        ("    order: strict\n    read_ahead: 5\n", "6:17", "`read_ahead`", "`order: none`"),
        (
            "    order: key\n    priority_max_wait: 5s\n",
            "6:24",
            "`priority_max_wait`",
            "`order: none`",
        ),
    ] {
        let told = refused(&subscription(lines));
        let first = told.lines().next().unwrap();
        assert!(first.starts_with(&format!("m.yaml:{place}: {one}")), "{told}");
        assert!(first.contains(other), "{told}");
    }
}

#[test]
fn bad_values_are_told_where_they_stand() {
    for (text, expected) in [
        (subscription("    rate: 5\n"), ":5:11: "),
        (subscription("    rate: 0/s\n"), "`0/s` is not a rate"),
        (
            subscription("    format: xml\n"),
            ":5:13: unknown value `xml` (expected one of: structured",
        ),
        (subscription("    batch: { max_event: 1 }\n"), "did you mean `max_events`?"),
        (
            subscription("    batch: { max_events: 1001 }\n"),
            ":5:12: `batch.max_events`: expected 1 to 1000",
        ),
        (subscription("    batch: { max_wait: 1h }\n"), "`batch.max_wait`: expected at most 10m"),
        (subscription("    read_ahead: 0\n"), "`read_ahead`: expected 1 to 100000"),
        (subscription("    filter: 5\n"), ":5:13: `filter`"),
        (
            subscription("    filter: { all: [{ perfix: {} }] }\n"),
            ":5:13: `filter.all[0].perfix`: ",
        ),
        (subscription("    filter: \"data.\"\n"), ":5:13: `filter`: "),
        (subscription("    transform: [1]\n    format: data\n"), ":5:16: `transform`"),
        (webhook("      auth: { bearer: hunter2 }\n"), "a secret is not written into the file"),
        (
            webhook("      auth: { basic: { username: \"a:b\", password: { env: HOST } } }\n"),
            ":6:13: `webhook.auth.basic.username`",
        ),
        (
            webhook(
                "      auth: { oauth2: { token_url: \"http://127.0.0.1/\", client_id: a, client_secret: { env: HOST } } }\n",
            ),
            "`webhook.auth.oauth2.token_url`: `127.0.0.1` is the forbidden",
        ),
        (
            webhook("      headers: { authorization: x }\n      auth: { bearer: { env: HOST } }\n"),
            "`webhook.auth`: expected no `authorization` in `webhook.headers`",
        ),
        (webhook("      tls: { key: hunter2 }\n"), "a secret is not written into the file"),
        (webhook("      tls: { certificate: { env: HOST } }\n"), ": `webhook.tls.key`"),
        (webhook("      tls: { ca: hello }\n"), ":6:18: `webhook.tls.ca`"),
        (webhook("      headers: { ce-type: x }\n"), "is set by the relay itself"),
    ] {
        let told = refused(&text);
        assert!(told.contains(expected), "{text}\nexpected: {expected}\ntold: {told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
}

#[test]
fn requests_may_go_through_a_proxy() {
    let config = good("outbound: { proxy: \"http://u:hunter2@proxy.example:3128\" }\n");
    assert_eq!(config.outbound.proxy.as_ref().unwrap().port(), Some(3128));
    assert!(!format!("{config:?}").contains("hunter2"));
    assert_eq!(good("outbound: { proxy: null }\n").outbound.proxy, None);
    let told = refused("outbound: { proxy: { env: HOST } }\n");
    assert!(told.contains("`outbound.proxy`: expected the URL"), "{told}");
}

#[test]
fn what_is_shown_is_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.yaml");
    let text =
        subscription("    order: key\n    on_dead: stop_key\n    batch: {}\n    rate: 5/h\n");
    std::fs::write(&path, &text).unwrap();
    let shown = show(&path, env).unwrap();
    assert_eq!(good(&shown).subscriptions[0].settings, good(&text).subscriptions[0].settings);
}

/// The example that the sample has in comments is good as it is shown.
#[test]
fn the_example_in_the_sample_is_good() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/milkrun.yaml");
    let sample = std::fs::read_to_string(path).unwrap();
    let (_, example) = sample.split_once("\nsubscriptions: []\n").unwrap();
    let lines: Vec<&str> = example.lines().map_while(|line| line.strip_prefix('#')).collect();
    assert!(lines.len() > 30, "{lines:?}");
    let text = format!("subscriptions:\n{}\n", lines.join("\n"));
    let env = |name: &str| (name == "BILLING_SECRET").then(|| SECRET.to_owned());
    let config = parse(&text, "m.yaml", env).unwrap_or_else(|error| panic!("{error}"));
    let tree: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
    jsonschema::validate(&schema(), &tree).unwrap();
    assert_eq!(config.subscriptions[0].settings.concurrency, 16);
}
