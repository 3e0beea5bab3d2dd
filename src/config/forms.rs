//! What the JSON Schema says of values whose type does not tell it.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::json;

/// What a name must be like.
const NAME: &str = "^[a-z0-9][a-z0-9._-]{0,99}$";

/// A name of a topic, source or subscription.
pub(super) fn name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "anyOf": [{ "type": "string", "pattern": NAME }, { "type": "integer", "minimum": 0 }] })
}

/// The keys of a mapping are names.
pub(super) fn named(schema: &mut Schema) {
    schema.insert("propertyNames".into(), json!({ "pattern": NAME }));
}

/// A text, which may be written as a number or `true`.
pub(super) fn scalar(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": ["string", "number", "boolean"] })
}

/// Where a subscription begins.
pub(super) fn start(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "anyOf": [
            { "enum": ["latest", "earliest"] },
            { "type": "integer", "minimum": 1 },
            { "type": "string", "pattern": "^([0-9]*[1-9][0-9]*|[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ].+)$" }
        ],
        "description": "`latest`, `earliest`, a version, or a time (RFC 3339)"
    })
}
