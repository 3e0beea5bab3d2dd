//! JSON as request types take it: an object is an object.
//!
//! What serde derives for a struct takes an array for its fields in order, so that `[]` would be an
//! object without any of them, and reset what was set.

use serde::{
    Deserializer,
    de::{
        Error as _, IntoDeserializer, Unexpected, Visitor,
        value::{MapAccessDeserializer, MapDeserializer, SeqDeserializer},
    },
    forward_to_deserialize_any,
};
use serde_json::{Error, Value};

/// A value that is read into no struct but from an object.
pub(super) struct Strict(pub(super) Value);

impl IntoDeserializer<'_, Error> for Strict {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

fn members(object: serde_json::Map<String, Value>) -> impl Iterator<Item = (String, Strict)> {
    object.into_iter().map(|(name, value)| (name, Strict(value)))
}

impl<'de> Deserializer<'de> for Strict {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Array(items) => {
                let mut items = SeqDeserializer::new(items.into_iter().map(Self));
                let made = visitor.visit_seq(&mut items)?;
                items.end().map(|()| made)
            }
            Value::Object(object) => {
                let mut members = MapDeserializer::new(members(object));
                let made = visitor.visit_map(&mut members)?;
                members.end().map(|()| made)
            }
            scalar => scalar.deserialize_any(visitor),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Array(_) => Err(Error::invalid_type(Unexpected::Seq, &"an object")),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_map(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.0 {
            Value::Object(object) if object.len() == 1 => {
                let members = MapDeserializer::new(members(object));
                visitor.visit_enum(MapAccessDeserializer::new(members))
            }
            other => other.deserialize_enum(name, variants, visitor),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Way {
        Up,
        To(u8),
        Round { times: u8 },
        Inner(Inner),
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Word(String);

    #[derive(Debug, PartialEq, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Inner {
        most: Option<u32>,
        ways: Vec<Way>,
        words: BTreeMap<String, Word>,
        child: Option<Box<Inner>>,
    }

    fn read(value: Value) -> Result<Inner, Error> {
        Inner::deserialize(Strict(value))
    }

    #[test]
    fn whatever_is_an_object_reads_as_ever() {
        for value in [
            json!({}),
            json!({ "most": null, "child": null }),
            json!({ "most": 7, "words": { "a": "b" }, "child": { "child": { "most": 1 } } }),
            json!({ "ways": ["up", { "to": 3 }, { "round": { "times": 2 } }, { "inner": {} }] }),
            json!({ "most": "x" }),
            json!({ "ways": [{ "to": 3, "round": {} }] }),
            json!({ "ways": [5] }),
            json!({ "lots": 1 }),
            json!(7),
        ] {
            let plain = serde_json::from_value::<Inner>(value.clone());
            let strict = read(value.clone());
            assert_eq!(strict.map_err(drop), plain.map_err(drop), "{value}");
        }
    }

    #[test]
    fn an_array_is_no_object_wherever_it_stands() {
        for value in [
            json!([]),
            json!([7, []]),
            json!({ "child": [] }),
            json!({ "child": { "child": [1] } }),
            json!({ "ways": [{ "inner": [] }] }),
        ] {
            assert!(serde_json::from_value::<Inner>(value.clone()).is_ok(), "{value}");
            let error = read(value.clone()).unwrap_err().to_string();
            assert!(error.contains("sequence"), "{value}: {error}");
        }
    }
}
