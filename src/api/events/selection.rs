//! Which events a read asks for: from where, up to where, of which kind.

use std::sync::Arc;

use serde::Serialize;

use crate::{
    api::{ApiState, position, problem::Problem, query::Query},
    event::{Event, Position, Topic, Version},
    expr::Filter,
    store::{Read, TopicState},
    telemetry::TopicLabel,
};

/// The most events that are looked at in one go with a filter.
const FILTERED_MAX: usize = 20;

/// Where a reader is, and what it wants.
#[derive(Debug, Clone)]
pub(super) struct Selection {
    /// The topic.
    pub topic: Topic,
    /// The last version looked at.
    pub after: Version,
    /// The last version wanted.
    pub up_to: Version,
    wanted: Wanted,
}

/// What one look at the log found.
#[derive(Debug)]
pub(super) struct Found {
    /// Those that match, in version order.
    pub events: Vec<Arc<Event>>,
    /// Those of which the filter cannot tell, in version order.
    pub skipped: Vec<Skipped>,
    /// How many were looked at.
    pub looked: usize,
    /// The topic as it stood.
    pub state: Arc<TopicState>,
}

/// An event that the filter fails on. It is passed over and told: the events behind it are nobody's
/// to withhold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Skipped {
    /// Its version.
    pub version: Version,
    /// Why the filter could not tell.
    pub reason: String,
}

/// Equality with attributes, and a filter as subscriptions have them; what is `None` matches all.
#[derive(Debug, Clone, Default)]
struct Wanted {
    kind: Option<String>,
    key: Option<String>,
    id: Option<(String, String)>,
    filter: Option<Filter>,
}

impl Wanted {
    fn from_query(query: &Query) -> Result<Self, Problem> {
        let text = |name: &str| query.get(name).map(str::to_owned);
        let id = match (text("id"), text("source")) {
            (Some(id), Some(source)) => Some((id, source)),
            (None, None) => None,
            (Some(_), None) => {
                return Err(Problem::parameter(
                    "source",
                    "`id` needs `source`: an id is the producer's",
                ));
            }
            (None, Some(_)) => {
                return Err(Problem::parameter("id", "`source` goes with `id` only"));
            }
        };
        let filter = query.get("filter").map(filter).transpose()?;
        Ok(Self { kind: text("type"), key: text("key"), id, filter })
    }

    fn is_all(&self) -> bool {
        self.kind.is_none() && self.key.is_none() && self.id.is_none() && self.filter.is_none()
    }

    fn has(&self, event: &Event, topic: &Topic) -> Result<bool, Skipped> {
        if !self.equals(event) {
            return Ok(false);
        }
        let matched = self.filter.as_ref().map_or(Ok(true), |filter| filter.matches(event, topic));
        matched.map_err(|error| Skipped { version: event.version, reason: error.to_string() })
    }

    fn equals(&self, event: &Event) -> bool {
        let is = |name: &str, wanted: &str| event.attributes.get(name).as_deref() == Some(wanted);
        self.kind.as_deref().is_none_or(|kind| is("type", kind))
            && self.key.as_ref().is_none_or(|key| event.attributes.key().as_ref() == Some(key))
            && self.id.as_ref().is_none_or(|(id, source)| is("id", id) && is("source", source))
    }
}

fn filter(text: &str) -> Result<Filter, Problem> {
    Filter::parse(&Filter::of_text(text.to_owned()))
        .map_err(|error| Problem::parameter("filter", format!("`filter`: {error}")))
}

impl Selection {
    /// The selection that the parameters describe; `resume` is `Last-Event-ID`, which goes before
    /// `after`, `at` and `since`.
    pub(super) async fn resolve(
        api: &ApiState,
        topic: Topic,
        query: &Query,
        resume: Option<Position>,
    ) -> Result<Self, Problem> {
        let wanted = Wanted::from_query(query)?;
        let after = query.read::<Position>("after")?;
        let at = query.read::<Position>("at")?;
        let since = query.moment("since")?;
        let up_to = query.read::<Position>("up_to")?;
        let given = [after.map(|_| "after"), at.map(|_| "at"), since.map(|_| "since")];
        let mut given = given.iter().flatten();
        if let (Some(one), Some(other)) = (given.next(), given.next()) {
            let detail = format!("`{one}` and `{other}` cannot both be given");
            return Err(Problem::parameter(other, detail));
        }
        let state = api.store.topic(&topic).await?;
        let after = match (resume, after, at, since) {
            (Some(position), ..) | (None, Some(position), ..) => {
                position::check_kept(&state, position)?
            }
            (None, None, Some(at), _) => before(&state, at)?,
            (None, None, None, Some(since)) => api.store.version_before(&topic, since).await?,
            (None, None, None, None) => state.oldest.previous(),
        };
        let up_to = match up_to {
            Some(Position { epoch: None, version }) => version,
            Some(cursor) => position::check(&state, cursor)?,
            None => Version::MAX,
        };
        Ok(Self { topic, after, up_to, wanted })
    }

    /// Whether all that was asked for has been looked at.
    #[must_use]
    pub(super) fn is_done(&self) -> bool {
        self.after >= self.up_to
    }

    /// Looks at the next events: at most `look` of them and `bytes_max` bytes, and at most
    /// `wanted` when every event is wanted. Moves on to the last one looked at.
    pub(super) async fn look(
        &mut self,
        api: &ApiState,
        look: usize,
        wanted: usize,
        bytes_max: usize,
    ) -> Result<Found, Problem> {
        let most = match &self.wanted {
            all if all.is_all() => look.min(wanted),
            // An expression takes time, in which nobody else is served here.
            Wanted { filter: Some(_), .. } => look.min(FILTERED_MAX),
            _ => look,
        };
        let read = Read {
            after: self.after,
            up_to: self.up_to,
            max_events: most.clamp(1, 1_000),
            max_bytes: bytes_max,
        };
        if self.wanted.filter.is_some() {
            tokio::task::yield_now().await;
        }
        let page = api.store.read(&self.topic, read).await?;
        if page.state.oldest > self.after.next() {
            return Err(Problem::gone(page.state.oldest));
        }
        if let Some(passed) = page.passed {
            // Lost versions are a gap of the topic; who reads goes on behind them.
            self.after = self.after.max(passed);
        }
        let (mut events, mut skipped, mut looked) = (Vec::new(), Vec::new(), 0);
        for event in page.events {
            looked += 1;
            self.after = event.version;
            match self.wanted.has(&event, &self.topic) {
                Ok(true) => events.push(event),
                Ok(false) => {}
                Err(one) => skipped.push(one),
            }
            if events.len() == wanted {
                break;
            }
        }
        if !skipped.is_empty() {
            let label = TopicLabel { topic: self.topic.to_string() };
            api.metrics.read_skipped.get_or_create(&label).inc_by(skipped.len() as u64);
        }
        Ok(Found { events, skipped, looked, state: page.state })
    }
}

/// The version before an inclusive position.
fn before(state: &TopicState, at: Position) -> Result<Version, Problem> {
    if at.version == Version::ZERO {
        return Err(Problem::parameter("at", "`at`: versions begin at 1"));
    }
    let previous = position::check(state, at)?.previous();
    position::check_kept(state, Position { epoch: None, version: previous })
}
