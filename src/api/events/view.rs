//! Events as the OpenAPI document has them; `wire` writes them, byte for byte as they were sent.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// A CloudEvent (1.0.2) in JSON. Whatever else it has are extensions: texts, booleans and integers.
#[derive(Serialize, ToSchema)]
#[schema(as = CloudEvent)]
pub(in crate::api) struct CloudEventView {
    /// Always `1.0`.
    #[schema(pattern = "^1\\.0$", example = "1.0")]
    specversion: String,
    /// With `source`, what it is known by.
    #[schema(min_length = 1)]
    id: String,
    /// A URI reference.
    #[schema(min_length = 1)]
    source: String,
    #[serde(rename = "type")]
    #[schema(min_length = 1)]
    kind: String,
    #[schema(min_length = 1)]
    subject: Option<String>,
    #[schema(format = DateTime)]
    time: Option<String>,
    datacontenttype: Option<String>,
    /// A URI.
    dataschema: Option<String>,
    data: Option<Value>,
    /// Data that is no text, in the place of `data`.
    data_base64: Option<String>,
    #[serde(flatten)]
    extensions: BTreeMap<String, Value>,
}

/// A CloudEvent of the log.
#[derive(Serialize, ToSchema)]
#[schema(as = LoggedEvent)]
pub(in crate::api) struct LoggedEventView {
    #[serde(flatten)]
    event: CloudEventView,
    /// Its place in the topic.
    version: u64,
}

/// A page of events.
#[derive(Serialize, ToSchema)]
#[schema(as = EventPage)]
pub(in crate::api) struct EventPageView {
    topic: String,
    /// The epoch of `next`.
    epoch: String,
    /// The last version; absent of a full page, which never changes.
    head: Option<u64>,
    /// The oldest version kept; absent of a full page.
    oldest: Option<u64>,
    /// Those that `filter` fails on; absent when there are none.
    skipped: Option<Vec<SkippedView>>,
    /// To be given as `after`: a cursor.
    next: String,
    events: Vec<LoggedEventView>,
}

/// An event that `filter` fails on.
#[derive(Serialize, ToSchema)]
#[schema(as = SkippedEvent)]
pub(in crate::api) struct SkippedView {
    version: u64,
    /// Why.
    reason: String,
}
