//! The consumer of the demo: it verifies every signature, is busy once, and cannot take one event
//! at all.

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use serde_json::Value;
use sinks::sign::{Secret, signature};
use tokio::sync::mpsc::UnboundedSender;

/// The order at which the consumer is busy, once.
pub(super) const BUSY_AT: &str = "order-004";
/// The order that it can never take.
pub(super) const POISON: &str = "order-007";

/// One request, and what the consumer answered.
#[derive(Debug, Clone)]
pub(super) struct Received {
    /// The event's place in its topic.
    pub(super) version: u64,
    /// The order.
    pub(super) id: String,
    /// Which attempt, from 1.
    pub(super) attempt: u32,
    /// The answer.
    pub(super) status: u16,
    /// Whether the signature was good.
    pub(super) signed: bool,
    /// The order itself.
    pub(super) data: Value,
}

#[derive(Clone)]
struct Desk {
    secret: Arc<Secret>,
    told: UnboundedSender<Received>,
}

/// What answers at `/hooks` and tells of each request.
pub(super) fn router(secret: Secret, told: UnboundedSender<Received>) -> Router {
    Router::new().route("/hooks", post(take)).with_state(Desk { secret: Arc::new(secret), told })
}

async fn take(State(desk): State<Desk>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let timestamp: i64 = header("webhook-timestamp").parse().unwrap_or_default();
    let expected =
        signature(std::slice::from_ref(&*desk.secret), header("webhook-id"), timestamp, &body);
    let signed = header("webhook-signature").split(' ').any(|given| given == expected);
    let event: Value = serde_json::from_slice(&body).unwrap_or_default();
    let id = event["id"].as_str().unwrap_or_default().to_owned();
    let attempt: u32 = header("milkrun-attempt").parse().unwrap_or_default();
    let status = match id.as_str() {
        _ if !signed => StatusCode::UNAUTHORIZED,
        POISON => StatusCode::INTERNAL_SERVER_ERROR,
        BUSY_AT if attempt == 1 => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::NO_CONTENT,
    };
    // Nobody listens any more when the demo is ending.
    let _ = desk.told.send(Received {
        version: header("milkrun-version").parse().unwrap_or_default(),
        id,
        attempt,
        status: status.as_u16(),
        signed,
        data: event["data"].clone(),
    });
    status
}
