//! What a local server is sent: what the relay shows of a subscription's request, or the event as a
//! subscription without settings would get it.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde_json::Value;
use sinks::sign::{self, Secret};

use crate::wire;

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const ATTEMPT: HeaderName = HeaderName::from_static("milkrun-attempt");

/// A webhook that is not signed yet.
#[derive(Debug, Clone)]
pub(super) struct Request {
    id: String,
    headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Request {
    /// The request that the relay shows; headers whose value it hides are left out.
    pub(super) fn shown(view: &Value) -> Option<Self> {
        let mut headers = HeaderMap::new();
        for (name, value) in view["headers"].as_object()? {
            let value = value.as_str()?;
            if value != "***" {
                headers
                    .insert(HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?);
            }
        }
        // Set for each attempt, or by whoever sends it.
        for own in [SIGNATURE, TIMESTAMP, header::CONTENT_LENGTH, header::CONTENT_ENCODING] {
            headers.remove(own);
        }
        let id = headers.remove(ID)?.to_str().ok()?.to_owned();
        let body = match (&view["body"], &view["body_base64"]) {
            (Value::String(text), _) => text.clone().into_bytes(),
            (_, Value::String(text)) => BASE64_STANDARD.decode(text).ok()?,
            _ => Vec::new(),
        };
        Some(Self { id, headers, body })
    }

    /// A version of a topic, in structured mode; `numbered` is the event as replay shows it.
    pub(super) fn structured(topic: &Value, version: u64, numbered: &str) -> Option<Self> {
        let (name, uid) = (topic["topic"].as_str()?, topic["uid"].as_str()?);
        // The form that is pushed is the one of replay without the number at its end.
        let body = numbered.strip_suffix(&format!(",\"version\":{version}}}"))?;
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(wire::STRUCTURED));
        let user_agent = concat!("milkrun/", env!("CARGO_PKG_VERSION"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(user_agent));
        headers.insert("milkrun-topic", HeaderValue::try_from(name).ok()?);
        headers.insert("milkrun-version", version.into());
        if version > 1 {
            headers.insert("milkrun-previous", (version - 1).into());
        }
        let id = format!("{uid}-{}-{version}", epoch_of(topic, version)?);
        Some(Self { id, headers, body: format!("{body}}}").into_bytes() })
    }

    /// Its headers for an attempt that begins at `timestamp`, in seconds since 1970.
    pub(super) fn signed(&self, secret: &Secret, timestamp: i64, attempt: u32) -> HeaderMap {
        let mut headers = self.headers.clone();
        let signature =
            sign::signature(std::slice::from_ref(secret), &self.id, timestamp, &self.body);
        for (name, value) in [(ID, self.id.clone()), (SIGNATURE, signature)] {
            // Ids and base64 have no byte that a header cannot carry.
            headers.extend(HeaderValue::try_from(value).ok().map(|value| (name, value)));
        }
        headers.insert(TIMESTAMP, timestamp.into());
        headers.insert(ATTEMPT, attempt.into());
        headers
    }
}

/// The epoch that a version belongs to.
fn epoch_of(topic: &Value, version: u64) -> Option<&str> {
    let mut epochs = topic["epochs"].as_array()?.iter().rev();
    epochs.find(|epoch| epoch["first"].as_u64().is_some_and(|first| first <= version))?["epoch"]
        .as_str()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn secret() -> Secret {
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap()
    }

    #[test]
    fn an_event_is_made_as_it_is_pushed() {
        let topic = json!({ "topic": "orders", "uid": "u", "epochs": [
            { "epoch": "aaaaaaaa", "first": 1 }, { "epoch": "bbbbbbbb", "first": 5 }] });
        let made = Request::structured(&topic, 4, r#"{"id":"a","data":1.50,"version":4}"#).unwrap();
        assert_eq!(
            (made.id.as_str(), &*made.body),
            ("u-aaaaaaaa-4", &br#"{"id":"a","data":1.50}"#[..])
        );
        let headers = made.signed(&secret(), 7, 3);
        let signature = sign::signature(&[secret()], "u-aaaaaaaa-4", 7, &made.body);
        assert_eq!(headers[SIGNATURE], *signature);
        assert_eq!((&headers[TIMESTAMP], &headers[ATTEMPT]), (&7.into(), &3.into()));
        assert_eq!(Request::structured(&topic, 5, r#"{"version":5}"#).map(|made| made.id), None);
        let later = Request::structured(&topic, 9, r#"{"id":"a","version":9}"#).unwrap();
        assert_eq!(later.id, "u-bbbbbbbb-9");
    }

    #[test]
    fn what_the_relay_hides_is_left_out() {
        let view = json!({ "headers": { "webhook-id": "u-1", "webhook-signature": "v1,x",
            "authorization": "***", "x-own": "a" }, "body": "{}" });
        let made = Request::shown(&view).unwrap();
        assert_eq!(made.headers.keys().collect::<Vec<_>>(), ["x-own"]);
        assert_eq!((made.id.as_str(), &*made.body), ("u-1", &b"{}"[..]));
        let binary =
            json!({ "headers": { "webhook-id": "u" }, "body": null, "body_base64": "AAE=" });
        assert_eq!(Request::shown(&binary).unwrap().body, [0, 1]);
    }
}
