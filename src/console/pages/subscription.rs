//! One subscription.

use askama::Template;
use axum::{extract::Path, response::Response};
use http::{Method, StatusCode};
use serde::Deserialize;

use super::{
    filters,
    shown::{Attempt, Attempts, Last, Letter, Letters, Subscription, grouped},
};
use crate::{
    console::{
        chart::{Chart, Drawn, Together},
        form::Form,
        json::{self, Text},
        link::{query, segment},
        shell::{self, Refused, Shell},
        time::{When, typed},
        visit::{Told, Visit},
    },
    event::Micros,
};

/// How many attempts, events that wait, and dead letters a page has.
const ATTEMPTS: usize = 40;
const WAITING: usize = 20;
const LETTERS: usize = 20;

/// What the page shows of how it went.
const CHARTS: [Drawn; 3] = [
    Drawn {
        title: "Owed",
        metric: "milkrun_subscription_owed",
        by: "subscription",
        together: Together::Sum,
        unit: "events",
    },
    Drawn {
        title: "Attempts, by answer",
        metric: "milkrun_attempts_total",
        by: "class",
        together: Together::Sum,
        unit: "/ s",
    },
    Drawn {
        title: "From recorded to delivered, by quantile",
        metric: "milkrun_delivery_seconds",
        by: "quantile",
        together: Together::Largest,
        unit: "s",
    },
];

#[derive(Template)]
#[template(path = "subscription.html")]
struct SubscriptionPage {
    shell: Shell,
    now: Micros,
    one: Subscription,
    says: String,
    done: Option<String>,
    /// Where its actions are.
    act: String,
    may_change: bool,
    failed: bool,
    status: String,
    since: String,
    since_at: Option<When>,
    attempts: Vec<Attempt>,
    more: Option<String>,
    waiting: Undelivered,
    letters: Vec<Letter>,
    more_letters: Option<String>,
    replays: Vec<Replay>,
    charts: Vec<Chart>,
    coloured: String,
}

/// What is not settled, what is due first first.
#[derive(Debug, Deserialize)]
struct Undelivered {
    waiting: Vec<Wait>,
    total: u64,
    in_flight: u64,
    not_begun: u64,
}

#[derive(Debug, Deserialize)]
struct Wait {
    topic: String,
    version: u64,
    replay: Option<i64>,
    state: String,
    due: Option<When>,
    attempts: u32,
    last: Last,
}

impl Wait {
    fn mood(&self) -> &'static str {
        if self.state == "stopped" { "bad" } else { "warn" }
    }

    /// How the last attempt ended.
    fn why(&self) -> String {
        self.last.text()
    }
}

#[derive(Debug, Deserialize)]
struct Replays {
    replays: Vec<Replay>,
}

#[derive(Debug, Deserialize)]
struct Replay {
    id: i64,
    topic: String,
    from: u64,
    to: u64,
    status: String,
    waits: Option<Text>,
    done_percent: u64,
    delivered: u64,
    started: When,
}

impl Replay {
    fn mood(&self) -> &'static str {
        match &*self.status {
            "running" | "done" => "ok",
            "waiting" => "warn",
            _ => "idle",
        }
    }

    fn is_open(&self) -> bool {
        matches!(&*self.status, "running" | "waiting")
    }
}

/// The page.
pub(crate) async fn show(
    visit: Visit,
    Path(name): Path<String>,
    form: Form,
) -> Result<Response, Refused> {
    let path = format!("/v1/subscriptions/{}", segment(&name));
    let bytes = match visit.ask(Method::GET, &path, None).await {
        Ok(bytes) => bytes,
        Err(told) => return Err(visit.refuse(&told).await),
    };
    let one: Subscription = visit.read(&bytes).await?;
    let since = form.text("since").to_owned();
    let since_at = since_of(&visit, &since).await?;
    let failed = form.text("failed") == "true";
    let status = form.text("status").to_owned();
    let at = since_at.map_or_else(String::new, |at| at.iso());
    let wanted = [
        ("limit", ATTEMPTS.to_string()),
        ("failed", if failed { "true".to_owned() } else { String::new() }),
        ("status", status.clone()),
        ("since", at),
        ("after", form.text("after").to_owned()),
    ];
    let wanted: Vec<(&str, &str)> = wanted.iter().map(|(name, text)| (*name, &**text)).collect();
    let found: Attempts = visit.get(&format!("{path}/attempts{}", query(&wanted))).await?;
    let more = found.next.map(|next| {
        let next = next.to_string();
        let failed = if failed { "true" } else { "" };
        visit.link().subscription(&name)
            + &query(&[
                ("failed", failed),
                ("status", &status),
                ("since", &since),
                ("after", &next),
            ])
    });
    let waiting: Undelivered = visit.get(&format!("{path}/waiting?limit={WAITING}")).await?;
    let letters: Letters = visit.get(&format!("{path}/dead-letters?limit={LETTERS}")).await?;
    let more_letters =
        letters.next.map(|_| visit.link().page("dead-letters") + &query(&[("of", &name)]));
    let replays = visit.get::<Replays>(&format!("{path}/replays")).await?.replays;
    let charts = visit.charts(&CHARTS, Some(("subscription", &name))).await?;
    let params = [("name", &*name)];
    let change = (Method::POST, "/v1/subscriptions/{name}/pause");
    let shell = visit.shell(&name).await;
    let page = SubscriptionPage {
        now: visit.now,
        says: says(&one, visit.now),
        done: done(&form),
        act: visit.link().subscription(&name),
        may_change: visit.may(change, &params).await,
        failed,
        status,
        since,
        since_at,
        attempts: found.attempts,
        more,
        waiting,
        letters: letters.of(&name),
        more_letters,
        replays,
        charts,
        coloured: json::html(&bytes).0,
        shell: shell.with(path, format!("milkrun subscriptions show {name}")),
        one,
    };
    Ok(shell::answer(StatusCode::OK, &page))
}

/// The instant of a field `since`.
pub(super) async fn since_of(visit: &Visit, text: &str) -> Result<Option<When>, Refused> {
    if text.is_empty() {
        return Ok(None);
    }
    match typed(text, visit.now) {
        Ok(at) => Ok(Some(When(at))),
        Err(detail) => {
            let told = Told { status: 400, code: "bad_parameter".to_owned(), detail };
            Err(visit.refuse(&told).await)
        }
    }
}

/// How it stands, as a person would say it.
fn says(one: &Subscription, now: Micros) -> String {
    let owed = match one.owed {
        0 => "nothing is owed".to_owned(),
        1 => "1 event is owed".to_owned(),
        owed => format!("{} events are owed", grouped(owed)),
    };
    let reason = one.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
    let health = one.health.as_ref();
    match one.word() {
        "delivering" => {
            let dead = match one.dead() {
                0 => String::new(),
                1 => ", and 1 event was given up".to_owned(),
                dead => format!(", and {} events were given up", grouped(dead)),
            };
            format!("Delivers to {}; {owed}{dead}.", one.webhook.url)
        }
        "on hold" => {
            let at =
                |when: Option<When>| when.map_or_else(|| "soon".to_owned(), |when| when.at(&now));
            format!(
                "On hold since {}: its endpoint failed again and again{reason}. One event is tried at {}; {owed}, and none of them dies of this hold.",
                at(health.and_then(|health| health.since)),
                at(health.and_then(|health| health.next_trial)),
            )
        }
        "reopening" => {
            format!("A trial succeeded: it delivers again, a few at once at first; {owed}.")
        }
        "paused" => format!("Paused by an operator{reason}; {owed}, and it keeps its place."),
        "full" => {
            format!("Has as many unsettled events as it may, and so tries nothing new; {owed}.")
        }
        "keys stopped" => format!(
            "{} keys stand still behind a dead letter, until it is redriven or dropped; {owed}.",
            grouped(one.stopped_keys)
        ),
        "removed" => {
            format!("It left the configuration file; {owed}, and it keeps its place for a while.")
        }
        other => format!("Is {other}{reason}; {owed}, and it keeps its place until it is resumed."),
    }
}

/// What was just done, by a word of the URL: so a foreign link can put no sentence here.
fn done(form: &Form) -> Option<String> {
    let count = form.text("count").parse::<u64>().map(grouped).unwrap_or_default();
    Some(match form.text("done") {
        "pause" => "It is paused.".to_owned(),
        "resume" => "It is resumed.".to_owned(),
        "rewind" => "It is moved.".to_owned(),
        "replay" => "The replay has begun.".to_owned(),
        "cancel" => "The replay is cancelled.".to_owned(),
        "redrive" => format!("{count} dead letters are tried again."),
        _ => return None,
    })
}
