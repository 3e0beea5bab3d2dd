//! Steering a subscription: pausing and resuming it, and moving its positions.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    moves::{self, Move},
    place::Place,
    view::{self, SubscriptionView},
};
use crate::{
    api::{
        ApiState,
        body::{JsonBody, Nothing, Path},
        dry_run,
        problem::Problem,
        query::Query,
    },
    event::{Name, Topic},
    store::{Subscription, SubscriptionSteer},
};

/// Where to move the positions of a subscription.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RewindBody {
    /// Only the position in this topic; needed for a version or cursor when there are several.
    topic: Option<Topic>,
    /// The last event not wanted: the next one delivered is the one after it. Or a word or time.
    to: Option<Place>,
    /// The first event wanted. Or a word or time.
    from: Option<Place>,
}

/// Where to go on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResumeBody {
    /// Only the position in this topic is moved; needed for a version or cursor when there are
    /// several.
    topic: Option<Topic>,
    /// The first event wanted, or `latest`, `earliest` or a time. Default: where it stands.
    from: Option<Place>,
}

/// Stops pushing; the subscription keeps its place.
#[utoipa::path(post, path = "/v1/subscriptions/{name}/pause", tag = "subscriptions",
    params(("name" = String, Path)), request_body = Nothing,
    responses((status = 200, body = SubscriptionView),
        (status = 409, description = "`conflict`: it has left the configuration file")))]
pub(crate) async fn pause(
    State(api): State<ApiState>,
    Path(name): Path<Name>,
    query: Query,
    _: JsonBody<Nothing>,
) -> Result<Json<SubscriptionView>, Problem> {
    steer(&api, &name, &query, SubscriptionSteer::Pause).await
}

/// Pushes again, from where it stood or from the place that is named, and forgets the endpoint's
/// health.
#[utoipa::path(post, path = "/v1/subscriptions/{name}/resume", tag = "subscriptions",
    params(("name" = String, Path), ("dry_run" = Option<bool>, Query, description = "Tell what it would do, and do nothing")),
    request_body = ResumeBody,
    responses((status = 200, body = SubscriptionView),
        (status = 409, description = "`history_changed`; `conflict`: ahead of the head, or it has left the configuration file"),
        (status = 410, description = "`gone`")))]
pub(crate) async fn resume(
    State(api): State<ApiState>,
    Path(name): Path<Name>,
    query: Query,
    JsonBody(body): JsonBody<ResumeBody>,
) -> Result<Response, Problem> {
    let dry_run = dry_run::asked(&query)?;
    let subscription = api.store.subscription(&name).await?;
    let is_moved = body.from.is_some();
    let moves = match (body.from, body.topic) {
        (Some(from), topic) => moves::found(&api, &subscription, from, true, topic).await?,
        (None, Some(_)) => {
            return Err(Problem::field("from", "expected `from` with `topic`"));
        }
        (None, None) => moves::as_they_stand(&api, &subscription).await?,
    };
    if dry_run {
        return told(&api, subscription, &moves).await;
    }
    if is_moved {
        moves::make(&api, &name, &moves).await?;
    }
    let now = api.clock.now();
    let resumed = api.store.steer_subscription(&name, SubscriptionSteer::Resume, now).await?;
    Ok(Json(view::whole(&api, resumed).await?).into_response())
}

/// What would be moved, beside the subscription as it is.
async fn told(
    api: &ApiState,
    subscription: Subscription,
    moves: &[Move],
) -> Result<Response, Problem> {
    let moves = moves.iter().map(Move::view).collect();
    let view = view::whole(api, subscription).await?.with_moves(moves);
    Ok(dry_run::answer(true, Json(view)))
}

async fn steer(
    api: &ApiState,
    name: &Name,
    query: &Query,
    steer: SubscriptionSteer,
) -> Result<Json<SubscriptionView>, Problem> {
    query.allow(&[])?;
    let steered = api.store.steer_subscription(name, steer, api.clock.now()).await?;
    Ok(Json(view::whole(api, steered).await?))
}

/// Moves positions, back or forward; dead letters stay.
#[utoipa::path(post, path = "/v1/subscriptions/{name}/rewind", tag = "subscriptions",
    params(("name" = String, Path), ("dry_run" = Option<bool>, Query, description = "Tell what it would do, and do nothing")),
    request_body = RewindBody,
    responses((status = 200, body = SubscriptionView),
        (status = 409, description = "`history_changed`; `conflict`: ahead of the head, or it has left the configuration file"),
        (status = 410, description = "`gone`")))]
pub(crate) async fn rewind(
    State(api): State<ApiState>,
    Path(name): Path<Name>,
    query: Query,
    JsonBody(body): JsonBody<RewindBody>,
) -> Result<Response, Problem> {
    let dry_run = dry_run::asked(&query)?;
    let (place, inclusive) = match (body.to, body.from) {
        (Some(to), None) => (to, false),
        (None, Some(from)) => (from, true),
        _ => return Err(Problem::field("to", "expected either `to` or `from`")),
    };
    let subscription = api.store.subscription(&name).await?;
    let moves = moves::found(&api, &subscription, place, inclusive, body.topic).await?;
    if dry_run {
        return told(&api, subscription, &moves).await;
    }
    moves::make(&api, &name, &moves).await?;
    let subscription = api.store.subscription(&name).await?;
    Ok(Json(view::whole(&api, subscription).await?).into_response())
}
