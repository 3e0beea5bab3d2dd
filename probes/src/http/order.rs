//! How the values of a cursor's field are compared.

use std::cmp::Ordering;

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

use super::rules::FieldKind;

/// Whether `text` can be compared as `kind`.
pub(super) fn readable(kind: FieldKind, text: &str) -> bool {
    match kind {
        FieldKind::Time => moment(text).is_some(),
        FieldKind::Number => text.parse::<f64>().is_ok_and(f64::is_finite),
        FieldKind::Text => true,
    }
}

/// Compares two readable values.
pub(super) fn compare(kind: FieldKind, a: &str, b: &str) -> Ordering {
    match kind {
        FieldKind::Time => moment(a).cmp(&moment(b)),
        FieldKind::Text => a.cmp(b),
        FieldKind::Number => {
            if let (Ok(a), Ok(b)) = (a.parse::<i128>(), b.parse::<i128>()) {
                return a.cmp(&b);
            }
            let number = |text: &str| text.parse::<f64>().unwrap_or(f64::NAN);
            number(a).total_cmp(&number(b))
        }
    }
}

/// A moment in RFC 3339; one without a zone is in UTC.
pub(super) fn moment(text: &str) -> Option<Timestamp> {
    text.parse().ok().or_else(|| {
        let local: DateTime = text.parse().ok()?;
        Some(local.to_zoned(TimeZone::UTC).ok()?.timestamp())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_compare_by_their_kind() {
        for (kind, less, more) in [
            (FieldKind::Time, "2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000001Z"),
            (FieldKind::Time, "2026-01-01T02:00:00+02:00", "2026-01-01T00:00:01"),
            (FieldKind::Number, "9", "10"),
            (FieldKind::Number, "9007199254740993", "9007199254740994"),
            (FieldKind::Number, "1.5", "2"),
            (FieldKind::Text, "10", "9"),
        ] {
            assert!(readable(kind, less) && readable(kind, more));
            assert_eq!(compare(kind, less, more), Ordering::Less, "{less} {more}");
        }
        assert!(!readable(FieldKind::Time, "yesterday"));
        assert!(!readable(FieldKind::Number, "x"));
        assert!(!readable(FieldKind::Number, "NaN"));
    }
}
