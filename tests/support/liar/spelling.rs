//! The ways in which producers write that there is a next page, and that there is none.

use fastrand::Rng;
use serde_json::{Value, json};

/// A `Link` header for the next page.
pub(super) fn link(url: &str, rng: &mut Rng) -> String {
    let other = "https://shop.example.com/list?page=9999";
    match rng.u8(0..12) {
        0 => format!("<{url}>; rel=\"next\""),
        1 => format!("<{url}>; rel='next'"),
        2 => format!("<{url}>; rel=\u{201c}next\u{201d}"),
        3 => format!("<{url}>; rel=next"),
        4 => format!("<{other}>; rel=\"last\", <{url}>; rel=\"next\""),
        5 => format!("<{other}>; rel=\"prev\"; <{url}>; rel=\"next\""),
        6 => format!("<{url}>; rel=\"next archives\""),
        7 => format!("<{url}>; title=\"a, b; <c>\"; REL=\"Next\""),
        8 => format!("< {url} > ; rel = \"next\""),
        9 => format!("<{url}>; rel=\"next"),
        10 => format!("<{other}>;rel=\"self\",<{url}>;rel=\"next\""),
        _ => format!("<{}>; rel=\u{2018}next\u{2019}", relative(url)),
    }
}

/// A `Link` header without a next page.
pub(super) fn no_link(rng: &mut Rng) -> Option<String> {
    let other = "https://shop.example.com/list?page=1";
    rng.bool().then(|| format!("<{other}>; rel=\"first\", <{other}>; rel='prev'"))
}

/// A URL in a body.
pub(super) fn url(url: &str, rng: &mut Rng) -> Value {
    match rng.u8(0..5) {
        0 => json!(url),
        1 => json!(relative(url)),
        2 => json!({ "href": url }),
        3 => json!({ "templated": false, "url": url }),
        _ => json!({ "href": relative(url), "rel": "next" }),
    }
}

/// A token in a body.
pub(super) fn token(token: i64, rng: &mut Rng) -> Value {
    if rng.bool() { json!(token) } else { json!(token.to_string()) }
}

/// What stands where a token or URL would, when there is none.
pub(super) fn no_token(rng: &mut Rng) -> Option<Value> {
    match rng.u8(0..8) {
        0 | 1 => None,
        2 | 3 => Some(Value::Null),
        4 => Some(json!("")),
        5 => Some(json!(false)),
        6 => Some(json!({})),
        _ => Some(json!(["0", "-1", "null", "None"][rng.usize(0..4)])),
    }
}

fn relative(url: &str) -> &str {
    url.strip_prefix("https://shop.example.com").unwrap_or(url)
}
