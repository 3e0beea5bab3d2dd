//! What is shown of bytes to a person.

use std::fmt::Write as _;

use http::HeaderValue;

/// The first `max` bytes for a person: control characters are escaped, bytes that are no UTF-8 are
/// U+FFFD, no character is cut, and `…` says that there is more.
pub(super) fn excerpt(bytes: &[u8], max: usize) -> String {
    let mut end = bytes.len().min(max);
    if end < bytes.len() {
        // Back to the start of a character that would be cut; it has at most four bytes.
        let start = (end.saturating_sub(3)..=end).rev().find(|at| bytes[*at] & 0xc0 != 0x80);
        end = start.unwrap_or(end);
    }
    let mut shown = String::with_capacity(end + 3);
    for character in String::from_utf8_lossy(&bytes[..end]).chars() {
        match character {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            // Marks that turn or hide text are no better than control characters.
            _ if character.is_control()
                || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                    | '\u{2066}'..='\u{2069}' | '\u{feff}') =>
            {
                // A text takes all.
                let _ = write!(shown, "{}", character.escape_unicode());
            }
            _ => shown.push(character),
        }
    }
    if end < bytes.len() {
        shown.push('…');
    }
    shown
}

/// A header as text, whatever its bytes are.
pub(super) fn lossy(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn excerpts_can_be_shown() {
        for (bytes, max, shown) in [
            (&b"abc"[..], 3, "abc"),
            (b"abcd", 3, "abc…"),
            (b"", 3, ""),
            (b"a\nb\r\tc\x1b[31m\x00", 99, "a\\nb\\r\\tc\\u{1b}[31m\\u{0}"),
            (b"caf\xe9!", 99, "caf\u{fffd}!"),
            ("aé".as_bytes(), 2, "a…"),
            ("aé".as_bytes(), 3, "aé"),
            ("😀😀".as_bytes(), 7, "😀…"),
            ("😀😀".as_bytes(), 3, "…"),
            (b"\x80\x80\x80\x80\x80\x80", 4, "\u{fffd}\u{fffd}\u{fffd}\u{fffd}…"),
            ("\u{202e}x\u{feff}".as_bytes(), 99, "\\u{202e}x\\u{feff}"),
        ] {
            assert_eq!(excerpt(bytes, max), shown, "{bytes:?} {max}");
        }
    }

    proptest! {
        #[test]
        fn excerpts_are_short_and_clean(bytes in prop::collection::vec(any::<u8>(), 0..64), max in 0_usize..70) {
            let shown = excerpt(&bytes, max);
            prop_assert!(!shown.chars().any(char::is_control));
            prop_assert_eq!(shown.ends_with('…'), bytes.len() > max || bytes.ends_with("…".as_bytes()));
        }
    }
}
