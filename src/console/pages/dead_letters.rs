//! Dead letters: which subscriptions have some, and those of one, filtered.

use askama::Template;
use axum::response::Response;
use http::{Method, StatusCode};

use super::{
    filters,
    shown::{Letter, Letters, Subscriptions},
    subscription::since_of,
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

const LIMIT: usize = 40;
const REASONS: [&str; 7] =
    ["attempts", "age", "refused", "expression", "too_large", "damaged", "expired"];

struct With {
    name: String,
    url: String,
    dead: u64,
    is_chosen: bool,
}

#[derive(Template)]
#[template(path = "dead_letters.html")]
struct DeadLettersPage {
    shell: Shell,
    now: Micros,
    with: Vec<With>,
    of: String,
    reasons: &'static [&'static str],
    reason: String,
    status: String,
    since: String,
    letters: Vec<Letter>,
    more: Option<String>,
    redrive: Option<String>,
}

/// The page.
pub(crate) async fn show(visit: Visit, form: Form) -> Result<Response, Refused> {
    let of = form.text("of").to_owned();
    let all: Subscriptions = visit.get("/v1/subscriptions?limit=100&dead_letters=true").await?;
    let with = |name: &str, dead| With {
        name: name.to_owned(),
        url: visit.link().page("dead-letters") + &query(&[("of", name)]),
        dead,
        is_chosen: name == of,
    };
    let mut with_dead: Vec<With> =
        all.subscriptions.iter().map(|one| with(&one.name, one.dead())).collect();
    if !of.is_empty() && !with_dead.iter().any(|one| one.is_chosen) {
        with_dead.push(with(&of, 0));
    }
    let (reason, status, since) = (form.text("reason"), form.text("status"), form.text("since"));
    let mut page = DeadLettersPage {
        shell: visit.shell("Dead letters").await,
        now: visit.now,
        with: with_dead,
        reasons: &REASONS,
        reason: reason.to_owned(),
        status: status.to_owned(),
        since: since.to_owned(),
        letters: Vec::new(),
        more: None,
        redrive: None,
        of,
    };
    if !page.of.is_empty() {
        let at = since_of(&visit, since).await?.map_or_else(String::new, |at| at.iso());
        let filter = [("reason", reason), ("status", status), ("since", &at)];
        let limit = LIMIT.to_string();
        let mut wanted = vec![("limit", &*limit), ("after", form.text("after"))];
        wanted.extend(filter);
        let path =
            format!("/v1/subscriptions/{}/dead-letters{}", segment(&page.of), query(&wanted));
        let found: Letters = visit.get(&path).await?;
        page.more = found.next.map(|next| {
            let next = next.to_string();
            let mut all = vec![("of", &*page.of), ("after", &*next)];
            all.extend([("reason", reason), ("status", status), ("since", since)]);
            visit.link().page("dead-letters") + &query(&all)
        });
        page.letters = found.of(&page.of);
        let route = (Method::POST, "/v1/subscriptions/{name}/dead-letters/redrive");
        if !page.letters.is_empty() && visit.may(route, &[("name", &page.of)]).await {
            page.redrive =
                Some(format!("{}/redrive{}", visit.link().subscription(&page.of), query(&filter)));
        }
        page.shell = page.shell.with(path, format!("milkrun dead-letters list {}", page.of));
    }
    Ok(shell::answer(StatusCode::OK, &page))
}
