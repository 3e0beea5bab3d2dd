//! A URL whose query stays byte for byte what was written.
//!
//! Parsing a query and writing it anew changes what a producer sees (`%20` becomes `+`, `$filter`
//! becomes `%24filter`), and signed or opaque links break on it. So a query is a text here: a
//! parameter is added, replaced or taken out without touching its neighbours. Only what a request
//! target may not hold (RFC 9112, section 3.2: blanks, controls, non-ASCII) is percent-encoded.

use std::{fmt, fmt::Write as _, str::FromStr};

use percent_encoding::percent_decode_str;
use serde::{Serialize, Serializer};
use url::Url;

/// An absolute `http` or `https` URL with its query as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Without query and fragment.
    base: Url,
    query: Option<String>,
}

impl Target {
    /// Reads an absolute URL.
    ///
    /// # Errors
    /// Says why it is none.
    pub fn parse(text: &str) -> Result<Self, url::ParseError> {
        Url::parse(text.trim()).map(|url| Self::written(url, text))
    }

    /// The target of a link on this one's page (RFC 3986, section 5).
    pub(super) fn join(&self, link: &str) -> Result<Self, url::ParseError> {
        let link = link.trim();
        let joined = self.url().join(link)?;
        let same_page = link.is_empty() || link.starts_with('#');
        if same_page { Ok(self.clone()) } else { Ok(Self::written(joined, link)) }
    }

    /// A URL with the query that stands in the text it was read from.
    fn written(mut base: Url, text: &str) -> Self {
        let text = text.split('#').next().unwrap_or_default();
        let query = text.split_once('?').map(|(_, query)| legal(query));
        base.set_query(None);
        base.set_fragment(None);
        Self { base, query }
    }

    /// The URL without its query: scheme, authority, path.
    #[must_use]
    pub const fn base(&self) -> &Url {
        &self.base
    }

    /// The query as it is sent.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// The URL as the `url` crate writes it: for what only compares origins and names.
    #[must_use]
    pub fn url(&self) -> Url {
        let mut url = self.base.clone();
        url.set_query(self.query.as_deref());
        url
    }

    /// Names and values of the query, decoded.
    pub fn pairs(&self) -> impl Iterator<Item = (String, String)> + '_ {
        let query = self.query.as_deref().unwrap_or_default();
        query.split('&').filter(|part| !part.is_empty()).map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (decoded(name), decoded(value))
        })
    }

    /// Sets a query parameter: in the place of the first of its name, or behind all others.
    pub fn set(&mut self, name: &str, value: &str) {
        let written = format!("{}={}", encoded(name, true), encoded(value, false));
        let Some(query) = self.query.as_deref().filter(|query| !query.is_empty()) else {
            self.query = Some(written);
            return;
        };
        let mut found = false;
        let parts: Vec<&str> = query
            .split('&')
            .map(|part| {
                if !found && is_named(part, name) {
                    found = true;
                    &written
                } else {
                    part
                }
            })
            .collect();
        let mut query = parts.join("&");
        if !found {
            query.push('&');
            query.push_str(&written);
        }
        self.query = Some(query);
    }

    /// Takes out every parameter whose name is `unwanted`.
    pub fn remove(&mut self, unwanted: impl Fn(&str) -> bool) {
        let Some(query) = &self.query else { return };
        let kept: Vec<&str> = query.split('&').filter(|part| !unwanted(&name_of(part))).collect();
        self.query = (!kept.is_empty()).then(|| kept.join("&"));
    }

    /// The target with `***` for the values of the parameters for which `hide` says so.
    pub(super) fn hiding(&self, hide: impl Fn(&str, &str) -> bool) -> Self {
        let masked = |part: &str| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let hidden = !part.is_empty() && hide(&decoded(name), &decoded(value));
            if hidden { format!("{name}=***") } else { part.to_owned() }
        };
        let query = self.query.as_deref();
        let query = query.map(|query| query.split('&').map(masked).collect::<Vec<_>>().join("&"));
        Self { base: self.base.clone(), query }
    }

    /// Without user and password.
    pub(super) fn without_user(mut self) -> Self {
        // A URL with a host has a place for these.
        let _ = self.base.set_username("");
        let _ = self.base.set_password(None);
        self
    }

    /// The path and query of this one at the scheme and authority of `own`.
    pub(super) fn rebased(self, own: &Self) -> Self {
        let mut base = own.base.clone();
        base.set_path(self.base.path());
        Self { base, query: self.query }
    }

    /// With the texts of `fill` in the places of their names in braces, percent-encoded as values;
    /// `{name}` may have been encoded as `%7Bname%7D` when the path was read.
    pub(super) fn filled(&self, fill: &[(&str, &str)]) -> Self {
        let mut filled = self.clone();
        for (name, value) in fill {
            let value = encoded(value, false);
            let path = filled.base.path();
            let plain = format!("{{{name}}}");
            let path = path.replace(&format!("%7B{name}%7D"), &value).replace(&plain, &value);
            filled.base.set_path(&path);
            filled.query = filled.query.map(|query| query.replace(&plain, &value));
        }
        filled
    }

    /// Whether a name in braces stands in path or query.
    pub(super) fn has_place(&self, name: &str) -> bool {
        self.base.path().contains(&format!("%7B{name}%7D"))
            || self.base.path().contains(&format!("{{{name}}}"))
            || self.query.as_deref().is_some_and(|query| query.contains(&format!("{{{name}}}")))
    }
}

impl FromStr for Target {
    type Err = url::ParseError;

    fn from_str(text: &str) -> Result<Self, url::ParseError> {
        Self::parse(text)
    }
}

impl From<Url> for Target {
    fn from(url: Url) -> Self {
        let text = url.as_str().to_owned();
        Self::written(url, &text)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.base.as_str())?;
        match &self.query {
            Some(query) => write!(f, "?{query}"),
            None => Ok(()),
        }
    }
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn name_of(part: &str) -> String {
    decoded(part.split_once('=').map_or(part, |(name, _)| name))
}

fn is_named(part: &str, name: &str) -> bool {
    !part.is_empty() && name_of(part) == name
}

fn decoded(text: &str) -> String {
    let text = text.replace('+', " ");
    percent_decode_str(&text).decode_utf8_lossy().into_owned()
}

/// A name or value of a query. What has no meaning there stays readable; a blank is `%20`, which
/// every producer reads, and not `+`, which only forms have.
fn encoded(text: &str, name: bool) -> String {
    let mut written = String::with_capacity(text.len());
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'*' | b'$' | b'[' | b']' | b'\'')
            || matches!(byte, b'(' | b')' | b',' | b'!')
            || (name && matches!(byte, b'@' | b':' | b'/'));
        push(&mut written, byte, plain);
    }
    written
}

/// What was written, with percent-encoding for what no request target may hold.
fn legal(query: &str) -> String {
    let mut written = String::with_capacity(query.len());
    for byte in query.bytes() {
        let plain = byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'`');
        push(&mut written, byte, plain);
    }
    written
}

fn push(text: &mut String, byte: u8, plain: bool) {
    if plain {
        text.push(char::from(byte));
    } else {
        // Writing a string into memory cannot fail.
        let _ = write!(text, "%{byte:02X}");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn target(text: &str) -> Target {
        Target::parse(text).unwrap()
    }

    #[test]
    fn a_query_stays_as_it_is_written() {
        for (text, sent) in [
            ("https://a/x?$filter=a eq 'b'&c[]=1", "https://a/x?$filter=a%20eq%20'b'&c[]=1"),
            (
                "https://a/x?at=2020-01-01T00:00:00+01:00",
                "https://a/x?at=2020-01-01T00:00:00+01:00",
            ),
            ("https://a/x?a=%2f&b=%2F&c=+", "https://a/x?a=%2f&b=%2F&c=+"),
            ("https://a/x?&&a&=1&b=", "https://a/x?&&a&=1&b="),
            ("https://a/x?é=\u{1F600}", "https://a/x?%C3%A9=%F0%9F%98%80"),
            ("https://a?x=1#f", "https://a/?x=1"),
            ("https://a/x?", "https://a/x?"),
        ] {
            assert_eq!(target(text).to_string(), sent);
        }
    }

    #[test]
    fn links_are_resolved_and_keep_their_query() {
        let page = target("https://a.example/v1/list?page=1");
        for (link, sent) in [
            ("?page=2&$top='5'", "https://a.example/v1/list?page=2&$top='5'"),
            ("/v2/x?q=a b", "https://a.example/v2/x?q=a%20b"),
            ("next?x=1", "https://a.example/v1/next?x=1"),
            ("//b.example/x", "https://b.example/x"),
            ("http://b.example/x?y=%20", "http://b.example/x?y=%20"),
            ("", "https://a.example/v1/list?page=1"),
        ] {
            assert_eq!(page.join(link).unwrap().to_string(), sent, "{link}");
        }
        assert!(page.join("http://[").is_err());
    }

    #[test]
    fn parameters_are_set_in_their_place() {
        let mut url = target("https://a/x?a=1&b[]=2&a=3");
        url.set("a", "x y&z");
        url.set("b[]", "$9");
        url.set("c", "2026-01-01T00:00:00Z");
        assert_eq!(url.query(), Some("a=x%20y%26z&b[]=$9&a=3&c=2026-01-01T00%3A00%3A00Z"));
        url.remove(|name| name == "a");
        assert_eq!(url.query(), Some("b[]=$9&c=2026-01-01T00%3A00%3A00Z"));
    }

    #[test]
    fn places_in_braces_are_filled() {
        let url = target("https://a/since/{cursor}/list?jql=x > \"{cursor}\"&p={page}");
        assert!(url.has_place("cursor") && url.has_place("page") && !url.has_place("other"));
        let filled = url.filled(&[("cursor", "a/b c"), ("page", "2")]);
        assert_eq!(
            filled.to_string(),
            "https://a/since/a%2Fb%20c/list?jql=x%20%3E%20%22a%2Fb%20c%22&p=2"
        );
    }

    proptest! {
        #[test]
        fn adding_a_parameter_changes_no_other_byte(
            query in "[!-~&&[^#\"<>`]]{0,40}",
            name in "[a-z$\\[\\]' é=&+%]{1,8}",
            value in ".{0,12}",
        ) {
            let mut url = target(&format!("https://a.example/x?{query}"));
            prop_assert_eq!(url.query(), Some(query.as_str()));
            let others: Vec<String> =
                query.split('&').filter(|part| !is_named(part, &name)).map(str::to_owned).collect();
            let known = query.split('&').any(|part| is_named(part, &name));
            url.set(&name, &value);
            let sent = url.query().unwrap();
            if known {
                let left: Vec<&str> = sent.split('&').filter(|part| !is_named(part, &name)).collect();
                prop_assert_eq!(left, others);
            } else if query.is_empty() {
                prop_assert_eq!(sent, &format!("{}={}", encoded(&name, true), encoded(&value, false)));
            } else {
                let before = format!("{query}&");
                prop_assert!(sent.starts_with(&before), "{}", sent);
            }
            prop_assert!(url.pairs().any(|pair| pair == (name.clone(), value.clone())));
            // What is sent is a legal target, byte for byte.
            let uri: http::Uri = url.to_string().parse().unwrap();
            prop_assert_eq!(uri.query(), Some(sent));
        }
    }
}
