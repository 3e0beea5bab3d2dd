//! Filters and transforms, as a person would write them.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::json;

use super::{Filter, Transform};
use crate::event::{Data, Epoch, Event, Micros, Topic, Version};

mod depth;
mod numbers;
mod page;
mod properties;

/// Any JSON value, not too large.
pub(super) fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<i32>().prop_map(|quarters| (f64::from(quarters) / 4.0).into()),
        "[a-z\"\\\\\n é😀]{0,6}".prop_map(Into::into),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::hash_map("[a-c\"\\\\é]{0,3}", inner, 0..6)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

fn event(attributes: &serde_json::Value, data: Data) -> Event {
    Event {
        version: Version(42),
        epoch: Epoch(1),
        recorded: Micros(0),
        attributes: attributes.to_string().into(),
        data,
    }
}

pub(super) fn order() -> Event {
    event(
        &json!({
            "id": "7", "source": "/shop", "type": "order.created", "subject": "é\"x",
            "tries": 3, "urgent": true, "sequence": "9",
        }),
        Data::Json(Bytes::from_static(
            br#"{"total": 120.50, "n": 5, "s": "Aa\u0062", "none": null, "yes": true,
                "list": [1, "x", {"a": 2}], "map": {"k": "v"}, "big": 123456789012345678901234567890,
                "twice": 1, "twice": 2, "empty": []}"#,
        )),
    )
}

pub(super) fn topic() -> Topic {
    "orders".parse().unwrap()
}

fn matches(filter: &serde_json::Value) -> Result<bool, String> {
    let filter = Filter::parse(filter).map_err(|error| error.to_string())?;
    filter.matches(&order(), &topic()).map_err(|error| error.to_string())
}

#[test]
fn dialects_match_attributes() {
    for (filter, expected) in [
        (json!({"exact": {"type": "order.created", "source": "/shop"}}), true),
        (json!({"exact": {"type": "order.created", "source": "/other"}}), false),
        (json!({"exact": {"type": "Order.created"}}), false),
        (json!({"exact": {"none": "x"}}), false),
        (json!({"exact": {"tries": "3", "urgent": "true", "specversion": "1.0"}}), true),
        (json!({"exact": {"subject": "é\"x"}}), true),
        (json!({"exact": {"topic": "orders", "milkruntopic": "orders"}}), true),
        (json!({"exact": {"sequence": "9"}}), true),
        (json!({"exact": {"milkrunversion": "00000000000000000042"}}), true),
        (json!({"prefix": {"type": "order."}}), true),
        (json!({"prefix": {"type": "order.", "source": "x"}}), false),
        (json!({"suffix": {"type": ".created"}}), true),
        (json!({"suffix": {"none": "x"}}), false),
        (json!({"not": {"exact": {"none": "x"}}}), true),
        (json!({"all": [{"prefix": {"type": "o"}}, "tries == 3"]}), true),
        (json!({"any": [{"prefix": {"type": "x"}}, {"expr": "tries == 3"}]}), true),
        (json!({"any": [{"prefix": {"type": "x"}}]}), false),
        (json!([{"prefix": {"type": "o"}}, {"suffix": {"type": "x"}}]), false),
        (json!("data.total > 100 and type == 'order.created'"), true),
    ] {
        assert_eq!(matches(&filter), Ok(expected), "{filter}");
    }
}

#[test]
fn wrong_filters_are_told_with_their_place() {
    let deep = (0..20).fold(json!("true"), |inner, _| json!({"not": inner}));
    let wide = json!({"any": vec![json!("true"); 101]});
    for (filter, told) in [
        (json!({}), "is empty"),
        (json!([]), "expected an array of at least one filter"),
        (json!(5), "is no filter"),
        (json!({"exact": {}}), "`exact`: expected an object"),
        (json!({"exact": {"type": ""}}), "`exact.type`: expected a text"),
        (json!({"exact": {"tries": 3}}), "`exact.tries`: expected a text"),
        (json!({"exact": {"Type": "x"}}), "`exact.Type`: is not the name of an attribute"),
        (json!({"all": []}), "`all`: expected an array"),
        (json!({"all": [{"any": [[]]}]}), "`all[0].any[0]`: is no filter"),
        (
            json!({"all": ["true", {"prefx": {}}]}),
            "`all[1].prefx`: is no dialect: the nearest is `prefix`",
        ),
        (json!({"sql": "x"}), "`sql`: is no dialect: expected an expression, or"),
        (json!({"exact": {"a": "b"}, "prefix": {"a": "b"}}), "has several dialects"),
        (json!({"not": {"expr": "x ="}}), "`not.expr`: "),
        (json!({"expr": 5}), "`expr`: expected a text"),
        (deep, "is more than 16 levels deep"),
        (wide, "has more than 100 parts"),
    ] {
        let error = matches(&filter).unwrap_err();
        assert!(error.contains(told), "{filter}: {error}");
    }
}

#[test]
fn expressions_see_the_event() {
    for (expression, expected) in [
        ("type == 'order.created' and source == '/shop'", Ok(true)),
        ("tries == 3 and urgent and version == 42", Ok(true)),
        ("topic == 'orders' and sequence == '9'", Ok(true)),
        ("data.a.b == 1", Ok(false)),
        ("missing", Ok(false)),
        ("not missing and missing is undefined", Ok(true)),
        ("data.s == 'Aab' and data.s|lower == 'aab'", Ok(true)),
        ("data.list[2].a == 2 and data.list|length == 3", Ok(true)),
        ("data.list[-1].a == 2 and data.list|first == 1", Ok(true)),
        ("'x' in data.list and 'k' in data.map and 'z' not in data.map", Ok(true)),
        ("data.list == [1, 'x', data.list[2]]", Ok(true)),
        ("data.twice == 2", Ok(true)),
        ("type in ['a', 'order.created'] and type in ('order.created',)", Ok(true)),
        ("type is startingwith 'order.' and type is endingwith('created')", Ok(true)),
        ("100 < data.total < 200", Ok(true)),
        ("data.n * 2 + 1 == 11 and data.n // 2 == 2 and -7 % 3 == 2", Ok(true)),
        ("(data.none|default('x', true)) == 'x' and data.zzz|d('y') == 'y'", Ok(true)),
        ("data.empty or data.map", Ok(true)),
        ("('a,b'|split(','))[1] == 'b' and ['a', 'b']|join('-') == 'a-b'", Ok(true)),
        ("data.n ~ data.s == '5Aab'", Ok(true)),
        ("'yes' if data.yes else 'no'", Ok(true)),
        ("data.missing + 1 > 0", Err("`+` wants numbers, not undefined and number")),
        ("data.s * 3 == 'x'", Err("`*` wants numbers, not string and number")),
        ("[1] * 1000000", Err("`*` wants numbers")),
        ("data.list ~ 'x'", Err("`~` wants a text or number")),
        ("data.s|int > 1", Err("`int`: ")),
        ("1 / 0", Err("unable to calculate 1 / 0")),
    ] {
        let result = matches(&json!(expression));
        match expected {
            Ok(expected) => assert_eq!(result, Ok(expected), "{expression}"),
            Err(told) => {
                let error = result.unwrap_err();
                assert!(error.contains(told), "{expression}: {error}");
            }
        }
    }
}

#[test]
fn data_that_are_no_json_are_a_text_or_nothing() {
    let filter = Filter::parse(&json!("data == 'plain' or data is undefined")).unwrap();
    let attributes = json!({"id": "1", "source": "s", "type": "t"});
    for (data, expected) in [
        (Data::Text(Bytes::from_static(b"plain")), true),
        (Data::Text(Bytes::from_static(b"other")), false),
        (Data::Binary(Bytes::from_static(b"plain")), true),
        (Data::None, true),
        (Data::Json(Bytes::from_static(b"\"plain\"")), true),
    ] {
        assert_eq!(filter.matches(&event(&attributes, data), &topic()), Ok(expected));
    }
}

#[test]
fn transforms_make_another_body() {
    let body = |transform: serde_json::Value| {
        let made = Transform::parse_trusted(&transform).and_then(|t| t.apply(&order(), &topic()));
        made.map(|body| String::from_utf8(body.to_vec()).unwrap()).map_err(|e| e.to_string())
    };
    for (transform, expected) in [
        (json!({"n": "data.n", "v": 1, "x": null}), r#"{"n":5,"v":1,"x":null}"#),
        (
            json!({"a": {"b": ["type", "data.missing"]}, "c\"": "data.total"}),
            r#"{"a":{"b":["order.created",null]},"c\"":120.50}"#,
        ),
        (json!({"list": "data.list"}), r#"{"list":[1, "x", {"a": 2}]}"#),
        (json!({"s": "subject ~ '/' ~ data.n"}), r#"{"s":"é\"x/5"}"#),
        (json!({"l": "[data.map, data.n]"}), r#"{"l":[{"k":"v"},5]}"#),
        (
            json!("{% for x in data.list %}{{ x|tojson }};{% endfor %}{{ type }} {{ version }}"),
            r#"1;"x";{"a": 2};order.created 42"#,
        ),
    ] {
        assert_eq!(body(transform.clone()).as_deref(), Ok(expected), "{transform}");
    }
    assert_eq!(
        body(json!("{{ 6 is divisibleby 3 }},{{ 6 is divisibleby 0 }}")).as_deref(),
        Ok("True,False")
    );
    for (transform, told) in [
        (json!([]), "expected an object"),
        (json!({"a": {"b": ["x ="]}}), "`a.b[0]`: "),
        (json!({"a": "data.s|int"}), "`a`: `int`: "),
        (json!({"a": "10.0 ** 309"}), "`a`: comes to a number that JSON does not have"),
        (json!({"a": "data.n / 0.1234567890123456789"}), "`a`: `/` is calculated with doubles"),
        (json!({"a": [0.123_456_789_012_345_68]}), "`a[0]`: has more than 15 digits"),
        (json!("{{ x"), "line 1: "),
        (
            json!(
                "{% for x in range(100000) %}{% for y in range(100000) %}{% endfor %}{% endfor %}"
            ),
            "ran out of fuel",
        ),
        (json!("{{ 'abc' * 1000000 }}"), "makes more than 1114112 bytes"),
    ] {
        let error = body(transform.clone()).unwrap_err();
        assert!(error.contains(told), "{transform}: {error}");
    }
    assert!(Transform::parse(&json!("{{ data }}")).is_err(), "a template came through the API");
}
