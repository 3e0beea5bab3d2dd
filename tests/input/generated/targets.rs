//! What is asked for: paths and queries as the document has them, and others.

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, percent_encode};

use super::{
    calls::{Call, Operation},
    values::Values,
};

/// Path segments, as they are sent, that name nothing.
const SEGMENTS: [&str; 22] = [
    "none",
    "none",
    "none",
    "..",
    ".",
    "%2e%2e",
    "%2f",
    "a%2Fb",
    "%00",
    "%",
    "%zz",
    "%ff",
    "%c3%28",
    "a/b",
    "a?b",
    "a#b",
    "",
    "\u{fc}",
    "a;b=c",
    "-1",
    "0",
    "99999999999999999999",
];

/// Targets that no operation has.
const TARGETS: [&str; 18] = [
    "/",
    "*",
    "//",
    "/v1",
    "/v1/",
    "/v2/topics",
    "/v1//topics",
    "/v1/../v1/topics",
    "/docs",
    "/docs/",
    "/docs/none.js",
    "/docs/..%2f..%2fCargo.toml",
    "/docs/%00",
    "/openapi.json",
    "/openapi.json/",
    "/favicon.ico",
    "/%2e%2e/%2e%2e/etc/passwd",
    "/\u{202e}/v1",
];

const QUERIES: [&str; 12] = [
    "",
    "&&&",
    "=",
    "%",
    "limit",
    "limit=%ff",
    "limit=1;after=2",
    "?",
    "a[]=1",
    "limit=+1",
    "=1&=2",
    "limit=1%00",
];

/// The path, with names of which half refer to something.
pub(super) fn path(operation: &Operation, values: &mut Values<'_>, call: &mut Call) {
    let names = known(operation, values).filter(|_| values.one_in(2));
    for part in operation.path.split('/').skip(1) {
        call.target.push(b'/');
        let Some(name) = part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) else {
            call.target.extend_from_slice(part.as_bytes());
            continue;
        };
        if let Some((first, second)) = &names {
            let is_second = matches!(name, "id" | "version");
            call.target.extend_from_slice(if is_second { second } else { first }.as_bytes());
        } else if values.one_in(3) {
            let text = values.wrong_text();
            call.operation = call.operation.filter(|_| !text.is_empty());
            call.target.extend_from_slice(encoded(&text).as_bytes());
        } else {
            let segment = values.pick(&SEGMENTS);
            let is_one = !segment.is_empty() && !segment.contains(['/', '?', '#']);
            call.operation = call.operation.filter(|_| is_one);
            call.target.extend_from_slice(segment.as_bytes());
        }
    }
}

/// Names that refer to something, for the one or two places of a path.
fn known(operation: &Operation, values: &mut Values<'_>) -> Option<(String, String)> {
    let known = values.known;
    let path = &operation.path;
    let pairs = if path.contains("/pending/{id}") {
        &known.pending
    } else if path.contains("/replays/{id}") {
        &known.replays
    } else {
        let list = match path {
            path if path.contains("{topic}") => &known.topics,
            path if path.starts_with("/v1/sources") => &known.sources,
            _ => &known.subscriptions,
        };
        return Some((values.one_of(list)?, values.one_of(&known.versions)?));
    };
    let (name, id) = pairs.get(values.rng.usize(0..pairs.len().max(1)))?;
    Some((name.clone(), id.to_string()))
}

fn encoded(text: &str) -> String {
    percent_encode(text.as_bytes(), NON_ALPHANUMERIC).to_string()
}

/// Some of the parameters, and what is wrong with them.
pub(super) fn query<'a>(operation: &'a Operation, values: &mut Values<'a>, call: &mut Call) {
    let known = operation.parameters("query");
    let most = u32::try_from(known.len() / 2).unwrap_or(2).max(2);
    let mut pairs = Vec::new();
    for (name, schema) in known {
        if values.one_in(most) {
            let text = if values.rng.u8(0..100) < values.wrong {
                values.wrong_text()
            } else {
                let json = values.json(schema, name);
                if json == "null" {
                    continue;
                }
                serde_json::from_str::<String>(&json).unwrap_or(json)
            };
            pairs.push(format!("{name}={}", encoded(&text)));
        }
    }
    if values.wrong > 0 {
        if values.one_in(8) {
            pairs.push(format!("{}=1", encoded(&values.wrong_text())));
        }
        if values.one_in(8) && !pairs.is_empty() {
            pairs.push(pairs[0].clone());
        }
        if values.one_in(12) {
            pairs.push(values.pick(&QUERIES).to_owned());
        }
        if values.one_in(60) {
            pairs.push(format!("filter={}", "(".repeat(50_000)));
        }
    }
    if !pairs.is_empty() {
        call.target.extend_from_slice(format!("?{}", pairs.join("&")).as_bytes());
    }
}

/// Another target, or the same one written otherwise.
pub(super) fn bend(values: &mut Values<'_>, call: &mut Call) {
    call.operation = None;
    let target = std::mem::take(&mut call.target);
    call.target = match values.rng.u8(0..8) {
        0 => [target.as_slice(), b"/"].concat(),
        1 => [b"/", target.as_slice()].concat(),
        2 => [target.as_slice(), b"%00"].concat(),
        3 => target.to_ascii_uppercase(),
        4 => [b"http://127.0.0.1", target.as_slice()].concat(),
        5 => {
            let text = String::from_utf8_lossy(&target).into_owned();
            percent_decode_str(&text).collect()
        }
        6 => [b"/".as_slice(), "x/".repeat(20_000).as_bytes()].concat(),
        _ => values.pick(&TARGETS).as_bytes().to_vec(),
    };
}
