//! What a producer's headers say about being asked: when to come back, and how often.

use http::{HeaderMap, HeaderName};
use jiff::Timestamp;

use super::excerpt::lossy;
use crate::{
    Pace,
    moment::{Moment, Reading},
    number::Decimal,
};

/// A number from here on is no length of time but a moment in seconds since 1970: nobody asks to be
/// left alone for 30 years.
const MOMENT_S_MIN: u64 = 1_000_000_000;
/// From here on it is one in milliseconds.
const MOMENT_MS_MIN: u64 = 100_000_000_000;
/// From here on it is neither, but simply too large.
const MOMENT_MS_MAX: u64 = 100_000_000_000_000;

/// What comes before `remaining` and `reset`: GitHub and many others, Okta, the IETF's drafts up to
/// the sixth.
const PREFIXES: [&str; 3] = ["x-ratelimit-", "x-rate-limit-", "ratelimit-"];

/// What the producer said about being asked.
///
/// `Retry-After` (RFC 9110, section 10.2.3) counts before a quota; of several quotas that are spent,
/// the one that lasts the longest does.
pub(super) fn pace(headers: &HeaderMap, now: Timestamp) -> Pace {
    let texts = |name: &str| -> Vec<String> {
        let Ok(name) = name.parse::<HeaderName>() else { return Vec::new() };
        headers.get_all(name).iter().map(lossy).collect()
    };
    let asked = |name: &str| texts(name).iter().filter_map(|text| wait_s(text, now)).max();
    let spent = |prefix: &&str| {
        let is_spent = texts(&format!("{prefix}remaining")).iter().any(|text| is_none_left(text));
        let reset =
            || asked(&format!("{prefix}reset")).or_else(|| asked(&format!("{prefix}reset-after")));
        is_spent.then(reset).flatten()
    };
    let quotas = || {
        let named = PREFIXES.iter().filter_map(spent);
        named.chain(structured(&texts("ratelimit").join(", "), now)).max()
    };
    Pace {
        retry_after_s: asked("retry-after").or_else(quotas),
        poll_interval_s: asked("x-poll-interval"),
    }
}

/// The longest wait for a quota that is spent, by the IETF's `RateLimit`: `"default";r=0;t=30`, or
/// `limit=10, remaining=0, reset=30` as its seventh draft had it.
fn structured(text: &str, now: Timestamp) -> Option<u64> {
    let members = split(text, ',');
    let policies = members.iter().filter_map(|member| {
        let parameters = split(member, ';');
        is_none_left(value(&parameters, "r")?).then_some(value(&parameters, "t")?)
    });
    let all = value(&members, "remaining")
        .filter(|left| is_none_left(left))
        .and_then(|_| value(&members, "reset"));
    policies.chain(all).filter_map(|reset| wait_s(reset, now)).max()
}

/// What stands behind `name=` in one of the parts.
fn value<'a>(parts: &[&'a str], name: &str) -> Option<&'a str> {
    parts.iter().find_map(|part| {
        let (key, value) = part.split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

/// The parts between the separators that are not within quotes (RFC 9651, section 3.3.3).
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.split(move |letter: char| {
        if is_escaped {
            is_escaped = false;
            return false;
        }
        is_escaped = is_quoted && letter == '\\';
        is_quoted ^= letter == '"';
        letter == separator && !is_quoted
    })
    .collect()
}

fn is_none_left(text: &str) -> bool {
    Decimal::read(text.trim()).is_some_and(|left| left.ceiling() == 0)
}

/// How many seconds from `now`, rounded up: the text is that number, or a moment as a number, a
/// date of HTTP or RFC 3339.
fn wait_s(text: &str, now: Timestamp) -> Option<u64> {
    let text = text.trim();
    let since_1970 = || u64::try_from(now.as_second()).unwrap_or(0);
    let Some(number) = Decimal::read(text) else {
        let moment = Moment::read(text, &Reading::default()).ok()?;
        let nanos = (moment.nanos() - now.as_nanosecond()).max(0);
        return u64::try_from((nanos + 999_999_999) / 1_000_000_000).ok();
    };
    if text.starts_with('-') {
        return None;
    }
    Some(match number.ceiling() {
        moment @ MOMENT_S_MIN..MOMENT_MS_MIN => moment.saturating_sub(since_1970()),
        moment @ MOMENT_MS_MIN..MOMENT_MS_MAX => {
            moment.div_ceil(1_000).saturating_sub(since_1970())
        }
        seconds => seconds,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "1994-11-06T08:49:07Z";

    fn said(headers: &[(&'static str, &str)], now: &str) -> Pace {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        pace(&map, now.parse().unwrap())
    }

    #[test]
    fn producers_say_when_to_come_back() {
        for (value, after) in [
            ("120", Some(120)),
            ("2.0", Some(2)),
            ("1.01", Some(2)),
            ("0.2", Some(1)),
            ("0", Some(0)),
            (" 7 ", Some(7)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(30)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(30)),
            ("Sun Nov  6 08:49:37 1994", Some(30)),
            ("Sun, 06 Nov 1994 08:49:37 UTC", Some(30)),
            ("1994-11-06T08:49:37Z", Some(30)),
            ("1994-11-06T09:49:37.5+01:00", Some(31)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("1E400", Some(u64::MAX)),
            ("-1", None),
            ("-1.5", None),
            ("", None),
            ("soon", None),
            ("1994-11-06", None),
        ] {
            assert_eq!(said(&[("retry-after", value)], NOW).retry_after_s, after, "{value}");
        }
        let two = [("retry-after", "3"), ("retry-after", "5")];
        assert_eq!(said(&two, NOW).retry_after_s, Some(5));
        assert_eq!(said(&[("x-poll-interval", "60")], NOW).poll_interval_s, Some(60));
    }

    #[test]
    fn a_quota_that_is_spent_says_when_it_is_renewed() {
        const NOW: &str = "2026-03-01T12:00:00Z";
        for (remaining, reset, after) in [
            ("0", "30", Some(30)),
            ("0", "1772366430", Some(30)),
            ("0", "1772366430.25", Some(31)),
            ("0", "1772366430000", Some(30)),
            ("0", "1772366430001", Some(31)),
            ("0", "2026-03-01T12:00:30Z", Some(30)),
            ("0", "Sun, 01 Mar 2026 12:00:30 GMT", Some(30)),
            ("0", "1772366000", Some(0)),
            ("0.0", "30", Some(30)),
            ("-1", "30", Some(30)),
            ("1", "30", None),
            ("none", "30", None),
            ("0", "soon", None),
        ] {
            let names = [
                ("x-ratelimit-remaining", "x-ratelimit-reset"),
                ("x-rate-limit-remaining", "x-rate-limit-reset"),
                ("ratelimit-remaining", "ratelimit-reset"),
                ("x-ratelimit-remaining", "x-ratelimit-reset-after"),
            ];
            for (left, renewed) in names {
                let got = said(&[(left, remaining), (renewed, reset)], NOW).retry_after_s;
                assert_eq!(got, after, "{left}: {remaining}, {renewed}: {reset}");
            }
        }
        let mut all = vec![
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", "30"),
            ("ratelimit-remaining", "0"),
            ("ratelimit-reset", "40"),
        ];
        assert_eq!(said(&all, NOW).retry_after_s, Some(40));
        all.push(("retry-after", "2"));
        assert_eq!(said(&all, NOW).retry_after_s, Some(2));
    }

    #[test]
    fn the_structured_header_is_known() {
        for (value, after) in [
            (r#""default";r=0;t=30"#, Some(30)),
            (r#""default"; r=0; t=30"#, Some(30)),
            (r#""default";r=1;t=30"#, None),
            (r#""burst";r=0;t=5, "daily";r=0;t=3600"#, Some(3600)),
            (r#""burst";r=0;t=5,"daily";r=9;t=3600"#, Some(5)),
            (r#""a,b;r=7;\"c";r=0;t=30"#, Some(30)),
            (r#""default";r=0;pk=:Zm9v:;t=30"#, Some(30)),
            (r#""default";r=0"#, None),
            (r#""default";t=30"#, None),
            ("limit=100, remaining=0, reset=50", Some(50)),
            ("limit=100, remaining=3, reset=50", None),
            ("", None),
            ("\"unclosed;r=0;t=3", None),
        ] {
            assert_eq!(said(&[("ratelimit", value)], NOW).retry_after_s, after, "{value}");
        }
        let two = [("ratelimit", "\"a\";r=0;t=5"), ("ratelimit", "\"b\";r=0;t=9")];
        assert_eq!(said(&two, NOW).retry_after_s, Some(9));
    }
}
