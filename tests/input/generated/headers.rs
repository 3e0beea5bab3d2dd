//! The headers of a call, and what may be wrong with them.

use super::{
    calls::{Call, Operation},
    values::Values,
};

/// The first of them are the forms that events are given in.
const ACCEPT: [&[u8]; 14] = [
    b"text/event-stream",
    b"application/x-ndjson",
    b"application/cloudevents-batch+json",
    b"application/json",
    b"application/cloudevents+json",
    b"*/*",
    b"text/html",
    b"application/json;q=0",
    b"application/*;q=1e400, text/*;q=-1",
    b"a/b;q=x;q=y;;;",
    b",,,",
    b"",
    b"\xff",
    b"application/openmetrics-text; version=1.0.0",
];

const EVENTS: usize = 4;

const TYPES: [&[u8]; 10] = [
    b"text/plain",
    b"application/x-www-form-urlencoded",
    b"multipart/form-data; boundary=x",
    b"application/json; charset=utf-16",
    b"APPLICATION/JSON",
    b"application/*",
    b"application/cloudevents+xml",
    b"json",
    b"",
    b"\xff",
];

const CONDITIONS: [&str; 6] =
    ["if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range", "range"];

const TAGS: [&[u8]; 9] = [
    b"*",
    b"\"a\"",
    b"W/\"a\", \"b\"",
    b"\"",
    b"a, b, ,",
    b"\xff",
    b"",
    b"bytes=0-0,-1",
    b"Sat, 31 Jan 2026 12:00:00 GMT",
];

/// Headers that a page, a proxy or nobody would send.
const OTHERS: [(&str, &[u8]); 15] = [
    ("host", b"evil.example"),
    ("host", b"localhost:x"),
    ("host", b"\xff"),
    ("origin", b"https://evil.example"),
    ("origin", b"null"),
    ("sec-fetch-site", b"cross-site"),
    ("x-forwarded-proto", b"https"),
    ("x-forwarded-proto", b"\xff"),
    ("expect", b"100-continue"),
    ("expect", b"nothing"),
    ("upgrade", b"h2c"),
    ("connection", b"close"),
    ("te", b"trailers"),
    ("authorization", b"Bearer \xff"),
    ("content-encoding", b"br, gzip"),
];

/// Adds headers to a call that has those of its body.
pub(super) fn put<'a>(operation: &'a Operation, values: &mut Values<'a>, call: &mut Call) {
    if values.wrong > 0 && values.one_in(8) {
        retype(values, call);
    }
    let accepts = if operation.reads_events() { 2 } else { 6 };
    if values.one_in(accepts) {
        let forms = if values.one_in(2) { &ACCEPT[..EVENTS] } else { &ACCEPT[..] };
        let accept = values.pick(forms);
        call.header("accept", accept);
    }
    if values.one_in(6) {
        let encoding = values.pick(&["gzip", "gzip;q=0, *", "br", "identity;q=0"]);
        call.header("accept-encoding", encoding);
    }
    for (name, schema) in operation.parameters("header") {
        if values.one_in(5) {
            let json = values.json(schema, name);
            call.header(name, serde_json::from_str::<String>(&json).unwrap_or(json));
        }
    }
    if values.one_in(8) {
        let (name, tag) = (values.pick(&CONDITIONS), values.pick(&TAGS));
        call.header(name, tag);
    }
    if values.one_in(20) {
        let (name, value) = values.pick(&OTHERS);
        call.header(name, value);
    }
    match values.rng.u16(0..400) {
        0 => call.header("x-long", "x".repeat(70_000)),
        1 => (0..120).for_each(|_| call.header("x-many", "1")),
        2 => call.header("cookie", "x".repeat(20_000)),
        3 => call.header("accept", "a/b, ".repeat(5_000)),
        _ => {}
    }
}

/// Another type, none, or two.
fn retype(values: &mut Values<'_>, call: &mut Call) {
    let other = values.pick(&TYPES);
    match values.rng.u8(0..3) {
        0 => call.headers.retain(|(name, _)| name != "content-type"),
        1 => call.header("content-type", other),
        _ => {
            call.headers.retain(|(name, _)| name != "content-type");
            call.header("content-type", other);
        }
    }
}
