//! Finding something by its name, or an event by `topic@version`.

use askama::Template;
use axum::response::Response;
use http::{Method, StatusCode};

use crate::console::{
    form::Form,
    json::Text,
    link::segment,
    shell::{self, Refused, Shell},
    visit::Visit,
};

struct Found {
    kind: &'static str,
    name: String,
    url: String,
}

#[derive(Template)]
#[template(path = "find.html")]
struct FindPage {
    shell: Shell,
    q: String,
    found: Vec<Found>,
}

/// The page.
pub(crate) async fn show(visit: Visit, form: Form) -> Result<Response, Refused> {
    let q = form.given("q").unwrap_or_default().to_owned();
    let mut found = Vec::new();
    if let Some((topic, version)) = q.rsplit_once('@') {
        let path = format!("/v1/topics/{}/events/{}/trace", segment(topic), segment(version));
        if visit.ask(Method::GET, &path, None).await.is_ok() {
            let place = format!("topics/{}/events/{}", segment(topic), segment(version));
            let url = visit.link().page(&place);
            found.push(Found { kind: "event", name: Text::new(&q).to_string(), url });
        }
    }
    if !q.is_empty() {
        let link = visit.link();
        for (kind, list, url) in [
            ("topic", "topics", link.topic(&q)),
            ("subscription", "subscriptions", link.subscription(&q)),
            ("source", "sources", link.source(&q)),
        ] {
            let path = format!("/v1/{list}/{}", segment(&q));
            if visit.ask(Method::GET, &path, None).await.is_ok() {
                found.push(Found { kind, name: Text::new(&q).to_string(), url });
            }
        }
    }
    if let [one] = &found[..] {
        return Ok(shell::redirect(
            one.url.strip_prefix(&*visit.link().to("")).unwrap_or(&one.url),
        ));
    }
    let shell = visit.shell("Find").await;
    Ok(shell::answer(StatusCode::OK, &FindPage { shell, q: Text::new(&q).to_string(), found }))
}
