//! The web console: pages for operators at `/console/`, where the API is.
//!
//! Rendered on the server; a script only refreshes what is shown. A page asks the API's own routes
//! within the process (`visit`), so what may be seen and done is decided in one place.

use axum::{
    Router,
    extract::DefaultBodyLimit,
    response::Response,
    routing::{get, post},
};
use http::{HeaderMap, header};

use self::{
    link::Links,
    pages::{
        act, create, dead_letters, event, find, overview, source, sources, subscription,
        subscriptions, system, topic, topics, try_out,
    },
    session::Sessions,
    shell::Refused,
    visit::{Console, Told, Visit},
};
use crate::{
    api::{self, ApiState},
    config,
};

mod assets;
mod chart;
mod form;
pub mod json;
mod link;
mod login;
mod pages;
mod session;
mod shell;
mod time;
mod visit;

/// The largest form.
const FORM_BYTES_MAX: usize = 256 << 10;

/// The pages, to be served beside the API; where the settings say so none, and `/` leads to what
/// describes the API.
pub fn router(state: &ApiState, settings: config::Console) -> Router {
    if !settings.enabled {
        return Router::new().route("/", get(|| async { shell::redirect("/docs/") }));
    }
    let console = Console {
        api: state.clone(),
        inside: api::inside(state.clone()),
        sessions: Sessions::default(),
        link: Links::new(state.public().prefix()),
        is_read_only: settings.read_only,
    };
    Router::new()
        .route("/", get(root))
        .route("/console", get(|| async { shell::redirect("/console/") }))
        .route("/console/", get(overview::show))
        .route("/console/login", get(login::show).post(login::enter))
        .route("/console/logout", post(login::leave))
        .route("/console/assets/{hash}/{name}", get(assets::show))
        .route("/console/subscriptions", get(subscriptions::show))
        .route("/console/new-subscription", get(create::show).post(create::make))
        .route("/console/try", get(try_out::show))
        .route("/console/subscriptions/{name}", get(subscription::show))
        .route("/console/subscriptions/{name}/{action}", get(act::confirm).post(act::perform))
        .route("/console/topics", get(topics::show))
        .route("/console/topics/{topic}", get(topic::show))
        .route("/console/topics/{topic}/events/{version}", get(event::show))
        .route("/console/topics/{topic}/events/{version}/data", get(event::data))
        .route("/console/sources", get(sources::show))
        .route("/console/sources/{name}", get(source::show))
        .route(
            "/console/sources/{name}/{action}",
            get(act::confirm_source).post(act::perform_source),
        )
        .route("/console/dead-letters", get(dead_letters::show))
        .route("/console/find", get(find::show))
        .route("/console/system", get(system::show))
        .route("/console/{*rest}", get(missing))
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        .with_state(console)
}

async fn missing(visit: Visit) -> Refused {
    let detail = "there is no such page".to_owned();
    visit.refuse(&Told { status: 404, code: "not_found".to_owned(), detail }).await
}

/// A browser is led to the pages; anything else to what describes the API.
async fn root(headers: HeaderMap) -> Response {
    let accepts = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let is_browser = accepts.is_some_and(|accept| accept.contains("text/html"));
    shell::redirect(if is_browser { "/console/" } else { "/docs/" })
}
