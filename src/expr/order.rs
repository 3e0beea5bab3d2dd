//! How values compare: as minijinja has it, but numbers by what they say, exactly.

use std::{cmp::Ordering, fmt, fmt::Write as _};

use minijinja::{Value, value::ValueKind};
use probes::number::compare;

use super::digits::{kind, native, number};

/// Whether two values are equal.
pub(super) fn equal(a: &Value, b: &Value) -> bool {
    match (kind(a), kind(b)) {
        (ValueKind::Number, ValueKind::Number) => numbers(a, b).is_eq(),
        (ValueKind::Bool, ValueKind::Number) => {
            numbers(&Value::from(i64::from(a.is_true())), b).is_eq()
        }
        (ValueKind::Number, ValueKind::Bool) => {
            numbers(a, &Value::from(i64::from(b.is_true()))).is_eq()
        }
        (ValueKind::Map, ValueKind::Map) => {
            a.len() == b.len()
                && keys(a).all(|key| {
                    let ours = a.get_item(&key).unwrap_or_default();
                    // JSON has no undefined values, so that this is a name that is missing.
                    let theirs = b.get_item(&key).unwrap_or_default();
                    !theirs.is_undefined() && equal(&ours, &theirs)
                })
        }
        (left, right) if is_list(left) && is_list(right) => {
            let (mut ours, mut theirs) = (keys(a), keys(b));
            a.is_tuple() == b.is_tuple()
                && loop {
                    match (ours.next(), theirs.next()) {
                        (None, None) => break true,
                        (Some(a), Some(b)) if equal(&a, &b) => {}
                        _ => break false,
                    }
                }
        }
        _ => a == b,
    }
}

/// Which value is larger; values of different kinds are in the order of their kinds.
pub(super) fn order(a: &Value, b: &Value) -> Ordering {
    let kinds = kind(a).cmp(&kind(b));
    if kinds.is_ne() {
        return kinds;
    }
    match kind(a) {
        ValueKind::Number => numbers(a, b),
        ValueKind::Map => sequence(keys(a), keys(b), |ours, theirs| {
            order(ours, theirs).then_with(|| {
                let (ours, theirs) = (a.get_item(ours), b.get_item(theirs));
                order(&ours.unwrap_or_default(), &theirs.unwrap_or_default())
            })
        }),
        list if is_list(list) => {
            a.is_tuple().cmp(&b.is_tuple()).then_with(|| sequence(keys(a), keys(b), order))
        }
        _ => a.cmp(b),
    }
}

const fn is_list(kind: ValueKind) -> bool {
    matches!(kind, ValueKind::Seq | ValueKind::Iterable)
}

/// The items of a list, the names of an object.
fn keys(value: &Value) -> impl Iterator<Item = Value> {
    value.try_iter().into_iter().flatten()
}

fn sequence(
    mut a: impl Iterator<Item = Value>,
    mut b: impl Iterator<Item = Value>,
    by: impl Fn(&Value, &Value) -> Ordering,
) -> Ordering {
    loop {
        match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(a), Some(b)) => match by(&a, &b) {
                Ordering::Equal => {}
                unequal => return unequal,
            },
        }
    }
}

fn numbers(a: &Value, b: &Value) -> Ordering {
    // Two of minijinja's integers, or two doubles, it compares exactly.
    let native_both = number(a).is_none() && number(b).is_none();
    if native_both && a.is_integer() == b.is_integer() {
        return a.cmp(b);
    }
    let (mut left, mut right) = (Printed::default(), Printed::default());
    let texts = left.of(a).zip(right.of(b)).and_then(|(a, b)| compare(a, b));
    // Infinities have no text that is a number.
    texts.unwrap_or_else(|| native(a).cmp(&native(b)))
}

/// What a number prints, without a text of its own: a double prints at most 350 bytes.
struct Printed {
    bytes: [u8; 352],
    length: usize,
}

impl Default for Printed {
    fn default() -> Self {
        Self { bytes: [0; 352], length: 0 }
    }
}

impl Printed {
    fn of<'a>(&'a mut self, value: &'a Value) -> Option<&'a str> {
        if let Some(text) = number(value) {
            return Some(text);
        }
        write!(self, "{value}").ok()?;
        std::str::from_utf8(&self.bytes[..self.length]).ok()
    }
}

impl fmt::Write for Printed {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let end = self.length + part.len();
        self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?.copy_from_slice(part.as_bytes());
        self.length = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::digits::value;

    #[test]
    fn numbers_of_all_forms_compare_by_value() {
        let of = |text: &str| value(text).unwrap();
        let smallest = f64::from_bits(1);
        for (a, b, expected) in [
            (of("1.50"), of("1.5"), Ordering::Equal),
            (of("1e3"), of("1000"), Ordering::Equal),
            (of("1e23"), Value::from(1e23), Ordering::Equal),
            (of("100000000000000000000000"), Value::from(1e23), Ordering::Equal),
            (of("9007199254740993"), Value::from(9_007_199_254_740_992.0), Ordering::Greater),
            (Value::from(smallest), of("0"), Ordering::Greater),
            (Value::from(-smallest), of("-0.0"), Ordering::Less),
            (Value::from(f64::MIN), of("-1e308"), Ordering::Less),
            (Value::from(f64::INFINITY), of("1.50"), Ordering::Greater),
            (Value::from(-smallest), Value::from(smallest), Ordering::Less),
        ] {
            assert_eq!(order(&a, &b), expected, "{a} {b}");
            assert_eq!(order(&b, &a), expected.reverse(), "{b} {a}");
            assert_eq!(equal(&a, &b), expected.is_eq(), "{a} {b}");
        }
        assert!(equal(&Value::from(true), &of("1.00")) && !equal(&of("1.01"), &Value::from(true)));
    }

    #[test]
    fn lists_and_objects_compare_by_what_is_in_them() {
        let list =
            |texts: &[&str]| texts.iter().map(|text| value(text).unwrap()).collect::<Value>();
        assert!(equal(&list(&["1", "1.50"]), &list(&["1.0", "1.5"])));
        assert!(!equal(&list(&["1"]), &list(&["1", "2"])));
        assert!(!equal(&list(&["1", "2"]), &list(&["1"])));
        assert_eq!(order(&list(&["1", "2.0"]), &list(&["1.0", "2.5"])), Ordering::Less);
        assert_eq!(order(&list(&["1"]), &list(&["1.0", "0"])), Ordering::Less);
        let map = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter().map(|(name, text)| (*name, value(text).unwrap()));
            Value::from(pairs.collect::<std::collections::BTreeMap<_, _>>())
        };
        assert!(equal(&map(&[("a", "1.0")]), &map(&[("a", "1")])));
        assert!(!equal(&map(&[("a", "1.0")]), &map(&[("b", "1")])));
        assert!(!equal(&map(&[("a", "1")]), &map(&[("a", "1"), ("b", "1")])));
        assert_eq!(order(&map(&[("a", "1.5")]), &map(&[("a", "1.50")])), Ordering::Equal);
        assert_eq!(order(&map(&[("a", "1.5")]), &map(&[("b", "1")])), Ordering::Less);
    }
}
