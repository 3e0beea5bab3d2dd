//! Cursors as an operator gives and sees them: JSON.

use serde_json::Value;

use crate::store::Steer;

/// What starts the next walk at `cursor`; at `null` as at the first run.
///
/// # Errors
/// No walk can start there: what is expected instead.
pub fn start_at(cursor: &Value) -> Result<Steer, String> {
    if cursor.is_null() {
        return Ok(Steer::Reset(probes::http::reset));
    }
    probes::http::check_cursor(cursor).map(|()| Steer::Cursor(cursor.to_string()))
}

/// A stored cursor or report; `null` where there is none.
#[must_use]
pub fn shown(stored: Option<&str>) -> Value {
    stored.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}
