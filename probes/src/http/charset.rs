//! Characters: in which encoding a body is, and making it UTF-8.
//!
//! JSON is UTF-8 (RFC 8259, section 8.1), and yet bodies come in others. A byte order mark decides,
//! then the setting `charset`, then the zero bytes of UTF-16, then the label; without any of these
//! a body is UTF-8 or refused. Nothing is ever replaced silently.

use encoding_rs::{DecoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE};
use http::{HeaderMap, header};

use super::{excerpt::excerpt, unpacker::Step};

/// What is read and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    /// As what the bytes are read.
    pub(super) encoding: &'static Encoding,
    /// So many bytes of a byte order mark come first.
    pub(super) mark_bytes: usize,
}

/// Decides how `body` is read. What is odd is added to `warnings`.
///
/// # Errors
/// Says what the body is not, and which setting helps.
pub(super) fn decide(
    body: &[u8],
    headers: &HeaderMap,
    charset: Option<&'static Encoding>,
    warnings: &mut Vec<String>,
) -> Result<Reading, String> {
    let label = label(headers);
    let known = label.as_deref().map(|label| Encoding::for_label_no_replacement(label.as_bytes()));
    if let Some((encoding, mark_bytes)) = Encoding::for_bom(body) {
        if utf_32(body) {
            return Err(no_utf_32());
        }
        if let (Some(label), Some(known)) = (&label, known)
            && known.is_none_or(|known| !agree(known, encoding))
        {
            warnings.push(differs(label, encoding.name(), "begins with its byte order mark"));
        }
        return Ok(Reading { encoding, mark_bytes });
    }
    let plain = |encoding| Ok(Reading { encoding, mark_bytes: 0 });
    if let Some(charset) = charset {
        return plain(charset);
    }
    if utf_32(body) {
        return Err(no_utf_32());
    }
    if let Some(encoding) = utf_16(body) {
        let said = label.as_deref().unwrap_or("");
        if !known.flatten().is_some_and(|known| agree(known, encoding)) {
            warnings.push(differs(said, encoding.name(), "has its zero bytes"));
        }
        return plain(encoding);
    }
    match (label, known.flatten()) {
        (None, _) => plain(UTF_8),
        (Some(_), Some(known)) if known == UTF_8 => plain(UTF_8),
        (Some(label), known) => {
            // Letters beyond ASCII of a one-byte encoding are valid UTF-8 by no chance, and what
            // begins with an ASCII character is no UTF-16 here any more.
            let sure = known.is_none_or(|known| {
                known.is_single_byte() || known == UTF_16LE || known == UTF_16BE
            });
            match known {
                _ if sure && std::str::from_utf8(body).is_ok() => {
                    if known.is_none() || !body.is_ascii() {
                        warnings.push(differs(&label, "UTF-8", "is valid as that"));
                    }
                    plain(UTF_8)
                }
                Some(known) => plain(known),
                None => Err(unknown(&label, body)),
            }
        }
    }
}

/// Takes byte order marks away that are not where they belong, or are there twice.
pub(super) fn without_marks<'a>(text: &'a str, warnings: &mut Vec<String>) -> &'a str {
    const MARK: char = '\u{feff}';
    let start = text.trim_start_matches([' ', '\t', '\n', '\r', MARK]);
    let before = &text[..text.len() - start.len()];
    if !before.contains(MARK) {
        return text;
    }
    warnings.push("the answer has a byte order mark at an odd place: left out".into());
    start
}

/// What is wrong with a body that is not UTF-8.
pub(super) fn no_utf_8(body: &[u8], at: usize) -> String {
    let around = around(body, at);
    format!(
        "the body is no valid UTF-8 at byte {at} ({around}): expected JSON in UTF-8; if it is in \
         another encoding, set `charset: windows-1252` or the like"
    )
}

/// Turns bytes into UTF-8, step by step.
pub(super) struct Converter<'a> {
    encoding: &'static Encoding,
    decoder: encoding_rs::Decoder,
    body: &'a [u8],
    at: usize,
    ended: bool,
}

impl<'a> Converter<'a> {
    pub(super) fn new(encoding: &'static Encoding, body: &'a [u8]) -> Self {
        let decoder = encoding.new_decoder_without_bom_handling();
        Self { encoding, decoder, body, at: 0, ended: false }
    }

    /// Writes the next characters into `out`, which has room for some.
    pub(super) fn step(&mut self, out: &mut [u8]) -> Result<Step, String> {
        if self.ended {
            return Ok(Step::End);
        }
        let rest = self.body.get(self.at..).unwrap_or_default();
        let (result, read, wrote) =
            self.decoder.decode_to_utf8_without_replacement(rest, out, true);
        self.at += read;
        match result {
            DecoderResult::InputEmpty => self.ended = true,
            DecoderResult::OutputFull => {}
            DecoderResult::Malformed(bytes, after) => {
                let at = self.at.saturating_sub(usize::from(bytes) + usize::from(after));
                let (name, around) = (self.encoding.name(), around(self.body, at));
                return Err(format!(
                    "the body is no valid {name} at byte {at} ({around}): expected all of it to \
                     be; set `charset` to what it is in"
                ));
            }
        }
        Ok(Step::Wrote(wrote))
    }
}

/// The parameter `charset` of the content type (RFC 9110, section 8.3.2).
fn label(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?;
    let text = String::from_utf8_lossy(value.as_bytes());
    let charset = text.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then_some(value)
    })?;
    let label = charset.trim().trim_matches(['"', '\'']).trim();
    (!label.is_empty()).then(|| label.chars().take(40).collect())
}

/// Whether a label names what the bytes are; `utf-16` names either order.
fn agree(label: &'static Encoding, real: &'static Encoding) -> bool {
    let wide = |encoding| encoding == UTF_16LE || encoding == UTF_16BE;
    label == real || (wide(label) && wide(real))
}

/// JSON begins with an ASCII character, so that UTF-16 shows by where the zeros are (RFC 4627,
/// section 3).
fn utf_16(body: &[u8]) -> Option<&'static Encoding> {
    match body {
        [0, 1..=0x7f, ..] => Some(UTF_16BE),
        [1..=0x7f, 0, ..] => Some(UTF_16LE),
        _ => None,
    }
}

fn utf_32(body: &[u8]) -> bool {
    matches!(
        body,
        [0, 0, 0, 1..=0x7f, ..]
            | [1..=0x7f, 0, 0, 0, ..]
            | [0, 0, 0xfe, 0xff, ..]
            | [0xff, 0xfe, 0, 0, ..]
    )
}

fn no_utf_32() -> String {
    "the body is in UTF-32, which is not read: expected JSON in UTF-8".into()
}

fn differs(label: &str, real: &str, why: &str) -> String {
    let said = match label {
        "" => "no charset".to_owned(),
        label => format!("`charset={label}`"),
    };
    format!("the answer says {said}, but its body {why}: read as {real}")
}

fn unknown(label: &str, body: &[u8]) -> String {
    let at = std::str::from_utf8(body).map_or_else(|error| error.valid_up_to(), |_| 0);
    let around = around(body, at);
    format!(
        "the answer says `charset={label}`, which is not known, and is no valid UTF-8 at byte \
         {at} ({around}): set `charset` to what it is in, as `windows-1252`"
    )
}

/// The bytes at a place, as hex, with what is before them as text.
fn around(body: &[u8], at: usize) -> String {
    let at = at.min(body.len());
    let before = excerpt(&body[at.saturating_sub(10)..at], 10);
    let bytes: Vec<String> = body[at..].iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    if bytes.is_empty() {
        return format!("the end after `{before}`");
    }
    format!("`{}` after `{before}`", bytes.join(" "))
}
