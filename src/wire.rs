//! CloudEvents 1.0.2 as they are read and written: the one JSON form of an event, for push, replay
//! and feeds alike.
//!
//! An event's attributes are written once, when it is admitted ([`Candidate::admit`]); from then on
//! its form is put together by copying, so that a repeated delivery has the same bytes.

use std::{fmt::Write as _, io::Write as _, sync::Arc};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;

use crate::event::{Data, Event, NewEvent, Topic, Version};

use self::candidate::push_string;
pub use self::{
    candidate::{Candidate, Refused},
    message::Message,
    read::{ReadError, read},
};

mod candidate;
mod headers;
mod message;
mod read;

/// The media type of one event in structured mode.
pub const STRUCTURED: &str = "application/cloudevents+json";
/// The media type of a JSON array of events.
pub const BATCH: &str = "application/cloudevents-batch+json";

/// The most that attributes and data of one event may have together.
pub const EVENT_BYTES_MAX: usize = 1 << 20;

/// Whether data of this media type is JSON (RFC 6839, 3.1, for those that end in `+json`).
#[must_use]
pub fn is_json(content_type: &str) -> bool {
    let kind = essence(content_type);
    kind == "application/json" || kind == "text/json" || kind.ends_with("+json")
}

/// A media type without its parameters.
fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The text that a JSON string spells, or `None` when it is no string or has no such text.
fn spelled(json: &[u8]) -> Option<Bytes> {
    serde_json::from_slice::<String>(json).ok().map(Bytes::from)
}

/// About so many bytes has the JSON form of an event.
#[must_use]
pub fn bytes_of(event: &Event) -> usize {
    event.size_bytes() + 280
}

/// Appends the event's structured JSON form to `out`.
pub fn write_structured(out: &mut Vec<u8>, event: &Event, topic: &Topic) {
    out.reserve(bytes_of(event));
    out.extend_from_slice(br#"{"specversion":"1.0","#);
    out.extend_from_slice(event.attributes.members().as_bytes());
    let version = padded(event.version);
    for (name, own, value) in [
        ("milkruntopic", false, topic.as_str()),
        ("milkrunversion", false, version.as_str()),
        ("topic", event.attributes.has("topic"), topic.as_str()),
        ("sequence", event.attributes.has("sequence"), version.as_str()),
    ] {
        if !own {
            for part in [",\"", name, "\":\"", value, "\""] {
                out.extend_from_slice(part.as_bytes());
            }
        }
    }
    write_data(out, &event.data);
    out.push(b'}');
}

/// Appends the structured JSON form of an event that has no version yet.
pub fn write_plain(out: &mut Vec<u8>, event: &NewEvent) {
    out.extend_from_slice(br#"{"specversion":"1.0","#);
    out.extend_from_slice(event.attributes.members().as_bytes());
    write_data(out, &event.data);
    out.push(b'}');
}

fn write_data(out: &mut Vec<u8>, data: &Data) {
    match data {
        Data::None => {}
        Data::Json(bytes) => {
            out.extend_from_slice(b",\"data\":");
            out.extend_from_slice(bytes);
        }
        Data::Text(bytes) => {
            let mut text = String::new();
            push_string(&mut text, &String::from_utf8_lossy(bytes));
            out.extend_from_slice(b",\"data\":");
            out.extend_from_slice(text.as_bytes());
        }
        Data::Binary(bytes) => {
            out.extend_from_slice(b",\"data_base64\":\"");
            out.extend_from_slice(BASE64_STANDARD.encode(bytes).as_bytes());
            out.push(b'"');
        }
    }
}

/// The event's structured JSON form.
#[must_use]
pub fn structured(event: &Event, topic: &Topic) -> Vec<u8> {
    let mut out = Vec::new();
    write_structured(&mut out, event, topic);
    out
}

/// Appends the structured form with `version` as a number behind it, as replay shows it. An
/// attribute of that name gives way to it, for a JSON object has each name once.
pub fn write_numbered(out: &mut Vec<u8>, event: &Event, topic: &Topic) {
    if event.attributes.has("version") {
        let attributes = event.attributes.without("version");
        write_structured(out, &Event { attributes, ..event.clone() }, topic);
    } else {
        write_structured(out, event, topic);
    }
    out.pop();
    // Writing into memory cannot fail.
    let _ = write!(out, ",\"version\":{}}}", event.version);
}

/// Appends the numbered form on one line, without an end of line: CR and LF, which valid JSON has
/// as white space only, become spaces.
pub fn write_line(out: &mut Vec<u8>, event: &Event, topic: &Topic) {
    let start = out.len();
    write_numbered(out, event, topic);
    for byte in &mut out[start..] {
        *byte = if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte };
    }
}

/// A version in 20 digits, so that texts sort as numbers do.
#[must_use]
pub fn padded(version: Version) -> String {
    let (mut digits, mut rest) = ([b'0'; 20], version.0);
    for digit in digits.iter_mut().rev() {
        *digit += (rest % 10) as u8;
        rest /= 10;
    }
    String::from_utf8_lossy(&digits).into_owned()
}

/// `webhook-id`: `TOPICID-EPOCH-VERSION` of one event, `TOPICID-EPOCH-FIRST-LAST` of several; the
/// same on every attempt.
#[must_use]
pub fn webhook_id(topic_uid: &str, events: &[Arc<Event>]) -> String {
    match events {
        [] => topic_uid.to_owned(),
        [first, rest @ ..] => {
            let mut id = String::with_capacity(topic_uid.len() + 52);
            // Writing into memory cannot fail.
            let _ = write!(id, "{topic_uid}-{}-{}", first.epoch, first.version);
            if let Some(last) = rest.last() {
                let _ = write!(id, "-{}", last.version);
            }
            id
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Epoch, Micros};

    fn event(candidate: Candidate<'_>, data: Data) -> Event {
        let NewEvent { attributes, data, .. } = Candidate { data, ..candidate }.admit().unwrap();
        let (version, epoch) = (Version(42), Epoch(0x0a1b_2c3d));
        Event { version, epoch, recorded: Micros(0), attributes, data }
    }

    fn minimal() -> Candidate<'static> {
        Candidate { id: "1".into(), source: "/s".into(), kind: "t".into(), ..Candidate::default() }
    }

    /// The golden bytes: a change here changes what consumers get on a repeated delivery.
    #[test]
    fn the_encoder_is_pinned() {
        let topic: Topic = "orders".parse().unwrap();
        let mut full = minimal();
        full.subject = Some("é\"x".into());
        full.time = Some("2026-01-31T12:00:00Z".into());
        full.extensions.insert("partitionkey".into(), "k".into());
        full.extensions.insert("tries".into(), 3.into());
        let written =
            structured(&event(full, Data::Json(Bytes::from_static(b"{ \"a\" : 1.0 }"))), &topic);
        assert_eq!(
            String::from_utf8(written).unwrap(),
            r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","subject":"é\"x","time":"2026-01-31T12:00:00Z","partitionkey":"k","tries":3,"milkruntopic":"orders","milkrunversion":"00000000000000000042","topic":"orders","sequence":"00000000000000000042","data":{ "a" : 1.0 }}"#
        );
        let mut own = minimal();
        own.extensions.insert("sequence".into(), "7".into());
        own.extensions.insert("topic".into(), "x".into());
        let written = structured(&event(own, Data::Text(Bytes::from_static(b"a\nb"))), &topic);
        assert_eq!(
            String::from_utf8(written).unwrap(),
            r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","sequence":"7","topic":"x","milkruntopic":"orders","milkrunversion":"00000000000000000042","data":"a\nb"}"#
        );
        let written =
            structured(&event(minimal(), Data::Binary(Bytes::from_static(&[0xff]))), &topic);
        assert!(String::from_utf8(written).unwrap().ends_with(r#""data_base64":"/w=="}"#));
    }

    #[test]
    fn replay_adds_the_number_and_keeps_the_data() {
        let topic: Topic = "orders".parse().unwrap();
        let mut own = minimal();
        own.extensions.insert("version".into(), "1.2".into());
        let data = Data::Json(Bytes::from_static(b"{\r\n\"a\": \"\\n\" }"));
        for candidate in [minimal(), own] {
            let event = event(candidate, data.clone());
            let mut numbered = Vec::new();
            write_numbered(&mut numbered, &event, &topic);
            let text = String::from_utf8(numbered).unwrap();
            assert_eq!(text.matches("\"version\":").count(), 1, "{text}");
            assert!(text.ends_with("\"data\":{\r\n\"a\": \"\\n\" },\"version\":42}"), "{text}");
            let mut line = Vec::new();
            write_line(&mut line, &event, &topic);
            assert_eq!(String::from_utf8(line).unwrap(), text.replace(['\r', '\n'], " "));
        }
    }
}
