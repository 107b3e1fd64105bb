//! Reading vector files.
#![allow(dead_code, unreachable_pub, reason = "each test program uses its own part")]

use serde_json::Value;
use std::path::PathBuf;

/// Path of a file below `tests/vectors`.
pub(crate) fn vector_path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name)
}

/// A JSON file below `tests/vectors`.
pub(crate) fn vectors(name: &str) -> Value {
    let path = vector_path(name);
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The elements of a JSON array.
pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("not a list: {value}"))
}

/// A JSON string.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a string: {value}"))
}

/// A number, written as a JSON number or as decimal text.
pub(crate) fn number(value: &Value) -> usize {
    value
        .as_u64()
        .or_else(|| value.as_str()?.parse().ok())
        .and_then(|number| number.try_into().ok())
        .unwrap_or_else(|| panic!("not a number: {value}"))
}

/// Bytes written as hexadecimal text.
pub(crate) fn hex(value: &Value) -> Vec<u8> {
    hex::decode(text(value)).unwrap_or_else(|error| panic!("{error}: {value}"))
}

/// Exactly `N` bytes written as hexadecimal text.
pub(crate) fn hex_array<const N: usize>(value: &Value) -> [u8; N] {
    hex(value).try_into().unwrap_or_else(|_| panic!("not {N} bytes: {value}"))
}
