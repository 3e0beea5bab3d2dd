//! The status of an answer, kept across the compressor.

use http::StatusCode;

/// What was answered before the bytes of the answer were looked at.
#[derive(Clone, Copy)]
struct Answered(StatusCode);

/// Notes the status beside the answer.
pub(super) fn keep<B>(mut response: http::Response<B>) -> http::Response<B> {
    let answered = Answered(response.status());
    response.extensions_mut().insert(answered);
    response
}

/// Gives an answer its status back. The compressor makes a 406 of any when no encoding is acceptable
/// to the client, `identity` neither: but what was asked for is done by then, and a write that
/// stands must not be told as refused. Such a wish may be disregarded (RFC 9110, section 12.4.1).
pub(super) fn give<B>(mut response: http::Response<B>) -> http::Response<B> {
    if let Some(Answered(status)) = response.extensions_mut().remove() {
        *response.status_mut() = status;
    }
    response
}
