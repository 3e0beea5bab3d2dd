//! An event that may become one of the log: all rules are checked, and its attributes written, here.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt::{Display, Write as _},
};

use probes::moment::{Moment, Reading};
use serde_json::Value;

use super::{EVENT_BYTES_MAX, headers};
use crate::event::{Attributes, Data, NewEvent, PRIORITY_MAX};

/// The attributes that have a field of their own, all of them texts.
pub(super) const TEXTS: [&str; 7] =
    ["id", "source", "type", "subject", "time", "datacontenttype", "dataschema"];
/// Names that no extension may have, because CloudEvents or the relay writes them itself.
const RESERVED: [&str; 6] =
    ["specversion", "data", "data_base64", "milkruntopic", "milkrunversion", "milkrunreplay"];
/// What an extension may be.
pub(super) const SCALAR: &str = "expected a text, a boolean or an integer of 32 bits";

/// What a producer, a publisher or the relay itself says of one event, not checked yet.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Candidate<'a> {
    /// `id`, not empty.
    pub id: Cow<'a, str>,
    /// `source`, a URI reference, not empty.
    pub source: Cow<'a, str>,
    /// `type`, not empty.
    pub kind: Cow<'a, str>,
    /// `subject`, not empty.
    pub subject: Option<Cow<'a, str>>,
    /// `time`, in any spelling that tells the moment and the zone.
    pub time: Option<Cow<'a, str>>,
    /// `datacontenttype`.
    pub content_type: Option<Cow<'a, str>>,
    /// `dataschema`, a URI.
    pub schema: Option<Cow<'a, str>>,
    /// Extension attributes, `partitionkey` among them: strings, booleans and 32-bit integers.
    pub extensions: BTreeMap<String, Value>,
    /// The producer's bytes.
    pub data: Data,
}

/// Which attribute, or the data, breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{attribute}`: {problem}")]
pub struct Refused {
    /// The attribute's name.
    pub attribute: String,
    /// What was expected.
    pub problem: String,
}

impl Refused {
    pub(super) fn new(attribute: &str, problem: impl Into<String>) -> Self {
        Self { attribute: cut(attribute), problem: problem.into() }
    }
}

impl<'a> Candidate<'a> {
    /// Takes in an attribute that is a text.
    pub(super) fn set(&mut self, name: &str, text: Cow<'a, str>) {
        match name {
            "id" => self.id = text,
            "source" => self.source = text,
            "type" => self.kind = text,
            "subject" => self.subject = Some(text),
            "time" => self.time = Some(text),
            "datacontenttype" => self.content_type = Some(text),
            "dataschema" => self.schema = Some(text),
            _ => {
                self.extensions.insert(name.to_owned(), text.into());
            }
        }
    }

    /// The one way into the log: checks the event and writes its attributes.
    ///
    /// # Errors
    /// Names the first attribute that breaks a rule of CloudEvents 1.0.2, section "Context
    /// Attributes", or of the relay, or `data` when the event is too large.
    pub fn admit(mut self) -> Result<NewEvent, Refused> {
        let attributes = self.encode()?;
        headers::check(&attributes).map_err(|(name, problem)| Refused::new(&name, problem))?;
        if let Some(text) = self.text()? {
            self.data = text;
        }
        let due = self.extensions.get("deliverat").and_then(|_| attributes.get("deliverat"));
        let event = NewEvent {
            source: self.source.into_owned(),
            id: self.id.into_owned(),
            deliver_at: due.and_then(|due| due.parse().ok()),
            attributes,
            data: self.data,
        };
        let bytes = event.size_bytes();
        if bytes > EVENT_BYTES_MAX {
            let problem =
                format!("the event has {bytes} bytes: expected at most {EVENT_BYTES_MAX}");
            return Err(Refused::new("data", problem));
        }
        Ok(event)
    }

    /// JSON format, 3.1.1: under a media type that is not JSON, a JSON string is the text that it
    /// spells. `None` when the data is to stay as it is.
    fn text(&self) -> Result<Option<Data>, Refused> {
        let Data::Json(json) = &self.data else { return Ok(None) };
        let is_json = self.content_type.as_deref().is_none_or(super::is_json);
        if is_json || !json.starts_with(b"\"") {
            return Ok(None);
        }
        let text = super::spelled(json).ok_or_else(|| {
            let problem = "is a text by `datacontenttype`, and has half of a surrogate pair, as \
                `\\ud83d` alone: expected whole characters, or `data_base64`";
            Refused::new("data", problem)
        })?;
        Ok(Some(Data::Text(text)))
    }

    fn encode(&self) -> Result<Attributes, Refused> {
        let mut text = String::with_capacity(256);
        for (name, value) in [
            ("id", Some(&self.id)),
            ("source", Some(&self.source)),
            ("type", Some(&self.kind)),
            ("subject", self.subject.as_ref()),
            ("time", self.time.as_ref()),
            ("datacontenttype", self.content_type.as_ref()),
            ("dataschema", self.schema.as_ref()),
        ] {
            match value {
                None => {}
                Some(time) if name == "time" => push_field(&mut text, name, &rfc3339(name, time)?)?,
                Some(value) if value.is_empty() => {
                    return Err(Refused::new(name, "expected a text that is not empty"));
                }
                Some(value) => push_field(&mut text, name, value)?,
            }
        }
        for (name, value) in &self.extensions {
            push_extension(&mut text, name, value)?;
        }
        text.push('}');
        Ok(text.into())
    }
}

/// A time as RFC 3339: as it is, if it is that already; other spellings that tell the moment and the
/// zone are written anew, for what receives the event may know no other.
fn rfc3339(name: &str, time: &str) -> Result<String, Refused> {
    Moment::read(time, &Reading::default()).map(|moment| moment.rfc3339()).map_err(|_| {
        let problem = format!("expected RFC 3339, as 2026-01-31T12:00:00Z, not `{}`", cut(time));
        Refused::new(name, problem)
    })
}

/// A whole number; in binary mode it comes as a text.
fn priority(value: &Value) -> Result<u8, Refused> {
    let number = match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_u64().and_then(|number| u8::try_from(number).ok()),
    };
    number.filter(|number| *number <= PRIORITY_MAX).ok_or_else(|| {
        Refused::new("priority", format!("expected a whole number from 0 to {PRIORITY_MAX}"))
    })
}

fn push_extension(text: &mut String, name: &str, value: &Value) -> Result<(), Refused> {
    let lower = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let is_taken = TEXTS.contains(&name) || RESERVED.contains(&name);
    if name.is_empty() || name.len() > 100 || !name.bytes().all(lower) || is_taken {
        return Err(Refused::new(
            name,
            "is not the name of an extension: expected 1 to 100 of a-z and 0-9, and no name that CloudEvents or the relay uses",
        ));
    }
    let scalar: &dyn Display = match (name, value) {
        ("deliverat" | "expirytime", Value::String(time)) => {
            return push_field(text, name, &rfc3339(name, time)?);
        }
        ("deliverat" | "expirytime", _) => return Err(Refused::new(name, "expected a text")),
        ("priority", value) => &priority(value)?,
        (_, Value::String(value)) => return push_field(text, name, value),
        (_, Value::Bool(value)) => value,
        (_, Value::Number(value)) if value.as_i64().is_some_and(|n| i32::try_from(n).is_ok()) => {
            value
        }
        _ => return Err(Refused::new(name, SCALAR)),
    };
    // Writing a string into memory cannot fail.
    let _ = write!(text, ",\"{name}\":{scalar}");
    Ok(())
}

fn push_field(text: &mut String, name: &str, value: &str) -> Result<(), Refused> {
    if has_control(value) {
        return Err(Refused::new(name, "has a control character"));
    }
    text.push(if text.is_empty() { '{' } else { ',' });
    text.push('"');
    text.push_str(name);
    text.push_str("\":");
    push_string(text, value);
    Ok(())
}

fn has_control(value: &str) -> bool {
    let in_ascii = |byte: u8| byte < 0x20 || byte == 0x7f;
    value.bytes().any(in_ascii) || (!value.is_ascii() && value.chars().any(char::is_control))
}

pub(super) fn push_string(text: &mut String, value: &str) {
    if value.bytes().any(|byte| byte < 0x20 || matches!(byte, b'"' | b'\\')) {
        // Writing a string into memory cannot fail.
        text.push_str(&serde_json::to_string(value).unwrap_or_default());
    } else {
        text.push('"');
        text.push_str(value);
        text.push('"');
    }
}

fn cut(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minimal() -> Candidate<'static> {
        Candidate { id: "1".into(), source: "/s".into(), kind: "t".into(), ..Candidate::default() }
    }

    #[test]
    fn a_value_that_looks_like_a_name_is_none() {
        let mut sly = minimal();
        sly.subject = Some(r#"x,"topic":"y""#.into());
        assert!(!sly.encode().unwrap().has("topic"));
    }

    #[test]
    fn attributes_that_break_a_rule_are_named() {
        for (change, name) in [
            (Candidate { id: "".into(), ..minimal() }, "id"),
            (Candidate { kind: "a\u{0}".into(), ..minimal() }, "type"),
            (Candidate { time: Some("yesterday".into()), ..minimal() }, "time"),
            (Candidate { subject: Some("".into()), ..minimal() }, "subject"),
        ] {
            assert_eq!(change.encode().unwrap_err().attribute, name);
        }
        for name in ["Upper", "milkruntopic", "data", "", "with-dash"] {
            let mut bad = minimal();
            bad.extensions.insert(name.into(), "x".into());
            assert_eq!(bad.encode().unwrap_err().attribute, name);
        }
        let mut bad = minimal();
        bad.extensions.insert("n".into(), 5_000_000_000_i64.into());
        assert!(bad.encode().is_err());
    }

    #[test]
    fn a_time_leaves_as_rfc_3339() {
        for (given, written) in [
            ("2026-01-31T12:00:00.120+02:00", "2026-01-31T12:00:00.120+02:00"),
            ("2026-01-31 12:00:00+0000", "2026-01-31T12:00:00+00:00"),
            ("20260131T120000Z", "2026-01-31T12:00:00Z"),
            ("2026-01-31t12:00:00z", "2026-01-31T12:00:00Z"),
            ("2026-01-31T13:00:00+01:00[Europe/Berlin]", "2026-01-31T13:00:00+01:00"),
            ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
        ] {
            let encoded = Candidate { time: Some(given.into()), ..minimal() }.encode().unwrap();
            assert_eq!(encoded.get("time").as_deref(), Some(written));
        }
        for bad in ["", "2026-01-31T12:00:00", "2026-01-31", "01/02/2026", "1769860800"] {
            let error = Candidate { time: Some(bad.into()), ..minimal() }.encode().unwrap_err();
            assert_eq!(error.attribute, "time", "{bad}");
            assert!(error.problem.contains(&format!("not `{bad}`")), "{error}");
        }
    }
}
