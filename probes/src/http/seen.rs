//! What came of an answer, for a person: also of one that could not be read.

use std::{borrow::Cow, fmt::Write as _};

use bytes::Bytes;
use encoding_rs::{Encoding, UTF_8};
use http::{HeaderMap, StatusCode};

use super::{
    charset,
    decode::{Coding, Codings},
    unpacker::{Step, Unpacker, Weight},
};

/// So much of a body is kept to be shown.
pub(super) const FIRST_BYTES: usize = 512;

/// What is unpacked of each coding to come to the first bytes.
const UNPACKED_BYTES: usize = 64 << 10;

/// What is tried to come to them; members without content could be many.
const STEPS_MAX: usize = 64;

/// What came although it could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// As they came over the wire.
    pub(super) bytes: u64,
    /// At most the first 512 bytes of the body, decoded as far as it went.
    pub(super) first: Bytes,
}

/// The first bytes of a body, unpacked and decoded as far as it goes; what is wrong is left as it
/// is.
pub(super) fn first(
    body: &[u8],
    mut next: Option<Coding>,
    codings: &mut Codings,
    headers: &HeaderMap,
    charset: Option<&'static Encoding>,
    max: usize,
) -> Vec<u8> {
    let mut bytes = Cow::Borrowed(body);
    while let Some(coding) = next.take().or_else(|| codings.next(&bytes).ok().flatten()) {
        let unpacked = unpack_some(coding, &bytes);
        if unpacked.is_empty() {
            break;
        }
        bytes = Cow::Owned(unpacked);
    }
    let some = cut(&bytes, 4 * max);
    let text = match charset::decide(some, headers, charset, &mut Vec::new()) {
        Ok(reading) if reading.encoding == UTF_8 => Cow::Borrowed(&some[reading.mark_bytes..]),
        Ok(reading) => {
            let some = &some[reading.mark_bytes..];
            let (text, _) = reading.encoding.decode_without_bom_handling(some);
            Cow::Owned(text.into_owned().into_bytes())
        }
        Err(_) => Cow::Borrowed(some),
    };
    cut(&text, max).to_vec()
}

/// The first `max` bytes, without a part of a character at the end if more follow.
fn cut(bytes: &[u8], max: usize) -> &[u8] {
    let some = &bytes[..bytes.len().min(max)];
    match std::str::from_utf8(some) {
        Err(error) if error.error_len().is_none() && some.len() == max => {
            &some[..error.valid_up_to()]
        }
        _ => some,
    }
}

fn unpack_some(coding: Coding, body: &[u8]) -> Vec<u8> {
    let (mut unpacker, mut scratch) =
        (Unpacker::new(coding, Weight::Light, body), vec![0; 8 << 10]);
    let mut out = Vec::new();
    for _ in 0..STEPS_MAX {
        match unpacker.step(&mut scratch) {
            Ok(Step::Wrote(bytes)) if out.len() < UNPACKED_BYTES => {
                out.extend_from_slice(&scratch[..bytes]);
            }
            _ => break,
        }
    }
    out
}

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
