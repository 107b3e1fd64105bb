//! The published test vectors: a document with `cases`, each with an operation `op` and a `class`.

use serde_json::Value;

/// The cases of an operation; there is at least one.
pub fn cases(file: &str, op: &str) -> Vec<Value> {
    let document: Value = serde_json::from_str(file).expect("vectors are JSON");
    let cases = document["cases"].as_array().expect("vectors have cases");
    let found: Vec<Value> = cases.iter().filter(|case| case["op"] == op).cloned().collect();
    assert!(!found.is_empty(), "no case of {op}");
    found
}

/// A member that is text.
pub fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no `{name}` in {value}"))
}

/// Whether the answer must be the same, byte for byte.
pub fn is_normative(case: &Value) -> bool {
    case["class"] == "normative"
}
