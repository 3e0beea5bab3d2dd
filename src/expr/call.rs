//! Filters, tests and comparisons: what each may be given, and what it costs.

use std::collections::BTreeMap;

use minijinja::{Value, value::ValueKind};

use super::{
    digits::{kind, native, number},
    names::ENVIRONMENT,
    numeric,
    order::equal,
    scope::{Held, Item, Scope, truth},
    syntax::said,
    write,
};

/// Applies a filter to the first of `given`; the others are its arguments.
pub(super) fn filter(
    scope: &Scope<'_>,
    name: &'static str,
    given: &[Item],
) -> Result<Item, String> {
    let [item, arguments @ ..] = given else { return Ok(Item::undefined()) };
    match (name, &item.held) {
        ("default", _) => default(scope, item, arguments),
        ("length", Held::Place(place)) => Ok(Item::new(Value::from(scope.length(*place)?))),
        ("first" | "last", Held::Place(place)) if !scope.is_object(*place)? => {
            let index = if name == "first" { 0 } else { -1 };
            let found = scope.element(*place, index)?;
            found.map_or_else(|| Ok(Item::undefined()), |at| scope.item(at))
        }
        ("join", _) => join(scope, item, arguments),
        ("tojson", _) => {
            scope.spend(item.bytes.saturating_mul(8))?;
            let json = write::spaced(&scope.value(item)?)?;
            Ok(Item::new(Value::from(json)))
        }
        ("length" | "first" | "last", Held::Value(value)) => {
            scope.spend(item.bytes)?;
            apply(name, std::slice::from_ref(value), item.bytes)
        }
        _ => {
            let values = given.iter().map(|item| plain(name, item).cloned());
            let values: Vec<Value> = values.collect::<Result<_, _>>()?;
            scope.spend(price(name, given, &values)?)?;
            if let Some(made) = numeric::filter(name, &values)? {
                return Ok(Item::new(made));
            }
            let values: Vec<Value> = match (name, values.as_slice()) {
                // What else takes a number makes a text of it, but `split` refuses it.
                (_, [value, arguments @ ..]) if name != "split" && number(value).is_some() => {
                    let text = Value::from(value.to_string());
                    std::iter::once(text).chain(arguments.iter().map(native)).collect()
                }
                _ => values.iter().map(native).collect(),
            };
            // Every piece that `split` makes is a value of its own.
            let pieces = if name == "split" { 16 } else { 1 };
            apply(name, &values, item.bytes.saturating_mul(pieces))
        }
    }
}

/// What a filter costs that makes a text or number of others.
fn price(name: &str, given: &[Item], values: &[Value]) -> Result<usize, String> {
    let bytes = given.iter().map(|item| item.bytes).sum::<usize>();
    Ok(match (name, values) {
        ("lower" | "upper", _) => bytes.saturating_mul(16),
        ("split", _) => bytes.saturating_mul(48),
        ("replace", [text, from, to]) => {
            let (Some(text), Some(from), Some(to)) = (text.as_str(), from.as_str(), to.as_str())
            else {
                return Err("`replace` wants texts".to_owned());
            };
            let times = text.matches(from).count();
            text.len().saturating_mul(8).saturating_add(times.saturating_mul(to.len() + 24))
        }
        // Up to 1,074 digits are written to round a number.
        ("round", _) => 4_096,
        _ => bytes.saturating_mul(4),
    })
}

fn apply(name: &'static str, values: &[Value], bytes: usize) -> Result<Item, String> {
    let made = ENVIRONMENT.empty_state().apply_filter(name, values);
    made.map(|value| Item::sized(value, bytes))
        .map_err(|error| format!("`{name}`: {}", said(&error)))
}

fn default(scope: &Scope<'_>, item: &Item, arguments: &[Item]) -> Result<Item, String> {
    let also_false = arguments.get(1).map_or(Ok(false), |lax| truth(scope, lax))?;
    if item.is_undefined() || (also_false && !truth(scope, item)?) {
        return Ok(arguments.first().cloned().unwrap_or_else(|| Item::new(Value::from(""))));
    }
    Ok(item.clone())
}

fn join(scope: &Scope<'_>, item: &Item, arguments: &[Item]) -> Result<Item, String> {
    let list = scope.value(item)?;
    if !matches!(list.kind(), ValueKind::Seq | ValueKind::Iterable) {
        return Err(format!("`join` wants a list, not {}", kind(&list)));
    }
    let between = arguments.first().map(|between| plain("join", between)).transpose()?;
    let count = list.len().unwrap_or(0);
    let added = arguments.first().map_or(0, |between| between.bytes).saturating_mul(count);
    scope.spend(added.saturating_add(item.bytes.saturating_mul(8)))?;
    for part in list.try_iter().map_err(|error| said(&error))? {
        plain("join", &Item::new(part))?;
    }
    let values: Vec<Value> = std::iter::once(&list).chain(between).cloned().collect();
    apply("join", &values, 0)
}

/// Whether a test holds for the first of `given`; the others are its arguments.
pub(super) fn test(scope: &Scope<'_>, name: &'static str, given: &[Item]) -> Result<bool, String> {
    let values: Vec<Value> = match (name, given) {
        // minijinja's test is false where its operator fails.
        ("in", [item, container]) => {
            let held = outline(scope, container)?;
            let can = held.is_undefined() || held.as_str().is_some() || is_container(&held);
            return Ok(can && contains(scope, container, item)?);
        }
        (_, [item]) => vec![outline(scope, item)?],
        _ => given.iter().map(|item| plain(name, item).cloned()).collect::<Result<_, _>>()?,
    };
    scope.spend(given.iter().map(|item| item.bytes).min().unwrap_or(0))?;
    if let [value] = values.as_slice()
        && let Some(holds) = numeric::test(name, value)
    {
        return Ok(holds);
    }
    let values: Vec<Value> = values
        .iter()
        .map(|value| number(value).map_or_else(|| value.clone(), Value::from))
        .collect();
    let held = ENVIRONMENT.empty_state().perform_test(name, &values);
    held.map_err(|error| format!("`{name}`: {}", said(&error)))
}

/// Whether a text has a part, a list an item, or an object a field.
pub(super) fn contains(scope: &Scope<'_>, container: &Item, item: &Item) -> Result<bool, String> {
    if let (Held::Place(place), Held::Value(name)) = (&container.held, &item.held)
        && scope.is_object(*place)?
    {
        return Ok(match name.as_str() {
            Some(name) => scope.field(*place, name)?.is_some(),
            None => false,
        });
    }
    let values = [scope.value(item)?, scope.value(container)?];
    if values[1].as_str().is_some() {
        plain("in", item)?;
    } else if !values[1].is_undefined() && !is_container(&values[1]) {
        return Err(format!("`in` wants a list, object or text, not {}", kind(&values[1])));
    }
    scope.spend(container.bytes.saturating_add(item.bytes.saturating_mul(2)))?;
    let [item, container] = &values;
    if matches!(container.kind(), ValueKind::Seq | ValueKind::Iterable) {
        // A number may begin with zeros that are looked at for each.
        let looks = number(item).map_or(0, str::len);
        for part in container.try_iter().map_err(|error| said(&error))? {
            scope.spend(looks)?;
            if equal(&part, item) {
                return Ok(true);
            }
        }
        return Ok(false);
    }
    let held = ENVIRONMENT.empty_state().perform_test("in", &values);
    held.map_err(|error| format!("`in`: {}", said(&error)))
}

/// Two items, to be compared. Lists and objects are copied only for each other: beside anything
/// else it is enough what they are.
pub(super) fn comparable(
    scope: &Scope<'_>,
    left: &Item,
    right: &Item,
) -> Result<(Value, Value), String> {
    let (left_outline, right_outline) = (outline(scope, left)?, outline(scope, right)?);
    if is_container(&left_outline) && is_container(&right_outline) {
        scope.spend(left.bytes.saturating_add(right.bytes).saturating_mul(4))?;
        return Ok((scope.value(left)?, scope.value(right)?));
    }
    scope.spend(match (number(&left_outline), number(&right_outline)) {
        (None, None) => left.bytes.min(right.bytes),
        // Zeros that one number begins or ends with are looked at, too.
        _ => left.bytes.saturating_add(right.bytes),
    })?;
    Ok((left_outline, right_outline))
}

/// The item, but an empty list or object for one that is in the data.
fn outline(scope: &Scope<'_>, item: &Item) -> Result<Value, String> {
    Ok(match &item.held {
        Held::Value(value) => value.clone(),
        Held::Place(place) if scope.is_object(*place)? => {
            Value::from(BTreeMap::<String, Value>::new())
        }
        Held::Place(_) => Value::from(Vec::<Value>::new()),
    })
}

fn is_container(value: &Value) -> bool {
    !matches!(
        kind(value),
        ValueKind::Undefined
            | ValueKind::None
            | ValueKind::Bool
            | ValueKind::Number
            | ValueKind::String
    )
}

/// The value of an item that is no list or object: those have no text that a person would want.
pub(super) fn plain<'a>(name: &str, item: &'a Item) -> Result<&'a Value, String> {
    match &item.held {
        Held::Value(value) if !is_container(value) => Ok(value),
        _ => Err(format!("`{name}` wants a text or number, not a list or object: see `tojson`")),
    }
}
