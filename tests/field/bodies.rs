//! What a body is: labels that do not fit, forms of lists, heads that are long.

use serde_json::json;

use super::{dry, dry_from, producer};
use crate::support::{
    Raw,
    raw::{json as whole, recorded},
};

#[tokio::test]
async fn a_coding_that_is_none_is_told_once() {
    let producer = producer().await;
    let dry = dry(&producer, "encoding-utf8", "items: \"\"").await;
    assert_eq!(dry.all("id"), json!(["a1", "a2", "a3"]));
    assert!(dry.warning().to_ascii_lowercase().contains("utf-8"), "{dry:#?}");
}

#[tokio::test]
async fn json_under_the_name_of_html_is_read() {
    let producer = producer().await;
    let dry = dry(&producer, "html-type", "items: \"\"").await;
    assert_eq!(dry.all("id"), json!(["a1", "a2", "a3"]));
}

#[tokio::test]
async fn a_page_of_html_is_refused_with_its_title() {
    let page = "HTTP/1.1 200 OK\nContent-Type: text/html\nContent-Length: auto\n\n<!doctype html>\n\
                <html><head><title>Sign in to Example</title></head><body>[]</body></html>";
    let producer = Raw::start(|_, base| Some(recorded(page, base))).await;
    let dry = dry_from(&producer, "login", "items: \"\"", None).await;
    assert_eq!(dry.code, Some(1), "{dry:#?}");
    for told in ["malformed", "Sign in to Example"] {
        assert!(dry.stderr.contains(told), "{told}: {dry:#?}");
    }
    assert_eq!(dry.pages[0]["exchange"]["status"], 200);
}

#[tokio::test]
async fn one_object_is_one_event() {
    let producer = producer().await;
    let lines = "items: { path: response.data.result, of: any }";
    let dry = dry(&producer, "single-object", lines).await;
    assert_eq!(dry.all("id"), json!(["11"]));
}

#[tokio::test]
async fn the_values_of_an_object_are_events_in_its_order() {
    let producer = producer().await;
    let lines = "items: { path: Discussions, of: values }";
    let dry = dry(&producer, "vanilla-hash", lines).await;
    assert_eq!(dry.all("id"), json!(["11", "12", "13"]));
}

#[tokio::test]
async fn a_hundred_and_fifty_header_fields_are_no_hindrance() {
    let producer = producer().await;
    let dry = dry(&producer, "many-headers", "items: \"\"").await;
    assert_eq!(dry.all("id"), json!(["a1", "a2", "a3"]));
    assert_eq!(dry.end["warnings"], json!([]));
}

/// A list in another form than the one that is expected is no empty list, and the error names the
/// form that would fit.
#[tokio::test]
async fn a_form_that_does_not_fit_is_named() {
    let body = "{\"data\": {\"id\": 1}}";
    let producer = Raw::start(move |_, base| Some(recorded(&whole(body), base))).await;
    let dry = dry_from(&producer, "one", "items: data", None).await;
    assert_eq!(dry.code, Some(1), "{dry:#?}");
    assert!(dry.stderr.contains("of: "), "{dry:#?}");
}
