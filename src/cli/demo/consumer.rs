//! The consumer of the demo: it verifies every signature, and answers as it was told to.

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

/// What is answered to an order, by its attempt.
pub(super) type Mood = fn(&str, u32) -> StatusCode;

/// Busy once, and one order cannot be taken at all.
pub(super) fn flaky(order: &str, attempt: u32) -> StatusCode {
    match order {
        POISON => StatusCode::INTERNAL_SERVER_ERROR,
        BUSY_AT if attempt == 1 => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::NO_CONTENT,
    }
}

/// Takes everything.
pub(super) fn calm(_order: &str, _attempt: u32) -> StatusCode {
    StatusCode::NO_CONTENT
}

#[derive(Clone)]
struct Desk {
    secret: Arc<Secret>,
    told: UnboundedSender<Received>,
    mood: Mood,
}

/// What answers at `/hooks` and tells of each request.
pub(super) fn router(secret: Secret, told: UnboundedSender<Received>, mood: Mood) -> Router {
    let desk = Desk { secret: Arc::new(secret), told, mood };
    Router::new().route("/hooks", post(take)).with_state(desk)
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
    let status = if signed { (desk.mood)(&id, attempt) } else { StatusCode::UNAUTHORIZED };
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
