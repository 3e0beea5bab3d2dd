//! All subscriptions.

use askama::Template;
use axum::response::Response;
use http::{Method, StatusCode};

use super::{
    filters,
    shown::{Subscription, Subscriptions, last_name},
};
use crate::console::{
    form::Form,
    link::query,
    shell::{self, Refused, Shell},
    visit::Visit,
};

/// How many a page has.
const LIMIT: usize = 100;

#[derive(Template)]
#[template(path = "subscriptions.html")]
struct SubscriptionsPage {
    shell: Shell,
    wanted: String,
    rows: Vec<Subscription>,
    may_make: bool,
    more: Option<String>,
}

/// The page.
pub(crate) async fn show(visit: Visit, form: Form) -> Result<Response, Refused> {
    let (wanted, after) = (form.text("name").to_owned(), form.text("after"));
    let limit = LIMIT.to_string();
    let asked = [("limit", &*limit), ("after", after), ("name", &wanted)];
    let path = format!("/v1/subscriptions{}", query(&asked));
    let rows = visit.get::<Subscriptions>(&path).await?.subscriptions;
    let last = last_name(&rows, LIMIT, |one| &one.name);
    let more = last.map(|last| {
        visit.link().page("subscriptions") + &query(&[("name", &wanted), ("after", &last)])
    });
    let may_make = visit.may((Method::POST, "/v1/subscriptions"), &[]).await;
    let shell = visit.shell("Subscriptions").await.with(path, "milkrun subscriptions list");
    let page = SubscriptionsPage { shell, wanted, rows, may_make, more };
    Ok(shell::answer(StatusCode::OK, &page))
}
