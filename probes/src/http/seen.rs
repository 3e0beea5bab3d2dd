//! What came of an answer, for a person: also of one that could not be read.

use std::borrow::Cow;

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
