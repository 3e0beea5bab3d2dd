//! All topics.

use askama::Template;
use axum::response::Response;
use http::StatusCode;

use super::{
    filters,
    shown::{Topic, Topics, last_name},
};
use crate::{
    console::{
        form::Form,
        link::{query, segment},
        shell::{self, Refused, Shell},
        visit::Visit,
    },
    event::Micros,
};

const LIMIT: usize = 100;

#[derive(Template)]
#[template(path = "topics.html")]
struct TopicsPage {
    shell: Shell,
    now: Micros,
    topics: Vec<Topic>,
    more: Option<String>,
}

/// The page.
pub(crate) async fn show(visit: Visit, form: Form) -> Result<Response, Refused> {
    let path = format!("/v1/topics?limit={LIMIT}&after={}", segment(form.text("after")));
    let topics = visit.get::<Topics>(&path).await?.topics;
    let last = last_name(&topics, LIMIT, |topic| &topic.name);
    let more = last.map(|last| visit.link().page("topics") + &query(&[("after", &last)]));
    let shell = visit.shell("Topics").await.with(path, "milkrun topics list");
    Ok(shell::answer(StatusCode::OK, &TopicsPage { shell, now: visit.now, topics, more }))
}
