//! Numbers as the producer wrote them, among minijinja's values.
//!
//! minijinja has integers of 128 bits and doubles. Whatever else JSON writes, as `1.50`, `-0` or
//! `1E400`, is a [`Number`]: its own text. Doubles come only from what divides or raises.

use std::{borrow::Cow, cmp::Ordering, fmt, sync::Arc};

use minijinja::{
    Value,
    value::{Object, ObjectRepr, ValueKind},
};
use probes::number::{compare, is_json};

/// The most digits that `int` writes.
const INTEGER_DIGITS_MAX: usize = 400;

/// A number that is its text, which is as JSON has it.
pub(super) struct Number(Box<str>);

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Object for Number {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn is_true(self: &Arc<Self>) -> bool {
        compare(&self.0, "0") != Some(Ordering::Equal)
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The value of a number as JSON writes it; `None` when it is none.
pub(super) fn value(text: &str) -> Option<Value> {
    if is_plain_integer(text)
        && let Ok(integer) = text.parse::<i128>()
    {
        // minijinja's arithmetic is quicker with small integers.
        return Some(i64::try_from(integer).map_or_else(|_| integer.into(), Value::from));
    }
    is_json(text).then(|| Value::from_object(Number(text.into())))
}

fn is_plain_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    // `-0` is not what an integer prints.
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) && text != "-0"
}

/// The text of a number that is one; nothing of another value.
pub(super) fn number(value: &Value) -> Option<&str> {
    value.downcast_object_ref::<Number>().map(|number| &*number.0)
}

/// What a number prints, minijinja's own numbers too.
pub(super) fn text(value: &Value) -> Option<Cow<'_, str>> {
    match number(value) {
        Some(text) => Some(text.into()),
        None => value.is_number().then(|| value.to_string().into()),
    }
}

/// What a value is, a [`Number`] being a number.
pub(super) fn kind(value: &Value) -> ValueKind {
    if number(value).is_some() { ValueKind::Number } else { value.kind() }
}

/// Whether it is one of minijinja's doubles.
pub(super) fn is_double(value: &Value) -> bool {
    value.is_number() && !value.is_integer()
}

/// The double that is this number: it prints the same value.
pub(super) fn double(text: &str) -> Option<f64> {
    let double = text.parse::<f64>().ok().filter(|double| double.is_finite())?;
    (compare(&double.to_string(), text) == Some(Ordering::Equal)).then_some(double)
}

/// The value as minijinja's own filters and tests take it: a number that a double is becomes one.
pub(super) fn native(value: &Value) -> Value {
    number(value).and_then(double).map_or_else(|| value.clone(), Value::from)
}

/// A text that people write for a number, as `+1_000`, `007` or `.5`, in the form that JSON has.
pub(super) fn written(text: &str) -> Option<String> {
    let (sign, rest) = match text.as_bytes().first()? {
        b'-' => ("-", &text[1..]),
        b'+' => ("", &text[1..]),
        _ => ("", text),
    };
    let (mantissa, exponent) = match rest.find(['e', 'E']) {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let trimmed = whole.trim_start_matches('0');
    let whole = if trimmed.is_empty() { "0" } else { trimmed };
    // As minijinja has it, `5.` is no integer.
    let fraction = match (mantissa.contains('.'), fraction) {
        (false, _) => String::new(),
        (true, "") => ".0".to_owned(),
        (true, fraction) => format!(".{fraction}"),
    };
    let written = format!("{sign}{whole}{fraction}{exponent}");
    compare(&written, &written).map(|_| written)
}

/// The number without what is behind its point.
///
/// # Errors
/// It has too many digits.
pub(super) fn truncated(text: &str) -> Result<Value, String> {
    let too_large = || format!("`int` writes at most {INTEGER_DIGITS_MAX} digits");
    let (sign, rest) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_zero = mantissa.bytes().all(|byte| matches!(byte, b'0' | b'.'));
    let point = match exponent.parse::<i64>() {
        _ if is_zero => return Ok(Value::from(0)),
        Ok(exponent) => i64::try_from(whole.len()).unwrap_or(i64::MAX).saturating_add(exponent),
        Err(_) if exponent.starts_with('-') => return Ok(Value::from(0)),
        Err(_) => return Err(too_large()),
    };
    let Ok(point) = usize::try_from(point) else { return Ok(Value::from(0)) };
    let leading = mantissa.bytes().filter(u8::is_ascii_digit).take_while(|byte| *byte == b'0');
    if point.saturating_sub(leading.count()) > INTEGER_DIGITS_MAX {
        return Err(too_large());
    }
    let digits = whole.bytes().chain(fraction.bytes()).map(char::from);
    let kept: String = digits.chain(std::iter::repeat('0')).take(point).collect();
    let kept = kept.trim_start_matches('0');
    if kept.is_empty() {
        return Ok(Value::from(0));
    }
    value(&format!("{sign}{kept}")).ok_or_else(too_large)
}

/// The integer that an index is, however it is written.
pub(super) fn index(value: &Value) -> Option<i64> {
    match number(value) {
        Some(text) => Value::from(double(text)?).as_i64(),
        None => value.as_i64(),
    }
}

/// Whether a number is written as an integer.
pub(super) fn is_integer(value: &Value) -> bool {
    number(value).map_or_else(|| value.is_integer(), is_plain_integer)
}

/// The last digit of a number that is an integer by value.
pub(super) fn last_digit(value: &Value) -> Option<u8> {
    let text = text(value)?;
    let whole = truncated(&text).ok()?.to_string();
    (compare(&whole, &text) == Some(Ordering::Equal))
        .then(|| whole.bytes().last().unwrap_or(b'0') - b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_print_as_they_were_written() {
        for text in [
            "0.1234567890123456789",
            "12345678901234567890",
            "1.50",
            "-0",
            "1E400",
            "1e-3",
            "-7",
            "170141183460469231731687303715884105728",
            "-0.0",
        ] {
            assert_eq!(value(text).unwrap().to_string(), text);
            assert_eq!(kind(&value(text).unwrap()), ValueKind::Number);
        }
        for bad in ["", "-", "x", "1.", "01.5", "inf", "1 "] {
            assert!(value(bad).is_none(), "{bad}");
        }
        for (text, expected) in [("0.00", false), ("-0", false), ("0e9", false), ("0.1", true)] {
            assert_eq!(value(text).unwrap().is_true(), expected, "{text}");
        }
    }

    #[test]
    fn what_people_write_is_read() {
        for (text, expected) in [
            ("+007", Some("7")),
            (".5", Some("0.5")),
            ("-5.", Some("-5.0")),
            ("00", Some("0")),
            ("1e3", Some("1e3")),
            ("0x1f", None),
            (".", None),
            ("", None),
            ("nan", None),
            ("1.5.5", None),
        ] {
            assert_eq!(written(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn fractions_are_cut() {
        for (text, expected) in [
            ("1.99", Some("1")),
            ("-1.99", Some("-1")),
            ("-0.5", Some("0")),
            ("7615917337495251231.5", Some("7615917337495251231")),
            ("1.2345e2", Some("123")),
            ("12e-1", Some("1")),
            ("12e-9", Some("0")),
            ("1e40", Some("10000000000000000000000000000000000000000")),
            ("0.0001e5", Some("10")),
            ("0e999999999999999999999", Some("0")),
            ("1e-999999999999999999999", Some("0")),
            ("1e999999999999999999999", None),
            ("1e401", None),
        ] {
            let cut = truncated(text).ok().map(|value| value.to_string());
            assert_eq!(cut.as_deref(), expected, "{text}");
        }
    }
}
