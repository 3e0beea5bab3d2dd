//! Topics: what a log holds and how long it is kept.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
    routing::{self, MethodRouter},
};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use self::body::TopicBody;
use super::{
    ApiState,
    body::{JsonBody, Nothing, Path},
    gate::Caller,
    list,
    problem::Problem,
    query::Query,
};
use crate::{
    event::{Name, Topic},
    settings::TopicSettings,
    store::{StoreError, TopicState},
};

mod body;

/// Over how long the rate is taken.
const RATE_OVER: Duration = Duration::from_mins(1);
/// More gaps than these are not counted.
const GAPS_COUNTED: usize = 1_000;

/// A topic as it stands.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TopicView {
    topic: String,
    /// What webhook ids begin with.
    uid: String,
    /// The last version; 0 when there is none.
    head: u64,
    /// The oldest version kept; head + 1 when none is.
    oldest: u64,
    /// The present epoch.
    epoch: String,
    /// The head as a cursor.
    cursor: String,
    /// Events kept.
    count: u64,
    /// Attributes and data kept.
    bytes: u64,
    /// Events a second over the last minute.
    rate: f64,
    /// Gaps recorded, up to 1,000.
    gaps: usize,
    /// When the head was recorded; absent when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    recorded: Option<String>,
    epochs: Vec<EpochView>,
    settings: TopicBody,
}

/// An epoch of a topic.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EpochView {
    epoch: String,
    /// The version it begins with.
    first: u64,
    started: String,
    reason: String,
}

/// All topics, by name.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TopicList {
    topics: Vec<TopicView>,
}

/// Why history may have been cut.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewEpochBody {
    /// Kept with the epoch.
    #[schema(max_length = 1_000)]
    reason: Option<String>,
}

/// The epoch that was begun.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NewEpochView {
    epoch: String,
    /// Its first version, which the next event gets.
    first: u64,
    /// The head before it.
    head: u64,
}

/// A hole in what a producer showed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct GapView {
    source: String,
    /// The head when it was recorded: what is missing would have come after it.
    version: u64,
    recorded: String,
    reason: String,
    detail: String,
}

/// The gaps of a topic, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct GapList {
    gaps: Vec<GapView>,
}

pub(super) fn routes() -> Vec<(&'static str, MethodRouter<ApiState>)> {
    vec![
        ("/v1/topics", routing::get(list_topics)),
        ("/v1/topics/{topic}", routing::get(show).put(put).delete(remove)),
        ("/v1/topics/{topic}/new-epoch", routing::post(new_epoch)),
        ("/v1/topics/{topic}/gaps", routing::get(gaps)),
    ]
}

/// All topics by name.
#[utoipa::path(get, path = "/v1/topics", tag = "topics",
    params(("limit" = Option<usize>, Query), ("after" = Option<String>, Query, description = "A name")),
    responses((status = 200, body = TopicList)))]
pub(super) async fn list_topics(
    State(api): State<ApiState>,
    caller: Caller,
    query: Query,
) -> Result<Response, Problem> {
    query.allow(&["limit", "after"])?;
    let mut all = api.store.topics().await?;
    all.retain(|state| caller.covers(&state.topic));
    all.sort_by(|a, b| a.topic.cmp(&b.topic));
    let (page, next) = list::by_name(all, &query, |state| state.topic.as_str())?;
    let mut topics = Vec::with_capacity(page.len());
    for state in &page {
        match view(&api, state).await {
            // It went between the list and the look.
            Err(StoreError::NotFound { .. }) => {}
            view => topics.push(view?),
        }
    }
    Ok(list::answer("/v1/topics", &query, next.as_deref(), TopicList { topics }))
}

/// One topic.
#[utoipa::path(get, path = "/v1/topics/{topic}", tag = "topics", params(("topic" = String, Path)),
    responses((status = 200, body = TopicView), (status = 404, description = "No such topic")))]
pub(super) async fn show(
    State(api): State<ApiState>,
    Path(topic): Path<Topic>,
    query: Query,
) -> Result<Json<TopicView>, Problem> {
    query.allow(&[])?;
    let state = api.store.topic(&topic).await?;
    Ok(Json(view(&api, &state).await?))
}

/// Creates a topic, or replaces its settings.
#[utoipa::path(put, path = "/v1/topics/{topic}", tag = "topics", params(("topic" = String, Path)),
    request_body = TopicBody,
    responses((status = 200, body = TopicView), (status = 201, body = TopicView),
        (status = 403, description = "`reserved`: the topic belongs to the relay"),
        (status = 409, description = "`read_only`: the configuration file says otherwise"),
        (status = 429, description = "`full`: subscriptions by a pattern would have too many positions")))]
pub(super) async fn put(
    State(api): State<ApiState>,
    Path(topic): Path<Topic>,
    query: Query,
    JsonBody(body): JsonBody<TopicBody>,
) -> Result<Response, Problem> {
    query.allow(&[])?;
    refuse_reserved(&topic)?;
    let settings = TopicSettings::from(body);
    body::refuse_senseless(&settings)?;
    let status = match api.store.topic(&topic).await {
        Ok(known) if known.settings == settings => StatusCode::OK,
        Ok(_) => {
            refuse_of_file(&api, &topic)?;
            StatusCode::OK
        }
        Err(StoreError::NotFound { .. }) => StatusCode::CREATED,
        Err(error) => return Err(error.into()),
    };
    let state = api.store.put_topic(&topic, &settings, api.clock.now()).await?;
    api.metrics.know_topic(&topic);
    Ok((status, Json(view(&api, &state).await?)).into_response())
}

/// Removes a topic with its events, unless a source or subscription uses it.
#[utoipa::path(delete, path = "/v1/topics/{topic}", tag = "topics",
    params(("topic" = String, Path)), request_body = Nothing,
    responses((status = 204, description = "It is gone"),
        (status = 403, description = "`reserved`: the topic belongs to the relay"), (status = 409, description = "`conflict`: in use, or `read_only`: named by the configuration file")))]
pub(super) async fn remove(
    State(api): State<ApiState>,
    Path(topic): Path<Topic>,
    query: Query,
    _: JsonBody<Nothing>,
) -> Result<StatusCode, Problem> {
    query.allow(&[])?;
    refuse_reserved(&topic)?;
    refuse_of_file(&api, &topic)?;
    api.store.delete_topic(&topic, api.clock.now()).await?;
    api.metrics.forget_topic(&topic);
    Ok(StatusCode::NO_CONTENT)
}

/// Begins a new epoch, because history may have been cut: cursors beyond the head get a 409.
#[utoipa::path(post, path = "/v1/topics/{topic}/new-epoch", tag = "topics",
    params(("topic" = String, Path)), request_body = NewEpochBody,
    responses((status = 200, body = NewEpochView)))]
pub(super) async fn new_epoch(
    State(api): State<ApiState>,
    Path(topic): Path<Topic>,
    query: Query,
    JsonBody(body): JsonBody<NewEpochBody>,
) -> Result<Json<NewEpochView>, Problem> {
    query.allow(&[])?;
    let reason = body.reason.as_deref().unwrap_or("announced by an operator");
    if reason.len() > 1_000 {
        return Err(Problem::field("reason", "`reason` has at most 1,000 bytes"));
    }
    api.store.new_epoch(&topic, reason, api.clock.now()).await?;
    let state = api.store.topic(&topic).await?;
    let begun = state.epochs.last().ok_or_else(Problem::internal)?;
    Ok(Json(NewEpochView {
        epoch: begun.epoch.to_string(),
        first: begun.first.0,
        head: begun.first.previous().0,
    }))
}

/// The gaps recorded for a topic, newest first.
#[utoipa::path(get, path = "/v1/topics/{topic}/gaps", tag = "topics",
    params(("topic" = String, Path), ("limit" = Option<usize>, Query)),
    responses((status = 200, body = GapList)))]
pub(super) async fn gaps(
    State(api): State<ApiState>,
    Path(topic): Path<Topic>,
    query: Query,
) -> Result<Json<GapList>, Problem> {
    query.allow(&["limit"])?;
    let gaps = api.store.gaps(&topic, query.limit()?).await?;
    let view = |gap: crate::store::Gap| GapView {
        source: gap.source,
        version: gap.version.0,
        recorded: gap.recorded.to_string(),
        reason: gap.reason,
        detail: gap.detail,
    };
    Ok(Json(GapList { gaps: gaps.into_iter().map(view).collect() }))
}

fn refuse_reserved(topic: &Topic) -> Result<(), Problem> {
    if topic.is_reserved() {
        let detail = format!("topics beginning `{}` belong to the relay", Name::RESERVED_PREFIX);
        return Err(Problem::new(StatusCode::FORBIDDEN, "reserved", detail));
    }
    Ok(())
}

/// A change that the next start or reload would undo is refused rather than made.
fn refuse_of_file(api: &ApiState, topic: &Topic) -> Result<(), Problem> {
    if api.file_topics.borrow().contains(topic) {
        let detail = format!("topic `{topic}` is set by the configuration file; change it there");
        return Err(Problem::new(StatusCode::CONFLICT, "read_only", detail));
    }
    Ok(())
}

async fn view(api: &ApiState, state: &Arc<TopicState>) -> Result<TopicView, StoreError> {
    let since = api.clock.now().minus(RATE_OVER);
    let before = api.store.version_before(&state.topic, since).await?;
    let gaps = api.store.gaps(&state.topic, GAPS_COUNTED).await?.len();
    let lost = api.store.lost(&state.topic).await?;
    // None of these can be read.
    let behind = |after: u64| -> u64 {
        lost.iter().map(|(first, last)| last.0.saturating_sub(after.max(first.0 - 1))).sum()
    };
    let recent = state.head.0.saturating_sub(before.0).saturating_sub(behind(before.0));
    let recent = u32::try_from(recent).unwrap_or(u32::MAX);
    let epochs: Vec<EpochView> = state
        .epochs
        .iter()
        .map(|start| EpochView {
            epoch: start.epoch.to_string(),
            first: start.first.0,
            started: start.started.to_string(),
            reason: start.reason.clone(),
        })
        .collect();
    Ok(TopicView {
        topic: state.topic.to_string(),
        uid: state.uid.clone(),
        head: state.head.0,
        oldest: state.oldest.0,
        epoch: epochs.last().map(|last| last.epoch.clone()).unwrap_or_default(),
        cursor: state.cursor(state.head).to_string(),
        count: state.span().saturating_sub(behind(0)),
        bytes: state.bytes,
        rate: (f64::from(recent) / RATE_OVER.as_secs_f64() * 1_000.0).round() / 1_000.0,
        gaps,
        recorded: (state.head.0 > 0).then(|| state.recorded.to_string()),
        epochs,
        settings: TopicBody::from(&state.settings),
    })
}
