//! Dead letters in pages: of one subscription, or of all that a key may see.

use std::sync::Arc;

use axum::{extract::State, response::Response};

use super::{DeadLetterList, SelectBody, view};
use crate::{
    api::{
        ApiState, attempts, body::Path, directory::All, gate::Caller, list, problem::Problem,
        query::Query,
    },
    event::Name,
    store::{DeadLetter, DeadSelect, StoreError},
};

/// Letters read at once, and the bytes of events after which a page ends.
const CHUNK: usize = 16;
const PAGE_BYTES: usize = 8 << 20;

/// Dead letters of a subscription, oldest first.
#[utoipa::path(get, path = "/v1/subscriptions/{name}/dead-letters", tag = "dead letters",
    params(("name" = String, Path), ("limit" = Option<usize>, Query),
        ("after" = Option<i64>, Query, description = "An id"),
        ("topic" = Option<String>, Query), ("reason" = Option<String>, Query),
        ("from" = Option<u64>, Query, description = "A version"), ("to" = Option<u64>, Query, description = "A version"),
        ("since" = Option<String>, Query, description = "Given up at or after this time"),
        ("status" = Option<u16>, Query, description = "Of the last answer")),
    responses((status = 200, body = DeadLetterList)))]
pub(in crate::api) async fn list_dead(
    State(api): State<ApiState>,
    Path(name): Path<Name>,
    query: Query,
) -> Result<Response, Problem> {
    let path = format!("/v1/subscriptions/{name}/dead-letters");
    answer(&api, &query, &path, &Whose::One(name)).await
}

/// Dead letters of all subscriptions that the key may see, oldest first.
#[utoipa::path(get, path = "/v1/dead-letters", tag = "dead letters",
    params(("limit" = Option<usize>, Query), ("after" = Option<i64>, Query, description = "An id"),
        ("topic" = Option<String>, Query), ("reason" = Option<String>, Query),
        ("from" = Option<u64>, Query, description = "A version"), ("to" = Option<u64>, Query, description = "A version"),
        ("since" = Option<String>, Query, description = "Given up at or after this time"),
        ("status" = Option<u16>, Query, description = "Of the last answer")),
    responses((status = 200, body = DeadLetterList)))]
pub(in crate::api) async fn list_all(
    State(api): State<ApiState>,
    caller: Caller,
    query: Query,
) -> Result<Response, Problem> {
    let seen = attempts::seen_by(&api, &caller).await?;
    let all = api.directory.look().await?;
    answer(&api, &query, "/v1/dead-letters", &Whose::Several(seen, all)).await
}

/// Whose dead letters are listed.
enum Whose {
    One(Name),
    /// Of these row numbers (`None`: of all), and what subscriptions are called.
    Several(Option<Vec<i64>>, Arc<All>),
}

impl Whose {
    async fn letters(
        &self,
        api: &ApiState,
        select: &DeadSelect,
        after: i64,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        match self {
            Self::One(name) => api.store.dead_letters(name, select, after, limit).await,
            Self::Several(of, _) => {
                api.store.all_dead_letters(of.as_deref(), select, after, limit).await
            }
        }
    }

    fn name(&self, subscription: i64) -> Option<&Name> {
        match self {
            Self::One(name) => Some(name),
            Self::Several(_, all) => all.name(subscription),
        }
    }
}

/// A page of dead letters.
async fn answer(
    api: &ApiState,
    query: &Query,
    path: &str,
    whose: &Whose,
) -> Result<Response, Problem> {
    query.allow(&["limit", "after", "topic", "reason", "from", "to", "since", "status"])?;
    let select = DeadSelect::Where(SelectBody::of(query)?.filter()?);
    let limit = query.limit()?;
    let mut after = query.id("after")?.unwrap_or(0);
    let mut dead_letters = Vec::new();
    let mut bytes = 0;
    let mut room = api.budget.page(PAGE_BYTES)?;
    // A chunk at a time, for each may carry a megabyte.
    let next = loop {
        let ask = CHUNK.min(limit - dead_letters.len());
        let chunk = whose.letters(api, &select, after, ask).await?;
        let ended = chunk.len() < ask;
        for letter in chunk {
            after = letter.id;
            bytes += letter.event.as_ref().map_or(0, |event| event.size_bytes());
            let name = whose.name(letter.subscription).map(ToString::to_string);
            dead_letters.push(view(letter, name));
        }
        room.held.fit(&api.budget, 2 * bytes)?;
        if ended {
            break None;
        }
        if dead_letters.len() >= limit || bytes >= room.bytes {
            let more = !whose.letters(api, &select, after, 1).await?.is_empty();
            break more.then_some(after);
        }
    };
    let link = next.map(|next| next.to_string());
    Ok(list::answer(path, query, link.as_deref(), DeadLetterList { dead_letters, next }))
}
