//! How pages follow each other, and where the next walk begins.

use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use http_body_util::{BodyExt as _, Full};
use probes::{Ask, Budget, FailureKind, Network, Next, Page, Probe as _, http::HttpProbe};
use serde_json::{Value, json};

use super::{answer, dry, dry_from, producer};
use crate::support::{Place, Raw, raw::recorded};

const ODATA: &str = "items: value\npages: { next_url: { path: \"/@odata.nextLink\" } }";

#[tokio::test]
async fn an_empty_page_with_a_next_link_is_not_the_end() {
    let producer = producer().await;
    let lines = format!("{ODATA}\ncursor: {{ body_url: {{ path: \"/@odata.deltaLink\" }} }}");
    let first = dry(&producer, "graph-delta", &lines).await;
    assert_eq!(
        producer.targets(),
        [
            "/graph-delta",
            "/graph-delta?$skiptoken=RFNwdAoA-1",
            "/graph-delta?$skiptoken=RFNwdAoA-2"
        ]
    );
    assert_eq!(first.all("id"), json!(["87d349ed", "0a1b2c3d"]));
    let cursor = first.cursor();
    let delta = producer.url("/graph-delta?$deltatoken=oEcOySpF_hWY");
    assert_eq!(cursor["value"], json!(delta));
    let again = dry_from(&producer, "graph-delta", &lines, Some(&cursor)).await;
    assert_eq!(again.code, Some(0), "{again:#?}");
    assert_eq!(producer.targets()[3..], ["/graph-delta?$deltatoken=oEcOySpF_hWY"]);
}

#[tokio::test]
async fn a_link_in_single_quotes_is_a_link() {
    let producer = producer().await;
    let dry = dry(&producer, "link-single", "items: \"\"\npages: link_header").await;
    assert_eq!(dry.all("id"), json!(["a1", "a2", "a3", "a4"]));
    assert_eq!(producer.targets(), ["/link-single", "/link-single?page=2"]);
}

#[tokio::test]
async fn a_link_is_sent_as_it_stands() {
    let behind =
        "$filter=enabled%20eq%20true&$skiptoken=StartDate-2020-05-29T08:48:29.2464819+01:00";
    let raw = producer().await;
    let whole = dry(&raw, "odata-plus", ODATA).await;
    assert_eq!(whole.all("id"), json!(["a1", "a2", "a3", "a4"]));
    assert_eq!(raw.targets(), ["/odata-plus".to_owned(), format!("/odata-plus?{behind}")]);

    // Also when a key is added; the configured query too, with `$` in its name.
    let raw = producer().await;
    let place = Place::new("");
    std::fs::write(place.path("key"), "k3y+/=").unwrap();
    let file = place.path("key");
    let lines = format!(
        "{ODATA}\nquery: {{ \"$top\": \"3\", \"$filter\": \"a eq 'b' and c+d\" }}\n\
         auth: {{ api_key: {{ query: code, value: {{ file: \"{}\" }} }} }}",
        file.display()
    );
    dry(&raw, "odata-plus", &lines).await;
    let key = "code=k3y%2B%2F%3D";
    assert_eq!(
        raw.targets(),
        [
            format!("/odata-plus?$top=3&$filter=a%20eq%20'b'%20and%20c%2Bd&{key}"),
            format!("/odata-plus?{behind}&{key}")
        ]
    );
}

#[tokio::test]
async fn a_link_that_is_always_there_ends_at_an_empty_page() {
    let producer = producer().await;
    let lines = "items: \"\"\npages: link_header\ncursor: link_url";
    let dry = super::dry_with(&producer, "okta-logs", lines, "uuid").await;
    let id = |n: u8| format!("faf7398a-4f77-11ea-97fb-00000000000{n}");
    assert_eq!(dry.all("id"), json!([id(1), id(2)]));
    assert_eq!(dry.end["stopped_by"], "empty_page");
    assert_eq!(producer.targets(), ["/okta-logs", "/okta-logs?after=1"]);
    assert_eq!(dry.cursor()["value"], json!(producer.url("/okta-logs?after=2")));
}

/// Okta names its quota `X-Rate-Limit-*`: when it is spent, nobody asks before it is renewed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quota_of_another_name_is_known() {
    let spent = answer("okta-logs", 2).replace(
        "HTTP/1.1 200 OK\n",
        "HTTP/1.1 200 OK\nX-Rate-Limit-Remaining: 0\nX-Rate-Limit-Reset: 4102444800\n",
    );
    let producer = Raw::start(move |_, base| Some(recorded(&spent, base))).await;
    let lines = "items: \"\"\npages: link_header\ncursor: link_url";
    let yaml = super::source(&producer, "okta-logs", lines);
    let place = Place::new(&yaml.replace("interval: 1h", "interval: 10ms"));
    let relay = place.start().await;
    let state = crate::support::eventually("a walk", || async {
        let state = relay.api().get("/v1/sources/field").await.ok();
        (state["walks"] == 1).then_some(state)
    })
    .await;
    let next: jiff::Timestamp = state["next_poll"].as_str().unwrap().parse().unwrap();
    // A producer keeps us away for a day at most.
    let pause = next.as_second() - super::now().as_second();
    assert!((86_000..=86_400).contains(&pause), "{state}");
}

/// A producer on https whose answers are those of `paperless`: what it was asked, and a walk of up
/// to two pages.
async fn paperless(pages: &str) -> (Vec<String>, Vec<Result<Page, probes::Failure>>) {
    let yaml = format!(
        "sources:\n- name: field\n  topic: field\n  http:\n    \
         url: https://paperless.example.com/api/documents/\n    id: id\n    items: results\n    \
         auth: {{ bearer: {{ env: TOKEN }} }}\n    pages: {pages}\n"
    );
    let env = |name: &str| (name == "TOKEN").then(|| "s3cret-token".to_owned());
    let config = milkrun::config::parse(&yaml, "m.yaml", env).unwrap();
    let probe = HttpProbe::new(config.sources[0].http.clone()).unwrap();
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = asked.clone();
    let body = answer("paperless", 1).split("\n\n").nth(1).unwrap().to_owned();
    let network = Network::new(tower::service_fn(move |request: http::Request<Bytes>| {
        let key =
            request.headers().get("authorization").map_or("", |value| value.to_str().unwrap());
        log.lock().unwrap().push(format!("{} {key}", request.uri()));
        let body =
            Full::new(Bytes::from(body.clone())).map_err(|never| match never {}).boxed_unsync();
        async move { Ok::<_, std::io::Error>(http::Response::new(body)) }
    }));
    let budget = Budget::new(1 << 24);
    let (mut mark, mut got) = (None, Vec::new());
    for _ in 0..2 {
        let page = probe.page(&network, &budget, Ask::new(None, mark.as_ref(), super::now()));
        let page = page.await;
        mark = match &page {
            Ok(Page { next: Next::Page(next), .. }) => Some(next.clone()),
            _ => None,
        };
        got.push(page);
        if mark.is_none() {
            break;
        }
    }
    let asked = asked.lock().unwrap().clone();
    (asked, got)
}

#[tokio::test]
async fn a_credential_never_follows_a_link_to_http() {
    let (asked, got) = paperless("{ next_url: { path: next } }").await;
    assert_eq!(asked, ["https://paperless.example.com/api/documents/ Bearer s3cret-token"]);
    let ids: Vec<&str> = got[0].as_ref().unwrap().drafts.iter().map(|draft| &*draft.id).collect();
    assert_eq!(ids, ["1", "2"], "page 1 is kept");
    let failure = got[1].as_ref().unwrap_err();
    assert_eq!(failure.kind, FailureKind::ForeignLink);
    assert!(failure.message.contains("rebase: true"), "{failure}");

    let (asked, _) = paperless("{ next_url: { path: next, rebase: true } }").await;
    assert_eq!(
        asked,
        [
            "https://paperless.example.com/api/documents/ Bearer s3cret-token",
            "https://paperless.example.com/api/documents/?page=2 Bearer s3cret-token"
        ]
    );
}

/// Their URLs differ in the query alone, and so do the CloudEvents sources of their events.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sources_of_a_topic_that_differ_in_the_query_keep_all_events() {
    let producer = Raw::start(|sent, base| {
        let of = sent.target.split("of=").nth(1).unwrap();
        let body = format!("[{{\"id\":1,\"of\":\"{of}\"}},{{\"id\":2,\"of\":\"{of}\"}}]");
        Some(recorded(&crate::support::raw::json(&body), base))
    })
    .await;
    let one = |name: &str| {
        format!(
            "  - name: {name}\n    topic: both\n    interval: 1h\n    http: {{ url: \"{}\", id: id }}\n",
            producer.url(&format!("/list?of={name}"))
        )
    };
    let place = Place::new(&format!("sources:\n{}{}", one("a"), one("b")));
    let relay = place.start().await;
    relay.until_head("both", 4).await;
    let log = relay.api().log("both").await;
    let mut got: Vec<(String, String)> = log
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|event| (event["source"].to_string(), event["data"].to_string()))
        .collect();
    got.sort();
    let source = |of: &str| json!(producer.url(&format!("/list?of={of}"))).to_string();
    let data = |id: u8, of: &str| json!({ "id": id, "of": of }).to_string();
    let expected = [("a", 1), ("a", 2), ("b", 1), ("b", 2)];
    assert_eq!(got, expected.map(|(of, id)| (source(of), data(id, of))));
}
