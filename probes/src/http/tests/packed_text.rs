//! In which encoding bodies are read whatever their labels say: a table.

use bytes::Bytes;

use super::{
    super::limits::Limits,
    packing::{MALFORMED, NONE, Right::Text, TEXT, gzip, hold, joined, read, utf_16},
};

const LATIN: &[(&str, &str)] = &[("content-type", "application/json; charset=ISO-8859-1")];

#[tokio::test]
async fn characters_are_what_the_body_shows() {
    let t = TEXT.as_bytes();
    hold(
        vec![
            (&[("content-type", "application/json; charset=utf-8")], t.to_vec(), Text(TEXT, &[])),
            (
                &[("content-type", "application/json;Charset=\"UTF8\"; x=y")],
                t.to_vec(),
                Text(TEXT, &[]),
            ),
            (LATIN, b"[\"caf\xe9\"]".to_vec(), Text("[\"café\"]", &[])),
            (LATIN, b"[1]".to_vec(), Text("[1]", &[])),
            (
                LATIN,
                "[\"café\"]".into(),
                Text(
                    "[\"café\"]",
                    &["`charset=ISO-8859-1`, but its body is valid as that: read as UTF-8"],
                ),
            ),
            (
                &[("content-type", "text/plain; charset=windows-1252")],
                b"\x80".to_vec(),
                Text("€", &[]),
            ),
            (
                &[("content-type", "a/b; charset=windows-1251")],
                b"\xcf\xf0\xe8".to_vec(),
                Text("При", &[]),
            ),
            (
                &[("content-type", "a/b; charset=Shift_JIS")],
                b"\x93\xfa\x96\x7b".to_vec(),
                Text("日本", &[]),
            ),
            // Valid UTF-8 by chance: two bytes make a character in both.
            (
                &[("content-type", "a/b; charset=gbk")],
                b"\xc1\xaa\xcd\xa8".to_vec(),
                Text("联通", &[]),
            ),
            (
                &[("content-type", "a/b; charset=Shift_JIS")],
                b"[\"\x93\"".to_vec(),
                MALFORMED(&[
                    "no valid Shift_JIS at byte 2",
                    "`93 22` after `[\"`",
                    "set `charset`",
                ]),
            ),
            (
                &[("content-type", "a/b; charset=unicode-1-1")],
                t.to_vec(),
                Text(TEXT, &["`charset=unicode-1-1`"]),
            ),
            (
                &[("content-type", "a/b; charset=klingon")],
                b"\"\xe9\"".to_vec(),
                MALFORMED(&["`charset=klingon`, which is not known", "windows-1252"]),
            ),
            (&[("content-type", "a/b; charset=")], t.to_vec(), Text(TEXT, &[])),
            (
                NONE,
                b"[\"caf\xe9 au lait\"]".to_vec(),
                MALFORMED(&[
                    "no valid UTF-8 at byte 5",
                    "`e9 20 61 75` after `[\"caf`",
                    "set `charset: windows-1252`",
                ]),
            ),
            (
                &[("content-type", "a/b; charset=utf-8")],
                b"[\"\xed\xa0\x80\"]".to_vec(),
                MALFORMED(&["UTF-8 at byte 2"]),
            ),
        ],
        None,
    )
    .await;
}

#[tokio::test]
async fn marks_and_zero_bytes_decide_before_labels() {
    let t = TEXT.as_bytes();
    let zeros: &[&str] = &["says no charset, but its body has its zero bytes: read as UTF-16"];
    hold(
        vec![
            (NONE, joined(&[b"\xef\xbb\xbf", t]), Text(TEXT, &[])),
            (
                LATIN,
                joined(&[b"\xef\xbb\xbf", t]),
                Text(TEXT, &["begins with its byte order mark"]),
            ),
            (
                NONE,
                joined(&[b"\xef\xbb\xbf\xef\xbb\xbf", t]),
                Text(TEXT, &["at an odd place: left out"]),
            ),
            (NONE, joined(&[b" \r\n\xef\xbb\xbf", t]), Text(TEXT, &["at an odd place"])),
            (NONE, joined(&[b"\xff\xfe", &utf_16(TEXT, true)]), Text(TEXT, &[])),
            (NONE, joined(&[b"\xfe\xff", &utf_16(TEXT, false)]), Text(TEXT, &[])),
            (
                &[("content-type", "a/b; charset=utf-16")],
                joined(&[b"\xfe\xff", &utf_16(TEXT, false)]),
                Text(TEXT, &[]),
            ),
            (
                &[("content-type", "a/b; charset=utf-8")],
                joined(&[b"\xff\xfe", &utf_16(TEXT, true)]),
                Text(TEXT, &["`charset=utf-8`, but its body begins"]),
            ),
            (NONE, utf_16(TEXT, true), Text(TEXT, zeros)),
            (NONE, utf_16(TEXT, false), Text(TEXT, zeros)),
            (NONE, utf_16("7", true), Text("7", zeros)),
            (&[("content-type", "a/b; charset=utf-16")], utf_16(TEXT, false), Text(TEXT, &[])),
            (
                &[("content-type", "a/b; charset=utf-16")],
                t.to_vec(),
                Text(TEXT, &["charset=utf-16"]),
            ),
            (&[("content-encoding", "gzip")], gzip(&utf_16(TEXT, true)), Text(TEXT, zeros)),
            (NONE, joined(&[&utf_16("[1]", true), b"]"]), MALFORMED(&["no valid UTF-16LE"])),
            (
                NONE,
                joined(&[b"\xff\xfe", b"\x00\xd8[\x00"]),
                MALFORMED(&["no valid UTF-16LE at byte 0"]),
            ),
            (NONE, b"[\0\0\x001\0\0\0]\0\0\0".to_vec(), MALFORMED(&["UTF-32"])),
            (NONE, b"\0\0\xfe\xff\0\0\0[".to_vec(), MALFORMED(&["UTF-32"])),
        ],
        None,
    )
    .await;
}

#[tokio::test]
async fn the_setting_overrides_the_label() {
    hold(
        vec![
            (
                &[("content-type", "a/b; charset=utf-8")],
                b"\"caf\xe9\"".to_vec(),
                Text("\"café\"", &[]),
            ),
            (NONE, b"\"\x80\"".to_vec(), Text("\"€\"", &[])),
            (NONE, "\"é\"".into(), Text("\"Ã©\"", &[])),
            (NONE, joined(&[b"\xef\xbb\xbf", "\"é\"".as_bytes()]), Text("\"é\"", &[])),
        ],
        Some("windows-1252"),
    )
    .await;
}

/// The head and the body of an answer as it was sent.
fn sent(raw: &str) -> (Vec<(&str, &str)>, Bytes) {
    let (head, body) = raw.split_once("\n\n").unwrap();
    let fields = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    let fields = fields.filter(|(_, value)| *value != "auto").collect();
    (fields, Bytes::copy_from_slice(body.as_bytes()))
}

#[tokio::test]
async fn answers_of_the_field_are_read() {
    for (raw, warnings) in [
        (include_str!("answers/encoding-utf8.http"), 1),
        (include_str!("answers/html-type.http"), 0),
    ] {
        let (headers, body) = sent(raw);
        let answer = read(&headers, vec![body.clone()], None, &Limits::default()).await.unwrap();
        assert_eq!((answer.body, answer.warnings.len()), (body, warnings), "{:?}", answer.warnings);
    }
}
