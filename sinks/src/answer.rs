//! What came back, read within bounds.

use std::io::{self, ErrorKind};

use bytes::{Bytes, BytesMut};
use http::{Request, response::Parts};
use http_body::Body;
use http_body_util::BodyExt as _;
use serde::Deserialize;
use tower::ServiceExt as _;

use crate::{Answer, Cut, Network, RetryAfter, SilentKind};

/// At most so much of an answer is read; the status stands, the rest is not waited for.
pub(crate) const READ_MAX_BYTES: usize = 64 << 10;
/// So much of an answer is kept.
pub(crate) const KEPT_BYTES: usize = 1 << 10;

/// Sends a request; gives what was said first, and the beginning of the body.
pub(crate) async fn ask(
    network: Network,
    request: Request<Bytes>,
    keep_bytes: usize,
) -> io::Result<(Parts, Bytes)> {
    let (head, body) = network.oneshot(request).await?.into_parts();
    Ok((head, start_of(body, keep_bytes).await?))
}

/// Reads the body to its end, or to [`READ_MAX_BYTES`] of it.
async fn start_of<B>(mut body: B, keep_bytes: usize) -> io::Result<Bytes>
where
    B: Body<Data = Bytes, Error = io::Error> + Unpin,
{
    let mut kept = BytesMut::new();
    let mut read_bytes = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let room = keep_bytes - kept.len();
        kept.extend_from_slice(&data[..data.len().min(room)]);
        read_bytes += data.len();
        if read_bytes >= READ_MAX_BYTES {
            break;
        }
    }
    Ok(kept.freeze())
}

/// What an answer says.
pub(crate) fn read(head: &Parts, body: Bytes, is_batch: bool) -> Answer {
    let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
    let may_say = is_batch && head.status.is_success();
    Answer {
        status: head.status.as_u16(),
        retry_after: text("retry-after").and_then(retry_after),
        never_retry: text("milkrun-retry").is_some_and(|v| v.trim().eq_ignore_ascii_case("no")),
        accepted_up_to: if may_say { accepted_up_to(&body) } else { None },
        body,
        note: note(head),
    }
}

/// Whether nothing but the status is known of an answer.
pub(crate) fn is_cut(head: &Parts) -> bool {
    head.extensions.get::<Cut>().is_some()
}

/// What a person needs who wonders about an answer: where a redirect leads, which is not followed,
/// and what is wanted in the place of a media type or an encoding that is not (RFC 9110, 15.5.16).
pub(crate) fn note(head: &Parts) -> Option<String> {
    if let Some(Cut(why)) = head.extensions.get() {
        return Some((*why).to_owned());
    }
    let names: &[&str] = match head.status.as_u16() {
        300..=399 => &["location"],
        415 => &["accept-post", "accept", "accept-encoding"],
        _ => return None,
    };
    let said = names.iter().filter_map(|name| {
        let text = head.headers.get(*name)?.to_str().ok()?.trim();
        let text = if *name == "location" { masked(text) } else { text.to_owned() };
        Some(format!("{name}: {}", shortened(&text)))
    });
    let said: Vec<String> = said.collect();
    (!said.is_empty()).then(|| said.join("; "))
}

/// A reference without what may be secret in it: user, password, and the values behind `?` and `#`.
fn masked(reference: &str) -> String {
    let (path, rest) = match reference.find(['?', '#']) {
        Some(at) => (&reference[..at], &reference[at..=at]),
        None => (reference, ""),
    };
    let authority = path.find("//").map_or(0, |at| at + 2);
    let end = path[authority..].find('/').map_or(path.len(), |at| authority + at);
    let hidden = if rest.is_empty() { "" } else { "…" };
    match path[..end].rfind('@') {
        Some(at) if authority > 0 && at >= authority => {
            format!("{}…{}{rest}{hidden}", &path[..authority], &path[at..])
        }
        _ => format!("{path}{rest}{hidden}"),
    }
}

/// At most so many bytes of a header are shown.
const NOTE_MAX_BYTES: usize = 512;

/// The beginning of a text.
fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(NOTE_MAX_BYTES)]
}

/// A body that was cut is no JSON, so it says nothing.
fn accepted_up_to(body: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Said {
        accepted_up_to: Option<u64>,
    }
    serde_json::from_slice::<Said>(body).ok()?.accepted_up_to
}

/// `Retry-After` as RFC 9110, 10.2.3 has it: seconds, or a date in any of its three forms. A
/// fraction, which some write, is rounded up.
fn retry_after(text: &str) -> Option<RetryAfter> {
    let text = text.trim();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if is_number(whole) && is_number(fraction) {
        // More than fits is a very long time. Some write 2.0, and 1.5 is not over after one second.
        let more = u64::from(fraction.bytes().any(|digit| digit != b'0'));
        let seconds = whole.parse::<u64>().unwrap_or(u64::MAX);
        return Some(RetryAfter::Seconds(seconds.saturating_add(more)));
    }
    let moment = httpdate::parse_http_date(text).ok()?;
    let since = moment.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Some(RetryAfter::At(i64::try_from(since.as_secs()).ok()?))
}

/// What an error of the network means.
pub(crate) fn kind_of(kind: ErrorKind) -> SilentKind {
    match kind {
        ErrorKind::PermissionDenied => SilentKind::Forbidden,
        ErrorKind::NetworkDown => SilentKind::Proxy,
        ErrorKind::ResourceBusy => SilentKind::Machine,
        ErrorKind::HostUnreachable => SilentKind::Dns,
        ErrorKind::ConnectionRefused => SilentKind::Refused,
        ErrorKind::ConnectionReset => SilentKind::Reset,
        ErrorKind::InvalidData => SilentKind::Tls,
        ErrorKind::TimedOut => SilentKind::Timeout,
        _ => SilentKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_has_seconds_and_three_dates() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(retry_after(text), Some(RetryAfter::At(784_111_777)), "{text}");
        }
        for (text, seconds) in [(" 7 ", 7), ("2.0", 2), ("1.5", 2), ("0.001", 1), ("0.0", 0)] {
            assert_eq!(retry_after(text), Some(RetryAfter::Seconds(seconds)), "{text}");
        }
        assert_eq!(retry_after("99999999999999999999999"), Some(RetryAfter::Seconds(u64::MAX)));
        for text in ["", "soon", "-1", "-1.5", "1.", ".5", "1.2.3", "+3"] {
            assert_eq!(retry_after(text), None, "{text}");
        }
    }

    #[test]
    fn an_answer_says_what_is_wanted_elsewhere() {
        let said = |status: u16, headers: &[(&str, &str)]| {
            let mut response = http::Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(*name, *value);
            }
            note(&response.body(()).unwrap().into_parts().0)
        };
        let location = |text: &str| said(308, &[("location", text)]);
        let shown = |text: &str| Some(format!("location: {text}"));
        assert_eq!(location("https://a.example/b/"), shown("https://a.example/b/"));
        assert_eq!(location("/b"), shown("/b"));
        assert_eq!(location("https://u:p@a.example/b?key=s#t"), shown("https://…@a.example/b?…"));
        assert_eq!(location("//u@a.example#secret"), shown("//…@a.example#…"));
        assert_eq!(location("/users/@me?x"), shown("/users/@me?…"));
        assert_eq!(location(&"x".repeat(9_999)), shown(&"x".repeat(NOTE_MAX_BYTES)));
        assert_eq!(said(301, &[]), None);
        assert_eq!(said(200, &[("location", "/b")]), None);
        let wanted = [("accept", "text/csv"), ("accept-post", "application/json")];
        assert_eq!(said(415, &wanted).unwrap(), "accept-post: application/json; accept: text/csv");
        assert_eq!(said(400, &wanted), None);
    }

    #[test]
    fn a_batch_is_accepted_up_to_what_a_success_says() {
        let said = |status: u16, body: &'static [u8], is_batch| {
            let response = http::Response::builder().status(status).body(()).unwrap();
            read(&response.into_parts().0, Bytes::from_static(body), is_batch).accepted_up_to
        };
        assert_eq!(said(200, br#"{"accepted_up_to": 17, "more": [1]}"#, true), Some(17));
        assert_eq!(said(202, br#" {"accepted_up_to":0}"#, true), Some(0));
        assert_eq!(said(200, br#"{"accepted_up_to": 17}"#, false), None);
        assert_eq!(said(500, br#"{"accepted_up_to": 17}"#, true), None);
        for body in [
            &b""[..],
            b"ok",
            b"17",
            b"{}",
            br#"{"accepted_up_to": null}"#,
            br#"{"accepted_up_to": "17"}"#,
            br#"{"accepted_up_to": -1}"#,
            br#"{"accepted_up_to": 1.5}"#,
            br#"{"accepted_up_to": 17"#,
            br#"[{"accepted_up_to": 17}]"#,
        ] {
            assert_eq!(said(200, body, true), None, "{}", String::from_utf8_lossy(body));
        }
    }
}
