//! See `fuzz-entries`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| (fuzz_entries::target("telemetry_queue").run)(input));
