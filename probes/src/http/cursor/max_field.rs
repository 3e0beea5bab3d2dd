//! `cursor: max_field`: the next walk starts at the largest value of a field.
//!
//! Values are kept as the producer wrote them and sent back so, unless `unit`, `format` or `zone`
//! say how they are written: then they are kept as RFC 3339 and written anew.

use std::borrow::Cow;

use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::CursorKind;
use crate::{
    Listed,
    extract::{Fields, Path, scalar},
    http::{
        carrier::Carriers,
        error::SpecError,
        excerpt::excerpt,
        order::{FieldKind, moment, readable},
        times,
    },
    moment::{Moment, MomentError, Reading, Unit},
    schema::at_most_one,
};

/// Parameters of `max_field`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = at_most_one(&["query", "header", "body"]))]
#[serde(deny_unknown_fields)]
pub struct MaxField {
    /// Where it is in the item.
    pub path: String,
    /// How values are compared.
    #[serde(default)]
    pub kind: FieldKind,
    /// The query parameter that takes it; without a carrier the list is only read up to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// The request header that takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// The field of the JSON body that takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Of a time that is a number: what it counts since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    /// How a time is written to the producer, as `%Y-%m-%d %H:%M`, and perhaps in the items; `unix`
    /// and `unix_ms` are numbers of seconds and milliseconds. With `unit` the items have numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// The time zone of a time without one, as `Europe/Berlin`; times are sent in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
}

impl MaxField {
    /// Whether times are written anew when they are sent.
    fn rewrites(&self) -> bool {
        self.kind == FieldKind::Time
            && (self.unit.is_some() || self.format.is_some() || self.zone.is_some())
    }

    fn time_zone(&self) -> Option<TimeZone> {
        TimeZone::get(self.zone.as_deref()?).ok()
    }

    /// The value of an item's field; or why there is none.
    pub(in crate::http) fn value(
        &self,
        path: &Path,
        fields: &Fields<'_>,
    ) -> Result<String, String> {
        let Some(value) = path.of(fields).and_then(scalar) else {
            let names = fields.names();
            return Err(format!("`{path}` finds nothing; the item has {names}"));
        };
        if self.rewrites() {
            let read = self.read(&value);
            return read
                .map(|moment| moment.rfc3339())
                .map_err(|error| format!("`{path}`: {error}"));
        }
        if readable(self.kind, &value) {
            Ok(value.into_owned())
        } else {
            let given = excerpt(value.as_bytes(), 60);
            let kind = format!("{:?}", self.kind).to_lowercase();
            Err(format!("`{path}` is {given}: expected a {kind}"))
        }
    }

    /// Whether values can be compared with one that somebody gives.
    pub(in crate::http) fn check_given(&self, value: &str) -> Result<(), String> {
        let timed = self.rewrites() && (moment(value).is_some() || self.read(value).is_ok());
        if timed || readable(self.kind, value) {
            return Ok(());
        }
        let kind = format!("{:?}", self.kind).to_lowercase();
        let given = excerpt(value.as_bytes(), 60);
        Err(format!("`{given}` is no {kind}, as `cursor.max_field` with `kind: {kind}` compares"))
    }

    fn read(&self, text: &str) -> Result<Moment, MomentError> {
        let number = match (self.unit, self.format.as_deref()) {
            (Some(unit), _) => Some(unit),
            (None, Some("unix")) => Some(Unit::S),
            (None, Some("unix_ms")) => Some(Unit::Ms),
            _ => None,
        };
        if let Some(unit) = number {
            return Moment::of_number(text, unit);
        }
        let reading = Reading { zone: self.time_zone(), format: self.format.clone() };
        Moment::read(text, &reading)
    }
}

impl CursorKind for MaxField {
    fn carriers(&self) -> Option<Carriers<'_>> {
        Some([&self.query, &self.header, &self.body])
    }

    fn sent(&self, value: &str) -> String {
        let Some(moment) = moment(value).filter(|_| self.rewrites()) else {
            return value.to_owned();
        };
        let format = match (self.format.as_deref(), self.unit) {
            (Some(format), _) => Some(Cow::Borrowed(format)),
            (None, Some(Unit::S)) => Some("unix".into()),
            (None, Some(Unit::Ms)) => Some("unix_ms".into()),
            (None, Some(Unit::Us)) => return (moment.nanos().div_euclid(1_000)).to_string(),
            (None, Some(Unit::Ns)) => return moment.nanos().to_string(),
            (None, None) => None,
        };
        moment.in_format(format.as_deref(), self.time_zone().as_ref())
    }

    fn is_number(&self) -> bool {
        self.kind == FieldKind::Number || self.unit.is_some()
    }

    fn remembers_all(&self) -> bool {
        true
    }

    fn covers_only_seen(&self, listed: Listed) -> bool {
        listed == Listed::OldestFirst
    }

    fn check(&self) -> Result<(), SpecError> {
        let timed = self.unit.is_some() || self.format.is_some() || self.zone.is_some();
        if timed && self.kind != FieldKind::Time {
            let problem = "`unit`, `format` and `zone` need `kind: time`".into();
            return Err(SpecError { field: "cursor.max_field", problem });
        }
        // Unlike a `time`, which is only read, a cursor may be read as a number and sent as a text.
        let unit = self.unit.filter(|_| self.format.is_none());
        times::check("cursor.max_field", self.format.as_deref(), self.zone.as_deref(), unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_may_be_sent_as_a_text() {
        let rule = MaxField {
            unit: Some(Unit::Ms),
            format: Some("%Y-%m-%dT%H:%M:%S".into()),
            ..MaxField::default()
        };
        assert_eq!(rule.check(), Ok(()));
        let read = rule.read("1772359202500").unwrap().rfc3339();
        assert_eq!(rule.sent(&read), "2026-03-01T10:00:02");
        let wrong = MaxField { format: Some("%Q%".into()), ..rule };
        assert!(wrong.check().is_err());
    }
}
