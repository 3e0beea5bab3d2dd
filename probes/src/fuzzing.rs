//! What the fuzz targets in `fuzz/` call: each takes any text or bytes, and holds what must hold.
//!
//! Compiled for them only (`cfg(fuzzing)`).

use std::{cmp::Ordering, time::Duration};

use bytes::Bytes;
use jiff::tz::TimeZone;

use crate::{
    Budget,
    extract::{Fields, Path},
    http::fuzzing as http,
    moment::{Moment, Reading, Unit},
    number,
};

/// Finds `path` in `json`, and reads the fields of what is there.
pub fn path(path: &str, json: &str) {
    let path = Path::new(path);
    if let Ok(Some(found)) = path.find(json) {
        assert!(json.contains(found.get()), "what is found is a slice of the text");
        let _ = Fields::of(found).names();
    }
    if let Some(items) = path.elements(json, 100) {
        assert!(items.len() <= 100);
    }
}

/// Reads `header` as a `Link` header, and resolves what it leads to.
pub fn links(header: &str) {
    http::links(header);
}

/// Reads `text` as a time; what leaves must be read again, and be the same.
pub fn time(format: &str, text: &str) {
    for zone in [None, Some(TimeZone::UTC)] {
        for format in [None, Some(format.to_owned())] {
            let reading = Reading { zone: zone.clone(), format };
            if let Ok(moment) = Moment::read(text, &reading) {
                let sent = moment.rfc3339();
                let again = Moment::read(&sent, &Reading::default()).expect("it is RFC 3339");
                assert_eq!(again.nanos(), moment.nanos(), "{sent}");
            }
        }
    }
}

/// Compares two texts as decimals, and reads the first as a number of each unit.
pub fn numbers(a: &str, b: &str) {
    let (forth, back) = (number::compare(a, b), number::compare(b, a));
    assert_eq!(forth, back.map(Ordering::reverse));
    for unit in [Unit::S, Unit::Ms, Unit::Us, Unit::Ns] {
        if let Ok(moment) = Moment::of_number(a, unit) {
            let sent = moment.rfc3339();
            Moment::read(&sent, &Reading::default()).expect("it is RFC 3339");
        }
    }
}

/// Fetches `data` as an answer whose labels its first byte picks.
pub fn body(data: &[u8]) {
    let Some((label, body)) = data.split_first() else { return };
    let body = Bytes::copy_from_slice(body);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let budget = Budget::new(64 << 20);
    let fetched = http::fetch(*label, body, &budget, Duration::from_secs(5));
    runtime.expect("a runtime of one thread").block_on(fetched);
    assert_eq!(budget.held_bytes(), 0, "the memory is given back");
}
