//! Scalars as the file has them: `1.10` where a text is meant is that text, and not `1.1`.
//!
//! The deserializer tells a visitor of anything a number's value only, so the text is looked up at
//! the number's place once the file is parsed.

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};
use serde_saphyr::{Location, Spanned};

/// A JSON value that is written as YAML. A number stays one if JSON writes the same number; another,
/// as `007`, `0x10` or one of more digits than a double holds, is the text that the file has.
#[derive(Debug, Clone, PartialEq)]
pub struct Json {
    /// The value.
    pub value: Value,
    /// The JSON pointers of the numbers in it, and their places.
    numbers: Vec<(String, Location)>,
}

impl Json {
    /// Makes a text of each number that JSON would write as another.
    pub(crate) fn as_written(&mut self, file: &str) {
        for (pointer, at) in self.numbers.drain(..) {
            let Some(text) = token(file, at) else { continue };
            let kept = text.parse::<Number>().is_ok_and(|number| is_exact(text, &number));
            if let Some(number) = self.value.pointer_mut(&pointer).filter(|_| !kept) {
                *number = Value::String(text.to_owned());
            }
        }
    }
}

/// Whether a number keeps all digits that were written.
fn is_exact(text: &str, number: &Number) -> bool {
    number.as_i64().is_some()
        || number.as_u64().is_some()
        || digits(text) == digits(&number.to_string())
}

/// The significant digits, and the power of ten of the last one; the sign does not matter.
fn digits(text: &str) -> (String, i64) {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let all = all.trim_start_matches(['-', '0']);
    let kept = all.trim_end_matches('0');
    if kept.is_empty() {
        return (String::new(), 0);
    }
    let moved = |bytes: usize| i64::try_from(bytes).unwrap_or(i64::MAX);
    let power = exponent.parse::<i64>().unwrap_or(i64::MAX);
    let power = power.saturating_sub(moved(fraction.len()));
    (kept.to_owned(), power.saturating_add(moved(all.len() - kept.len())))
}

/// The plain scalar that stands at a place of the file.
pub(crate) fn token(file: &str, at: Location) -> Option<&str> {
    let line = file.lines().nth(usize::try_from(at.line()).ok()?.checked_sub(1)?)?;
    let skipped = usize::try_from(at.column()).ok()?.checked_sub(1)?;
    let (start, _) = line.char_indices().nth(skipped)?;
    // An anchor or a tag may stand before it.
    let mut words = line[start..].split([' ', '\t', ',', ']', '}']);
    words.find(|word| !word.is_empty() && !word.starts_with(['&', '!']))
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let node = Spanned::<Node>::deserialize(deserializer)?;
        let mut json = Self { value: Value::Null, numbers: Vec::new() };
        json.value = json.take(node, &mut String::new());
        Ok(json)
    }
}

impl Json {
    /// The value of a node; `pointer` leads to it.
    fn take(&mut self, node: Spanned<Node>, pointer: &mut String) -> Value {
        match node.value {
            Node::Number(number) => {
                self.numbers.push((pointer.clone(), node.defined));
                Value::Number(number)
            }
            Node::Other(value) => value,
            Node::List(items) => {
                let items = items.into_iter().enumerate();
                items.map(|(index, item)| self.below(&index.to_string(), item, pointer)).collect()
            }
            Node::Map(fields) => {
                let take = |(name, field): (String, _)| {
                    let value = self.below(&name, field, pointer);
                    (name, value)
                };
                Value::Object(fields.into_iter().map(take).collect::<Map<_, _>>())
            }
        }
    }

    fn below(&mut self, name: &str, node: Spanned<Node>, pointer: &mut String) -> Value {
        let length = pointer.len();
        pointer.push('/');
        pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
        let value = self.take(node, pointer);
        pointer.truncate(length);
        value
    }
}

enum Node {
    Number(Number),
    Other(Value),
    List(Vec<Spanned<Node>>),
    Map(Vec<(String, Spanned<Node>)>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("any value that JSON has")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Node, E> {
        Ok(Node::Other(Value::Null))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Other(Value::Bool(value)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Other(Value::String(text.to_owned())))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Number(value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Node, E> {
        let number = Number::from_f64(value).map(Node::Number);
        number.ok_or_else(|| E::custom("JSON has no such number: write a text in quotes"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Node::Map(fields))
    }
}
