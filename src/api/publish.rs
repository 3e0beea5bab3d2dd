//! Publishing: CloudEvents over HTTP in structured, binary and batched mode, all or nothing.
//!
//! CloudEvents 1.0.2, HTTP Protocol Binding and JSON Event Format. `data` is kept as the bytes
//! that were sent.

use axum::{
    Json,
    extract::{Request, State},
};
use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    ApiState,
    body::{self, Path},
    events::view::CloudEventView,
    pending,
    problem::Problem,
    query::Query,
};
use crate::{
    event::{Name, Topic},
    store::{Append, Durability, Pending},
    telemetry::TopicLabel,
    wire::{self, ReadError},
};

/// The largest body.
const BODY_BYTES_MAX: usize = 8 << 20;

/// Where one event was put.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PlacedEvent {
    /// Its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    /// The epoch of that version.
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<String>,
    /// In the place of both while it is pending: its id among the pending events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pending: Option<i64>,
    /// Whether it was known already.
    duplicate: bool,
}

/// What became of a publish.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Published {
    /// One for each event, in the order sent.
    events: Vec<PlacedEvent>,
    /// Where all that is answered for is kept by now: `disk`, that of one machine at least; or
    /// `replicated`, those of two, as `store.durability: replicated` asks for.
    durability: &'static str,
}

/// Publish one CloudEvent or a batch: all or nothing. An event whose attribute `deliverat` (RFC
/// 3339) is in the future waits until then; one that is prepared waits for its commit.
#[utoipa::path(post, path = "/v1/topics/{topic}/events", tag = "events",
    params(("topic" = String, Path),
        ("prepare" = Option<bool>, Query, description = "The events wait, each until it is committed; 24 hours at most")),
    request_body(content(
        (CloudEventView = "application/cloudevents+json"),
        (Vec<CloudEventView> = "application/cloudevents-batch+json"),
    ), description = "At most 8 MiB, 10,000 events and 1 MiB an event. In binary mode the attributes are `ce-` headers and the body is the data."),
    responses(
        (status = 200, body = Published),
        (status = 403, description = "`reserved`: the topic belongs to the relay"),
        (status = 404, description = "No such topic"),
        (status = 422, description = "An event is not valid: `index` and `field` say which and where"),
        (status = 429, description = "`full`: as many events are pending as may be"),
        (status = 503, description = "Safe to repeat: known events are not doubled"),
        (status = 507, description = "Nothing new is kept until there is room; safe to repeat"),
    ))]
pub(super) async fn publish(
    State(api): State<ApiState>,
    Path(topic): Path<Topic>,
    query: Query,
    request: Request,
) -> Result<Json<Published>, Problem> {
    query.allow(&["prepare"])?;
    let prepare = query.flag("prepare")?;
    if topic.is_reserved() {
        let detail = format!("topics beginning `{}` belong to the relay", Name::RESERVED_PREFIX);
        return Err(Problem::new(StatusCode::FORBIDDEN, "reserved", detail));
    }
    // A topic that does not exist is told before the body is waited for.
    api.store.topic(&topic).await?;
    let headers = request.headers().clone();
    let body: Bytes = body::read(request, BODY_BYTES_MAX).await?;
    let mut events = wire::read(&headers, &body)?;
    let now = api.clock.now();
    for (index, event) in events.iter_mut().enumerate() {
        if let Some(due) = event.deliver_at {
            pending::check_due(due, now).map_err(|detail| {
                Problem::field("deliverat", format!("event {index}: {detail}")).with("index", index)
            })?;
        }
        if prepare {
            event.deliver_at = Some(Pending::PREPARED);
        }
    }
    let append = Append { topic: topic.clone(), events, progress: None, now };
    let placed = api.store.append(append).await?;
    let known = placed.iter().filter(|placed| placed.duplicate).count() as u64;
    let label = TopicLabel { topic: topic.to_string() };
    let logged = placed.iter().filter(|placed| !placed.duplicate && placed.pending.is_none());
    api.metrics.appended.get_or_create(&label).inc_by(logged.count() as u64);
    api.metrics.duplicates.get_or_create(&label).inc_by(known);
    let events = placed
        .iter()
        .map(|placed| PlacedEvent {
            version: placed.pending.is_none().then_some(placed.version.0),
            epoch: placed.pending.is_none().then(|| placed.epoch.to_string()),
            pending: placed.pending,
            duplicate: placed.duplicate,
        })
        .collect();
    let durability = match api.durability {
        Durability::Any => "disk",
        Durability::Replicated => "replicated",
    };
    Ok(Json(Published { events, durability }))
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        let detail = error.to_string();
        match error {
            ReadError::Mode => {
                Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
            }
            ReadError::Malformed(_) => Self::malformed(detail),
            ReadError::Count(_) => Self::field("", detail),
            ReadError::Event { index, refused } => {
                Self::field(&refused.attribute, detail).with("index", index)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, header};
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_cannot_be_read_has_the_status_of_its_kind() {
        for (media, body, status, field, index) in [
            ("text/plain", "", 415, Value::Null, Value::Null),
            (wire::STRUCTURED, "{", 400, Value::Null, Value::Null),
            (wire::BATCH, "{}", 400, Value::Null, Value::Null),
            (wire::BATCH, "[]", 422, json!(""), Value::Null),
            (wire::STRUCTURED, r#"{"specversion":"1.0"}"#, 422, json!("id"), json!(0)),
            (wire::BATCH, "[0]", 422, json!("event"), json!(0)),
        ] {
            let kind = (header::CONTENT_TYPE, HeaderValue::from_static(media));
            let headers: HeaderMap = [kind].into_iter().collect();
            let error = wire::read(&headers, &Bytes::from_static(body.as_bytes())).unwrap_err();
            let told: Value = serde_json::from_str(&Problem::from(error).to_json()).unwrap();
            assert_eq!((&told["status"], &told["field"]), (&json!(status), &field), "{told}");
            assert_eq!(told["index"], index, "{told}");
        }
    }
}
