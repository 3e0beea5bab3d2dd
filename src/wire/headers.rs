//! Attributes as headers of binary mode: how they are encoded, and how large they may be.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::{Map, Value};

use crate::event::Attributes;

/// What HTTP binding 3.1.3.2 wants encoded: all but printable ASCII, space, quote and percent.
pub(super) const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');
/// The most that one attribute may have as a header.
pub(super) const HEADER_BYTES_MAX: usize = 8 << 10;
/// The most that the attributes of one event may have as headers together.
const HEADERS_BYTES_MAX: usize = 64 << 10;
/// A byte becomes three when it is encoded.
const ENCODED_MAX: usize = 3;

/// Whether the attributes can be sent as headers, which servers bound.
///
/// # Errors
/// Names the attribute that is too large, or the largest where all together are too much; and says
/// what was expected.
pub(super) fn check(attributes: &Attributes) -> Result<(), (String, String)> {
    // Most events are far below either bound, which their text tells.
    if attributes.as_str().len() * ENCODED_MAX <= HEADER_BYTES_MAX {
        return Ok(());
    }
    let (mut all, mut largest) = (0, (0, String::new()));
    for (name, value) in attributes.read::<Map<String, Value>>().unwrap_or_default() {
        let value = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        let encoded: usize = utf8_percent_encode(&value, ENCODED).map(str::len).sum();
        let bytes = "ce-: ".len() + name.len() + encoded;
        all += bytes;
        if bytes > largest.0 {
            largest = (bytes, name);
        }
    }
    let (bytes, name) = largest;
    let problem = if bytes > HEADER_BYTES_MAX {
        format!("has {bytes} bytes as a header: expected at most {HEADER_BYTES_MAX}")
    } else if all > HEADERS_BYTES_MAX {
        format!(
            "all attributes have {all} bytes as headers, this one the most: expected at most \
             {HEADERS_BYTES_MAX}"
        )
    } else {
        return Ok(());
    };
    Err((name, problem))
}
