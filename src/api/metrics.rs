//! The metrics, in the text format of OpenMetrics.

use axum::{
    extract::State,
    response::IntoResponse,
    routing::{self, MethodRouter},
};
use http::header;

use super::ApiState;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(super) fn routes() -> Vec<(&'static str, MethodRouter<ApiState>)> {
    vec![("/metrics", routing::get(show))]
}

/// Every metric.
#[utoipa::path(get, path = "/metrics", tag = "health",
    responses((status = 200, body = String, content_type = "application/openmetrics-text")))]
pub(super) async fn show(State(api): State<ApiState>) -> impl IntoResponse {
    let mut gauges = api.store.gauges().await;
    gauges.extend(api.gauges());
    ([(header::CONTENT_TYPE, OPENMETRICS)], api.metrics.encode(&gauges))
}
