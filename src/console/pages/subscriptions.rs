//! All subscriptions.

use askama::Template;
use axum::response::Response;
use http::StatusCode;

use super::{
    filters,
    shown::{Subscription, Subscriptions, last_name},
};
use crate::console::{
    form::Form,
    link::{query, segment},
    shell::{self, Refused, Shell},
    visit::Visit,
};

/// How many a page has; with a filter, how many are looked at.
const LIMIT: usize = 100;
const LOOKED_AT: usize = 1_000;

#[derive(Template)]
#[template(path = "subscriptions.html")]
struct SubscriptionsPage {
    shell: Shell,
    wanted: String,
    rows: Vec<Subscription>,
    more: Option<String>,
}

/// The page.
pub(crate) async fn show(visit: Visit, form: Form) -> Result<Response, Refused> {
    let (wanted, after) = (form.text("name").to_owned(), form.text("after"));
    let limit = if wanted.is_empty() { LIMIT } else { LOOKED_AT };
    let path = format!("/v1/subscriptions?limit={limit}&after={}", segment(after));
    let mut rows = visit.get::<Subscriptions>(&path).await?.subscriptions;
    let last = last_name(&rows, limit, |one| &one.name);
    rows.retain(|one| one.name.contains(&wanted));
    let more = last.map(|last| {
        visit.link().page("subscriptions") + &query(&[("name", &wanted), ("after", &last)])
    });
    let shell = visit.shell("Subscriptions").await.with(path, "milkrun subscriptions list");
    Ok(shell::answer(StatusCode::OK, &SubscriptionsPage { shell, wanted, rows, more }))
}
