//! Asking an endpoint for its consent (CloudEvents, "HTTP 1.1 Web Hooks for Event Delivery",
//! section 4): an `OPTIONS` request, answered by headers, whatever the status.

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request,
    header::{HeaderMap, InvalidHeaderValue},
    response::Parts,
};

use super::Webhook;
use crate::{Greeting, Outcome, Target, answer};

pub(super) const REQUEST_ORIGIN: &str = "webhook-request-origin";
const REQUEST_RATE: &str = "webhook-request-rate";
const ALLOWED_ORIGIN: &str = "webhook-allowed-origin";
const ALLOWED_RATE: &str = "webhook-allowed-rate";

impl Webhook {
    pub(super) fn greeting(
        &self,
        target: &Target,
        per_minute: Option<u32>,
    ) -> Result<Request<Bytes>, InvalidHeaderValue> {
        let mut request = self.blank(Method::OPTIONS, target, HeaderMap::new())?;
        request.headers_mut().insert(REQUEST_ORIGIN, self.origin.clone());
        if let Some(rate) = per_minute {
            request.headers_mut().insert(REQUEST_RATE, rate.max(1).into());
        }
        Ok(request)
    }
}

/// What the endpoint said. Its headers alone are consent; the status only tells a "no" from a
/// "not now".
pub(super) fn read(head: &Parts, body: Bytes, origin: &HeaderValue) -> Greeting {
    let Some(allowed) = text(&head.headers, ALLOWED_ORIGIN) else {
        return match head.status.as_u16() {
            429 | 502..=504 => Greeting::Failed(Outcome::Answered(answer::read(head, body, false))),
            status => Greeting::Refused(format!("answered {status} without `{ALLOWED_ORIGIN}`")),
        };
    };
    if allowed != "*" && !allowed.as_bytes().eq_ignore_ascii_case(origin.as_bytes()) {
        return Greeting::Refused(format!("`{ALLOWED_ORIGIN}` names another origin"));
    }
    match text(&head.headers, ALLOWED_RATE) {
        None | Some("*") => Greeting::Allowed { per_minute: None },
        Some(rate) => match rate.parse::<u64>() {
            Ok(rate @ 1..) => {
                Greeting::Allowed { per_minute: Some(u32::try_from(rate).unwrap_or(u32::MAX)) }
            }
            _ => Greeting::Refused(format!(
                "`{ALLOWED_RATE}`: expected `*` or a number of requests a minute from 1 on"
            )),
        },
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    Some(headers.get(name)?.to_str().ok()?.trim())
}
