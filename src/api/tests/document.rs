//! The OpenAPI document and its page.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// The methods of each path that the document knows.
fn documented(document: &Value) -> BTreeMap<String, BTreeSet<String>> {
    document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(path, item)| {
            let methods = item.as_object().unwrap().keys().map(|method| method.to_uppercase());
            (path.clone(), methods.collect())
        })
        .collect()
}

#[tokio::test]
async fn every_route_is_in_the_document_and_nothing_else() {
    let relay = Relay::new().await;
    let document = relay.get("/openapi.json").await.ok().json();
    let mut served = BTreeMap::new();
    for (path, _) in crate::api::routes() {
        // A method that no route knows is answered with those that it does know.
        let concrete = path.replace(['{', '}'], "");
        let request = request(Method::from_bytes(b"PROBE").unwrap(), &concrete);
        let reply = relay.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(reply.status.as_u16(), 405, "{path}");
        let methods = reply.header("allow").split(',').filter(|method| *method != "HEAD");
        served.insert(path.to_owned(), methods.map(str::to_owned).collect());
    }
    assert_eq!(documented(&document), served);
    assert!(served.len() > 20);
    for path in ["/openapi.json", "/docs", "/docs/"] {
        assert!(!relay.get(path).await.status.is_client_error(), "{path}");
    }
}

#[tokio::test]
async fn every_reference_in_the_document_leads_somewhere() {
    let relay = Relay::new().await;
    let document = relay.get("/openapi.json").await.ok();
    let value = document.json();
    let references = document.text().split("\"$ref\":\"#").skip(1);
    let mut count = 0;
    for reference in references {
        let pointer = reference.split('"').next().unwrap();
        assert!(value.pointer(pointer).is_some(), "{pointer}");
        count += 1;
    }
    assert!(count > 20, "{count}");
}

/// Whatever refuses a call, the document says by which form.
#[tokio::test]
async fn every_operation_says_how_it_is_refused() {
    let relay = Relay::new().await;
    let document = relay.get("/openapi.json").await.ok().json();
    let problem = json!({"schema": {"$ref": "#/components/schemas/Problem"}});
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.contains_key("default"), "{method} {path}");
            for (status, response) in responses {
                if !status.starts_with(['2', '3']) {
                    let content = &response["content"]["application/problem+json"];
                    assert_eq!(*content, problem, "{method} {path} {status}");
                }
            }
        }
    }
    let schema = &document["components"]["schemas"]["Problem"];
    let real = relay.get("/v1/topics/none").await.problem(404, "not_found");
    for name in real.as_object().unwrap().keys() {
        assert!(schema["properties"][name].is_object(), "{name}: {schema}");
    }
    assert_eq!(schema["required"], json!(["type", "title", "status", "code", "detail"]));
    let words = &document["components"]["schemas"]["ProblemCode"]["enum"];
    let mut codes = crate::api::problem::CODES.map(|(_, code)| code);
    codes.sort_unstable();
    assert_eq!(*words, json!(codes.to_vec()));
}

/// A refusal of another code fails where it is made, so that the list is whole.
#[test]
fn every_code_is_in_the_manual() {
    let manual = include_str!("../../../docs/api.md");
    let listed: Vec<(u16, &str)> = manual
        .lines()
        .filter_map(|line| {
            let mut cells = line.split('|').map(str::trim).skip(1);
            let status = cells.next()?.parse().ok()?;
            Some((status, cells.next()?.trim_matches('`')))
        })
        .collect();
    assert_eq!(listed, crate::api::problem::CODES);
}

#[tokio::test]
async fn the_cursor_of_a_source_is_described() {
    let relay = Relay::new().await;
    let schemas = relay.get("/openapi.json").await.ok().json()["components"]["schemas"].take();
    let body = &schemas["CursorBody"];
    for field in ["cursor", "keep", "apply"] {
        assert!(body["properties"][field].is_object(), "{field}: {body}");
    }
    assert_eq!(body["required"], Value::Null);
    let view = &schemas["SourceView"]["properties"];
    assert!(view["event_source"].is_object() && view["old_cursor"].is_object(), "{view}");
    assert!(view["stuck"].is_object() && schemas["Stuck"]["properties"]["help"].is_object());
}

#[tokio::test]
async fn the_page_needs_no_network() {
    let relay = Relay::new().await;
    let page = relay.get("/docs/").await.ok();
    let script = relay.get("/docs/swagger-initializer.js").await.ok();
    assert!(script.text().contains("/openapi.json"));
    assert!(script.text().contains(r#""validatorUrl": "none""#), "{}", script.text());
    for name in ["swagger-ui-bundle.js", "swagger-ui.css", "swagger-ui-standalone-preset.js"] {
        assert!(page.text().contains(name), "{}", page.text());
        relay.get(&format!("/docs/{name}")).await.ok();
    }
    assert!(!page.text().contains("//"), "{}", page.text());
}

#[tokio::test]
async fn what_the_page_does_not_have_is_refused_as_everything_is() {
    let relay = Relay::new().await;
    relay.get("/docs/none.js").await.problem(404, "not_found");
    relay.get("/docs/..%2f..%2fCargo.toml").await.problem(404, "not_found");
    relay.get("/docs/%ff").await.problem(400, "malformed");
}

/// What is made, what changes it and what is shown of it need other members.
#[tokio::test]
async fn no_schema_has_two_meanings() {
    let relay = Relay::new().await;
    let document = relay.get("/openapi.json").await.ok();
    for gone in ["SubscriptionBody", "WebhookBody"] {
        assert!(!document.text().contains(gone), "{gone}");
    }
    let schemas = &document.json()["components"]["schemas"];
    assert_eq!(schemas["NewSubscription"]["required"], json!(["name", "webhook"]));
    assert_eq!(schemas["NewWebhook"]["required"], json!(["url"]));
    let change = &schemas["SubscriptionChange"]["properties"];
    assert!(change["rate"].is_object() && change["name"].is_null(), "{change}");
    assert!(change["webhook"].to_string().contains("/WebhookChange"), "{change}");
    for (written, shown) in [("TopicBody", "TopicSettings"), ("Hold", "HoldPolicy")] {
        assert!(schemas[written]["required"].is_null(), "{written}");
        let properties = schemas[shown]["properties"].as_object().unwrap();
        assert_eq!(schemas[shown]["required"].as_array().unwrap().len(), properties.len());
    }
    let shown = &schemas["TopicView"]["properties"]["settings"]["$ref"];
    assert_eq!(shown, "#/components/schemas/TopicSettings");
}

/// Clients are made of it: each operation has a name of its own, and every answer says what it is.
#[tokio::test]
async fn every_operation_has_a_name_and_every_answer_a_description() {
    let relay = Relay::new().await;
    let document = relay.get("/openapi.json").await.ok().json();
    let mut names = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let name = operation["operationId"].as_str().unwrap().to_owned();
            assert!(names.insert(name), "{method} {path}: {}", operation["operationId"]);
            let responses = operation["responses"].as_object().unwrap();
            for (status, response) in responses {
                let told = response["description"].as_str().unwrap_or_default();
                assert!(!told.is_empty(), "{method} {path} {status}");
            }
            let is_open = path.as_str() == "/healthz" || path.as_str() == "/readyz";
            let needs_key = operation["security"].is_array();
            assert_eq!((needs_key, responses.contains_key("401")), (!is_open, !is_open), "{path}");
        }
    }
    let scheme = &document["components"]["securitySchemes"]["key"];
    assert_eq!((&scheme["type"], &scheme["scheme"]), (&json!("http"), &json!("bearer")));
}
