//! Trying a filter or a transform against the newest events of a topic.

use askama::Template;
use axum::response::Response;
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::{filters, plan::trial_value};
use crate::console::{
    form::Form,
    json::Text,
    shell::{self, Refused, Shell},
    visit::Visit,
};

#[derive(Debug, Deserialize)]
struct Tried {
    trials: Vec<One>,
    wanted: u64,
    passed_over: u64,
    failed: u64,
    cut: bool,
}

#[derive(Debug, Deserialize)]
struct One {
    version: u64,
    id: Text,
    r#type: Option<Text>,
    key: Option<Text>,
    result: String,
    error: Option<Text>,
    body: Option<Text>,
}

impl One {
    fn mood(&self) -> &'static str {
        match &*self.result {
            "wanted" => "ok",
            "failed" => "bad",
            _ => "idle",
        }
    }

    fn word(&self) -> String {
        self.result.replace('_', " ")
    }
}

#[derive(Template)]
#[template(path = "try.html")]
struct TryPage {
    shell: Shell,
    topic: String,
    filter: String,
    transform: String,
    last: String,
    problem: Option<String>,
    tried: Option<Tried>,
}

/// The page.
pub(crate) async fn show(visit: Visit, form: Form) -> Result<Response, Refused> {
    let text = |name| form.text(name).to_owned();
    let (topic, filter, transform) = (text("topic"), text("filter"), text("transform"));
    let shell = visit.shell("Try").await;
    let mut page =
        TryPage { shell, topic, filter, transform, last: text("last"), problem: None, tried: None };
    if page.topic.is_empty() {
        return Ok(shell::answer(StatusCode::OK, &page));
    }
    let mut draft = json!({});
    if !page.filter.is_empty() {
        draft["filter"] = trial_value(&page.filter);
    }
    if !page.transform.is_empty() {
        draft["transform"] = trial_value(&page.transform);
    }
    let mut body = json!({ "topic": page.topic, "subscription": draft });
    if let Ok(last) = page.last.parse::<u64>() {
        body["last"] = last.into();
    }
    match visit.ask(Method::POST, "/v1/trials", Some(body)).await {
        Ok(bytes) => page.tried = Some(visit.read(&bytes).await?),
        Err(told) => page.problem = Some(Text::new(&told.detail).to_string()),
    }
    let command = format!("milkrun try {} filter=…", page.topic);
    page.shell = page.shell.with("/v1/trials", command);
    Ok(shell::answer(StatusCode::OK, &page))
}
