//! What each request and answer counts as in the byte budget.

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::header;
use http_body::Body as _;
use http_body_util::BodyExt as _;

use super::{
    budget::{Budget, Ledger},
    problem::Problem,
};

/// Answers up to this size do not count: among them are refusals and the answers of `/healthz`, which
/// have to get through when there is no room.
const SMALL_BYTES: u64 = 1 << 10;
/// What the compressor of one answer holds.
const ENCODER_BYTES: usize = 384 << 10;

/// An answer whose bytes are counted already.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counted;

/// Gives a request its ledger, and counts what is answered until it has been sent.
pub(super) async fn hold(
    State(budget): State<Budget>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let ledger = Ledger::new(budget.clone());
    request.extensions_mut().insert(ledger.clone());
    let answer = next.run(request).await;
    drop(ledger);
    let is_counted = answer.extensions().get::<Counted>().is_some();
    let bytes = answer.body().size_hint().exact().filter(|bytes| *bytes > SMALL_BYTES);
    let Some(bytes) = bytes.filter(|_| !is_counted) else { return Ok(answer) };
    let held = budget.take(usize::try_from(bytes).unwrap_or(usize::MAX))?;
    let (parts, body) = answer.into_parts();
    // It is there as a whole already, as its exact size says.
    let body = body.collect().await.map_err(|_| Problem::internal())?.to_bytes();
    Ok(Response::from_parts(parts, Body::from(held.lend(body).0)))
}

/// Counts the compressor of an answer that has one.
pub(super) async fn hold_encoder(
    State(budget): State<Budget>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let answer = next.run(request).await;
    if !answer.headers().contains_key(header::CONTENT_ENCODING) {
        return Ok(answer);
    }
    let held = budget.take(ENCODER_BYTES)?;
    Ok(answer.map(|body| {
        Body::new(body.map_frame(move |frame| {
            let _held = &held;
            frame
        }))
    }))
}
