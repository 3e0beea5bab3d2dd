//! Any `Link` header, and any link resolved against a page.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(header) = std::str::from_utf8(data) {
        probes::fuzzing::links(header);
    }
});
