//! Sources: where each one stands, and steering it.

use axum::{
    Json,
    extract::State,
    response::Response,
    routing::{self, MethodRouter},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    ApiState,
    body::{JsonBody, Nothing, Path},
    gate::Caller,
    list,
    problem::Problem,
    query::Query,
};
use crate::{
    event::Name,
    prober::{Report, shown, start_at},
    store::{REJECTED_BYTES_MAX, Rejected, SourceState, SourceStatus, Steer},
    stuck::Stuck,
};

/// The largest part of a cursor that a list shows.
const LISTED_BYTES_MAX: usize = 256;

/// A source as it stands.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SourceView {
    name: String,
    topic: String,
    /// The CloudEvents `source` of its events: what the file sets, else what it began with, however
    /// its URL changes.
    event_source: Option<String>,
    /// `active`, `paused` or `removed`.
    status: SourceStatus,
    /// Where the next walk starts; null before the first. A list leaves out its large parts (which
    /// items were seen at its edge): to give it back, take it from `GET /v1/sources/{name}`.
    cursor: Value,
    /// The cursor that the last one set by an operator took the place of.
    #[serde(skip_serializing_if = "Value::is_null")]
    old_cursor: Value,
    /// Why it stands still until somebody acts, and how.
    #[serde(skip_serializing_if = "Option::is_none")]
    stuck: Option<Stuck>,
    /// Whether a walk is under way.
    walking: bool,
    /// Complete walks so far.
    walks: u64,
    /// Not to be polled before.
    next_poll: String,
    /// The last poll, and what is wrong since when; null before the first.
    #[schema(value_type = Option<Report>)]
    report: Value,
    /// Events it appended, ever.
    appended: u64,
    /// Events it showed again, ever.
    duplicates: u64,
    /// Items that were rejected, ever.
    rejected: u64,
    /// Events of an unfinished walk that are not numbered yet.
    journaled: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    removed_at: Option<String>,
}

/// All sources, by name.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SourceList {
    sources: Vec<SourceView>,
}

/// Where the next walk is to start: one of `cursor` and `keep`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CursorBody {
    /// A cursor as the source shows it; null: as at the first run.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Value)]
    cursor: Option<Value>,
    /// Takes the stored cursor over for a changed kind, URL or cursor rule.
    #[serde(default)]
    keep: bool,
    /// Applies the configuration file as it is now first, as SIGHUP does; a file that is refused
    /// refuses this, too (`file_refused`), and everything stays as it was.
    #[serde(default)]
    apply: bool,
}

/// Tells an absent field from one that is null.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl CursorBody {
    fn steer(self) -> Result<Steer, Problem> {
        match (self.cursor, self.keep) {
            (Some(cursor), false) => {
                start_at(&cursor).map_err(|problem| Problem::field("cursor", problem))
            }
            (None, true) => Ok(Steer::KeepCursor),
            _ => Err(Problem::field(
                "cursor",
                "expected one of `cursor` (a cursor as the source shows it, or null: as at the \
                 first run) and `keep: true`",
            )),
        }
    }
}

/// An item that was no event.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RejectedView {
    at: String,
    reason: String,
    /// The item as the producer sent it; bytes that are not UTF-8 are replaced.
    item: String,
}

/// Rejected items, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RejectedList {
    rejected: Vec<RejectedView>,
}

pub(super) fn routes() -> Vec<(&'static str, MethodRouter<ApiState>)> {
    vec![
        ("/v1/sources", routing::get(list_sources)),
        ("/v1/sources/{name}", routing::get(show)),
        ("/v1/sources/{name}/poll", routing::post(poll)),
        ("/v1/sources/{name}/pause", routing::post(pause)),
        ("/v1/sources/{name}/resume", routing::post(resume)),
        ("/v1/sources/{name}/cursor", routing::post(set_cursor)),
        ("/v1/sources/{name}/rejected", routing::get(rejected)),
    ]
}

/// All sources by name.
#[utoipa::path(get, path = "/v1/sources", tag = "sources",
    params(("limit" = Option<usize>, Query), ("after" = Option<String>, Query, description = "A name")),
    responses((status = 200, body = SourceList)))]
pub(super) async fn list_sources(
    State(api): State<ApiState>,
    caller: Caller,
    query: Query,
) -> Result<Response, Problem> {
    query.allow(&["limit", "after"])?;
    let mut all = api.store.sources().await?;
    all.retain(|state| caller.covers(&state.topic));
    all.sort_by(|a, b| a.name.cmp(&b.name));
    let (page, next) = list::by_name(all, &query, |state| state.name.as_str())?;
    let sources = page.into_iter().map(|state| short(view(state))).collect();
    Ok(list::answer("/v1/sources", &query, next.as_deref(), SourceList { sources }))
}

/// One source.
#[utoipa::path(get, path = "/v1/sources/{name}", tag = "sources", params(("name" = String, Path)),
    responses((status = 200, body = SourceView), (status = 404, description = "No such source")))]
pub(super) async fn show(
    State(api): State<ApiState>,
    Path(name): Path<Name>,
    query: Query,
) -> Result<Json<SourceView>, Problem> {
    query.allow(&[])?;
    Ok(Json(view(api.store.source(&name).await?)))
}

/// Polls as soon as may be.
#[utoipa::path(post, path = "/v1/sources/{name}/poll", tag = "sources",
    params(("name" = String, Path)), request_body = Nothing,
    responses((status = 200, body = SourceView),
        (status = 409, description = "`conflict`: it has left the configuration file")))]
pub(super) async fn poll(
    State(api): State<ApiState>,
    Path(name): Path<Name>,
    query: Query,
    _: JsonBody<Nothing>,
) -> Result<Json<SourceView>, Problem> {
    steer(&api, &name, &query, Steer::Poll).await
}

/// Stops polling; the source keeps its place.
#[utoipa::path(post, path = "/v1/sources/{name}/pause", tag = "sources",
    params(("name" = String, Path)), request_body = Nothing,
    responses((status = 200, body = SourceView),
        (status = 409, description = "`conflict`: it has left the configuration file")))]
pub(super) async fn pause(
    State(api): State<ApiState>,
    Path(name): Path<Name>,
    query: Query,
    _: JsonBody<Nothing>,
) -> Result<Json<SourceView>, Problem> {
    steer(&api, &name, &query, Steer::Pause).await
}

/// Polls again.
#[utoipa::path(post, path = "/v1/sources/{name}/resume", tag = "sources",
    params(("name" = String, Path)), request_body = Nothing,
    responses((status = 200, body = SourceView),
        (status = 409, description = "`conflict`: it has left the configuration file")))]
pub(super) async fn resume(
    State(api): State<ApiState>,
    Path(name): Path<Name>,
    query: Query,
    _: JsonBody<Nothing>,
) -> Result<Json<SourceView>, Problem> {
    steer(&api, &name, &query, Steer::Resume).await
}

/// Sets where the next walk starts. Work that is under way for the source keeps nothing any more,
/// and a source that is paused stays so. `old_cursor` in the answer is what was replaced.
#[utoipa::path(post, path = "/v1/sources/{name}/cursor", tag = "sources",
    params(("name" = String, Path)), request_body = CursorBody,
    responses((status = 200, body = SourceView),
        (status = 409, description = "`file_refused`, or `conflict`: there is no cursor to keep, or no file to apply")))]
pub(super) async fn set_cursor(
    State(api): State<ApiState>,
    Path(name): Path<Name>,
    query: Query,
    JsonBody(body): JsonBody<CursorBody>,
) -> Result<Json<SourceView>, Problem> {
    query.allow(&[])?;
    let (apply, given) = (body.apply, body.cursor.clone());
    let by = body.steer()?;
    if apply {
        // A name that was misspelt applies nothing.
        api.store.source(&name).await?;
        (api.apply_file)(false).await?;
    }
    if let Some(cursor) = given.filter(|cursor| !cursor.is_null()) {
        let checked = (api.check_cursor)(&name, &cursor);
        checked.map_err(|problem| Problem::field("cursor", problem))?;
    }
    steer(&api, &name, &query, by).await
}

/// Items of the source that were no events, newest first; 8 MiB of them at most.
#[utoipa::path(get, path = "/v1/sources/{name}/rejected", tag = "sources",
    params(("name" = String, Path), ("limit" = Option<usize>, Query)),
    responses((status = 200, body = RejectedList)))]
pub(super) async fn rejected(
    State(api): State<ApiState>,
    Path(name): Path<Name>,
    query: Query,
) -> Result<Json<RejectedList>, Problem> {
    query.allow(&["limit"])?;
    let view = |rejected: Rejected| RejectedView {
        at: rejected.at.to_string(),
        reason: rejected.reason,
        item: String::from_utf8_lossy(&rejected.item).into_owned(),
    };
    // What is read, and what is made of it.
    let _room = api.budget.take(2 * REJECTED_BYTES_MAX)?;
    let rejected = api.store.rejected(&name, query.limit()?).await?;
    Ok(Json(RejectedList { rejected: rejected.into_iter().map(view).collect() }))
}

async fn steer(
    api: &ApiState,
    name: &Name,
    query: &Query,
    steer: Steer,
) -> Result<Json<SourceView>, Problem> {
    query.allow(&[])?;
    let state = api.store.steer_source(name, steer, api.clock.now()).await?;
    Ok(Json(view(state)))
}

/// A source as a list shows it: thousands of items may lie at the edge of one cursor.
fn short(mut view: SourceView) -> SourceView {
    for cursor in [&mut view.cursor, &mut view.old_cursor] {
        if let Value::Object(parts) = cursor {
            parts.retain(|_, part| part.to_string().len() <= LISTED_BYTES_MAX);
        }
    }
    view
}

fn view(state: SourceState) -> SourceView {
    SourceView {
        stuck: Stuck::of(&state),
        name: state.name.to_string(),
        topic: state.topic.to_string(),
        event_source: state.event_source,
        status: state.status,
        cursor: shown(state.cursor.as_deref()),
        old_cursor: shown(state.old_cursor.as_deref()),
        walking: state.mark.is_some(),
        walks: state.walks,
        next_poll: state.next_poll.to_string(),
        report: shown(state.report.as_deref()),
        appended: state.appended,
        duplicates: state.duplicates,
        rejected: state.rejected,
        journaled: state.journaled,
        removed_at: state.removed_at.map(|at| at.to_string()),
    }
}
