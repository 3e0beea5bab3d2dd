//! What the OpenAPI document says of texts whose type does not tell their form.

use std::borrow::Cow;

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, schema::Type},
};

use super::Rate;

/// A text of one form, which a regular expression tells.
#[must_use]
pub(crate) fn text(description: &str, pattern: &str, example: &str) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description))
        .pattern(Some(pattern))
        .examples([example])
        .into()
}

/// A [`probes::period::Period`], of which that crate cannot say it.
#[derive(Debug)]
pub(crate) enum PeriodText {}

impl PartialSchema for PeriodText {
    fn schema() -> RefOr<Schema> {
        let description = "A length of time, as `500ms`, `30s`, `2m`, `24h` or `30d`";
        text(description, "^[0-9]{1,9} *(ms|s|m|h|d)$", "30s")
    }
}

impl ToSchema for PeriodText {
    fn name() -> Cow<'static, str> {
        "Period".into()
    }
}

impl PartialSchema for Rate {
    fn schema() -> RefOr<Schema> {
        let description = "So many in a second, a minute or an hour, at most 1,000,000";
        text(description, "^0*([1-9][0-9]{0,5}|1000000)/[smh]$", "100/s")
    }
}

impl ToSchema for Rate {}
