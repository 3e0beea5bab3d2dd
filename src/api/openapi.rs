//! The OpenAPI document, and a page that shows it without the network.

use axum::{
    Router, middleware,
    response::{IntoResponse as _, Response},
};
use http::{Method, StatusCode};
use serde_json::Value;
use url::Url;
use utoipa::{
    OpenApi,
    openapi::{
        Server,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::{
    access::Public,
    attempts, attention, cluster, dead_letters, events, find, health, keys, metrics, pending,
    problem::{Problem, ProblemView},
    publish, reload, series, sources, subscriptions, topics, trials,
};

pub(super) mod forms;
mod operation;
mod parameters;
mod split;

/// The document.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Milkrun",
        description = "Errors are `application/problem+json` with a stable `code` (schema `Problem`); docs/api.md lists every code. Unknown query parameters and unknown fields are refused. Every write names JSON or CloudEvents as its `Content-Type`, without a body too, and no page of another origin is answered."
    ),
    paths(
        topics::list_topics,
        topics::show,
        topics::put,
        topics::remove,
        topics::new_epoch,
        topics::gaps,
        events::read,
        publish::publish,
        events::one,
        events::trace::trace,
        pending::list_pending,
        pending::show,
        pending::change,
        pending::cancel,
        pending::commit,
        sources::list_sources,
        sources::show,
        sources::poll,
        sources::pause,
        sources::resume,
        sources::set_cursor,
        sources::rejected,
        subscriptions::list_subscriptions,
        subscriptions::create,
        subscriptions::show,
        subscriptions::change,
        subscriptions::remove,
        subscriptions::steer::pause,
        subscriptions::steer::resume,
        subscriptions::steer::rewind,
        subscriptions::secrets::rotate,
        subscriptions::trial::trial,
        subscriptions::waiting::waiting,
        trials::run,
        subscriptions::replays::list,
        subscriptions::replays::start,
        subscriptions::replays::show,
        subscriptions::replays::cancel,
        attempts::of_all,
        attention::show,
        find::find,
        attempts::of_subscription,
        dead_letters::list::list_all,
        dead_letters::list::list_dead,
        dead_letters::redrive,
        dead_letters::remove,
        reload::reload,
        keys::list_keys,
        keys::create,
        keys::revoke,
        cluster::show,
        series::show,
        health::alive,
        health::ready,
        metrics::show,
    ),
    components(schemas(ProblemView, subscriptions::request::SubscriptionBody))
)]
pub(super) struct Document;

/// The document with what holds for every operation.
///
/// # Panics
/// Never: JSON takes all that it consists of.
pub(super) fn document(public: &Public) -> Value {
    let mut document = Document::openapi();
    let url = public.url.as_ref().map_or("/", Url::as_str);
    document.servers = Some(vec![Server::new(url)]);
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A key, as `milkrun keys create` makes it; without keys none is sent"));
    let components = document.components.get_or_insert_default();
    components.add_security_scheme(operation::KEY, SecurityScheme::Http(bearer.build()));
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in [
            (Method::GET, &mut item.get),
            (Method::PUT, &mut item.put),
            (Method::POST, &mut item.post),
            (Method::PATCH, &mut item.patch),
            (Method::DELETE, &mut item.delete),
        ] {
            if let Some(operation) = operation {
                operation::complete(operation, &method, path);
            }
        }
    }
    let mut document = serde_json::to_value(document).expect("JSON takes all of a document");
    if let Some(schemas) = document["components"]["schemas"].as_object_mut() {
        split::split(schemas);
    }
    document
}

/// `/openapi.json`, and `/docs`.
pub(super) fn routes(public: &Public) -> Router {
    // Seen from the page, whatever a proxy puts before it. Without the other setting the page asks a
    // public validator about the document.
    let config = Config::new(["../openapi.json"]).validator_url("none");
    let page: Router = SwaggerUi::new("/docs")
        .external_url_unchecked("/openapi.json", document(public))
        .config(config)
        .into();
    page.route_layer(middleware::map_response(refused))
}

/// What the page's own server refuses, as every refusal is told: it says nothing, or plain words.
async fn refused(response: Response) -> Response {
    match response.status() {
        StatusCode::NOT_FOUND => {
            Problem::not_found("there is nothing at this path").into_response()
        }
        StatusCode::BAD_REQUEST => {
            Problem::malformed("in the path: expected percent-encoded UTF-8").into_response()
        }
        _ => response,
    }
}
