//! The `Link` header (RFC 8288, section 3).

/// The target of the first link with the relation `rel`, as it stands in the header.
pub(super) fn target<'a>(header: &'a str, rel: &str) -> Option<&'a str> {
    let mut rest = header;
    loop {
        let start = rest.find('<')?;
        let end = start + rest[start..].find('>')?;
        let target = &rest[start + 1..end];
        let (parameters, after) = parameters(&rest[end + 1..]);
        if parameters.iter().any(|(name, value)| {
            name.eq_ignore_ascii_case("rel")
                && value.split_ascii_whitespace().any(|word| word.eq_ignore_ascii_case(rel))
        }) {
            return Some(target.trim());
        }
        rest = after;
    }
}

/// The parameters of one link, and what follows the comma behind it.
fn parameters(text: &str) -> (Vec<(&str, String)>, &str) {
    let mut found = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        match rest.bytes().next() {
            Some(b';') => rest = rest[1..].trim_start(),
            Some(b',') => return (found, &rest[1..]),
            _ => return (found, rest),
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
        // RFC 8288, section 3.3: only the first `rel` counts.
        if !found.iter().any(|(known, _): &(&str, _)| known.eq_ignore_ascii_case(name)) {
            found.push((name, value));
        }
    }
}

/// A token or quoted string, and what follows it.
fn value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ',']).unwrap_or(text.len());
        return (text[..end].trim().to_owned(), &text[end..]);
    };
    let (mut value, mut escaped) = (String::new(), false);
    for (at, character) in quoted.char_indices() {
        match character {
            _ if escaped => {
                value.push(character);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return (value, &quoted[at + 1..]),
            _ => value.push(character),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
        ] {
            assert_eq!(target(header, "next"), found, "{header}");
        }
    }

    proptest! {
        #[test]
        fn no_header_panics(header in "[<>;,=\"\\\\a-zé ]{0,60}") {
            let _ = target(&header, "next");
        }
    }
}
