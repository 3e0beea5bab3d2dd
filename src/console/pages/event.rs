//! One event: how it came in, where it stands, every attempt on it, and its bytes.

use std::collections::BTreeMap;

use askama::Template;
use axum::{
    extract::Path,
    response::{IntoResponse, Response},
};
use http::{Method, StatusCode, header};
use serde::Deserialize;

use super::{
    filters,
    shown::{Attempt, Last, grouped},
};
use crate::{
    console::{
        form::Form,
        json::{self, Text},
        link::segment,
        shell::{self, Refused, Shell},
        time::When,
        visit::Visit,
    },
    event::Micros,
};

/// The most subscriptions that a page has.
const SHOWN: usize = 100;

#[derive(Template)]
#[template(path = "event.html")]
struct EventPage {
    shell: Shell,
    now: Micros,
    trace: Trace,
    /// What the names of the subscriptions shown have in them.
    wanted: String,
    /// Whether there are more than are shown at once.
    is_long: bool,
    /// Those that are left out, by their states.
    rest: String,
    before: Option<String>,
    after: String,
    /// Why its bytes are not shown.
    gone: Option<String>,
    coloured: String,
    whole: bool,
    download: String,
    curl: String,
}

#[derive(Debug, Deserialize)]
struct Trace {
    topic: String,
    version: u64,
    epoch: String,
    id: Option<Text>,
    source: Option<Text>,
    recorded: Option<When>,
    pending: Option<Wait>,
    subscriptions: Vec<Standing>,
    attempts: Vec<Attempt>,
}

#[derive(Debug, Deserialize)]
struct Wait {
    since: When,
    due: When,
}

/// Where the event stands at a subscription.
#[derive(Debug, Deserialize)]
struct Standing {
    subscription: String,
    replay: Option<i64>,
    state: String,
    outcome: Option<String>,
    due: Option<When>,
    attempts: Option<u32>,
    reason: Option<String>,
    last: Option<Last>,
}

impl Standing {
    fn word(&self) -> &str {
        match (&*self.state, &self.outcome) {
            ("settled", Some(outcome)) => outcome,
            ("in_flight", _) => "in flight",
            ("before_start", _) => "before its start",
            (other, _) => other,
        }
    }

    fn mood(&self) -> &'static str {
        match self.word() {
            "delivered" | "settled" => "ok",
            "retry" | "parked" | "in flight" | "waiting" => "warn",
            "dead" | "stopped" => "bad",
            _ => "idle",
        }
    }

    /// What somebody looks for first comes first.
    fn rank(&self) -> usize {
        let ranks = ["bad", "warn", "ok", "idle"];
        ranks.iter().position(|mood| *mood == self.mood()).unwrap_or(ranks.len())
    }

    fn why(&self) -> String {
        let last = self.last.as_ref().map(Last::text).filter(|last| !last.is_empty());
        let all: Vec<String> = self.reason.clone().into_iter().chain(last).collect();
        all.join(": ")
    }
}

/// Leaves those whose name has `wanted` in it, what is worst first, and at most [`SHOWN`]; answers how
/// many of each state are left out for that.
fn choose(standings: &mut Vec<Standing>, wanted: &str) -> String {
    standings.retain(|one| one.subscription.contains(wanted));
    standings.sort_by_key(Standing::rank);
    let mut rest: BTreeMap<&str, u64> = BTreeMap::new();
    for one in standings.iter().skip(SHOWN) {
        *rest.entry(one.word()).or_default() += 1;
    }
    let rest: Vec<String> =
        rest.iter().map(|(word, count)| format!("{} {word}", grouped(*count))).collect();
    standings.truncate(SHOWN);
    rest.join(", ")
}

/// The page.
pub(crate) async fn show(
    visit: Visit,
    Path((topic, version)): Path<(String, String)>,
    form: Form,
) -> Result<Response, Refused> {
    let path = format!("/v1/topics/{}/events/{}", segment(&topic), segment(&version));
    let mut trace: Trace = visit.get(&format!("{path}/trace")).await?;
    let wanted = form.text("subscription").to_owned();
    let is_long = trace.subscriptions.len() > SHOWN;
    let rest = choose(&mut trace.subscriptions, &wanted);
    let (gone, coloured, whole) = match visit.ask(Method::GET, &path, None).await {
        Ok(bytes) => {
            let (coloured, whole) = json::html(&bytes);
            (None, coloured, whole)
        }
        Err(told) if matches!(told.status, 404 | 410) => {
            (Some(Text::new(&told.detail).to_string()), String::new(), true)
        }
        Err(told) => return Err(visit.refuse(&told).await),
    };
    let number = trace.version;
    let title = format!("{topic} @ {number}");
    let url = visit.link().event(&topic, &number);
    let page = EventPage {
        now: visit.now,
        before: (number > 1).then(|| visit.link().event(&topic, &(number - 1))),
        after: visit.link().event(&topic, &(number + 1)),
        gone,
        coloured,
        whole,
        download: format!("{url}/data"),
        wanted,
        is_long,
        rest,
        curl: format!("curl \"$MILKRUN_SERVER{path}\""),
        shell: visit
            .shell(&title)
            .await
            .with(format!("{path}/trace"), format!("milkrun trace {topic} {number}")),
        trace,
    };
    Ok(shell::answer(StatusCode::OK, &page))
}

/// The event as the API has it, as a file: never a page, whatever is in it.
pub(crate) async fn data(
    visit: Visit,
    Path((topic, version)): Path<(String, String)>,
) -> Result<Response, Refused> {
    let path = format!("/v1/topics/{}/events/{}", segment(&topic), segment(&version));
    let bytes = match visit.ask(Method::GET, &path, None).await {
        Ok(bytes) => bytes,
        Err(told) => return Err(visit.refuse(&told).await),
    };
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '.');
    let name: String = format!("{topic}-{version}").chars().filter(|l| is_plain(*l)).collect();
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}.json\"")),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox".to_owned()),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    Ok((headers, bytes).into_response())
}
