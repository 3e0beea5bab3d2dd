//! Secrets of a request, hidden in what comes back: an endpoint may repeat what it was sent, and its
//! answer is kept and shown.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, response::Parts};

/// The shortest secret that is looked for: a shorter one would hide ordinary words.
const SECRET_BYTES_MIN: usize = 4;

/// The secrets of a request, the longest first: one may be the beginning of another.
pub(crate) struct Secrets(Vec<Vec<u8>>);

impl Secrets {
    /// What the headers that are marked as sensitive hold.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let sensitive = headers.values().filter(|value| value.is_sensitive());
        let mut all: Vec<Vec<u8>> = sensitive.flat_map(shapes).collect();
        all.retain(|secret| secret.len() >= SECRET_BYTES_MIN);
        all.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        all.dedup();
        Self(all)
    }

    /// The answer with `***` in the place of each.
    pub(crate) fn hide(&self, mut head: Parts, body: Bytes) -> (Parts, Bytes) {
        for value in head.headers.values_mut() {
            if let Some(hidden) = self.hidden(value.as_bytes()) {
                // Nothing but visible bytes took the place of others.
                *value =
                    HeaderValue::from_bytes(&hidden).unwrap_or(HeaderValue::from_static("***"));
            }
        }
        let body = self.hidden(&body).map_or(body, Bytes::from);
        (head, body)
    }

    fn hidden(&self, text: &[u8]) -> Option<Vec<u8>> {
        let mut changed = None;
        for secret in &self.0 {
            let text = changed.as_deref().unwrap_or(text);
            if let Some(hidden) = without(text, secret) {
                changed = Some(hidden);
            }
        }
        changed
    }
}

/// A value, and what it is made of: `Bearer x` may come back as `x`, and `Basic` as the password.
fn shapes(value: &HeaderValue) -> Vec<Vec<u8>> {
    let whole = value.as_bytes();
    let last = whole.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    let mut shapes = vec![whole.to_vec(), last.to_vec()];
    if whole.starts_with(b"Basic ")
        && let Ok(pair) = BASE64_STANDARD.decode(last)
        && let Some(at) = pair.iter().position(|byte| *byte == b':')
    {
        shapes.push(pair[at + 1..].to_vec());
    }
    shapes
}

/// The text without the secret and without a beginning of it at the end, where the answer was cut;
/// `None`: neither is in it.
fn without(text: &[u8], secret: &[u8]) -> Option<Vec<u8>> {
    let mut kept = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.windows(secret.len()).position(|bytes| bytes == secret) {
        kept.extend_from_slice(&rest[..at]);
        kept.extend_from_slice(b"***");
        rest = &rest[at + secret.len()..];
    }
    let cut = (SECRET_BYTES_MIN..secret.len()).rev().find(|len| rest.ends_with(&secret[..*len]));
    if cut.is_none() && rest.len() == text.len() {
        return None;
    }
    kept.extend_from_slice(&rest[..rest.len() - cut.unwrap_or(0)]);
    if cut.is_some() {
        kept.extend_from_slice(b"***");
    }
    Some(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sensitive_is_hidden_in_every_shape() {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("a", "Bearer token-1"), ("b", "Basic bWU6cGFzc3dvcmQ="), ("c", "abc")]
        {
            let mut value = HeaderValue::from_static(value);
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        headers.insert("d", HeaderValue::from_static("public"));
        let secrets = Secrets::of(&headers);
        for (said, shown) in [
            ("Bearer token-1", "***"),
            ("got token-1, token-1.", "got ***, ***."),
            ("me and password", "me and ***"),
            ("bWU6cGFzc3dvcmQ=", "***"),
            ("cut at token", "cut at ***"),
            ("abc public tok", "abc public tok"),
        ] {
            let mut head = http::Response::new(()).into_parts().0;
            head.headers.insert("location", HeaderValue::from_static(said));
            let (head, body) = secrets.hide(head, Bytes::from_static(said.as_bytes()));
            assert_eq!(
                (head.headers["location"].as_bytes(), &body[..]),
                (shown.as_bytes(), shown.as_bytes())
            );
        }
    }
}
