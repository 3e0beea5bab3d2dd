//! The answer to one request as it is read: its text, its headers, its items.

use bytestring::ByteString;
use http::{HeaderMap, header};
use serde_json::value::RawValue;

use super::{
    excerpt::{excerpt, lossy},
    fetch::{Answer, Fault},
    link::Links,
    rules::{ItemsOf, ItemsRule, LinkStop, Missing},
    walk::Carried,
};
use crate::{
    FailureKind,
    extract::{Fields, Path, array, kind_of, scalar},
};

/// What some producers put before JSON, so that no script can include it.
const GUARDS: [&str; 4] = [")]}',", ")]}'", "while(1);", "for(;;);"];
/// Fields that say in a page without items that something is wrong.
const COMPLAINTS: [&str; 5] = ["error", "errors", "message", "ok", "success"];
/// So much of a value is shown to a person.
const SHOWN_CHARS: usize = 100;

/// A page that is text.
pub(super) struct Body<'a> {
    pub(super) headers: &'a HeaderMap,
    pub(super) text: &'a str,
}

/// What is found where a token or URL is expected.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// Nothing: missing, null, `false`, empty.
    None,
    /// A text or number, or the `href` of an object.
    Value(String),
    /// Something that cannot be used, and what it is.
    Broken(String),
}

/// The text of a page without byte order marks, wherever a producer that joined several files put
/// them. Inside of JSON texts they belong to the producer, and stay.
pub(super) fn clean(text: &str) -> ByteString {
    let (mut kept, mut quoted, mut escaped) = (String::with_capacity(text.len()), false, false);
    for character in text.chars() {
        match character {
            '\u{feff}' if !quoted => continue,
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        kept.push(character);
    }
    kept.into()
}

impl<'a> Body<'a> {
    /// The answer as text; [`Body::items`] reads all of it, and so tells whether it is JSON.
    pub(super) fn read(answer: &'a Answer) -> Self {
        let mut text = answer.text.trim_matches([' ', '\t', '\n', '\r']);
        if let Some(rest) = GUARDS.iter().find_map(|guard| text.strip_prefix(guard)) {
            text = rest.trim_start();
        }
        Self { headers: &answer.headers, text }
    }

    /// The items by `rule`, whose path is `path`; at most `max`.
    pub(super) fn items(
        &self,
        rule: &ItemsRule,
        path: &Path,
        max: usize,
    ) -> Result<Vec<&'a RawValue>, Fault> {
        // The ordinary page is read in one go; what is wrong with another is found out by looking
        // again.
        if matches!(rule.of, ItemsOf::List | ItemsOf::Any)
            && let Some(elements) = path.elements(self.text, max)
        {
            return Ok(elements);
        }
        // A body without content, as a 204 has it.
        if self.text.is_empty() {
            return Ok(Vec::new());
        }
        let malformed = |problem: String| Fault::new(FailureKind::Malformed, problem);
        let Some(found) = path.find(self.text).map_err(|error| self.no_json(&error))? else {
            if rule.missing == Missing::Empty {
                return Ok(Vec::new());
            }
            let whole: &RawValue =
                serde_json::from_str(self.text).map_err(|error| self.no_json(&error))?;
            let has = match kind_of(self.text) {
                "an object" => format!("has {}", Fields::of(whole).names()),
                other => format!("is {other}"),
            };
            let help = match self.complaint() {
                Some(complaint) => {
                    format!(
                        "it says {}: `fail_when: {}` makes that a failure",
                        complaint.said, complaint.rule
                    )
                }
                None => format!(
                    "if a page without items has no such field, set `items: {{ path: {path}, \
                     missing: empty }}`"
                ),
            };
            return Err(malformed(format!(
                "items: the path `{path}` finds nothing: expected {}; the page {has}; {help}",
                rule.of.expected()
            )));
        };
        of(rule, found, max).ok_or_else(|| {
            let (kind, expected) = (kind_of(found.get()), rule.of.expected());
            if kind == "an array" && !matches!(rule.of, ItemsOf::Values | ItemsOf::One) {
                let problem = format!("the page has more than {max} items (`limits.page_items`)");
                return Fault::new(FailureKind::TooLarge, problem);
            }
            let hint = hint(kind, found, path);
            malformed(format!("items: the path `{path}` is {kind}: expected {expected}{hint}"))
        })
    }

    fn no_json(&self, error: &serde_json::Error) -> Fault {
        let kind = content_type(self.headers);
        let kind = if kind.is_empty() { "no content type" } else { &kind };
        if self.text.starts_with('<') {
            let said = title(self.text).map(|title| format!(" titled `{title}`"));
            let said = said.unwrap_or_default();
            let problem = format!("answered a page of HTML or XML ({kind}){said}: expected JSON");
            return Fault::new(FailureKind::Malformed, problem);
        }
        let problem = format!("the body is no JSON ({kind}): {error}, near `{}`", self.near(error));
        Fault::new(FailureKind::Malformed, problem)
    }

    /// Ten characters on both sides of where reading failed.
    fn near(&self, error: &serde_json::Error) -> String {
        let before: usize = self
            .text
            .split_inclusive('\n')
            .take(error.line().saturating_sub(1))
            .map(str::len)
            .sum();
        let mut at = (before + error.column().saturating_sub(1)).min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        let (left, right) = self.text.split_at(at);
        let left: Vec<char> = left.chars().rev().take(10).collect();
        let around: String = left.into_iter().rev().chain(right.chars().take(11)).collect();
        excerpt(around.as_bytes(), 200)
    }

    /// The value at `path` as a token, `headers.NAME` being a header.
    pub(super) fn token(&self, path: &str) -> Token {
        if let Some(name) = path.strip_prefix("headers.") {
            let text = self.headers.get(name).map(lossy).unwrap_or_default();
            return if text.is_empty() { Token::None } else { Token::Value(text) };
        }
        let Ok(Some(found)) = Path::new(path).find(self.text) else { return Token::None };
        let text = found.get();
        match text.as_bytes()[0] {
            _ if matches!(text, "null" | "false" | "\"\"") || is_blank(text) => Token::None,
            b'"' | b'0'..=b'9' | b'-' => match scalar(found) {
                Some(value) => Token::Value(value.into_owned()),
                None => Token::None,
            },
            b'{' => {
                let fields = Fields::of(found);
                let href = ["href", "url", "uri"].iter().find_map(|name| fields.text(name));
                href.filter(|href| !href.is_empty()).map_or_else(
                    || {
                        let has = fields.names();
                        Token::Broken(format!("`{path}` is an object without `href`; it has {has}"))
                    },
                    Token::Value,
                )
            }
            _ => Token::Broken(format!(
                "`{path}` is {} ({}): expected a text or number",
                kind_of(text),
                shown(text)
            )),
        }
    }

    /// Whether there is nothing, as in a 204.
    pub(super) fn is_bare(&self) -> bool {
        self.text.is_empty()
    }

    /// Whether the value at `path` is `expected`.
    pub(super) fn is(&self, path: &str, expected: &serde_json::Value) -> bool {
        if let Some(name) = path.strip_prefix("headers.") {
            let text = expected.as_str().map_or_else(|| expected.to_string(), str::to_owned);
            return self.headers.get(name).map(lossy) == Some(text);
        }
        let found = Path::new(path).find(self.text).ok().flatten();
        found.and_then(|value| serde_json::from_str::<serde_json::Value>(value.get()).ok()).as_ref()
            == Some(expected)
    }

    /// What the `Link` headers say of the page with this relation.
    pub(super) fn link(&self, rel: &str) -> Carried {
        let mut unread = None;
        for header in self.headers.get_all(header::LINK).iter().map(lossy) {
            let links = Links::read(&header);
            if let Some(link) = links.find(rel) {
                return Carried::Link(link.target.to_owned());
            }
            unread = unread.or_else(|| links.unread.map(shown));
        }
        match unread {
            None if self.names(rel) => Carried::Ended(format!(
                "no `Link` header has `rel=\"{rel}\"`, but one has the word `{rel}`: it was taken \
                 for the end of the list"
            )),
            None => Carried::End("no_token"),
            Some(unread) if unread.to_ascii_lowercase().contains(&rel.to_ascii_lowercase()) => {
                Carried::Broken(format!("the `Link` header cannot be read at `{unread}`"))
            }
            Some(unread) => {
                Carried::Ended(format!("the `Link` header cannot be read at `{unread}`"))
            }
        }
    }

    /// Whether a `Link` header has this word outside of its targets.
    fn names(&self, rel: &str) -> bool {
        let has = |text: &str| {
            let outside =
                text.split('<').map(|part| part.split_once('>').map_or(part, |(_, it)| it));
            outside
                .flat_map(|part| part.split(|c: char| !c.is_ascii_alphanumeric()))
                .any(|word| word.eq_ignore_ascii_case(rel))
        };
        self.headers.get_all(header::LINK).iter().map(lossy).any(|text| has(&text))
    }

    /// Whether the link that `stop` names says that the list ends.
    pub(super) fn link_stops(&self, stop: &LinkStop) -> bool {
        self.headers.get_all(header::LINK).iter().map(lossy).any(|header| {
            let links = Links::read(&header);
            links.find(&stop.rel).and_then(|link| link.parameter(&stop.param)) == Some(&stop.is)
        })
    }

    /// What a page without items says is wrong.
    pub(super) fn complaint(&self) -> Option<Complaint> {
        let whole: &RawValue = serde_json::from_str(self.text).ok()?;
        let fields = Fields::of(whole);
        COMPLAINTS.iter().find_map(|name| {
            let value = fields.raw_field(name)?.get();
            let wrong = match *name {
                "ok" | "success" => value == "false",
                "message" => value.starts_with('"') && value != "\"\"",
                _ => !matches!(value, "null" | "false" | "\"\"" | "0") && !is_blank(value),
            };
            let is_flag = matches!(*name, "ok" | "success");
            wrong.then(|| Complaint {
                said: format!("`{name}`: {}", shown(value)),
                rule: format!("page.{name}{}", if is_flag { " == false" } else { "" }),
            })
        })
    }

    /// The fields of an object page but the one that holds the items: name and value, cut.
    pub(super) fn others(&self, items: &Path) -> Vec<(String, String)> {
        let Ok(whole) = serde_json::from_str::<&RawValue>(self.text) else { return Vec::new() };
        let held = items.segments().first();
        let fields = Fields::of(whole).into_all();
        let others =
            fields.into_iter().filter(|(name, _)| Some(&**name) != held.map(String::as_str));
        others.map(|(name, value)| (name.into_owned(), shown(value.get()))).take(50).collect()
    }
}

/// A field of a page that says that something is wrong.
pub(super) struct Complaint {
    /// The field and its value, for a person.
    pub(super) said: String,
    /// The expression that makes a failure of such pages.
    pub(super) rule: String,
}

/// The items in what was found; `None` when it is of another form.
fn of<'a>(rule: &ItemsRule, found: &'a RawValue, max: usize) -> Option<Vec<&'a RawValue>> {
    let text = found.get();
    let empty = rule.missing == Missing::Empty || rule.of != ItemsOf::List;
    match (kind_of(text), rule.of) {
        ("null", _) => Some(Vec::new()),
        _ if empty && (text == "\"\"" || text == "false" || is_blank(text)) => Some(Vec::new()),
        ("an array", ItemsOf::List | ItemsOf::Any) => array(text, max).ok(),
        ("an object", ItemsOf::Values) => {
            let fields = Fields::of(found).into_all();
            (fields.len() <= max).then(|| fields.into_iter().map(|(_, value)| value).collect())
        }
        ("an object", ItemsOf::One | ItemsOf::Any) => Some(vec![found]),
        _ => None,
    }
}

/// The setting that would fit what was found.
fn hint(kind: &str, found: &RawValue, path: &Path) -> String {
    let form = match kind {
        "an object" => {
            let values = Fields::of(found).into_all();
            let all_objects = values.iter().all(|(_, value)| value.get().starts_with('{'));
            if all_objects && values.len() > 1 { "of: values" } else { "of: one" }
        }
        "an array" => "of: list",
        _ => "missing: empty",
    };
    format!("; `items: {{ path: \"{path}\", {form} }}` would read it")
}

/// Whether a list or object has nothing in it.
fn is_blank(json: &str) -> bool {
    let inside = json.strip_prefix(['{', '[']).and_then(|rest| rest.strip_suffix(['}', ']']));
    inside.is_some_and(|inside| inside.trim().is_empty())
}

/// The text between a page's title tags.
fn title(html: &str) -> Option<String> {
    let small = html.get(..html.len().min(8_192)).unwrap_or(html).to_ascii_lowercase();
    let start = small.find("<title")?;
    let start = start + small[start..].find('>')? + 1;
    let end = start + small[start..].find("</title")?;
    let title = html.get(start..end)?.split_whitespace().collect::<Vec<_>>().join(" ");
    (!title.is_empty()).then(|| title.chars().take(SHOWN_CHARS).collect())
}

/// A value for a person.
fn shown(text: &str) -> String {
    excerpt(text.as_bytes(), SHOWN_CHARS)
}

/// The media type of an answer, without parameters, in small letters.
pub(super) fn content_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).map(lossy).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

#[cfg(test)]
mod tests;
