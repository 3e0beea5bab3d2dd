//! What a subscription still has to deliver: what is tried again and when, and how much has not begun.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    api::{
        ApiState,
        body::Path,
        list,
        problem::Problem,
        query::{Query, cut},
    },
    event::{Micros, Name, Version},
    store::{ExceptionKind, LastAnswer, Subscription, Waiting, WaitingPlace},
};

/// One event that waits.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WaitingEvent)]
pub(crate) struct WaitingView {
    topic: String,
    version: u64,
    /// The replay job, when it is not live delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    replay: Option<i64>,
    /// `retry`: it is tried again. `parked`: it waits for another event of its key. `stopped`: it
    /// is dead, and its key stands still until its dead letter is redriven or deleted.
    state: &'static str,
    /// Not to be tried before; null unless it is tried again.
    due: Option<String>,
    /// Attempts made.
    attempts: u32,
    /// When it was first tried.
    first: String,
    /// How the last attempt ended: `{status, error}`.
    #[schema(value_type = std::collections::BTreeMap<String, serde_json::Value>)]
    last: LastAnswer,
}

/// What waits, what is due first first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WaitingList {
    waiting: Vec<WaitingView>,
    /// How many there are of these.
    total: u64,
    /// Events that were in flight when the subscription was last saved.
    in_flight: u64,
    /// Events that were not looked at yet; a filter may pass over some.
    not_begun: u64,
    /// To be given as `after`; null at the end.
    next: Option<String>,
}

impl From<Waiting> for WaitingView {
    fn from(one: Waiting) -> Self {
        let due = (one.kind == ExceptionKind::Retry).then(|| one.at.due.to_string());
        Self {
            topic: one.topic.to_string(),
            version: one.at.version.0,
            replay: one.replay,
            state: one.kind.into(),
            due,
            attempts: one.attempts,
            first: one.first.to_string(),
            last: one.last,
        }
    }
}

/// What waits for another attempt, what is due first first; and how much is in flight or not begun.
#[utoipa::path(get, path = "/v1/subscriptions/{name}/waiting", tag = "subscriptions",
    params(("name" = String, Path), ("limit" = Option<usize>, Query),
        ("after" = Option<String>, Query, description = "As `next` says")),
    responses((status = 200, body = WaitingList), (status = 404, description = "No such subscription")))]
pub(crate) async fn waiting(
    State(api): State<ApiState>,
    Path(name): Path<Name>,
    query: Query,
) -> Result<Response, Problem> {
    query.allow(&["limit", "after"])?;
    let limit = query.limit()?;
    let after = query.get("after").map(place).transpose()?.unwrap_or(WaitingPlace::FIRST);
    let subscription = api.store.subscription(&name).await?;
    let mut found = api.store.waiting(subscription.id, after, limit + 1).await?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|last| {
        let WaitingPlace { due, position, version } = last.at;
        format!("{}-{position}-{version}", due.0)
    });
    let (in_flight, not_begun) = rest(&api, &subscription).await?;
    let total = subscription.positions.iter().map(|position| position.exceptions).sum();
    let waiting = found.into_iter().map(WaitingView::from).collect();
    let list = WaitingList { waiting, total, in_flight, not_begun, next: next.clone() };
    let path = format!("/v1/subscriptions/{name}/waiting");
    Ok(list::answer(&path, &query, next.as_deref(), list))
}

/// How many events are in flight, and how many live delivery has not looked at.
async fn rest(api: &ApiState, subscription: &Subscription) -> Result<(u64, u64), Problem> {
    let (mut in_flight, mut not_begun) = (0, 0);
    for position in &subscription.positions {
        let tried_again = position.exceptions - position.stopped_keys;
        let open = position.unsettled.saturating_sub(tried_again);
        in_flight += open;
        if position.job.is_none() {
            let state = api.store.topic(&position.topic).await?;
            not_begun += position.owed(Some(&*state)) - position.unsettled;
        }
    }
    Ok((in_flight, not_begun))
}

/// The place that a page of this list said.
fn place(text: &str) -> Result<WaitingPlace, Problem> {
    let mut parts = text.rsplitn(3, '-');
    let mut number = || parts.next().and_then(|part| part.parse::<i64>().ok());
    let (version, position, due) = (number(), number(), number());
    let version = version.and_then(|version| u64::try_from(version).ok());
    if let (Some(due), Some(position), Some(version)) = (due, position, version) {
        return Ok(WaitingPlace { due: Micros(due), position, version: Version(version) });
    }
    let detail = format!("`after={}`: expected what `next` of the page before says", cut(text));
    Err(Problem::parameter("after", detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_is_written() {
        let at = place("-5-7-9").unwrap();
        assert_eq!(at, WaitingPlace { due: Micros(-5), position: 7, version: Version(9) });
        for wrong in ["", "1", "1-2", "a-1-2", "1-2--3", "1-2-99999999999999999999"] {
            assert_eq!(place(wrong).unwrap_err().code, "bad_parameter", "{wrong}");
        }
    }
}
