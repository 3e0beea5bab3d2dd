//! `SETTING=VALUE`: any setting of a subscription, by the path that it has in the file.

use serde_json::{Map, Value};

/// A setting and what it becomes.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::cli) struct Setting {
    path: Vec<String>,
    value: Value,
}

impl Setting {
    /// Reads `a.b=VALUE`; the value is JSON, or else a text.
    ///
    /// # Errors
    /// What was expected.
    pub(in crate::cli) fn parse(text: &str) -> Result<Self, String> {
        let (path, value) = text.split_once('=').ok_or("expected a setting, `=` and a value")?;
        let path: Vec<String> = path.trim().split('.').map(ToOwned::to_owned).collect();
        if path.iter().any(String::is_empty) {
            return Err("expected the name of a setting before `=`, as retry.max_attempts".into());
        }
        let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
        Ok(Self { path, value })
    }
}

/// Puts settings into a request's body.
///
/// # Errors
/// Names the setting that is inside of one that is no object.
pub(in crate::cli) fn all(
    body: &mut Map<String, Value>,
    settings: Vec<Setting>,
) -> Result<(), String> {
    for Setting { path, value } in settings {
        let Some((last, groups)) = path.split_last() else { continue };
        let mut object = &mut *body;
        for group in groups {
            let inner = object.entry(group).or_insert_with(|| Map::new().into());
            let wrong = || format!("`{}`: `{group}` is given a value of its own", path.join("."));
            object = inner.as_object_mut().ok_or_else(wrong)?;
        }
        object.insert(last.clone(), value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_are_named_by_their_path() {
        let given =
            ["order=key", "retry.max_attempts=3", "retry.jitter=0.1", "batch=null", "a=b=c"];
        let mut body = Map::new();
        all(&mut body, given.iter().map(|text| Setting::parse(text).unwrap()).collect()).unwrap();
        let expected = json!({
            "order": "key", "retry": { "max_attempts": 3, "jitter": 0.1 }, "batch": null, "a": "b=c",
        });
        assert_eq!(Value::Object(body), expected);
        for wrong in ["order", "=key", "retry..max=1", ""] {
            assert!(Setting::parse(wrong).is_err(), "{wrong}");
        }
        let clash = ["retry=5", "retry.jitter=1"].map(|text| Setting::parse(text).unwrap());
        let refused = all(&mut Map::new(), clash.into()).unwrap_err();
        assert!(refused.contains("`retry.jitter`"), "{refused}");
    }
}
