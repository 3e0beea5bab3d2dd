//! Webhooks: one signed POST, and what came back of it.

use std::io::ErrorKind;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Request, header};
use http_body::Body;
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use crate::{Answer, Network, Outcome, Parcel, RetryAfter, SilentKind, Sink, sign};

/// At most so much of an answer is read; the status stands, the rest is not waited for.
const READ_MAX_BYTES: usize = 64 << 10;
/// So much of an answer is kept.
const KEPT_BYTES: usize = 1 << 10;

/// Pushes parcels as Standard Webhooks.
#[derive(Debug, Clone)]
pub struct Webhook {
    network: Network,
    user_agent: HeaderValue,
}

impl Webhook {
    /// Sends through `network`, naming the relay's `version`.
    #[must_use]
    pub fn new(network: Network, version: &str) -> Self {
        let user_agent = HeaderValue::try_from(format!("milkrun/{version}"))
            .unwrap_or_else(|_| HeaderValue::from_static("milkrun"));
        Self { network, user_agent }
    }

    fn request(&self, parcel: Parcel) -> Result<Request<Bytes>, header::InvalidHeaderValue> {
        let Parcel { uri, id, timestamp, secrets, headers, body, .. } = parcel;
        let mut request = Request::new(Bytes::new());
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = uri;
        let signature = sign::signature(&secrets, &id, timestamp, &body);
        let all = request.headers_mut();
        *all = headers;
        all.insert("webhook-id", id.try_into()?);
        all.insert("webhook-timestamp", timestamp.into());
        if !signature.is_empty() {
            all.insert("webhook-signature", signature.try_into()?);
        }
        all.insert(header::USER_AGENT, self.user_agent.clone());
        *request.body_mut() = body;
        Ok(request)
    }

    async fn exchange(&self, request: Request<Bytes>) -> std::io::Result<Answer> {
        let response = self.network.clone().oneshot(request).await?;
        let (head, body) = response.into_parts();
        let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
        Ok(Answer {
            status: head.status.as_u16(),
            retry_after: text("retry-after").and_then(retry_after),
            never_retry: text("milkrun-retry").is_some_and(|v| v.trim().eq_ignore_ascii_case("no")),
            body: start_of(body).await?,
        })
    }
}

#[async_trait]
impl Sink for Webhook {
    async fn push(&self, parcel: Parcel) -> Outcome {
        let timeout = parcel.timeout;
        let request = match self.request(parcel) {
            Ok(request) => request,
            Err(error) => return silent(SilentKind::Other, format!("cannot be sent: {error}")),
        };
        match tokio::time::timeout(timeout, self.exchange(request)).await {
            Ok(Ok(answer)) => Outcome::Answered(answer),
            Ok(Err(error)) => silent(kind_of(error.kind()), error.to_string()),
            Err(_) => {
                let seconds = timeout.as_secs_f64();
                silent(SilentKind::Timeout, format!("no whole answer within {seconds} s"))
            }
        }
    }
}

fn silent(kind: SilentKind, message: String) -> Outcome {
    Outcome::Silent { kind, message }
}

fn kind_of(kind: ErrorKind) -> SilentKind {
    match kind {
        ErrorKind::PermissionDenied => SilentKind::Forbidden,
        ErrorKind::HostUnreachable => SilentKind::Dns,
        ErrorKind::ConnectionRefused => SilentKind::Refused,
        ErrorKind::ConnectionReset => SilentKind::Reset,
        ErrorKind::InvalidData => SilentKind::Tls,
        ErrorKind::TimedOut => SilentKind::Timeout,
        _ => SilentKind::Other,
    }
}

/// Reads the body to its end, or to [`READ_MAX_BYTES`] of it.
async fn start_of<B>(mut body: B) -> std::io::Result<Bytes>
where
    B: Body<Data = Bytes, Error = std::io::Error> + Unpin,
{
    let mut kept = BytesMut::new();
    let mut read_bytes = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let room = KEPT_BYTES - kept.len();
        kept.extend_from_slice(&data[..data.len().min(room)]);
        read_bytes += data.len();
        if read_bytes >= READ_MAX_BYTES {
            break;
        }
    }
    Ok(kept.freeze())
}

/// `Retry-After` as RFC 9110, 10.2.3 has it: seconds, or a date in any of its three forms.
fn retry_after(text: &str) -> Option<RetryAfter> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        // More than fits is a very long time.
        return Some(RetryAfter::Seconds(text.parse().unwrap_or(u64::MAX)));
    }
    let moment = httpdate::parse_http_date(text).ok()?;
    let since = moment.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Some(RetryAfter::At(i64::try_from(since.as_secs()).ok()?))
}

#[cfg(test)]
mod tests;
