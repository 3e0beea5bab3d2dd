//! Texts and numbers of the file, as they are written.

use serde_json::json;

use super::{env, good, refused, source, subscription};

/// Plain scalars that YAML reads as something else than a text.
const SCALARS: [&str; 16] = [
    "7",
    "7.0",
    "1.10",
    "007",
    "-0",
    "+5",
    "1e3",
    "0x10",
    "0o17",
    "1_000",
    "1.",
    ".5",
    "true",
    "FALSE",
    "yes",
    "2026-01-31",
];

#[test]
fn a_text_is_what_the_file_has() {
    for scalar in SCALARS.into_iter().chain(["12345678901234567890123", "\u{e9}", "1:30"]) {
        for (open, shut) in [("", ""), ("&x ", ""), ("", "   # 1")] {
            let lines = format!(
                "      query:\n        \u{e9}: {open}{scalar}{shut}\n      headers: {{ a: x, b: {open}{scalar} ,c: [] }}\n"
            );
            let block = source(&lines.replace(" ,c: []", ""));
            let http = &good(&block).sources[0].http;
            assert_eq!(http.query[0].value, scalar, "{block}");
            assert_eq!(http.headers[1].value, scalar, "{block}");
        }
    }
    let aliased = source("      query: { a: &a 1.10, b: *a, c: '1.10', d: \"007\", e: ${PORT} }\n");
    let http = &good(&aliased.replace("${PORT}", "\"${PORT}\"")).sources[0].http;
    let values: Vec<&str> = http.query.iter().map(|param| &*param.value).collect();
    assert_eq!(values, ["1.10", "1.10", "1.10", "007", "9999"]);
}

/// Each place of a text that may be a secret, too.
#[test]
fn every_place_of_a_text_takes_it_as_written() {
    let text = "\
outbound: { proxy: 007 }
sources:
- { name: a, topic: t, http: { url: https://a.example/, id: id, query: { a: 007 }, headers: { a: 007 },
    auth: { basic: { user: 007, password: { env: SECRET } } } } }
subscriptions:
- { name: b, topic: t, webhook: { url: https://a.example/, headers: { a: 007 },
    tls: { certificate: 007, ca: 007, key: { env: SECRET } },
    auth: { basic: { username: 007, password: { env: SECRET } } } } }
- { name: c, topic: t, webhook: { url: https://a.example/,
    auth: { oauth2: { token_url: https://a.example/, client_id: 007, client_secret: { env: SECRET } } } } }
";
    let mut problems = super::Problems::new(text);
    let (file, _) = super::file(text, &env, &mut problems).unwrap();
    let shown = serde_json::to_string(&file).unwrap();
    assert_eq!(shown.matches("\"007\"").count(), 9, "{shown}");
}

#[test]
fn nothing_is_no_text() {
    for nothing in ["", "null", "~", "NULL"] {
        let told = refused(&source(&format!("      query:\n        a: {nothing}\n")));
        assert!(told.contains("m.yaml:8:") && told.contains("`\"null\"` the word"), "{told}");
    }
    let lines = "      query: { a: \"\", b: \"null\" }\n";
    let http = &good(&source(lines)).sources[0].http;
    assert_eq!((&*http.query[0].value, &*http.query[1].value), ("", "null"));
}

#[test]
fn json_keeps_the_numbers_that_it_can_hold() {
    let body = "      body:\n        a: [7, -0.5, 1.10, 1e3, 7.0, true, null, yes]\n        b/c~: { d: 007 }\n        e: [0x10, 1_000, 12345678901234567890123, 0.12345678901234567890123, 18446744073709551615]\n";
    let told = good(&source(body)).sources[0].http.body.clone().unwrap();
    let expected = json!({
        "a": [7, -0.5, 1.1, 1000.0, 7.0, true, null, "yes"],
        "b/c~": { "d": "007" },
        "e": ["0x10", "1_000", "12345678901234567890123", "0.12345678901234567890123",
              18_446_744_073_709_551_615_u64],
    });
    assert_eq!(told, expected);
    let filter = subscription("    filter: { exact: { partitionkey: 007 } }\n");
    let filter = good(&filter).subscriptions[0].settings.filter.clone().unwrap();
    assert_eq!(filter, json!({ "exact": { "partitionkey": "007" } }));
}
