//! Whether the process lives, and whether it can work.

use axum::{
    Json,
    extract::State,
    routing::{self, MethodRouter},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{ApiState, problem::Problem};
use crate::store::Trouble;

/// The state of the relay in a word.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReadyView {
    /// `ok`, or `degraded`: it works, but not as it should.
    status: &'static str,
    /// The relay's version.
    version: &'static str,
    /// What is wrong; only when it is degraded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    troubles: Vec<Trouble>,
}

impl ReadyView {
    fn new(troubles: Vec<Trouble>) -> Self {
        let status = if troubles.is_empty() { "ok" } else { "degraded" };
        Self { status, version: env!("CARGO_PKG_VERSION"), troubles }
    }
}

pub(super) fn routes() -> Vec<(&'static str, MethodRouter<ApiState>)> {
    vec![("/healthz", routing::get(alive)), ("/readyz", routing::get(ready))]
}

/// The process lives.
#[utoipa::path(get, path = "/healthz", tag = "health",
    responses((status = 200, body = ReadyView)))]
pub(super) async fn alive() -> Json<ReadyView> {
    Json(ReadyView::new(Vec::new()))
}

/// The store answers and the relay is not stopping. What goes on while the disk is full, or while
/// another program holds the file, goes on here: the answer is 200, and says `degraded`.
#[utoipa::path(get, path = "/readyz", tag = "health",
    responses((status = 200, body = ReadyView), (status = 503, description = "Not now: it is stopping, or the store does not answer")))]
pub(super) async fn ready(State(api): State<ApiState>) -> Result<Json<ReadyView>, Problem> {
    if api.stopping.is_cancelled() {
        return Err(Problem::closing());
    }
    api.store.ready().await?;
    api.store.topics().await?;
    Ok(Json(ReadyView::new(api.store.troubles())))
}
