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
    dry_run,
    events::view::LoggedEventView,
    problem::Problem,
    query::{Query, cut},
};
use crate::{
    event::{Name, Topic, Version},
    settings::{OnDead, Order, Rate},
    store::{DeadFilter, DeadLetter, DeadReason, DeadSelect, LastAnswer},
    wire,
};

pub(super) mod list;

/// The ids that one request may name.
const IDS_MAX: usize = 100_000;
/// What an answer may be.
const STATUSES: std::ops::RangeInclusive<u16> = 100..=599;

/// One event that was given up, or a range that retention removed while it was owed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeadLetterView {
    pub(crate) id: i64,
    /// Null when the subscription is gone.
    pub(crate) subscription: Option<String>,
    pub(crate) topic: String,
    /// The first version.
    pub(crate) from: u64,
    /// The last version; `from` for one event.
    pub(crate) to: u64,
    /// How many of them were owed.
    pub(crate) count: u64,
    /// `attempts`, `age`, `refused`, `expression`, `too_large`, `damaged` or `expired`.
    pub(crate) reason: DeadReason,
    pub(crate) attempts: u32,
    /// When it was first tried.
    pub(crate) first: String,
    /// When it was given up.
    pub(crate) at: String,
    /// How the last attempt ended: `{status, error}`.
    #[schema(value_type = BTreeMap<String, serde_json::Value>)]
    pub(crate) last: LastAnswer,
    /// The event, as `GET …/events` shows it; null for a range.
    #[schema(value_type = Option<LoggedEventView>)]
    pub(crate) event: Option<Box<RawValue>>,
}

/// Dead letters, oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeadLetterList {
    pub(crate) dead_letters: Vec<DeadLetterView>,
    /// To be given as `after`; null at the end.
    pub(crate) next: Option<i64>,
}

/// Which dead letters: some by their ids, all, or those that are as the other fields say.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SelectBody {
    /// Those with these ids.
    ids: Option<Vec<i64>>,
    /// All of the subscription, when true.
    all: Option<bool>,
    /// Of this topic.
    topic: Option<Topic>,
    /// `attempts`, `age`, `refused`, `expression`, `too_large`, `damaged` or `expired`.
    reason: Option<DeadReason>,
    /// Of this version or a later one.
    #[schema(maximum = 1_099_511_627_775_u64)]
    from: Option<u64>,
    /// Of this version or an earlier one.
    #[schema(maximum = 1_099_511_627_775_u64)]
    to: Option<u64>,
    /// Given up at this time or later (RFC 3339).
    #[schema(format = DateTime)]
    since: Option<String>,
    /// Whose last attempt was answered with this status.
    #[schema(minimum = 100, maximum = 599)]
    status: Option<u16>,
}

/// Which dead letters are tried again, and how fast; the fields of a deletion besides.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RedriveBody {
    /// As in a deletion.
    ids: Option<Vec<i64>>,
    /// As in a deletion.
    all: Option<bool>,
    /// As in a deletion.
    topic: Option<Topic>,
    /// As in a deletion.
    reason: Option<DeadReason>,
    /// As in a deletion.
    #[schema(maximum = 1_099_511_627_775_u64)]
    from: Option<u64>,
    /// As in a deletion.
    #[schema(maximum = 1_099_511_627_775_u64)]
    to: Option<u64>,
    /// As in a deletion.
    #[schema(format = DateTime)]
    since: Option<String>,
    /// As in a deletion.
    #[schema(minimum = 100, maximum = 599)]
    status: Option<u16>,
    /// So many in a time, as `10/s`; without it all are due at once.
    rate: Option<Rate>,
}

/// How many will be tried again.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Redriven)]
pub(super) struct Retried {
    redriven: u64,
    /// That nothing was done, because `dry_run=true` was asked for.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
    /// The subscription is ordered, and later events of the same keys may have arrived before.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    out_of_order: bool,
}

/// How many were thrown away.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Deleted {
    deleted: u64,
    /// That nothing was done, because `dry_run=true` was asked for.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
}

impl RedriveBody {
    fn split(self) -> (SelectBody, Option<Rate>) {
        let Self { ids, all, topic, reason, from, to, since, status, rate } = self;
        (SelectBody { ids, all, topic, reason, from, to, since, status }, rate)
    }
}

impl SelectBody {
    /// The filter of a query string.
    fn of(query: &Query) -> Result<Self, Problem> {
        let ids = query.get("ids").map(|ids| ids.split(',').map(|id| id.trim().parse()).collect());
        let ids = ids.transpose().map_err(|_: std::num::ParseIntError| {
            Problem::parameter("ids", "`ids`: expected numbers, as `1,2,3`")
        })?;
        let reason = query.get("reason").map(|word| {
            serde_json::from_value(word.into()).map_err(|_| {
                let words = "`attempts`, `age`, `refused`, `expression`, `too_large`, `damaged` or `expired`";
                Problem::parameter("reason", format!("`reason={}`: expected {words}", cut(word)))
            })
        });
        let version = |name| Ok::<_, Problem>(query.read::<Version>(name)?.map(|found| found.0));
        let status = query.number("status", 100, 599)?;
        Ok(Self {
            ids,
            all: query.get("all").map(|_| query.flag("all")).transpose()?,
            topic: query.read("topic")?,
            reason: reason.transpose()?,
            from: version("from")?,
            to: version("to")?,
            since: query.moment("since")?.map(|since| since.to_string()),
            status: status.and_then(|status| u16::try_from(status).ok()),
        })
    }

    fn filter(&self) -> Result<DeadFilter, Problem> {
        let since = self.since.as_ref().map(|since| {
            since.parse().map_err(|_| {
                Problem::field("since", "`since`: expected RFC 3339, as 2026-01-31T12:00:00Z")
            })
        });
        for (name, version) in [("from", self.from), ("to", self.to)] {
            if version.is_some_and(|version| version > Version::MAX.0) {
                let most = Version::MAX;
                return Err(Problem::field(name, format!("`{name}`: expected at most {most}")));
            }
        }
        if self.status.is_some_and(|status| !STATUSES.contains(&status)) {
            return Err(Problem::field("status", "`status`: expected a number from 100 to 599"));
        }
        Ok(DeadFilter {
            topic: self.topic.clone(),
            reason: self.reason,
            from: self.from.map(Version),
            to: self.to.map(Version),
            since: since.transpose()?,
            status: self.status,
        })
    }

    fn select(self) -> Result<DeadSelect, Problem> {
        let filter = self.filter()?;
        let narrowed = filter != DeadFilter::default();
        match (self.ids, self.all.unwrap_or(false), narrowed) {
            (Some(ids), false, false) if ids.len() <= IDS_MAX => Ok(DeadSelect::Ids(ids)),
            (Some(_), false, false) => {
                Err(Problem::field("ids", format!("`ids`: at most {IDS_MAX}")))
            }
            (None, true, false) => Ok(DeadSelect::All),
            (None, false, true) => Ok(DeadSelect::Where(filter)),
            _ => Err(Problem::field(
                "ids",
                "expected either `ids`, or `all: true`, or some of `topic`, `reason`, `from`, `to`, `since`, `status`",
            )),
        }
    }
}

pub(super) fn routes() -> Vec<(&'static str, MethodRouter<ApiState>)> {
    vec![
        ("/v1/dead-letters", routing::get(list::list_all)),
        ("/v1/subscriptions/{name}/dead-letters", routing::get(list::list_dead).delete(remove)),
        ("/v1/subscriptions/{name}/dead-letters/redrive", routing::post(redrive)),
    ]
}

/// Tries dead letters again from the first attempt on; they may arrive after later events, which
/// `out_of_order` says of an ordered subscription whose keys go on behind a dead event. Ranges that retention removed stay.
#[utoipa::path(post, path = "/v1/subscriptions/{name}/dead-letters/redrive", tag = "dead letters",
    params(("name" = String, Path), ("dry_run" = Option<bool>, Query, description = "Tell what it would do, and do nothing")),
    request_body = RedriveBody,
    responses((status = 200, body = Retried)))]
pub(super) async fn redrive(
    State(api): State<ApiState>,
    Path(name): Path<Name>,
    query: Query,
    JsonBody(body): JsonBody<RedriveBody>,
) -> Result<Response, Problem> {
    let dry_run = dry_run::asked(&query)?;
    let (body, rate) = body.split();
    let select = body.select()?;
    let settings = api.store.subscription(&name).await?.settings;
    let redriven = if dry_run {
        api.store.count_dead_letters(&name, &select).await?.redrivable
    } else {
        api.store.redrive(&name, select, rate, api.clock.now()).await?
    };
    // Behind a dead event that stops its key nothing has gone on.
    let goes_on = settings.order != Order::None && settings.on_dead == OnDead::Continue;
    let out_of_order = goes_on && redriven > 0;
    Ok(dry_run::answer(dry_run, Json(Retried { redriven, dry_run, out_of_order })))
}

/// Throws dead letters away: those that the body says, or the query in its place.
#[utoipa::path(delete, path = "/v1/subscriptions/{name}/dead-letters", tag = "dead letters",
    params(("name" = String, Path), ("ids" = Option<String>, Query, description = "As `1,2,3`"),
        ("all" = Option<bool>, Query), ("topic" = Option<String>, Query),
        ("reason" = Option<String>, Query), ("from" = Option<u64>, Query), ("to" = Option<u64>, Query),
        ("since" = Option<String>, Query), ("status" = Option<u16>, Query),
        ("dry_run" = Option<bool>, Query, description = "Tell what it would do, and do nothing")),
    request_body = SelectBody,
    responses((status = 200, body = Deleted)))]
pub(super) async fn remove(
    State(api): State<ApiState>,
    Path(name): Path<Name>,
    query: Query,
    JsonBody(body): JsonBody<SelectBody>,
) -> Result<Response, Problem> {
    query.allow(&["ids", "all", "topic", "reason", "from", "to", "since", "status", "dry_run"])?;
    let dry_run = query.flag("dry_run")?;
    let select =
        if query.is_empty_but("dry_run") { body } else { SelectBody::of(&query)? }.select()?;
    let deleted = if dry_run {
        api.store.count_dead_letters(&name, &select).await?.letters
    } else {
        api.store.delete_dead_letters(&name, select).await?
    };
    Ok(dry_run::answer(dry_run, Json(Deleted { deleted, dry_run })))
}

fn view(letter: DeadLetter, subscription: Option<String>) -> DeadLetterView {
    let event = letter.event.and_then(|event| {
        let mut out = Vec::new();
        wire::write_numbered(&mut out, &event, &letter.topic);
        RawValue::from_string(String::from_utf8(out).ok()?).ok()
    });
    DeadLetterView {
        id: letter.id,
        subscription,
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
    use crate::event::Micros;

    #[test]
    fn a_range_counts_what_was_owed_of_it() {
        let letter = DeadLetter {
            id: 7,
            subscription: 1,
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
        let shown = serde_json::to_value(view(letter, None)).unwrap();
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
