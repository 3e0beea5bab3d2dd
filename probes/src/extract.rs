//! Reading JSON by path on its own text: what is found are slices of the page, never copies.

use std::{borrow::Cow, fmt};

use serde::{
    Deserializer as _,
    de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use self::text::decoded;
pub(crate) use self::text::{is_broken, kind_of, scalar};
pub use self::{text::deeper_than, value::lenient};

mod text;
mod value;

/// A path to a value: `data.orders` or, as RFC 6901 has it, `/data/orders`; empty: the whole. What
/// has dots and finds nothing is one name, as `@odata.nextLink`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Path {
    text: String,
    segments: Vec<String>,
    /// Whether it may be one name with dots.
    dotted: bool,
}

impl Path {
    pub(crate) fn new(text: &str) -> Self {
        let segments = if let Some(pointer) = text.strip_prefix('/') {
            pointer.split('/').map(|name| name.replace("~1", "/").replace("~0", "~")).collect()
        } else if text.is_empty() {
            Vec::new()
        } else {
            text.split('.').map(str::to_owned).collect()
        };
        let dotted = segments.len() > 1 && !text.starts_with('/');
        Self { text: text.to_owned(), segments, dotted }
    }

    /// The path of these names, whatever characters they have.
    pub(crate) fn of_names(names: &[String]) -> Self {
        Self { text: names.join("."), segments: names.to_vec(), dotted: false }
    }

    /// The names on the way.
    pub(crate) fn segments(&self) -> &[String] {
        &self.segments
    }

    /// The value at this path of the JSON text `json`, `None` when there is none.
    pub(crate) fn find<'a>(
        &self,
        json: &'a str,
    ) -> Result<Option<&'a RawValue>, serde_json::Error> {
        let Some((first, rest)) = self.segments.split_first() else {
            return serde_json::from_str(json).map(Some);
        };
        let found = match pick(json, first)? {
            None => None,
            Some(found) => descend(found, rest)?,
        };
        if found.is_none() && self.dotted { pick(json, &self.text) } else { Ok(found) }
    }

    /// The elements of the array at this path, at most `max`, found and read in one go; `None`
    /// where that cannot be done, or something is wrong.
    pub(crate) fn elements<'a>(&self, json: &'a str, max: usize) -> Option<Vec<&'a RawValue>> {
        let mut reader = serde_json::Deserializer::from_str(json);
        let elements = match &self.segments[..] {
            [] => reader.deserialize_seq(Elements { max }).ok(),
            [name] => reader.deserialize_map(ArrayField { name, max }).ok()?,
            _ => None,
        };
        reader.end().ok()?;
        elements
    }

    /// The value at this path of an item whose fields were read already.
    pub(crate) fn of<'a>(&self, item: &Fields<'a>) -> Option<&'a RawValue> {
        let Some((first, rest)) = self.segments.split_first() else { return Some(item.whole) };
        // The page was checked as a whole, so its parts are valid JSON.
        let found = item.raw_field(first).and_then(|field| descend(field, rest).ok().flatten());
        let named = || item.raw_field(&self.text).filter(|_| self.dotted);
        found.or_else(named)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The fields of an object, each as its text.
pub(crate) struct Fields<'a> {
    whole: &'a RawValue,
    fields: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'a> Fields<'a> {
    /// Reads the outermost fields of `whole`; a value that is no object has none.
    pub(crate) fn of(whole: &'a RawValue) -> Self {
        let fields = if whole.get().starts_with('{') {
            serde_json::Deserializer::from_str(whole.get()).deserialize_map(All).unwrap_or_default()
        } else {
            Vec::new()
        };
        Self { whole, fields }
    }

    /// The object itself.
    pub(crate) fn whole(&self) -> &'a RawValue {
        self.whole
    }

    pub(crate) fn raw(&self) -> &'a str {
        self.whole.get()
    }

    /// The value of a field; of several with its name the last.
    pub(crate) fn raw_field(&self, name: &str) -> Option<&'a RawValue> {
        self.fields.iter().rfind(|(known, _)| known == name).map(|(_, value)| *value)
    }

    /// A field that is a text, number or boolean.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.raw_field(name).and_then(scalar).map(Cow::into_owned)
    }

    /// All fields in their order.
    pub(crate) fn into_all(self) -> Vec<(Cow<'a, str>, &'a RawValue)> {
        self.fields
    }

    /// The names of the fields, for a person.
    pub(crate) fn names(&self) -> String {
        let names: Vec<&str> = self.fields.iter().take(12).map(|(name, _)| &**name).collect();
        let more = if self.fields.len() > 12 { ", …" } else { "" };
        format!("`{}`{more}", names.join("`, `"))
    }
}

/// The values of an array, at most `max` and one more.
pub(crate) fn array(json: &str, max: usize) -> Result<Vec<&RawValue>, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_str(json);
    reader.deserialize_seq(Elements { max })
}

fn descend<'a>(
    mut value: &'a RawValue,
    segments: &[String],
) -> Result<Option<&'a RawValue>, serde_json::Error> {
    for segment in segments {
        match pick(value.get(), segment)? {
            Some(found) => value = found,
            None => return Ok(None),
        }
    }
    Ok(Some(value))
}

/// One field or element of a JSON text, all of which is checked on the way.
fn pick<'a>(json: &'a str, segment: &str) -> Result<Option<&'a RawValue>, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_str(json);
    let found = match (json.trim_start().as_bytes().first(), segment.parse()) {
        (Some(b'{'), _) => reader.deserialize_map(Field(segment))?,
        (Some(b'['), Ok(index)) => reader.deserialize_seq(Element(index))?,
        _ => {
            reader.deserialize_ignored_any(IgnoredAny)?;
            None
        }
    };
    reader.end()?;
    Ok(found)
}

struct All;

impl<'de> Visitor<'de> for All {
    type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        while let Some(name) = map.next_key_seed(Key)? {
            fields.push((name, map.next_value()?));
        }
        Ok(fields)
    }
}

/// Reads a name without a copy where it has no escapes.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        // As raw text, for a name with half a character must not cost its neighbours.
        let name: &'de RawValue = serde::Deserialize::deserialize(reader)?;
        Ok(decoded(name.get()))
    }
}

/// One field of an object; of several with its name the last, as most readers have it.
struct Field<'s>(&'s str);

impl<'de> Visitor<'de> for Field<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(name) = map.next_key_seed(Key)? {
            if name == self.0 {
                found = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// The elements of one field of an object.
struct ArrayField<'s> {
    name: &'s str,
    max: usize,
}

impl<'de> Visitor<'de> for ArrayField<'_> {
    type Value = Option<Vec<&'de RawValue>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(name) = map.next_key_seed(Key)? {
            if name == self.name {
                found = Some(map.next_value_seed(Elements { max: self.max })?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// One element of an array.
struct Element(usize);

impl<'de> Visitor<'de> for Element {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let (mut found, mut index) = (None, 0);
        while let Some(value) = seq.next_element()? {
            if index == self.0 {
                found = Some(value);
            }
            index += 1;
        }
        Ok(found)
    }
}

struct Elements {
    max: usize,
}

impl<'de> DeserializeSeed<'de> for Elements {
    type Value = Vec<&'de RawValue>;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Elements {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = seq.next_element()? {
            if values.len() == self.max {
                return Err(A::Error::custom(format_args!("more than {} items", self.max)));
            }
            values.push(value);
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_find_the_original_bytes() {
        let json = r#" { "data" : {"orders":[ {"id":1.0}, 2 ] , "a.b": true, "x/y":"\u00e9"},"n":null, "@odata.nextLink":7, "n.o":8 } "#;
        for (path, found) in [
            ("data.orders", Some(r#"[ {"id":1.0}, 2 ]"#)),
            ("/data/orders", Some(r#"[ {"id":1.0}, 2 ]"#)),
            ("data.orders.0.id", Some("1.0")),
            ("data.orders.1", Some("2")),
            ("data.orders.2", None),
            ("data.orders.x", None),
            ("/data/a.b", Some("true")),
            ("/data/x~1y", Some(r#""\u00e9""#)),
            ("@odata.nextLink", Some("7")),
            ("/@odata/nextLink", None),
            ("n.o", Some("8")),
            ("n", Some("null")),
            ("n.x", None),
            ("", Some(json.trim())),
        ] {
            assert_eq!(Path::new(path).find(json).unwrap().map(RawValue::get), found, "{path}");
            let item: &RawValue = serde_json::from_str(json).unwrap();
            assert_eq!(Path::new(path).of(&Fields::of(item)).map(RawValue::get), found, "{path}");
        }
        assert!(Path::new("a").find("<html>").is_err());
        assert!(Path::new("a").find(r#"{"a":1} x"#).is_err());
    }

    #[test]
    fn elements_are_those_of_the_array_that_is_found() {
        let json = r#" {"a": 1, "list": [0], "list": [{"x": "]"}, 2 ]} "#;
        let texts = |path: &str, json, max| {
            let elements = Path::new(path).elements(json, max)?;
            Some(elements.into_iter().map(RawValue::get).collect::<Vec<_>>())
        };
        assert_eq!(texts("list", json, 2), Some(vec![r#"{"x": "]"}"#, "2"]));
        assert_eq!(texts("", "[1, [2]]", 2), Some(vec!["1", "[2]"]));
        for (path, json, max) in [
            ("list", json, 1),
            ("a", json, 9),
            ("b", json, 9),
            ("a.b", json, 9),
            ("", json, 9),
            ("list", r#"{"list": [1]} x"#, 9),
            ("list", r#"{"list": [1}"#, 9),
        ] {
            assert_eq!(texts(path, json, max), None, "{path} {json} {max}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(path in ".{0,20}", json in ".{0,60}") {
            let _ = Path::new(&path).find(&json);
            let _ = array(&json, 3);
        }
    }
}
