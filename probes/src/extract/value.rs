//! JSON as a whole, read as leniently as its parts are.

use serde_json::{Map, Value, value::RawValue};

use super::{Fields, array, deeper_than, text::decoded};

/// The deepest that is read.
const DEPTH_MAX: usize = 64;

/// A JSON text as a whole, `None` when it is none or is deeper than 64 levels. What a strict reader
/// refuses is read as far as it goes: half of a surrogate pair becomes U+FFFD, and a number beyond what
/// a double holds a text with its digits.
#[must_use]
pub fn lenient(json: &str) -> Option<Value> {
    if deeper_than(json.as_bytes(), DEPTH_MAX) {
        return None;
    }
    serde_json::from_str::<&RawValue>(json.trim()).ok().map(value)
}

fn value(raw: &RawValue) -> Value {
    let json = raw.get();
    match json.as_bytes().first() {
        Some(b'{') => {
            let fields = Fields::of(raw).into_all().into_iter();
            let all: Map<String, Value> =
                fields.map(|(name, field)| (name.into_owned(), value(field))).collect();
            all.into()
        }
        Some(b'[') => array(json, usize::MAX).into_iter().flatten().map(value).collect(),
        Some(b'"') => decoded(json).into(),
        _ => serde_json::from_str(json).unwrap_or_else(|_| json.into()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_strict_reader_refuses_is_read_as_far_as_it_goes() {
        let read =
            lenient(r#" [{"a": 1E400, "b\ud83d": "x\ud83d", "c": [null, -1.5], "c": true}] "#);
        let wanted = json!([{ "a": "1E400", "b\u{fffd}": "x\u{fffd}", "c": true }]);
        assert_eq!(read, Some(wanted));
        assert_eq!(lenient("[1, 2"), None);
        assert_eq!(lenient("<html>"), None);
        assert_eq!(lenient(&"[".repeat(10_000)), None);
        assert!(lenient(&format!("{}1{}", "[".repeat(64), "]".repeat(64))).is_some());
    }
}
