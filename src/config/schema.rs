//! The JSON Schema of the file, for editors: it judges a file's form as the parser does, and accepts a
//! reference to a variable where the parser does.

use serde_json::{Map, Value, json};

use super::File;

/// The schema of the whole file.
pub(super) fn of_file() -> Value {
    let mut schema = schemars::schema_for!(File).to_value();
    let needy = needy(&schema);
    loosen(&mut schema, &needy);
    if let Some(definitions) = schema.get_mut("$defs").and_then(Value::as_object_mut) {
        let variable = json!({
            "type": "string",
            "pattern": r"\$\{",
            "description": "With ${NAME} or ${NAME:-default} from the environment"
        });
        definitions.insert("Variable".into(), variable);
    }
    schema
}

/// The definitions of mappings that must have something: `null` is none of them.
fn needy(schema: &Value) -> Vec<String> {
    let definitions = schema["$defs"].as_object().into_iter().flatten();
    let needs =
        definitions.filter(|(_, one)| one["type"] != "object" || !one["required"].is_null());
    needs.map(|(name, _)| format!("#/$defs/{name}")).collect()
}

/// Accepts what the parser does beyond the types.
fn loosen(schema: &mut Value, needy: &[String]) {
    let Some(parts) = schema.as_object_mut() else { return };
    if is_choice(parts) || is_typed(parts) {
        let exact = std::mem::take(parts);
        parts.insert("anyOf".into(), json!([exact, { "$ref": "#/$defs/Variable" }]));
        return;
    }
    for (name, part) in parts.iter_mut() {
        match (name.as_str(), part) {
            ("properties" | "$defs", Value::Object(each)) => {
                for one in each.values_mut() {
                    if name == "properties" {
                        as_text(one);
                        or_nothing(one, needy);
                    }
                    loosen(one, needy);
                }
            }
            ("anyOf" | "oneOf" | "allOf", Value::Array(each)) => {
                for one in each {
                    loosen(one, needy);
                }
            }
            ("items" | "additionalProperties", one) => {
                as_text(one);
                loosen(one, needy);
            }
            _ => {}
        }
    }
}

/// One of several words.
fn is_choice(parts: &Map<String, Value>) -> bool {
    let words = parts.get("oneOf").and_then(Value::as_array);
    words.is_some_and(|words| words.iter().all(|word| word.get("const").is_some()))
}

/// Neither any text, nor a list or a mapping.
fn is_typed(parts: &Map<String, Value>) -> bool {
    let typed = ["integer", "number", "boolean"];
    let kinds =
        parts.get("type").map(|kinds| kinds.as_array().cloned().unwrap_or(vec![kinds.clone()]));
    let kinds = kinds.unwrap_or_default();
    let has = |word: &str| kinds.iter().any(|kind| kind == word);
    parts.contains_key("enum")
        || parts.contains_key("const")
        || (has("string") && parts.contains_key("pattern"))
        || (!has("string") && typed.into_iter().any(has))
}

/// A text may be written as a number or `true`.
fn as_text(schema: &mut Value) {
    let Some(parts) = schema.as_object_mut() else { return };
    if parts.contains_key("pattern") || parts.contains_key("enum") || parts.contains_key("const") {
        return;
    }
    match parts.get_mut("type") {
        Some(Value::String(kind)) if kind == "string" => {
            parts.insert("type".into(), json!(["string", "number", "boolean"]));
        }
        Some(Value::Array(kinds))
            if kinds.iter().any(|kind| kind == "string") && kinds.len() == 2 =>
        {
            kinds.extend([json!("number"), json!("boolean")]);
        }
        _ => {}
    }
}

/// A list, or a mapping all of which may be left out, may be left out itself behind its name.
fn or_nothing(schema: &mut Value, needy: &[String]) {
    let Some(parts) = schema.as_object_mut() else { return };
    if let Some(kind) = parts.get_mut("type").filter(|kind| *kind == "array" || *kind == "object") {
        *kind = json!([kind, "null"]);
        return;
    }
    let optional = parts.get("$ref").and_then(Value::as_str).map(str::to_owned);
    let Some(reference) = optional.filter(|name| !needy.contains(name)) else { return };
    parts.remove("$ref");
    parts.insert("anyOf".into(), json!([{ "$ref": reference }, { "type": "null" }]));
}
