//! Filters and tests of numbers, as minijinja has them but exact.

use std::borrow::Cow;

use minijinja::{Value, value::ValueKind};

use super::{
    digits::{
        index, is_double, is_integer, kind, last_digit, number, text, truncated, value, written,
    },
    exact,
};

/// What a filter makes of a number, or of a text that says one; `None` where minijinja does it.
///
/// # Errors
/// It cannot be done exactly.
pub(super) fn filter(name: &str, given: &[Value]) -> Result<Option<Value>, String> {
    let [of, arguments @ ..] = given else { return Ok(None) };
    if is_double(of) {
        return Ok(None);
    }
    let said = match kind(of) {
        ValueKind::Number => text(of).map(Cow::into_owned),
        ValueKind::String if matches!(name, "float" | "int") => of.as_str().and_then(written),
        _ => None,
    };
    let Some(said) = said else { return Ok(None) };
    match name {
        "abs" => Ok(value(said.strip_prefix('-').unwrap_or(&said))),
        "bool" => Ok(Some(Value::from(of.is_true()))),
        // What it says does not change, only that it has a point.
        "float" if said.contains(['.', 'e', 'E']) => Ok(value(&said)),
        "float" => Ok(value(&format!("{said}.0"))),
        "int" => truncated(&said).map(Some),
        "round" if number(of).is_some() => {
            let places = arguments.first().map_or(Some(0), index);
            let places = places.filter(|places| i32::try_from(*places).is_ok());
            let places = places.ok_or("`round` wants an integer of 32 bits as its argument")?;
            exact::rounded(&said, places).map(Some)
        }
        _ => Ok(None),
    }
}

/// Whether a test of a number holds; `None` where minijinja says it.
pub(super) fn test(name: &str, of: &Value) -> Option<bool> {
    number(of)?;
    match name {
        "number" => Some(true),
        "integer" => Some(is_integer(of)),
        "float" => Some(!is_integer(of)),
        "odd" => Some(last_digit(of).is_some_and(|digit| digit % 2 == 1)),
        "even" => Some(last_digit(of).is_some_and(|digit| digit % 2 == 0)),
        // Without this, one that became a text would be a text.
        "string" => Some(false),
        _ => None,
    }
}
