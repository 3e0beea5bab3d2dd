//! Producers that answer what they should not.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use axum::{
    body::{Body, Bytes},
    response::Response,
};
use serde_json::{Value, json};

use crate::support::{
    Place, Relay, Server, eventually,
    producer::item,
    server::{Asked, answer, json as json_answer},
};

const GIB: usize = 1 << 30;

/// A source that ends in an error: its name, the kind of failure, and what the message must name.
const FAILING: [(&str, &str, &[&str]); 7] = [
    ("html", "malformed", &["JSON"]),
    ("path", "malformed", &["data.orders"]),
    // The list begins anew behind its end: what was found is kept, and it is told.
    ("repeats", "ok", &["has the items of an earlier one"]),
    ("huge", "too_large", &[]),
    ("bomb", "too_large", &[]),
    ("bytes", "malformed", &["UTF-8"]),
    ("gone", "unreachable", &["127.0.0.1"]),
];

fn source(name: &str, url: &str, more: &str) -> String {
    format!(
        "  - name: {name}\n    topic: {name}\n    interval: 1h\n    http: {{ url: \"{url}\", id: id, \
         start: earliest, cursor: none, {more} }}\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_answer_is_reported_and_stores_nothing() {
    let server = Server::start(|asked| async move { bad(&asked) }).await;
    let mut yaml = String::from("sources:\n");
    for (name, _, _) in FAILING {
        let url = match name {
            "gone" => format!("http://127.0.0.1:{}/x", crate::support::relay::free_port()),
            _ => server.url(&format!("/{name}")),
        };
        let more = match name {
            "path" => "items: data.orders",
            "repeats" => "items: \"\", pages: { page_number: { query: page } }",
            _ => "items: \"\"",
        };
        yaml.push_str(&source(name, &url, more));
    }
    let place = Place::new(&yaml);
    let relay = place.start().await;
    for (name, kind, says) in FAILING {
        let report = report(&relay, name).await;
        assert_eq!(report["result"], kind, "{name}: {report}");
        let message = report["message"].as_str().unwrap_or_default();
        for text in says {
            assert!(message.contains(text), "{name} does not say {text:?}: {message}");
        }
        let kept = if name == "repeats" { 10 } else { 0 };
        assert_eq!(relay.api().head(name).await, kept, "{name} stored something");
    }
    let resident_mib = relay.resident_bytes() >> 20;
    assert!(resident_mib < 400, "{resident_mib} MiB resident after a gigabyte and a bomb");
    assert!(relay.stop().await.success());
}

fn bad(asked: &Asked) -> Response {
    match asked.parts.uri.path() {
        "/html" => answer(200, &[("content-type", "text/html")], "<html>Sign in</html>"),
        "/path" => json_answer("{\"data\": {\"items\": []}}"),
        "/repeats" => json_answer(page(1..=10)),
        "/huge" => {
            let piece = Bytes::from(vec![b' '; 1 << 20]);
            let pieces = std::iter::repeat_n(Ok::<_, Infallible>(piece), GIB >> 20);
            json_answer(Body::from_stream(futures_util::stream::iter(pieces)))
        }
        "/bomb" => {
            let headers = [("content-type", "application/json"), ("content-encoding", "gzip")];
            answer(200, &headers, bomb())
        }
        "/bytes" => json_answer(Bytes::from_static(b"[{\"id\": \"a\xff\"}]")),
        path => panic!("asked for {path}"),
    }
}

fn page(numbers: impl Iterator<Item = u64>) -> String {
    format!("[{}]", numbers.map(item).collect::<Vec<_>>().join(","))
}

/// 200 MB of white space in some 200 kB of gzip.
fn bomb() -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let piece = vec![b' '; 1_000_000];
    for _ in 0..200 {
        encoder.write_all(&piece).unwrap();
    }
    encoder.finish().unwrap()
}

/// What the last poll of a source found, once there was one.
async fn report(relay: &Relay, name: &str) -> Value {
    eventually(&format!("a poll of {name}"), || async {
        let shown = relay.api().get(&format!("/v1/sources/{name}")).await.ok();
        let report = shown["report"].clone();
        let failed = report["message"].is_string();
        failed.then_some(report)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_item_that_is_nested_too_deep_is_rejected_alone() {
    let server = Server::start(|_| async {
        let deep = format!("{{\"id\": 1, \"x\": {}1{}}}", "[".repeat(10_000), "]".repeat(10_000));
        json_answer(format!("[{deep},{}]", item(2)))
    })
    .await;
    let place =
        Place::new(&format!("sources:\n{}", source("deep", &server.url("/"), "items: \"\"")));
    let relay = place.start().await;
    relay.until_head("deep", 1).await;
    let rejected = relay.api().get("/v1/sources/deep/rejected").await.ok();
    assert!(rejected.to_string().contains("deeper than 64 (`limits.depth`)"), "{rejected}");
    assert_eq!(relay.api().head("deep").await, 1);
    assert!(relay.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_item_without_an_id_is_listed_and_the_others_are_kept() {
    let server = Server::start(|_| async {
        let mut items: Vec<String> = (1..=10).map(item).collect();
        items[4] = "{\"n\": 5, \"note\": \"no identity\"}".into();
        json_answer(format!("[{}]", items.join(",")))
    })
    .await;
    let yaml = source("ten", &server.url("/ten"), "items: \"\"");
    let place = Place::new(&format!("sources:\n{yaml}"));
    let relay = place.start().await;
    relay.until_head("ten", 9).await;
    let rejected = relay.api().get("/v1/sources/ten/rejected").await.ok();
    let text = rejected.to_string();
    assert!(text.contains("no identity") && text.contains("id"), "{text}");
    assert_eq!(relay.api().head("ten").await, 9);
    assert!(relay.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_to_another_host_gets_no_request_and_no_credential() {
    let asked = Arc::new(Mutex::new(0));
    let count = asked.clone();
    let other = Server::start(move |_| {
        *count.lock().unwrap() += 1;
        async { json_answer("[]") }
    })
    .await;
    let next = other.url("/steal");
    let server = Server::start(move |_| {
        let body = json!({ "items": [{ "id": "a" }], "next": next });
        async move { json_answer(body.to_string()) }
    })
    .await;
    let more = "items: items, pages: { next_url: { path: next } }, \
                auth: { bearer: { env: HOOK_SECRET } }";
    let place = Place::new(&format!("sources:\n{}", source("link", &server.url("/list"), more)));
    let relay = place.start().await;
    let report = report(&relay, "link").await;
    assert_eq!(report["result"], "foreign_link", "{report}");
    assert_eq!(*asked.lock().unwrap(), 0, "the other host was asked");
    assert!(!place.printed().contains(crate::support::relay::SECRET), "a secret was printed");
    assert!(relay.stop().await.success());
}
