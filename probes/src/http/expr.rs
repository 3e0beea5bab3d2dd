//! Expressions (minijinja) over an item, and over an answer, with a bound on their work.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use minijinja::{Environment, UndefinedBehavior, Value, context};
use serde_json::value::RawValue;

use super::{excerpt::lossy, json};

/// What expressions over an item speak of.
pub(super) const ITEM: [&str; 1] = ["item"];
/// What expressions over an answer speak of.
pub(super) const ANSWER: [&str; 3] = ["page", "status", "headers"];
/// Enough for any sensible expression, and reached in well under a millisecond.
const FUEL: u64 = 20_000;

/// Where expressions are evaluated: no templates, no functions that reach outside.
#[derive(Debug)]
pub(super) struct Expressions(Environment<'static>);

impl Expressions {
    /// For items: what is missing is an error when something is made of it.
    pub(super) fn new() -> Self {
        Self::with(UndefinedBehavior::Strict)
    }

    /// For answers: what is missing is false, so that one rule serves good and bad pages.
    pub(super) fn lenient() -> Self {
        Self::with(UndefinedBehavior::Chainable)
    }

    fn with(undefined: UndefinedBehavior) -> Self {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(undefined);
        environment.set_fuel(Some(FUEL));
        // minijinja 3.0 panics in it on a divisor of zero.
        environment.remove_test("divisibleby");
        Self(environment)
    }

    /// Whether `expression` can be read, and speaks of nothing but `known`.
    pub(super) fn check(&self, expression: &str, known: &[&str]) -> Result<(), String> {
        let read =
            self.0.compile_expression_owned(expression).map_err(|error| error.to_string())?;
        let mut names: Vec<String> = read.undeclared_variables(false).into_iter().collect();
        names.sort();
        match names.iter().find(|name| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some(name) => Err(format!(
                "`{name}` is not known: expected `{}`, as in `{}.{name}`",
                known.join("`, `"),
                known[0]
            )),
        }
    }

    /// The value of `expression` for an item, a slice of `page`: `None` when it is none or
    /// undefined.
    pub(super) fn text(
        &self,
        expression: &str,
        item: &RawValue,
        page: &Bytes,
    ) -> Result<Option<String>, String> {
        let item = json::value(item, page);
        let value = self.eval(expression, context! { item })?;
        Ok((!value.is_none() && !value.is_undefined()).then(|| value.to_string()))
    }

    /// Whether `expression` holds for an answer. A body that is no JSON is an undefined `page`.
    pub(super) fn holds(
        &self,
        expression: &str,
        status: StatusCode,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Result<bool, String> {
        let raw = std::str::from_utf8(body).ok().and_then(|text| serde_json::from_str(text).ok());
        let page = raw.map_or(Value::UNDEFINED, |raw: &RawValue| json::value(raw, body));
        let headers: Value =
            headers.iter().map(|(name, value)| (name.as_str().to_owned(), lossy(value))).collect();
        let status = status.as_u16();
        self.eval(expression, context! { status, headers, page }).map(|value| value.is_true())
    }

    fn eval(&self, expression: &str, scope: Value) -> Result<Value, String> {
        let ready = self.0.compile_expression_owned(expression);
        ready.and_then(|ready| ready.eval(scope)).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(expression: &str, item: &'static str) -> Result<Option<String>, String> {
        let page = Bytes::from_static(item.as_bytes());
        let raw = serde_json::from_str(std::str::from_utf8(&page).unwrap()).unwrap();
        Expressions::new().text(expression, raw, &page)
    }

    #[test]
    fn values_and_errors() {
        let item = r#"{"id":7,"deleted":true,"none":null,"list":[1,"b"]}"#;
        for (expression, found) in [
            ("item.id ~ '/' ~ item.id", Some("7/7")),
            ("'gone' if item.deleted else 'changed'", Some("gone")),
            ("item.none", None),
            ("item.list[1] ~ item.list|length", Some("b2")),
            ("item.list|join('+')", Some("1+b")),
            ("item.id + 1", Some("8")),
        ] {
            assert_eq!(text(expression, item), Ok(found.map(str::to_owned)), "{expression}");
        }
        assert!(text("item.missing.deeper", item).is_err());
        assert!(Expressions::new().check("item.", &ITEM).is_err());
        for (rule, unknown) in [
            ("page.error or status == 209 or headers['x']", None),
            ("error", Some("`error` is not known: expected `page`, `status`, `headers`")),
            ("page.ok == False", None),
            ("body.error and page.x", Some("as in `page.body`")),
        ] {
            let told = Expressions::lenient().check(rule, &ANSWER).err();
            assert_eq!(told.is_some(), unknown.is_some(), "{rule}: {told:?}");
            assert!(told.unwrap_or_default().contains(unknown.unwrap_or("")), "{rule}");
        }
    }

    #[test]
    fn digits_and_broken_texts_survive() {
        let item = r#"{"a":7615917337495251231,"b":12345678901234567890123456789012345678901,
            "c":0.1234567890123456789,"d":"smile \ud83d","n\ud83d":1,"e":1e400}"#;
        for (expression, found) in [
            ("item.a", "7615917337495251231"),
            ("item.b ~ ''", "12345678901234567890123456789012345678901"),
            ("item.c", "0.1234567890123456789"),
            ("item.d", "smile \u{fffd}"),
            ("item.e", "1e400"),
        ] {
            assert_eq!(text(expression, item), Ok(Some(found.to_owned())), "{expression}");
        }
    }

    #[test]
    fn answers_are_judged_with_what_is_missing_being_false() {
        let rule = "page.error or page.ok == false or status == 209 or headers['x-a'] == 'b'";
        let holds = |status: u16, body: &'static str| {
            let status = StatusCode::from_u16(status).unwrap();
            let headers = HeaderMap::new();
            Expressions::lenient().holds(
                rule,
                status,
                &headers,
                &Bytes::from_static(body.as_bytes()),
            )
        };
        for (status, body, expected) in [
            (200, r#"{"error":"x"}"#, true),
            (200, r#"{"error":null,"ok":true}"#, false),
            (200, r#"{"ok":false}"#, true),
            (200, "[]", false),
            (200, "<html>", false),
            (209, "", true),
        ] {
            assert_eq!(holds(status, body), Ok(expected), "{status} {body}");
        }
    }
}
