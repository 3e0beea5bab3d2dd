//! Plain data: names, versions, epochs, cursors, times and the event itself.
//!
//! A value of these types is valid by construction; nothing here does input or output.

use std::sync::Arc;

mod data;
mod micros;
mod name;
mod version;

pub use self::{
    data::Data,
    micros::Micros,
    name::{Name, NameError, PatternError, Topic, TopicPattern},
    version::{Cursor, CursorError, Epoch, Position, Version},
};

/// A draft that the log accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its place in the topic.
    pub version: Version,
    /// The epoch of that version.
    pub epoch: Epoch,
    /// When the log accepted it; never below its predecessor's.
    pub recorded: Micros,
    /// Its CloudEvents attributes but `specversion` and those the relay adds: the text of one
    /// JSON object without white space, written once at admission and kept byte for byte.
    pub attributes: Arc<str>,
    /// The producer's bytes.
    pub data: Data,
}

impl Event {
    /// What the event counts for against limits: its attributes and data.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.attributes.len() + self.data.bytes().len()
    }

    /// The event's own cursor.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        Cursor { epoch: self.epoch, version: self.version }
    }

    /// The text of the attribute `name`, if the event has it; numbers and booleans as JSON writes
    /// them.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<String> {
        attribute(&self.attributes, name)
    }

    /// The ordering key: `partitionkey`, else `subject`.
    #[must_use]
    pub fn key(&self) -> Option<String> {
        self.attribute("partitionkey").or_else(|| self.attribute("subject"))
    }
}

/// The text of the attribute `name` in an encoded object; see [`Event::attribute`].
#[must_use]
pub fn attribute(object: &str, name: &str) -> Option<String> {
    let fields: std::collections::HashMap<String, serde_json::Value> =
        serde_json::from_str(object).ok()?;
    match fields.get(name)? {
        serde_json::Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_from_their_text() {
        let text = r#"{"id":"a\"b","source":"s","n":5}"#;
        assert_eq!(attribute(text, "id").as_deref(), Some("a\"b"));
        assert_eq!(attribute(text, "n").as_deref(), Some("5"));
        assert_eq!(attribute(text, "none"), None);
    }
}
