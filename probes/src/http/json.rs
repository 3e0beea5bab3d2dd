//! JSON as expressions see it: looked up in its own text, so that a large page costs nothing that
//! is not asked for, and with the producer's digits.

use std::sync::Arc;

use bytes::Bytes;
use minijinja::value::{Enumerator, Object, ObjectRepr, Value};
use serde_json::value::RawValue;

use crate::{
    extract::{Fields, Path, array, scalar},
    number,
};

/// The most elements of a list that an expression may go through.
const ELEMENTS_MAX: usize = 100_000;

/// A list or an object: a slice of the page.
#[derive(Debug)]
struct Json {
    bytes: Bytes,
}

impl Json {
    fn text(&self) -> &str {
        // Made of a `str` only.
        std::str::from_utf8(&self.bytes).unwrap_or_default()
    }

    fn raw(&self) -> Option<&RawValue> {
        serde_json::from_str(self.text()).ok()
    }

    fn is_list(&self) -> bool {
        self.bytes.starts_with(b"[")
    }

    fn part(&self, raw: &RawValue) -> Value {
        value(raw, &self.bytes)
    }
}

/// The value of a slice of `page`.
pub(super) fn value(raw: &RawValue, page: &Bytes) -> Value {
    let text = raw.get();
    match text.as_bytes()[0] {
        b'{' | b'[' => Value::from_object(Json { bytes: page.slice_ref(text.as_bytes()) }),
        b'n' => Value::from(()),
        b't' => Value::from(true),
        b'f' => Value::from(false),
        b'"' => Value::from(scalar(raw).unwrap_or_default().as_ref()),
        _ => digits(text),
    }
}

/// A number; one that a float would change is a text with its digits, for an id or key made of it
/// must not become another's.
fn digits(text: &str) -> Value {
    if let Ok(whole) = text.parse::<i64>() {
        return if text == "-0" { Value::from(text) } else { Value::from(whole) };
    }
    if let Ok(whole) = text.parse::<i128>() {
        return Value::from(whole);
    }
    match text.parse::<f64>() {
        Ok(float)
            if number::compare(text, &float.to_string()).is_some_and(std::cmp::Ordering::is_eq) =>
        {
            Value::from(float)
        }
        _ => Value::from(text),
    }
}

impl Object for Json {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        if self.is_list() { ObjectRepr::Seq } else { ObjectRepr::Map }
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        if self.is_list() {
            let found = Path::of_names(&[key.as_usize()?.to_string()]).find(self.text());
            return found.ok().flatten().map(|raw| self.part(raw));
        }
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, name: &str) -> Option<Value> {
        if self.is_list() {
            return None;
        }
        let found = Path::of_names(&[name.to_owned()]).find(self.text());
        found.ok().flatten().map(|raw| self.part(raw))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        if self.is_list() {
            let elements = array(self.text(), ELEMENTS_MAX).unwrap_or_default();
            return Enumerator::Values(elements.into_iter().map(|raw| self.part(raw)).collect());
        }
        let Some(raw) = self.raw() else { return Enumerator::Empty };
        let names = Fields::of(raw).into_all().into_iter();
        Enumerator::Values(names.map(|(name, _)| Value::from(name.as_ref())).collect())
    }
}
