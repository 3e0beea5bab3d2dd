//! What is wrong with a signed request, part by part.

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Serialize;
use sinks::sign::{Secret, is_of_pair, signature};

use super::{request::Signed, spacing::Spacing};

/// One part that is wrong.
#[derive(Debug, Serialize)]
pub(super) struct Wrong {
    /// Which: `id`, `timestamp`, `signature`, `secret` or `body`.
    pub(super) part: &'static str,
    pub(super) told: String,
}

fn wrong(part: &'static str, told: impl Into<String>) -> Wrong {
    Wrong { part, told: told.into() }
}

/// What a receiver has to verify with.
enum Key {
    Own(Box<Secret>),
    Public(String),
}

impl Key {
    fn read(text: &str) -> Result<Self, String> {
        if text.starts_with(Secret::PUBLIC_PREFIX) {
            is_of_pair(text, "", "", 0, b"").map_err(|error| error.to_string())?;
            return Ok(Self::Public(text.to_owned()));
        }
        let secret = text.parse().map(Box::new).map(Self::Own);
        secret.map_err(|error: sinks::sign::SecretError| error.to_string())
    }

    /// What its signatures begin with.
    fn prefix(&self) -> &'static str {
        match self {
            Self::Own(secret) if secret.public().is_none() => "v1,",
            Self::Own(_) | Self::Public(_) => "v1a,",
        }
    }

    fn signed(&self, given: &str, id: &str, timestamp: i64, body: &[u8]) -> bool {
        match self {
            Self::Own(secret) => {
                let made = signature(&[Secret::clone(secret)], id, timestamp, body);
                given.split(' ').any(|one| one == made)
            }
            Self::Public(key) => {
                let is_made = |one| is_of_pair(key, one, id, timestamp, body) == Ok(true);
                given.split(' ').any(is_made)
            }
        }
    }
}

/// Everything that is wrong; nothing: it is good. `now` is in seconds since 1970.
pub(super) fn judge(secret: &str, request: &Signed, now: i64, tolerance: Duration) -> Vec<Wrong> {
    let mut found = Vec::new();
    if secret != secret.trim() {
        found.push(wrong(
            "secret",
            "it has blanks or line breaks at its ends: libraries that take them along make another key",
        ));
    }
    let text = secret.trim();
    let id = given("id", request.id.as_deref(), &mut found);
    let timestamp = given("timestamp", request.timestamp.as_deref(), &mut found);
    let signature = given("signature", request.signature.as_deref(), &mut found);
    let timestamp = timestamp.and_then(|text| time(text, now, tolerance, &mut found));
    let key = Key::read(text).map_err(|why| found.push(wrong("secret", why))).ok();
    if let (Some(key), Some(signature)) = (&key, signature) {
        if let Some(told) = prefix(key, signature) {
            found.push(wrong("signature", told));
        } else if let (Some(id), Some(timestamp)) = (id, timestamp) {
            let fits = |key: &Key, body: &[u8]| key.signed(signature, id, timestamp, body);
            found.extend(unlike(key, text, &request.body, &fits));
        }
    }
    found
}

fn given<'a>(
    part: &'static str,
    value: Option<&'a str>,
    found: &mut Vec<Wrong>,
) -> Option<&'a str> {
    let value = value.map(str::trim).filter(|value| !value.is_empty());
    if value.is_none() {
        found.push(wrong(part, format!("the header `webhook-{part}` is missing")));
    }
    value
}

fn time(text: &str, now: i64, tolerance: Duration, found: &mut Vec<Wrong>) -> Option<i64> {
    let Ok(at) = text.parse::<i64>() else {
        found.push(wrong("timestamp", "expected whole seconds since 1970, as 1767225600"));
        return None;
    };
    let (away, most) = (now.saturating_sub(at), tolerance.as_secs());
    if away.unsigned_abs() > most {
        let which = if away > 0 { "too old" } else { "too new" };
        found.push(wrong(
            "timestamp",
            format!(
                "{which}: it is {} s {} the clock of this machine, and {most} s are allowed \
                 (--tolerance): was it sent just now, and are both clocks right?",
                away.unsigned_abs(),
                if away > 0 { "behind" } else { "ahead of" }
            ),
        ));
    }
    Some(at)
}

/// Why no signature in the header can be one of this key.
fn prefix(key: &Key, signature: &str) -> Option<String> {
    let has = |prefix: &str| signature.split(' ').any(|one| one.starts_with(prefix));
    let expected = key.prefix();
    if has(expected) {
        return None;
    }
    let other = if expected == "v1," { "v1a," } else { "v1," };
    Some(if has(other) {
        let kind =
            if other == "v1a," { "a key pair (whsk_, whpk_)" } else { "a shared secret (whsec_)" };
        format!(
            "it begins with `{other}`, which is made with {kind}: this secret is of the other kind"
        )
    } else {
        format!(
            "it has the wrong prefix: expected `{expected}` and base64, several separated by blanks"
        )
    })
}

/// What else was signed, or with what else, when this key and body do not fit.
fn unlike(key: &Key, text: &str, body: &[u8], fits: &dyn Fn(&Key, &[u8]) -> bool) -> Option<Wrong> {
    if fits(key, body) {
        return None;
    }
    let changed = |how: String| {
        wrong(
            "body",
            format!(
                "it was changed after it was signed: what was signed is {how}; verify the bytes as they came, before anything reads them"
            ),
        )
    };
    for how in Spacing::ALL {
        if fits(key, &how.write(body)) {
            return Some(changed(format!("the same as {}", how.told())));
        }
    }
    let ends: [(&str, Vec<u8>); 3] = [
        ("without the line break at its end", body.trim_ascii_end().to_vec()),
        ("with a line break at its end", [body, b"\n"].concat()),
        (
            "without a mark of byte order",
            body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).to_vec(),
        ),
    ];
    for (how, body) in ends {
        if fits(key, &body) {
            return Some(changed(format!("the same {how}")));
        }
    }
    // Who forgets to decode the secret takes its text as the key.
    let bare = text.strip_prefix(Secret::PREFIX).unwrap_or(text);
    for undecoded in [text, bare] {
        let taken = BASE64_STANDARD.encode(undecoded).parse().map(Box::new).map(Key::Own);
        if taken.is_ok_and(|key| fits(&key, body)) {
            let told = "the sender took its text as the key: what is behind `whsec_` is base64, and decoded first";
            return Some(wrong("secret", told));
        }
    }
    Some(wrong(
        "signature",
        "it was made with another secret, or the id, the timestamp or the body was changed: compare the \
         secret with the one of the subscription, and take the body as it came",
    ))
}

#[cfg(test)]
mod tests;
