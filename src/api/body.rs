//! Request bodies and path segments: bounded, and refused by name.

use std::time::Duration;

use axum::{
    body::Body,
    extract::{FromRequest, FromRequestParts, Request},
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header, request::Parts};
use http_body::Body as _;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::{Deserialize, de::DeserializeOwned};
use utoipa::ToSchema;

use super::{
    budget::{Ledger, SMALL_BODY_BYTES},
    problem::Problem,
    query::{cut, suggestion},
    strict::Strict,
};
use crate::wire;

/// The longest a client may take to send a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest between two pieces of it, while there is little room for the bodies of others.
const PIECE_TIMEOUT: Duration = Duration::from_secs(5);
/// The largest body but that of a publish.
const JSON_BYTES_MAX: usize = 1 << 20;

/// What is said of a reference where a text is expected.
pub(super) const REFERENCES: &str =
    "references as `{ env: }` and `{ file: }` work in the configuration file only";

/// A JSON body. An empty body is `{}`.
pub(super) struct JsonBody<T>(pub T);

/// The body of a write that has nothing to say: it still names its type.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        if let Some(given) = request.headers().get(header::CONTENT_TYPE)
            && !wire::is_json(given.to_str().unwrap_or_default())
        {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "expected `Content-Type: application/json`",
            ));
        }
        let bytes = read(request, JSON_BYTES_MAX).await?;
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        from_json(text).map(Self)
    }
}

/// How long the head says that the body is, or may be.
///
/// # Errors
/// 413 for a body that would be larger than `bytes_max`, and 415 for an encoded one (RFC 9110,
/// section 8.4), before any of it is waited for.
pub(super) fn announced(headers: &HeaderMap, bytes_max: usize) -> Result<usize, Problem> {
    for value in headers.get_all(header::CONTENT_ENCODING) {
        let encoding = value.to_str().unwrap_or("?").trim();
        if !encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity") {
            let detail = format!(
                "`Content-Encoding: {}`: a body is taken as it is; send it without an encoding",
                cut(encoding)
            );
            let code = "unsupported_media_type";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, code, detail));
        }
    }
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    let length = length.and_then(|length| length.parse().ok()).unwrap_or(bytes_max);
    if length > bytes_max { Err(too_large(bytes_max)) } else { Ok(length) }
}

fn too_large(bytes_max: usize) -> Problem {
    let detail = format!("the body is larger than {bytes_max} bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
}

/// Reads a body of at most `bytes_max`, which counts in the byte budget as it comes.
pub(super) async fn read(request: Request, bytes_max: usize) -> Result<Bytes, Problem> {
    announced(request.headers(), bytes_max)?;
    let ledger = request.extensions().get::<Ledger>().cloned();
    let body = Limited::new(request.into_body(), bytes_max);
    match tokio::time::timeout(BODY_TIMEOUT, receive(body, bytes_max, ledger)).await {
        Ok(read) => read,
        Err(_) => Err(late(format!("the body did not arrive within {} s", BODY_TIMEOUT.as_secs()))),
    }
}

async fn receive(
    mut body: Limited<Body>,
    bytes_max: usize,
    ledger: Option<Ledger>,
) -> Result<Bytes, Problem> {
    let length = body.size_hint().exact().and_then(|length| usize::try_from(length).ok());
    if let (Some(ledger), Some(length)) = (&ledger, length) {
        ledger.expect(length)?;
    }
    // Copied, for a piece of a byte may keep a buffer of kilobytes.
    let mut out = Vec::new();
    loop {
        let Ok(frame) = tokio::time::timeout(PIECE_TIMEOUT, body.frame()).await else {
            // Whoever is slow may be, while there is room.
            if ledger.as_ref().is_some_and(Ledger::is_tight) {
                let seconds = PIECE_TIMEOUT.as_secs();
                return Err(late(format!(
                    "there is little room, and nothing came for {seconds} s"
                )));
            }
            continue;
        };
        let frame = match frame {
            None => return Ok(out.into()),
            Some(Ok(frame)) => frame,
            Some(Err(error)) if error.is::<LengthLimitError>() => return Err(too_large(bytes_max)),
            Some(Err(_)) => return Err(Problem::malformed("the body broke off")),
        };
        if let Some(piece) = frame.data_ref() {
            if let Some(ledger) = &ledger {
                ledger.body(out.len() + piece.len())?;
            }
            out.extend_from_slice(piece);
            if out.len() > SMALL_BODY_BYTES && ledger.as_ref().is_some_and(Ledger::is_tight) {
                // Small ones come between the pieces of many large ones; a turn that ends is dear.
                tokio::task::yield_now().await;
            }
        }
    }
}

fn late(detail: String) -> Problem {
    Problem::new(StatusCode::REQUEST_TIMEOUT, "timeout", detail)
}

/// Reads JSON into a request type; the error names the field and the nearest valid name.
pub(super) fn from_json<T: DeserializeOwned>(text: &[u8]) -> Result<T, Problem> {
    // Only this tells fields that come twice. It takes another type than an enum's for broken JSON,
    // which a value does not.
    let mut reader = serde_json::Deserializer::from_slice(text);
    match serde_path_to_error::deserialize::<_, T>(&mut reader) {
        Err(error) if error.inner().is_data() => return Err(misfit(&error)),
        _ => {}
    }
    let value = serde_json::from_slice(text).map_err(|error| refusal("", &error))?;
    serde_path_to_error::deserialize(Strict(value)).map_err(|error| misfit(&error))
}

fn misfit(error: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
    let path = error.path().to_string();
    refusal(if path == "." { "" } else { &path }, error.inner())
}

fn refusal(path: &str, error: &serde_json::Error) -> Problem {
    let text = error.to_string();
    if !error.is_data() {
        return Problem::malformed(format!("the body is not JSON: {text}"));
    }
    let place = format!(" at line {} column {}", error.line(), error.column());
    let mut reason = text.strip_suffix(&place).unwrap_or(&text).to_owned();
    if let Some(rest) = reason.strip_prefix("unknown field `") {
        let given = rest.split('`').next().unwrap_or_default();
        // serde names the known fields between back quotes after the unknown one.
        let known: Vec<&str> = rest.split('`').skip(2).step_by(2).collect();
        let hint = suggestion(given, &known);
        let within = path.strip_suffix(given).and_then(|path| path.strip_suffix('.'));
        let within = within.map(|path| format!("`{path}`: ")).unwrap_or_default();
        return Problem::field(path, format!("{within}unknown field `{given}`{hint}"));
    }
    // The message quotes what was given, which may be a secret; of what is missing nothing was.
    let is_secret = ["secret", "header", "auth", "tls"].iter().any(|word| path.contains(word));
    if is_secret && !reason.starts_with("missing field") {
        let expected = reason.rsplit_once(", expected ").map_or("something else", |(_, what)| what);
        let is_text = expected == "a string";
        reason = format!("expected {expected}");
        if is_text {
            reason.push_str("; ");
            reason.push_str(REFERENCES);
        }
    }
    let reason = plainly(reason);
    let prefix = if path.is_empty() { String::new() } else { format!("`{path}`: ") };
    Problem::field(path, format!("{prefix}{reason}"))
}

/// Types are told by what they are in JSON.
fn plainly(reason: String) -> String {
    let Some((before, expected)) = reason.rsplit_once("expected ") else { return reason };
    let word = match expected {
        "usize" | "u64" | "u32" | "u16" | "u8" | "i64" => "a whole number",
        "f64" => "a number",
        _ if expected.starts_with("struct ") || expected == "a map" => "an object",
        "map with a single key" => "an object with one of the possible keys",
        _ => return reason,
    };
    format!("{before}expected {word}")
}

/// The variable segments of a path.
pub(super) struct Path<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(rejection) => {
                let text = rejection.body_text();
                let reason = text.strip_prefix("Invalid URL: ").unwrap_or(&text);
                Err(Problem::malformed(format!("in the path: {reason}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::settings::Order;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[expect(dead_code, reason = "only its reading is tested")]
        webhook: Inner,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its reading is tested")]
    struct Inner {
        url: String,
        secret: Option<String>,
        secrets: Option<Vec<String>>,
        order: Option<Order>,
        most: Option<u32>,
    }

    fn problem(text: &str) -> Problem {
        from_json::<Outer>(text.as_bytes()).unwrap_err()
    }

    #[test]
    fn what_is_wrong_is_named() {
        let misspelt = problem(r#"{"webhook": {"ulr": "x"}}"#);
        assert_eq!(misspelt.status, 422);
        assert_eq!(misspelt.detail, "`webhook`: unknown field `ulr`; did you mean `url`?");
        assert!(misspelt.to_json().contains(r#""field":"webhook.ulr""#), "{}", misspelt.to_json());
        assert_eq!(problem("{").status, 400);
        assert_eq!(problem("{} x").status, 422);
        assert!(problem(r#"{"webhook": {"url": 3}}"#).detail.starts_with("`webhook.url`"));
        for (given, expected) in [
            (r#""order": 5"#, "`webhook.order`: invalid type: integer `5`, expected string or map"),
            (r#""order": "up""#, "`webhook.order`: unknown variant `up`"),
            (r#""most": "x""#, "expected a whole number"),
            (r#""most": -1"#, "expected a whole number"),
        ] {
            let refused = problem(&format!(r#"{{"webhook": {{"url": "x", {given}}}}}"#));
            assert_eq!(refused.status, 422, "{given}");
            assert!(refused.detail.contains(expected), "{}", refused.detail);
        }
    }

    #[test]
    fn references_are_refused_and_secrets_are_not_repeated() {
        for reference in [r#"{"env": "HOME"}"#, r#"{"file": "/etc/passwd"}"#] {
            let text = format!(r#"{{"webhook": {{"url": "x", "secret": {reference}}}}}"#);
            let refused = problem(&text);
            assert_eq!(refused.status, 422);
            assert!(refused.detail.contains("configuration file only"), "{}", refused.detail);
        }
        let refused = problem(r#"{"webhook": {"url": "x", "secrets": "whsec_abc"}}"#);
        assert!(!refused.detail.contains("whsec_abc"), "{}", refused.detail);
    }
}
