//! What became of one event: how it came in, where it stands at every subscription, and every
//! attempt on it.

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::{locate, outcome};
use crate::{
    api::{
        ApiState,
        attempts::{self, AttemptView},
        body::Path,
        problem::Problem,
        query::Query,
    },
    event::Topic,
    store::{
        AttemptQuery, DeadReason, EventPlace, EventState, ExceptionKind, LastAnswer, Read, Released,
    },
};

/// What became of one event.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventTrace {
    topic: String,
    version: u64,
    epoch: String,
    /// Null, as the next two, when the log has let go of it.
    id: Option<String>,
    source: Option<String>,
    /// When the log accepted it.
    recorded: Option<String>,
    /// How it waited, if it did.
    pending: Option<WaitView>,
    /// Where it stands, as last saved: 50 ms ago at most, a second for what a filter passes over.
    subscriptions: Vec<StateView>,
    /// Every attempt that is kept, newest first.
    attempts: Vec<AttemptView>,
}

/// How an event waited before it was in the log.
#[derive(Debug, Serialize, ToSchema)]
pub struct WaitView {
    /// Its number while it waited.
    id: i64,
    /// When it was published.
    since: String,
    /// When it was due.
    due: String,
}

/// Where an event stands at one subscription.
#[derive(Debug, Serialize, ToSchema)]
pub struct StateView {
    pub(super) subscription: String,
    /// The replay job, when it is not live delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    replay: Option<i64>,
    /// `waiting`, `in_flight`, `retry`, `parked`, `leased`, `stopped`, `dead`, `settled`, or
    /// `before_start`: the subscription began behind it.
    pub(super) state: &'static str,
    /// Of one that is settled: `delivered`, `filtered` or `expired`; or `unknown`, when it was sent
    /// at most once and no answer is known. Absent when neither attempts nor settings tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) outcome: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    due: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<u32>,
    /// Why it is dead.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<DeadReason>,
    /// How the last attempt ended: `{status, error}`.
    #[schema(value_type = Option<BTreeMap<String, serde_json::Value>>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<LastAnswer>,
}

/// What became of an event: how it came in, where it stands at every subscription, every attempt.
#[utoipa::path(get, path = "/v1/topics/{topic}/events/{version}/trace", tag = "events",
    params(("topic" = String, Path), ("version" = String, Path, description = "A version or a cursor"),
        ("limit" = Option<usize>, Query, description = "Of attempts")),
    responses((status = 200, body = EventTrace)))]
pub async fn trace(
    State(api): State<ApiState>,
    Path((topic, version)): Path<(Topic, String)>,
    query: Query,
) -> Result<Json<EventTrace>, Problem> {
    query.allow(&["limit"])?;
    let (id, version) = locate(&api, &topic, &version).await?;
    let wanted = AttemptQuery {
        topic: Some(id),
        version: Some(version),
        limit: query.limit()?,
        ..AttemptQuery::default()
    };
    let page = api.store.read(&topic, Read::one(version)).await?;
    let event = page.events.into_iter().find(|event| event.version == version);
    let pending = api.store.was_pending(&topic, version).await?;
    let states = api.store.event_states(&topic, version).await?;
    let attempts = attempts::find(&api, wanted, None).await?.attempts;
    let mut states: Vec<_> = states.into_iter().map(|state| state_view(state, &attempts)).collect();
    if let Some(event) = &event {
        outcome::fill_in(&api, &topic, event, &mut states, &attempts).await?;
    }
    Ok(Json(EventTrace {
        topic: topic.to_string(),
        version: version.0,
        epoch: page.state.epoch_of(version).to_string(),
        id: event.as_ref().and_then(|event| event.attribute("id")),
        source: event.as_ref().and_then(|event| event.attribute("source")),
        recorded: event.as_ref().map(|event| event.recorded.to_string()),
        pending: pending.map(WaitView::from),
        subscriptions: states,
        attempts,
    }))
}

impl From<Released> for WaitView {
    fn from(waited: Released) -> Self {
        let (since, due) = (waited.since.to_string(), waited.due.to_string());
        Self { id: waited.pending, since, due }
    }
}

fn state_view(state: EventState, attempts: &[AttemptView]) -> StateView {
    let name = state.subscription.to_string();
    let mut view = StateView {
        state: word(&state.place),
        outcome: None,
        due: None,
        attempts: None,
        reason: None,
        last: None,
        replay: state.replay,
        subscription: name,
    };
    match state.place {
        EventPlace::Excepted { due, attempts, last, .. } => {
            view.due = (view.state == "retry").then(|| due.to_string());
            (view.attempts, view.last) = (Some(attempts), Some(last));
        }
        EventPlace::Dead { reason, attempts, last } => {
            (view.reason, view.attempts, view.last) = (Some(reason), Some(attempts), Some(last));
        }
        EventPlace::Settled => view.outcome = attempts::ended(attempts, &view.subscription),
        EventPlace::Waiting | EventPlace::InFlight | EventPlace::BeforeStart => {}
    }
    view
}

const fn word(place: &EventPlace) -> &'static str {
    match place {
        EventPlace::Waiting => "waiting",
        EventPlace::InFlight => "in_flight",
        EventPlace::Excepted { kind, .. } => match kind {
            ExceptionKind::Retry => "retry",
            ExceptionKind::Parked => "parked",
            ExceptionKind::Leased => "leased",
            ExceptionKind::Stopped => "stopped",
        },
        EventPlace::Dead { .. } => "dead",
        EventPlace::Settled => "settled",
        EventPlace::BeforeStart => "before_start",
    }
}
