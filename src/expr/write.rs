//! Values as JSON, numbers in the digits that they were written with.

use std::{fmt::Write as _, io};

use minijinja::{Value, value::ValueKind};

use super::digits::{kind, number};

/// Writes a value as JSON without white space; what is undefined is null.
///
/// # Errors
/// It has a number that JSON does not have, or `out` refuses a part.
pub(super) fn json(out: &mut impl io::Write, value: &Value) -> Result<(), String> {
    put(out, value, Style { comma: ",", colon: ":", html: false })
}

/// What the filter `tojson` makes: spaces behind separators, and nothing that HTML would read.
///
/// # Errors
/// It has a number that JSON does not have.
pub(super) fn spaced(value: &Value) -> Result<String, String> {
    let mut out = Vec::new();
    put(&mut out, value, Style { comma: ", ", colon: ": ", html: true })?;
    String::from_utf8(out).map_err(|error| error.to_string())
}

#[derive(Clone, Copy)]
struct Style {
    comma: &'static str,
    colon: &'static str,
    html: bool,
}

fn put(out: &mut impl io::Write, value: &Value, style: Style) -> Result<(), String> {
    let mut raw = |text: &str| out.write_all(text.as_bytes()).map_err(|error| error.to_string());
    match kind(value) {
        ValueKind::Number => match number(value) {
            Some(digits) => raw(digits),
            None if f64::try_from(value.clone()).is_ok_and(|n| !n.is_finite()) => {
                Err("comes to a number that JSON does not have".to_owned())
            }
            None => leaf(out, value),
        },
        ValueKind::String => text(out, value.as_str().unwrap_or_default(), style),
        ValueKind::Map => {
            raw("{")?;
            for (at, name) in value.try_iter().into_iter().flatten().enumerate() {
                separate(out, at, style)?;
                text(out, name.as_str().unwrap_or_default(), style)?;
                out.write_all(style.colon.as_bytes()).map_err(|error| error.to_string())?;
                put(out, &value.get_item(&name).unwrap_or_default(), style)?;
            }
            out.write_all(b"}").map_err(|error| error.to_string())
        }
        ValueKind::Seq | ValueKind::Iterable => {
            raw("[")?;
            for (at, item) in value.try_iter().into_iter().flatten().enumerate() {
                separate(out, at, style)?;
                put(out, &item, style)?;
            }
            out.write_all(b"]").map_err(|error| error.to_string())
        }
        _ => leaf(out, value),
    }
}

fn separate(out: &mut impl io::Write, at: usize, style: Style) -> Result<(), String> {
    let comma = if at == 0 { "" } else { style.comma };
    out.write_all(comma.as_bytes()).map_err(|error| error.to_string())
}

fn leaf(out: &mut impl io::Write, value: &Value) -> Result<(), String> {
    serde_json::to_writer(out, value).map_err(|error| error.to_string())
}

fn text(out: &mut impl io::Write, text: &str, style: Style) -> Result<(), String> {
    let special = |c: char| matches!(c, '<' | '>' | '&' | '\'');
    if !style.html || !text.contains(special) {
        return serde_json::to_writer(out, text).map_err(|error| error.to_string());
    }
    let json = serde_json::to_string(text).map_err(|error| error.to_string())?;
    let mut safe = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if special(c) {
            // Writing into memory cannot fail.
            let _ = write!(safe, "\\u{:04x}", u32::from(c));
        } else {
            safe.push(c);
        }
    }
    out.write_all(safe.as_bytes()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::digits;

    #[test]
    fn values_are_written_with_their_digits() {
        let number = |text: &str| digits::value(text).unwrap();
        let map =
            [("k<", number("1.50")), ("l", Value::from(vec![number("1E400"), Value::UNDEFINED]))];
        let value = Value::from(vec![
            Value::from(map.into_iter().collect::<std::collections::BTreeMap<_, _>>()),
            Value::from("a'\n"),
            Value::from(true),
            Value::from(1.5),
        ]);
        let mut out = Vec::new();
        json(&mut out, &value).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"[{"k<":1.50,"l":[1E400,null]},"a'\n",true,1.5]"#
        );
        assert_eq!(
            spaced(&value).unwrap(),
            r#"[{"k\u003c": 1.50, "l": [1E400, null]}, "a\u0027\n", true, 1.5]"#
        );
        assert!(json(&mut Vec::new(), &Value::from(f64::NAN)).is_err());
    }
}
