//! The JSON reader and percent-encoding. The reader must agree with `serde_json` on every document.

use azure_iot_common::json::{self, JsonErrorKind, JsonStr, MAX_DEPTH, Value};
use azure_iot_common::percent;

pub(crate) fn run(input: &[u8]) {
    document(input);
    let mut encoded = vec![0; percent::encoded_len(input)];
    let encoded = percent::encode(input, &mut encoded).expect("the length was asked for");
    let mut decoded = vec![0; input.len()];
    assert_eq!(percent::decode(encoded, &mut decoded), Ok(input));
    if let Ok(text) = std::str::from_utf8(input) {
        let mut out = vec![0; text.len()];
        let good = percent::Decoder::new(text).all(|byte| byte.is_ok());
        assert_eq!(percent::decode(text, &mut out).is_ok(), good);
    }
}

fn document(input: &[u8]) {
    let theirs: Result<serde_json::Value, _> = serde_json::from_slice(input);
    match (json::parse(input), theirs) {
        (Ok(ours), Ok(theirs)) => assert_eq!(convert(&ours), theirs),
        (Ok(_), Err(error)) => {
            // Numbers that do not fit its types; names that a map cannot hold twice are no error to either.
            assert!(error.to_string().contains("number out of range"), "only we take it: {error}");
        }
        (Err(error), Ok(theirs)) => {
            assert!(error.kind == JsonErrorKind::TooDeep && depth(&theirs) > MAX_DEPTH, "{error}");
        }
        (Err(error), Err(_)) => assert!(error.at <= input.len()),
    }
}

fn depth(value: &serde_json::Value) -> u32 {
    match value {
        serde_json::Value::Array(array) => 1 + array.iter().map(depth).max().unwrap_or(0),
        serde_json::Value::Object(object) => 1 + object.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn text(string: JsonStr<'_>) -> String {
    let mut out = vec![0; string.raw().len()];
    let text = string.unescape(&mut out).expect("never longer than its raw form").to_owned();
    assert!(string == text.as_str());
    text
}

fn convert(value: &Value<'_>) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(bool) => (*bool).into(),
        Value::Number(number) => serde_json::from_str(number).expect("a number both take"),
        Value::String(string) => text(*string).into(),
        Value::Array(array) => array.elements().map(|element| convert(&element)).collect(),
        Value::Object(object) => serde_json::Value::Object(
            object.members().map(|(name, value)| (text(name), convert(&value))).collect(),
        ),
    }
}
