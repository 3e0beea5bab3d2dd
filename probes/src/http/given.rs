//! Cursors that somebody gives by hand: what no walk could start at is refused.

use serde_json::{Map, Value};

use super::{HttpProbe, cursor::CursorRule, walk::Place};

/// What a cursor of a walk may have.
const PARTS: [&str; 9] =
    ["value", "edge", "contents", "since", "validators", "refused", "announced", "config", "anew"];
const EXPECTED: &str = "expected a text or a number, as the API takes it, or a cursor as the \
    source shows it, as {\"value\":\"2026-01-31\"}";

/// Whether a walk can start at what somebody gives as a cursor: a text or a number, which is sent as
/// it stands, or an object, as a walk makes it.
///
/// # Errors
/// What is expected instead.
pub fn check_cursor(cursor: &Value) -> Result<(), String> {
    match cursor {
        Value::String(text) if !text.is_empty() => Ok(()),
        Value::Number(_) => Ok(()),
        Value::Object(parts) => check_parts(parts, cursor),
        _ => Err(EXPECTED.into()),
    }
}

fn check_parts(parts: &Map<String, Value>, cursor: &Value) -> Result<(), String> {
    if let Some(unknown) = parts.keys().find(|name| !PARTS.contains(&name.as_str())) {
        let name: String = unknown.chars().take(60).collect();
        return Err(format!("a cursor has no `{name}`: {EXPECTED}"));
    }
    // What cannot be read would be sent to the producer as a text.
    serde_json::from_str::<Place>(&cursor.to_string())
        .map(|_| ())
        .map_err(|error| format!("it is no cursor of a walk ({error}): {EXPECTED}"))
}

impl HttpProbe {
    /// As [`check_cursor`], and the cursor goes with the rule of this source.
    pub(super) fn check_given(&self, cursor: &Value) -> Result<(), String> {
        check_cursor(cursor)?;
        let place = Place::read(&cursor.to_string());
        match (&self.spec.cursor, &place.value) {
            (CursorRule::None, Some(_)) => Err("the source has no `cursor`: each walk begins at \
                the beginning of its list, and `--reset` forgets what was seen"
                .into()),
            (CursorRule::None, None) => Ok(()),
            // A walk that found nothing to start at tells at least what it was made for.
            (_, None) if place.remembers_nothing() => {
                Err(format!("`value` is missing: {EXPECTED}"))
            }
            (CursorRule::MaxField(rule), Some(value)) => rule.check_given(value),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::http::{FieldKind, LastId, MaxField, Spec, Target, Unit};

    #[test]
    fn what_no_walk_can_start_at_is_refused() {
        for good in [json!("7"), json!(7), json!({ "value": "v" }), json!({})] {
            assert_eq!(check_cursor(&good), Ok(()), "{good}");
        }
        for bad in [json!([1]), json!([{ "value": "v" }]), json!(true), json!(""), json!(null)] {
            assert!(check_cursor(&bad).is_err(), "{bad}");
        }
        for (bad, told) in [
            (json!({ "valeu": "o-3" }), "a cursor has no `valeu`"),
            (json!({ "value": "o-3", "x": 1 }), "a cursor has no `x`"),
            (json!({ "value": 7 }), "expected a string"),
            (json!({ "edge": "x" }), "no cursor of a walk"),
        ] {
            let error = check_cursor(&bad).unwrap_err();
            assert!(error.contains(told) && error.contains("as {\"value\""), "{error}");
        }
    }

    #[test]
    fn a_cursor_goes_with_the_rule_of_its_source() {
        let probe = |cursor: CursorRule| {
            let mut spec = Spec::new("https://a.example/".parse::<Target>().unwrap());
            spec.cursor = cursor;
            HttpProbe::new(spec).unwrap()
        };
        let max = |kind, unit| {
            let (path, query) = ("at".into(), Some("since".into()));
            CursorRule::MaxField(MaxField { path, kind, query, unit, ..MaxField::default() })
        };
        let last =
            || CursorRule::LastId(LastId { query: Some("after".into()), ..LastId::default() });
        for (rule, cursor, told) in [
            (last(), json!("o-3"), None),
            (last(), json!({ "value": "o-3" }), None),
            (last(), json!({ "config": "c" }), None),
            (last(), json!({}), Some("`value` is missing")),
            (last(), json!({ "refused": 1 }), Some("`value` is missing")),
            (CursorRule::None, json!({}), None),
            (CursorRule::None, json!("o-3"), Some("has no `cursor`")),
            (max(FieldKind::Number, None), json!(7), None),
            (max(FieldKind::Number, None), json!("soon"), Some("`soon` is no number")),
            (max(FieldKind::Time, None), json!("2026-01-31T12:00:00Z"), None),
            (max(FieldKind::Time, None), json!("soon"), Some("`soon` is no time")),
            (max(FieldKind::Time, Some(Unit::Ms)), json!(1_772_359_202_500_u64), None),
        ] {
            let checked = probe(rule.clone()).check_given(&cursor);
            match told {
                None => assert_eq!(checked, Ok(()), "{rule:?} {cursor}"),
                Some(told) => {
                    let error = checked.unwrap_err();
                    assert!(error.contains(told), "{rule:?} {cursor}: {error}");
                }
            }
        }
    }
}
