//! All sources.

use askama::Template;
use axum::response::Response;
use http::StatusCode;

use super::{
    filters,
    shown::{Source, Sources, last_name},
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
#[template(path = "sources.html")]
struct SourcesPage {
    shell: Shell,
    now: Micros,
    sources: Vec<Source>,
    more: Option<String>,
}

/// The page.
pub(crate) async fn show(visit: Visit, form: Form) -> Result<Response, Refused> {
    let path = format!("/v1/sources?limit={LIMIT}&after={}", segment(form.text("after")));
    let sources = visit.get::<Sources>(&path).await?.sources;
    let last = last_name(&sources, LIMIT, |source| &source.name);
    let more = last.map(|last| visit.link().page("sources") + &query(&[("after", &last)]));
    let shell = visit.shell("Sources").await.with(path, "milkrun sources list");
    Ok(shell::answer(StatusCode::OK, &SourcesPage { shell, now: visit.now, sources, more }))
}
