//! Events: reading a topic in four media types, one event, and what became of it.

use std::time::Duration;

use axum::{
    extract::State,
    response::{IntoResponse, Response},
    routing::{self, MethodRouter},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use self::{
    media::Media,
    selection::Selection,
    view::{CloudEventView, EventPageView, LoggedEventView},
};
use super::{
    ApiState,
    body::Path,
    gate::Caller,
    position,
    problem::Problem,
    publish,
    query::{LIMIT_DEFAULT, LIMIT_MAX, Query},
};
use crate::{
    event::{Position, Topic, Version},
    store::{Page, Read},
    wire,
};

mod media;
mod outcome;
mod page;
mod selection;
mod stream;
pub(super) mod trace;
pub(super) mod view;

/// The longest long poll.
const WAIT_MAX: Duration = Duration::from_mins(5);

pub(super) fn routes() -> Vec<(&'static str, MethodRouter<ApiState>)> {
    vec![
        ("/v1/topics/{topic}/events", routing::get(read).post(publish::publish)),
        ("/v1/topics/{topic}/events/{version}", routing::get(one)),
        ("/v1/topics/{topic}/events/{version}/trace", routing::get(trace::trace)),
    ]
}

/// Events of a topic in version order. `Accept` chooses a page (JSON, CloudEvents batch) or a
/// stream (NDJSON up to the head, Server-Sent Events that follow it).
#[utoipa::path(get, path = "/v1/topics/{topic}/events", tag = "events",
    params(
        ("topic" = String, Path),
        ("after" = Option<String>, Query, description = "Exclusive: a cursor or a version. Without it, `at` and `since`: from the oldest"),
        ("at" = Option<String>, Query, description = "Inclusive: a cursor or a version"),
        ("since" = Option<String>, Query, description = "Recorded at or after this time"),
        ("up_to" = Option<String>, Query, description = "Inclusive: a cursor or a version"),
        ("limit" = Option<usize>, Query, description = "Of a page 1 to 1,000, default 100; a stream has no limit without it, and may have any"),
        ("wait" = Option<String>, Query, description = "How long to wait at the head, as `30s`; at most `5m`"),
        ("type" = Option<String>, Query), ("key" = Option<String>, Query),
        ("filter" = Option<String>, Query, description = "As of a subscription: a CloudEvents filter in JSON, or an expression"),
        ("id" = Option<String>, Query, description = "With `source`"), ("source" = Option<String>, Query),
        ("Last-Event-ID" = Option<String>, Header, description = "A cursor; goes before `after`"),
    ),
    responses(
        (status = 200, description = "A page, or a stream. An event that `filter` fails on is passed over and told, as `{version, reason}`: in JSON in the list `skipped`, in an event stream as `event: skipped`, in NDJSON as a line `{\"skipped\": …}`; `milkrun-skipped` counts them on a page. An event stream begins with a comment",
            content((EventPageView = "application/json"),
                (Vec<CloudEventView> = "application/cloudevents-batch+json"),
                (String = "application/x-ndjson"), (String = "text/event-stream"))),
        (status = 304, description = "A full page that has not changed"),
        (status = 409, description = "`history_changed`, with `last_common`, `epoch` and `head`"),
        (status = 406, description = "`not_acceptable`"),
        (status = 410, description = "`gone`, with `oldest`"),
        (status = 500, description = "`damaged`, with `from` and `to`"),
        (status = 503, description = "`too_many_waiting`"),
    ))]
pub(super) async fn read(
    State(api): State<ApiState>,
    caller: Caller,
    Path(topic): Path<Topic>,
    query: Query,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    query.allow(&[
        "after", "at", "since", "up_to", "limit", "wait", "type", "key", "id", "source", "filter",
    ])?;
    let api = api.while_good(&caller);
    let media = Media::negotiate(&headers)?;
    let most = if media.is_page() { LIMIT_MAX } else { usize::MAX };
    let limit = query.number("limit", 1, most)?;
    let wait = query.duration("wait", WAIT_MAX)?;
    let resume = if media == Media::Sse { last_event_id(&headers)? } else { None };
    let selection = Selection::resolve(&api, topic, &query, resume).await?;
    match media {
        Media::Json | Media::Batch => {
            let bounds = (limit.unwrap_or(LIMIT_DEFAULT), wait);
            page::answer(&api, selection, &query, &headers, media, bounds).await
        }
        Media::Sse if wait.is_some() => {
            Err(Problem::parameter("wait", "`wait`: an event stream waits as long as it is open"))
        }
        Media::Ndjson | Media::Sse => stream::answer(&api, selection, media, limit, wait).await,
    }
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<Position>, Problem> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    text.parse().map(Some).map_err(|error| Problem::malformed(format!("`Last-Event-ID`: {error}")))
}

/// One event, by version or cursor.
#[utoipa::path(get, path = "/v1/topics/{topic}/events/{version}", tag = "events",
    params(("topic" = String, Path), ("version" = String, Path, description = "A version or a cursor")),
    responses((status = 200, content((LoggedEventView = "application/json"),
            (CloudEventView = "application/cloudevents+json"))),
        (status = 404, description = "Not yet"), (status = 409, description = "`history_changed`"),
        (status = 410, description = "`gone`, with `oldest`"),
        (status = 500, description = "`damaged`, with `from` and `to`")))]
pub(super) async fn one(
    State(api): State<ApiState>,
    Path((topic, version)): Path<(Topic, String)>,
    query: Query,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    query.allow(&[])?;
    let (_, version) = locate(&api, &topic, &version).await?;
    let page = api.store.read(&topic, Read::one(version)).await?;
    let event = page.events.iter().find(|event| event.version == version);
    let event = event.ok_or_else(|| absent(&page, version))?;
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let mut out = Vec::new();
    let media = if accept.is_some_and(|accept| accept.contains(wire::STRUCTURED)) {
        wire::write_structured(&mut out, event, &topic);
        wire::STRUCTURED
    } else {
        wire::write_numbered(&mut out, event, &topic);
        Media::Json.name()
    };
    Ok(([(header::CONTENT_TYPE, media), (header::VARY, "Accept, Accept-Encoding")], out)
        .into_response())
}

/// Why a version that was given is not there any more.
pub(super) fn absent(page: &Page, version: Version) -> Problem {
    if page.passed.is_none() {
        return Problem::gone(page.state.oldest);
    }
    let detail = format!("version {version} is lost; the gaps of the topic tell more");
    Problem::new(StatusCode::GONE, "gone", detail).with("oldest", page.state.oldest.0)
}

/// The row number of the topic, and a version that it has or had.
async fn locate(api: &ApiState, topic: &Topic, text: &str) -> Result<(i64, Version), Problem> {
    let position: Position =
        text.parse().map_err(|error| Problem::malformed(format!("in the path: {error}")))?;
    let state = api.store.topic(topic).await?;
    let version = position.version;
    let absent = position.epoch.is_none() && version > state.head;
    if absent || version == Version::ZERO {
        let detail =
            format!("topic `{topic}` has no version {version}; its head is {}", state.head);
        return Err(Problem::not_found(detail));
    }
    position::check(&state, position)?;
    Ok((state.id, version))
}

/// A strong tag names one sequence of bytes, so a compressed page gets a tag of its own
/// (RFC 9110, section 8.8.3).
pub(super) fn mark_compressed<B>(mut response: http::Response<B>) -> http::Response<B> {
    let compressed = response.headers().contains_key(header::CONTENT_ENCODING);
    let tag = response.headers().get(header::ETAG).and_then(|tag| tag.to_str().ok());
    if compressed
        && response.status() == StatusCode::OK
        && let Some(marked) = tag.and_then(|tag| tag.strip_suffix('"'))
        && let Ok(marked) = HeaderValue::from_str(&format!("{marked}-gzip\""))
    {
        response.headers_mut().insert(header::ETAG, marked);
    }
    response
}
