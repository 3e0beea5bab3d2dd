//! Expressions over an item (minijinja), with a bound on their work.

use minijinja::{Environment, UndefinedBehavior, Value, context};

/// Enough for any sensible expression, and reached in well under a millisecond.
const FUEL: u64 = 20_000;

/// Where expressions are evaluated: no templates, no functions that reach outside.
#[derive(Debug)]
pub(super) struct Expressions(Environment<'static>);

impl Expressions {
    pub(super) fn new() -> Self {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        // minijinja 3.0 panics in it on a divisor of zero.
        environment.remove_test("divisibleby");
        Self(environment)
    }

    /// Whether `expression` can be read.
    pub(super) fn check(&self, expression: &str) -> Result<(), String> {
        self.0.compile_expression_owned(expression).map(|_| ()).map_err(|error| error.to_string())
    }

    /// The value of `expression` for the item `json`: `None` when it is none or undefined.
    pub(super) fn text(&self, expression: &str, json: &str) -> Result<Option<String>, String> {
        let item: Value = serde_json::from_str(json).map_err(|error| error.to_string())?;
        let value = self
            .0
            .compile_expression_owned(expression)
            .and_then(|ready| ready.eval(context! { item }))
            .map_err(|error| error.to_string())?;
        Ok((!value.is_none() && !value.is_undefined()).then(|| value.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_errors() {
        let expressions = Expressions::new();
        let item = r#"{"id":7,"deleted":true,"none":null}"#;
        for (expression, text) in [
            ("item.id ~ '/' ~ item.id", Ok(Some("7/7".to_owned()))),
            ("'gone' if item.deleted else 'changed'", Ok(Some("gone".to_owned()))),
            ("item.none", Ok(None)),
        ] {
            assert_eq!(expressions.text(expression, item), text);
        }
        assert!(expressions.text("item.missing.deeper", item).is_err());
        assert!(expressions.check("item.").is_err());
    }
}
