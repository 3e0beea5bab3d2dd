//! The attributes of an event as one JSON text, written once.

use std::{borrow::Cow, collections::BTreeMap, fmt::Write as _};

use probes::moment::{Moment, Reading};
use serde_json::Value;

/// The CloudEvents attributes of an event that is being admitted, but `specversion`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Attributes<'a> {
    /// `id`, not empty.
    pub id: Cow<'a, str>,
    /// `source`, a URI reference, not empty.
    pub source: Cow<'a, str>,
    /// `type`, not empty.
    pub kind: Cow<'a, str>,
    /// `subject`, not empty.
    pub subject: Option<Cow<'a, str>>,
    /// `time`; what [`rfc3339`] can read leaves as RFC 3339.
    pub time: Option<Cow<'a, str>>,
    /// `datacontenttype`.
    pub content_type: Option<Cow<'a, str>>,
    /// `dataschema`, a URI.
    pub schema: Option<Cow<'a, str>>,
    /// Extension attributes, `partitionkey` among them: strings, booleans and 32-bit integers.
    pub extensions: BTreeMap<String, Value>,
}

/// Which attribute is not as CloudEvents wants it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{attribute}`: {problem}")]
pub struct AttributeError {
    /// The attribute's name.
    pub attribute: String,
    /// What was expected.
    pub problem: String,
}

impl AttributeError {
    fn new(attribute: &str, problem: impl Into<String>) -> Self {
        Self { attribute: attribute.chars().take(60).collect(), problem: problem.into() }
    }
}

impl Attributes<'_> {
    /// Checks the attributes and writes them as one JSON object without white space.
    ///
    /// # Errors
    /// Names the first attribute that breaks a rule of CloudEvents 1.0.2, section "Context
    /// Attributes".
    pub fn encode(&self) -> Result<String, AttributeError> {
        let mut text = String::with_capacity(256);
        for (name, value) in [("id", &self.id), ("source", &self.source), ("type", &self.kind)] {
            if value.is_empty() {
                return Err(AttributeError::new(name, "expected a text that is not empty"));
            }
            push_field(&mut text, name, value)?;
        }
        let time =
            self.time.as_ref().map(|time| rfc3339("time", time).map(Cow::from)).transpose()?;
        for (name, value) in [
            ("subject", &self.subject),
            ("time", &time),
            ("datacontenttype", &self.content_type),
            ("dataschema", &self.schema),
        ] {
            match value {
                Some(value) if value.is_empty() => {
                    return Err(AttributeError::new(name, "expected a text that is not empty"));
                }
                Some(value) => push_field(&mut text, name, value)?,
                None => {}
            }
        }
        for (name, value) in &self.extensions {
            push_extension(&mut text, name, value)?;
        }
        text.push('}');
        Ok(text)
    }
}

/// A time as RFC 3339: as it is, if it is that already; other spellings that tell the moment and the
/// zone are written anew, for what receives the event may know no other.
///
/// # Errors
/// Names the attribute that cannot be read.
pub fn rfc3339(attribute: &str, time: &str) -> Result<String, AttributeError> {
    Moment::read(time, &Reading::default()).map(|moment| moment.rfc3339()).map_err(|_| {
        let problem = format!("expected RFC 3339, as 2026-01-31T12:00:00Z, not `{}`", cut(time));
        AttributeError::new(attribute, problem)
    })
}

fn push_extension(text: &mut String, name: &str, value: &Value) -> Result<(), AttributeError> {
    const TAKEN: [&str; 13] = [
        "id",
        "source",
        "type",
        "subject",
        "time",
        "datacontenttype",
        "dataschema",
        "specversion",
        "data",
        "data_base64",
        "milkruntopic",
        "milkrunversion",
        "milkrunreplay",
    ];
    let lower = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    if name.is_empty() || name.len() > 100 || !name.bytes().all(lower) || TAKEN.contains(&name) {
        return Err(AttributeError::new(
            name,
            "is not the name of an extension: expected 1 to 100 of a-z and 0-9, and no name that CloudEvents or the relay uses",
        ));
    }
    match value {
        Value::String(value) => push_field(text, name, value),
        Value::Bool(value) => {
            let _ = write!(text, ",\"{name}\":{value}");
            Ok(())
        }
        Value::Number(value) if value.as_i64().is_some_and(|n| i32::try_from(n).is_ok()) => {
            let _ = write!(text, ",\"{name}\":{value}");
            Ok(())
        }
        _ => Err(AttributeError::new(name, "expected a text, a boolean or an integer of 32 bits")),
    }
}

fn push_field(text: &mut String, name: &str, value: &str) -> Result<(), AttributeError> {
    if has_control(value) {
        return Err(AttributeError::new(name, "has a control character"));
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
