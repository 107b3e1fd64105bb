//! The published vectors for direct methods, twin and Plug and Play, made with Microsoft's C library; see
//! `vectors.rs` for how they are used.

use azure_iot_common::json::{self, Object, Value as Read};
use iothub_mqtt::json::Value as Write;
use iothub_mqtt::method::{MAX_RESPONSE_TOPIC, ReplyTo, Request};
use iothub_mqtt::pnp::{Acknowledgement, Report, properties};
use iothub_mqtt::twin::{self, Document, MAX_TOPIC, Message};
use iothub_mqtt::{Error, method};
use iothub_mqtt_test_support::vectors::{cases, is_normative, text};
use serde_json::Value;

/// The operations that this file and `vectors.rs` run.
const OPERATIONS: [&str; 14] = [
    "c2d_parse",
    "command_parse",
    "hub_client_id",
    "hub_username",
    "hub_username_cap",
    "method_parse",
    "method_response_topic",
    "pnp_read",
    "pnp_write",
    "property_bag",
    "telemetry_topic",
    "twin_get_topic",
    "twin_parse",
    "twin_patch_topic",
];

#[test]
fn no_operation_is_left_out() {
    let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors")).unwrap();
    let mut found = std::collections::BTreeSet::new();
    for path in folder.map(|entry| entry.unwrap().path()).filter(|path| {
        // Those of `vectors_certificates.rs` have a form of their own.
        path.extension().is_some_and(|e| e == "json") && !path.ends_with("hub_certificates.json")
    }) {
        let set: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let cases = set["cases"].as_array().unwrap();
        assert_eq!(set["count"], cases.len());
        found.extend(cases.iter().map(|case| text(case, "op").to_owned()));
    }
    assert!(found.iter().eq(&OPERATIONS), "{found:?}");
}

const METHODS: &str = include_str!("vectors/hub_methods.json");
const TWIN: &str = include_str!("vectors/hub_twin.json");
const PNP: &str = include_str!("vectors/hub_pnp.json");

#[test]
fn method_topics() {
    let mut accepted = 0;
    for case in cases(METHODS, "method_parse") {
        match Request::parse(text(&case["in"], "topic"), b"{}") {
            Ok(request) => {
                accepted += 1;
                assert_eq!(request.name, text(&case["out"], "name"), "{case}");
                if is_normative(&case) {
                    assert_eq!(request.request_id, text(&case["out"], "request_id"));
                }
                assert_eq!(ReplyTo::new(request.request_id), Ok(request.reply_to()));
            }
            Err(error) => {
                assert!(matches!(error, Error::BadTopic(_)));
                assert!(!is_normative(&case), "{case}");
            }
        }
    }
    // Six normative; doubtful but harmless: `*cmd`, `comp*`, `na%20me`, a slash in the name, and a second field in the
    // query.
    assert_eq!(accepted, 11);
    let long = format!("$iothub/methods/POST/m/?$rid={}", "1".repeat(65));
    assert!(Request::parse(&long, b"").is_err());
    assert!(Request::parse(&long[..long.len() - 1], b"").is_ok());
    assert_eq!(Request::parse("$iothub/methods/POST/a/b/?x&%24rid=1&$rid=2", b"").unwrap().name, "a/b");
}

#[test]
fn commands() {
    for case in cases(METHODS, "command_parse") {
        let Ok(request) = Request::parse(text(&case["in"], "topic"), b"") else {
            assert!(!is_normative(&case), "{case}");
            continue;
        };
        let (component, command) = request.command();
        assert_eq!(component.unwrap_or(""), text(&case["out"], "component"), "{case}");
        assert_eq!(command, text(&case["out"], "command"), "{case}");
    }
}

#[test]
fn method_responses() {
    for case in cases(METHODS, "method_response_topic") {
        let to = ReplyTo::new(text(&case["in"], "request_id")).unwrap();
        let status = case["in"]["status"].as_i64().unwrap().try_into().unwrap();
        let mut buffer = [0; MAX_RESPONSE_TOPIC];
        assert_eq!(to.topic(status, &mut buffer).unwrap(), text(&case["out"], "value"));
    }
    let longest = ReplyTo::new(&"i".repeat(method::MAX_REQUEST_ID)).unwrap();
    let mut buffer = [0; MAX_RESPONSE_TOPIC];
    assert_eq!(longest.topic(i32::MIN, &mut buffer).unwrap().len(), MAX_RESPONSE_TOPIC);
    assert_eq!(
        longest.topic(i32::MIN, &mut buffer[1..]),
        Err(Error::BufferTooSmall { needed: MAX_RESPONSE_TOPIC })
    );
    assert!(ReplyTo::new("").is_err());
    assert!(ReplyTo::new(&"i".repeat(method::MAX_REQUEST_ID + 1)).is_err());
}

#[test]
fn twin_topics() {
    type Topic = fn(&str, &mut [u8]) -> Result<usize, Error>;
    let get: Topic = |id, out| twin::get_topic(id, out).map(str::len);
    let report: Topic = |id, out| twin::report_topic(id, out).map(str::len);
    for (op, topic) in [("twin_get_topic", get), ("twin_patch_topic", report)] {
        for case in cases(TWIN, op) {
            let id = text(&case["in"], "request_id");
            let mut buffer = [0; MAX_TOPIC];
            match topic(id, &mut buffer) {
                Ok(length) => assert_eq!(&buffer[..length], text(&case["out"], "value").as_bytes()),
                // One vector has an id of 100 characters; ours are counters.
                Err(error) => assert!(matches!(error, Error::Invalid { at: 65.., .. }), "{error}"),
            }
        }
    }
    let mut buffer = [0; MAX_TOPIC];
    assert_eq!(
        twin::report_topic(&"i".repeat(twin::MAX_REQUEST_ID), &mut buffer).map(str::len),
        Ok(MAX_TOPIC)
    );
}

#[test]
fn twin_messages() {
    for case in cases(TWIN, "twin_parse") {
        let out = &case["out"];
        let parsed = Message::parse(text(&case["in"], "topic"), b"");
        if !is_normative(&case) {
            // Some are well-formed: the fields of a query in another order, unusual statuses. A change is one, whatever
            // its topic lacks; without a version the whole twin tells.
            let topic = text(&case["in"], "topic");
            let unversioned = topic.starts_with("$iothub/twin/PATCH/properties/desired");
            assert_eq!(matches!(parsed, Ok(Message::Unversioned { .. })), unversioned, "{case}");
            let fine = unversioned
                || topic.contains("?a=b&$rid=1")
                || topic.ends_with("res/100/?$rid=1")
                || topic.ends_with("res/302/?$rid=1");
            assert_eq!(parsed.is_ok(), fine, "{case}");
            continue;
        }
        match parsed.unwrap() {
            Message::Answer(answer) => {
                assert_eq!(u64::from(answer.status), out["status"].as_u64().unwrap());
                assert_eq!(answer.request_id, text(out, "request_id"));
                let version = answer.version.map(|version| version.to_string()).unwrap_or_default();
                assert_eq!(version, text(out, "version"));
                assert_eq!(answer.is_success(), text(out, "type") != "error");
                let retry = text(&case["in"], "topic").contains("retry-after=3").then_some(3);
                assert_eq!(answer.retry_after_s, retry);
            }
            Message::Desired(desired) => {
                assert_eq!(text(out, "type"), "desired");
                assert_eq!(desired.version.to_string(), text(out, "version"));
            }
            Message::Unversioned { .. } => panic!("{case}"),
        }
    }
    for (hints, version, retry_after_s) in [
        ("&$version=", None, None),
        ("&$version=x", None, None),
        ("&$version=1&%24VERSION=2", Some(1), None),
        ("&$version=18446744073709551616", None, None),
        ("&retry-after=", None, None),
        ("&Retry-After=7.1", None, Some(8)),
        ("&retry-after=4294967296&$version=3", Some(3), None),
    ] {
        let topic = format!("$iothub/twin/res/200/?$rid=1{hints}");
        let Ok(Message::Answer(answer)) = Message::parse(&topic, b"") else { panic!("{topic}") };
        assert_eq!((answer.version, answer.retry_after_s), (version, retry_after_s), "{topic}");
    }
    for bad in [
        "$iothub/twin/res/600/?$rid=1",
        "$iothub/twin/res/65736/?$rid=1",
        "$iothub/twin/PATCH/properties/desiredx",
    ] {
        assert!(Message::parse(bad, b"").is_err(), "{bad}");
    }
    for odd in ["?$version=-1", "?$version=+1", "?$version=", "?", "", "x"] {
        let topic = format!("$iothub/twin/PATCH/properties/desired/{odd}");
        assert!(matches!(Message::parse(&topic, b"[]"), Ok(Message::Unversioned { .. })), "{topic}");
    }
}

#[test]
fn versions_in_the_body() {
    for (body, version) in [
        ("{\"$version\":1e1}", Some(10)),
        ("{\"$version\":\"1\"}", None),
        ("{}", None),
        ("[]", None),
        ("{", None),
    ] {
        assert_eq!(
            twin::Desired::from_body(body.as_bytes()).map(|desired| desired.version),
            version,
            "{body}"
        );
    }
}

/// What nobody asks for may be anything; numbers have any form; a section may be missing.
#[test]
fn twins_as_other_writers_make_them() {
    let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
    for odd in [
        "null",
        "7",
        "NaN",
        "\"\\ud800\"",
        "[]",
        "{}",
        deep.as_str(),
        "1e999",
        "{\"$version\":1,\"$version\":2}",
    ] {
        let text = format!(
            "\u{feff}{{\"x\":{odd},\"reported\":{odd},\"desired\":{{\"a\":{odd},\"$metadata\":{odd},\"$version\":1.2e1}},\"y\":{odd}}}"
        );
        let document = Document::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(document.version(), 12, "{text}");
        assert_eq!(properties(&document.desired(), &[]).count(), 1);
    }
    for (text, version) in
        [("{}", 0), (r#"{"desired":null}"#, 0), (r#"{"desired":{"a":1,"$version":"3"}}"#, 0)]
    {
        assert_eq!(Document::parse(text.as_bytes()).unwrap().version(), version, "{text}");
    }
    for text in ["", "[]", "{", r#"{"desired":[]}"#, r#"{"desired":7}"#] {
        assert!(Document::parse(text.as_bytes()).is_err(), "{text}");
    }
}

fn kind(value: &Read<'_>) -> (&'static str, String) {
    match value {
        Read::Null => ("null", "null".into()),
        Read::Bool(true) => ("true", "true".into()),
        Read::Bool(false) => ("false", "false".into()),
        Read::Number(number) => ("number", (*number).into()),
        Read::String(string) => ("string", string.raw().into()),
        Read::Array(array) => ("array", array.raw().into()),
        Read::Object(object) => ("object", object.raw().into()),
    }
}

#[test]
fn reading_properties() {
    for case in cases(PNP, "pnp_read") {
        let (input, out) = (&case["in"], &case["out"]);
        let document = text(input, "json").as_bytes();
        let whole = text(input, "message") == "get";
        let reported = text(input, "section") == "reported";
        let section: Option<(Object<'_>, Option<u64>)> = if whole {
            Document::parse(document).ok().and_then(|document| {
                let section = if reported { document.reported()? } else { document.desired() };
                Some((section, Some(document.version())))
            })
        } else {
            json::parse(document).ok().and_then(|value| value.as_object()).map(|o| (o, twin::version(&o)))
        };
        let Some((section, version)) = section else {
            assert!(!is_normative(&case), "{case}");
            continue;
        };
        if is_normative(&case) {
            assert_eq!(version, out["version"].as_u64(), "{case}");
        }
        let components: Vec<&str> =
            input["components"].as_array().unwrap().iter().map(|c| c.as_str().unwrap()).collect();
        let found: Vec<Value> = properties(&section, &components)
            .map(|property| {
                let (kind, raw) = kind(&property.value);
                serde_json::json!({
                    "component": property.component.map(|c| c.to_string()).unwrap_or_default(),
                    "name": property.name.to_string(),
                    "kind": kind,
                    "raw": raw,
                })
            })
            .collect();
        // The library stops at a component without properties and at one that is no object; and it takes null for a
        // section.
        if case["in"]["json"] == r#"{"desired":null,"reported":null}"# {
            assert!(found.is_empty() && !is_normative(&case));
        } else if out["complete"] == true {
            assert_eq!(found, *out["props"].as_array().unwrap(), "{case}");
        } else {
            assert!(!is_normative(&case), "{case}");
        }
    }
    // A component that is set to null, or replaced, is a property like any other.
    let value = json::parse(br#"{"c":null,"d":{},"$version":4}"#).unwrap().as_object().unwrap();
    let found: Vec<_> = properties(&value, &["c", "d"]).collect();
    assert_eq!(found.len(), 1);
    assert!(found[0].component.is_none() && found[0].name == "c" && found[0].value == Read::Null);
    assert_eq!(twin::version(&value), Some(4));
}

#[test]
fn writing_properties() {
    for case in cases(PNP, "pnp_write") {
        let input = &case["in"];
        let mut buffer = [0; 256];
        let mut report = Report::new(&mut buffer);
        if !text(input, "component").is_empty() {
            report.begin_component(text(input, "component")).unwrap();
        }
        let value = Write::Raw(text(input, "value_json"));
        if text(input, "kind") == "ack" {
            let acknowledgement = Acknowledgement {
                status: input["ac"].as_i64().unwrap().try_into().unwrap(),
                version: input["av"].as_i64().unwrap(),
                description: text(input, "ad"),
            };
            report.acknowledge(text(input, "property"), value, acknowledgement).unwrap();
        } else {
            report.property(text(input, "property"), value).unwrap();
        }
        let made: Value = serde_json::from_str(report.finish().unwrap()).unwrap();
        let wanted: Value = serde_json::from_str(text(&case["out"], "value")).unwrap();
        assert_eq!(made, wanted);
    }
}

#[test]
fn a_report_of_everything() {
    let write = |out: &mut [u8]| -> Result<String, Error> {
        let mut report = Report::new(out);
        report.property("null", Write::Null)?;
        report.property("yes", true)?;
        report.property("no", false)?;
        report.property("min", i64::MIN)?;
        report.property("text", "a\"b\\c\n\r\t\u{1}\u{1f}ü€😀\u{7f}")?;
        report.property("list", Write::Raw("[1, 2.5e3]"))?;
        report.begin_component("a")?;
        report.begin_component("b")?;
        report.property("n", 7)?;
        report.finish().map(String::from)
    };
    let mut buffer = [0; 512];
    let made: Value = serde_json::from_str(&write(&mut buffer).unwrap()).unwrap();
    let wanted = serde_json::json!({
        "null": null, "yes": true, "no": false, "min": i64::MIN,
        "text": "a\"b\\c\n\r\t\u{1}\u{1f}ü€😀\u{7f}", "list": [1, 2.5e3],
        "a": {"__t": "c"}, "b": {"__t": "c", "n": 7},
    });
    assert_eq!(made, wanted);
    let needed = write(&mut buffer).unwrap().len();
    for size in 0..needed {
        assert_eq!(write(&mut buffer[..size]), Err(Error::BufferTooSmall { needed }));
    }
    let mut report = Report::new(&mut buffer);
    for bad in ["", "a.b", "a$", "a b", "a\n", &"n".repeat(1025)] {
        assert!(matches!(report.property(bad, 1), Err(Error::Invalid { what: "property name", .. })));
        assert!(report.begin_component(bad).is_err());
    }
    for bad in ["", "1,", "{", "nul", "1}", "\"a\":1"] {
        let mut report = Report::new(&mut buffer);
        assert!(matches!(report.property("p", Write::Raw(bad)), Err(Error::Json(_))), "{bad}");
    }
}
