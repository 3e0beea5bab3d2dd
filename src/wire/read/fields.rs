//! The members of one event's JSON object, as they were written.

use std::{borrow::Cow, fmt};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::{Value, value::RawValue};

use super::Refused;
use crate::{event::Data, wire::candidate::SCALAR};

/// Name and text of each member; a name that comes twice is an error.
pub(super) struct Fields<'a>(pub(super) Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an event")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::with_capacity(8);
                while let Some((Text(name), value)) = map.next_entry::<Text<'de>, &RawValue>()? {
                    fields.push((name, value));
                }
                let mut names: Vec<&str> = fields.iter().map(|(name, _)| &**name).collect();
                names.sort_unstable();
                if let Some([twice, _]) = names.array_windows().find(|[one, other]| one == other) {
                    return Err(A::Error::custom(format!("`{twice}` is given twice")));
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(Members)
    }
}

/// A text, borrowed where it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

pub(super) fn text<'a>(name: &str, raw: &'a RawValue) -> Result<Cow<'a, str>, Refused> {
    let text = serde_json::from_str(raw.get());
    text.map(|Text(text)| text).map_err(|_| {
        // In valid JSON a text cannot be read only for half of a pair in it (RFC 8259, section 8.2),
        // which CloudEvents forbids in attributes.
        let problem = if raw.get().starts_with('"') {
            "has half of a surrogate pair, as `\\ud83d` alone: expected whole characters"
        } else {
            "expected a text"
        };
        Refused::new(name, problem)
    })
}

/// A boolean or a number. A list or object is refused without making a tree of it; a number may be
/// too large to be read.
pub(super) fn scalar(name: &str, raw: &RawValue) -> Result<Value, Refused> {
    let is_one = !raw.get().starts_with(['{', '[']);
    let value = is_one.then(|| serde_json::from_str(raw.get()).ok()).flatten();
    value.ok_or_else(|| Refused::new(name, SCALAR))
}

pub(super) fn base64(raw: &RawValue) -> Result<Data, Refused> {
    let bytes = BASE64_STANDARD
        .decode(&*text("data_base64", raw)?)
        .map_err(|error| Refused::new("data_base64", format!("expected base64: {error}")))?;
    Ok(Data::Binary(bytes.into()))
}
