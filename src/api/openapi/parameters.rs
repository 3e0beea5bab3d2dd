//! What the parameters of paths and queries may be. A name means the same wherever it stands, so that
//! it is said once.

use utoipa::{
    PartialSchema as _, ToSchema as _,
    openapi::{
        ObjectBuilder, Ref, RefOr, Schema,
        path::{Operation, ParameterIn},
        schema::Type,
    },
};

use super::forms::{self, PositionText};
use crate::{
    api::query::LIMIT_MAX,
    event::Name,
    key::KeyId,
    series,
    settings::forms::{PeriodText, text},
    store::DeadReason,
};

/// Says of each parameter of an operation what it may be.
pub(super) fn describe(operation: &mut Operation, path: &str) {
    for parameter in operation.parameters.iter_mut().flatten() {
        let RefOr::T(parameter) = parameter else { continue };
        if let Some(schema) = schema(path, &parameter.parameter_in, &parameter.name) {
            parameter.schema = Some(schema);
        }
    }
}

/// What a parameter may be; `None`: what its type says.
fn schema(path: &str, place: &ParameterIn, name: &str) -> Option<RefOr<Schema>> {
    let is_read = path.ends_with("/events");
    Some(match (place, name) {
        (ParameterIn::Path, "id") if path.starts_with("/v1/keys") => KeyId::schema(),
        (ParameterIn::Path, "id") => forms::number(1, Some(i64::MAX)).into(),
        (ParameterIn::Path, "name" | "topic") | (ParameterIn::Query, "topic") => Name::schema(),
        (ParameterIn::Path, "version") | (ParameterIn::Header, "Last-Event-ID") => {
            PositionText::schema()
        }
        (ParameterIn::Query, "after" | "at" | "up_to") if is_read => PositionText::schema(),
        // A stream may be of any length.
        (ParameterIn::Query, "limit") if is_read => forms::number(1, None).into(),
        (ParameterIn::Query, "limit") => forms::number(1, i64::try_from(LIMIT_MAX).ok()).into(),
        (ParameterIn::Query, "name") if path == "/v1/series" => {
            ObjectBuilder::new().schema_type(Type::String).enum_values(Some(series::names())).into()
        }
        (ParameterIn::Query, "label") => {
            text("A label of the metric and its value", "^[a-z_]+=", "subscription=billing")
        }
        (ParameterIn::Query, "from" | "to") => forms::version().into(),
        (ParameterIn::Query, "status") => forms::number(100, Some(599)).into(),
        (ParameterIn::Query, "since") => forms::moment().into(),
        (ParameterIn::Query, "wait" | "step") => PeriodText::schema(),
        (ParameterIn::Query, "reason") => Ref::from_schema_name(DeadReason::name()).into(),
        (ParameterIn::Query, "ids") => {
            text("Numbers with commas between", "^[0-9]{1,18}(,[0-9]{1,18})*$", "1,2,3")
        }
        (ParameterIn::Query, "type" | "key" | "source" | "name") => {
            ObjectBuilder::new().schema_type(Type::String).into()
        }
        _ => return None,
    })
}
