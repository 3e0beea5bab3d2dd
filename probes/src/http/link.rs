//! The `Link` header (RFC 8288, section 3), as producers really write it.
//!
//! `rel='next'`, typographic quotes, a semicolon between links, a missing quote or bracket: each is
//! read if it can only mean one thing. What cannot be read is told, never taken for the end. No
//! kept library is strict about where a target ends and forgiving about the rest, so this is ours.

/// One link of a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link<'a> {
    /// Its target as it stands in the header.
    pub(super) target: &'a str,
    /// Its parameters; of several with one name the first counts (section 3.3).
    pub(super) parameters: Vec<(String, String)>,
}

impl Link<'_> {
    /// The value of a parameter.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        let named = |(known, _): &&(String, String)| known.eq_ignore_ascii_case(name);
        self.parameters.iter().find(named).map(|(_, value)| value.as_str())
    }

    /// Whether it has a relation; `rel` may hold several, apart by blanks.
    pub(super) fn is(&self, rel: &str) -> bool {
        let rels = self.parameter("rel").unwrap_or_default();
        rels.split([' ', '\t', ',']).any(|word| word.eq_ignore_ascii_case(rel))
    }
}

/// What stands in the `Link` headers of an answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Links<'a> {
    pub(super) links: Vec<Link<'a>>,
    /// What is there and is no link.
    pub(super) unread: Option<&'a str>,
}

impl<'a> Links<'a> {
    /// Reads one header's text.
    pub(super) fn read(header: &'a str) -> Self {
        let mut found = Self::default();
        let mut rest = header.trim();
        while !rest.is_empty() {
            let Some((target, behind)) = target(rest) else {
                found.unread = Some(rest);
                break;
            };
            let (parameters, behind) = parameters(behind);
            found.links.push(Link { target, parameters });
            rest = behind.trim_start_matches([',', ';', ' ', '\t']);
        }
        found
    }

    /// The first link with a relation.
    pub(super) fn find(&self, rel: &str) -> Option<&Link<'a>> {
        self.links.iter().find(|link| link.is(rel))
    }
}

/// A target in angle brackets, and what follows it. A bracket that is not closed is no target, for
/// the text up to the next `>` could be two URLs glued together.
fn target(text: &str) -> Option<(&str, &str)> {
    let inside = text.strip_prefix('<')?;
    let end = inside.find(['>', '<'])?;
    inside[end..].starts_with('>').then(|| (inside[..end].trim(), &inside[end + 1..]))
}

/// The parameters of one link, and what follows: the next link, if there is one.
fn parameters(text: &str) -> (Vec<(String, String)>, &str) {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut rest = text.trim_start();
    loop {
        rest = rest.trim_start();
        match rest.bytes().next() {
            Some(b';') => rest = rest[1..].trim_start(),
            Some(b',') => return (found, &rest[1..]),
            _ => return (found, rest),
        }
        // A semicolon where a comma belongs: the next link begins.
        if rest.starts_with('<') {
            return (found, rest);
        }
        let name_end = rest.find(['=', ';', ',']).unwrap_or(rest.len());
        let name = rest[..name_end].trim();
        rest = &rest[name_end..];
        let value = match rest.strip_prefix('=') {
            Some(after) => {
                let (value, after) = value(after.trim_start());
                rest = after;
                value
            }
            None => String::new(),
        };
        if !name.is_empty() && !found.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
            found.push((name.to_owned(), value));
        }
    }
}

/// What a quoted value may begin with, and then ends with.
const QUOTES: [(char, &[char]); 5] = [
    ('"', &['"']),
    ('\'', &['\'']),
    ('\u{201c}', &['\u{201d}', '\u{201c}']),
    ('\u{201d}', &['\u{201d}']),
    ('\u{2018}', &['\u{2019}', '\u{2018}']),
];

/// A token or quoted text, and what follows it.
fn value(text: &str) -> (String, &str) {
    let first = text.chars().next();
    let quotes = QUOTES.iter().find(|(open, _)| first == Some(*open));
    let Some((open, ends)) = quotes else {
        let end = text.find([';', ',']).unwrap_or(text.len());
        return (text[..end].trim().to_owned(), &text[end..]);
    };
    let inside = &text[open.len_utf8()..];
    let (mut value, mut escaped) = (String::new(), false);
    for (at, character) in inside.char_indices() {
        match character {
            _ if escaped => {
                value.push(character);
                escaped = false;
            }
            '\\' => escaped = true,
            end if ends.contains(&end) => {
                let behind = &inside[at + end.len_utf8()..];
                // What follows a value is a parameter, a link, or nothing: else this quote begins
                // another value, and the one before was never closed.
                if behind.trim_start().starts_with([';', ',', '<']) || behind.trim().is_empty() {
                    return (value, behind);
                }
                break;
            }
            _ => value.push(character),
        }
    }
    unclosed(inside)
}

/// A value whose quote is not closed: it ends where the next parameter or link begins.
fn unclosed(quoted: &str) -> (String, &str) {
    let end = quoted.find([';', ',']).unwrap_or(quoted.len());
    (quoted[..end].trim().to_owned(), &quoted[end..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn next(header: &str) -> Option<String> {
        Links::read(header).find("next").map(|link| link.target.to_owned())
    }

    #[test]
    fn relations_are_found() {
        for (header, found) in [
            (
                r#"<https://a/?page=2>; rel="next", <https://a/?page=9>; rel="last""#,
                Some("https://a/?page=2"),
            ),
            (r"</b>; rel=prev, </c>;rel=next", Some("/c")),
            (
                r#"<b,;c>; title="x; rel=\"next\", <y>"; rel="prev", <d>; rel="last next""#,
                Some("d"),
            ),
            (r#"<a>; REL="Next""#, Some("a")),
            (r#"<a>; rel="prev"; rel="next""#, None),
            (r#"<a>; rel="nextish""#, None),
            ("<a>", None),
            ("", None),
            ("<a", None),
            (r#"<a>; rel="next"#, Some("a")),
            ("<a>; rel='next', <b>; rel='last'", Some("a")),
            ("<a>; rel=\u{201c}next\u{201d}", Some("a")),
            ("<a>; rel=\u{201d}next\u{201d}; x=1", Some("a")),
            ("<a>; rel=\u{2018}next\u{2019}, <b>; rel=prev", Some("a")),
            (r#"<p>; rel="prev"; <n>; rel="next""#, Some("n")),
            (r#"<p>; rel="prev; <n>; rel="next""#, Some("n")),
            (r#"<a>;rel="self",<b>; rel = "next""#, Some("b")),
            (r#"<a>; rel="first,next""#, Some("a")),
            ("< https://a/ > ;rel=next", Some("https://a/")),
            // Never one URL glued of two.
            (r#"<https://a/1, <https://a/2>; rel="next""#, None),
        ] {
            assert_eq!(next(header).as_deref(), found, "{header}");
        }
    }

    #[test]
    fn what_is_no_link_is_told() {
        for (header, unread) in [
            ("<a>; rel=prev", None),
            ("https://a/?page=2; rel=next", Some("https://a/?page=2; rel=next")),
            ("<a>; rel=prev, <b; rel=next", Some("<b; rel=next")),
            ("", None),
        ] {
            assert_eq!(Links::read(header).unread, unread, "{header}");
        }
        let sentry = r#"<a>; rel="previous"; results="false", <b>; rel="next"; results="true""#;
        let links = Links::read(sentry);
        assert_eq!(links.find("next").unwrap().parameter("results"), Some("true"));
    }

    proptest! {
        #[test]
        fn no_header_panics(header in "[<>;,=\"'\\\\a-zé“”‘’ ]{0,60}") {
            let _ = Links::read(&header);
        }
    }
}
