//! Subscriptions: who is pushed what, where each one stands, and moving it.

mod change;
mod moves;
mod place;
pub(super) mod replays;
pub(super) mod request;
pub(super) mod secrets;
pub(super) mod steer;
pub(super) mod trial;
mod view;
pub(super) mod waiting;
mod webhook;

use std::collections::HashSet;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
    routing::{self, MethodRouter},
};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use self::{
    place::Place,
    request::{Made, SubscriptionBody},
    view::{SubscriptionList, SubscriptionView},
};
use super::{
    ApiState,
    body::{JsonBody, Nothing, Path},
    dry_run,
    gate::Caller,
    list,
    problem::Problem,
    query::Query,
};
use crate::{
    event::{Name, Topic, TopicPattern},
    settings::SubscriptionSettings,
    store::{
        NewSubscription, Origin, Share, StartFrom, StoreError, Subscription, SubscriptionStatus,
        SubscriptionSteer,
    },
};

pub(super) fn routes() -> Vec<(&'static str, MethodRouter<ApiState>)> {
    vec![
        ("/v1/subscriptions", routing::get(list_subscriptions).post(create)),
        ("/v1/subscriptions/{name}", routing::get(show).patch(change).delete(remove)),
        ("/v1/subscriptions/{name}/pause", routing::post(steer::pause)),
        ("/v1/subscriptions/{name}/resume", routing::post(steer::resume)),
        ("/v1/subscriptions/{name}/rewind", routing::post(steer::rewind)),
        ("/v1/subscriptions/{name}/test", routing::post(trial::trial)),
        ("/v1/subscriptions/{name}/waiting", routing::get(waiting::waiting)),
        ("/v1/subscriptions/{name}/replays", routing::get(replays::list).post(replays::start)),
        (
            "/v1/subscriptions/{name}/replays/{id}",
            routing::get(replays::show).delete(replays::cancel),
        ),
        ("/v1/subscriptions/{name}/secrets/rotate", routing::post(secrets::rotate)),
    ]
}

/// All subscriptions by name.
#[utoipa::path(get, path = "/v1/subscriptions", tag = "subscriptions",
    params(("limit" = Option<usize>, Query), ("after" = Option<String>, Query, description = "A name"),
        ("name" = Option<String>, Query, description = "Only those with this in their names"),
        ("dead_letters" = Option<bool>, Query, description = "Only those that have dead letters")),
    responses((status = 200, body = SubscriptionList)))]
pub(super) async fn list_subscriptions(
    State(api): State<ApiState>,
    caller: Caller,
    query: Query,
) -> Result<Response, Problem> {
    query.allow(&["limit", "after", "name", "dead_letters"])?;
    let all = api.directory.look().await?;
    let named = query.get("name").unwrap_or_default();
    let dead = if query.flag("dead_letters")? { Some(with_dead(&api).await?) } else { None };
    let seen = all.by_name().filter(|one| {
        let has_dead = dead.as_ref().is_none_or(|dead| dead.contains(&one.id));
        has_dead && one.name.as_str().contains(named) && caller.owns(one)
    });
    let (page, next) = list::by_name(seen, &query, |one| one.name.as_str())?;
    let page = Share::These(page.iter().map(|one| one.id).collect());
    let heads = view::heads(&api, &page).await?;
    let subscriptions = api.store.subscriptions_of(&page).await?.into_iter();
    let subscriptions = subscriptions.map(|one| SubscriptionView::new(one, &heads)).collect();
    let list = SubscriptionList { subscriptions };
    Ok(list::answer("/v1/subscriptions", &query, next.as_deref(), list))
}

/// Those that have dead letters, by row number.
async fn with_dead(api: &ApiState) -> Result<HashSet<i64>, StoreError> {
    let standings = api.store.standings(&Share::Everything).await?;
    let dead = standings.iter().filter(|standing| standing.dead_letters > 0);
    let mut dead: HashSet<i64> = dead.map(|standing| standing.id).collect();
    // No standing is told of those that were removed.
    let removed: Vec<Subscription> = api.store.subscriptions_of(&removed(api).await?).await?;
    let has_dead = |one: &&Subscription| one.live().any(|position| position.dead_letters > 0);
    dead.extend(removed.iter().filter(has_dead).map(|one| one.id));
    Ok(dead)
}

async fn removed(api: &ApiState) -> Result<Share, StoreError> {
    let all = api.directory.look().await?;
    let removed = all.by_name().filter(|one| one.status == SubscriptionStatus::Removed);
    Ok(Share::These(removed.map(|one| one.id).collect()))
}

/// Makes a subscription. A signing secret is made and shown once when none is given.
#[utoipa::path(post, path = "/v1/subscriptions", tag = "subscriptions",
    request_body(content = ref("#/components/schemas/NewSubscription")),
    responses((status = 201, body = SubscriptionView),
        (status = 409, description = "`exists`; or for `from`, `history_changed`, or `conflict`: ahead of the head"),
        (status = 410, description = "`gone`, for `from`"),
        (status = 429, description = "`full`: there are as many subscriptions or positions as may be"),
        (status = 422, description = "`invalid`: `field` says where")))]
pub(super) async fn create(
    State(api): State<ApiState>,
    caller: Caller,
    query: Query,
    JsonBody(body): JsonBody<SubscriptionBody>,
) -> Result<Response, Problem> {
    query.allow(&[])?;
    let Made { name, topics, from, settings, secret } =
        body.make(&caller, &api.outgoing.vet_url)?;
    let from = start(&api, &topics, from).await?;
    let new = NewSubscription { name, origin: Origin::Api, topics, from, settings };
    let made = api.store.put_subscription(&new, api.clock.now()).await?;
    let place = format!("/v1/subscriptions/{}", made.name);
    let heads = view::heads_of(&api, &made).await?;
    let view = SubscriptionView::new(made, &heads).with_secret(secret);
    let mut response = (StatusCode::CREATED, Json(view)).into_response();
    if let Ok(place) = HeaderValue::from_str(&place) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    Ok(response)
}

/// Where the positions of a new subscription begin.
async fn start(api: &ApiState, topics: &[TopicPattern], from: Place) -> Result<StartFrom, Problem> {
    let plain: Vec<Topic> = topics.iter().filter_map(TopicPattern::topic).collect();
    if !from.is_of_any_topic() && (topics.len() > 1 || plain.is_empty()) {
        let detail = "`from`: a version or cursor is of one topic; expected a word or a time";
        return Err(Problem::field("from", detail));
    }
    if let Place::Since(moment) = from
        && moment > api.clock.now()
    {
        return Err(Problem::field("from", "`from`: expected a time that has passed, or `latest`"));
    }
    let mut begin = None;
    for topic in &plain {
        let state = match api.store.topic(topic).await {
            Err(StoreError::NotFound { .. }) => {
                let detail = format!("topic `{topic}` does not exist");
                return Err(Problem::field("topics", detail));
            }
            state => state?,
        };
        if !from.is_of_any_topic() {
            begin = Some(from.resolve(api, &state, true).await?);
        }
    }
    Ok(match (begin, from) {
        (Some(version), _) => StartFrom::After(version),
        (None, Place::Earliest) => StartFrom::Earliest,
        (None, Place::Since(moment)) => StartFrom::Since(moment),
        (None, Place::Latest | Place::At(_)) => StartFrom::Latest,
    })
}

/// One subscription with its last answers.
#[utoipa::path(get, path = "/v1/subscriptions/{name}", tag = "subscriptions",
    params(("name" = String, Path)),
    responses((status = 200, body = SubscriptionView), (status = 404, description = "No such subscription")))]
pub(super) async fn show(
    State(api): State<ApiState>,
    Path(name): Path<Name>,
    query: Query,
) -> Result<Json<SubscriptionView>, Problem> {
    query.allow(&[])?;
    let subscription = api.store.subscription(&name).await?;
    Ok(Json(view::whole(&api, subscription).await?))
}

/// Changes settings; positions and what is in flight stay.
#[utoipa::path(patch, path = "/v1/subscriptions/{name}", tag = "subscriptions",
    params(("name" = String, Path)),
    request_body(content = ref("#/components/schemas/SubscriptionChange")),
    responses((status = 200, body = SubscriptionView),
        (status = 409, description = "`read_only`: it is set in the configuration file")))]
pub(super) async fn change(
    State(api): State<ApiState>,
    caller: Caller,
    Path(name): Path<Name>,
    query: Query,
    JsonBody(body): JsonBody<SubscriptionBody>,
) -> Result<Json<SubscriptionView>, Problem> {
    query.allow(&[])?;
    let vet = &api.outgoing.vet_url;
    let change = |settings: &mut SubscriptionSettings| body.clone().change(settings, &caller, vet);
    let changed = update(&api, &name, change).await?;
    Ok(Json(view::whole(&api, changed).await?))
}

/// Reads the settings, changes them and puts them back; again when somebody else changed them in
/// between.
async fn update(
    api: &ApiState,
    name: &Name,
    mut change: impl FnMut(&mut SubscriptionSettings) -> Result<(), Problem>,
) -> Result<Subscription, Problem> {
    loop {
        let Subscription { mut settings, edit, .. } = owned(api, name).await?;
        change(&mut settings)?;
        let now = api.clock.now();
        match api.store.set_subscription(name, &settings, Some(edit), now).await {
            Err(StoreError::Stale) => {}
            result => return Ok(result?),
        }
    }
}

/// What would go with a subscription.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Removal {
    /// That nothing was done.
    dry_run: bool,
    /// Events that it would never get.
    owed: u64,
    /// Dead letters that would be lost.
    dead_letters: u64,
}

/// Deletes a subscription with its positions and dead letters.
#[utoipa::path(delete, path = "/v1/subscriptions/{name}", tag = "subscriptions",
    params(("name" = String, Path), ("dry_run" = Option<bool>, Query, description = "Tell what it would do, and do nothing")),
    request_body = Nothing,
    responses((status = 204, description = "It is gone"), (status = 200, body = Removal),
        (status = 409, description = "`read_only`: it is set in the configuration file")))]
pub(super) async fn remove(
    State(api): State<ApiState>,
    Path(name): Path<Name>,
    query: Query,
    _: JsonBody<Nothing>,
) -> Result<Response, Problem> {
    let dry_run = dry_run::asked(&query)?;
    let subscription = owned(&api, &name).await?;
    if dry_run {
        let heads = view::heads_of(&api, &subscription).await?;
        let view = SubscriptionView::new(subscription, &heads);
        let removal = Removal { dry_run, owed: view.owed, dead_letters: view.dead_letters };
        return Ok(dry_run::answer(true, Json(removal)));
    }
    api.store.steer_subscription(&name, SubscriptionSteer::Delete, api.clock.now()).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// A subscription whose settings the API may change: one of its own, or one that the file left.
async fn owned(api: &ApiState, name: &Name) -> Result<Subscription, Problem> {
    let subscription = api.store.subscription(name).await?;
    let in_file =
        subscription.origin == Origin::File && subscription.status != SubscriptionStatus::Removed;
    if in_file {
        let detail = format!(
            "subscription `{name}` is set in the configuration file: change it there, then `milkrun \
             reload`; a signing secret goes on signing beside a new one that is listed before it, as \
             `secrets: [{{ env: NEW }}, {{ env: OLD }}]`"
        );
        return Err(Problem::new(StatusCode::CONFLICT, "read_only", detail));
    }
    Ok(subscription)
}
