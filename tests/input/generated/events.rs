//! CloudEvents in the three modes of HTTP, whole ones and broken ones.

use serde_json::Value;

use super::{
    calls::Call,
    values::{Values, deep},
};

/// Attributes, and what is right for each as JSON; the first four are needed.
const ATTRIBUTES: [(&str, &[&str]); 13] = [
    ("specversion", &["\"1.0\""]),
    ("id", &["\"a\"", "\"b\"", "\"ü/%2f\""]),
    ("source", &["\"/generated\"", "\"urn:x:y\""]),
    ("type", &["\"number\"", "\"com.example.made\""]),
    ("time", &["\"2026-01-31T12:00:00Z\"", "\"2026-01-31T12:00:00.123456789+01:00\""]),
    ("subject", &["\"s\"", "\"many words\""]),
    ("datacontenttype", &["\"application/json\"", "\"text/plain\""]),
    ("dataschema", &["\"https://example.com/schema\""]),
    ("expirytime", &["\"2999-01-31T12:00:00Z\"", "\"2020-01-31T12:00:00Z\""]),
    ("deliverat", &["\"2020-01-31T12:00:00Z\""]),
    ("priority", &["0", "9", "\"5\""]),
    ("partitionkey", &["\"k1\"", "\"k2\""]),
    ("extension", &["\"text\"", "true", "-2147483648"]),
];
const NEEDED: usize = 4;

/// Names that no attribute has.
const NAMES: [&str; 9] =
    ["", "Upper", "with-dash", "ü", "a b", "data", "\u{0}", "__proto__", "ext_1"];

/// Data as JSON.
const DATA: [&str; 6] = [
    "null",
    "{\"n\":3}",
    "[1e400,\"\\ud800\"]",
    "\"text\"",
    "{\"a\":1,\"a\":2}",
    "12345678901234567890.5",
];

/// Publishes one event or several, in one of the modes.
pub(super) fn put(values: &mut Values<'_>, call: &mut Call) {
    match values.rng.u8(0..3) {
        0 => {
            call.header("content-type", "application/cloudevents+json");
            call.body = structured(values).into_bytes();
        }
        1 => {
            call.header("content-type", "application/cloudevents-batch+json");
            call.body = batch(values).into_bytes();
        }
        _ => binary(values, call),
    }
}

fn structured(values: &mut Values<'_>) -> String {
    let mut members = Vec::new();
    for (index, (name, right)) in ATTRIBUTES.iter().enumerate() {
        let is_wrong = values.rng.u8(0..100) < values.wrong;
        if (index < NEEDED || values.one_in(5)) != is_wrong {
            let is_wrong = values.rng.u8(0..100) < values.wrong;
            let value = match *name {
                _ if is_wrong => values.wrong_json(),
                "id" => format!("\"{}\"", values.rng.u32(..)),
                _ => values.pick(right).to_owned(),
            };
            members.push(format!("\"{name}\":{value}"));
        }
    }
    match values.rng.u8(0..8) {
        0 => {}
        1 => members.push("\"data_base64\":\"aGVsbG8=\"".to_owned()),
        2 if values.wrong > 0 => members.push(format!("\"data\":{}", deep("[", "]"))),
        3 if values.wrong > 0 => {
            let text = Value::from(values.wrong_text());
            members.push(format!("\"data_base64\":{text}"));
        }
        _ => members.push(format!("\"data\":{}", values.pick(&DATA))),
    }
    if values.rng.u8(0..100) < values.wrong {
        let name = Value::from(values.pick(&NAMES));
        members.push(format!("{name}:{}", values.wrong_json()));
    }
    if values.rng.u8(0..100) < values.wrong && !members.is_empty() {
        members.push(members[0].clone());
    }
    values.rng.shuffle(&mut members);
    format!("{{{}}}", members.join(","))
}

fn batch(values: &mut Values<'_>) -> String {
    if values.wrong > 0 && values.one_in(12) {
        // More than are taken at once.
        return format!("[{}]", vec!["{}"; 10_001].join(","));
    }
    let count = values.rng.usize(0..6);
    let events: Vec<String> = (0..count).map(|_| structured(values)).collect();
    format!("[{}]", events.join(","))
}

fn binary(values: &mut Values<'_>, call: &mut Call) {
    for (index, (name, right)) in ATTRIBUTES.iter().enumerate() {
        let is_wrong = values.rng.u8(0..100) < values.wrong;
        if *name != "datacontenttype" && (index < NEEDED || values.one_in(5)) != is_wrong {
            let value = values.pick(right).trim_matches('"').to_owned();
            let is_wrong = values.rng.u8(0..100) < values.wrong;
            let value = odd(values, &value, is_wrong);
            call.header(&format!("ce-{name}"), value);
        }
    }
    if values.rng.u8(0..100) < values.wrong {
        let name = values.pick(&["id", "id", "datacontenttype", "", "with_under", "a.b"]);
        call.header(&format!("ce-{name}"), "twice");
    }
    let kind = values.pick(&[
        "application/json",
        "text/plain",
        "application/octet-stream",
        "text/plain; charset=utf-16",
        "nonsense",
        "a/b; c=\"",
    ]);
    if !values.one_in(6) {
        call.header("content-type", kind);
    }
    call.body = match values.rng.u8(0..5) {
        0 => Vec::new(),
        1 => vec![0, 159, 146, 150, 255],
        2 => values.wrong_json().into_bytes(),
        _ => values.pick(&DATA).as_bytes().to_vec(),
    };
}

/// A header's value, or one that can hardly be read.
fn odd(values: &mut Values<'_>, right: &str, is_wrong: bool) -> Vec<u8> {
    if !is_wrong {
        return right.as_bytes().to_vec();
    }
    match values.rng.u8(0..7) {
        0 => b"\xff\xfe".to_vec(),
        1 => b"%ff%00".to_vec(),
        2 => b"\"not closed".to_vec(),
        3 => b"%".to_vec(),
        4 => "x".repeat(20_000).into_bytes(),
        5 => Vec::new(),
        _ => values.wrong_text().into_bytes(),
    }
}
