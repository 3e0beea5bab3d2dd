//! Requests as the relay makes them, of made-up events, and what is to be found in each.

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use fastrand::Rng;
use http::Request;
use milkrun::{
    clock::Clock,
    dispatcher::parcel::{Addressee, Delivery},
    event::{Data, Epoch, Event, Micros, Topic, Version},
    settings::{Format, Retiring, SubscriptionSettings},
    store::{Origin, Subscription, SubscriptionStatus},
    wire::{self, Candidate},
};
use serde_json::{Map, Value, json};
use sinks::{sign::Secret, webhook::Webhook};
use tower::{service_fn, util::BoxCloneSyncService};

/// Letters that break what is not encoded with care.
const LETTERS: &str = "aZ09 -_.~!*'();:@&=+$,/?#[]{}|\\^`<>\"%%%äßé€ñ☃😀日本語\u{a0}\u{200b}";

/// Published by the reference libraries and by the Svix server.
pub(super) fn vector() -> Value {
    let secrets = [
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==",
    ];
    let keys = secrets.map(|secret| secret.parse::<Secret>().unwrap());
    let (id, at, body) =
        ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
    let signature = sinks::sign::signature(&keys, id, at, body);
    json!({
        "check": "vector",
        "secrets": [secrets[0]],
        "public": "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=",
        "headers": {
            "webhook-id": id,
            "webhook-timestamp": at.to_string(),
            "webhook-signature": signature,
        },
        "body": BASE64_STANDARD.encode(body),
    })
}

/// Makes events up, and requests of them.
pub(super) struct Maker {
    dice: Rng,
    topic: Topic,
}

impl Maker {
    pub(super) fn new(dice: Rng) -> Self {
        Self { dice, topic: "orders".parse().unwrap() }
    }

    /// A request that two shared secrets and a private key sign, with a random JSON body.
    pub(super) fn signed(&mut self) -> Value {
        let mut key = |prefix: &str| {
            let bytes: Vec<u8> = (0..32).map(|_| self.dice.u8(..)).collect();
            format!("{prefix}{}", BASE64_STANDARD.encode(bytes))
        };
        let (new, old, private) =
            (key(Secret::PREFIX), key(Secret::PREFIX), key(Secret::PRIVATE_PREFIX));
        let public = private.parse::<Secret>().unwrap().public().unwrap();
        let (event, ..) = self.made_up();
        let formats = [Format::Structured, Format::Batch];
        let format = *self.dice.choice(&formats).unwrap();
        let request = self.request(&[event], |settings| {
            settings.format = format;
            settings.secrets = vec![new.clone(), private];
            let until = Micros(i64::MAX);
            settings.retiring = vec![Retiring { secret: old.clone(), until }];
        });
        line("signature", &request, &json!({ "secrets": [new, old], "public": public }))
    }

    /// A request whose events are to be found in it.
    pub(super) fn event(&mut self) -> Value {
        let format = *self.dice.choice(&FORMATS).unwrap();
        let count = if format == Format::Batch { self.dice.usize(1..5) } else { 1 };
        let made: Vec<_> = (0..count).map(|_| self.made_up()).collect();
        let events: Vec<_> = made.iter().map(|(event, ..)| event.clone()).collect();
        let request = self.request(&events, |settings| settings.format = format);
        let expected = made.into_iter().map(|(event, attributes, data)| {
            json!([self.expected(&event, attributes, format), data])
        });
        let expected: Vec<_> = expected.collect();
        line("event", &request, &json!({ "expected": expected }))
    }

    /// What a library has to find: what the relay adds, too.
    fn expected(
        &self,
        event: &Event,
        mut attributes: Map<String, Value>,
        format: Format,
    ) -> Map<String, Value> {
        let version = wire::padded(event.version);
        for (name, value) in [("topic", self.topic.as_str()), ("sequence", &version)] {
            attributes.insert(name.into(), value.into());
            attributes
                .insert(format!("milkrun{name}").replace("sequence", "version"), value.into());
        }
        // A body without a type has one as a header.
        let kind = match &event.data {
            Data::Json(_) => "application/json",
            Data::Text(_) => "text/plain; charset=utf-8",
            Data::Binary(_) | Data::None => "application/octet-stream",
        };
        if format == Format::Binary && event.data != Data::None {
            attributes.entry("datacontenttype").or_insert(kind.into());
        }
        attributes
    }

    /// An event, its attributes, and its data as a library shows it.
    fn made_up(&mut self) -> (Event, Map<String, Value>, Value) {
        let (data, kind, shown) = match self.dice.u8(0..4) {
            0 => (Data::None, None, Value::Null),
            1 => {
                let bytes: Vec<u8> = (0..40).map(|_| self.dice.u8(0x80..)).collect();
                let shown = json!({ "bytes": BASE64_STANDARD.encode(&bytes) });
                (Data::Binary(bytes.into()), Some("application/octet-stream"), shown)
            }
            2 => {
                let text = self.text(1..200);
                (Data::Text(text.clone().into()), Some("text/plain"), json!(text))
            }
            _ => {
                let value =
                    json!({ "text": self.text(0..400), "n": self.dice.i32(..), "x": [1.5, null] });
                let kind = self.dice.bool().then_some("application/json");
                // White space before it is more than the JavaScript library can read.
                let spaced = format!("{value:#} \n");
                (Data::Json(spaced.into()), kind, value)
            }
        };
        let attributes = self.candidate(kind).admit().unwrap().attributes;
        let fields = attributes.read().unwrap();
        let event = Event {
            version: Version(self.dice.u64(1..1 << 40)),
            epoch: Epoch(self.dice.u32(..)),
            recorded: Micros(0),
            attributes,
            data,
        };
        (event, fields, shown)
    }

    fn candidate(&mut self, kind: Option<&'static str>) -> Candidate<'static> {
        let mut candidate = Candidate {
            id: self.text(1..60).into(),
            source: "https://example.com/caf%C3%A9?q=100%25".into(),
            kind: self.text(1..60).into(),
            content_type: kind.map(Into::into),
            ..Candidate::default()
        };
        if self.dice.bool() {
            candidate.subject = Some(self.text(1..200).into());
        }
        if self.dice.bool() {
            candidate.time = Some("2026-01-31T12:00:00.123+02:00".into());
        }
        if self.dice.bool() {
            candidate.schema = Some("https://example.com/schema/%25/1".into());
        }
        let extensions = &mut candidate.extensions;
        extensions.insert("partitionkey".into(), self.text(1..60).into());
        extensions.insert("tries".into(), self.dice.i32(..).into());
        extensions.insert("urgent".into(), self.dice.bool().into());
        candidate
    }

    /// Some letters; none at the ends that a header would lose.
    fn text(&mut self, length: std::ops::Range<usize>) -> String {
        let letters: Vec<char> = LETTERS.chars().collect();
        let length = self.dice.usize(length);
        (0..length).map(|_| *self.dice.choice(&letters).unwrap()).collect()
    }

    fn request(
        &self,
        events: &[Event],
        change: impl FnOnce(&mut SubscriptionSettings),
    ) -> Request<Bytes> {
        let mut events = events.to_vec();
        // A batch is of one epoch and in the order of its versions.
        let epoch = events[0].epoch;
        for event in &mut events {
            event.epoch = epoch;
        }
        let events: Vec<_> = events.into_iter().map(Arc::new).collect();
        let parcel = addressee(change).parcel(&Delivery {
            events: &events,
            previous: None,
            replay: None,
            topic: &self.topic,
            topic_uid: "00ff",
            attempt: 1,
            now: Clock::system().now(),
            believed: Clock::system().now(),
        });
        let nowhere = BoxCloneSyncService::new(service_fn(|_| std::future::pending()));
        Webhook::new(nowhere, "test").draw(parcel.unwrap()).unwrap()
    }
}

const FORMATS: [Format; 3] = [Format::Structured, Format::Binary, Format::Batch];

fn addressee(change: impl FnOnce(&mut SubscriptionSettings)) -> Addressee {
    let mut settings = SubscriptionSettings::new("http://consumer.example/".into(), vec![]);
    change(&mut settings);
    Addressee::new(&Subscription {
        id: 1,
        name: "billing".parse().unwrap(),
        origin: Origin::Api,
        status: SubscriptionStatus::Active,
        reason: None,
        topics: vec![],
        settings,
        positions: vec![],
        health: None,
        resets: 0,
        edit: 1,
        created: Micros(0),
        removed_at: None,
    })
}

/// A line of the file that the scripts read.
fn line(check: &str, request: &Request<Bytes>, more: &Value) -> Value {
    let header = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        (name.to_string(), Value::from(value.to_str().unwrap()))
    };
    let headers: Map<_, _> = request.headers().iter().map(header).collect();
    let mut line = json!({
        "check": check,
        "headers": headers,
        "body": BASE64_STANDARD.encode(request.body()),
    });
    line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    line
}
