//! `/v1/reload`: applies the configuration file as it is now.

use axum::{Json, extract::State, routing::post};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ApiState, body::JsonBody, problem::Problem, query::Query};

pub(super) fn routes() -> Vec<(&'static str, axum::routing::MethodRouter<ApiState>)> {
    vec![("/v1/reload", post(reload))]
}

/// How the file is to be applied.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReloadBody {
    /// Whether more than half of the sources and subscriptions that run by the file may go.
    #[serde(default)]
    allow_removal: bool,
}

/// The file is applied.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReloadView {
    /// Always true: what is refused is answered by an error.
    applied: bool,
}

/// Apply the configuration file as it is now, as SIGHUP does. A file that cannot be used, or that
/// leaves out more than half of what runs by it without `allow_removal`, is refused
/// (`file_refused`), and everything stays as it was.
#[utoipa::path(post, path = "/v1/reload", tag = "configuration", request_body = ReloadBody,
    responses((status = 200, body = ReloadView), (status = 409, description = "`file_refused`, or `conflict`: there is no file to apply")))]
pub(super) async fn reload(
    State(api): State<ApiState>,
    query: Query,
    JsonBody(body): JsonBody<ReloadBody>,
) -> Result<Json<ReloadView>, Problem> {
    query.allow(&[])?;
    (api.apply_file)(body.allow_removal).await?;
    Ok(Json(ReloadView { applied: true }))
}
