//! Pending events: what waits for its time or its commit, changed, committed and cancelled.

use std::time::Duration;

use axum::{
    Json,
    extract::State,
    response::Response,
    routing::{self, MethodRouter},
};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{
    ApiState,
    body::{JsonBody, Nothing, Path},
    events::view::CloudEventView,
    list,
    problem::Problem,
    query::Query,
};
use crate::{
    event::{Micros, Topic},
    settings::days,
    store::{Pending, StoreError},
    telemetry::TopicLabel,
    wire,
};

/// How far ahead an event may be due.
const AHEAD_MAX: Duration = days(366);
/// The bytes of events after which a page ends.
const PAGE_BYTES: usize = 8 << 20;

/// An event that is not in the log yet.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PendingView {
    id: i64,
    /// When it goes into the log; null for a prepared event, which waits for its commit.
    due: Option<String>,
    /// When it was published.
    since: String,
    /// The event as a CloudEvent, as it was published.
    #[schema(value_type = CloudEventView)]
    event: Option<Box<RawValue>>,
    /// The version that it has got by its commit; absent while it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    /// The epoch of that version.
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<String>,
}

/// Pending events in the order of their ids.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PendingList {
    pending: Vec<PendingView>,
    /// To be given as `after`; null at the end.
    next: Option<i64>,
}

/// Another time.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangeBody {
    /// When it goes into the log, RFC 3339; at most 366 days ahead. A moment that has passed: now.
    #[schema(format = DateTime)]
    deliverat: String,
}

pub(super) fn routes() -> Vec<(&'static str, MethodRouter<ApiState>)> {
    vec![
        ("/v1/topics/{topic}/pending", routing::get(list_pending)),
        ("/v1/topics/{topic}/pending/{id}", routing::get(show).patch(change).delete(cancel)),
        ("/v1/topics/{topic}/pending/{id}/commit", routing::post(commit)),
    ]
}

/// Pending events of a topic.
#[utoipa::path(get, path = "/v1/topics/{topic}/pending", tag = "pending",
    params(("topic" = String, Path), ("limit" = Option<usize>, Query),
        ("after" = Option<i64>, Query, description = "An id")),
    responses((status = 200, body = PendingList), (status = 404, description = "No such topic")))]
pub(super) async fn list_pending(
    State(api): State<ApiState>,
    Path(topic): Path<Topic>,
    query: Query,
) -> Result<Response, Problem> {
    query.allow(&["limit", "after"])?;
    let limit = query.limit()?;
    let mut after = query.id("after")?.unwrap_or(0);
    let mut room = api.budget.page(PAGE_BYTES)?;
    let (mut pending, mut bytes) = (Vec::new(), 0);
    // The store's pages are bounded in bytes too, so a short one is not the last one.
    let next = loop {
        let page = api.store.pending(&topic, after, limit - pending.len()).await?;
        let Some(last) = page.last() else { break None };
        after = last.id;
        bytes += page.iter().map(|one| one.event.size_bytes()).sum::<usize>();
        room.held.fit(&api.budget, 2 * bytes)?;
        pending.extend(page.iter().map(view));
        if pending.len() >= limit || bytes >= room.bytes {
            let more = !api.store.pending(&topic, after, 1).await?.is_empty();
            break more.then_some(after);
        }
    };
    let path = format!("/v1/topics/{topic}/pending");
    let link = next.map(|next| next.to_string());
    Ok(list::answer(&path, &query, link.as_deref(), PendingList { pending, next }))
}

/// One pending event.
#[utoipa::path(get, path = "/v1/topics/{topic}/pending/{id}", tag = "pending",
    params(("topic" = String, Path), ("id" = i64, Path)),
    responses((status = 200, body = PendingView),
        (status = 404, description = "There is none of this id, or it is in the log by now")))]
pub(super) async fn show(
    State(api): State<ApiState>,
    Path((topic, id)): Path<(Topic, i64)>,
    query: Query,
) -> Result<Json<PendingView>, Problem> {
    query.allow(&[])?;
    Ok(Json(view(&api.store.pending_event(&topic, id).await?)))
}

/// Makes a pending event due at another time; its attributes stay as they were published.
#[utoipa::path(patch, path = "/v1/topics/{topic}/pending/{id}", tag = "pending",
    params(("topic" = String, Path), ("id" = i64, Path)), request_body = ChangeBody,
    responses((status = 200, body = PendingView),
        (status = 404, description = "There is none of this id, or it is in the log by now"),
        (status = 409, description = "`conflict`: it is prepared")))]
pub(super) async fn change(
    State(api): State<ApiState>,
    Path((topic, id)): Path<(Topic, i64)>,
    query: Query,
    JsonBody(body): JsonBody<ChangeBody>,
) -> Result<Json<PendingView>, Problem> {
    query.allow(&[])?;
    let due: Micros = body.deliverat.parse().map_err(|_| {
        Problem::field("deliverat", "`deliverat`: expected RFC 3339, as 2026-01-31T12:00:00Z")
    })?;
    check_due(due, api.clock.now()).map_err(|detail| Problem::field("deliverat", detail))?;
    // Looked at before, for it may be in the log right after.
    let known = api.store.pending_event(&topic, id).await?;
    api.store.change_pending(&topic, id, due).await?;
    Ok(Json(view(&Pending { due, ..known })))
}

/// Commits a prepared event. One that is due is in the log when this answers, with its `version`;
/// one whose `deliverat` lies ahead goes then, and cannot be cancelled any more.
#[utoipa::path(post, path = "/v1/topics/{topic}/pending/{id}/commit", tag = "pending",
    params(("topic" = String, Path), ("id" = i64, Path)), request_body = Nothing,
    responses((status = 200, body = PendingView),
        (status = 404, description = "There is none of this id, or it is in the log by now"),
        (status = 409, description = "`conflict`: it is not prepared, or committed already")))]
pub(super) async fn commit(
    State(api): State<ApiState>,
    Path((topic, id)): Path<(Topic, i64)>,
    query: Query,
    _: JsonBody<Nothing>,
) -> Result<Json<PendingView>, Problem> {
    query.allow(&[])?;
    let known = api.store.pending_event(&topic, id).await.map_err(|error| absent(error, &topic))?;
    let wanted = known.event.attributes.get("deliverat").and_then(|due| due.parse().ok());
    let now = api.clock.now();
    let due = now.max(wanted.unwrap_or_default());
    let logged = api.store.commit_pending(&topic, id, due, now).await;
    let logged = logged.map_err(|error| absent(error, &topic))?;
    let mut view = view(&Pending { due, ..known });
    if let Some(logged) = logged {
        let label = TopicLabel { topic: topic.to_string() };
        api.metrics.appended.get_or_create(&label).inc();
        let state = api.store.topic(&topic).await?;
        view.version = Some(logged.version.0);
        view.epoch = Some(state.epoch_of(logged.version).to_string());
    }
    Ok(Json(view))
}

/// A commit that is repeated, because its answer was lost, finds nothing: that is not told apart here
/// from a cancel, but the log has the event.
fn absent(error: StoreError, topic: &Topic) -> Problem {
    let StoreError::NotFound { what: "pending event", .. } = &error else { return error.into() };
    Problem::not_found(format!(
        "{error}: it is in the log by now, was cancelled, or never was; \
         GET /v1/topics/{topic}/events?id=ID&source=SOURCE tells whether the log has it"
    ))
}

/// Forgets a pending event: it is never delivered.
#[utoipa::path(delete, path = "/v1/topics/{topic}/pending/{id}", tag = "pending",
    params(("topic" = String, Path), ("id" = i64, Path)), request_body = Nothing,
    responses((status = 204, description = "It is gone"),
        (status = 404, description = "There is none of this id, or it is in the log by now"),
        (status = 409, description = "`conflict`: it was committed")))]
pub(super) async fn cancel(
    State(api): State<ApiState>,
    Path((topic, id)): Path<(Topic, i64)>,
    query: Query,
    _: JsonBody<Nothing>,
) -> Result<StatusCode, Problem> {
    query.allow(&[])?;
    api.store.cancel_pending(&topic, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether an event may be due then; what was expected.
pub(super) fn check_due(due: Micros, now: Micros) -> Result<(), String> {
    let latest = now.plus(AHEAD_MAX);
    if due > latest {
        Err(format!("`deliverat`: expected at most 366 days ahead, {latest}"))
    } else {
        Ok(())
    }
}

fn view(pending: &Pending) -> PendingView {
    let mut out = Vec::new();
    wire::write_plain(&mut out, &pending.event);
    PendingView {
        id: pending.id,
        due: (!pending.is_prepared()).then(|| pending.due.to_string()),
        since: pending.since.to_string(),
        event: String::from_utf8(out).ok().and_then(|text| RawValue::from_string(text).ok()),
        version: None,
        epoch: None,
    }
}
