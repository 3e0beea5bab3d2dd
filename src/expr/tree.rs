//! A part of a JSON document as a tree of minijinja's values.

use std::collections::BTreeMap;

use minijinja::Value;

use super::{
    digits,
    json::{Document, Kind, Place},
};

/// The most lists and objects within each other.
const DEPTH_MAX: usize = 128;

/// A number, boolean or null, each number with its digits.
///
/// # Errors
/// It is none of these.
pub(super) fn scalar(json: &str) -> Result<Value, String> {
    match json {
        "null" => Ok(Value::from(())),
        "true" => Ok(Value::from(true)),
        "false" => Ok(Value::from(false)),
        _ => digits::value(json).ok_or_else(|| not_json("a value is expected", json)),
    }
}

/// As [`scalar`], but with minijinja's own numbers where they have the value: only those can be
/// calculated with in a full template.
pub(super) fn native_scalar(json: &str) -> Result<Value, String> {
    scalar(json).map(|value| digits::native(&value))
}

fn not_json(problem: &str, json: &str) -> String {
    let shown: String = json.chars().take(60).collect();
    format!("has data that are not JSON: {problem}, not `{shown}`")
}

/// The tree of a place; `scalar` makes what is neither text, list nor object.
///
/// # Errors
/// It is no JSON, or too deep.
pub(super) fn tree(
    document: &Document<'_>,
    place: Place,
    scalar: &dyn Fn(&str) -> Result<Value, String>,
) -> Result<Value, String> {
    branch(document, place, scalar, DEPTH_MAX)
}

fn branch(
    document: &Document<'_>,
    place: Place,
    scalar: &dyn Fn(&str) -> Result<Value, String>,
    depth: usize,
) -> Result<Value, String> {
    let inner = || depth.checked_sub(1).ok_or("has data that are nested too deep".to_owned());
    match document.kind(place) {
        Kind::Text | Kind::Escaped => Ok(Value::from(&*document.text(place))),
        Kind::Other => scalar(document.raw(place)),
        Kind::Array => {
            let depth = inner()?;
            let items = document.children(place).map(|item| branch(document, item, scalar, depth));
            items.collect::<Result<Vec<_>, _>>().map(Value::from)
        }
        Kind::Object => {
            let depth = inner()?;
            let members = document.members(place).map(|(name, value)| {
                Ok((document.text(name).into_owned(), branch(document, value, scalar, depth)?))
            });
            members.collect::<Result<BTreeMap<_, _>, String>>().map(Value::from)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_keeps_digits_and_costs_no_sibling() {
        let read = |text: &str, scalar: &dyn Fn(&str) -> Result<Value, String>| {
            tree(&Document::new(text).unwrap(), 0, scalar)
        };
        let text =
            r#"{"a": [1.50, 1E400, "half \ud83d"], "na\ud83dme": null, "a2": 0.5, "a2": 2.50}"#;
        let made = read(text, &scalar).unwrap();
        let at = |made: &Value, name: &str| made.get_attr(name).unwrap().to_string();
        assert_eq!(at(&made, "a2"), "2.50");
        assert_eq!(at(&made, "a"), "[1.50, 1E400, 'half \u{fffd}']");
        assert!(made.get_attr("na\u{fffd}me").unwrap().is_none());
        let native = read(text, &native_scalar).unwrap();
        assert_eq!(at(&native, "a"), "[1.5, 1E400, 'half \u{fffd}']");
        assert!(read("[nul]", &scalar).unwrap_err().contains("not `nul`"));
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        assert!(read(&deep, &scalar).unwrap_err().contains("too deep"));
    }
}
