//! Trying a subscription out: the exact request for an event, and, if asked, its answer. Nothing
//! of it is counted, traced or retried.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderValue};
use serde::{Deserialize, Serialize};
use sinks::Outcome;
use utoipa::ToSchema;

use super::place::Place;
use crate::{
    api::{
        ApiState,
        body::{JsonBody, Path},
        events::absent,
        openapi::forms::PositionValue,
        position,
        problem::Problem,
        query::Query,
    },
    dispatcher::trial::{Drawn, Trial},
    event::{Event, Name, Topic, Version},
    store::{Read, Subscription, TopicState},
};

/// What to try a subscription with.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrialBody {
    /// The topic; needed when the subscription is in several.
    topic: Option<Topic>,
    /// The event, by version or cursor. Default: the newest.
    #[schema(value_type = Option<PositionValue>)]
    version: Option<Place>,
    /// Whether it is sent, once, outside of all accounting. Default false.
    #[serde(default)]
    send: bool,
}

/// What a subscription makes of an event.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TrialView {
    topic: String,
    version: u64,
    /// Whether the filter wants the event; what it does not want is not sent.
    matches: bool,
    /// Null when none can be made.
    request: Option<RequestView>,
    /// What came back; null when nothing was sent.
    answer: Option<AnswerView>,
    /// Why there is no request, or why it was not sent although it was asked for.
    error: Option<String>,
}

/// A request as it is sent.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RequestView {
    method: String,
    url: String,
    /// Values that are secret are shown as `***`.
    headers: BTreeMap<String, String>,
    /// Before compression, as it is signed; null when it is no text.
    body: Option<String>,
    /// The body when it is no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
}

/// What came back.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AnswerView {
    /// Null when there was no answer.
    status: Option<u16>,
    duration_ms: u64,
    /// The first KiB of the answer.
    body: String,
    /// Why there was no answer, or what else is to be known of it, as where a redirect leads.
    error: Option<String>,
}

/// Shows the exact request that an event would make, or makes it once and shows the answer too.
#[utoipa::path(post, path = "/v1/subscriptions/{name}/test", tag = "subscriptions",
    params(("name" = String, Path)), request_body = TrialBody,
    responses((status = 200, body = TrialView),
        (status = 409, description = "`history_changed`, or `conflict`: there is no event yet"),
        (status = 410, description = "`gone`"),
        (status = 500, description = "`damaged`, with `from` and `to`"),
        (status = 503, description = "`too_many_waiting`")))]
pub(crate) async fn trial(
    State(api): State<ApiState>,
    Path(name): Path<Name>,
    query: Query,
    JsonBody(body): JsonBody<TrialBody>,
) -> Result<Json<TrialView>, Problem> {
    query.allow(&[])?;
    let subscription = api.store.subscription(&name).await?;
    let state = topic(&api, &subscription, body.topic).await?;
    let event = event(&api, &state, body.version).await?;
    let webhook = &api.outgoing.webhook;
    let made = Trial::new(webhook, &subscription, &event, &state, api.clock.now());
    let mut view = TrialView {
        topic: state.topic.to_string(),
        version: event.version.0,
        matches: made.wanted == Ok(true),
        request: None,
        answer: None,
        error: made.wanted.as_ref().err().cloned(),
    };
    match made.drawn {
        Ok(drawn) => {
            let mut request = RequestView::new(&drawn);
            if let Some(shown) = &subscription.settings.shown_url {
                request.url.clone_from(shown);
            }
            view.request = Some(request);
            if body.send && view.matches {
                view.answer = Some(send(&api, drawn).await?);
            } else if body.send && made.wanted == Ok(false) {
                view.error = Some("not sent: the filter does not want this event".into());
            }
        }
        Err(problem) => view.error = view.error.or(Some(problem)),
    }
    Ok(Json(view))
}

/// The topic that is meant.
async fn topic(
    api: &ApiState,
    subscription: &Subscription,
    wanted: Option<Topic>,
) -> Result<Arc<TopicState>, Problem> {
    let mut topics = subscription.live().map(|position| &position.topic);
    let name = &subscription.name;
    let topic = if let Some(wanted) = wanted {
        topics
            .find(|topic| **topic == wanted)
            .ok_or_else(|| format!("`topic`: subscription `{name}` is not in `{wanted}`"))
    } else {
        match (topics.next(), topics.next()) {
            (Some(topic), None) => Ok(topic),
            (Some(_), Some(_)) => Err(format!("`topic`: `{name}` is in several: say which")),
            (None, _) => Err(format!("`topic`: `{name}` is in none yet")),
        }
    };
    let topic = topic.map_err(|detail| Problem::field("topic", detail))?;
    Ok(api.store.topic(topic).await?)
}

/// The event that is meant.
async fn event(
    api: &ApiState,
    state: &TopicState,
    wanted: Option<Place>,
) -> Result<Arc<Event>, Problem> {
    let version = match wanted {
        None => newest(api, state).await?,
        Some(Place::At(at)) if at.version > Version::ZERO => position::check(state, at)?,
        Some(_) => {
            let detail = "`version`: expected a version from 1 on, or a cursor";
            return Err(Problem::field("version", detail));
        }
    };
    let page = api.store.read(&state.topic, Read::one(version)).await?;
    let event = page.events.iter().find(|event| event.version == version);
    event.cloned().ok_or_else(|| absent(&page, version))
}

/// The highest version that is not lost.
async fn newest(api: &ApiState, state: &TopicState) -> Result<Version, Problem> {
    let lost = api.store.lost(&state.topic).await?;
    let at_head = lost.last().filter(|(_, last)| *last >= state.head);
    let newest = at_head.map_or(state.head, |(first, _)| first.previous());
    if newest < state.oldest {
        return Err(Problem::conflict(format!("topic `{}` has no event", state.topic)));
    }
    Ok(newest)
}

impl RequestView {
    fn new(drawn: &Drawn) -> Self {
        let (request, body) = (&drawn.request, drawn.body());
        let text = std::str::from_utf8(body).ok();
        Self {
            method: request.method().to_string(),
            url: request.uri().to_string(),
            headers: shown(request.headers()),
            body: text.map(ToOwned::to_owned),
            body_base64: text.is_none().then(|| BASE64_STANDARD.encode(body)),
        }
    }
}

fn shown(headers: &HeaderMap) -> BTreeMap<String, String> {
    let text = |value: &HeaderValue| {
        if value.is_sensitive() {
            "***".to_owned()
        } else {
            String::from_utf8_lossy(value.as_bytes()).into_owned()
        }
    };
    headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}

/// Sends it once.
async fn send(api: &ApiState, drawn: Drawn) -> Result<AnswerView, Problem> {
    let _place = api.take_place()?;
    let began = api.clock.steady();
    let outcome = tokio::select! {
        outcome = drawn.send(&api.outgoing.webhook) => outcome,
        () = api.stopping.cancelled() => return Err(Problem::closing()),
    };
    let took = api.clock.steady().since(began);
    let view = |status, body: &[u8], error| AnswerView {
        status,
        duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        body: String::from_utf8_lossy(body).into_owned(),
        error,
    };
    Ok(match outcome {
        Ok(Outcome::Answered(answer)) => view(Some(answer.status), &answer.body, answer.note),
        Ok(Outcome::Silent { kind, message }) => {
            view(None, b"", Some(format!("{}: {message}", kind.as_str())))
        }
        Err(refused) => view(None, b"", Some(refused)),
    })
}
