//! `/v1/trials`: what a filter, or a draft of a subscription, makes of the newest events of a topic.
//! Nothing is made, sent or counted.

use std::sync::Arc;

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
    body::JsonBody,
    dry_run,
    gate::{self, Caller},
    problem::Problem,
    query::Query,
    subscriptions::request::SubscriptionBody,
};
use crate::{
    dispatcher::trial::Trial,
    event::{Event, Topic, Version},
    key::Scope,
    settings::{Fault, SubscriptionSettings},
    store::{Origin, Read, Subscription, SubscriptionStatus, TopicState},
};

/// Events that are tried where it is not said, and at most.
const LAST: usize = 20;
const LAST_MAX: usize = 100;
/// What is read of the topic at most, and what is shown of one body.
const READ_BYTES: usize = 4 << 20;
const BODY_BYTES: usize = 64 << 10;

/// What to try.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrialsBody {
    /// The topic whose newest events are tried.
    topic: Topic,
    /// So many of them, 1 to 100. Default 20.
    #[schema(minimum = 1, maximum = 100)]
    last: Option<usize>,
    /// As of a subscription; in the place of a draft.
    filter: Option<Value>,
    /// A draft, with the fields of a new subscription; `name`, `topic`, `topics` and `from` are not
    /// looked at, and without `webhook.url` it is drawn for an address that is nowhere.
    subscription: Option<Box<SubscriptionBody>>,
}

/// What became of them, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TrialsAnswer {
    topic: String,
    trials: Vec<OneTrial>,
    /// How many are wanted,
    wanted: usize,
    /// passed over,
    passed_over: usize,
    /// and how many the filter or the transform fails on.
    failed: usize,
    /// Whether fewer were tried than asked for, because they are large.
    cut: bool,
}

/// What became of one event.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TrialOfEvent)]
pub(crate) struct OneTrial {
    version: u64,
    id: String,
    r#type: Option<String>,
    key: Option<String>,
    /// `wanted`, `passed_over` or `failed`.
    result: &'static str,
    /// Why it failed.
    error: Option<String>,
    /// The body of the request that would be sent, at most 64 KiB of it; null when none would be,
    /// or when it is no text.
    body: Option<String>,
}

pub(super) fn routes() -> Vec<(&'static str, MethodRouter<ApiState>)> {
    vec![("/v1/trials", routing::post(run))]
}

/// What a filter, or a draft of a subscription, makes of the newest events of a topic. Nothing is made,
/// sent or counted.
#[utoipa::path(post, path = "/v1/trials", tag = "subscriptions", request_body = TrialsBody,
    responses((status = 200, body = TrialsAnswer), (status = 404, description = "No such topic"),
        (status = 422, description = "`invalid`: `field` says where"),
        (status = 500, description = "`damaged`, with `from` and `to`")))]
pub(super) async fn run(
    State(api): State<ApiState>,
    caller: Caller,
    query: Query,
    JsonBody(body): JsonBody<TrialsBody>,
) -> Result<Response, Problem> {
    query.allow(&[])?;
    if !caller.covers(&body.topic) {
        return Err(gate::beyond(Scope::Read, body.topic.as_str()));
    }
    let last = body.last.unwrap_or(LAST);
    if last == 0 || last > LAST_MAX {
        return Err(Problem::field("last", format!("`last`: expected 1 to {LAST_MAX}")));
    }
    let settings = draft(&api, &caller, body.filter, body.subscription)?;
    let state = api.store.topic(&body.topic).await?;
    let _room = api.budget.take(READ_BYTES)?;
    let events = newest(&api, &state, last).await?;
    let subscription = subscription(&api, &state, settings);
    let trials: Vec<OneTrial> =
        events.iter().map(|event| one(&api, &subscription, &state, event)).collect();
    let count = |result| trials.iter().filter(|trial| trial.result == result).count();
    let there = usize::try_from(state.head.0 - state.oldest.previous().0).unwrap_or(usize::MAX);
    let answer = TrialsAnswer {
        topic: body.topic.to_string(),
        wanted: count("wanted"),
        passed_over: count("passed_over"),
        failed: count("failed"),
        cut: trials.len() < last.min(there),
        trials,
    };
    Ok(dry_run::answer(true, Json(answer)))
}

/// The settings of what is tried.
fn draft(
    api: &ApiState,
    caller: &Caller,
    filter: Option<Value>,
    subscription: Option<Box<SubscriptionBody>>,
) -> Result<SubscriptionSettings, Problem> {
    let vet = &api.outgoing.vet_url;
    let mut settings = SubscriptionSettings::new(NOWHERE.to_owned(), Vec::new());
    match (filter, subscription) {
        (Some(_), Some(_)) => {
            let detail = "expected either `filter`, or `subscription` with its filter";
            return Err(Problem::field("filter", detail));
        }
        (filter, None) => settings.filter = filter,
        (None, Some(body)) => body.draft(&mut settings, caller)?,
    }
    let vet = |url: &str| if url == NOWHERE { Ok(()) } else { vet(url) };
    let faults = crate::vet::faults(&settings, Origin::Api, &vet);
    // Secrets are made with the subscription.
    let made = |fault: &Fault| fault.field == "webhook.secrets" && settings.secrets.is_empty();
    match faults.iter().find(|fault| !made(fault)) {
        Some(fault) => Err(Problem::field(&fault.field, fault.to_string())),
        None => Ok(settings),
    }
}

/// Where a draft without an address is drawn for; the name is reserved to be nowhere (RFC 2606).
const NOWHERE: &str = "https://nowhere.invalid/";

/// The newest events, the newest first.
async fn newest(
    api: &ApiState,
    state: &TopicState,
    last: usize,
) -> Result<Vec<Arc<Event>>, Problem> {
    let mut events: Vec<Arc<Event>> = Vec::new();
    let (mut up_to, mut bytes) = (state.head, 0);
    while events.len() < last && up_to >= state.oldest && bytes < READ_BYTES {
        let wanted = (last - events.len()) as u64;
        let after = Version(up_to.0.saturating_sub(wanted));
        let read = Read { up_to, max_events: 1_000, max_bytes: READ_BYTES, after };
        let page = api.store.read(&state.topic, read).await?;
        // A page that is full of bytes ends early: what is newest is looked at one by one then.
        let is_whole = page.events.last().is_none_or(|event| event.version >= up_to);
        let (found, reached) = if is_whole {
            (page.events, after)
        } else {
            let one = api.store.read(&state.topic, Read::one(up_to)).await?;
            (one.events, up_to.previous())
        };
        for event in found.into_iter().rev() {
            if bytes >= READ_BYTES {
                break;
            }
            bytes += event.size_bytes();
            events.push(event);
        }
        up_to = reached;
    }
    Ok(events)
}

/// A subscription as it would be made of the draft.
fn subscription(
    api: &ApiState,
    state: &TopicState,
    settings: SubscriptionSettings,
) -> Subscription {
    Subscription {
        id: 0,
        name: "draft".parse().expect("a name"),
        origin: Origin::Api,
        status: SubscriptionStatus::Active,
        reason: None,
        topics: vec![state.topic.clone().into()],
        settings,
        positions: Vec::new(),
        health: None,
        resets: 0,
        edit: 0,
        created: api.clock.now(),
        removed_at: None,
    }
}

fn one(
    api: &ApiState,
    subscription: &Subscription,
    state: &TopicState,
    event: &Arc<Event>,
) -> OneTrial {
    let webhook = &api.outgoing.webhook;
    let made = Trial::new(webhook, subscription, event, state, api.clock.now());
    let (result, error, body) = match (made.wanted, made.drawn) {
        (Err(error), _) | (Ok(true), Err(error)) => ("failed", Some(error), None),
        (Ok(false), _) => ("passed_over", None, None),
        (Ok(true), Ok(drawn)) => ("wanted", None, shown(drawn.body())),
    };
    let attribute = |name| event.attributes.get(name);
    OneTrial {
        version: event.version.0,
        id: attribute("id").unwrap_or_default(),
        r#type: attribute("type"),
        key: event.attributes.key(),
        result,
        error,
        body,
    }
}

/// The beginning of a body, when it is text.
fn shown(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    Some(text[..text.floor_char_boundary(BODY_BYTES)].to_owned())
}
