//! From a delivery to a parcel: the one place that knows both.

use std::{fmt::Write as _, hash::Hasher as _, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use sinks::{
    Auth, Manner, Parcel, Target,
    auth::Client,
    sign::{Secret, SecretError},
};
use siphasher::sip::SipHasher13;

use crate::{
    event::{Event, Micros, Name, Topic, Version},
    expr::Transform,
    outbound,
    settings::{self, Format, SubscriptionSettings},
    store::Subscription,
    wire::{self, Message, Refused},
};

const TOPIC: HeaderName = HeaderName::from_static("milkrun-topic");
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
const VERSION: HeaderName = HeaderName::from_static("milkrun-version");
const ATTEMPT: HeaderName = HeaderName::from_static("milkrun-attempt");
const PREVIOUS: HeaderName = HeaderName::from_static("milkrun-previous");
const REPLAY: HeaderName = HeaderName::from_static("milkrun-replay");
const COUNT: HeaderName = HeaderName::from_static("milkrun-count");
/// The most headers that describe a delivery, and as many again for what the sink adds.
const DESCRIBED: usize = 16;

/// A subscription as its deliveries need it, made once for each change of its settings.
#[derive(Debug)]
pub struct Addressee {
    /// The subscription's row number.
    pub subscription: i64,
    /// Its name.
    pub name: Name,
    /// What it asks for.
    pub settings: SubscriptionSettings,
    /// Where and with what, or why nothing can be sent.
    ready: Result<Ready, String>,
}

#[derive(Debug)]
struct Ready {
    target: Arc<Target>,
    secrets: Arc<[Secret]>,
    /// Secrets that still sign before a moment.
    retiring: Vec<(Secret, Micros)>,
    transform: Option<Transform>,
    /// What a body is said to be, in the place of what it is.
    content_type: Option<HeaderValue>,
}

/// Why there is nothing to send; for a person, without secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotSent {
    /// The settings do not allow it: the endpoint's failure.
    #[error("{0}")]
    Settings(String),
    /// The transform fails on this event: the event's.
    #[error("`transform`: {0}")]
    Expression(String),
    /// The event has attributes that are too large for headers.
    #[error("{0}: `format: structured` can send it")]
    TooLarge(Refused),
}

/// Events on their way through one position, for the `attempt`-th time.
#[derive(Debug, Clone)]
pub struct Delivery<'a> {
    /// What is delivered, in version order: one event, or several of one epoch in a batch.
    pub events: &'a [Arc<Event>],
    /// The version before the first of them that the subscription wants; `None`: not known.
    pub previous: Option<Version>,
    /// The replay job that asks for it.
    pub replay: Option<i64>,
    /// The topic it is in.
    pub topic: &'a Topic,
    /// The topic's `TOPICID`.
    pub topic_uid: &'a str,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// When the attempt begins.
    pub now: Micros,
    /// The same as far as it is believed: secrets that were replaced go by it.
    pub believed: Micros,
}

impl Addressee {
    /// Reads a subscription's settings. What is wrong with them shows with every attempt, and is
    /// the endpoint's failure, so that no event dies of it.
    #[must_use]
    pub fn new(subscription: &Subscription) -> Self {
        let settings = subscription.settings.clone();
        let ready = Ready::new(&subscription.name, &settings);
        let (id, name) = (subscription.id, subscription.name.clone());
        Self { subscription: id, name, settings, ready }
    }

    /// The deadline of one attempt.
    #[must_use]
    pub const fn timeout(&self) -> Duration {
        self.settings.timeout
    }

    /// The endpoint, to be greeted.
    ///
    /// # Errors
    /// [`NotSent::Settings`]
    pub fn target(&self) -> Result<Arc<Target>, NotSent> {
        Ok(self.ready()?.target.clone())
    }

    /// Bytes and headers for one attempt.
    ///
    /// # Errors
    /// When nothing can be sent.
    pub fn parcel(&self, delivery: &Delivery<'_>) -> Result<Parcel, NotSent> {
        let ready = self.ready()?;
        let message = self.message(ready, delivery)?;
        let id = wire::webhook_id(delivery.topic_uid, delivery.events);
        let mut headers = message.headers;
        self.describe(&mut headers, delivery);
        if let Some(content_type) = &ready.content_type
            && !message.body.is_empty()
        {
            headers.insert(header::CONTENT_TYPE, content_type.clone());
        }
        if message.is_batch {
            headers.insert(COUNT, delivery.events.len().into());
        }
        Ok(Parcel {
            target: ready.target.clone(),
            id,
            timestamp: delivery.now.seconds(),
            secrets: ready.secrets(delivery.believed),
            headers,
            body: message.body,
            gzip: self.settings.gzip,
            is_batch: message.is_batch,
        })
    }

    fn ready(&self) -> Result<&Ready, NotSent> {
        self.ready.as_ref().map_err(|message| NotSent::Settings(message.clone()))
    }

    /// The body, and the headers that belong to its form.
    fn message(&self, ready: &Ready, delivery: &Delivery<'_>) -> Result<Message, NotSent> {
        let Delivery { events, topic, .. } = *delivery;
        let format = self.settings.format;
        if let (Format::Binary, [event]) = (format, events) {
            Message::check_headers(event).map_err(NotSent::TooLarge)?;
        }
        if let Some(transform) = &ready.transform {
            let ([event], false) = (events, format == Format::Batch) else {
                let message = "`transform`: goes with `format: data` or `format: binary` only";
                return Err(NotSent::Settings(message.into()));
            };
            let body = transform.apply(event, topic);
            let made = Message::json(body.map_err(|error| NotSent::Expression(error.to_string()))?);
            let is_binary = format == Format::Binary;
            return Ok(if is_binary { made.with_attributes(event, topic) } else { made });
        }
        match (format, events) {
            (_, []) => Err(NotSent::Settings("there is no event to send".into())),
            (Format::Structured, [event]) => Ok(Message::structured(event, topic)),
            (Format::Binary, [event]) => Ok(Message::binary(event, topic)),
            (Format::Data, [event]) => Ok(Message::data(event)),
            // Several events go in no other way.
            (_, events) => Ok(Message::batch(events.iter().map(|event| &**event), topic)),
        }
    }

    /// The headers that say which delivery this is.
    fn describe(&self, headers: &mut HeaderMap, delivery: &Delivery<'_>) {
        let Delivery { events, previous, replay, topic, attempt, .. } = *delivery;
        headers.reserve(DESCRIBED);
        // Names of topics and made-up texts have no byte that a header cannot carry.
        if let Ok(value) = HeaderValue::from_str(topic.as_str()) {
            headers.insert(TOPIC, value);
        }
        if let Ok(value) = HeaderValue::try_from(traceparent(delivery, self.subscription)) {
            headers.insert(TRACE_PARENT, value);
        }
        if let Some(last) = events.last() {
            headers.insert(VERSION, last.version.0.into());
        }
        headers.insert(ATTEMPT, attempt.into());
        if let Some(previous) = previous.filter(|previous| *previous > Version::ZERO) {
            headers.insert(PREVIOUS, previous.0.into());
        }
        if let Some(job) = replay {
            headers.insert(REPLAY, job.into());
        }
    }
}

impl Ready {
    fn new(name: &Name, settings: &SubscriptionSettings) -> Result<Self, String> {
        let secret = |text: &String| text.parse().map_err(|error: SecretError| error.to_string());
        let secrets = settings.secrets.iter().map(secret).collect::<Result<_, _>>()?;
        let retiring = settings.retiring.iter();
        let retiring = retiring.map(|old| Ok((secret(&old.secret)?, old.until)));
        let retiring = retiring.collect::<Result<_, String>>()?;
        let mut headers = HeaderMap::new();
        for (name, value) in &settings.headers {
            let wrong = || format!("`headers`: `{name}` is not a header that can be sent");
            let key = HeaderName::try_from(name).map_err(|_| wrong())?;
            let mut value = HeaderValue::try_from(value).map_err(|_| wrong())?;
            value.set_sensitive(true);
            headers.append(key, value);
        }
        if let Ok(name) = HeaderValue::from_str(name.as_str()) {
            headers.insert("milkrun-subscription", name);
        }
        let own = |field: &str, text: &Option<String>| {
            let value = text.as_deref().map(HeaderValue::from_str).transpose();
            value.map_err(|_| format!("`{field}`: is no value that a header can have"))
        };
        let user_agent = own("user_agent", &settings.user_agent)?;
        let content_type = own("content_type", &settings.content_type)?;
        let target = Target {
            uri: uri_of(&settings.url).map_err(|error| format!("`url`: {error}"))?,
            headers,
            auth: settings.auth.as_ref().map(auth).transpose()?,
            identity: outbound::identity(&settings.tls).map(Arc::new),
            greeted: settings.handshake,
            user_agent,
            manner: Manner {
                once: settings.is_at_most_once(),
                title_case: settings.title_case_headers,
            },
            timeout: settings.timeout,
        };
        // What the API may not ask for was refused when it was asked for.
        let transform = settings.transform.as_ref().map(Transform::parse_trusted).transpose();
        let transform = transform.map_err(|error| format!("`transform`: {error}"))?;
        Ok(Self { target: Arc::new(target), secrets, retiring, transform, content_type })
    }

    /// What signs at `now`.
    fn secrets(&self, now: Micros) -> Arc<[Secret]> {
        if self.retiring.is_empty() {
            return self.secrets.clone();
        }
        let retiring = self.retiring.iter().filter(|(_, until)| *until > now);
        self.secrets.iter().chain(retiring.map(|(secret, _)| secret)).cloned().collect()
    }
}

/// As the guard reads it: one spelling for a host, without a default port or dots in the path.
fn uri_of(text: &str) -> Result<http::Uri, String> {
    let url = url::Url::parse(text).map_err(|error| error.to_string())?;
    url.as_str().parse().map_err(|error: http::uri::InvalidUri| error.to_string())
}

fn auth(auth: &settings::Auth) -> Result<Auth, String> {
    Ok(match auth.clone() {
        settings::Auth::Bearer(token) => Auth::Bearer(token),
        settings::Auth::Basic { username, password } => Auth::Basic { username, password },
        settings::Auth::OAuth2 { token_url, client_id, client_secret, scope } => {
            let wrong = |error| format!("`auth.oauth2.token_url`: {error}");
            let token_url = token_url.parse().map_err(wrong)?;
            let (id, secret) = (client_id, client_secret);
            Auth::OAuth2(Arc::new(Client { token_url, id, secret, scope }))
        }
    })
}

/// Whether a text is a `traceparent` as W3C Trace Context, section 3.2.2, has it. Of versions
/// after 00, which may be longer, there is none yet.
fn is_traceparent(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [version, trace, parent, flags] = parts[..] else { return false };
    let hex = |part: &str, length| {
        let is_hex = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f');
        part.len() == length && part.bytes().all(is_hex)
    };
    // An id of zeros is invalid.
    let id = |part: &str, length| hex(part, length) && part.bytes().any(|byte| byte != b'0');
    hex(version, 2) && version != "ff" && id(trace, 32) && id(parent, 16) && hex(flags, 2)
}

/// W3C Trace Context, level 1: the producer's trace goes on if it is one; else the trace is the
/// event, or the batch, so that all attempts of all subscriptions are found under one id. The span
/// is the attempt.
fn traceparent(delivery: &Delivery<'_>, subscription: i64) -> String {
    let Delivery { events, topic_uid, attempt, .. } = *delivery;
    if let [event] = events
        && let Some(own) = event.attributes.get("traceparent")
        && is_traceparent(&own)
    {
        return own;
    }
    let mut what: Vec<u64> = events.first().map(|event| event.epoch.0.into()).into_iter().collect();
    what.extend(events.iter().map(|event| event.version.0));
    let trace = hash(&what, topic_uid);
    what.extend([subscription.cast_unsigned(), attempt.into()]);
    let span = hash(&what[1..], topic_uid);
    // An id of zeros is invalid.
    let mut text = String::with_capacity(55);
    let upper = hash(&[trace], topic_uid).max(1);
    // Writing into memory cannot fail.
    let _ = write!(text, "00-{upper:016x}{trace:016x}-{:016x}-00", span.max(1));
    text
}

fn hash(numbers: &[u64], text: &str) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(text.as_bytes());
    for number in numbers {
        hasher.write_u64(*number);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests;
