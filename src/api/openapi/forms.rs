//! What the document says of names, places and numbers whose type does not tell their form.

use std::borrow::Cow;

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat,
        schema::{AnyOfBuilder, Type},
    },
};

use crate::{
    event::{Name, TopicPattern, Version},
    key::KeyId,
    settings::forms::text,
};

/// A version or a cursor: of more digits than a topic ever has none is spoken.
const POSITION: &str = "^([0-9a-f]{8}-)?[0-9]{1,12}$";

/// Says what a type's text is like: `NAME: TYPE, description, pattern, example`.
macro_rules! texts {
    ($($name:literal: $type:ty, $description:literal, $pattern:expr, $example:literal;)+) => {$(
        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                text($description, $pattern, $example)
            }
        }

        impl ToSchema for $type {
            fn name() -> Cow<'static, str> {
                $name.into()
            }
        }
    )+};
}

/// A position in a path or a query.
pub(in crate::api) enum PositionText {}

texts! {
    "Name": Name, "The name of a topic, source or subscription",
        "^[a-z0-9][a-z0-9._-]{0,99}$", "orders";
    "TopicPattern": TopicPattern, "A topic, or a pattern in which `*` stands for one character or more",
        "^[a-z0-9*][a-z0-9._*-]{0,99}$", "billing.*";
    "KeyId": KeyId, "The public part of a key", "^[a-z0-9-]{1,40}$", "3f9a1c2b7d";
    "Position": PositionText, "A version, or a cursor as the relay gives it", POSITION, "0a1b2c3d-42";
}

/// A position in a body, where a version may be a number.
pub(in crate::api) enum PositionValue {}

fn position() -> RefOr<Schema> {
    text("A version or a cursor", POSITION, "0a1b2c3d-42")
}

impl PartialSchema for PositionValue {
    fn schema() -> RefOr<Schema> {
        AnyOfBuilder::new().item(position()).item(version()).into()
    }
}

impl ToSchema for PositionValue {}

/// A moment in RFC 3339.
pub(in crate::api) fn moment() -> ObjectBuilder {
    let format = SchemaFormat::KnownFormat(KnownFormat::DateTime);
    ObjectBuilder::new().schema_type(Type::String).format(Some(format))
}

/// A whole number.
pub(in crate::api) fn number(least: i64, most: Option<i64>) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(least)).maximum(most)
}

/// The number of a version.
pub(in crate::api) fn version() -> ObjectBuilder {
    number(0, Some(Version::MAX.0.cast_signed()))
}

/// Where a subscription begins or is moved to: what [`PositionText`] is, a word or a moment.
pub(in crate::api) fn place() -> RefOr<Schema> {
    let words =
        ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["latest", "earliest"]));
    AnyOfBuilder::new()
        .description(Some("`latest`, `earliest`, a version, a cursor or a time"))
        .item(words)
        .item(position())
        .item(moment())
        .item(version())
        .into()
}
