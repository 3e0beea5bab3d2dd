//! How large the head of an answer may be.

use std::io::Error;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};

use super::Body;

/// The bounds of an answer's head, which is held until the answer is over.
#[derive(Debug)]
pub(super) struct Bounds {
    /// The most header fields: each costs some 100 bytes, however short it is.
    pub(super) fields: usize,
    /// The most bytes. What they are read into may be twice as large.
    pub(super) bytes: usize,
    /// What is said of more; a test holds that the numbers are those above.
    pub(super) exceeded: &'static str,
}

/// Of producers: few are asked at once, and some set a cookie for each of 150 things.
pub(super) const PRODUCERS: Bounds = Bounds {
    fields: 1_000,
    bytes: 256 << 10,
    exceeded: "the answer's head has more than 1,000 fields or 262,144 bytes",
};

/// Of webhooks: thousands may answer at once, and none has that much to say. nginx takes 8 KiB from
/// what is behind it, Node 16 KiB, `HAProxy` 16 KiB and 101 fields.
pub(super) const WEBHOOKS: Bounds = Bounds {
    fields: 250,
    bytes: 32 << 10,
    exceeded: "the answer's head has more than 250 fields or 32,768 bytes",
};

/// An answer's head is larger than the bounds; [`Bounds::explain`] says which.
#[derive(Debug, thiserror::Error)]
#[error("the answer's head is too large")]
pub(super) struct TooLarge;

/// An answer by HTTP/2 cannot be read: that its head is much larger than the bounds is one reason.
#[derive(Debug, thiserror::Error)]
#[error("the answer is not HTTP/2: {0}")]
pub(super) struct Unreadable(pub(super) String);

impl Bounds {
    /// Whether a head that was read is within the bounds. HTTP/2 has none for the fields, and what
    /// came in one piece may be larger.
    pub(super) fn hold(&self, head: &HeaderMap) -> bool {
        // As a line of HTTP/1.1 has them, with `: ` and its end.
        let lines = head.iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
        head.len() <= self.fields && lines.sum::<usize>() <= self.bytes
    }

    /// The most bytes of a list of fields as HTTP/2 counts them, with 32 more for each.
    pub(super) fn list_bytes(&self) -> u32 {
        u32::try_from(2 * self.bytes).unwrap_or(u32::MAX)
    }

    /// An error that names the bounds, if it is about them.
    pub(super) fn explain(&self, error: Error) -> Error {
        match error.get_ref() {
            Some(inner) if inner.is::<TooLarge>() => Error::other(self.exceeded),
            Some(inner) if inner.is::<Unreadable>() => {
                Error::other(format!("{inner}; or {}", self.exceeded))
            }
            _ => error,
        }
    }

    /// An answer of which only the status is known, for its head is too large: the event was
    /// answered, and need not be sent again to learn that.
    pub(super) fn cut(&self, status: StatusCode) -> Response<Body> {
        let body = Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync();
        let mut response = Response::new(body);
        *response.status_mut() = status;
        response.extensions_mut().insert(sinks::Cut(self.exceeded));
        response
    }
}

pub(super) fn is_too_large(error: &Error) -> bool {
    matches!(error.get_ref(), Some(inner) if inner.is::<TooLarge>())
}
