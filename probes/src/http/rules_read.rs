//! How the rules that have several shapes are read and written.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{
    cursor::CursorRule,
    pages::Pages,
    rules::{
        Expression, IdRule, Items, ItemsRule, Made, Overlap, Start, TextRule, TimeRule,
        TimeWritten, ValidatorsAge, ValidatorsRule,
    },
};
use crate::{
    period::Period,
    shape::{FlagOr, Kinds, TextOr},
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
        let rule = deserializer.deserialize_any(TextOr::<Self, Made> {
            expecting: "a path, { path: … }, { const: \"…\" }, or { expr: \"…\" }",
            text: |path| Ok(Self::Path(path.to_owned())),
            list: None,
            map: Self::Made,
        })?;
        match &rule {
            Self::Made(Made { path, constant, expr, .. })
                if [path, constant, expr].iter().filter(|way| way.is_some()).count() != 1 =>
            {
                Err(de::Error::custom("expected one of `path`, `const` and `expr`"))
            }
            _ => Ok(rule),
        }
    }
}

impl JsonSchema for TextRule {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TextRule".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let on_error = generator.subschema_for::<super::rules::OnError>();
        let way = |name: &str, what: &str| {
            schemars::json_schema!({
                "type": "object",
                "properties": {
                    name: { "type": "string", "description": what },
                    "on_error": on_error,
                },
                "required": [name],
                "additionalProperties": false
            })
        };
        schemars::json_schema!({
            "description": "A text of an item: a path to it, { path }, { const } or { expr }",
            "anyOf": [
                { "type": "string" },
                way("path", "A path to it"),
                way("const", "Always this"),
                way("expr", "An expression over `item`")
            ]
        })
    }
}

impl<'de> Deserialize<'de> for TimeRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOr::<Self, TimeWritten> {
            expecting: "a path, or { path: …, unit: s | ms | us | ns, zone: …, format: … }",
            text: |path| Ok(Self::Path(path.to_owned())),
            list: None,
            map: Self::Written,
        })
    }
}

impl<'de> Deserialize<'de> for ItemsRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(transparent)]
        struct Mapping(#[serde(with = "ItemsRule")] ItemsRule);
        deserializer.deserialize_any(TextOr::<Self, Mapping> {
            expecting: "a path, or { path: …, of: list | values | one | any, missing: fail | empty }",
            text: |path| Ok(path.into()),
            list: None,
            map: |mapping| mapping.0,
        })
    }
}

impl Serialize for ItemsRule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if *self == Self::from(self.path.as_str()) {
            serializer.serialize_str(&self.path)
        } else {
            Self::serialize(self, serializer)
        }
    }
}

impl<'de> Deserialize<'de> for ValidatorsRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FlagOr::<Self, ValidatorsAge> {
            expecting: "true, false, or { max_age: 1h }",
            flag: Self::Used,
            map: Self::Aged,
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
