//! Events as HTTP messages: the modes of the CloudEvents HTTP binding 1.0.2, and the data alone.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use percent_encoding::utf8_percent_encode;
use serde_json::{Map, Value};

use super::{
    BATCH, Refused, STRUCTURED,
    headers::{self, ENCODED},
    padded, structured, write_structured,
};
use crate::event::{Data, Event, Topic};

/// A body, and the headers that belong to its form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// `content-type`, and `ce-…` in binary mode.
    pub headers: HeaderMap,
    /// The bytes.
    pub body: Bytes,
    /// Whether the body is an array of events.
    pub is_batch: bool,
}

impl Message {
    /// One event in JSON.
    #[must_use]
    pub fn structured(event: &Event, topic: &Topic) -> Self {
        Self::typed(STRUCTURED, structured(event, topic).into())
    }

    /// An array of events in JSON.
    #[must_use]
    pub fn batch<'a>(events: impl Iterator<Item = &'a Event> + Clone, topic: &Topic) -> Self {
        let mut out = Vec::with_capacity(2 + events.clone().map(super::bytes_of).sum::<usize>());
        out.push(b'[');
        for event in events {
            if out.len() > 1 {
                out.push(b',');
            }
            write_structured(&mut out, event, topic);
        }
        out.push(b']');
        Self { is_batch: true, ..Self::typed(BATCH, out.into()) }
    }

    /// Whether the event can be sent with its attributes as headers; one that an earlier release
    /// took in may be too large.
    ///
    /// # Errors
    /// Names the attribute.
    pub fn check_headers(event: &Event) -> Result<(), Refused> {
        headers::check(&event.attributes).map_err(|(name, problem)| Refused::new(&name, problem))
    }

    /// The data as the body, and the attributes as headers.
    #[must_use]
    pub fn binary(event: &Event, topic: &Topic) -> Self {
        Self::data(event).with_attributes(event, topic)
    }

    /// The body as it is, and the attributes as headers.
    #[must_use]
    pub fn with_attributes(mut self, event: &Event, topic: &Topic) -> Self {
        let headers = &mut self.headers;
        put(headers, "specversion", "1.0");
        let version = padded(event.version);
        // The event's own come last, and win; the relay's names are none of them.
        put(headers, "topic", topic.as_str());
        put(headers, "sequence", &version);
        for (name, value) in event.attributes.read::<Map<String, Value>>().unwrap_or_default() {
            match value {
                // It is the content type.
                _ if name == "datacontenttype" => {}
                Value::String(text) => put(headers, &name, &text),
                other => put(headers, &name, &other.to_string()),
            }
        }
        put(headers, "milkruntopic", topic.as_str());
        put(headers, "milkrunversion", &version);
        self
    }

    /// The data alone.
    #[must_use]
    pub fn data(event: &Event) -> Self {
        // No media type has other letters.
        let own = event.attributes.get("datacontenttype").filter(|kind| kind.is_ascii());
        let is_json = own.as_deref().is_none_or(super::is_json);
        let bytes = match &event.data {
            Data::None => Bytes::new(),
            // An earlier release stored a text with its quotes.
            Data::Json(json) if !is_json => super::spelled(json).unwrap_or_else(|| json.clone()),
            Data::Json(bytes) | Data::Text(bytes) | Data::Binary(bytes) => bytes.clone(),
        };
        let mut message = Self { body: bytes, ..Self::default() };
        let usual = match &event.data {
            Data::None => None,
            // CloudEvents, JSON format 3.1: data without a type is JSON.
            Data::Json(_) => Some("application/json"),
            Data::Text(_) => Some("text/plain; charset=utf-8"),
            Data::Binary(_) => Some("application/octet-stream"),
        };
        let own = own.and_then(|kind| HeaderValue::try_from(kind).ok());
        if let Some(kind) = own.or_else(|| usual.map(HeaderValue::from_static)) {
            message.headers.insert(header::CONTENT_TYPE, kind);
        }
        message
    }

    /// JSON that was made of an event.
    #[must_use]
    pub fn json(body: Bytes) -> Self {
        Self::typed("application/json", body)
    }

    fn typed(kind: &'static str, body: Bytes) -> Self {
        let headers = [(header::CONTENT_TYPE, HeaderValue::from_static(kind))];
        Self { headers: headers.into_iter().collect(), body, is_batch: false }
    }
}

/// Sets a `ce-` header. What is encoded has no byte that a header cannot carry, and the names of
/// attributes are names of headers.
fn put(headers: &mut HeaderMap, name: &str, value: &str) {
    let value = utf8_percent_encode(value, ENCODED).to_string();
    if let (Ok(name), Ok(value)) =
        (HeaderName::try_from(format!("ce-{name}")), HeaderValue::try_from(value))
    {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use percent_encoding::percent_decode_str;
    use proptest::prelude::*;

    use super::*;
    use crate::event::{Epoch, Micros, Version};

    fn event(attributes: &str, data: Data) -> Event {
        Event {
            version: Version(42),
            epoch: Epoch(1),
            recorded: Micros(0),
            attributes: attributes.into(),
            data,
        }
    }

    fn topic() -> Topic {
        "orders".parse().unwrap()
    }

    const MINIMAL: &str = r#"{"id":"1","source":"/s","type":"t"}"#;

    fn shown(message: &Message) -> Vec<String> {
        let line = |(name, value): (&HeaderName, &HeaderValue)| {
            format!("{name}: {}", value.to_str().unwrap())
        };
        let mut lines: Vec<_> = message.headers.iter().map(line).collect();
        lines.sort();
        lines
    }

    #[test]
    fn binary_mode_has_the_attributes_as_headers() {
        let attributes = r#"{"id":"a b","source":"/s?\"q\"","type":"t","subject":"Euro € 😀 100%","time":"2026-01-31T12:00:00Z","datacontenttype":"text/xml","tries":3,"urgent":true}"#;
        let message =
            Message::binary(&event(attributes, Data::Text(Bytes::from_static(b"<a/>"))), &topic());
        assert_eq!(
            shown(&message),
            [
                "ce-id: a%20b",
                "ce-milkruntopic: orders",
                "ce-milkrunversion: 00000000000000000042",
                "ce-sequence: 00000000000000000042",
                "ce-source: /s?%22q%22",
                "ce-specversion: 1.0",
                "ce-subject: Euro%20%E2%82%AC%20%F0%9F%98%80%20100%25",
                "ce-time: 2026-01-31T12:00:00Z",
                "ce-topic: orders",
                "ce-tries: 3",
                "ce-type: t",
                "ce-urgent: true",
                "content-type: text/xml",
            ]
        );
        assert_eq!((&message.body[..], message.is_batch), (&b"<a/>"[..], false));
    }

    #[test]
    fn own_extensions_win_over_the_relays_common_names() {
        let own = r#"{"id":"1","source":"/s","type":"t","topic":"mine","sequence":"7"}"#;
        let message = Message::binary(&event(own, Data::None), &topic());
        assert_eq!(message.headers["ce-topic"], "mine");
        assert_eq!(message.headers["ce-sequence"], "7");
        assert_eq!(message.headers["ce-milkruntopic"], "orders");
    }

    #[test]
    fn data_alone_has_the_type_it_was_given() {
        let json = Data::Json(Bytes::from_static(b"{ }"));
        let typed = r#"{"id":"1","datacontenttype":"application/x+json; a=\"b\""}"#;
        for (attributes, data, kind) in [
            (typed, json.clone(), "content-type: application/x+json; a=\"b\""),
            (MINIMAL, json, "content-type: application/json"),
            (MINIMAL, Data::Text("x".into()), "content-type: text/plain; charset=utf-8"),
            (MINIMAL, Data::Binary("x".into()), "content-type: application/octet-stream"),
            (
                r#"{"datacontenttype":"a/é"}"#,
                Data::Binary("x".into()),
                "content-type: application/octet-stream",
            ),
        ] {
            let message = Message::data(&event(attributes, data.clone()));
            assert_eq!((shown(&message), &message.body[..]), (vec![kind.to_owned()], data.bytes()));
        }
        assert_eq!(Message::data(&event(MINIMAL, Data::None)), Message::default());
        // As an earlier release stored it.
        let text = event(r#"{"datacontenttype":"text/plain"}"#, Data::Json("\"a\\n\"".into()));
        assert_eq!(Message::data(&text).body, "a\n");
    }

    #[test]
    fn a_batch_is_an_array_of_structured_events() {
        let one = event(MINIMAL, Data::Json(Bytes::from_static(b"[1]")));
        let two = Event { version: Version(43), ..one.clone() };
        let batch = Message::batch([&one, &two].into_iter(), &topic());
        assert!(batch.is_batch);
        assert_eq!(shown(&batch), ["content-type: application/cloudevents-batch+json"]);
        let expected =
            [&b"["[..], &structured(&one, &topic()), b",", &structured(&two, &topic()), b"]"]
                .concat();
        assert_eq!(batch.body, expected);
        let single = Message::batch(std::iter::once(&one), &topic());
        assert_eq!(single.body, [&b"["[..], &structured(&one, &topic()), b"]"].concat());
    }

    proptest! {
        /// Whatever an attribute holds, CR, LF and NUL among it, it stays one header that is read
        /// back as it was.
        #[test]
        fn no_attribute_breaks_a_header(text in "\\PC{0,20}[\\r\\n\\x00-\\x1f\\x7f%\" é]{0,20}\\PC{0,20}") {
            let attributes = serde_json::json!({ "id": text, "subject": text, "datacontenttype": text });
            let message = Message::binary(&event(&attributes.to_string(), Data::None), &topic());
            for name in ["ce-id", "ce-subject"] {
                let value = message.headers[name].to_str().unwrap();
                prop_assert!(value.bytes().all(|b| (0x21..0x7f).contains(&b)), "{value:?}");
                prop_assert_eq!(&percent_decode_str(value).decode_utf8().unwrap(), &text);
            }
            let known = ["content-type", "ce-id", "ce-subject", "ce-specversion"];
            let relays = ["ce-topic", "ce-sequence", "ce-milkruntopic", "ce-milkrunversion"];
            for name in message.headers.keys() {
                prop_assert!(known.iter().chain(&relays).any(|known| name == known), "{name}");
            }
        }
    }
}
