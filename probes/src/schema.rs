//! What the JSON Schema of a file says beyond the types: of which settings only one may be there.

use schemars::Schema;
use serde_json::{Map, Value, json};

/// At most one of these properties may be set; `null` is as good as none.
pub fn at_most_one(names: &'static [&'static str]) -> impl FnMut(&mut Schema) {
    move |schema| {
        let mut pairs = Vec::new();
        for (at, one) in names.iter().enumerate() {
            pairs.extend(names[at + 1..].iter().map(|other| set(&[one, other])));
        }
        schema.insert("not".into(), json!({ "anyOf": pairs }));
    }
}

/// Exactly one of these properties must be set; `null` is as good as none.
pub fn exactly_one(names: &'static [&'static str]) -> impl FnMut(&mut Schema) {
    move |schema| {
        let each: Vec<Value> = names.iter().map(|name| set(&[name])).collect();
        schema.insert("oneOf".into(), each.into());
    }
}

/// All of these are there, and none is `null`.
fn set(names: &[&str]) -> Value {
    let given = names.iter().map(|name| ((*name).to_owned(), json!({ "not": { "type": "null" } })));
    json!({ "required": names, "properties": given.collect::<Map<_, _>>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_as_good_as_none() {
        let mut schema = schemars::json_schema!({ "type": "object" });
        at_most_one(&["a", "b", "c"])(&mut schema);
        let given = json!({ "not": { "type": "null" } });
        let pair = |one: &str, other: &str| json!({ "required": [one, other], "properties": { one: given, other: given } });
        let pairs = json!({ "anyOf": [pair("a", "b"), pair("a", "c"), pair("b", "c")] });
        assert_eq!(schema.get("not"), Some(&pairs));
        exactly_one(&["a"])(&mut schema);
        let one = json!([{ "required": ["a"], "properties": { "a": given } }]);
        assert_eq!(schema.get("oneOf"), Some(&one));
    }
}
