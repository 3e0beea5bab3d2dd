//! Webhooks: one signed POST, and what came back of it.

use std::{io::Write as _, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode,
    header::{self, InvalidHeaderValue},
    response::Parts,
};

use crate::{
    Asked, Auth, Greeting, Identity, Manner, Network, Outcome, Parcel, SilentKind, Sink, Target,
    answer::{self, KEPT_BYTES},
    auth::{Bearer, Tokens},
    hide::Secrets,
    identity::Networks,
    sign,
};

mod greet;

/// Smaller bodies are not worth being compressed.
const GZIP_MIN_BYTES: usize = 1 << 10;
/// Who asks for an endpoint's consent, unless somebody else is named.
const ORIGIN: &str = "milkrun";
/// Headers that the sink itself sets, the most of them, and the host.
const SET_HERE: usize = 8;

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// Pushes parcels as Standard Webhooks.
#[derive(Debug, Clone)]
pub struct Webhook {
    networks: Networks,
    tokens: Tokens,
    user_agent: HeaderValue,
    origin: HeaderValue,
}

impl Webhook {
    /// Sends through `network`, naming the relay's `version`; knows no other network.
    #[must_use]
    pub fn new(network: Network, version: &str) -> Self {
        let user_agent = HeaderValue::try_from(format!("milkrun/{version}"))
            .unwrap_or_else(|_| HeaderValue::from_static("milkrun"));
        let none = |_: &Identity| Err("certificates of its own are not known here".to_owned());
        Self {
            networks: Networks::new(network, Arc::new(none)),
            tokens: Tokens::new(),
            user_agent,
            origin: HeaderValue::from_static(ORIGIN),
        }
    }

    /// Makes the networks of targets with certificates of their own by `build`, once for each of
    /// the last 256 of them; its error is for a person.
    #[must_use]
    pub fn with_identities(
        mut self,
        build: impl Fn(&Identity) -> Result<Network, String> + Send + Sync + 'static,
    ) -> Self {
        if let Ok(usual) = self.networks.get(None) {
            self.networks = Networks::new(usual, Arc::new(build));
        }
        self
    }

    /// Asks for consent in the name of `origin`, a DNS name, in the place of `milkrun`.
    ///
    /// # Errors
    /// It fits into no header.
    pub fn with_origin(mut self, origin: &str) -> Result<Self, InvalidHeaderValue> {
        self.origin = HeaderValue::try_from(origin)?;
        Ok(self)
    }

    /// Exactly what is sent for a parcel, but a token that has to be got first. Values of headers
    /// that are secret are marked as sensitive.
    ///
    /// # Errors
    /// Something fits into no header.
    pub fn draw(&self, parcel: Parcel) -> Result<Request<Bytes>, InvalidHeaderValue> {
        let Parcel { target, id, timestamp, secrets, headers, body, gzip, .. } = parcel;
        let mut request = self.blank(Method::POST, &target, headers)?;
        let all = request.headers_mut();
        if target.greeted {
            all.insert(greet::REQUEST_ORIGIN, self.origin.clone());
        }
        let [timestamp, id, signature] = stamp(&secrets, id, timestamp, &body)?;
        all.insert(ID, id);
        all.insert(TIMESTAMP, timestamp);
        if !signature.is_empty() {
            all.insert(SIGNATURE, signature);
        }
        let small = if gzip { compressed(&body) } else { None };
        if small.is_some() {
            all.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let body = small.unwrap_or(body);
        if body.is_empty() {
            // A POST without a body says so, or receivers wait for one (RFC 9110, section 8.6).
            all.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        *request.body_mut() = body;
        Ok(request)
    }

    /// What all requests to a target have in common, and `own` headers, which win.
    fn blank(
        &self,
        method: Method,
        target: &Target,
        own: HeaderMap,
    ) -> Result<Request<Bytes>, InvalidHeaderValue> {
        let mut request = Request::new(Bytes::new());
        *request.method_mut() = method;
        *request.uri_mut() = target.uri.clone();
        if target.manner != Manner::default() {
            request.extensions_mut().insert(target.manner);
        }
        *request.headers_mut() = own;
        let all = request.headers_mut();
        // One map, made large enough at once, for every request has it made anew.
        all.reserve(target.headers.len() + SET_HERE);
        for name in target.headers.keys() {
            if !all.contains_key(name) {
                for value in target.headers.get_all(name) {
                    all.append(name, value.clone());
                }
            }
        }
        let user_agent = target.user_agent.as_ref().unwrap_or(&self.user_agent);
        all.insert(header::USER_AGENT, user_agent.clone());
        if let Some(auth) = &target.auth
            && let Some(value) = auth.header()?
        {
            all.insert(header::AUTHORIZATION, value);
        }
        Ok(request)
    }

    /// Sends a request within the target's deadline, with a token if it wants one.
    async fn send(
        &self,
        target: &Target,
        now: i64,
        request: Result<Request<Bytes>, InvalidHeaderValue>,
    ) -> Result<(Parts, Bytes), Outcome> {
        let mut request = request
            .map_err(|error| silent(SilentKind::Other, format!("cannot be sent: {error}")))?;
        let network = self
            .networks
            .get(target.identity.as_ref())
            .map_err(|message| silent(SilentKind::Tls, message))?;
        let asked = Asked::default();
        request.extensions_mut().insert(asked.clone());
        let sent = async {
            match &target.auth {
                Some(Auth::OAuth2(client)) => {
                    let bearer = Bearer { client, identity: target.identity.as_ref(), now };
                    // Apart, for it is large, and every request makes room for its way.
                    Box::pin(self.send_with_token(&network, &bearer, request)).await
                }
                _ => ask(&network, request).await,
            }
        };
        tokio::time::timeout(target.timeout, sent).await.unwrap_or_else(|_| {
            let seconds = target.timeout.as_secs_f64();
            let who = asked.address().map(|address| format!("{address}: ")).unwrap_or_default();
            Err(silent(SilentKind::Timeout, format!("{who}no whole answer within {seconds} s")))
        })
    }

    /// A token that is refused is got anew, once.
    async fn send_with_token(
        &self,
        network: &Network,
        bearer: &Bearer<'_>,
        mut request: Request<Bytes>,
    ) -> Result<(Parts, Bytes), Outcome> {
        let token = self.tokens.get(network, bearer, None).await?;
        request.headers_mut().insert(header::AUTHORIZATION, token.clone());
        let (head, body) = ask(network, request.clone()).await?;
        if head.status != StatusCode::UNAUTHORIZED {
            return Ok((head, body));
        }
        let token = self.tokens.get(network, bearer, Some(&token)).await?;
        request.headers_mut().insert(header::AUTHORIZATION, token);
        ask(network, request).await
    }
}

#[async_trait]
impl Sink for Webhook {
    async fn push(&self, parcel: Parcel) -> Outcome {
        let (target, now, is_batch) = (parcel.target.clone(), parcel.timestamp, parcel.is_batch);
        match self.send(&target, now, self.draw(parcel)).await {
            // How much of a batch was accepted stood in what was not read.
            Ok((head, _)) if is_batch && answer::is_cut(&head) => {
                silent(SilentKind::Other, answer::note(&head).unwrap_or_default())
            }
            Ok((head, body)) => Outcome::Answered(answer::read(&head, body, is_batch)),
            Err(outcome) => outcome,
        }
    }

    async fn greet(&self, target: &Target, now: i64, per_minute: Option<u32>) -> Greeting {
        let request = self.greeting(target, per_minute);
        match self.send(target, now, request).await {
            Ok((head, body)) => greet::read(&head, body, &self.origin),
            Err(outcome) => Greeting::Failed(outcome),
        }
    }
}

async fn ask(network: &Network, request: Request<Bytes>) -> Result<(Parts, Bytes), Outcome> {
    let secrets = Secrets::of(request.headers());
    answer::ask(network.clone(), request, KEPT_BYTES)
        .await
        .map(|(head, body)| secrets.hide(head, body))
        .map_err(|error| silent(answer::kind_of(error.kind()), error.to_string()))
}

fn silent(kind: SilentKind, message: String) -> Outcome {
    Outcome::Silent { kind, message }
}

/// The timestamp, the id and the signature, which share one piece of memory: a request that may have
/// to be sent again is cloned, and three of their own would be made anew each time.
fn stamp(
    secrets: &[sign::Secret],
    id: String,
    timestamp: i64,
    body: &[u8],
) -> Result<[HeaderValue; 3], InvalidHeaderValue> {
    let seconds = timestamp.to_string();
    let signature = sign::signature(secrets, &id, timestamp, body);
    let (first, second) = (seconds.len(), seconds.len() + id.len());
    let whole = Bytes::from_owner([seconds, id, signature].concat());
    let value = |range| HeaderValue::from_maybe_shared(whole.slice(range));
    Ok([value(0..first)?, value(first..second)?, value(second..whole.len())?])
}

/// The body compressed, if that is worth it.
fn compressed(body: &Bytes) -> Option<Bytes> {
    if body.len() < GZIP_MIN_BYTES {
        return None;
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    encoder.write_all(body).ok()?;
    let small = encoder.finish().ok()?;
    (small.len() < body.len()).then(|| small.into())
}

#[cfg(test)]
mod tests;
