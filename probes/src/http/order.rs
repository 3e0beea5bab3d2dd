//! How the values of a cursor's field are compared.

use std::cmp::Ordering;

use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    moment::{Moment, Reading},
    number,
};

/// How the values of a field are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FieldKind {
    /// As moments.
    #[default]
    Time,
    /// As numbers.
    Number,
    /// As texts, byte by byte.
    Text,
}

/// Whether `text` can be compared as `kind`.
pub(super) fn readable(kind: FieldKind, text: &str) -> bool {
    match kind {
        FieldKind::Time => moment(text).is_some(),
        FieldKind::Number => number::is_number(text),
        FieldKind::Text => true,
    }
}

/// Compares two readable values; numbers by all of their digits.
pub(super) fn compare(kind: FieldKind, a: &str, b: &str) -> Ordering {
    match kind {
        FieldKind::Time => moment(a).cmp(&moment(b)),
        FieldKind::Text => a.cmp(b),
        FieldKind::Number => {
            number::compare(a, b).unwrap_or_else(|| number::is_number(a).cmp(&number::is_number(b)))
        }
    }
}

/// A moment, as [`Moment::read`] has it; one without a zone is in UTC.
pub(super) fn moment(text: &str) -> Option<Moment> {
    Moment::read(text, &Reading { zone: Some(TimeZone::UTC), format: None }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_compare_by_their_kind() {
        for (kind, less, more) in [
            (FieldKind::Time, "2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000001Z"),
            (FieldKind::Time, "2026-01-01T02:00:00+02:00", "2026-01-01T00:00:01"),
            (FieldKind::Time, "2026-03-01 12:00:00 +0100", "20260301T120000Z"),
            (FieldKind::Time, "2026-03-01", "2026-03-01T00:00:00.5Z"),
            (FieldKind::Time, "9999-12-31T23:59:58Z", "9999-12-31T23:59:59Z"),
            (FieldKind::Number, "9", "10"),
            (FieldKind::Number, "9007199254740993", "9007199254740994"),
            (FieldKind::Number, "1.5", "2"),
            (FieldKind::Number, "18446744073709551616", "18446744073709551617"),
            (FieldKind::Number, "0.1234567890123456788", "0.1234567890123456789"),
            (FieldKind::Number, "1.415335333E9", "1415335334"),
            (FieldKind::Number, "-1E400", "1e-400"),
            (FieldKind::Text, "10", "9"),
        ] {
            assert!(readable(kind, less) && readable(kind, more));
            assert_eq!(compare(kind, less, more), Ordering::Less, "{less} {more}");
        }
        assert!(!readable(FieldKind::Time, "yesterday"));
        assert!(!readable(FieldKind::Time, "01/02/2026"));
        assert_eq!(compare(FieldKind::Number, "1e3", "1000.0"), Ordering::Equal);
        assert_eq!(moment("9999-12-31T23:59:59Z").unwrap().nanos(), 253_402_300_799_000_000_000);
        assert!(!readable(FieldKind::Number, "x"));
        assert!(!readable(FieldKind::Number, "NaN"));
    }
}
