//! The attributes of an event as one JSON text, and what that text says.

use std::{collections::BTreeMap, sync::Arc};

use memchr::memmem;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

/// The CloudEvents attributes of an event but `specversion` and those the relay adds: the text of
/// one JSON object without white space, written once at admission and kept byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributes(Arc<str>);

impl Attributes {
    /// The whole text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The whole text, to be kept without a copy.
    #[must_use]
    pub fn shared(&self) -> Arc<str> {
        self.0.clone()
    }

    /// The text between the braces, to be put into a larger object.
    #[must_use]
    pub fn members(&self) -> &str {
        let inside = self.0.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        inside.unwrap_or_default()
    }

    /// Whether there is an attribute `name`.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.at(name).is_some()
    }

    /// The text of the attribute `name`, if there is one; numbers and booleans as JSON writes them.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<String> {
        let rest = serde_json::Deserializer::from_str(self.at(name)?);
        match rest.into_iter().next()?.ok()? {
            Value::String(text) => Some(text),
            other => Some(other.to_string()),
        }
    }

    /// The ordering key: `partitionkey`, else `subject`.
    #[must_use]
    pub fn key(&self) -> Option<String> {
        self.get("partitionkey").or_else(|| self.get("subject"))
    }

    /// The same but the attribute `name`.
    #[must_use]
    pub fn without(&self, name: &str) -> Self {
        let mut members: BTreeMap<&str, &RawValue> = self.read().unwrap_or_default();
        members.remove(name);
        serde_json::to_string(&members).map_or_else(|_| self.clone(), Self::from)
    }

    /// All attributes in another form.
    ///
    /// # Errors
    /// When the form cannot hold them.
    pub fn read<'a, T: Deserialize<'a>>(&'a self) -> serde_json::Result<T> {
        serde_json::from_str(&self.0)
    }

    /// The text from the value of `name` on. Looked for without parsing, because most events are
    /// asked for attributes that they do not have: a quote inside a JSON string follows a backslash,
    /// so a quote behind `{` or `,` begins a name.
    fn at(&self, name: &str) -> Option<&str> {
        // Most names are not there, which this look tells at a tenth of what a searcher costs; and
        // one for every place costs more to make than the look for the first, mostly the only one.
        if !self.0.contains(name) {
            return None;
        }
        let first = self.0.find(name)?;
        self.value_at(first, name).or_else(|| {
            let others = memmem::find_iter(&self.0.as_bytes()[first + 1..], name);
            others.map(|at| first + 1 + at).find_map(|at| self.value_at(at, name))
        })
    }

    /// The text from the value on, if `at` begins the name of an attribute.
    fn value_at(&self, at: usize, name: &str) -> Option<&str> {
        let before = self.0.get(..at)?;
        let begins = before.ends_with(",\"") || before.ends_with("{\"");
        self.0.get(at + name.len()..)?.strip_prefix("\":").filter(|_| begins)
    }
}

impl From<&str> for Attributes {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for Attributes {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_from_their_text() {
        let attributes = Attributes::from(r#"{"id":"a\"b","source":"s","n":5,"on":true}"#);
        assert_eq!(attributes.get("id").as_deref(), Some("a\"b"));
        assert_eq!(attributes.get("n").as_deref(), Some("5"));
        assert_eq!(attributes.get("on").as_deref(), Some("true"));
        assert_eq!(attributes.get("none"), None);
        assert_eq!(attributes.members(), r#""id":"a\"b","source":"s","n":5,"on":true"#);
        assert_eq!(Attributes::from("{}").get(""), None);
        let without = attributes.without("n");
        assert_eq!(without.as_str(), r#"{"id":"a\"b","on":true,"source":"s"}"#);
        assert_eq!(attributes.without("none").get("n").as_deref(), Some("5"));
    }

    #[test]
    fn a_value_that_looks_like_a_name_is_none() {
        let sly = Attributes::from(
            r#"{"id":"{\"topic\":1","subject":"x,\"topic\":\"y\"","xtopic":"z,"}"#,
        );
        assert!(!sly.has("topic"));
        assert!(sly.has("xtopic"));
        let both = Attributes::from(r#"{"subject":"\"key\":é","topic":"a,\"key\":2","key":"1"}"#);
        assert_eq!(both.get("key").as_deref(), Some("1"));
    }

    #[test]
    fn the_key_is_the_partition_key_or_the_subject() {
        let key = |text: &str| Attributes::from(text).key();
        assert_eq!(key(r#"{"id":"1","subject":"b","partitionkey":"a"}"#).as_deref(), Some("a"));
        assert_eq!(key(r#"{"id":"1","subject":"b"}"#).as_deref(), Some("b"));
        assert_eq!(key(r#"{"id":"1"}"#), None);
    }
}
