//! What a page in somebody's browser can send, and what it learns.

use super::*;

/// A request as a browser sends it for a page of another origin.
fn from_page(method: Method, path: &str, headers: &[(&str, &str)]) -> http::request::Builder {
    headers.iter().fold(
        Request::builder().method(method).uri(path).header("host", "localhost:8080"),
        |request, (name, value)| request.header(*name, *value),
    )
}

#[tokio::test]
async fn no_foreign_page_reads_or_writes_in_any_mode() {
    let mut relay = Relay::new().await;
    let writes = [
        (Method::POST, "/v1/subscriptions"),
        (Method::POST, "/v1/topics/orders/new-epoch"),
        (Method::POST, "/v1/topics/orders/events"),
        (Method::PUT, "/v1/topics/orders"),
        (Method::DELETE, "/v1/topics/orders"),
    ];
    let pages = [
        &[("origin", "http://localhost:3000")][..],
        &[("origin", "http://app.localhost:8080")],
        &[("origin", "https://localhost:8080")],
        &[("origin", "null")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "same-origin"), ("origin", "http://evil.example")],
    ];
    for access in [Access::Loopback, Access::Open] {
        relay.serve_to(access);
        for page in pages {
            for (method, path) in writes.clone() {
                let request =
                    from_page(method, path, page).header("content-type", "application/json");
                let refused = relay.send(request.body(Body::from("{}")).unwrap()).await;
                refused.problem(403, "foreign_origin");
            }
            for path in ["/v1/topics", "/docs/", "/metrics", "/healthz"] {
                let request = from_page(Method::GET, path, page).body(Body::empty()).unwrap();
                relay.send(request).await.problem(403, "foreign_origin");
            }
        }
        let own = [("origin", "http://localhost:8080"), ("sec-fetch-site", "same-origin")];
        let request = from_page(Method::PUT, "/v1/topics/mine", &own)
            .header("content-type", "application/json");
        relay.send(request.body(Body::from("{}")).unwrap()).await.ok();
    }
    let topics = relay.get("/v1/topics").await.ok().json();
    let topics = topics["topics"].as_array().unwrap();
    assert!(topics.iter().any(|topic| topic["topic"] == "orders"), "{topics:?}");
}

/// A form or a Blob sends these without asking first.
#[tokio::test]
async fn a_write_without_a_type_of_its_own_does_nothing() {
    let relay = Relay::new().await;
    let body = json!({"name": "all", "topics": ["*"], "webhook": {"url": "https://evil.example"}});
    for kind in [None, Some("text/plain"), Some("application/x-www-form-urlencoded")] {
        for (method, path, body) in [
            (Method::POST, "/v1/subscriptions", body.to_string()),
            (Method::POST, "/v1/topics/orders/events", event(1).to_string()),
            (Method::DELETE, "/v1/topics/orders", String::new()),
            (Method::POST, "/v1/topics/orders/new-epoch", String::new()),
            (Method::POST, "/v1/subscriptions/none/pause", String::new()),
        ] {
            let mut request = request(method, path);
            if let Some(kind) = kind {
                request = request.header("content-type", kind);
            }
            let refused = relay.send(request.body(Body::from(body)).unwrap()).await;
            let problem = refused.problem(415, "unsupported_media_type");
            let detail = problem["detail"].as_str().unwrap();
            assert!(detail.contains("-H 'content-type: application/json'"), "{detail}");
        }
    }
    assert_eq!(relay.get("/v1/subscriptions").await.ok().json()["subscriptions"], json!([]));
    assert_eq!(relay.get("/v1/topics/orders").await.ok().json()["head"], 0);
    // What does not exist is told first.
    let request = request(Method::DELETE, "/v1/nothing").body(Body::empty()).unwrap();
    relay.send(request).await.problem(404, "not_found");
}

#[tokio::test]
async fn every_answer_is_closed_to_frames_and_foreign_pages() {
    let relay = Relay::new().await;
    relay.fill(1..=1).await;
    let mut answers = Vec::new();
    for path in ["/docs/", "/openapi.json", "/v1/topics", "/v1/nothing", "/metrics", "/healthz"] {
        answers.push((path.to_owned(), relay.get(path).await.headers));
    }
    let lines = relay.accept("/v1/topics/orders/events", "application/x-ndjson").await;
    answers.push(("lines".to_owned(), lines.headers));
    let foreign = from_page(Method::GET, "/docs/", &[("origin", "http://evil.example")]);
    answers
        .push(("403".to_owned(), relay.send(foreign.body(Body::empty()).unwrap()).await.headers));
    for (what, headers) in answers {
        assert_eq!(headers["content-security-policy"], "frame-ancestors 'none'", "{what}");
        assert_eq!(headers["x-content-type-options"], "nosniff", "{what}");
        assert_eq!(headers["cross-origin-resource-policy"], "same-origin", "{what}");
    }
}

/// So that the page at `/docs` can do what it shows.
#[tokio::test]
async fn every_write_in_the_document_has_a_body_with_a_type() {
    let relay = Relay::new().await;
    let document = relay.get("/openapi.json").await.ok().json();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let types = operation["requestBody"]["content"].as_object();
            assert_eq!(
                method == "get",
                types.is_none_or(serde_json::Map::is_empty),
                "{method} {path}"
            );
        }
    }
}
