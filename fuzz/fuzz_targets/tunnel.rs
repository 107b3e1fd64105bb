//! See `fuzz-entries`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| (fuzz_entries::target("tunnel").run)(input));
