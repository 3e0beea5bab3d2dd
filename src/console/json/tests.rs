//! What is shown is what came, and nothing of it is HTML.

use proptest::prelude::*;

use super::*;

/// The tags of an HTML text in their order, and its text with what was written out put back.
fn read(html: &str) -> (Vec<String>, String) {
    let (mut tags, mut text, mut rest) = (Vec::new(), String::new(), html);
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("<i>⟨U+") {
            let (number, after) = after.split_once("⟩</i>").expect("an end");
            text.push(char::from_u32(u32::from_str_radix(number, 16).unwrap()).unwrap());
            rest = after;
        } else if let Some(after) = rest.strip_prefix('<') {
            let (tag, after) = after.split_once('>').expect("a tag ends");
            tags.push(tag.to_owned());
            rest = after;
        } else if let Some(after) = rest.strip_prefix('&') {
            let (name, after) = after.split_once(';').expect("an entity ends");
            text.push(match name {
                "amp" => '&',
                "lt" => '<',
                "gt" => '>',
                "quot" => '"',
                "#39" => '\'',
                other => panic!("&{other};"),
            });
            rest = after;
        } else {
            let end = rest.find(['<', '&']).unwrap_or(rest.len());
            text.push_str(&rest[..end]);
            rest = &rest[end..];
        }
    }
    (tags, text)
}

/// Holds that the HTML is whole, has no tag but our own, and says what `text` says.
fn holds(text: &str) {
    let html = coloured(text);
    let (tags, back) = read(&html);
    assert_eq!(back, text, "{html}");
    let mut open = Vec::new();
    for tag in tags {
        let name = tag.split(' ').next().unwrap().to_owned();
        match name.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop().as_deref(), Some(name), "{html}"),
            None if name == "br" => {}
            None => {
                let known = ["span class=\"k\"", "span class=\"s\"", "span class=\"n\""];
                let others = ["span class=\"w\"", "details open", "summary", "div"];
                assert!(known.iter().chain(&others).any(|known| *known == tag), "{tag}");
                open.push(name);
            }
        }
    }
    assert!(open.is_empty(), "{html}");
    assert!(!html.chars().any(is_hidden), "{html:?}");
}

#[test]
fn json_is_shown_as_it_came() {
    for text in [
        r#"{"a": 12345678901234567890.10, "b": [1, true, null], "a": "\"<x>"}"#,
        r#"{"big":9007199254740993,"e":1E+400,"nested":{"x":[[],{}]}}"#,
        "<script>alert(1)</script>",
        "{\"a\":\"\u{202e}gpj.exe\",\"b\":\"\u{0}\u{feff}\"}",
        "}}}]]",
        "{{{[[",
        "\"never ends",
        "{\"a\":{\"b\":",
        "",
    ] {
        holds(text);
    }
}

#[test]
fn what_folds_is_bounded() {
    let html = coloured(&"[".repeat(SHOWN_BYTES_MAX));
    assert_eq!(html.matches("<details").count(), DEPTH_MAX);
    let html = coloured(&format!("[{}]", "{},".repeat(5_000)));
    assert_eq!(html.matches("<details").count(), FOLDS_MAX);
}

#[test]
fn at_most_64_kib_are_shown() {
    let (shown, whole) = html(&vec![b'x'; SHOWN_BYTES_MAX + 1]);
    assert_eq!((shown.len(), whole), (SHOWN_BYTES_MAX, false));
    assert!(html(b"{}").1);
}

#[test]
fn what_cannot_be_seen_is_written_out() {
    assert_eq!(Text::new("a\u{202e}b\u{200d}\r").to_string(), "a⟨U+202E⟩b⟨U+200D⟩⟨U+000D⟩");
    assert_eq!(Text::new("Zürich 東京\n").to_string(), "Zürich 東京\n");
}

proptest! {
    #[test]
    fn any_text_is_shown_as_it_came(text in "\\PC*|.*") {
        holds(&text);
    }

    #[test]
    fn any_brackets_and_quotes_are_shown_as_they_came(
        text in "([\\[\\]{}:,\"\\\\ \n<>&'a1\u{202e}-]|true|null){0,80}"
    ) {
        holds(&text);
    }
}
