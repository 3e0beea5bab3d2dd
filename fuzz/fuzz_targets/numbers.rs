//! Any two texts compared as decimals, and as numbers of seconds: `A\nB`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (a, b) = text.split_once('\n').unwrap_or(("", text));
    probes::fuzzing::numbers(a, b);
});
