//! Cases of what is an event and what is not.

use proptest::prelude::*;

use super::*;
use crate::wire::headers::HEADER_BYTES_MAX;

fn parse(media: &'static str, body: impl Into<Bytes>) -> Result<Vec<NewEvent>, ReadError> {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, media.parse().unwrap());
    read(&headers, &body.into())
}

fn one(members: &str) -> Result<NewEvent, ReadError> {
    let body = format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"t"{members}}}"#);
    parse(STRUCTURED, body).map(|mut events| events.remove(0))
}

#[track_caller]
fn refused(result: Result<impl std::fmt::Debug, ReadError>, field: &str, part: &str) {
    let error = result.unwrap_err();
    let ReadError::Event { index, refused } = &error else { panic!("{error:?}") };
    assert_eq!((*index, refused.attribute.as_str()), (0, field), "{error}");
    assert!(error.to_string().contains(part), "{error}");
}

#[test]
fn data_is_kept_as_it_was_written() {
    for (members, expected) in [
        ("", Data::None),
        (r#","data": [1.0,  "é"] "#, Data::Json(Bytes::from_static("[1.0,  \"é\"]".as_bytes()))),
        (
            r#","data":{"na\ud83dme":"\ud83d","n":[1E400,1.50,-0,0.1234567890123456789]}"#,
            Data::Json(Bytes::from_static(
                br#"{"na\ud83dme":"\ud83d","n":[1E400,1.50,-0,0.1234567890123456789]}"#,
            )),
        ),
        (r#","data":null"#, Data::Json(Bytes::from_static(b"null"))),
        (r#","data_base64":"/w==""#, Data::Binary(Bytes::from_static(&[0xff]))),
        (r#","data_base64":null,"subject":null"#, Data::None),
    ] {
        assert_eq!(one(members).unwrap().data, expected, "{members}");
    }
}

/// JSON format, 3.1.1: a string under a media type that is not JSON is the text itself.
#[test]
fn a_string_of_another_type_than_json_is_its_text() {
    let json = |text: &'static str| Data::Json(Bytes::from_static(text.as_bytes()));
    let text = |text: &'static str| Data::Text(Bytes::from_static(text.as_bytes()));
    for (kind, written, expected) in [
        ("text/plain", r#""hello""#, text("hello")),
        ("application/xml; charset=utf-8", r#" "<a b=\"\u00e9\"/>\n" "#, text("<a b=\"é\"/>\n")),
        ("text/plain", r#""""#, text("")),
        ("application/json", r#""hello""#, json(r#""hello""#)),
        ("Application/Geo+JSON; a=b", r#""hello""#, json(r#""hello""#)),
        // No string: it stays what was written.
        ("text/plain", "{ }", json("{ }")),
        ("text/plain", "12.50", json("12.50")),
    ] {
        let members = format!(r#","data":{written},"datacontenttype":"{kind}""#);
        assert_eq!(one(&members).unwrap().data, expected, "{members}");
        let event =
            format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"t"{members}}}"#);
        let batch = parse(BATCH, format!("[{event}]")).unwrap();
        assert_eq!(batch[0].data, expected, "{members}");
    }
    let half = r#","datacontenttype":"text/plain","data":"\ud83d""#;
    refused(one(half), "data", "surrogate pair");
}

#[test]
fn each_broken_rule_names_its_attribute() {
    for (members, field, part) in [
        (r#","data":1,"data_base64":"/w==""#, "data_base64", "both"),
        (r#","data_base64":"?""#, "data_base64", "base64"),
        (r#","time":"yesterday""#, "time", "RFC 3339"),
        (r#","subject":7"#, "subject", "expected a text"),
        (r#","Upper":"x""#, "Upper", "extension"),
        (r#","milkrunversion":"1""#, "milkrunversion", "extension"),
        (r#","tags":["a"]"#, "tags", "boolean"),
        (r#","tags":1e400"#, "tags", "32 bits"),
        (r#","tags":2147483648"#, "tags", "32 bits"),
        (r#","tags":"half \ud83d""#, "tags", "half of a surrogate pair"),
        (r#","dataschema":"\ude00""#, "dataschema", "half of a surrogate pair"),
        (r#","deliverat":"tomorrow""#, "deliverat", "RFC 3339"),
        (r#","deliverat":5"#, "deliverat", "a text"),
        (r#","expirytime":"2030-01-01""#, "expirytime", "RFC 3339"),
        (r#","priority":10"#, "priority", "from 0 to 9"),
        (r#","priority":"high""#, "priority", "from 0 to 9"),
        (r#","priority":-1"#, "priority", "from 0 to 9"),
        (r#","id":"2""#, "event", "twice"),
    ] {
        refused(one(members), field, part);
    }
    refused(parse(STRUCTURED, r#"{"id":"1"}"#), "specversion", "1.0");
    refused(parse(STRUCTURED, r#"{"specversion":"1.0","id":"1"}"#), "source", "not empty");
    refused(parse(STRUCTURED, "[]"), "event", "object");
    let large = format!(r#","data":"{}""#, "x".repeat(1 << 20));
    refused(one(&large), "data", "at most 1048576");
}

#[test]
fn times_are_stored_as_rfc_3339() {
    for name in ["time", "deliverat", "expirytime"] {
        for (given, stored) in [
            ("2026-01-31T12:00:00.50Z", "2026-01-31T12:00:00.50Z"),
            ("2026-01-31 12:00:00 +0100", "2026-01-31T12:00:00+01:00"),
            ("20260131T120000Z", "2026-01-31T12:00:00Z"),
            ("Sat, 31 Jan 2026 12:00:00 GMT", "2026-01-31T12:00:00Z"),
            ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
        ] {
            let event = one(&format!(r#","{name}":"{given}""#)).unwrap();
            let expected = format!(r#","{name}":"{stored}""#);
            assert!(event.attributes.as_str().contains(&expected), "{expected}");
            let due = event.deliver_at.map(|due| due.to_string());
            assert_eq!(due.is_some(), name == "deliverat", "{given}");
        }
        for bad in ["2026-01-31T12:00:00", "01/02/2026", "1769860800", "2026-W05-6T12:00:00Z"] {
            refused(one(&format!(r#","{name}":"{bad}""#)), name, "RFC 3339");
        }
    }
    let due = one(r#","deliverat":"2026-01-31 13:00:00+0100""#).unwrap().deliver_at.unwrap();
    assert_eq!(due.to_string(), "2026-01-31T12:00:00.000000Z");
}

/// Attributes become headers of requests, which servers bound.
#[test]
fn attributes_are_bounded_as_headers() {
    let member = |name: &str, value: &str| format!(r#","{name}":"{value}""#);
    let fits = HEADER_BYTES_MAX - "ce-subject: ".len();
    assert!(one(&member("subject", &"x".repeat(fits))).is_ok());
    assert!(one(&member("subject", &"é".repeat(fits / 6))).is_ok());
    for (name, value) in [
        ("subject", "x".repeat(fits + 1)),
        ("partitionkey", "é".repeat(fits / 6)),
        ("tenant", "%".repeat(fits / 3 + 2)),
        ("dataschema", "\\\"".repeat(fits / 3)),
    ] {
        refused(one(&member(name, &value)), name, "as a header: expected at most 8192");
    }
    let many = |count: usize| -> String {
        (0..count).map(|n| member(&format!("x{n}"), &"x".repeat(8_000))).collect()
    };
    assert!(one(&many(8)).is_ok());
    refused(one(&many(9)), "x0", "bytes as headers, this one the most: expected at most 65536");
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| format!(r#","data":{}{}"#, "[".repeat(depth), "]".repeat(depth));
    assert!(one(&nested(64)).is_ok());
    refused(one(&nested(65)), "data", "deeper than 64");
    refused(one(&nested(10_000)), "data", "deeper than 64");
    assert!(
        one(
            r#","data":"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"""#
        )
        .is_ok()
    );
}

#[test]
fn what_is_not_json_is_malformed() {
    for body in [&b"{"[..], b"<html>", b"\xff\xfe", b"", b"{} {}"] {
        let error = parse(STRUCTURED, Bytes::from_static(body)).unwrap_err();
        assert!(matches!(error, ReadError::Malformed(_)), "{body:?}: {error:?}");
    }
    assert!(matches!(parse(BATCH, "{}"), Err(ReadError::Malformed(_))));
    assert_eq!(parse(BATCH, "[]"), Err(ReadError::Count(0)));
    let many = format!("[{}]", vec!["0"; 10_001].join(","));
    let error = parse(BATCH, many).unwrap_err();
    assert_eq!(error, ReadError::Count(10_001));
    assert!(error.to_string().contains("10000"), "{error}");
}

#[test]
fn binary_mode_reads_headers() {
    let binary = |list: &[(&'static str, &'static str)], body: &'static [u8]| {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/s"), ("ce-type", "t")]
                .iter()
                .chain(list)
        {
            headers.append(*name, value.parse().unwrap());
        }
        read(&headers, &Bytes::from_static(body)).map(|mut events| events.remove(0))
    };
    let kind = |value| ("content-type", value);
    let event =
        binary(&[kind("application/json"), ("ce-subject", "a%20b"), ("ce-tenant", "7")], b" {}\n");
    let event = event.unwrap();
    assert_eq!(event.data, Data::Json(Bytes::from_static(b" {}\n")));
    assert_eq!(
        event.attributes.as_str(),
        r#"{"id":"1","source":"/s","type":"t","subject":"a b","datacontenttype":"application/json","tenant":"7"}"#
    );
    let data = |media, body| binary(&[kind(media)], body).unwrap().data;
    assert_eq!(data("text/plain; charset=utf-8", b"hi"), Data::Text(Bytes::from_static(b"hi")));
    assert_eq!(data("text/plain", b"\xff"), Data::Binary(Bytes::from_static(b"\xff")));
    assert_eq!(data("image/png", b"hi"), Data::Binary(Bytes::from_static(b"hi")));
    assert_eq!(data("application/json", b""), Data::None);
    refused(binary(&[kind("application/json")], b"{"), "data", "JSON");
    refused(binary(&[kind("application/json")], b"\xff"), "data", "JSON");
    refused(binary(&[("ce-id", "2")], b""), "id", "twice");
    refused(
        binary(&[("ce-datacontenttype", "text/plain")], b""),
        "datacontenttype",
        "Content-Type",
    );
}

/// JSON texts with white space, escapes and numbers that no serialiser would write.
fn json_text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?",
        r#""([ !#-\[\]-~é€]|\\["\\/bfnrt]|\\u[0-9a-f]{4}){0,20}""#,
        "true|false|null",
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        let space = "[ \\t\\r\\n]{0,2}";
        prop_oneof![
            (space, prop::collection::vec(inner.clone(), 0..4)).prop_map(|(space, items)| format!(
                "[{space}{}{space}]",
                items.join(&format!("{space},{space}"))
            )),
            (space, prop::collection::vec(inner, 0..4)).prop_map(|(space, items)| {
                let member =
                    |(index, item): (usize, String)| format!("\"m{}\"{space}:{item}", index % 2);
                let members: Vec<String> = items.into_iter().enumerate().map(member).collect();
                format!("{{{space}{}{space}}}", members.join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn any_data_is_kept_byte_for_byte(text in json_text()) {
        let event = one(&format!(r#","data":{text}"#));
        prop_assert_eq!(event.map(|event| event.data), Ok(Data::Json(text.into())));
    }

    #[test]
    fn no_body_is_a_panic(body in prop::collection::vec(any::<u8>(), 0..200), text in ".{0,200}") {
        for body in [Bytes::from(body), Bytes::from(text)] {
            prop_assert!(parse(STRUCTURED, body.clone()).is_err());
            prop_assert!(parse(BATCH, body).is_err());
        }
    }
}
