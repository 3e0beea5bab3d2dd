//! The value of an expression for one event.
//!
//! What values are and what operators, filters and tests make of them is minijinja's, but for
//! numbers, which are exact here (`digits`, `order`, `exact`). This walk decides only what is asked
//! of it, and has it paid for (`Scope::spend`).

use std::{borrow::Cow, collections::BTreeMap, sync::LazyLock};

use minijinja::{
    Expression, Value, context, machinery::ast::CompareOpKind, value::Tuple, value::ValueKind,
};

use super::{
    call, digits, exact,
    names::ENVIRONMENT,
    order::{equal, order},
    scope::{Held, Item, Scope, truth},
    syntax::{Code, said},
};

/// Arithmetic with doubles, as minijinja does it.
static ARITHMETIC: LazyLock<BTreeMap<&str, Expression<'static, 'static>>> = LazyLock::new(|| {
    let operations = [
        ("+", "a + b"),
        ("-", "a - b"),
        ("*", "a * b"),
        ("/", "a / b"),
        ("//", "a // b"),
        ("%", "a % b"),
        ("**", "a ** b"),
    ];
    let compiled = |text| ENVIRONMENT.compile_expression(text).ok();
    operations.into_iter().filter_map(|(sign, text)| Some((sign, compiled(text)?))).collect()
});

/// Evaluates an expression.
///
/// # Errors
/// It cannot be done with what the event has, or takes too much work.
pub(super) fn evaluate(code: &Code, scope: &Scope<'_>) -> Result<Item, String> {
    let of = |code: &Code| evaluate(code, scope);
    match code {
        Code::Constant(value) => {
            Ok(Item::sized(value.clone(), super::syntax::EXPRESSION_BYTES_MAX))
        }
        Code::Name(name) => scope.name(name),
        Code::Member(object, key) => member(scope, &of(object)?, &of(key)?),
        Code::Not(value) => Ok(Item::new(Value::from(!truth(scope, &of(value)?)?))),
        Code::Negative(value) => negative(scope, &of(value)?),
        Code::And(left, right) => {
            let left = of(left)?;
            if truth(scope, &left)? { of(right) } else { Ok(left) }
        }
        Code::Or(left, right) => {
            let left = of(left)?;
            if truth(scope, &left)? { Ok(left) } else { of(right) }
        }
        Code::Arithmetic(sign, left, right) => arithmetic(sign, scope, &of(left)?, &of(right)?),
        Code::Concat(left, right) => concat(scope, &of(left)?, &of(right)?),
        Code::Compare(first, others) => compare(scope, of(first)?, others),
        Code::If { condition, yes, no } => match (truth(scope, &of(condition)?)?, no) {
            (true, _) => of(yes),
            (false, Some(no)) => of(no),
            (false, None) => Ok(Item::undefined()),
        },
        Code::Filter(name, given) => call::filter(scope, name, &all(scope, given)?),
        Code::Test(name, given) => {
            call::test(scope, name, &all(scope, given)?).map(|holds| Item::new(Value::from(holds)))
        }
        Code::List(items) => {
            let (values, bytes) = values(scope, items)?;
            Ok(Item::sized(Value::from(values), bytes))
        }
        Code::Tuple(items) => {
            let (values, bytes) = values(scope, items)?;
            Ok(Item::sized(Value::from(Tuple::from(values)), bytes))
        }
    }
}

fn all(scope: &Scope<'_>, codes: &[Code]) -> Result<Vec<Item>, String> {
    codes.iter().map(|code| evaluate(code, scope)).collect()
}

/// The values of a list, and how large they are together.
fn values(scope: &Scope<'_>, codes: &[Code]) -> Result<(Vec<Value>, usize), String> {
    let mut bytes = 0;
    let mut values = Vec::with_capacity(codes.len());
    for code in codes {
        let item = evaluate(code, scope)?;
        bytes += item.bytes + 16;
        values.push(scope.value(&item)?);
    }
    Ok((values, bytes))
}

fn member(scope: &Scope<'_>, object: &Item, key: &Item) -> Result<Item, String> {
    let Held::Value(key) = &key.held else { return Ok(Item::undefined()) };
    match &object.held {
        Held::Place(place) if scope.is_object(*place)? => {
            let Some(name) = key.as_str() else { return Ok(Item::undefined()) };
            scope.field(*place, name)?.map_or_else(|| Ok(Item::undefined()), |at| scope.item(at))
        }
        Held::Place(place) => {
            let Some(index) = digits::index(key) else { return Ok(Item::undefined()) };
            scope.element(*place, index)?.map_or_else(|| Ok(Item::undefined()), |at| scope.item(at))
        }
        Held::Value(value) if value.is_undefined() => Ok(Item::undefined()),
        Held::Value(value) => {
            // The letters of a text are counted up to the one asked for.
            scope.spend(if value.as_str().is_some() { object.bytes } else { 0 })?;
            let found = value.get_item(&digits::native(key)).map_err(|error| said(&error))?;
            Ok(Item::sized(found, object.bytes))
        }
    }
}

fn arithmetic(sign: &str, scope: &Scope<'_>, left: &Item, right: &Item) -> Result<Item, String> {
    let kinds = (kind(scope, left)?, kind(scope, right)?);
    let number = |kind| matches!(kind, ValueKind::Number | ValueKind::Bool);
    match (&left.held, &right.held) {
        (Held::Value(a), Held::Value(b)) if number(kinds.0) && number(kinds.1) => {
            scope.spend(left.bytes.saturating_add(right.bytes))?;
            calculated(sign, a, b).map(Item::new)
        }
        // Other texts and lists are refused: repeating one is how a short expression gets large.
        _ if sign == "+" && kinds == (ValueKind::String, ValueKind::String) => {
            concat(scope, left, right)
        }
        _ => Err(format!("`{sign}` wants numbers, not {} and {}", kinds.0, kinds.1)),
    }
}

fn calculated<'a>(sign: &str, a: &'a Value, b: &'a Value) -> Result<Value, String> {
    // Booleans calculate as 1 and 0.
    let text = |value: &'a Value| -> Cow<'a, str> {
        digits::text(value).unwrap_or_else(|| i64::from(value.is_true()).to_string().into())
    };
    let (left, right) = (text(a), text(b));
    if !digits::is_double(a)
        && !digits::is_double(b)
        && let Some(made) = exact::calculate(sign, &left, &right)
    {
        return made;
    }
    // minijinja's integers raise exactly, or fail.
    let whole = |value: &Value| value.is_integer() || value.kind() == ValueKind::Bool;
    let (a, b) = if sign == "**" && whole(a) && whole(b) && !right.starts_with('-') {
        (a.clone(), b.clone())
    } else {
        let (left, right) = (exact::as_double(sign, &left)?, exact::as_double(sign, &right)?);
        let or_own = |own: &Value, double| {
            if own.is_integer() && sign == "/" { own.clone() } else { Value::from(double) }
        };
        (or_own(a, left), or_own(b, right))
    };
    let operation = ARITHMETIC.get(sign).ok_or("has an operator that is not known")?;
    let made = operation.eval(context! { a, b }).map_err(|error| said(&error))?;
    if made.is_number() && f64::try_from(made.clone()).is_ok_and(|n| !n.is_finite()) {
        return Err("comes to a number that JSON does not have".to_owned());
    }
    Ok(made)
}

fn negative(scope: &Scope<'_>, item: &Item) -> Result<Item, String> {
    match (&item.held, kind(scope, item)?) {
        (Held::Value(value), ValueKind::Number) => {
            scope.spend(item.bytes)?;
            let negated = match f64::try_from(value.clone()) {
                Ok(double) if digits::is_double(value) => Some(Value::from(-double)),
                _ => digits::text(value).and_then(|text| exact::negated(&text)),
            };
            negated.map(Item::new).ok_or_else(|| "comes to a number that JSON does not have".into())
        }
        (_, kind) => Err(format!("`-` wants a number, not {kind}")),
    }
}

fn concat(scope: &Scope<'_>, left: &Item, right: &Item) -> Result<Item, String> {
    let (left_value, right_value) = (call::plain("~", left)?, call::plain("~", right)?);
    scope.spend(left.bytes + right.bytes)?;
    Ok(Item::new(Value::from(format!("{left_value}{right_value}"))))
}

/// What an item is, without a copy.
fn kind(scope: &Scope<'_>, item: &Item) -> Result<ValueKind, String> {
    Ok(match &item.held {
        Held::Value(value) => digits::kind(value),
        Held::Place(place) if scope.is_object(*place)? => ValueKind::Map,
        Held::Place(_) => ValueKind::Seq,
    })
}

fn compare(
    scope: &Scope<'_>,
    first: Item,
    others: &[(CompareOpKind, Code)],
) -> Result<Item, String> {
    let mut left = first;
    for (sign, code) in others {
        let right = evaluate(code, scope)?;
        let holds = match sign {
            CompareOpKind::In => call::contains(scope, &right, &left)?,
            CompareOpKind::NotIn => !call::contains(scope, &right, &left)?,
            _ => {
                let (a, b) = call::comparable(scope, &left, &right)?;
                match sign {
                    CompareOpKind::Eq => equal(&a, &b),
                    CompareOpKind::Ne => !equal(&a, &b),
                    CompareOpKind::Lt => order(&a, &b).is_lt(),
                    CompareOpKind::Lte => order(&a, &b).is_le(),
                    CompareOpKind::Gt => order(&a, &b).is_gt(),
                    _ => order(&a, &b).is_ge(),
                }
            }
        };
        if !holds {
            return Ok(Item::new(Value::from(false)));
        }
        left = right;
    }
    Ok(Item::new(Value::from(true)))
}
