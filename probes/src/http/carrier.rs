//! How a value reaches the producer: in a query parameter, a header, a field of the body, or in the
//! place of `{cursor}` or `{page}` in what is configured.

use serde_json::Value;

use super::error::SpecError;
use crate::extract::Path;

/// A rule's settings `query`, `header` and `body`, at most one of which may be set.
pub(super) type Carriers<'a> = [&'a Option<String>; 3];

/// Where one value goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carrier<'a> {
    /// Into this query parameter.
    Query(&'a str),
    /// Into this request header.
    Header(&'a str),
    /// Into this field of the JSON body.
    Body(&'a str),
}

impl<'a> Carrier<'a> {
    /// Of a rule's settings; `None` when the value goes into the places left for it.
    pub(super) fn of([query, header, body]: Carriers<'a>) -> Option<Self> {
        match (query, header, body) {
            (Some(name), ..) => Some(Self::Query(name)),
            (_, Some(name), _) => Some(Self::Header(name)),
            (.., Some(name)) => Some(Self::Body(name)),
            _ => None,
        }
    }
}

/// What is wrong with a rule's settings: `needed` when a value that is not sent is of no use, and
/// `place` is what may stand in braces for it.
pub(super) fn check(
    field: &'static str,
    carriers: Carriers<'_>,
    needed: bool,
    place: &str,
) -> Result<(), SpecError> {
    let wrong = |problem: String| Err(SpecError { field, problem });
    if carriers.iter().filter(|setting| setting.is_some()).count() > 1 {
        return wrong("expected one of `query`, `header` and `body`".into());
    }
    match Carrier::of(carriers) {
        None if needed => wrong(format!(
            "expected `query`, `header` or `body`, or `{{{place}}}` in `url`, `query`, `headers` \
             or `body`: else the value is never sent"
        )),
        Some(Carrier::Header(name)) if http::HeaderName::try_from(name).is_err() => {
            wrong(format!("`header: {name}` is no name of a header"))
        }
        _ => Ok(()),
    }
}

/// Sets a field of a JSON body, making the objects on the way.
pub(super) fn put(body: &mut Value, path: &str, value: Value) {
    let path = Path::new(path);
    let mut place = body;
    for name in path.segments() {
        if !place.is_object() {
            *place = Value::Object(serde_json::Map::new());
        }
        let fields = place.as_object_mut().expect("made an object above");
        place = fields.entry(name.clone()).or_insert(Value::Null);
    }
    *place = value;
}

/// Puts the values of `fill` into the places of a body. A text that is nothing but a place whose
/// value is missing takes its field with it.
pub(super) fn fill(body: &Value, values: &[(&str, Option<&str>)]) -> Option<Value> {
    Some(match body {
        Value::String(text) => {
            let alone = |(name, value): &&(&str, Option<&str>)| {
                value.is_none() && *text == format!("{{{name}}}")
            };
            if values.iter().any(|value| alone(&value)) {
                return None;
            }
            Value::String(filled(text, values))
        }
        Value::Array(items) => {
            Value::Array(items.iter().filter_map(|item| fill(item, values)).collect())
        }
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .filter_map(|(name, field)| Some((name.clone(), fill(field, values)?)))
                .collect(),
        ),
        other => other.clone(),
    })
}

/// A text with values in the places left for them; a missing value leaves nothing.
pub(super) fn filled(text: &str, values: &[(&str, Option<&str>)]) -> String {
    let mut text = text.to_owned();
    for (name, value) in values {
        text = text.replace(&format!("{{{name}}}"), value.unwrap_or_default());
    }
    text
}

/// Whether a text has a place for `name`.
pub(super) fn has_place(text: &str, name: &str) -> bool {
    text.contains(&format!("{{{name}}}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn bodies_take_values() {
        let mut body = json!({"query": "q", "variables": {"first": 5}});
        put(&mut body, "variables.after", json!("x"));
        put(&mut body, "/a.b/c", json!(2));
        assert_eq!(
            body,
            json!({"query": "q", "variables": {"first": 5, "after": "x"}, "a.b": {"c": 2}})
        );
        let body = json!({"after": "{cursor}", "text": "from {cursor} on", "page": ["{page}"]});
        let values = [("cursor", None), ("page", Some("2"))];
        assert_eq!(fill(&body, &values), Some(json!({"text": "from  on", "page": ["2"]})));
    }
}
