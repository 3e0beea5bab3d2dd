//! A new subscription: what its filter makes of the newest events, then making it, with its secret shown
//! once.

use axum::response::Response;
use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    act,
    plan::{Field, Plan, place, trial_value},
    shown::grouped,
};
use crate::console::{
    form::Form,
    shell::Refused,
    visit::{Told, Visit},
};

const ROUTE: &str = "/v1/subscriptions";

/// The form.
pub(crate) async fn show(visit: Visit, form: Form) -> Result<Response, Refused> {
    match plan(&visit, &form).await {
        Ok(plan) => act::ask(&visit, plan).await,
        Err(told) => Err(visit.refuse(&told).await),
    }
}

/// Makes it, or says what it would get.
pub(crate) async fn make(visit: Visit, body: String) -> Result<Response, Refused> {
    let form = Form::of(&body);
    match plan(&visit, &form).await {
        Ok(plan) => act::carry_out(&visit, plan, "create", &form).await,
        Err(told) => Err(visit.refuse(&told).await),
    }
}

/// What the API says of the newest events.
#[derive(Deserialize)]
struct Tried {
    wanted: u64,
    passed_over: u64,
    failed: u64,
}

async fn plan(visit: &Visit, form: &Form) -> Result<Plan, Told> {
    let needed =
        |name, label, hint| Field { is_needed: true, ..Field::new(name, label, hint, form) };
    let fields = vec![
        needed("name", "Name", "billing"),
        needed("topic", "Topic, or a pattern", "orders or billing.*"),
        needed("url", "Where to push", "https://example.com/hooks"),
        Field::new("filter", "Filter (empty: every event)", "data.total > 100", form),
        Field::new("from", "From (empty: the next event)", super::plan::PLACES, form),
        Field::new("format", "Format (empty: structured)", "structured, data, binary", form),
    ];
    let (Some(name), Some(topic), Some(url)) =
        (form.given("name"), form.given("topic"), form.given("url"))
    else {
        let says = "Make a subscription: every event of its topic that the filter wants is pushed to \
                    one address, signed. Its secret is made, and shown once.";
        return Ok(new(says.to_owned(), fields, None, visit));
    };
    let mut body = Map::new();
    body.insert("name".to_owned(), name.into());
    body.insert("topic".to_owned(), topic.into());
    body.insert("webhook".to_owned(), json!({ "url": url }));
    if let Some(from) = form.given("from") {
        body.insert("from".to_owned(), place(visit, "from", from)?.into());
    }
    if let Some(filter) = form.given("filter") {
        body.insert("filter".to_owned(), trial_value(filter));
    }
    if let Some(format) = form.given("format") {
        body.insert("format".to_owned(), format.into());
    }
    let says = format!("Make {name}: {}", matches(visit, topic, form).await?);
    Ok(new(says, fields, Some(Value::Object(body)), visit))
}

/// What the filter makes of the newest events of the topic, in a sentence.
async fn matches(visit: &Visit, topic: &str, form: &Form) -> Result<String, Told> {
    if topic.contains('*') {
        return Ok("it joins every topic that the pattern means, those to come too.".to_owned());
    }
    let mut body = json!({ "topic": topic });
    if let Some(filter) = form.given("filter") {
        body["filter"] = trial_value(filter);
    }
    match visit.ask(Method::POST, "/v1/trials", Some(body)).await {
        Ok(bytes) => {
            let tried: Tried = serde_json::from_slice(&bytes)
                .map_err(|_| super::plan::wrong("filter", "the API's answer cannot be read"))?;
            Ok(format!(
                "of the newest {} events of {topic} it wants {}, passes over {} and fails on {}.",
                grouped(tried.wanted + tried.passed_over + tried.failed),
                grouped(tried.wanted),
                grouped(tried.passed_over),
                grouped(tried.failed)
            ))
        }
        // Who may subscribe may not always read.
        Err(told) if told.status == 403 => Ok(format!("it gets events of {topic}.")),
        Err(told) => Err(told),
    }
}

fn new(says: String, fields: Vec<Field>, body: Option<Value>, visit: &Visit) -> Plan {
    let mut plan = Plan::new(says, "Make a subscription", fields, body);
    plan.is_once = true;
    (plan.path, plan.route) = (ROUTE.to_owned(), ROUTE.to_owned());
    plan.back = visit.link().page("subscriptions");
    plan
}
