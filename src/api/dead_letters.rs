//! Dead letters: what was given up, trying it again, and throwing it away.

use axum::{
    Json,
    extract::State,
    response::Response,
    routing::{self, MethodRouter},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{
    ApiState,
    body::{JsonBody, Path},
    list,
    problem::Problem,
    query::Query,
};
use crate::{
    event::Name,
    store::{DeadLetter, DeadReason, DeadSelect, LastAnswer},
    wire,
};

/// Letters read at once, and the bytes of events after which a page ends.
const CHUNK: usize = 16;
const PAGE_BYTES: usize = 8 << 20;
const IDS_MAX: usize = 100_000;

/// One event that was given up, or a range that retention removed while it was owed.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeadLetterView {
    id: i64,
    topic: String,
    /// The first version.
    from: u64,
    /// The last version; `from` for one event.
    to: u64,
    /// How many of them were owed.
    count: u64,
    /// `attempts`, `age`, `refused`, `expression` or `expired`.
    #[schema(value_type = String)]
    reason: DeadReason,
    attempts: u32,
    /// When it was first tried.
    first: String,
    /// When it was given up.
    at: String,
    /// How the last attempt ended: `{status, error}`.
    #[schema(value_type = BTreeMap<String, serde_json::Value>)]
    last: LastAnswer,
    /// The event, as `GET …/events` shows it; null for a range.
    #[schema(value_type = Option<BTreeMap<String, serde_json::Value>>)]
    event: Option<Box<RawValue>>,
}

/// Dead letters, oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeadLetterList {
    dead_letters: Vec<DeadLetterView>,
    /// To be given as `after`; null at the end.
    next: Option<i64>,
}

/// Which dead letters: either some or all.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SelectBody {
    /// Those with these ids.
    ids: Option<Vec<i64>>,
    /// All of the subscription, when true.
    all: Option<bool>,
}

/// How many will be tried again.
#[derive(Debug, Serialize, ToSchema)]
pub struct Redriven {
    redriven: u64,
}

/// How many were thrown away.
#[derive(Debug, Serialize, ToSchema)]
pub struct Deleted {
    deleted: u64,
}

impl SelectBody {
    fn select(self) -> Result<DeadSelect, Problem> {
        match (self.ids, self.all) {
            (None, Some(true)) => Ok(DeadSelect::All),
            (Some(ids), None | Some(false)) if ids.len() <= IDS_MAX => Ok(DeadSelect::Ids(ids)),
            (Some(_), None | Some(false)) => {
                Err(Problem::field("ids", format!("`ids`: at most {IDS_MAX}")))
            }
            _ => Err(Problem::field("ids", "expected either `ids` or `all: true`")),
        }
    }
}

pub(super) fn routes() -> Vec<(&'static str, MethodRouter<ApiState>)> {
    vec![
        ("/v1/subscriptions/{name}/dead-letters", routing::get(list_dead).delete(remove)),
        ("/v1/subscriptions/{name}/dead-letters/redrive", routing::post(redrive)),
    ]
}

/// Dead letters of a subscription, oldest first.
#[utoipa::path(get, path = "/v1/subscriptions/{name}/dead-letters", tag = "dead letters",
    params(("name" = String, Path), ("limit" = Option<usize>, Query),
        ("after" = Option<i64>, Query, description = "An id")),
    responses((status = 200, body = DeadLetterList)))]
pub async fn list_dead(
    State(api): State<ApiState>,
    Path(name): Path<Name>,
    query: Query,
) -> Result<Response, Problem> {
    query.allow(&["limit", "after"])?;
    let limit = query.limit()?;
    let mut after = query.read::<i64>("after")?.unwrap_or(0);
    let mut dead_letters = Vec::new();
    let mut bytes = 0;
    // A chunk at a time, for each may carry a megabyte.
    let next = loop {
        let ask = CHUNK.min(limit - dead_letters.len());
        let chunk = api.store.dead_letters(&name, after, ask).await?;
        let ended = chunk.len() < ask;
        for letter in chunk {
            after = letter.id;
            bytes += letter.event.as_ref().map_or(0, |event| event.size_bytes());
            dead_letters.push(view(letter));
        }
        if ended {
            break None;
        }
        if dead_letters.len() >= limit || bytes >= PAGE_BYTES {
            let more = !api.store.dead_letters(&name, after, 1).await?.is_empty();
            break more.then_some(after);
        }
    };
    let path = format!("/v1/subscriptions/{name}/dead-letters");
    let link = next.map(|next| next.to_string());
    Ok(list::answer(&path, &query, link.as_deref(), DeadLetterList { dead_letters, next }))
}

/// Tries dead letters again from the first attempt on; they may arrive after later events.
/// Ranges that retention removed stay.
#[utoipa::path(post, path = "/v1/subscriptions/{name}/dead-letters/redrive", tag = "dead letters",
    params(("name" = String, Path)), request_body = SelectBody,
    responses((status = 200, body = Redriven)))]
pub async fn redrive(
    State(api): State<ApiState>,
    Path(name): Path<Name>,
    query: Query,
    JsonBody(body): JsonBody<SelectBody>,
) -> Result<Json<Redriven>, Problem> {
    query.allow(&[])?;
    let redriven = api.store.redrive(&name, body.select()?, api.clock.now()).await?;
    Ok(Json(Redriven { redriven }))
}

/// Throws dead letters away: those of the body, or of `ids=1,2` or `all=true`.
#[utoipa::path(delete, path = "/v1/subscriptions/{name}/dead-letters", tag = "dead letters",
    params(("name" = String, Path), ("ids" = Option<String>, Query, description = "As `1,2,3`"),
        ("all" = Option<bool>, Query)),
    request_body = Option<SelectBody>,
    responses((status = 200, body = Deleted)))]
pub async fn remove(
    State(api): State<ApiState>,
    Path(name): Path<Name>,
    query: Query,
    JsonBody(body): JsonBody<SelectBody>,
) -> Result<Json<Deleted>, Problem> {
    query.allow(&["ids", "all"])?;
    let select = match (query.get("ids"), query.flag("all")?) {
        (None, false) => body.select()?,
        (ids, all) => {
            let ids = ids.map(|ids| ids.split(',').map(|id| id.trim().parse()).collect());
            let ids = ids.transpose().map_err(|_: std::num::ParseIntError| {
                Problem::parameter("ids", "`ids`: expected numbers, as `1,2,3`")
            })?;
            SelectBody { ids, all: Some(all) }.select()?
        }
    };
    let deleted = api.store.delete_dead_letters(&name, select).await?;
    Ok(Json(Deleted { deleted }))
}

fn view(letter: DeadLetter) -> DeadLetterView {
    let event = letter.event.and_then(|event| {
        let mut out = Vec::new();
        wire::write_numbered(&mut out, &event, &letter.topic);
        RawValue::from_string(String::from_utf8(out).ok()?).ok()
    });
    DeadLetterView {
        id: letter.id,
        topic: letter.topic.to_string(),
        from: letter.from.0,
        to: letter.to.0,
        count: letter.count,
        reason: letter.reason,
        attempts: letter.attempts,
        first: letter.first.to_string(),
        at: letter.at.to_string(),
        last: letter.last,
        event,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{event::Micros, event::Version, store::LastAnswer};

    #[test]
    fn a_range_counts_what_was_owed_of_it() {
        let letter = DeadLetter {
            id: 7,
            topic: "orders".parse().unwrap(),
            from: Version(10),
            to: Version(19),
            count: 3,
            reason: DeadReason::Expired,
            attempts: 0,
            first: Micros(0),
            at: Micros(0),
            last: LastAnswer::default(),
            event: None,
        };
        let shown = serde_json::to_value(view(letter)).unwrap();
        assert_eq!(
            (&shown["from"], &shown["to"], &shown["count"]),
            (&10.into(), &19.into(), &3.into())
        );
        assert_eq!(
            (&shown["reason"], &shown["event"]),
            (&"expired".into(), &serde_json::Value::Null)
        );
    }
}
