//! Whether the process lives, and whether it can work.

use axum::{
    Json,
    extract::State,
    routing::{self, MethodRouter},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{ApiState, problem::Problem};

/// The state of the relay in a word.
#[derive(Debug, Serialize, ToSchema)]
pub struct HealthView {
    /// `ok`.
    status: &'static str,
    /// The relay's version.
    version: &'static str,
}

const OK: HealthView = HealthView { status: "ok", version: env!("CARGO_PKG_VERSION") };

pub(super) fn routes() -> Vec<(&'static str, MethodRouter<ApiState>)> {
    vec![("/healthz", routing::get(alive)), ("/readyz", routing::get(ready))]
}

/// The process lives.
#[utoipa::path(get, path = "/healthz", tag = "health",
    responses((status = 200, body = HealthView)))]
pub async fn alive() -> Json<HealthView> {
    Json(OK)
}

/// The store answers and the relay is not stopping.
#[utoipa::path(get, path = "/readyz", tag = "health",
    responses((status = 200, body = HealthView), (status = 503, description = "Not now")))]
pub async fn ready(State(api): State<ApiState>) -> Result<Json<HealthView>, Problem> {
    if api.stopping.is_cancelled() {
        return Err(Problem::closing());
    }
    api.store.topics().await?;
    api.store.ready().await?;
    Ok(Json(OK))
}
