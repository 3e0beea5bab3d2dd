//! `/v1/find`: a thing by whatever somebody has of it: a name, `topic@version`, a cursor, a
//! `webhook-id`, or the id of an event.

use std::sync::Arc;

use axum::{
    extract::State,
    response::Response,
    routing::{self, MethodRouter},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{ApiState, gate::Caller, list, problem::Problem, query::Query};
use crate::{
    event::{Name, Position, Topic, Version},
    store::{Read, StoreError, TopicState},
};

/// The longest that is looked for: no id is longer.
const QUERY_BYTES_MAX: usize = 1_024;
/// Events whose ids one answer has looked at; the next goes on.
const LOOKED_MAX: usize = 20_000;
/// Versions of one step, newest first.
const STEP: u64 = 200;
/// What a read may hold.
const READ_BYTES: usize = 4 << 20;

/// What was found.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FindAnswer {
    /// What was looked for.
    query: String,
    found: Vec<FoundView>,
    /// Events whose ids were looked at for this answer.
    looked_at: usize,
    /// To be passed as `after` to look at the ids of older events; null when all were looked at.
    next: Option<String>,
}

/// One thing.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct FoundView {
    /// `topic`, `subscription`, `source` or `event`.
    kind: &'static str,
    /// The name; of an event its id, null when the log has let go of it.
    name: Option<String>,
    /// The topic of an event.
    topic: Option<String>,
    /// The version of an event.
    version: Option<u64>,
    /// Where the API shows it.
    path: String,
}

impl FoundView {
    fn named(kind: &'static str, name: &str) -> Self {
        let path = format!("/v1/{kind}s/{name}");
        Self { kind, name: Some(name.to_owned()), topic: None, version: None, path }
    }

    fn event(topic: &Topic, version: Version, id: Option<String>) -> Self {
        let path = format!("/v1/topics/{topic}/events/{version}/trace");
        let topic = Some(topic.to_string());
        Self { kind: "event", name: id, topic, version: Some(version.0), path }
    }
}

pub(super) fn routes() -> Vec<(&'static str, MethodRouter<ApiState>)> {
    vec![("/v1/find", routing::get(find))]
}

/// Finds a topic, subscription or source by its name, and an event by `topic@version`, by a cursor, by
/// the `webhook-id` of a request, or by its id, of what the key may read. Ids are looked at newest first,
/// 20,000 events an answer, topic by topic: `next` goes on.
#[utoipa::path(get, path = "/v1/find", tag = "events",
    params(("q" = String, Query, description = "What to look for"),
        ("after" = Option<String>, Query, description = "`next` of an answer")),
    responses((status = 200, body = FindAnswer)))]
pub(super) async fn find(
    State(api): State<ApiState>,
    caller: Caller,
    query: Query,
) -> Result<Response, Problem> {
    query.allow(&["q", "after"])?;
    let wanted = wanted(&query)?;
    let mut topics = api.store.topics().await?;
    topics.retain(|topic| caller.covers(&topic.topic));
    topics.sort_by(|a, b| a.topic.cmp(&b.topic));
    let begin = match query.get("after") {
        Some(after) => Some(place(after).ok_or_else(|| {
            Problem::parameter("after", "`after`: expected `next` of an answer, as `orders@4711`")
        })?),
        None => None,
    };
    let mut answer =
        FindAnswer { query: wanted.to_owned(), found: Vec::new(), looked_at: 0, next: None };
    if begin.is_none() {
        answer.found = named(&api, &caller, &topics, wanted).await?;
        for (topic, version) in placed(&topics, wanted) {
            answer.found.push(of_version(&api, topic, version).await?);
        }
    }
    if answer.found.iter().all(|found| found.kind != "event") {
        let _room = api.budget.take(READ_BYTES)?;
        by_id(&api, &topics, begin, &mut answer).await?;
    }
    let next = answer.next.clone();
    Ok(list::answer("/v1/find", &query, next.as_deref(), answer))
}

fn wanted(query: &Query) -> Result<&str, Problem> {
    let wanted = query.get("q").unwrap_or_default().trim();
    if wanted.is_empty() {
        return Err(Problem::parameter(
            "q",
            "`q` is missing: expected a name, `topic@version`, a cursor, a webhook-id or an id",
        ));
    }
    if wanted.len() > QUERY_BYTES_MAX {
        return Err(Problem::parameter("q", format!("`q` is at most {QUERY_BYTES_MAX} bytes")));
    }
    Ok(wanted)
}

/// `topic@version`.
fn place(text: &str) -> Option<(Topic, Version)> {
    let (topic, version) = text.rsplit_once('@')?;
    Some((topic.parse().ok()?, Version(version.parse().ok()?)))
}

/// What has this name.
async fn named(
    api: &ApiState,
    caller: &Caller,
    topics: &[Arc<TopicState>],
    wanted: &str,
) -> Result<Vec<FoundView>, Problem> {
    let mut found = Vec::new();
    if topics.iter().any(|topic| topic.topic.as_str() == wanted) {
        found.push(FoundView::named("topic", wanted));
    }
    let Ok(name) = wanted.parse::<Name>() else { return Ok(found) };
    match api.store.subscription(&name).await {
        Ok(one) if caller.owns(&one) => found.push(FoundView::named("subscription", wanted)),
        Ok(_) | Err(StoreError::NotFound { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    match api.store.source(&name).await {
        Ok(one) if caller.covers(&one.topic) => found.push(FoundView::named("source", wanted)),
        Ok(_) | Err(StoreError::NotFound { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(found)
}

/// The events that `topic@version`, a cursor or a `webhook-id` names and whose versions there are. Of a
/// `webhook-id` of several events the first is meant.
fn placed<'a>(topics: &'a [Arc<TopicState>], wanted: &str) -> Vec<(&'a TopicState, Version)> {
    let in_history = |topic: &&'a TopicState, position: Position| {
        let version = position.version;
        let is_of = position.epoch.is_none_or(|epoch| topic.epoch_of(version) == epoch);
        version > Version::ZERO && version <= topic.head && is_of
    };
    let mut found = Vec::new();
    for topic in topics.iter().map(Arc::as_ref) {
        let own = wanted.strip_prefix(&format!("{}@", topic.topic));
        let sent = wanted.strip_prefix(&format!("{}-", topic.uid)).map(first_of);
        let cursor = wanted.contains('-').then_some(wanted);
        let position = own.or(sent).or(cursor).and_then(|text| text.parse::<Position>().ok());
        if let Some(position) = position.filter(|position| in_history(&topic, *position)) {
            found.push((topic, position.version));
        }
    }
    found
}

/// The first two parts of `EPOCH-FIRST-LAST`.
fn first_of(text: &str) -> &str {
    let ends = text.match_indices('-').nth(1).map_or(text.len(), |(at, _)| at);
    &text[..ends]
}

async fn of_version(
    api: &ApiState,
    topic: &TopicState,
    version: Version,
) -> Result<FoundView, Problem> {
    let page = api.store.read(&topic.topic, Read::one(version)).await?;
    let event = page.events.into_iter().find(|event| event.version == version);
    let id = event.and_then(|event| event.attributes.get("id"));
    Ok(FoundView::event(&topic.topic, version, id))
}

/// Looks at the ids of events, newest first, from `begin` on.
async fn by_id(
    api: &ApiState,
    topics: &[Arc<TopicState>],
    begin: Option<(Topic, Version)>,
    answer: &mut FindAnswer,
) -> Result<(), Problem> {
    for topic in topics {
        let mut below = topic.head.next();
        if let Some((first, version)) = &begin {
            if topic.topic < *first {
                continue;
            }
            if topic.topic == *first {
                below = below.min(*version);
            }
        }
        while below > topic.oldest {
            if answer.looked_at >= LOOKED_MAX {
                answer.next = Some(format!("{}@{below}", topic.topic));
                return Ok(());
            }
            let after = Version(below.0.saturating_sub(STEP + 1)).max(topic.oldest.previous());
            look(api, &topic.topic, after, below.previous(), answer).await?;
            below = after.next();
        }
    }
    Ok(())
}

/// Looks at the ids of versions above `after` up to `up_to`.
async fn look(
    api: &ApiState,
    topic: &Topic,
    mut after: Version,
    up_to: Version,
    answer: &mut FindAnswer,
) -> Result<(), Problem> {
    while after < up_to {
        let read = Read { up_to, max_bytes: READ_BYTES, ..Read::after(after) };
        let page = api.store.read(topic, read).await?;
        let Some(last) = page.events.last().map(|event| event.version).or(page.passed) else {
            return Ok(());
        };
        answer.looked_at += page.events.len();
        for event in &page.events {
            let id = event.attributes.get("id");
            if id.as_deref() == Some(&*answer.query) {
                answer.found.push(FoundView::event(topic, event.version, id));
            }
        }
        after = last;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_id_of_several_events_means_the_first() {
        for (given, expected) in [("e-1-9", "e-1"), ("e-1", "e-1"), ("e", "e"), ("", "")] {
            assert_eq!(first_of(given), expected);
        }
    }

    #[test]
    fn a_place_to_go_on_at_has_a_topic_and_a_version() {
        assert_eq!(place("a@b"), None);
        assert_eq!(place("orders"), None);
        assert_eq!(place("orders@7"), Some(("orders".parse().unwrap(), Version(7))));
    }
}
