//! The JSON reader: what it takes, what it refuses and where, and agreement with `serde_json` on damaged documents.
use azure_iot_common::json::{self, JsonError, JsonErrorKind, JsonStr, Object, Value};
use proptest::prelude::*;

fn kind(document: &str) -> (JsonErrorKind, usize) {
    let JsonError { kind, at } = json::parse(document.as_bytes()).expect_err(document);
    (kind, at)
}

#[test]
fn values() {
    assert_eq!(json::parse(b" null\n"), Ok(Value::Null));
    assert_eq!(json::parse(b"true"), Ok(Value::Bool(true)));
    assert_eq!(json::parse(b"false"), Ok(Value::Bool(false)));
    for number in ["0", "-0", "12", "-1.5", "1e5", "0.25E-3", "1E+2", "123456789012345678901234567890"] {
        assert_eq!(json::parse(number.as_bytes()), Ok(Value::Number(number)));
    }
    assert_eq!(Value::Number("4294967295").as_u32(), Some(u32::MAX));
    assert_eq!(Value::Null.as_str(), None);
    assert_eq!(Value::Bool(true).as_object(), None);
    assert_eq!(Value::Bool(true).as_array(), None);
}

#[test]
fn members_and_elements() {
    let document = br#" { "a" : [ 1 , "x" , { } , [ ] ] , "b" : { "a" : "inner" } , "\u0062" : null } "#;
    let object = json::parse(document).unwrap().as_object().unwrap();
    let names: Vec<_> = object.members().map(|(name, _)| name.to_string()).collect();
    assert_eq!(names, ["a", "b", "b"]);
    let array = object.members().next().unwrap().1.as_array().unwrap();
    assert_eq!(array.elements().count(), 4);
    assert_eq!(array.raw(), r#"[ 1 , "x" , { } , [ ] ]"#);
    let inner = object.members().nth(1).unwrap().1.as_object().unwrap();
    assert_eq!(inner.raw(), r#"{ "a" : "inner" }"#);
    for empty in ["[]", "[ ]", " [\n] "] {
        assert_eq!(json::parse(empty.as_bytes()).unwrap().as_array().unwrap().elements().count(), 0);
    }
    assert_eq!(json::parse(b"{ }").unwrap().as_object().unwrap().members().count(), 0);
}

#[test]
fn strings() {
    let text = |document: &'static str| json::parse(document.as_bytes()).unwrap().as_str().unwrap();
    let all = text(r#""\"\\\/\b\f\n\r\t\u00e9\uD83D\uDE00 é😀""#);
    assert!(all == "\"\\/\u{8}\u{c}\n\r\té😀 é😀");
    assert_eq!(all.to_string(), "\"\\/\u{8}\u{c}\n\r\té😀 é😀");
    let needed = all.to_string().len();
    assert_eq!(all.unescape(&mut vec![0; needed]).unwrap(), all.to_string());
    assert_eq!(
        all.unescape(&mut vec![0; needed - 1]),
        Err(azure_iot_common::Error::BufferTooSmall { needed })
    );
    assert!(text(r#""""#).is_empty());
    assert!(text(r#""abc""#) != "ab" && text(r#""ab""#) != "abc" && text(r#""abc""#) != "abd");
    assert!(text(r#""\u0061""#) == text(r#""a""#) && text(r#""a""#) != text(r#""A""#));
    assert!(text(r#""\u0041bC""#).eq_ignore_ascii_case("aBc") && !text(r#""a""#).eq_ignore_ascii_case("ab"));
    assert_eq!(text(r#""a\nb""#).raw(), r"a\nb");
}

#[test]
fn faults_and_their_places() {
    use JsonErrorKind::{BadEscape, TrailingData, UnexpectedByte, UnexpectedEnd};
    for (document, expected) in [
        ("", (UnexpectedEnd, 0)),
        ("  ", (UnexpectedEnd, 2)),
        ("nul", (UnexpectedEnd, 3)),
        ("nulL", (UnexpectedByte(b'L'), 3)),
        ("\u{feff}", (UnexpectedEnd, 3)),
        ("\u{feff}\u{feff}{}", (UnexpectedByte(0xef), 3)),
        (" \u{feff}{}", (UnexpectedByte(0xef), 1)),
        ("Nan", (UnexpectedByte(b'n'), 2)),
        ("-Inf", (UnexpectedEnd, 4)),
        ("+Infinity", (UnexpectedByte(b'+'), 0)),
        ("01", (TrailingData, 1)),
        ("+1", (UnexpectedByte(b'+'), 0)),
        (".5", (UnexpectedByte(b'.'), 0)),
        ("1.", (UnexpectedEnd, 2)),
        ("1e", (UnexpectedEnd, 2)),
        ("-", (UnexpectedEnd, 1)),
        ("[1,]", (UnexpectedByte(b']'), 3)),
        ("[,1]", (UnexpectedByte(b','), 1)),
        ("[1 2]", (UnexpectedByte(b'2'), 3)),
        ("[1}", (UnexpectedByte(b'}'), 2)),
        ("[}", (UnexpectedByte(b'}'), 1)),
        ("{]", (UnexpectedByte(b']'), 1)),
        (r#"{"a":1]"#, (UnexpectedByte(b']'), 6)),
        (r#"{"a":1,}"#, (UnexpectedByte(b'}'), 7)),
        (r#"{"a"}"#, (UnexpectedByte(b'}'), 4)),
        (r#"{"a":}"#, (UnexpectedByte(b'}'), 5)),
        (r"{a:1}", (UnexpectedByte(b'a'), 1)),
        (r"{1:1}", (UnexpectedByte(b'1'), 1)),
        (r#"{"a":1"#, (UnexpectedEnd, 6)),
        ("{} x", (TrailingData, 3)),
        ("\"a\nb\"", (UnexpectedByte(b'\n'), 2)),
        ("\"a", (UnexpectedEnd, 2)),
        (r#""\x""#, (BadEscape, 1)),
        (r#""\u12G4""#, (BadEscape, 1)),
        (r#""\uD800\u004""#, (BadEscape, 7)),
        (r#""\"#, (UnexpectedEnd, 2)),
    ] {
        assert_eq!(kind(document), expected, "{document}");
    }
    assert_eq!(json::parse(b"\"\xff\""), Err(JsonError { kind: JsonErrorKind::InvalidUtf8, at: 1 }));
}

/// Whole numbers, in the forms that JavaScript, Python, C#, Java, Go, PHP and hand-made printers write them.
#[test]
fn whole_numbers_in_every_form() {
    for (text, expected) in [
        ("1000", Some(1000)),
        ("1000.0", Some(1000)),
        ("1000.000000000000000000000000", Some(1000)),
        ("1e3", Some(1000)),
        ("1E+3", Some(1000)),
        ("1.0e3", Some(1000)),
        ("0.1e4", Some(1000)),
        ("100000e-2", Some(1000)),
        ("1000e0", Some(1000)),
        ("0.001E6", Some(1000)),
        ("0", Some(0)),
        ("-0", Some(0)),
        ("-0.0", Some(0)),
        ("0e999999999999999999999", Some(0)),
        ("0e-999999999999999999999", Some(0)),
        ("4294967295", Some(4_294_967_295)),
        ("9007199254740993", Some(9_007_199_254_740_993)),
        ("1.8446744073709551615E19", Some(u64::MAX)),
        ("18446744073709551615", Some(u64::MAX)),
        ("18446744073709551616", None),
        ("1e20", None),
        ("1e999999999999999999999", None),
        ("1e-1", None),
        ("1000.5", None),
        ("1e-999999999999999999999", None),
        ("-1", None),
        ("NaN", None),
        ("Infinity", None),
        ("-Infinity", None),
    ] {
        let value = json::parse(text.as_bytes()).unwrap();
        assert_eq!(value.as_u64(), expected, "{text}");
        assert_eq!(value.as_u32(), expected.and_then(|value| value.try_into().ok()), "{text}");
    }
    for (text, expected) in [
        ("-1e3", Some(-1000)),
        ("-9223372036854775808", Some(i64::MIN)),
        ("-9223372036854775809", None),
        ("9223372036854775807.0", Some(i64::MAX)),
        ("9223372036854775808", None),
        ("-0", Some(0)),
    ] {
        assert_eq!(json::parse(text.as_bytes()).unwrap().as_i64(), expected, "{text}");
    }
    for odd in ["", "-", ".", ".5", "e3", "1x", "+1", "1e3x", "0x10"] {
        assert_eq!(Value::Number(odd).as_i64(), None, "{odd}");
    }
    assert_eq!(json::parse(b"\"1000\"").unwrap().as_u32(), None);
}

#[test]
fn what_other_writers_make() {
    // A byte order mark: .NET's UTF-8 encoder. Halves of surrogate pairs: Python and JavaScript. NaN: Python.
    let document = "\u{feff}\r\n{\"a\":NaN,\"b\":[-Infinity,Infinity],\"c\":\"\\ud800x\\udc00\\uD83D\\uDE00\\ud83d\",\"a\":2}\r\n";
    let object = json::parse(document.as_bytes()).unwrap().as_object().unwrap();
    assert_eq!(object.get("a").unwrap().as_u32(), Some(2), "the last of a name counts");
    assert_eq!(object.members().next().unwrap().1, Value::Number("NaN"));
    assert_eq!(object.get("b").unwrap().as_array().unwrap().elements().count(), 2);
    assert!(object.get("c").unwrap().as_str().unwrap() == "\u{fffd}x\u{fffd}😀\u{fffd}");
    assert_eq!(object.get("d"), None);
    assert_eq!(Object::EMPTY.members().count(), 0);
    for sent in ["\u{feff}{}", "[NaN]", "Infinity", "-Infinity", "{\"a\":1,}"] {
        assert!(json::check(sent.as_bytes()).is_err(), "{sent}");
    }
    assert_eq!(json::check(br#" {"a":[1e3,null]} "#), Ok(()));
}

#[test]
fn any_depth_without_a_stack() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    for depth in [1, 31, 32, 33, 34, 100, 1_000_000] {
        assert!(json::parse(nested(depth).as_bytes()).is_ok(), "{depth}");
        let cut = nested(depth);
        assert_eq!(kind(&cut[..cut.len() - 1]).0, JsonErrorKind::UnexpectedEnd);
    }
    // Below the levels that are looked at there may be anything; entered, it is read like the rest.
    let deep = format!(r#"{{"a":{}{{"x":"]}}\\\"","y":[7]}}{},"b":1}}"#, "[".repeat(40), "]".repeat(40));
    let object = json::parse(deep.as_bytes()).unwrap().as_object().unwrap();
    assert_eq!(object.get("b").unwrap().as_u32(), Some(1));
    let mut value = object.get("a").unwrap();
    while let Some(array) = value.as_array() {
        value = array.elements().next().unwrap();
    }
    let inner = value.as_object().unwrap();
    assert!(inner.get("x").unwrap().as_str().unwrap() == "]}\\\"");
    assert_eq!(inner.get("y").unwrap().as_array().unwrap().elements().count(), 1);
    // Every mixture of the two kinds closes in its own order.
    for pattern in 0..256u32 {
        let kinds: Vec<_> = (0..8).map(|bit| pattern >> bit & 1 == 1).collect();
        let open: String = kinds.iter().map(|object| if *object { r#"{"a":"# } else { "[" }).collect();
        let close: String = kinds.iter().rev().map(|object| if *object { "}" } else { "]" }).collect();
        assert!(json::parse(format!("{open}0{close}").as_bytes()).is_ok());
        let wrong: String = kinds.iter().map(|object| if *object { "}" } else { "]" }).collect();
        assert_eq!(json::parse(format!("{open}0{wrong}").as_bytes()).is_ok(), wrong == close);
    }
}

/// Whether `serde_json` takes the document as well; `None` where its rules differ by design: numbers that do not fit
/// its types, halves of surrogate pairs, depth.
fn reference(document: &[u8]) -> Option<Result<serde_json::Value, ()>> {
    const BY_DESIGN: [&str; 4] =
        ["number out of range", "lone leading surrogate", "unexpected end of hex escape", "recursion limit"];
    match serde_json::from_slice(document) {
        Ok(value) => Some(Ok(value)),
        Err(error) if BY_DESIGN.iter().any(|text| error.to_string().contains(text)) => None,
        Err(_) => Some(Err(())),
    }
}

/// The document read with our reader, as a `serde_json` value.
fn convert(value: Value<'_>) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(bool) => bool.into(),
        Value::Number(number) => serde_json::from_str(number).unwrap(),
        Value::String(text) => text.to_string().into(),
        Value::Array(array) => array.elements().map(convert).collect(),
        Value::Object(object) => {
            let member = |(name, value): (JsonStr<'_>, _)| (name.to_string(), convert(value));
            serde_json::Value::Object(object.members().map(member).collect())
        }
    }
}

fn agree(document: &[u8]) {
    let Some(reference) = reference(document) else { return };
    match (json::parse(document), reference) {
        (Ok(ours), Ok(theirs)) => assert_eq!(convert(ours), theirs),
        (Err(error), Ok(_)) => panic!("{error}: {}", String::from_utf8_lossy(document)),
        (Err(error), Err(())) => assert!(error.at <= document.len()),
        (Ok(_), Err(())) => {
            assert!(json::check(document).is_err(), "taken: {}", String::from_utf8_lossy(document));
        }
    }
}

const SAMPLE: &str = r#"{"operationId":"5.a","status":"assigned","n":[-1.5e+3,0,true,false,null,[],{}],
    "registrationState":{"deviceId":"d\u00e9\uD83D\uDE00\n","x":{"deviceId":"no"},"é":"\"\\\/"}} "#;

#[test]
fn every_truncation_and_every_changed_byte() {
    let sample = SAMPLE.as_bytes();
    agree(sample);
    for end in 0..sample.len() {
        agree(&sample[..end]);
    }
    for at in 0..sample.len() {
        let mut changed = sample.to_vec();
        for byte in 0..=255 {
            changed[at] = byte;
            agree(&changed);
        }
    }
}

proptest! {
    #[test]
    fn damaged_documents(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3u8), 1..6)) {
        let mut document = SAMPLE.as_bytes().to_vec();
        for (at, byte, what) in edits {
            let at = at.index(document.len());
            match what {
                0 => document[at] = byte,
                1 => document.insert(at, byte),
                _ => drop(document.remove(at)),
            }
        }
        agree(&document);
    }

    #[test]
    fn texts_of_json_characters(document in r#"[\[\]{}":,0-9a-f\\ntrueals .eE+\-u]{0,40}"#) {
        agree(document.as_bytes());
    }

    #[test]
    fn any_string_comes_back(text in any::<String>()) {
        let document = serde_json::to_string(&text).unwrap();
        let ours = json::parse(document.as_bytes()).unwrap().as_str().unwrap();
        prop_assert!(ours == text.as_str());
        prop_assert_eq!(ours.to_string(), text);
    }
}
