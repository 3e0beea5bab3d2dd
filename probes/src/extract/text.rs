//! What a piece of JSON is, and what its texts say.

use std::borrow::Cow;

use serde_json::value::RawValue;

/// What a JSON text is, for a person.
pub(crate) fn kind_of(json: &str) -> &'static str {
    match json.as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a text",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// A text, number or boolean as text; `None` for null, objects and arrays.
pub(crate) fn scalar(value: &RawValue) -> Option<Cow<'_, str>> {
    match value.get().as_bytes().first()? {
        b'{' | b'[' | b'n' => None,
        b'"' => Some(decoded(value.get())),
        _ => Some(Cow::Borrowed(value.get())),
    }
}

/// Whether a text has half of a character outside of the basic plane, which no decoder can read.
pub(crate) fn is_broken(value: &RawValue) -> bool {
    value.get().contains("\\u") && serde_json::from_str::<Cow<'_, str>>(value.get()).is_err()
}

/// A JSON text decoded; half of a surrogate pair becomes U+FFFD.
pub(super) fn decoded(json: &str) -> Cow<'_, str> {
    let inside = json.get(1..json.len() - 1).unwrap_or_default();
    if !inside.contains('\\') {
        return Cow::Borrowed(inside);
    }
    match serde_json::from_str::<String>(json) {
        Ok(text) => Cow::Owned(text),
        Err(_) => Cow::Owned(units(inside).collect()),
    }
}

/// The characters of the inside of a JSON text that is valid but for halves of pairs.
fn units(inside: &str) -> impl Iterator<Item = char> + '_ {
    let mut rest = inside.chars();
    let units = std::iter::from_fn(move || {
        let mut unit = [0; 2];
        match rest.next()? {
            '\\' => {}
            plain => return Some(plain.encode_utf16(&mut unit).to_vec()),
        }
        Some(match rest.next()? {
            'u' => {
                let hex: String = rest.by_ref().take(4).collect();
                vec![u16::from_str_radix(&hex, 16).unwrap_or(0xfffd)]
            }
            'b' => vec![8],
            'f' => vec![12],
            'n' => vec![10],
            'r' => vec![13],
            't' => vec![9],
            other => other.encode_utf16(&mut unit).to_vec(),
        })
    });
    char::decode_utf16(units.flatten()).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
}

/// Whether arrays and objects are nested deeper than `max`. Looks at brackets outside of texts
/// only, so it holds for every JSON text and costs no stack.
#[must_use]
pub fn deeper_than(json: &[u8], max: usize) -> bool {
    // Most JSON has fewer brackets than may be nested.
    if openings(json) <= max {
        return false;
    }
    let (mut depth, mut text, mut escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if text => escaped = true,
            b'"' => text = !text,
            _ if text => {}
            b'{' | b'[' => {
                depth += 1;
                if depth > max {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// How many brackets and braces open, within texts as well.
fn openings(json: &[u8]) -> usize {
    // `[` and `{` differ in one bit. Counts that fit a byte let the compiler look at many bytes at a
    // time: a tenth of an append was spent here.
    let in_piece =
        |piece: &[u8]| piece.iter().map(|byte| u8::from(byte | 0x20 == b'{')).sum::<u8>();
    json.chunks(usize::from(u8::MAX)).map(|piece| usize::from(in_piece(piece))).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn scalars_are_texts() {
        for (json, text) in [
            (r#""a\n\"b""#, Some("a\n\"b")),
            ("12345678901234567890", Some("12345678901234567890")),
            ("1.50", Some("1.50")),
            ("false", Some("false")),
            ("null", None),
            ("{}", None),
        ] {
            let raw: &RawValue = serde_json::from_str(json).unwrap();
            assert_eq!(scalar(raw).as_deref(), text);
        }
    }

    #[test]
    fn depth_is_seen_without_recursion() {
        assert!(!deeper_than(br#"[["[[[[\"[["]]"#, 2));
        assert!(deeper_than(b"[[[1]]]", 2));
        assert!(deeper_than("[".repeat(10_000).as_bytes(), 64));
    }

    #[test]
    fn what_opens_is_counted() {
        for byte in 0..=u8::MAX {
            let expected = if matches!(byte, b'[' | b'{') { 1_000 } else { 0 };
            assert_eq!(openings(&[byte; 1_000]), expected, "{byte}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = deeper_than(&bytes, 8);
        }
    }
}
