//! The vector files, for every integration test.
#![allow(dead_code, unreachable_pub)] // each test binary uses its own part

pub mod bus;
pub mod fake;

use serde_json::Value;

/// Reads a file of `tests/vectors`.
pub fn vectors(name: &str) -> Value {
    let path = format!("{}/tests/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The transcripts of a chip driven by ST's hosts.
pub const TRANSCRIPTS: [&str; 6] = [
    "stselib_a100.json",
    "middleware_v335_a100.json",
    "libstsafe_az3166.json",
    "stselib_a110.json",
    "middleware_v335_a110.json",
    "stselib_a100_dynamic_init.json",
];

/// A hex field.
pub fn hex(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

/// A hex field of known length.
pub fn array<const N: usize>(value: &Value) -> [u8; N] {
    hex(value).try_into().unwrap()
}

/// A list field.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

/// A number field.
pub fn number<T: TryFrom<u64>>(value: &Value) -> T
where
    T::Error: std::fmt::Debug,
{
    T::try_from(value.as_u64().unwrap()).unwrap()
}
