//! Any bytes as the body of an answer, under any label: the first bytes pick the labels.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| probes::fuzzing::body(data));
