//! Actions: a page that says what would be done, and doing it by the API's own route.

use askama::Template;
use axum::{extract::Path, response::Response};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    plan::{self, Field, Plan},
    shown::Subscription,
};
use crate::console::{
    form::Form,
    json::{self, Text},
    link::{query, segment},
    shell::{self, Refused, Shell},
    visit::{Told, Visit},
};

#[derive(Template)]
#[template(path = "confirm.html")]
struct ConfirmPage {
    shell: Shell,
    problem: Option<String>,
    says: String,
    fields: Vec<Field>,
    /// Whether it depends on fields what would be done.
    can_look: bool,
    /// Whether it is known what would be done.
    ready: bool,
    verb: &'static str,
    back: String,
    /// What an action answered that only shows something.
    shown: Option<String>,
}

/// What would be done to a subscription.
pub(crate) async fn confirm(
    visit: Visit,
    Path((name, action)): Path<(String, String)>,
    form: Form,
) -> Result<Response, Refused> {
    let plan = subscription(&visit, &name, &action, &form).await?;
    page(&visit, plan, (StatusCode::OK, None, None)).await
}

/// Does it, or says what it would do when that was asked.
pub(crate) async fn perform(
    visit: Visit,
    Path((name, action)): Path<(String, String)>,
    body: String,
) -> Result<Response, Refused> {
    let form = Form::of(&body);
    let plan = subscription(&visit, &name, &action, &form).await?;
    carry_out(&visit, plan, &action, &form).await
}

/// What would be done to a source.
pub(crate) async fn confirm_source(
    visit: Visit,
    Path((name, action)): Path<(String, String)>,
    form: Form,
) -> Result<Response, Refused> {
    let plan = source(&visit, &name, &action, &form).await?;
    page(&visit, plan, (StatusCode::OK, None, None)).await
}

/// Does it.
pub(crate) async fn perform_source(
    visit: Visit,
    Path((name, action)): Path<(String, String)>,
    body: String,
) -> Result<Response, Refused> {
    let form = Form::of(&body);
    let plan = source(&visit, &name, &action, &form).await?;
    carry_out(&visit, plan, &action, &form).await
}

async fn subscription(
    visit: &Visit,
    name: &str,
    action: &str,
    form: &Form,
) -> Result<Plan, Refused> {
    let one: Subscription = visit.get(&format!("/v1/subscriptions/{}", segment(name))).await?;
    let made = match action {
        "pause" => Ok(Plan::plain(
            format!(
                "Pause {name}: nothing is pushed to {} until it is resumed; it keeps its place.",
                one.webhook.url
            ),
            "Pause",
        )),
        "resume" => plan::resume(visit, &one, form).await,
        "rewind" => plan::rewind(visit, &one, form).await,
        "replay" => plan::replay(visit, &one, form).await,
        "test" => Ok(plan::test(&one, form)),
        "redrive" => plan::redrive(visit, &one, form).await,
        "cancel" => plan::cancel(form),
        "rotate" => Ok(plan::rotate(&one, form)),
        _ => Err(unknown(action)),
    };
    let own = format!("/v1/subscriptions/{}", segment(name));
    let plan = match made {
        Ok(plan) => plan,
        Err(told) => return Err(visit.refuse(&told).await),
    };
    Ok(plan.at(&own, action, &visit.link().subscription(name)))
}

async fn source(visit: &Visit, name: &str, action: &str, form: &Form) -> Result<Plan, Refused> {
    let own = format!("/v1/sources/{}", segment(name));
    visit.get::<super::shown::Source>(&own).await?;
    let made = match action {
        "poll" => Ok(Plan::plain(format!("Ask {name} as soon as may be."), "Poll now")),
        "pause" => Ok(Plan::plain(
            format!("Pause {name}: it is not asked until it is resumed; it keeps its place."),
            "Pause",
        )),
        "resume" => {
            Ok(Plan::plain(format!("Resume {name}: it is asked again from its place."), "Resume"))
        }
        "cursor" => plan::cursor(name, form),
        _ => Err(unknown(action)),
    };
    match made {
        Ok(plan) => Ok(plan.at(&own, action, &visit.link().source(name))),
        Err(told) => Err(visit.refuse(&told).await),
    }
}

fn unknown(action: &str) -> Told {
    let action: String = action.chars().take(40).collect();
    let detail = format!("there is no action `{action}`");
    Told { status: 404, code: "not_found".to_owned(), detail }
}

/// The page of a plan.
pub(super) async fn ask(visit: &Visit, plan: Plan) -> Result<Response, Refused> {
    page(visit, plan, (StatusCode::OK, None, None)).await
}

/// Does what is planned when the form says so; else its page.
pub(super) async fn carry_out(
    visit: &Visit,
    plan: Plan,
    action: &str,
    form: &Form,
) -> Result<Response, Refused> {
    let Some(body) = plan.body.clone().filter(|_| form.given("go").is_some()) else {
        return page(visit, plan, (StatusCode::OK, None, None)).await;
    };
    match visit.ask(plan.method.clone(), &plan.path, Some(body)).await {
        Err(told) => page(visit, plan, (told.status(), Some(told.detail), None)).await,
        Ok(bytes) if plan.is_once => {
            let made: Value = serde_json::from_slice(&bytes).unwrap_or_else(|_| json!({}));
            let made = json!({ "name": made["name"], "secret": made["secret"] }).to_string();
            page(visit, plan, (StatusCode::OK, None, Some(json::html(made.as_bytes()).0))).await
        }
        Ok(bytes) if plan.shows => {
            page(visit, plan, (StatusCode::OK, None, Some(json::html(&bytes).0))).await
        }
        Ok(bytes) => {
            let answer: Value = serde_json::from_slice(&bytes).unwrap_or_else(|_| json!({}));
            let count = answer["redriven"].as_u64().map_or_else(String::new, |n| n.to_string());
            Ok(visit.lead(&(plan.back + &query(&[("done", action), ("count", &count)]))))
        }
    }
}

async fn page(
    visit: &Visit,
    plan: Plan,
    (status, problem, shown): (StatusCode, Option<String>, Option<String>),
) -> Result<Response, Refused> {
    let route = (plan.method.clone(), &*plan.route);
    let may = visit.may(route, &[("name", &plan.name)]).await;
    if !may && plan.method != Method::GET {
        let detail = if visit.is_read_only() {
            "`console.read_only` is set: this console changes nothing"
        } else {
            "your key is not good for this"
        };
        let told = Told { status: 403, code: "forbidden".to_owned(), detail: detail.to_owned() };
        return Err(visit.refuse(&told).await);
    }
    let title = format!("{} {}", plan.verb, plan.name);
    let page = ConfirmPage {
        shell: visit.shell(&title).await,
        problem: problem.map(|problem| Text::new(&problem).to_string()),
        says: Text::new(&plan.says).to_string(),
        can_look: plan.fields.iter().any(|field| field.decides),
        ready: plan.body.is_some() && !(plan.is_once && shown.is_some()),
        fields: plan.fields,
        verb: plan.verb,
        back: plan.back,
        shown,
    };
    Ok(shell::answer(status, &page))
}
