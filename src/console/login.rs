//! Logging in and out.

use askama::Template;
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};

use super::{
    form::Form,
    session::Cookie,
    shell::{self, Shell},
    visit::Console,
};
use crate::{
    api::{self, problem::Problem},
    key::{KeyError, KeyText},
};

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    shell: Shell,
    next: String,
    /// Why the last key was refused.
    problem: Option<String>,
}

/// Where to go afterwards: a page of the console, and nothing else that a link could name.
fn next(form: &Form) -> String {
    let given = form.text("next");
    let is_own = given.starts_with("/console/") && !given.contains(['\\', '\r', '\n']);
    if is_own { given.to_owned() } else { "/console/".to_owned() }
}

fn page(console: &Console, next: String, problem: Option<Problem>) -> Response {
    let status = problem.as_ref().map_or(StatusCode::OK, |problem| problem.status);
    let shell = Shell::bare("Log in", console.link.clone());
    let page = LoginPage { shell, next, problem: problem.map(|problem| problem.detail) };
    shell::answer(status, &page)
}

/// The form.
pub(super) async fn show(State(console): State<Console>, uri: Uri) -> Response {
    page(&console, next(&Form::of(uri.query().unwrap_or_default())), None)
}

/// Takes a key and begins a session.
pub(super) async fn enter(
    State(console): State<Console>,
    uri: Uri,
    headers: HeaderMap,
    body: String,
) -> Response {
    let form = Form::of(&body);
    let next = next(&form);
    let good = form.text("key").trim().parse::<KeyText>();
    let good = good.map_err(|error: KeyError| {
        Problem::new(StatusCode::UNAUTHORIZED, "key_unknown", error.to_string())
    });
    let key = match good.and_then(|key| console.api.gate.hash_of(&key)) {
        Ok(key) => key,
        Err(problem) => return page(&console, next, Some(problem)),
    };
    let Some(token) = console.sessions.begin(key, console.api.clock.steady()) else {
        return Problem::internal().into_response();
    };
    let cookie = Cookie::of(api::scheme(&headers, &uri));
    with_cookie(shell::redirect(&next), &cookie.set(&token, &console.link.root()))
}

/// Ends the session.
pub(super) async fn leave(
    State(console): State<Console>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let cookie = Cookie::of(api::scheme(&headers, &uri));
    if let Some(token) = cookie.token(&headers) {
        console.sessions.end(&token);
    }
    with_cookie(shell::redirect("/console/login"), &cookie.unset(&console.link.root()))
}

fn with_cookie(mut response: Response, cookie: &str) -> Response {
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}
