//! How rules are written in the file: a bare word is a kind with its defaults, a text is a path.

use std::{fmt, marker::PhantomData};

use schemars::Schema;
use serde::{
    Deserialize, Deserializer,
    de::{
        self, DeserializeSeed, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor,
        value::{MapAccessDeserializer, MapDeserializer, SeqAccessDeserializer},
    },
};

/// A deserializer for an enum of kinds: `word` is read as `{ word: {} }`.
pub(crate) struct Kinds<D>(pub(crate) D);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Kinds<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_any(KindsVisitor(visitor))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

struct KindsVisitor<V>(V);

impl<'de, V: Visitor<'de>> Visitor<'de> for KindsVisitor<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a kind, or a mapping of one kind to its parameters")
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<V::Value, E> {
        self.0.visit_enum(Word { word: word.to_owned(), error: PhantomData })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.0.visit_enum(MapAccessDeserializer::new(map))
    }
}

struct Word<E> {
    word: String,
    error: PhantomData<E>,
}

impl<'de, E: de::Error> EnumAccess<'de> for Word<E> {
    type Error = E;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), E> {
        let name = seed.deserialize(de::value::StrDeserializer::new(&self.word))?;
        Ok((name, self))
    }
}

impl<'de, E: de::Error> VariantAccess<'de> for Word<E> {
    type Error = E;

    fn unit_variant(self) -> Result<(), E> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, E> {
        let none = std::iter::empty::<(&str, &str)>();
        seed.deserialize(MapDeserializer::<_, E>::new(none))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, E> {
        self.struct_variant(&[], visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, E> {
        visitor.visit_map(MapDeserializer::<_, E>::new(std::iter::empty::<(&str, &str)>()))
    }
}

/// Adds the bare words to the schema of an enum of kinds, but for those that need parameters.
pub(crate) fn bare_words(needy: &'static [&'static str]) -> impl FnMut(&mut Schema) {
    move |schema| add_words(schema, needy)
}

fn add_words(schema: &mut Schema, needy: &[&str]) {
    let Some(kinds) = schema.get_mut("oneOf").and_then(|kinds| kinds.as_array_mut()) else {
        return;
    };
    let named = |kind: &serde_json::Value| Some(kind.get("required")?.get(0)?.clone());
    let mut words: Vec<serde_json::Value> = kinds.iter().filter_map(named).collect();
    words.retain(|word| word.as_str().is_some_and(|word| !needy.contains(&word)));
    kinds.push(serde_json::json!({
        "type": "string",
        "enum": words,
        "description": "A kind with its defaults"
    }));
}

/// Makes the schema of a mapping one of a text, too.
pub(crate) fn or_text(schema: &mut Schema) {
    let mapping = std::mem::take(schema);
    *schema = schemars::json_schema!({ "anyOf": [{ "type": "string" }, mapping] });
}

/// A rule that is written as a text, or as a mapping, or (where `list` is given) a list of texts.
pub(crate) struct TextOr<T, M> {
    /// What is expected, for the error.
    pub(crate) expecting: &'static str,
    /// Makes the rule of a text.
    pub(crate) text: fn(&str) -> Result<T, String>,
    /// Makes the rule of a list.
    pub(crate) list: Option<fn(Vec<String>) -> T>,
    /// Makes the rule of a mapping.
    pub(crate) map: fn(M) -> T,
}

impl<'de, T, M: Deserialize<'de>> Visitor<'de> for TextOr<T, M> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expecting)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.text)(text).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<T, A::Error> {
        match self.list {
            Some(list) => Vec::deserialize(SeqAccessDeserializer::new(seq)).map(list),
            None => Err(de::Error::invalid_type(de::Unexpected::Seq, &self)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        M::deserialize(MapAccessDeserializer::new(map)).map(self.map)
    }
}

/// A rule that is written as `true` or `false`, or as a mapping.
pub(crate) struct FlagOr<T, M> {
    /// What is expected, for the error.
    pub(crate) expecting: &'static str,
    /// Makes the rule of a flag.
    pub(crate) flag: fn(bool) -> T,
    /// Makes the rule of a mapping.
    pub(crate) map: fn(M) -> T,
}

impl<'de, T, M: Deserialize<'de>> Visitor<'de> for FlagOr<T, M> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expecting)
    }

    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<T, E> {
        Ok((self.flag)(flag))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        M::deserialize(MapAccessDeserializer::new(map)).map(self.map)
    }
}
