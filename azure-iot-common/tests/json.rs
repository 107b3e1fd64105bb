//! The JSON reader: what it takes, what it refuses and where, and agreement with `serde_json` on damaged documents.
use azure_iot_common::json::{self, JsonError, JsonErrorKind, JsonStr, MAX_DEPTH, Value};
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
    for odd in ["4294967296", "-1", "1.0", "1e2", ""] {
        assert_eq!(Value::Number(odd).as_u32(), None);
    }
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
        ("\u{feff}{}", (UnexpectedByte(0xef), 0)),
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
        (r#""\uD800""#, (UnexpectedByte(b'"'), 7)),
        (r#""\uD800\n""#, (BadEscape, 1)),
        (r#""\uD800\u0041""#, (BadEscape, 1)),
        (r#""\uDC00""#, (BadEscape, 1)),
        (r#""\"#, (UnexpectedEnd, 2)),
    ] {
        assert_eq!(kind(document), expected, "{document}");
    }
    assert_eq!(json::parse(b"\"\xff\""), Err(JsonError { kind: JsonErrorKind::InvalidUtf8, at: 1 }));
}

#[test]
fn depth_is_bounded_without_a_stack() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let max = MAX_DEPTH as usize;
    assert!(json::parse(nested(max).as_bytes()).is_ok());
    assert_eq!(kind(&nested(max + 1)), (JsonErrorKind::TooDeep, max));
    assert_eq!(kind(&"[".repeat(10_000_000)).0, JsonErrorKind::TooDeep);
    let objects = format!("{}1{}", r#"{"a":"#.repeat(max), "}".repeat(max));
    assert!(json::parse(objects.as_bytes()).is_ok());
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

/// Whether `serde_json` takes the document as well; `None` where its rules differ by design (numbers that do not fit
/// its types).
fn reference(document: &[u8]) -> Option<Result<serde_json::Value, ()>> {
    match serde_json::from_slice(document) {
        Ok(value) => Some(Ok(value)),
        Err(error) if error.to_string().contains("number out of range") => None,
        Err(_) => Some(Err(())),
    }
}

fn depth(value: &serde_json::Value) -> u32 {
    match value {
        serde_json::Value::Array(array) => 1 + array.iter().map(depth).max().unwrap_or(0),
        serde_json::Value::Object(object) => 1 + object.values().map(depth).max().unwrap_or(0),
        _ => 0,
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
        (Err(error), Ok(theirs)) => {
            assert!(error.kind == JsonErrorKind::TooDeep && depth(&theirs) > MAX_DEPTH, "{error}");
        }
        (Err(error), Err(())) => assert!(error.at <= document.len()),
        (Ok(_), Err(())) => panic!("taken: {}", String::from_utf8_lossy(document)),
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
