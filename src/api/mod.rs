//! Role `api`: the HTTP interface, one file per resource.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router, middleware,
    routing::{self, MethodRouter},
};
use http::StatusCode;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tower::ServiceBuilder;
use tower_http::{
    catch_panic::CatchPanicLayer,
    compression::{
        CompressionLayer,
        predicate::{DefaultPredicate, NotForContentType, Predicate as _},
    },
};

pub(crate) use self::{
    access::scheme,
    gate::{Caller, may},
    keys::KeyView,
};
pub use self::{
    access::{Access, Public, check_bind},
    apply::{ApplyFile, NotApplied},
    budget::Budget,
    gate::{FileKeys, Gate},
    given::{CheckCursor, FileTopics, HeldWork, Limits, Outgoing, VetUrl},
    series::record,
    serve::{Entrance, serve},
    tls::Tls,
};
use self::{directory::Directory, problem::Problem};
use crate::{
    clock::Clock,
    event::Micros,
    notices::Notices,
    series::Recorder,
    store::{Durability, Store},
    telemetry::Metrics,
};

mod access;
mod apply;
mod attempts;
mod attention;
mod body;
mod budget;
mod cluster;
mod dead_letters;
mod directory;
mod dry_run;
mod events;
mod find;
mod gate;
mod given;
mod health;
mod held;
mod keys;
mod list;
mod metrics;
mod openapi;
mod pending;
mod position;
mod prefix;
pub mod problem;
mod publish;
mod query;
mod reload;
mod sending;
mod series;
mod serve;
mod sources;
mod status;
mod strict;
mod subscriptions;
#[cfg(test)]
mod tests;
mod tls;
mod topics;
mod trials;
mod unstuck;

/// What the handlers are handed.
#[derive(Clone)]
pub struct ApiState {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The clock.
    pub clock: Clock,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The way out.
    pub outgoing: Outgoing,
    /// Who is let in.
    pub access: Access,
    /// The keys that are good at present.
    pub gate: Gate,
    /// Long polls and streams end, and readiness is denied, when this is cancelled.
    pub stopping: CancellationToken,
    /// Which subscriptions there are.
    directory: Arc<Directory>,
    started: Micros,
    held: HeldWork,
    file_topics: FileTopics,
    apply_file: ApplyFile,
    check_cursor: CheckCursor,
    durability: Durability,
    notices: Notices,
    public: Arc<Public>,
    limits: Limits,
    waiting: Arc<Semaphore>,
    budget: Budget,
    series: Arc<Mutex<Recorder>>,
}

impl ApiState {
    /// A state with every place free, and no topic that the file names.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        clock: Clock,
        metrics: Arc<Metrics>,
        outgoing: Outgoing,
        access: Access,
        stopping: CancellationToken,
        limits: Limits,
    ) -> Self {
        let waiting = Arc::new(Semaphore::new(limits.waiting_max));
        let (refused, stalled) = (metrics.api_busy.clone(), metrics.api_stalled.clone());
        let budget = Budget::new(limits.bytes_max, refused, stalled);
        let gate = Gate::new(store.clone(), clock.clone(), watch::Sender::default().subscribe());
        let file_topics = watch::Sender::default().subscribe();
        let apply_file: ApplyFile = Arc::new(|_| Box::pin(async { Err(NotApplied::NoFile) }));
        Self {
            started: clock.now(),
            held: HeldWork::default(),
            directory: Arc::new(Directory::new(store.clone(), clock.clone())),
            store,
            clock,
            metrics,
            outgoing,
            access,
            gate,
            stopping,
            file_topics,
            apply_file,
            check_cursor: Arc::new(|_, _| Ok(())),
            durability: Durability::default(),
            notices: Notices::none(),
            public: Arc::default(),
            limits,
            waiting,
            budget,
            series: Arc::default(),
        }
    }

    /// What counts the bytes held for clients.
    #[must_use]
    pub fn budget(&self) -> Budget {
        self.budget.clone()
    }

    /// The state with the work that this node holds.
    #[must_use]
    pub fn with_held(self, held: HeldWork) -> Self {
        Self { held, ..self }
    }

    /// The state with topics that only the configuration file changes.
    #[must_use]
    pub fn with_file_topics(self, file_topics: FileTopics) -> Self {
        Self { file_topics, ..self }
    }

    /// The state with keys that were read already.
    #[must_use]
    pub fn with_gate(self, gate: Gate) -> Self {
        Self { gate: gate.until(self.stopping.clone()), ..self }
    }

    /// The state for an answer that lasts: it ends when the caller's key does.
    fn while_good(self, caller: &Caller) -> Self {
        match caller {
            Caller::Holder(key) => Self { stopping: self.gate.end_of(key), ..self },
            Caller::Anybody | Caller::Nobody => self,
        }
    }

    /// The state with a configuration file that can be applied again.
    #[must_use]
    pub fn with_apply_file(self, apply_file: ApplyFile) -> Self {
        Self { apply_file, ..self }
    }

    /// The state with sources whose cursor rules are known.
    #[must_use]
    pub fn with_check_cursor(self, check_cursor: CheckCursor) -> Self {
        Self { check_cursor, ..self }
    }

    /// The state with what is promised of an event that was acknowledged.
    #[must_use]
    pub fn with_durability(self, durability: Durability) -> Self {
        Self { durability, ..self }
    }

    /// The state with somebody to tell who changed what.
    #[must_use]
    pub fn with_notices(self, notices: Notices) -> Self {
        Self { notices, ..self }
    }

    /// The state with the address by which others reach it.
    #[must_use]
    pub fn with_public(self, public: Public) -> Self {
        Self { public: Arc::new(public), ..self }
    }

    /// The address by which others reach it.
    pub(crate) fn public(&self) -> &Arc<Public> {
        &self.public
    }

    /// A place among the long polls and streams.
    fn take_place(&self) -> Result<OwnedSemaphorePermit, Problem> {
        self.waiting.clone().try_acquire_owned().map_err(|_| {
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "too_many_waiting",
                "all places for long polls and streams are taken",
            )
        })
    }

    /// How full the bounds of the API are.
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float, and 2^53 is enough")]
    fn gauges(&self) -> [(&'static str, f64); 2] {
        let waiting = self.limits.waiting_max.saturating_sub(self.waiting.available_permits());
        [("api_waiting", waiting as f64), ("api_bytes", self.budget.used() as f64)]
    }
}

/// Every route of the API, for the router and for the test that holds the document to it.
fn routes() -> Vec<(&'static str, MethodRouter<ApiState>)> {
    [
        topics::routes(),
        events::routes(),
        pending::routes(),
        sources::routes(),
        subscriptions::routes(),
        attempts::routes(),
        attention::routes(),
        find::routes(),
        dead_letters::routes(),
        reload::routes(),
        cluster::routes(),
        series::routes(),
        trials::routes(),
        keys::routes(),
        health::routes(),
        metrics::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The routes of the API behind their gate, without a body or an answer that crosses a network: for
/// pages of the relay's own, which say who asks by a [`Caller`] beside the request.
pub(crate) fn inside(state: ApiState) -> Router {
    let gated = |router: Router<ApiState>, (path, route): (&str, MethodRouter<ApiState>)| {
        let admit = middleware::from_fn_with_state(state.clone(), gate::admit);
        router.route(path, route.route_layer(admit))
    };
    routes().into_iter().fold(Router::new(), gated).with_state(state)
}

/// The whole API, with what is `beside` it at the same address: let in by the same rules, but for
/// keys.
pub fn router(state: ApiState, beside: Router) -> Router {
    let (access, gate, budget) = (state.access, state.gate.clone(), state.budget());
    // Whoever has a key is let in by any name: a page that a name was made to resolve for has none.
    let access = move || if gate.has_keys() { Access::Keyed } else { access };
    let public = state.public.clone();
    let entry = access::Entry { access: Arc::new(access), public: public.clone() };
    // Streams are flushed event by event, which a compressor would hold back.
    let compressed = DefaultPredicate::new()
        .and(NotForContentType::const_new("application/x-ndjson"))
        .and(NotForContentType::SSE);
    let router = routes()
        .into_iter()
        .fold(Router::new(), |router, (path, route)| {
            let admit = middleware::from_fn_with_state(state.clone(), gate::admit);
            let timed = middleware::from_fn_with_state(state.metrics.clone(), metrics::timed);
            router.route(path, route.route_layer(admit).route_layer(timed))
        })
        .with_state(state)
        .merge(openapi::routes(&public))
        .merge(beside)
        .fallback(|| async { Problem::not_found("there is nothing at this path") })
        .method_not_allowed_fallback(|| async {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "this path does not know the method; `Allow` lists those it knows",
            )
        })
        // As one layer: each of its own would box every request and every answer.
        .layer(
            ServiceBuilder::new()
                .layer(middleware::from_fn_with_state(entry, access::guard))
                .layer(CatchPanicLayer::custom(panicked))
                .layer(middleware::from_fn_with_state(budget.clone(), held::hold_encoder))
                .map_response(events::mark_compressed)
                .map_response(status::give)
                .layer(CompressionLayer::new().gzip(true).compress_when(compressed))
                .map_response(status::keep)
                .layer(middleware::from_fn_with_state(budget, held::hold)),
        );
    prefix::behind(&public, router)
}

/// The metrics alone, for a listener of their own: in clear, and without keys.
pub fn metrics_router(state: ApiState, address: SocketAddr) -> Router {
    let access = Access::without_keys(address);
    let entry = access::Entry { access: Arc::new(move || access), public: Arc::default() };
    Router::new()
        .route("/metrics", routing::get(metrics::show))
        .with_state(state)
        .fallback(|| async { Problem::not_found("`/metrics` is all there is here") })
        .layer(middleware::from_fn_with_state(entry, access::guard))
}

fn panicked(_: Box<dyn std::any::Any + Send>) -> axum::response::Response {
    tracing::error!(event = "api.handler_panicked", "a request handler panicked");
    axum::response::IntoResponse::into_response(Problem::internal())
}
