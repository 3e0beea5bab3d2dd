//! Numbers keep the digits that they were written with, and halves of emoji cost nothing.

use std::cmp::Ordering;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::json;

use super::{event, topic};
use crate::{
    event::{Data, Event},
    expr::{Filter, Transform},
    wire::structured,
};

const NUMBERS: &str = r#"{"id":7615917337495251231,"a":0.1234567890123456789,"b":12345678901234567890,"c":1.50,"d":-0,"e":1E400,"f":1e-3,"g":"\u00e9\/\u2028\u001B","list":[1.50,[1E400,-0]],"map":{"n":1.50},"wide":680564733841876926926749214863536422912,"odd":7615917337495251233.0}"#;
const HALVES: &str = r#"{"id":"a1","title":"smile \ud83d","na\ud83dme":1,"key":"k","whole":"\ud83d\ude00","list":["\ud83d",{"na\ud83dme":"\ude00\ud83d"}]}"#;

fn of(data: &str) -> Event {
    let attributes = json!({"id": "1", "source": "/s", "type": "t", "tries": 3});
    event(&attributes, Data::Json(Bytes::copy_from_slice(data.as_bytes())))
}

fn matches(expression: &str, data: &str) -> Result<bool, String> {
    let filter = Filter::parse(&json!(expression)).map_err(|error| error.to_string())?;
    filter.matches(&of(data), &topic()).map_err(|error| error.to_string())
}

fn sent(transform: &serde_json::Value, data: &str) -> Result<String, String> {
    let transform = Transform::parse_trusted(transform).map_err(|error| error.to_string())?;
    let body = transform.apply(&of(data), &topic()).map_err(|error| error.to_string())?;
    Ok(String::from_utf8(body.to_vec()).unwrap())
}

#[test]
fn a_transform_sends_the_digits_of_the_producer() {
    for (expression, expected) in [
        ("data.a", Ok("0.1234567890123456789")),
        ("data.b", Ok("12345678901234567890")),
        ("data.c", Ok("1.50")),
        ("data.d", Ok("-0")),
        ("data.e", Ok("1E400")),
        ("data.f", Ok("1e-3")),
        ("data.list", Ok("[1.50,[1E400,-0]]")),
        ("data.list[1][0]", Ok("1E400")),
        ("[data.list, data.c]", Ok("[[1.50,[1E400,-0]],1.50]")),
        ("[data.map]", Ok(r#"[{"n":1.50}]"#)),
        ("data.a|string", Ok(r#""0.1234567890123456789""#)),
        ("data.a ~ '/' ~ data.e", Ok(r#""0.1234567890123456789/1E400""#)),
        ("data.list[1]|join(' ')", Ok(r#""1E400 -0""#)),
        ("data.list|tojson", Ok(r#""[1.50, [1E400, -0]]""#)),
        ("data.a if data.c else data.b", Ok("0.1234567890123456789")),
        ("data.zz|default(data.c)", Ok("1.50")),
        ("data.c|default(1)", Ok("1.50")),
        ("data.zz or data.c", Ok("1.50")),
        ("data.list|first", Ok("1.50")),
        ("-data.a", Ok("-0.1234567890123456789")),
        ("-data.a|abs", Ok("0.1234567890123456789")),
        ("data.a|float", Ok("0.1234567890123456789")),
        ("'0.1234567890123456789'|float", Ok("0.1234567890123456789")),
        ("'7615917337495251231.0'|int", Ok("7615917337495251231")),
        ("data.odd|int", Ok("7615917337495251233")),
        ("data.a|round(17)", Ok("0.12345678901234568")),
        ("0.12345678901234567890", Ok("0.12345678901234567890")),
        (
            "12345678901234567890123456789012345678901234567890",
            Ok("12345678901234567890123456789012345678901234567890"),
        ),
        ("data.a + 0", Ok("0.1234567890123456789")),
        ("data.b + 1", Ok("12345678901234567891")),
        ("data.e * 2", Ok("2e400")),
        ("0.1 + 0.2", Ok("0.3")),
        ("data.e + 1", Err("exactly")),
        ("data.a / 2", Err("exactly")),
        ("data.id / 2", Err("exactly")),
        ("data.wide + 1", Err("exactly")),
        ("data.wide ** 2", Err("exactly")),
        ("data.e|int", Err("at most 400 digits")),
        ("data.e|lower", Ok("\"1e400\"")),
        ("data.c|split('.')", Err("not a string")),
    ] {
        match (sent(&json!({"x": expression}), NUMBERS), expected) {
            (Ok(body), Ok(expected)) => {
                assert_eq!(body, format!("{{\"x\":{expected}}}"), "{expression}");
            }
            (Err(problem), Err(told)) => assert!(problem.contains(told), "{expression}: {problem}"),
            (made, expected) => panic!("{expression}: {made:?}, not {expected:?}"),
        }
    }
    assert_eq!(sent(&json!({"all": "data"}), NUMBERS), Ok(format!("{{\"all\":{NUMBERS}}}")));
    assert_eq!(
        sent(&json!("{{ data.a }} {{ data.e|tojson }} {{ data.c * 2 }} {{ data.c > 1 }}"), NUMBERS)
            .as_deref(),
        Ok("0.1234567890123456789 1E400 3.0 True")
    );
}

#[test]
fn a_filter_on_one_number_matches_that_one() {
    for (expression, expected) in [
        ("data.id == 7615917337495251231", true),
        ("data.id == 7615917337495251232", false),
        ("data.id == 7615917337495251231.0", true),
        ("data.id < 7615917337495251231.5", true),
        ("-data.id == -7615917337495251231", true),
        ("data.a == 0.1234567890123456789", true),
        ("data.a == 0.1234567890123456788", false),
        ("0.1234567890123456788 < data.a < 0.1234567890123456790", true),
        ("data.b == 12345678901234567890", true),
        ("data.b == 12345678901234567891", false),
        ("data.wide == 680564733841876926926749214863536422912", true),
        ("data.wide == 680564733841876926926749214863536422913", false),
        ("data.wide < 680564733841876926926749214863536422913", true),
        ("data.wide in [680564733841876926926749214863536422911, 1]", false),
        ("data.wide in [680564733841876926926749214863536422912, 1]", true),
        ("data.c == 1.5 and data.c == 1.500 and data.c in [1, 1.5]", true),
        ("1E400 in data.list[1] and 1e400 == data.e and data.e < 1e401", true),
        ("data.e in data.list", false),
        ("data.f == 0.001 and data.f * 1e6 == 1000", true),
        ("data.d == 0 and not data.d", true),
        ("data.list == [1.5, [1e400, 0]] and data.list != [1.5, [1e400, 1]]", true),
        ("data.list is sequence and data.c is number and data.c is float", true),
        ("data.c is integer or data.c is string", false),
        ("data.odd is odd and data.wide is even and data.wide is integer", true),
        ("'1.50' == data.c|string and data.c == '1.50'|float", true),
        ("data.c == '1.50'", false),
        ("data.a|bool and 0.00|bool", false),
        ("tries == 3.0 and tries < 3.0000000000000000001", true),
        ("0x10 == 16 and 1_000 == 1e3 and data.list.0 == 1.5", true),
    ] {
        assert_eq!(matches(expression, NUMBERS), Ok(expected), "{expression}");
    }
    let filter = Filter::parse(&json!({"exact": {"tries": "3"}})).unwrap();
    assert_eq!(filter.matches(&of(NUMBERS), &topic()), Ok(true));
}

#[test]
fn half_an_emoji_costs_nothing() {
    for (expression, expected) in [
        ("'smile' in data.title", true),
        ("data.title == 'smile \u{fffd}'", true),
        ("data['na\u{fffd}me'] == 1", true),
        ("data.key == 'k' and data|length == 6", true),
        ("data.whole == '\u{1f600}'", true),
        ("data.list[1]|length == 1 and data.list == data.list", true),
        ("data == data and 'key' in data", true),
    ] {
        assert_eq!(matches(expression, HALVES), Ok(expected), "{expression}");
    }
    let mended = r#"{"id":"a1","title":"smile \ufffd","na\ufffdme":1,"key":"k","whole":"\ud83d\ude00","list":["\ufffd",{"na\ufffdme":"\ufffd\ufffd"}]}"#;
    for (expression, expected) in [
        ("data.title", "\"smile \u{fffd}\""),
        ("data.whole", "\"\u{1f600}\""),
        ("data.key", "\"k\""),
        ("data", mended),
        ("[data.list]", "[[\"\u{fffd}\",{\"na\u{fffd}me\":\"\u{fffd}\u{fffd}\"}]]"),
    ] {
        let body = sent(&json!({"x": expression}), HALVES).unwrap();
        assert_eq!(body, format!("{{\"x\":{expected}}}"), "{expression}");
        serde_json::from_str::<serde_json::Value>(&body).unwrap();
    }
    assert_eq!(
        sent(&json!("{{ data.key }}{{ data.title }}"), HALVES).as_deref(),
        Ok("ksmile \u{fffd}")
    );
    // What is delivered without a transform is what came.
    let delivered = structured(&of(HALVES), &topic());
    assert!(String::from_utf8(delivered).unwrap().contains(HALVES));
}

/// A number as JSON may write it.
fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?",
        "-?(0|[1-9][0-9]{0,199})(\\.[0-9]{1,190})?([eE][+-]?[0-9]{1,6})?",
    ]
}

/// Numbers that are often near each other, or the same in another form.
fn pair() -> impl Strategy<Value = (String, String)> {
    let near = (0_u64..3, 0_u64..3, 0_usize..4, 0_usize..4, any::<bool>()).prop_map(
        |(a, b, zeros_a, zeros_b, negative)| {
            let sign = if negative { "-" } else { "" };
            let form = |end: u64, zeros: usize| {
                let digits = format!("765{end}{:0<zeros$}", "");
                format!("{sign}0.{digits}e{}", 30)
            };
            (form(a, zeros_a), format!("{sign}765{b}{}.{:0<zeros_b$}0", "0".repeat(26), ""))
        },
    );
    prop_oneof![(number(), number()), near]
}

/// Decimal order once more: the digits of both, shifted to one exponent and padded to one length.
fn model(a: &str, b: &str) -> Ordering {
    let parts = |text: &str| {
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (negative, mantissa) = match mantissa.strip_prefix('-') {
            Some(mantissa) => (true, mantissa),
            None => (false, mantissa),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let exponent = exponent.parse::<i64>().unwrap() - i64::try_from(fraction.len()).unwrap();
        let digits = format!("{whole}{fraction}").trim_start_matches('0').to_owned();
        (negative && !digits.is_empty(), digits, exponent)
    };
    let ((minus_a, a, up_a), (minus_b, b, up_b)) = (parts(a), parts(b));
    if a.is_empty() || b.is_empty() || minus_a != minus_b {
        let sign = |minus, digits: &str| {
            if digits.is_empty() {
                0
            } else if minus {
                -1
            } else {
                1
            }
        };
        return sign(minus_a, &a).cmp(&sign(minus_b, &b));
    }
    let least = up_a.min(up_b);
    let shifted = |digits: &str, up: i64| {
        digits.to_owned() + &"0".repeat(usize::try_from(up - least).unwrap())
    };
    let (a, b) = (shifted(&a, up_a), shifted(&b, up_b));
    let magnitudes = a.len().cmp(&b.len()).then_with(|| a.cmp(&b));
    if minus_a { magnitudes.reverse() } else { magnitudes }
}

proptest! {
    #[test]
    fn any_number_is_sent_as_it_was_written(text in number()) {
        let data = format!(r#"{{"n":{text},"in":[{text}]}}"#);
        let shapes = json!({"n": "data.n", "l": "[data.n, data.in]", "d": "data.zz|default(data.n)", "s": "data.n ~ ''"});
        let expected = format!(r#"{{"d":{text},"l":[{text},[{text}]],"n":{text},"s":"{text}"}}"#);
        prop_assert_eq!(sent(&shapes, &data), Ok(expected));
    }

    #[test]
    fn a_filter_decides_as_decimals_do((has, wanted) in pair()) {
        let data = format!(r#"{{"n":{has}}}"#);
        let order = model(&has, &wanted);
        for (sign, expected) in [
            ("==", order.is_eq()),
            ("!=", order.is_ne()),
            ("<", order.is_lt()),
            (">=", order.is_ge()),
        ] {
            prop_assert_eq!(matches(&format!("data.n {sign} {wanted}"), &data), Ok(expected), "{} {} {}", has, sign, wanted);
        }
        prop_assert_eq!(matches(&format!("data.n in [true, {wanted}] and data.n != 1"), &data),
            Ok(order.is_eq() && model(&has, "1").is_ne()));
    }
}
