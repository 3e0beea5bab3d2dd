//! Any text as a time, with and without a zone and a format: `FORMAT\nTEXT`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (format, text) = text.split_once('\n').unwrap_or(("", text));
    probes::fuzzing::time(format, text);
});
