//! Settings of how a time is written: checked when the configuration is read.

use jiff::tz::TimeZone;

use super::error::SpecError;
use crate::moment::{Unit, check_read_format, check_sent_format};

/// What in `format`, `zone` and `unit` of one rule cannot be used.
pub(super) fn check(
    field: &'static str,
    format: Option<&str>,
    zone: Option<&str>,
    unit: Option<Unit>,
) -> Result<(), SpecError> {
    let wrong = |problem: String| Err(SpecError { field, problem });
    if let Some(zone) = zone
        && TimeZone::get(zone).is_err()
    {
        return wrong(format!("`zone: {zone}`: expected a name as `Europe/Berlin` or `UTC`"));
    }
    let Some(format) = format else { return Ok(()) };
    if unit.is_some() {
        return wrong("expected one of `unit` (a number) and `format` (a text)".into());
    }
    if matches!(format, "unix" | "unix_ms") {
        return Ok(());
    }
    check_read_format(format)
        .and_then(|()| check_sent_format(format))
        .or_else(|error| wrong(format!("`format: {format}`: {error}")))
}
