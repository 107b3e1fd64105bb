//! The JSON reader and percent-encoding. The reader must agree with `serde_json` on every document.

use azure_iot_common::json::{self, JsonStr, Value};
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

/// Faults that `serde_json` finds where the reader goes on: numbers that do not fit its types, halves of surrogate
/// pairs, depth.
const BY_DESIGN: [&str; 4] =
    ["number out of range", "lone leading surrogate", "unexpected end of hex escape", "recursion limit"];

fn document(input: &[u8]) {
    let theirs: Result<serde_json::Value, _> = serde_json::from_slice(input);
    match (json::parse(input), theirs) {
        (Ok(ours), Ok(theirs)) => assert_eq!(convert(&ours), theirs),
        (Ok(_), Err(error)) => {
            // Or a byte order mark, NaN and Infinity, which are not for sending.
            let known = BY_DESIGN.iter().any(|text| error.to_string().contains(text));
            assert!(known || json::check(input).is_err(), "only we take it: {error}");
        }
        (Err(error), Ok(_)) => panic!("only they take it: {error}"),
        (Err(error), Err(_)) => assert!(error.at <= input.len()),
    }
    if let Ok(Value::Object(object)) = json::parse(input) {
        for (name, value) in object.members() {
            let _ = (value.as_i64(), value.as_u32(), text(name));
        }
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
