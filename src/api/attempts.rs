//! Attempts: what was sent, when, and what came back.

use std::collections::HashMap;

use axum::{
    extract::State,
    response::Response,
    routing::{self, MethodRouter},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{ApiState, body::Path, gate::Caller, list, problem::Problem, query::Query};
use crate::{
    event::Name,
    store::{Attempt, AttemptQuery, StoreError},
};

/// What one may come to in memory, as it is read and as it is shown: of an answer 1 KiB is kept.
const ATTEMPT_BYTES: usize = 4 << 10;

/// One attempt at one delivery.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AttemptView {
    /// Its number; a newer one has a higher one.
    pub(crate) id: i64,
    /// Null when the subscription is gone.
    pub(crate) subscription: Option<String>,
    /// Null when the topic is gone.
    pub(crate) topic: Option<String>,
    pub(crate) version: u64,
    /// 1 for the first try.
    pub(crate) attempt: u32,
    pub(crate) started: String,
    pub(crate) duration_ms: u64,
    /// Null when there was no answer.
    pub(crate) status: Option<u16>,
    /// The first KiB of the answer.
    pub(crate) answer: String,
    /// Why there was no answer, or what else is to be known of it, as where a redirect leads.
    pub(crate) error: Option<String>,
    /// `delivered`, `retry`, `dead`, `gone`; or what was not sent: `filtered`, `expired`.
    pub(crate) verdict: String,
}

/// Attempts, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AttemptList {
    pub(crate) attempts: Vec<AttemptView>,
    /// To be passed as `after` for older ones; null at the end.
    pub(crate) next: Option<i64>,
}

pub(super) fn routes() -> Vec<(&'static str, MethodRouter<ApiState>)> {
    vec![
        ("/v1/attempts", routing::get(of_all)),
        ("/v1/subscriptions/{name}/attempts", routing::get(of_subscription)),
    ]
}

/// The attempts of a subscription, newest first.
#[utoipa::path(get, path = "/v1/subscriptions/{name}/attempts", tag = "subscriptions",
    params(("name" = String, Path),
        ("failed" = Option<bool>, Query, description = "Those that did not deliver"),
        ("since" = Option<String>, Query, description = "Begun at or after this time"),
        ("status" = Option<u16>, Query), ("limit" = Option<usize>, Query),
        ("after" = Option<i64>, Query, description = "An id: those behind it in the list, which are older")),
    responses((status = 200, body = AttemptList)))]
pub(super) async fn of_subscription(
    State(api): State<ApiState>,
    Path(name): Path<Name>,
    query: Query,
) -> Result<Response, Problem> {
    let wanted = wanted(&query)?;
    let subscription = api.store.subscription(&name).await?;
    let wanted = AttemptQuery { subscription: Some(subscription.id), ..wanted };
    let list = find(&api, wanted, Some(&name)).await?;
    let next = list.next.map(|next| next.to_string());
    let path = format!("/v1/subscriptions/{name}/attempts");
    Ok(list::answer(&path, &query, next.as_deref(), list))
}

/// The attempts of all subscriptions that the key may see, newest first.
#[utoipa::path(get, path = "/v1/attempts", tag = "subscriptions",
    params(("failed" = Option<bool>, Query, description = "Those that did not deliver"),
        ("since" = Option<String>, Query, description = "Begun at or after this time"),
        ("status" = Option<u16>, Query), ("limit" = Option<usize>, Query),
        ("after" = Option<i64>, Query, description = "An id: those behind it in the list, which are older")),
    responses((status = 200, body = AttemptList)))]
pub(super) async fn of_all(
    State(api): State<ApiState>,
    caller: Caller,
    query: Query,
) -> Result<Response, Problem> {
    let wanted = wanted(&query)?;
    let subscriptions = seen_by(&api, &caller).await?;
    let list = find(&api, AttemptQuery { subscriptions, ..wanted }, None).await?;
    let next = list.next.map(|next| next.to_string());
    Ok(list::answer("/v1/attempts", &query, next.as_deref(), list))
}

/// The subscriptions that a caller may see, by row number; `None`: all, those that are gone too.
pub(super) async fn seen_by(
    api: &ApiState,
    caller: &Caller,
) -> Result<Option<Vec<i64>>, StoreError> {
    if caller.is_admin() {
        return Ok(None);
    }
    let all = api.directory.look().await?;
    Ok(Some(all.by_name().filter(|one| caller.owns(one)).map(|one| one.id).collect()))
}

/// What a query string asks for, of whichever subscription.
fn wanted(query: &Query) -> Result<AttemptQuery, Problem> {
    query.allow(&["failed", "since", "status", "limit", "after"])?;
    let status = query.number("status", 100, 599)?;
    Ok(AttemptQuery {
        failed: query.flag("failed")?,
        since: query.moment("since")?,
        status: status.and_then(|status| u16::try_from(status).ok()),
        before: query.id("after")?,
        limit: query.limit()?,
        ..AttemptQuery::default()
    })
}

/// How a settled event ended at a subscription, as far as the attempts at hand tell.
pub(super) fn ended(attempts: &[AttemptView], subscription: &str) -> Option<String> {
    let ends = ["delivered", "filtered", "expired"];
    let of_it = |attempt: &&AttemptView| {
        attempt.subscription.as_deref() == Some(subscription)
            && ends.contains(&attempt.verdict.as_str())
    };
    attempts.iter().find(of_it).map(|attempt| attempt.verdict.clone())
}

/// Attempts, with names in the place of row numbers; `of` is the name where all are of one
/// subscription.
pub(super) async fn find(
    api: &ApiState,
    wanted: AttemptQuery,
    of: Option<&Name>,
) -> Result<AttemptList, Problem> {
    let limit = wanted.limit;
    let _room = api.budget.take(limit * ATTEMPT_BYTES)?;
    let found = api.store.attempts(wanted).await?;
    if found.is_empty() {
        return Ok(AttemptList { attempts: Vec::new(), next: None });
    }
    // A full page may be the last; then the next one is empty.
    let next = found.last().filter(|_| found.len() >= limit).map(|oldest| oldest.id);
    let topics: HashMap<i64, String> =
        api.store.topics().await?.iter().map(|state| (state.id, state.topic.to_string())).collect();
    let all = api.directory.look().await?;
    let view = |attempt: Attempt| AttemptView {
        id: attempt.id,
        subscription: of.or_else(|| all.name(attempt.subscription)).map(ToString::to_string),
        topic: topics.get(&attempt.topic).cloned(),
        version: attempt.version.0,
        attempt: attempt.attempt,
        started: attempt.started.to_string(),
        duration_ms: attempt.duration_ms,
        status: attempt.status,
        answer: String::from_utf8_lossy(&attempt.answer).into_owned(),
        error: attempt.error,
        verdict: attempt.verdict,
    };
    Ok(AttemptList { attempts: found.into_iter().map(view).collect(), next })
}
