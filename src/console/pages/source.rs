//! One source.

use askama::Template;
use axum::{extract::Path, response::Response};
use http::{Method, StatusCode};
use serde::Deserialize;

use super::{filters, shown::Source};
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

const REJECTED: usize = 20;

#[derive(Template)]
#[template(path = "source.html")]
struct SourcePage {
    shell: Shell,
    now: Micros,
    says: String,
    message: Option<String>,
    done: Option<&'static str>,
    act: String,
    may_change: bool,
    rejected: Vec<Rejected>,
    coloured: String,
    one: Source,
}

#[derive(Debug, Deserialize)]
struct RejectedList {
    rejected: Vec<Rejected>,
}

#[derive(Debug, Deserialize)]
struct Rejected {
    at: When,
    reason: Text,
    item: Text,
}

/// The page.
pub(crate) async fn show(
    visit: Visit,
    Path(name): Path<String>,
    form: Form,
) -> Result<Response, Refused> {
    let path = format!("/v1/sources/{}", segment(&name));
    let one: Source = visit.get(&path).await?;
    let rejected: RejectedList = visit.get(&format!("{path}/rejected?limit={REJECTED}")).await?;
    let may_change = visit.may((Method::POST, "/v1/sources/{name}/poll"), &[("name", &name)]).await;
    let report = one.report.as_ref();
    let message = report.and_then(|report| report.message.as_ref());
    let page = SourcePage {
        now: visit.now,
        says: says(&one, visit.now),
        message: message.map(ToString::to_string),
        done: match form.text("done") {
            "poll" => Some("It is polled as soon as may be."),
            "pause" => Some("It is paused."),
            "resume" => Some("It is resumed."),
            "cursor" => Some("The cursor is set."),
            _ => None,
        },
        act: visit.link().source(&name),
        may_change,
        rejected: rejected.rejected,
        coloured: json::html(one.cursor.get().as_bytes()).0,
        shell: visit.shell(&name).await.with(path, format!("milkrun sources show {name}")),
        one,
    };
    Ok(shell::answer(StatusCode::OK, &page))
}

/// How it stands, as a person would say it.
fn says(one: &Source, now: Micros) -> String {
    let next = one.next_poll;
    let next = format!("Next poll at {} ({})", next.at(&now), next.ago(&now));
    match (one.word(), &one.stuck, one.last_success()) {
        (_, Some(stuck), _) => {
            let help: Vec<String> = stuck.help.iter().map(ToString::to_string).collect();
            format!("Stands still: {} {}", stuck.message, help.join(" or "))
        }
        ("paused", ..) => "Paused by an operator; it keeps its place.".to_owned(),
        ("removed", ..) => "It left the configuration file.".to_owned(),
        (_, None, Some(at)) => {
            format!("The last complete walk ended {} ({}). {next}.", at.at(&now), at.ago(&now))
        }
        (_, None, None) => format!("No walk was complete yet. {next}."),
    }
}
