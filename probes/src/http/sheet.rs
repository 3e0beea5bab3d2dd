//! The answer to one request as it is read: its text, its headers, its items.

use http::{HeaderMap, header};
use jiff::Timestamp;
use serde_json::value::RawValue;
use url::Url;

use super::{
    fetch::{Answer, Fault},
    request::lossy,
    spec::Limits,
};
use crate::{
    FailureKind, Pace,
    extract::{Fields, Path, array, deeper_than, kind_of, scalar},
};

/// A page that is JSON.
pub(super) struct Sheet<'a> {
    pub(super) url: &'a Url,
    pub(super) headers: &'a HeaderMap,
    pub(super) text: &'a str,
}

impl<'a> Sheet<'a> {
    /// Checks that the answer is text within the limits; [`Sheet::items`] reads all of it, and so
    /// tells whether it is JSON.
    pub(super) fn read(url: &'a Url, answer: &'a Answer, limits: &Limits) -> Result<Self, Fault> {
        let kind = content_type(&answer.headers);
        let malformed = |problem: String| (FailureKind::Malformed, problem);
        if kind.contains("html") && !answer.body.is_empty() {
            return Err(malformed(format!("answered `{kind}`: expected JSON")));
        }
        let body: &[u8] = &answer.body;
        let text = std::str::from_utf8(body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body))
            .map_err(|error| {
                let at = error.valid_up_to();
                malformed(format!("the body is no valid UTF-8 at byte {at}: expected JSON"))
            })?
            .trim_matches([' ', '\t', '\n', '\r']);
        if deeper_than(text.as_bytes(), limits.depth_max) {
            let max = limits.depth_max;
            return Err(malformed(format!("the JSON is nested deeper than {max}")));
        }
        Ok(Self { url, headers: &answer.headers, text })
    }

    /// The items at `path`; null is none, and so is a body without content, as a 204 has it.
    pub(super) fn items(&self, path: &Path, max: usize) -> Result<Vec<&'a RawValue>, Fault> {
        // What is wrong is found out by looking again.
        if let Some(elements) = path.elements(self.text, max) {
            return Ok(elements);
        }
        if self.text.is_empty() {
            return Ok(Vec::new());
        }
        let malformed = |problem: String| (FailureKind::Malformed, problem);
        let no_json = |error: serde_json::Error| {
            let kind = content_type(self.headers);
            let kind = if kind.is_empty() { "no content type" } else { &kind };
            malformed(format!("the body is no JSON ({kind}): {error}"))
        };
        let Some(found) = path.find(self.text).map_err(no_json)? else {
            let whole = serde_json::from_str(self.text).map_err(no_json)?;
            let has = match kind_of(self.text) {
                "an object" => format!("has {}", Fields::of(whole).names()),
                other => format!("is {other}"),
            };
            return Err(malformed(format!(
                "items: the path `{path}` finds nothing: expected an array; the page {has}"
            )));
        };
        match kind_of(found.get()) {
            "null" => Ok(Vec::new()),
            "an array" => array(found.get(), max).map_err(|_| {
                (FailureKind::TooLarge, format!("the page has more than {max} items"))
            }),
            other => {
                Err(malformed(format!("items: the path `{path}` is {other}: expected an array")))
            }
        }
    }

    /// The value at `path`, `headers.NAME` being a header; `None` for what is missing, null,
    /// `false` or empty.
    pub(super) fn token(&self, path: &str) -> Option<String> {
        let found = match path.strip_prefix("headers.") {
            Some(name) => self.headers.get(name).map(lossy),
            None => Path::new(path).find(self.text).ok()?.and_then(scalar).map(Into::into),
        };
        found.filter(|value| !value.is_empty() && value != "false")
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

    /// The `Link` headers, as if they were one.
    pub(super) fn links(&self) -> String {
        let links: Vec<String> = self.headers.get_all(header::LINK).iter().map(lossy).collect();
        links.join(", ")
    }
}

/// The media type of an answer, without parameters, in small letters.
pub(super) fn content_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).map(lossy).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// What the producer said about being asked.
pub(super) fn pace(headers: &HeaderMap, now: Timestamp) -> Pace {
    let text = |name: &str| headers.get(name).map(lossy);
    let number = |name: &str| count(&text(name)?);
    let now = u64::try_from(now.as_second()).unwrap_or(0);
    let retry_after = text("retry-after").and_then(|value| {
        count(&value).or_else(|| {
            // RFC 9110, section 10.2.3: a date in the form of RFC 5322.
            let moment = jiff::fmt::rfc2822::parse(&value).ok()?.timestamp().as_second();
            Some(u64::try_from(moment).unwrap_or(0).saturating_sub(now))
        })
    });
    let spent = |prefix: &str| {
        let remaining = number(&format!("{prefix}ratelimit-remaining"))?;
        let reset = number(&format!("{prefix}ratelimit-reset"))?;
        // Some give the moment, some the seconds; no reset is 30 years away.
        let seconds = if reset > 1_000_000_000 { reset.saturating_sub(now) } else { reset };
        (remaining == 0).then_some(seconds)
    };
    Pace {
        retry_after_s: retry_after.or_else(|| spent("x-")).or_else(|| spent("")),
        poll_interval_s: number("x-poll-interval"),
    }
}

/// A number of digits; one that is too large is the largest.
fn count(text: &str) -> Option<u64> {
    let digits = text.trim();
    let counts = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    counts.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn producers_say_when_to_come_back() {
        let now: Timestamp = "1994-11-06T08:49:07Z".parse().unwrap();
        for (name, value, after) in [
            ("retry-after", "120", Some(120)),
            ("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT", Some(30)),
            ("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("retry-after", "99999999999999999999999", Some(u64::MAX)),
            ("retry-after", "-1", None),
            ("retry-after", "", None),
            ("retry-after", "soon", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            assert_eq!(pace(&headers, now).retry_after_s, after, "{value}");
        }
        let mut headers = HeaderMap::new();
        headers.insert("x-ratelimit-remaining", "0".parse().unwrap());
        headers.insert("x-ratelimit-reset", "30".parse().unwrap());
        headers.insert("x-poll-interval", "60".parse().unwrap());
        let said = pace(&headers, now);
        assert_eq!((said.retry_after_s, said.poll_interval_s), (Some(30), Some(60)));
    }
}
