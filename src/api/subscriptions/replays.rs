//! Replay jobs: a part of a topic, delivered again beside live delivery.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::place::Place;
use crate::{
    api::{
        ApiState,
        body::{JsonBody, Nothing, Path},
        dry_run,
        problem::Problem,
        query::Query,
    },
    event::{Name, Topic},
    settings::Rate,
    store::{Job, JobStatus, NewJob, StoreError, Subscription, SubscriptionStatus},
};

/// What to deliver again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReplayBody {
    /// The topic; needed when the subscription has several.
    topic: Option<Topic>,
    /// The first event wanted: a version, a cursor, a time, or `earliest`.
    from: Place,
    /// The last event wanted: a version or cursor; or a time that it is before. Default: the
    /// newest.
    to: Option<Place>,
    /// The most events started in a time, as `100/s`. Default: as fast as the endpoint allows.
    rate: Option<Rate>,
}

/// A replay job.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReplayView {
    /// What the header `milkrun-replay` says.
    id: i64,
    topic: String,
    /// The first version.
    from: u64,
    /// The last version.
    to: u64,
    rate: Option<Rate>,
    /// `running`, `done` or `cancelled`; or `waiting`, while the subscription is not served.
    status: &'static str,
    /// Why it waits, and what helps.
    #[serde(skip_serializing_if = "Option::is_none")]
    waits: Option<String>,
    /// Every version up to it has been looked at.
    reach: u64,
    /// Versions up to the reach that are not settled: in flight, or waiting for another attempt.
    unsettled: u64,
    /// How much of it is settled, 0 to 100.
    done_percent: u64,
    /// Deliveries that succeeded.
    delivered: u64,
    started: String,
    ended: Option<String>,
}

/// What a replay would deliver.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReplayPlan {
    /// That nothing was done.
    dry_run: bool,
    topic: String,
    /// The first version.
    from: u64,
    /// The last version.
    to: u64,
    /// Events between them, which are sent as the filter wants them.
    events: u64,
}

/// The replay jobs of a subscription.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReplayList {
    replays: Vec<ReplayView>,
}

/// Why the replays of a subscription wait; `None` while it is served.
fn waits(subscription: &Subscription) -> Option<String> {
    let name = &subscription.name;
    let resume = format!("`milkrun subscriptions resume {name}` lets it go on");
    let (is, helps) = match subscription.status {
        SubscriptionStatus::Active => return None,
        SubscriptionStatus::Paused => ("paused", resume),
        SubscriptionStatus::Disabled => ("disabled", resume),
        SubscriptionStatus::Removed | SubscriptionStatus::Deleted => {
            ("removed", "it goes on when the configuration file has it again".to_owned())
        }
    };
    Some(format!("subscription `{name}` is {is}: {helps}"))
}

impl ReplayView {
    fn new(job: &Job, waits: Option<String>) -> Self {
        let waits = waits.filter(|_| job.status == JobStatus::Running);
        let all = job.to.next().0.saturating_sub(job.from.0).max(1);
        let looked = job.reach.next().0.saturating_sub(job.from.0).min(all);
        let settled = looked.saturating_sub(job.unsettled);
        Self {
            id: job.id,
            topic: job.topic.to_string(),
            from: job.from.0,
            to: job.to.0,
            rate: job.rate,
            status: if waits.is_some() { "waiting" } else { job.status.into() },
            waits,
            reach: job.reach.0,
            done_percent: if job.status == JobStatus::Done { 100 } else { settled * 100 / all },
            unsettled: job.unsettled,
            delivered: job.delivered,
            started: job.started.to_string(),
            ended: job.ended.map(|ended| ended.to_string()),
        }
    }
}

/// Deliver a part of a topic again, beside live delivery and without a promise of order. Its
/// requests have the header `milkrun-replay`.
#[utoipa::path(post, path = "/v1/subscriptions/{name}/replays", tag = "subscriptions",
    params(("name" = String, Path), ("dry_run" = Option<bool>, Query, description = "Tell what it would do, and do nothing")),
    request_body = ReplayBody,
    responses((status = 201, body = ReplayView), (status = 200, body = ReplayPlan),
        (status = 409, description = "`history_changed`, or `conflict`: there is nothing to replay"),
        (status = 410, description = "`gone`: older than what is kept"),
        (status = 429, description = "`full`: as many run as may"),
        (status = 500, description = "`damaged`, with `from` and `to`")))]
pub(crate) async fn start(
    State(api): State<ApiState>,
    Path(name): Path<Name>,
    query: Query,
    JsonBody(body): JsonBody<ReplayBody>,
) -> Result<Response, Problem> {
    let dry_run = dry_run::asked(&query)?;
    let subscription = api.store.subscription(&name).await?;
    let topic = topic(&subscription, body.topic)?;
    let state = api.store.topic(&topic).await?;
    let from = body.from.resolve(&api, &state, true).await?.next();
    let to = match body.to {
        Some(Place::Earliest) => {
            let detail = "`to`: expected a version, a cursor, a time or `latest`";
            return Err(Problem::field("to", detail));
        }
        Some(to) => to.resolve(&api, &state, false).await?,
        None => state.head,
    };
    if from > to {
        let detail = format!("`from`: there is no event from version {from} to {to}");
        return Err(Problem::field("from", detail));
    }
    if dry_run {
        let events = to.0 + 1 - from.0;
        let topic = topic.to_string();
        let plan = ReplayPlan { dry_run, topic, from: from.0, to: to.0, events };
        return Ok(dry_run::answer(true, Json(plan)));
    }
    let job = NewJob { topic, from, to, rate: body.rate };
    let job = api.store.start_replay(&name, &job, api.clock.now()).await?;
    let view = ReplayView::new(&job, waits(&subscription));
    let place = format!("/v1/subscriptions/{name}/replays/{}", view.id);
    let mut response = (StatusCode::CREATED, Json(view)).into_response();
    if let Ok(place) = HeaderValue::from_str(&place) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    Ok(response)
}

/// The topic that is meant: the only one, or the one named.
fn topic(subscription: &Subscription, named: Option<Topic>) -> Result<Topic, Problem> {
    let name = &subscription.name;
    let live = subscription.positions.iter().filter(|position| position.job.is_none());
    let topics: Vec<&Topic> = live.map(|position| &position.topic).collect();
    match (named, &topics[..]) {
        (Some(named), topics) if topics.contains(&&named) => Ok(named),
        (Some(named), _) => {
            let detail = format!("`topic`: subscription `{name}` is not in `{named}`");
            Err(Problem::field("topic", detail))
        }
        (None, [topic]) => Ok((*topic).clone()),
        (None, _) => {
            let detail = format!("`topic`: subscription `{name}` has several topics: say which");
            Err(Problem::field("topic", detail))
        }
    }
}

/// The replay jobs of a subscription, newest first: those that run, and at most 100 that ended in
/// the last 30 days.
#[utoipa::path(get, path = "/v1/subscriptions/{name}/replays", tag = "subscriptions",
    params(("name" = String, Path)), responses((status = 200, body = ReplayList)))]
pub(crate) async fn list(
    State(api): State<ApiState>,
    Path(name): Path<Name>,
    query: Query,
) -> Result<Json<ReplayList>, Problem> {
    query.allow(&[])?;
    let waits = waits(&api.store.subscription(&name).await?);
    let replays = api.store.replays(&name).await?.into_iter();
    let view = |job: Job| ReplayView::new(&job, waits.clone());
    Ok(Json(ReplayList { replays: replays.map(view).collect() }))
}

/// One replay job.
#[utoipa::path(get, path = "/v1/subscriptions/{name}/replays/{id}", tag = "subscriptions",
    params(("name" = String, Path), ("id" = i64, Path)),
    responses((status = 200, body = ReplayView), (status = 404, description = "No such job")))]
pub(crate) async fn show(
    State(api): State<ApiState>,
    Path((name, id)): Path<(Name, i64)>,
    query: Query,
) -> Result<Json<ReplayView>, Problem> {
    query.allow(&[])?;
    let found = api.store.replays(&name).await?.into_iter().find(|job| job.id == id);
    let job = found.ok_or_else(|| StoreError::not_found("replay", id.to_string()))?;
    let waits = waits(&api.store.subscription(&name).await?);
    Ok(Json(ReplayView::new(&job, waits)))
}

/// Ends a replay job before its time; what is in flight may still arrive.
#[utoipa::path(delete, path = "/v1/subscriptions/{name}/replays/{id}", tag = "subscriptions",
    params(("name" = String, Path), ("id" = i64, Path)), request_body = Nothing,
    responses((status = 200, body = ReplayView), (status = 404, description = "No such job"),
        (status = 409, description = "`conflict`: it has ended")))]
pub(crate) async fn cancel(
    State(api): State<ApiState>,
    Path((name, id)): Path<(Name, i64)>,
    query: Query,
    _: JsonBody<Nothing>,
) -> Result<Json<ReplayView>, Problem> {
    query.allow(&[])?;
    let job = api.store.cancel_replay(&name, id, api.clock.now()).await?;
    Ok(Json(ReplayView::new(&job, None)))
}
