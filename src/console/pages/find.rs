//! Finding something by what somebody has of it.

use askama::Template;
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;

use super::filters;
use crate::console::{
    form::Form,
    json::Text,
    link::{Links, query},
    shell::{self, Refused, Shell},
    visit::Visit,
};

#[derive(Debug, Default, Deserialize)]
struct Answer {
    found: Vec<Found>,
    looked_at: u64,
    next: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Found {
    kind: String,
    name: Option<String>,
    topic: Option<String>,
    version: Option<u64>,
}

impl Found {
    /// Its page.
    fn url(&self, link: &Links) -> String {
        let name = self.name.as_deref().unwrap_or_default();
        match (&*self.kind, &self.topic, &self.version) {
            ("event", Some(topic), Some(version)) => link.event(topic, version),
            ("topic", ..) => link.topic(name),
            ("source", ..) => link.source(name),
            _ => link.subscription(name),
        }
    }

    fn text(&self) -> String {
        let name = Text::new(self.name.as_deref().unwrap_or_default());
        match (&self.topic, self.version) {
            (Some(topic), Some(version)) => format!("{topic} @ {version} {name}"),
            _ => name.to_string(),
        }
    }
}

#[derive(Template)]
#[template(path = "find.html")]
struct FindPage {
    shell: Shell,
    q: String,
    answer: Answer,
    more: Option<String>,
}

/// The page; where one thing is found, its own.
pub(crate) async fn show(visit: Visit, form: Form) -> Result<Response, Refused> {
    let q = form.text("q").to_owned();
    let after = form.text("after");
    let mut shell = visit.shell("Find").await;
    let mut answer = Answer::default();
    if !q.is_empty() {
        let path = format!("/v1/find{}", query(&[("q", &q), ("after", after)]));
        answer = visit.get(&path).await?;
        shell = shell.with(path, "milkrun find WHAT");
    }
    if let ([one], None) = (&answer.found[..], &answer.next) {
        return Ok(visit.lead(&one.url(visit.link())));
    }
    let more = answer.next.as_deref();
    let more = more.map(|next| visit.link().page("find") + &query(&[("q", &q), ("after", next)]));
    Ok(shell::answer(StatusCode::OK, &FindPage { shell, q, answer, more }))
}
