//! A JSON text as a flat table of its values, so that reaching into a large one copies nothing.
//!
//! A tree of values can take a hundred times the room of its text. This table takes 16 bytes a
//! value, is made in one pass without recursion, and leads back to the producer's own text.

use std::borrow::Cow;

/// One value of a [`Document`]; the first is the whole.
pub(super) type Place = usize;

/// A JSON text and where its values are.
#[derive(Debug)]
pub(super) struct Document<'a> {
    text: &'a str,
    spans: Vec<Span>,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    start: u32,
    end: u32,
    /// The place behind this value and all that is in it.
    next: u32,
    kind: Kind,
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Object,
    Array,
    /// A text without escapes.
    Text,
    /// A text with escapes.
    Escaped,
    /// A number, a boolean or null.
    Other,
}

impl<'a> Document<'a> {
    /// Reads a text that is known to be JSON; `None` where it plainly is not.
    pub(super) fn new(text: &'a str) -> Option<Self> {
        let bytes = text.as_bytes();
        u32::try_from(bytes.len()).ok()?;
        // Values of sixteen bytes are usual; where they are shorter, it grows.
        let mut spans: Vec<Span> = Vec::with_capacity(text.len() / 16 + 1);
        let mut open: Vec<Place> = Vec::new();
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            let start = at;
            let kind = match byte {
                b' ' | b'\t' | b'\r' | b'\n' | b',' | b':' => {
                    at += 1;
                    continue;
                }
                b'}' | b']' => {
                    at += 1;
                    let closed = open.pop()?;
                    spans[closed].end = narrow(at);
                    spans[closed].next = narrow(spans.len());
                    continue;
                }
                b'{' | b'[' => {
                    open.push(spans.len());
                    at += 1;
                    if byte == b'{' { Kind::Object } else { Kind::Array }
                }
                b'"' => {
                    let (end, escaped) = text_end(bytes, at)?;
                    at = end;
                    if escaped { Kind::Escaped } else { Kind::Text }
                }
                _ => {
                    let end =
                        |byte: &u8| matches!(byte, b',' | b'}' | b']' | b':') || *byte <= b' ';
                    at = bytes[at..].iter().position(end).map_or(bytes.len(), |length| at + length);
                    Kind::Other
                }
            };
            let next = narrow(spans.len() + 1);
            spans.push(Span { start: narrow(start), end: narrow(at), next, kind });
        }
        (open.is_empty() && !spans.is_empty()).then_some(Self { text, spans })
    }

    /// What it took to read it, as `Scope::spend` counts.
    pub(super) fn work(&self) -> usize {
        self.text.len() + 3 * self.spans.len()
    }

    pub(super) fn kind(&self, place: Place) -> Kind {
        self.spans[place].kind
    }

    /// The value's own text, as the producer wrote it.
    pub(super) fn raw(&self, place: Place) -> &'a str {
        let span = &self.spans[place];
        self.text.get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    /// What a text says; numbers, booleans and null as they are written.
    pub(super) fn text(&self, place: Place) -> Cow<'a, str> {
        let raw = self.raw(place);
        match self.kind(place) {
            Kind::Text => raw.get(1..raw.len() - 1).unwrap_or_default().into(),
            Kind::Escaped => {
                serde_json::from_str::<String>(&mended(raw)).unwrap_or_default().into()
            }
            _ => raw.into(),
        }
    }

    /// What is directly in an array; in an object, names and values in turn.
    pub(super) fn children(&self, place: Place) -> impl Iterator<Item = Place> {
        let span = &self.spans[place];
        let mut at = place + 1;
        std::iter::from_fn(move || {
            let here = at;
            (here < span.next as usize).then(|| {
                at = self.spans[here].next as usize;
                here
            })
        })
    }

    /// Names and values of an object.
    pub(super) fn members(&self, place: Place) -> impl Iterator<Item = (Place, Place)> {
        let mut children = self.children(place);
        std::iter::from_fn(move || Some((children.next()?, children.next()?)))
    }

    /// The value of this name in an object, the last where there are several.
    pub(super) fn member(&self, place: Place, name: &str) -> Option<Place> {
        if self.kind(place) != Kind::Object {
            return None;
        }
        self.members(place).filter(|(key, _)| self.says(*key, name)).last().map(|(_, value)| value)
    }

    /// Whether a name in the text is this one.
    pub(super) fn says(&self, place: Place, name: &str) -> bool {
        let bytes = self.raw(place).len().saturating_sub(2);
        // Most names differ in length already, so that nothing has to be read; an escape is at
        // most six times as long as what it stands for.
        match self.kind(place) {
            Kind::Text => bytes == name.len() && self.text(place) == name,
            _ => (name.len()..=6 * name.len()).contains(&bytes) && self.text(place) == name,
        }
    }
}

/// The JSON with an escape of U+FFFD in the place of each surrogate that has no partner (half an
/// emoji): JSON lets it be written (RFC 8259, section 8.2), but no text can hold it.
pub(super) fn mended(json: &str) -> Cow<'_, str> {
    let bytes = json.as_bytes();
    let mut halves = memchr::memchr2_iter(b'd', b'D', bytes);
    // Most have no escapes of this kind at all, and a text may consist of others.
    if !halves.any(|at| at >= 2 && bytes[at - 2..at] == *b"\\u") {
        return Cow::Borrowed(json);
    }
    let mut made: Option<String> = None;
    let mut at = 0;
    while let Some(found) = json.get(at..).and_then(|rest| rest.find('\\')) {
        at += found;
        match surrogate(json, at) {
            Some(0xd800..=0xdbff) if matches!(surrogate(json, at + 6), Some(0xdc00..)) => at += 12,
            Some(_) => {
                let made = made.get_or_insert_with(|| json.to_owned());
                made.replace_range(at..at + 6, "\\ufffd");
                at += 6;
            }
            // What follows a backslash may be one itself.
            None => at += 2,
        }
    }
    made.map_or(Cow::Borrowed(json), Cow::Owned)
}

/// The half of a pair that an escape `\uD800` to `\uDFFF` at this place stands for. A text may
/// consist of escapes: most are told apart by one letter.
fn surrogate(json: &str, at: usize) -> Option<u32> {
    let [b'\\', b'u', b'd' | b'D', ..] = json.as_bytes().get(at..)? else { return None };
    let unit = u32::from_str_radix(json.get(at + 2..at + 6)?, 16).ok()?;
    (0xd800..=0xdfff).contains(&unit).then_some(unit)
}

/// Where the text that begins at `start` ends, and whether it has escapes.
fn text_end(bytes: &[u8], start: usize) -> Option<(usize, bool)> {
    let mut escaped = false;
    let mut at = start + 1;
    loop {
        match bytes.get(at)? {
            b'"' => return Some((at + 1, escaped)),
            b'\\' => {
                escaped = true;
                at += 2;
            }
            _ => at += 1,
        }
    }
}

/// The whole text was found to fit.
fn narrow(offset: usize) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn values_are_reached_in_their_own_text() {
        let document =
            Document::new(r#" { "a" : [1.50, {"b\u0062": "x\n"}, []], "c": null, "c": true } "#)
                .unwrap();
        let a = document.member(0, "a").unwrap();
        let items: Vec<Place> = document.children(a).collect();
        assert_eq!(document.raw(items[0]), "1.50");
        assert_eq!(document.text(document.member(items[1], "bb").unwrap()), "x\n");
        assert_eq!(document.children(items[2]).count(), 0);
        assert_eq!(document.raw(document.member(0, "c").unwrap()), "true");
        assert_eq!(document.member(0, "none"), None);
        assert_eq!(document.member(a, "a"), None);
    }

    #[test]
    fn halves_of_a_pair_are_mended_in_place() {
        for (json, expected) in [
            (r#""smile \ud83d""#, r#""smile \ufffd""#),
            (r#""\ud83d\ude00""#, r#""\ud83d\ude00""#),
            (r#""\ude00\ud83d""#, r#""\ufffd\ufffd""#),
            (r#""\uD83D\ud83d\uDE00""#, r#""\ufffd\ud83d\uDE00""#),
            (r#""\\ud83d \\\ud83d""#, r#""\\ud83d \\\ufffd""#),
            (r#""\ud83d\n\u00e9""#, r#""\ufffd\n\u00e9""#),
            (r#"{"na\ud83dme":"\ud83d"}"#, r#"{"na\ufffdme":"\ufffd"}"#),
            ("é", "é"),
            ("\\", "\\"),
            ("\\ud8é", "\\ud8é"),
        ] {
            assert_eq!(mended(json), expected, "{json}");
        }
        let document = Document::new(r#"{"na\ud83dme": "half \ud83d", "whole": 1}"#).unwrap();
        let half = document.member(0, "na\u{fffd}me").unwrap();
        assert_eq!(document.text(half), "half \u{fffd}");
        assert_eq!(document.raw(document.member(0, "whole").unwrap()), "1");
    }

    #[test]
    fn what_is_plainly_no_json_is_refused() {
        for bad in ["", " ", "{", "]", "\"", "\"\\", "{]}"] {
            assert!(Document::new(bad).is_none(), "{bad}");
        }
    }

    /// The tree that the table stands for.
    fn tree(document: &Document<'_>, place: Place) -> Value {
        match document.kind(place) {
            Kind::Array => document.children(place).map(|item| tree(document, item)).collect(),
            Kind::Object => document
                .members(place)
                .map(|(key, value)| (document.text(key).into_owned(), tree(document, value)))
                .collect::<serde_json::Map<_, _>>()
                .into(),
            Kind::Text | Kind::Escaped => document.text(place).into(),
            Kind::Other => serde_json::from_str(document.raw(place)).unwrap(),
        }
    }

    proptest! {
        #[test]
        fn the_table_is_the_tree(value in crate::expr::tests::json(), pretty in any::<bool>()) {
            let text = if pretty { format!("{value:#}") } else { value.to_string() };
            prop_assert_eq!(tree(&Document::new(&text).unwrap(), 0), value);
        }

        #[test]
        fn no_text_is_fatal(text in "[\\[\\]{}\",:\\\\ a0é]{0,40}") {
            if let Some(document) = Document::new(&text) {
                document.children(0).for_each(|place| drop(document.text(place)));
                document.member(0, "a");
            }
        }
    }
}
