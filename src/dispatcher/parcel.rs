//! From a delivery to a parcel: the one place that knows both.

use std::{hash::Hasher as _, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use sinks::{Parcel, sign::Secret};
use siphasher::sip::SipHasher13;

use crate::{
    event::{Event, Micros, Name, Topic, Version},
    settings::SubscriptionSettings,
    store::Subscription,
    wire,
};

/// A subscription as its deliveries need it, made once for each change of its settings.
#[derive(Debug)]
pub struct Plan {
    /// The subscription's row number.
    pub subscription: i64,
    /// Its name.
    pub name: Name,
    /// What it asks for.
    pub settings: SubscriptionSettings,
    /// Where and with what, or why nothing can be sent.
    target: Result<Target, String>,
}

#[derive(Debug)]
struct Target {
    uri: http::Uri,
    secrets: Arc<[Secret]>,
    headers: HeaderMap,
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
}

impl Plan {
    /// Reads a subscription's settings. What is wrong with them shows with every attempt, and is
    /// the endpoint's failure, so that no event dies of it.
    #[must_use]
    pub fn new(subscription: &Subscription) -> Self {
        let settings = subscription.settings.clone();
        let target = Target::new(&subscription.name, &settings);
        let (id, name) = (subscription.id, subscription.name.clone());
        Self { subscription: id, name, settings, target }
    }

    /// The deadline of one attempt.
    #[must_use]
    pub const fn timeout(&self) -> Duration {
        self.settings.timeout
    }

    /// Bytes and headers for one attempt.
    ///
    /// # Errors
    /// When the settings do not allow to send anything; says which.
    pub fn parcel(&self, delivery: &Delivery<'_>) -> Result<Parcel, String> {
        let target = self.target.as_ref().map_err(Clone::clone)?;
        let Delivery { events, previous, replay: _, topic, topic_uid, attempt, now } = *delivery;
        let event = events.first().ok_or("there is no event to send")?;
        let mut headers = target.headers.clone();
        let mut text = |name: &'static str, value: &str| {
            // Names of topics and made-up texts have no byte that a header cannot carry.
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        text("milkrun-topic", topic.as_str());
        text("traceparent", &traceparent(event, topic_uid, self.subscription, attempt));
        headers.insert("milkrun-version", event.version.0.into());
        headers.insert("milkrun-attempt", attempt.into());
        if let Some(previous) = previous.filter(|previous| *previous > Version::ZERO) {
            headers.insert("milkrun-previous", previous.0.into());
        }
        Ok(Parcel {
            uri: target.uri.clone(),
            id: wire::webhook_id(topic_uid, event),
            timestamp: now.seconds(),
            secrets: target.secrets.clone(),
            headers,
            body: Bytes::from(wire::structured(event, topic)),
            timeout: self.timeout(),
        })
    }
}

impl Target {
    fn new(name: &Name, settings: &SubscriptionSettings) -> Result<Self, String> {
        let uri = settings.url.parse().map_err(|error| format!("`url`: {error}"))?;
        let secrets = settings.secrets.iter().map(|text| text.parse::<Secret>());
        let secrets = secrets.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
        let mut headers = HeaderMap::new();
        for (name, value) in &settings.headers {
            let wrong = || format!("`headers`: `{name}` is not a header that can be sent");
            let key = HeaderName::try_from(name).map_err(|_| wrong())?;
            let mut value = HeaderValue::try_from(value).map_err(|_| wrong())?;
            value.set_sensitive(true);
            headers.append(key, value);
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(wire::STRUCTURED));
        if let Ok(name) = HeaderValue::from_str(name.as_str()) {
            headers.insert("milkrun-subscription", name);
        }
        Ok(Self { uri, secrets, headers })
    }
}

/// W3C Trace Context, level 1: the producer's trace goes on; else the trace is the event, so that
/// all attempts of all subscriptions are found under one id. The span is the attempt.
fn traceparent(event: &Event, topic_uid: &str, subscription: i64, attempt: u32) -> String {
    if event.attributes.contains("\"traceparent\":")
        && let Some(own) = event.attribute("traceparent")
    {
        return own;
    }
    let trace = hash(&[u64::from(event.epoch.0), event.version.0], topic_uid);
    let span = hash(&[event.version.0, subscription.cast_unsigned(), attempt.into()], topic_uid);
    // An id of zeros is invalid.
    format!("00-{:016x}{trace:016x}-{:016x}-00", hash(&[trace], topic_uid).max(1), span.max(1))
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
mod tests {
    use super::*;
    use crate::{
        event::{Data, Epoch},
        store::{Origin, SubscriptionStatus},
    };

    fn plan(change: impl FnOnce(&mut SubscriptionSettings)) -> Plan {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned();
        let mut settings = SubscriptionSettings::new("http://h/x".into(), vec![secret]);
        change(&mut settings);
        Plan::new(&Subscription {
            id: 4,
            name: "billing".parse().unwrap(),
            origin: Origin::Api,
            status: SubscriptionStatus::Active,
            reason: None,
            topics: Vec::new(),
            settings,
            positions: vec![],
            health: None,
            edit: 1,
            created: Micros(0),
            removed_at: None,
        })
    }

    fn event(version: u64, attributes: &str) -> Event {
        Event {
            version: Version(version),
            epoch: Epoch(0x0a1b_2c3d),
            recorded: Micros(0),
            attributes: attributes.into(),
            data: Data::Json(Bytes::from_static(b"{\"a\": 1}")),
        }
    }

    fn parcel(plan: &Plan, event: &Event, attempt: u32) -> Result<Parcel, String> {
        let topic = "orders".parse().unwrap();
        let now = Micros(1_700_000_000_999_999);
        let previous = Some(event.version.previous());
        let events = &[Arc::new(event.clone())];
        let (topic, topic_uid, replay) = (&topic, "00ff", None);
        plan.parcel(&Delivery { events, previous, replay, topic, topic_uid, attempt, now })
    }

    const ATTRIBUTES: &str = r#"{"id":"1","source":"/s","type":"t"}"#;

    #[test]
    fn a_parcel_has_what_the_design_says() {
        let plan = plan(|settings| settings.headers = vec![("x-own".into(), "v".into())]);
        let sent = parcel(&plan, &event(42, ATTRIBUTES), 3).unwrap();
        assert_eq!(sent.id, "00ff-0a1b2c3d-42");
        assert_eq!((sent.timestamp, sent.timeout), (1_700_000_000, Duration::from_secs(15)));
        for (name, value) in [
            ("content-type", "application/cloudevents+json"),
            ("milkrun-topic", "orders"),
            ("milkrun-version", "42"),
            ("milkrun-previous", "41"),
            ("milkrun-attempt", "3"),
            ("milkrun-subscription", "billing"),
            ("x-own", "v"),
        ] {
            assert_eq!(sent.headers[name], value, "{name}");
        }
        assert!(sent.body.ends_with(b"\"data\":{\"a\": 1}}"));
        let again = parcel(&plan, &event(42, ATTRIBUTES), 4).unwrap();
        assert_eq!((again.id, again.body), (sent.id, sent.body));
    }

    #[test]
    fn the_first_version_has_none_before_it() {
        let sent = parcel(&plan(|_| {}), &event(1, ATTRIBUTES), 1).unwrap();
        assert!(!sent.headers.contains_key("milkrun-previous"));
    }

    #[test]
    fn attempts_share_a_trace_and_the_producers_own_goes_on() {
        let trace = |event: &Event, attempt| {
            let sent = parcel(&plan(|_| {}), event, attempt).unwrap();
            sent.headers["traceparent"].to_str().unwrap().to_owned()
        };
        let (one, two) = (trace(&event(7, ATTRIBUTES), 1), trace(&event(7, ATTRIBUTES), 2));
        assert_eq!((one.len(), &one[..35]), (55, &two[..35]));
        assert_ne!(one, two);
        assert_ne!(one[..35], trace(&event(8, ATTRIBUTES), 1)[..35]);
        let own = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let given = format!(r#"{{"id":"1","source":"/s","type":"t","traceparent":"{own}"}}"#);
        assert_eq!(trace(&event(7, &given), 1), own);
    }

    #[test]
    fn settings_that_cannot_be_sent_are_named_without_secrets() {
        for (plan, name) in [
            (plan(|settings| settings.url = "http://[".into()), "`url`"),
            (plan(|settings| settings.secrets = vec!["hunter2".into()]), "signing secret"),
            (plan(|settings| settings.headers = vec![("a b".into(), "hunter2".into())]), "`a b`"),
        ] {
            let error = parcel(&plan, &event(1, ATTRIBUTES), 1).unwrap_err();
            assert!(error.contains(name) && !error.contains("hunter2"), "{error}");
        }
    }
}
