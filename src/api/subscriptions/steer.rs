//! Steering a subscription: pausing and resuming it, and moving its positions.

use axum::{Json, extract::State};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    place::Place,
    view::{self, SubscriptionView},
};
use crate::{
    api::{
        ApiState,
        body::{JsonBody, Nothing, Path},
        problem::Problem,
        query::Query,
    },
    event::{Name, Topic},
    store::SubscriptionSteer,
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
    params(("name" = String, Path)), request_body = ResumeBody,
    responses((status = 200, body = SubscriptionView),
        (status = 409, description = "`history_changed`; `conflict`: ahead of the head, or it has left the configuration file"),
        (status = 410, description = "`gone`")))]
pub(crate) async fn resume(
    State(api): State<ApiState>,
    Path(name): Path<Name>,
    query: Query,
    JsonBody(body): JsonBody<ResumeBody>,
) -> Result<Json<SubscriptionView>, Problem> {
    query.allow(&[])?;
    match (body.from, body.topic) {
        (Some(from), topic) => move_to(&api, &name, from, true, topic).await?,
        (None, Some(_)) => {
            return Err(Problem::field("from", "expected `from` with `topic`"));
        }
        (None, None) => {}
    }
    steer(&api, &name, &query, SubscriptionSteer::Resume).await
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
    params(("name" = String, Path)), request_body = RewindBody,
    responses((status = 200, body = SubscriptionView),
        (status = 409, description = "`history_changed`; `conflict`: ahead of the head, or it has left the configuration file"),
        (status = 410, description = "`gone`")))]
pub(crate) async fn rewind(
    State(api): State<ApiState>,
    Path(name): Path<Name>,
    query: Query,
    JsonBody(body): JsonBody<RewindBody>,
) -> Result<Json<SubscriptionView>, Problem> {
    query.allow(&[])?;
    let (place, inclusive) = match (body.to, body.from) {
        (Some(to), None) => (to, false),
        (None, Some(from)) => (from, true),
        _ => return Err(Problem::field("to", "expected either `to` or `from`")),
    };
    move_to(&api, &name, place, inclusive, body.topic).await?;
    Ok(Json(view::whole(&api, api.store.subscription(&name).await?).await?))
}

/// Moves the position in `topic`, or all of them. A version or cursor is the first event wanted
/// when `inclusive`, else the last one not wanted.
async fn move_to(
    api: &ApiState,
    name: &Name,
    place: Place,
    inclusive: bool,
    topic: Option<Topic>,
) -> Result<(), Problem> {
    let subscription = api.store.subscription(name).await?;
    let mut topics: Vec<Topic> =
        subscription.live().map(|position| position.topic.clone()).collect();
    if let Some(wanted) = topic {
        topics.retain(|topic| *topic == wanted);
        if topics.is_empty() {
            let detail = format!("`topic`: subscription `{name}` is not in `{wanted}`");
            return Err(Problem::field("topic", detail));
        }
    }
    if topics.len() > 1 && !place.is_of_any_topic() {
        let detail = "a version or cursor is of one topic: say which in `topic`";
        return Err(Problem::field("topic", detail));
    }
    let mut moves = Vec::with_capacity(topics.len());
    for topic in topics {
        let state = api.store.topic(&topic).await?;
        moves.push((topic, place.resolve(api, &state, inclusive).await?));
    }
    // Nothing is moved before every place has been found.
    for (topic, to) in moves {
        api.store.rewind(name, Some(&topic), to, api.clock.now()).await?;
    }
    Ok(())
}
