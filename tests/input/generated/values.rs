//! Values as a schema of the document has them, and values that nobody expects, as JSON texts: some
//! of them no JSON library would write.

use fastrand::Rng;
use serde_json::Value;

use super::known::Names;
use crate::support::relay::SECRET;

/// How deep the deepest JSON is.
const DEPTH: usize = 1_000;
/// How long the longest text is.
const LONG: usize = 1 << 20;

/// Texts that are right nowhere, or in few places.
const TEXTS: [&str; 46] = [
    "",
    " ",
    "\0",
    "a\0b",
    "\u{feff}alpha",
    "..",
    "../../etc/passwd",
    "a/b",
    "%2f",
    "%00",
    "%",
    "a?b#c&d=e",
    "\u{202e}ahpla\u{202c}",
    "e\u{301}\u{301}\u{301}\u{301}",
    "שלום",
    "👩‍👩‍👧",
    "\u{7f}\u{1b}[31m",
    "a\r\nx-made: up",
    "null",
    "true",
    "-1",
    "0",
    "-0",
    "1.5",
    "1e400",
    "NaN",
    "0x10",
    "18446744073709551616",
    "9223372036854775808",
    "99999999999999999999999999999999d",
    "-5s",
    "0/s",
    "1/0",
    "2026-02-30T25:61:61Z",
    "9999-12-31T23:59:59Z",
    "-9999-01-01T00:00:00Z",
    "0001-01-01T00:00:00+23:59",
    "ffffffff-1",
    "00000000-18446744073709551615",
    "' or 1=1 --",
    "{{ 7 * 7 }}",
    "[[[[[[[[[[[[[[[[",
    "milkrun.notices",
    "*",
    "http://169.254.169.254/latest",
    "file:///etc/passwd",
];

/// JSON that is right nowhere, or in few places.
const JSON: [&str; 26] = [
    "null",
    "true",
    "0",
    "-0",
    "-1",
    "1.5",
    "1e400",
    "-1e400",
    "1e-400",
    "0.1e1",
    "65536",
    "4294967296",
    "9223372036854775808",
    "18446744073709551616",
    "1234567890123456789012345678901234567890",
    "[]",
    "{}",
    "[null]",
    "[[],{}]",
    r#"{"":null}"#,
    r#"{"a":1,"a":2}"#,
    r#"{"env":"HOME"}"#,
    r#""\ud83d""#,
    r#""\udc00\ud800""#,
    r#""\u0000""#,
    r#"{"\ud800":1}"#,
];

/// Makes values; `wrong` of a hundred are not as they should be.
pub(super) struct Values<'a> {
    pub document: &'a Value,
    pub known: &'a Names,
    pub rng: Rng,
    pub wrong: u8,
    /// Members that the operation needs, which the schema does not say.
    pub needed: &'static [&'static str],
    /// Whether there is little besides what is needed.
    pub sparse: bool,
}

impl<'a> Values<'a> {
    /// Whether one of `n` happens.
    pub(super) fn one_in(&mut self, n: u32) -> bool {
        self.rng.u32(0..n) == 0
    }

    /// One of some.
    pub(super) fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.rng.usize(0..list.len())]
    }

    /// One of a list that may be empty.
    pub(super) fn one_of(&mut self, list: &[String]) -> Option<String> {
        list.get(self.rng.usize(0..list.len().max(1))).cloned()
    }

    fn known(&mut self, list: &[String]) -> String {
        self.one_of(list).unwrap_or_else(|| "none".to_owned())
    }

    /// A value of the schema, as what `name` says.
    pub(super) fn json(&mut self, schema: &'a Value, name: &str) -> String {
        if self.rng.u8(0..100) < self.wrong {
            return self.wrong_json();
        }
        if let Some(reference) = schema["$ref"].as_str() {
            return match self.document.pointer(reference.trim_start_matches('#')) {
                Some(schema) => self.json(schema, name),
                None => panic!("{reference} leads nowhere"),
            };
        }
        if let Some(ways) = schema["oneOf"].as_array().or(schema["anyOf"].as_array()) {
            let is_null = |way: &Value| way["type"] == "null";
            let nullable = !self.needed.contains(&name) && self.one_in(8);
            let ways: Vec<&Value> = ways.iter().filter(|way| nullable || !is_null(way)).collect();
            let way = self.pick(&ways);
            return self.json(way, name);
        }
        if let Some(words) = schema["enum"].as_array() {
            return words[self.rng.usize(0..words.len())].to_string();
        }
        let nullable = !self.needed.contains(&name) && self.one_in(8);
        match kind(schema, nullable) {
            "object" => self.object(schema),
            "array" => {
                let items: Vec<String> =
                    (0..self.rng.usize(0..4)).map(|_| self.json(&schema["items"], name)).collect();
                format!("[{}]", items.join(","))
            }
            "integer" => self.integer(name).to_string(),
            "number" => self.pick(&["0", "0.2", "1"]).to_owned(),
            "boolean" => self.rng.bool().to_string(),
            "null" => "null".to_owned(),
            "string" => Value::from(self.text(name)).to_string(),
            _ => self.anything(name),
        }
    }

    /// An object; a wrong one lacks members, has others, or has them twice.
    fn object(&mut self, schema: &'a Value) -> String {
        let required = schema["required"].as_array().into_iter().flatten();
        let needed: Vec<&str> =
            required.filter_map(Value::as_str).chain(self.needed.iter().copied()).collect();
        let mut members = Vec::new();
        if let Some(properties) = schema["properties"].as_object() {
            let part = if self.sparse { 1 } else { 3 };
            let most = u32::try_from(properties.len() / part).unwrap_or(1).max(2);
            for (name, schema) in properties {
                let is_wrong = self.rng.u8(0..100) < self.wrong;
                if (needed.contains(&name.as_str()) || self.one_in(most)) != is_wrong {
                    members.push(format!(
                        "{}:{}",
                        Value::from(name.as_str()),
                        self.json(schema, name)
                    ));
                }
            }
        }
        if schema["additionalProperties"].is_object() {
            let value = self.json(&schema["additionalProperties"], "header");
            members.push(format!("\"x-{}\":{value}", self.rng.u8(..)));
        }
        if self.rng.u8(0..100) < self.wrong {
            let name = Value::from(self.wrong_text());
            members.push(format!("{name}:{}", self.wrong_json()));
        }
        if self.rng.u8(0..100) < self.wrong && !members.is_empty() {
            members.push(members[0].clone());
        }
        format!("{{{}}}", members.join(","))
    }

    fn integer(&mut self, name: &str) -> i64 {
        match name {
            "id" | "ids" if !self.known.ids.is_empty() => {
                self.known.ids[self.rng.usize(0..self.known.ids.len())]
            }
            "limit" => self.pick(&[1, 2, 100, 1_000]),
            "status" | "never_retry" => self.pick(&[200, 400, 410, 503]),
            "max_bytes" | "count" => self.pick(&[1, 1_000, 10_000_000, i64::MAX]),
            _ => self.rng.i64(0..100),
        }
    }

    /// A value that may be anything by the schema.
    fn anything(&mut self, name: &str) -> String {
        match name {
            "filter" => self.pick(&[
                r#"{"prefix":{"type":"num"}}"#,
                r#"{"all":[{"exact":{"source":"/numbers"}},{"not":{"suffix":{"id":"3"}}}]}"#,
                r#"{"sql":"type = 'number'"}"#,
                r#""type == 'number'""#,
                r#""data.n / 0 > 1""#,
                "null",
            ]),
            "transform" => self.pick(&[
                r#""{{ data }}""#,
                r#"{"id":"id","n":["data.n + 1"]}"#,
                r#"{"bad":"{{ nothing("}"#,
                "null",
            ]),
            _ => self.pick(&["null", "1", r#""a""#, "{}", r#"{"newest":"1"}"#]),
        }
        .to_owned()
    }

    /// A text that is right for what has this name.
    pub(super) fn text(&mut self, name: &str) -> String {
        let known = self.known;
        let later = known.later.as_str();
        let word = match name {
            "topic" | "topics" => return self.known(&known.topics),
            "name" if self.rng.bool() => return self.known(&known.subscriptions),
            "name" => return format!("made-{}", self.rng.u8(0..8)),
            "url" | "token_url" => return self.known(&known.urls),
            "version" | "to" | "at" | "up_to" | "Last-Event-ID" => {
                return self.known(&known.versions);
            }
            "from" | "after" if self.rng.bool() => return self.known(&known.versions),
            "from" => self.pick(&["latest", "earliest", "2026-01-31T12:00:00Z"]),
            "after" => self.pick(&["0", "1", "alpha"]),
            "since" => self.pick(&["2026-01-31T12:00:00Z", "2020-02-29T00:00:00+05:30", later]),
            "deliverat" => self.pick(&["2026-01-31T12:00:00Z", later]),
            "secret" | "secrets" => self.pick(&[SECRET, "whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"]),
            "rate" => self.pick(&["10/s", "600/m", "1/h"]),
            "wait" => self.pick(&["0s", "10ms", "1s"]),
            "age" | "owed" | "overlap" | "max_age" | "give_up_after" => {
                self.pick(&["1h", "7d", "30d"])
            }
            "timeout" | "max_wait" | "priority_max_wait" | "schedule" | "interval"
            | "max_interval" | "max" | "first" => self.pick(&["1s", "15s", "1m"]),
            "reason" => self.pick(&["attempts", "age", "refused", "expression", "expired"]),
            "ids" => self.pick(&["1", "1,2,3"]),
            "type" => "number",
            "source" => "/numbers",
            "id" => self.pick(&["1", "number-1"]),
            "key" => "k1",
            "filter" => {
                self.pick(&[r#"{"prefix":{"type":"num"}}"#, "data.n > 2", "data.n / 0 > 1"])
            }
            "content_type" => "application/json",
            "prepare" | "failed" | "all" => self.pick(&["true", "false"]),
            _ => self.pick(&["a", "some words", "ü"]),
        };
        word.to_owned()
    }

    /// A text that is hardly right.
    pub(super) fn wrong_text(&mut self) -> String {
        match self.rng.u8(0..40) {
            0 => "9".repeat(400),
            1 => "é".repeat(5_000),
            2 => "%2e%2e%2f".repeat(200),
            _ => self.pick(&TEXTS).to_owned(),
        }
    }

    /// A JSON text that is hardly right; now and then no JSON at all.
    pub(super) fn wrong_json(&mut self) -> String {
        match self.rng.u8(0..60) {
            0 => format!("\"{}\"", "y".repeat(LONG)),
            1 => deep("[", "]"),
            2 => deep("{\"a\":", "}"),
            3 => self
                .pick(&["nul", "'a'", "[1,]", "{,}", "NaN", "01", "\"\t\"", "\"\\x\"", ""])
                .to_owned(),
            4..30 => Value::from(self.wrong_text()).to_string(),
            _ => self.pick(&JSON).to_owned(),
        }
    }
}

/// JSON in so many brackets.
pub(super) fn deep(open: &str, close: &str) -> String {
    format!("{}1{}", open.repeat(DEPTH), close.repeat(DEPTH))
}

/// The type of the schema; null only when asked for, or alone.
fn kind(schema: &Value, nullable: bool) -> &str {
    let Some(kinds) = schema["type"].as_array() else {
        return schema["type"].as_str().unwrap_or_default();
    };
    let wanted = |kind: &&Value| (kind.as_str() == Some("null")) == nullable;
    kinds.iter().find(wanted).or(kinds.first()).and_then(Value::as_str).unwrap_or_default()
}
