//! Any path on any text: `PATH\nJSON`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (path, json) = text.split_once('\n').unwrap_or(("", text));
    probes::fuzzing::path(path, json);
});
