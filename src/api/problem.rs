//! What the API answers when it does not do what was asked: RFC 9457 with a stable `code`.

use std::collections::BTreeSet;

use axum::{
    body::Bytes,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, schema::Type},
};

use super::NotApplied;
use crate::{
    event::{Epoch, Version},
    store::StoreError,
};

/// The media type of a problem.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// Every code there is, with its status; docs/api.md says what each means.
pub(super) const CODES: [(u16, &str); 33] = [
    (400, "malformed"),
    (400, "bad_parameter"),
    (401, "key_expired"),
    (401, "key_missing"),
    (401, "key_unknown"),
    (403, "forbidden"),
    (403, "foreign_host"),
    (403, "foreign_origin"),
    (403, "reserved"),
    (404, "not_found"),
    (405, "method_not_allowed"),
    (406, "not_acceptable"),
    (408, "timeout"),
    (409, "conflict"),
    (409, "exists"),
    (409, "file_refused"),
    (409, "history_changed"),
    (409, "read_only"),
    (410, "gone"),
    (413, "too_large"),
    (415, "unsupported_media_type"),
    (422, "invalid"),
    (429, "full"),
    (429, "rate_limited"),
    (500, "damaged"),
    (500, "internal"),
    (503, "busy"),
    (503, "closing"),
    (503, "store_busy"),
    (503, "store_lost"),
    (503, "too_many_waiting"),
    (503, "unknown"),
    (507, "disk_full"),
];

/// The stable word for a program; docs/api.md says what each means.
enum ProblemCode {}

impl PartialSchema for ProblemCode {
    fn schema() -> RefOr<Schema> {
        let codes: BTreeSet<&str> = CODES.into_iter().map(|(_, code)| code).collect();
        let described = "The stable word for a program; docs/api.md says what each means";
        let codes = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(codes));
        codes.description(Some(described)).into()
    }
}

impl ToSchema for ProblemCode {}

/// A problem as the OpenAPI document has it.
#[derive(utoipa::ToSchema)]
#[schema(as = Problem)]
#[expect(dead_code, reason = "it is only described")]
pub(super) struct ProblemView {
    /// Always `about:blank`: `code` says which problem it is.
    #[schema(rename = "type")]
    kind: String,
    /// The name of the status.
    title: String,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    code: ProblemCode,
    /// What was wrong and what was expected, for a person.
    detail: String,
    /// With `bad_parameter`: the query parameter.
    parameter: Option<String>,
    /// With `invalid`: the field of the body.
    field: Option<String>,
    /// With `invalid` at a publish: which event, from 0.
    index: Option<usize>,
    /// With `gone`: the oldest version kept.
    oldest: Option<u64>,
    /// With `history_changed`: the last version that both histories share.
    last_common: Option<u64>,
    /// With `history_changed`: the present epoch.
    epoch: Option<String>,
    /// With `history_changed`: the last version.
    head: Option<u64>,
    /// With `forbidden`: the scope that is needed.
    scope: Option<String>,
    /// With `rate_limited`: when to ask again, as `Retry-After` says.
    retry_after_s: Option<u64>,
    /// With `damaged`: the first version.
    from: Option<u64>,
    /// With `damaged`: the last version.
    to: Option<u64>,
}

/// One refusal. `code` never changes its meaning; `detail` is for a person.
#[derive(Debug, Clone)]
pub struct Problem {
    /// The HTTP status.
    pub status: StatusCode,
    /// The stable word for a program.
    pub code: &'static str,
    /// What was wrong and what was expected.
    pub detail: String,
    extra: Map<String, Value>,
}

impl Problem {
    /// A problem of this status and code.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        debug_assert!(CODES.contains(&(status.as_u16(), code)), "{status} {code} is not listed");
        Self { status, code, detail: detail.into(), extra: Map::new() }
    }

    /// 400: the request cannot be read at all.
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", detail)
    }

    /// 400: a query parameter, named in `parameter`, is unknown or not as expected.
    pub fn parameter(name: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_parameter", detail).with("parameter", name)
    }

    /// 422: a field of the body, named in `field`, is unknown or not as expected.
    pub fn field(name: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail).with("field", name)
    }

    /// 404.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    /// 409: it cannot be done in the present state.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", detail)
    }

    /// 410: what lies before `oldest` was removed.
    #[must_use]
    pub fn gone(oldest: Version) -> Self {
        let detail = format!("history before version {oldest} is gone");
        Self::new(StatusCode::GONE, "gone", detail).with("oldest", oldest.0)
    }

    /// 409: the cursor belongs to a history that is not this topic's.
    #[must_use]
    pub fn history_changed(last_common: Version, epoch: Epoch, head: Version) -> Self {
        let detail = format!(
            "the position is not in this topic's history, whose head is {epoch}-{head}; both share it up to version {last_common}"
        );
        Self::new(StatusCode::CONFLICT, "history_changed", detail)
            .with("last_common", last_common.0)
            .with("epoch", epoch.to_string())
            .with("head", head.0)
    }

    /// 503: the relay is stopping.
    #[must_use]
    pub fn closing() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "closing", "the relay is stopping")
    }

    /// Adds a member.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.extra.insert(name.to_owned(), value.into());
        self
    }

    /// When to ask again.
    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        self.with("retry_after_s", seconds)
    }

    /// The JSON text.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut all = Map::new();
        all.insert("type".to_owned(), json!("about:blank"));
        all.insert("title".to_owned(), json!(self.status.canonical_reason()));
        all.insert("status".to_owned(), json!(self.status.as_u16()));
        all.insert("code".to_owned(), json!(self.code));
        all.insert("detail".to_owned(), json!(self.detail));
        all.extend(self.extra.clone());
        Value::Object(all).to_string()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, Bytes::from(self.to_json())).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.extra.get("retry_after_s").and_then(Value::as_u64) {
            headers.insert(header::RETRY_AFTER, seconds.into());
        } else if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if let Some(challenge) = challenge(self.code) {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response
    }
}

/// How a key is asked for (RFC 6750, section 3).
fn challenge(code: &str) -> Option<&'static str> {
    match code {
        "key_missing" => Some("Bearer realm=\"milkrun\""),
        "key_expired" | "key_unknown" => Some("Bearer realm=\"milkrun\", error=\"invalid_token\""),
        "forbidden" => Some("Bearer realm=\"milkrun\", error=\"insufficient_scope\""),
        _ => None,
    }
}

impl From<StoreError> for Problem {
    /// The only place where a store's refusal becomes a status; what is the relay's own fault is
    /// logged here and not told to the caller.
    fn from(error: StoreError) -> Self {
        let detail = error.to_string();
        match error {
            StoreError::NotFound { .. } => Self::not_found(detail),
            StoreError::Exists { .. } => Self::new(StatusCode::CONFLICT, "exists", detail),
            StoreError::Conflict(_) | StoreError::Stale => Self::conflict(detail),
            StoreError::Trimmed { oldest } => Self::gone(oldest),
            StoreError::Full(_) => Self::new(StatusCode::TOO_MANY_REQUESTS, "full", detail),
            StoreError::DiskFull => {
                Self::new(StatusCode::INSUFFICIENT_STORAGE, "disk_full", detail)
            }
            StoreError::Busy(_) => Self::new(StatusCode::SERVICE_UNAVAILABLE, "store_busy", detail),
            StoreError::Unknown(source) => {
                tracing::error!(
                    event = "store.outcome_unknown", error = ?source,
                    "the outcome of a write is unknown"
                );
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "unknown", detail)
            }
            StoreError::Closed => Self::closing(),
            // It was told where it was found.
            StoreError::Lost(_) => Self::new(StatusCode::SERVICE_UNAVAILABLE, "store_lost", detail),
            StoreError::Damaged { from, to, .. } => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "damaged", detail)
                    .with("from", from.0)
                    .with("to", to.0)
            }
            StoreError::Unreadable { .. }
            | StoreError::Database(_)
            | StoreError::Opening { .. }
            | StoreError::Refused(_)
            | StoreError::NoTables
            | StoreError::InUse(_) => {
                tracing::error!(event = "api.store_failed", error = ?error, "the store failed");
                Self::internal()
            }
        }
    }
}

impl From<NotApplied> for Problem {
    fn from(error: NotApplied) -> Self {
        match error {
            NotApplied::Refused(why) => Self::new(
                StatusCode::CONFLICT,
                "file_refused",
                format!("the configuration file is refused, and everything stays as it was: {why}"),
            ),
            NotApplied::NoFile => {
                Self::conflict("this relay reads no configuration file that could be applied")
            }
            NotApplied::Stopping => Self::closing(),
        }
    }
}

impl Problem {
    /// 500: the relay's own fault; the log says more.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the relay failed; its log says more",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_of_the_store_has_its_status_and_code() {
        let database = || sqlx::Error::PoolClosed;
        let damaged = || StoreError::Damaged {
            topic: "orders".parse().unwrap(),
            from: Version(3),
            to: Version(4),
            problem: "versions 3 to 4 are missing".into(),
        };
        for (error, status, code) in [
            (StoreError::not_found("topic", "x"), 404, "not_found"),
            (StoreError::Exists { what: "subscription", name: "x".into() }, 409, "exists"),
            (StoreError::Conflict("in use".into()), 409, "conflict"),
            (StoreError::Stale, 409, "conflict"),
            (StoreError::Trimmed { oldest: Version(7) }, 410, "gone"),
            (StoreError::Full("too many".into()), 429, "full"),
            (StoreError::DiskFull, 507, "disk_full"),
            (StoreError::Busy("locked"), 503, "store_busy"),
            (StoreError::Unknown(None), 503, "unknown"),
            (StoreError::Closed, 503, "closing"),
            (StoreError::Lost("gone".into()), 503, "store_lost"),
            (damaged(), 500, "damaged"),
            (StoreError::Database(database()), 500, "internal"),
            (StoreError::Unreadable { table: "t", problem: "p".into() }, 500, "internal"),
        ] {
            let problem = Problem::from(error);
            assert_eq!((problem.status.as_u16(), problem.code), (status, code));
        }
    }

    #[test]
    fn a_problem_carries_its_members() {
        let text = Problem::history_changed(Version(3), Epoch(1), Version(9)).to_json();
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["last_common"], 3);
        assert_eq!(value["epoch"], "00000001");
        assert_eq!(value["head"], 9);
        assert_eq!(value["status"], 409);
        assert_eq!(value["title"], "Conflict");
    }
}
