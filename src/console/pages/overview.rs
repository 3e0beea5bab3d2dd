//! The overview: what needs an operator, and what flows.

use askama::Template;
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;

use super::{
    filters,
    shown::{Sources, Topic, Topics, grouped},
};
use crate::{
    console::{
        chart::{Chart, Drawn, Together},
        json::Text,
        link::Links,
        shell::{self, Refused, Shell},
        time::When,
        visit::Visit,
    },
    event::Micros,
};

/// The most topics that are shown here: those with the most events a second.
const TOPICS_SHOWN: usize = 15;
/// The most that a list is read of.
const LISTED: usize = 1_000;
/// The most matters that are shown.
const MATTERS: usize = 100;

/// What the overview shows of how it went.
const CHARTS: [Drawn; 4] = [
    Drawn {
        title: "Events in, by topic",
        metric: "milkrun_events_appended_total",
        by: "topic",
        together: Together::Sum,
        unit: "/ s",
    },
    Drawn {
        title: "Attempts, by answer",
        metric: "milkrun_attempts_total",
        by: "class",
        together: Together::Sum,
        unit: "/ s",
    },
    Drawn {
        title: "Oldest undelivered, by subscription",
        metric: "milkrun_subscription_oldest_seconds",
        by: "subscription",
        together: Together::Largest,
        unit: "s",
    },
    Drawn {
        title: "From recorded to delivered, of the slowest subscription, by quantile",
        metric: "milkrun_delivery_seconds",
        by: "quantile",
        together: Together::Largest,
        unit: "s",
    },
];

/// What the API says needs attention.
#[derive(Debug, Deserialize)]
struct Matters {
    attention: Vec<Matter>,
    total: usize,
    subscriptions: Option<Looked>,
}

/// How all subscriptions do.
#[derive(Debug, Deserialize)]
struct Looked {
    count: u64,
    owed: u64,
    dead_letters: u64,
    delivered: u64,
}

/// Something that an operator should look at.
#[derive(Debug, Deserialize)]
struct Matter {
    code: String,
    severity: String,
    subject: Subject,
    sentence: Text,
    remedy: Text,
    since: Option<When>,
}

#[derive(Debug, Deserialize)]
struct Subject {
    kind: String,
    name: Option<String>,
}

impl Matter {
    fn mood(&self) -> &'static str {
        match (&*self.severity, &*self.code) {
            ("page", _) | (_, "on_hold" | "disabled" | "source_stuck" | "source_failing") => "bad",
            _ => "warn",
        }
    }

    fn word(&self) -> String {
        self.code.replace('_', " ")
    }

    /// The page of what it is about.
    fn url(&self, link: &Links) -> String {
        match (&*self.subject.kind, &self.subject.name) {
            ("subscription", Some(name)) => link.subscription(name),
            ("source", Some(name)) => link.source(name),
            ("topic", Some(name)) => link.topic(name),
            _ => link.page("system"),
        }
    }
}

struct Figure {
    label: &'static str,
    value: String,
}

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    shell: Shell,
    now: Micros,
    attention: Vec<Matter>,
    /// Matters that are not on the page.
    more: u64,
    figures: Vec<Figure>,
    charts: Vec<Chart>,
    topics: Vec<Topic>,
}

/// The page.
pub(crate) async fn show(visit: Visit) -> Result<Response, Refused> {
    let found = visit.glance::<Matters>(&format!("/v1/attention?limit={MATTERS}")).await?;
    let found = found.unwrap_or(Matters { attention: Vec::new(), total: 0, subscriptions: None });
    let Matters { attention, total, subscriptions } = found;
    let topics = visit.glance::<Topics>(&format!("/v1/topics?limit={LISTED}")).await?;
    let topics = topics.map(|all| all.topics);
    let figures = figures(&visit, topics.as_deref(), subscriptions).await?;
    let charts = visit.charts(&CHARTS, None).await?;
    let mut topics = topics.unwrap_or_default();
    topics.sort_by(|a, b| b.rate.total_cmp(&a.rate).then_with(|| a.name.cmp(&b.name)));
    topics.truncate(TOPICS_SHOWN);
    let shell = visit.shell("Overview").await.with("/v1/attention", "milkrun attention");
    let more = (total - attention.len().min(total)) as u64;
    let page = OverviewPage { shell, now: visit.now, attention, more, figures, charts, topics };
    Ok(shell::answer(StatusCode::OK, &page))
}

/// What there is, in numbers, as far as the visitor may know it.
async fn figures(
    visit: &Visit,
    topics: Option<&[Topic]>,
    subscriptions: Option<Looked>,
) -> Result<Vec<Figure>, Refused> {
    let mut figures = Vec::new();
    let mut figure = |label, value: String| figures.push(Figure { label, value });
    if let Some(topics) = topics {
        let rate: f64 = topics.iter().map(|topic| topic.rate).sum();
        figure("topics", many(topics.len()));
        figure("events in / s", format!("{rate:.2}"));
        figure("events kept", grouped(topics.iter().map(|topic| topic.count).sum()));
    }
    if let Some(all) = subscriptions {
        figure("subscriptions", grouped(all.count));
        figure("owed", grouped(all.owed));
        figure("dead letters", grouped(all.dead_letters));
        figure("delivered, ever", grouped(all.delivered));
    }
    if let Some(sources) = visit.glance::<Sources>(&format!("/v1/sources?limit={LISTED}")).await? {
        figure("sources", many(sources.sources.len()));
    }
    Ok(figures)
}

/// How many there are in a list that may be cut.
fn many(listed: usize) -> String {
    let more = if listed >= LISTED { " or more" } else { "" };
    format!("{}{more}", grouped(listed as u64))
}
