//! One topic: its events, newest first, and what else there is of it.

use askama::Template;
use axum::{extract::Path, response::Response};
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    filters,
    shown::{self, grouped},
};
use crate::{
    console::{
        form::Form,
        json::{self, Text},
        link::{query, segment},
        shell::{self, Refused, Shell},
        time::When,
        visit::{Told, Visit},
    },
    event::Micros,
};

/// Events on a page, and versions that are looked at with a filter.
const EVENTS: u64 = 40;
const LOOKED_AT: u64 = 1_000;
const PENDING: usize = 40;
const GAPS: usize = 20;
/// What a row shows of an event's data.
const PREVIEW_CHARS: usize = 160;

#[derive(Template)]
#[template(path = "topic.html")]
struct TopicPage {
    shell: Shell,
    now: Micros,
    topic: shown::Topic,
    filter: String,
    /// Where it is tried as that of a subscription.
    trial: String,
    /// Why the filter does not work.
    problem: Option<String>,
    /// Which versions were looked at, when a filter chose.
    looked: String,
    events: Vec<Row>,
    older: Option<String>,
    pending: Vec<Pending>,
    gaps: Vec<Gap>,
    coloured: String,
}

#[derive(Debug, Deserialize)]
struct EventPage {
    events: Vec<Event>,
    #[serde(default)]
    skipped: Vec<serde::de::IgnoredAny>,
}

#[derive(Debug, Deserialize)]
struct Event {
    version: u64,
    id: Text,
    #[serde(rename = "type")]
    kind: Text,
    #[serde(default)]
    partitionkey: Text,
    time: Option<Text>,
    data: Option<Box<RawValue>>,
}

/// An event as a row.
struct Row {
    version: u64,
    id: Text,
    kind: Text,
    key: Text,
    recorded: Option<When>,
    preview: String,
}

#[derive(Debug, Deserialize)]
struct PendingList {
    pending: Vec<Pending>,
}

#[derive(Debug, Deserialize)]
struct Pending {
    id: i64,
    due: Option<When>,
    event: PendingEvent,
}

#[derive(Debug, Deserialize)]
struct PendingEvent {
    id: Text,
    #[serde(rename = "type")]
    kind: Text,
}

#[derive(Debug, Deserialize)]
struct GapList {
    gaps: Vec<Gap>,
}

#[derive(Debug, Deserialize)]
struct Gap {
    source: Text,
    version: u64,
    recorded: When,
    reason: Text,
    detail: Text,
}

impl From<Event> for Row {
    fn from(event: Event) -> Self {
        let data = event.data.as_ref().map_or("", |data| data.get());
        let preview: String = data.chars().take(PREVIEW_CHARS).collect();
        Self {
            version: event.version,
            id: event.id,
            kind: event.kind,
            key: event.partitionkey,
            recorded: event.time.and_then(|time| Some(When(time.to_string().parse().ok()?))),
            preview: Text::new(&preview).to_string(),
        }
    }
}

/// The page.
pub(crate) async fn show(
    visit: Visit,
    Path(name): Path<String>,
    form: Form,
) -> Result<Response, Refused> {
    let path = format!("/v1/topics/{}", segment(&name));
    let topic: shown::Topic = visit.get(&path).await?;
    let filter = form.text("filter").to_owned();
    // The last version of the page.
    let last = form.text("before").parse::<u64>().map_or(topic.head, |at| at.saturating_sub(1));
    let last = last.min(topic.head);
    let span = if filter.is_empty() { EVENTS } else { LOOKED_AT };
    let after = last.saturating_sub(span).max(topic.oldest.saturating_sub(1));
    let pairs = [
        ("after", after.to_string()),
        ("up_to", last.to_string()),
        ("limit", LOOKED_AT.to_string()),
        ("filter", filter.clone()),
    ];
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(name, text)| (*name, &**text)).collect();
    let events = format!("{path}/events{}", query(&pairs));
    let found = if after >= last { Ok(None) } else { read(&visit, &events).await };
    let (found, problem) = match found {
        Ok(found) => (found, None),
        Err(told) if told.status == 400 && !filter.is_empty() => {
            (None, Some(Text::new(&told.detail).to_string()))
        }
        Err(told) => return Err(visit.refuse(&told).await),
    };
    let skipped = found.as_ref().map_or(0, |page| page.skipped.len());
    let mut rows: Vec<Row> =
        found.map(|page| page.events).unwrap_or_default().into_iter().map(Row::from).collect();
    rows.reverse();
    let mut reached = after;
    if let Some(first) = rows.get(usize::try_from(EVENTS).unwrap_or(usize::MAX)) {
        // What did not fit is on the next page.
        reached = first.version;
        rows.truncate(usize::try_from(EVENTS).unwrap_or(usize::MAX));
    }
    let older = (reached >= topic.oldest).then(|| {
        let before = (reached + 1).to_string();
        visit.link().topic(&name) + &query(&[("filter", &filter), ("before", &before)])
    });
    let looked = if filter.is_empty() || after >= last {
        String::new()
    } else {
        let failed = if skipped > 0 {
            format!("; the filter fails on {skipped} of them")
        } else {
            String::new()
        };
        format!("Of versions {} to {}{failed}.", grouped(reached + 1), grouped(last))
    };
    let pending = format!("{path}/pending?limit={PENDING}");
    let pending = visit.glance::<PendingList>(&pending).await?.map(|list| list.pending);
    let gaps: GapList = visit.get(&format!("{path}/gaps?limit={GAPS}")).await?;
    let page = TopicPage {
        now: visit.now,
        problem,
        looked,
        events: rows,
        older,
        pending: pending.unwrap_or_default(),
        gaps: gaps.gaps,
        coloured: json::html(topic.settings.get().as_bytes()).0,
        shell: visit.shell(&name).await.with(events, format!("milkrun events list {name}")),
        topic,
        trial: visit.link().page("try") + &query(&[("topic", &name), ("filter", &filter)]),
        filter,
    };
    Ok(shell::answer(StatusCode::OK, &page))
}

async fn read(visit: &Visit, path: &str) -> Result<Option<EventPage>, Told> {
    let bytes = visit.ask(Method::GET, path, None).await?;
    serde_json::from_slice(&bytes).map(Some).map_err(|error| Told {
        status: 500,
        code: "internal".to_owned(),
        detail: error.to_string(),
    })
}
