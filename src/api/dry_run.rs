//! `dry_run=true`: a call tells what it would do, by the rules by which it would be done, and changes
//! nothing.

use axum::response::{IntoResponse, Response};

use super::{problem::Problem, query::Query};

/// Beside an answer: the request has changed nothing, so that nobody is told of a change.
#[derive(Debug, Clone, Copy)]
pub(super) struct NothingChanged;

/// Whether a request asks what it would do; it has no parameter but that one.
pub(super) fn asked(query: &Query) -> Result<bool, Problem> {
    query.allow(&["dry_run"])?;
    query.flag("dry_run")
}

/// An answer, marked when nothing was changed.
pub(super) fn answer(dry_run: bool, answer: impl IntoResponse) -> Response {
    let mut response = answer.into_response();
    if dry_run {
        response.extensions_mut().insert(NothingChanged);
    }
    response
}
