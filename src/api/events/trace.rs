//! What became of one event: how it came in, where it stands at every subscription, and every
//! attempt on it.

use std::collections::HashSet;

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    locate,
    outcome::{self, StateView},
};
use crate::{
    api::{
        ApiState,
        attempts::{self, AttemptView},
        body::Path,
        gate::Caller,
        problem::Problem,
        query::Query,
    },
    event::Topic,
    store::{AttemptQuery, EventPlace, EventState, LoggedPending, Read},
};

/// What became of one event.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventTrace {
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
pub(crate) struct WaitView {
    /// Its number while it waited.
    id: i64,
    /// When it was published.
    since: String,
    /// When it was due.
    due: String,
}

/// What became of an event: how it came in, where it stands at every subscription, every attempt.
#[utoipa::path(get, path = "/v1/topics/{topic}/events/{version}/trace", tag = "events",
    params(("topic" = String, Path), ("version" = String, Path, description = "A version or a cursor"),
        ("limit" = Option<usize>, Query, description = "Of attempts")),
    responses((status = 200, body = EventTrace), (status = 409, description = "`history_changed`"),
        (status = 500, description = "`damaged`, with `from` and `to`")))]
pub(crate) async fn trace(
    State(api): State<ApiState>,
    caller: Caller,
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
    let mut states = api.store.event_states(&topic, version).await?;
    let mut attempts = attempts::find(&api, wanted, None).await?.attempts;
    if !caller.is_admin() {
        // Of the subscriptions of others nothing is told.
        let all = api.directory.look().await?;
        let own: HashSet<&str> =
            all.by_name().filter(|one| caller.owns(one)).map(|one| one.name.as_str()).collect();
        states.retain(|state| own.contains(state.subscription.as_str()));
        attempts.retain(|attempt| {
            attempt.subscription.as_ref().is_some_and(|name| own.contains(&**name))
        });
    }
    let mut states: Vec<_> = states.into_iter().map(|state| state_view(state, &attempts)).collect();
    if let Some(event) = &event {
        outcome::fill_in(&api, &topic, event, &mut states, &attempts).await?;
    }
    Ok(Json(EventTrace {
        topic: topic.to_string(),
        version: version.0,
        epoch: page.state.epoch_of(version).to_string(),
        id: event.as_ref().and_then(|event| event.attributes.get("id")),
        source: event.as_ref().and_then(|event| event.attributes.get("source")),
        recorded: event.as_ref().map(|event| event.recorded.to_string()),
        pending: pending.map(WaitView::from),
        subscriptions: states,
        attempts,
    }))
}

impl From<LoggedPending> for WaitView {
    fn from(waited: LoggedPending) -> Self {
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

fn word(place: &EventPlace) -> &'static str {
    match place {
        EventPlace::Excepted { kind, .. } => kind.into(),
        place => place.into(),
    }
}
