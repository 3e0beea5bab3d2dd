//! Messages name the right place and the whole path, in words that help.

use super::{refused, source, subscription};

/// Each text, and the beginnings of all messages about it.
#[test]
fn what_is_wrong_is_told_where_it_is() {
    let http = |line: &str| source(&format!("      {line}\n"));
    let webhook = |rest: &str| {
        format!(
            "subscriptions:\n- name: s\n  topic: t\n  webhook:\n    url: https://a.example/\n    {rest}\n"
        )
    };
    let mut wrong = Vec::new();
    for (text, expected) in [
        // Variables: themselves, and nobody beside them.
        (
            "listen: ${PORT}\nstore: \"sqlite:${HOST}/${NO}\"\n".to_owned(),
            &["2:24: the environment variable `NO`"][..],
        ),
        (
            "store: >\n  sqlite:${HOST}\n  $${NO} ${NO}\n".into(),
            &["3:10: the environment variable `NO`"],
        ),
        ("store: \"sqlite:\\\n   a${NO}\"\n".into(), &["2:5: the environment variable `NO`"]),
        (
            http("query: { a: ${HOST}, b: c }"),
            &["7:19: within `{ }` and `[ ]` a variable is quoted: \"${HOST}\""],
        ),
        (
            webhook("tls: { certificate: { env: NO }, key: { env: SECRET } }"),
            &["6:25: the environment variable `NO`"],
        ),
        (
            webhook(
                "auth: { oauth2: { token_url: \"https://a.example\", client_id: x, client_secret: { env: NO } } }",
            ),
            &["6:84: the environment variable `NO`"],
        ),
        (webhook("secrets: [{ env: SECRET }, { env: SHORT }]"), &["6:32: `webhook.secrets[1]`"]),
        (
            webhook("secrets: [{ env: NO }, { env: SECRET }]"),
            &["6:15: the environment variable `NO`"],
        ),
        (
            http("auth: { basic: { user: { env: NO }, password: { env: SECRET } } }"),
            &["7:30: the environment variable `NO`"],
        ),
        // Indentation.
        ("sources:\n- name: a\n\ttopic: t\n".into(), &["3:1: a tab in the indentation"]),
        ("limits:\n  readers: 4\n  \twalks_max: 4\n".into(), &["3:3: a tab in the indentation"]),
        (
            "sources:\n  - name: a\n  topic: t\n".into(),
            &["3:3: the indentation is that of nothing above"],
        ),
        (source("     query: {}\n"), &["7:6: the indentation is that of nothing above"]),
        (
            "sources:\n- name: a\n  topic: t\n  http:\n  url: https://a.example/\n".into(),
            &[
                "5:3: the key `url` is missing in `sources[0].http`: indent this one further than `http`",
            ],
        ),
        ("sources:\n- name: a\n   topic: t\n".into(), &["3:9: a `:` where no key can be"]),
        ("outbound: { allow: [a, b }\n".into(), &["1:20: the `{` or `[` of line 1, column 20"]),
        // Paths.
        (
            http("cursor: { max_field: { kind: time } }"),
            &["7:30: the key `path` is missing in `sources[0].http.cursor.max_field`"],
        ),
        (
            subscription("    retry: { exponential: { multiplier: x } }\n"),
            &["5:41: `subscriptions[0].retry.exponential.multiplier`: expected a number"],
        ),
        ("limits: { readers: x }\n".into(), &["1:20: `limits.readers`: expected a whole number"]),
        ("sources: { a: 1 }\n".into(), &["1:10: `sources`: expected a list"]),
        ("[]\n".into(), &["1:1: expected a mapping"]),
        ("topics: { a: 5 }\n".into(), &["1:14: `topics.a`: expected a mapping"]),
        (
            http("auth: { basic: { user: x } }"),
            &["7:24: the key `password` is missing in `sources[0].http.auth.basic`"],
        ),
        (
            http(
                "pages: { item_id: {} }\n      cursor: { last_id: {} }\n      query: { a: \"{cursor}{page}\" }\n      limits: { depth: 0 }",
            ),
            &["10:17: `http`: `limits.depth`"],
        ),
        (
            webhook(
                "auth: { oauth2: { token_url: \"https://a.example\", client_id: \"\", client_secret: { env: SECRET } } }",
            ),
            &["6:55: `webhook.auth.oauth2.client_id`"],
        ),
    ] {
        let told = refused(&text);
        let told: Vec<&str> =
            told.lines().filter_map(|line| line.strip_prefix("m.yaml:")).collect();
        let is_expected = |(told, expected): (&&str, &&str)| told.starts_with(*expected);
        let all = told.len() == expected.len() && told.iter().zip(expected).all(is_expected);
        if !all {
            wrong.push(format!("{text}\nexpected: {expected:#?}\ntold: {told:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
