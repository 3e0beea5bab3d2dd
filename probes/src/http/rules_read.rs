//! How the rules that have several shapes are read and written.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::rules::{
    CursorRule, Expression, IdRule, Items, Made, Overlap, Pages, Start, TextRule, TimeNumber,
    TimeRule,
};
use crate::{
    period::Period,
    shape::{Kinds, TextOr},
};

impl<'de> Deserialize<'de> for IdRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOr::<Self, Expression> {
            expecting: "a path, a list of paths, or { expr: \"…\" }",
            text: |path| Ok(Self::Path(path.to_owned())),
            list: Some(Self::Paths),
            map: Self::Expr,
        })
    }
}

impl<'de> Deserialize<'de> for TextRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOr::<Self, Made> {
            expecting: "a path, { const: \"…\" }, or { expr: \"…\" }",
            text: |path| Ok(Self::Path(path.to_owned())),
            list: None,
            map: Self::Made,
        })
    }
}

impl<'de> Deserialize<'de> for TimeRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOr::<Self, TimeNumber> {
            expecting: "a path, or { path: …, unit: s | ms | us }",
            text: |path| Ok(Self::Path(path.to_owned())),
            list: None,
            map: Self::Number,
        })
    }
}

impl<'de> Deserialize<'de> for Overlap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOr::<Self, Items> {
            expecting: "a length of time as `2m`, or { items: 100 }",
            text: |text| text.parse().map(Self::Period).map_err(|wrong| format!("{wrong}")),
            list: None,
            map: Self::Items,
        })
    }
}

/// `{ cursor: "…" }`, and the schema of the other forms.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct StartCursor {
    cursor: String,
}

impl<'de> Deserialize<'de> for Start {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOr::<Self, StartCursor> {
            expecting: "`now`, `earliest`, a length of time as `24h`, or { cursor: \"…\" }",
            text: |text| match text {
                "now" => Ok(Self::Now),
                "earliest" => Ok(Self::Earliest),
                other => other.parse().map(Self::Ago).map_err(|wrong| {
                    format!("expected `now`, `earliest`, a length of time or {{ cursor: \"…\" }}: {wrong}")
                }),
            },
            list: None,
            map: |start| Self::Cursor(start.cursor),
        })
    }
}

impl Serialize for Start {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Now => serializer.serialize_str("now"),
            Self::Earliest => serializer.serialize_str("earliest"),
            Self::Ago(period) => period.serialize(serializer),
            Self::Cursor(cursor) => StartCursor { cursor: cursor.clone() }.serialize(serializer),
        }
    }
}

impl JsonSchema for Start {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Start".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let cursor = generator.subschema_for::<StartCursor>();
        let period = generator.subschema_for::<Period>();
        schemars::json_schema!({
            "description": "What the first run takes",
            "anyOf": [{ "enum": ["now", "earliest"] }, period, cursor]
        })
    }
}

impl<'de> Deserialize<'de> for CursorRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::deserialize(Kinds(deserializer))
    }
}

impl Serialize for CursorRule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Pages {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::deserialize(Kinds(deserializer))
    }
}

impl Serialize for Pages {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}
