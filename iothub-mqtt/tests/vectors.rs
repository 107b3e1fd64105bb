//! The published vectors for topics and connection data, made with Microsoft's C library.
//!
//! `normative` cases must come out the same, byte for byte. `peer` cases are malformed or doubtful: ours may be
//! stricter, and where it differs from that library the test says how.
#![allow(clippy::cast_possible_truncation)]

use iothub_mqtt::c2d::Message;
use iothub_mqtt::endpoint::{MAX_CLIENT_ID, MAX_USER_NAME};
use iothub_mqtt::property::{Encoded, Properties};
use iothub_mqtt::telemetry::Telemetry;
use iothub_mqtt::{Announcement, Endpoint, Error};
use iothub_mqtt_test_support::vectors::{cases, is_normative, text};
use serde_json::Value;

fn decoded(text: &str) -> String {
    let mut out = vec![0; text.len()];
    String::from_utf8(azure_iot_common::percent::decode(text, &mut out).unwrap().to_vec()).unwrap()
}

fn endpoint<'a>(input: &'a Value, host: &'a str) -> Result<Endpoint<'a>, Error> {
    let endpoint = Endpoint::new(host, text(input, "device_id"))?;
    match text(input, "module_id") {
        "" => Ok(endpoint),
        module => endpoint.with_module(module),
    }
}

const CONNECT: &str = include_str!("vectors/hub_connect.json");
const TELEMETRY: &str = include_str!("vectors/hub_telemetry.json");
const C2D: &str = include_str!("vectors/hub_c2d.json");

#[test]
fn user_names() {
    let mut strict = 0;
    for case in cases(CONNECT, "hub_username") {
        let input = &case["in"];
        // That library takes product info already encoded, and has one of its own.
        let product = decoded(input["product_info"].as_str().unwrap_or("azsdk-c%2F1.6.0-beta.1"));
        let made = (|| {
            let endpoint = endpoint(input, text(input, "hostname"))?;
            let mut announcement = Announcement::default().with_api_version(text(input, "api_version"))?;
            if !product.is_empty() {
                announcement = announcement.with_product_info(&product)?;
            }
            if !text(input, "model_id").is_empty() {
                announcement = announcement.with_model_id(text(input, "model_id"))?;
            }
            let mut buffer = [0; MAX_USER_NAME];
            endpoint.user_name(&announcement, &mut buffer).map(String::from)
        })();
        // One product in the vectors has lower-case digits in its encoding.
        let wanted = text(&case["out"], "value").replace("%2f", "%2F");
        match made {
            Ok(made) if product.contains(' ') && !made.contains("native") => {
                assert_ne!(made, wanted, "a space must not go out raw");
            }
            Ok(made) => assert_eq!(made, wanted, "{case}"),
            Err(error) => {
                assert!(!is_normative(&case), "{case}: {error}");
                assert!(matches!(error, Error::Invalid { .. }));
                strict += 1;
            }
        }
    }
    assert_eq!(strict, 25);
}

#[test]
fn client_ids() {
    for case in cases(CONNECT, "hub_client_id") {
        let made = endpoint(&case["in"], "hub").and_then(|endpoint| {
            let mut buffer = [0; MAX_CLIENT_ID];
            endpoint.client_id(&mut buffer).map(String::from)
        });
        match made {
            Ok(made) => assert_eq!(made, text(&case["out"], "value")),
            Err(_) => assert!(!is_normative(&case), "{case}"),
        }
    }
}

#[test]
fn user_name_in_buffers_of_every_size() {
    for case in cases(CONNECT, "hub_username_cap") {
        let input = &case["in"];
        let endpoint = endpoint(input, text(input, "hostname")).unwrap();
        let product = decoded(text(input, "product_info"));
        let announcement = Announcement::default()
            .with_api_version(text(input, "api_version"))
            .and_then(|a| a.with_product_info(&product))
            .and_then(|a| a.with_model_id(text(input, "model_id")))
            .unwrap();
        let mut buffer = [0; MAX_USER_NAME];
        let needed = endpoint.user_name(&announcement, &mut buffer).unwrap().len();
        if let Some(value) = case["out"]["value"].as_str() {
            assert_eq!(needed, value.len());
        }
        for capacity in 0..needed {
            assert_eq!(
                endpoint.user_name(&announcement, &mut vec![0; capacity]),
                Err(Error::BufferTooSmall { needed })
            );
        }
        assert!(endpoint.user_name(&announcement, &mut vec![0; needed]).is_ok());
    }
}

#[test]
fn the_longest_of_everything_fits() {
    let id = "%".repeat(128);
    let host = "h".repeat(128);
    let product = " ".repeat(128);
    let model = format!("dtmi:{}", ":".repeat(123));
    let version = "v".repeat(32);
    let endpoint = Endpoint::new(&host, &id).unwrap().with_module(&id).unwrap();
    let announcement = Announcement::default()
        .with_product_info(&product)
        .and_then(|a| a.with_model_id(&model))
        .and_then(|a| a.with_api_version(&version))
        .unwrap();
    let mut buffer = [0; MAX_USER_NAME];
    // `dtmi` is not encoded
    assert_eq!(endpoint.user_name(&announcement, &mut buffer).unwrap().len(), MAX_USER_NAME - 8);
    assert_eq!(endpoint.client_id(&mut buffer).unwrap().len(), MAX_CLIENT_ID);
    let mut filter = [0; iothub_mqtt::c2d::MAX_FILTER];
    assert!(iothub_mqtt::c2d::filter(&endpoint, &mut filter).is_ok());
    let mut topic = [0; iothub_mqtt::telemetry::MAX_TOPIC_BASE];
    assert_eq!(Telemetry::new(b"").topic(&endpoint, &mut topic).unwrap().len(), topic.len());
    let endpoint = Endpoint::new(&host, &id).unwrap();
    assert!(iothub_mqtt::c2d::filter(&endpoint, &mut filter).is_ok());
    for bad in ["", &"h".repeat(129), "a/b", "a b", "a:8883"] {
        assert!(matches!(Endpoint::new(bad, "d"), Err(Error::Invalid { what: "hub host name", .. })));
    }
    for bad in ["", &"d".repeat(129), "a/b", "a b", "ä", "a;b"] {
        assert!(matches!(Endpoint::new("h", bad), Err(Error::Invalid { what: "device id", .. })));
    }
}

#[test]
fn telemetry_topics() {
    for case in cases(TELEMETRY, "telemetry_topic") {
        let input = &case["in"];
        let properties: Vec<(String, String)> = input["properties_already_encoded"]
            .as_array()
            .unwrap()
            .iter()
            .map(|pair| (decoded(pair[0].as_str().unwrap()), decoded(pair[1].as_str().unwrap())))
            .collect();
        let properties: Vec<(&str, &str)> =
            properties.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let made = endpoint(input, "hub").and_then(|endpoint| {
            let mut buffer = [0; 1024];
            Telemetry::new(b"").with_properties(&properties).topic(&endpoint, &mut buffer).map(String::from)
        });
        match (made, case["out"]["value"].as_str()) {
            (Ok(made), Some(wanted)) if wanted.contains("a b=") => {
                assert_eq!(made, wanted.replace("a b=c&d=e", "a%20b=c%26d%3De"));
            }
            (Ok(made), Some(wanted)) => assert_eq!(made, wanted),
            // An empty value is fine.
            (Ok(made), None) => assert_eq!(made, "devices/d/messages/events/k="),
            (Err(error), _) => {
                assert!(!is_normative(&case), "{case}");
                assert!(matches!(error, Error::Invalid { .. }));
            }
        }
    }
}

/// Pairs as they were sent; a null value is `None`.
type Pairs = Vec<(String, Option<String>)>;

fn pairs(properties: &Properties<'_>) -> Pairs {
    let raw = |encoded: Encoded<'_>| encoded.raw().to_string();
    properties.iter().map(|(name, value)| (raw(name), value.map(raw))).collect()
}

fn check_bag(case: &Value, properties: &Properties<'_>) {
    let input = &case["in"];
    if is_normative(case) {
        let wanted: Pairs = case["out"]["pairs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|pair| (pair[0].as_str().unwrap().into(), Some(pair[1].as_str().unwrap().into())))
            .collect();
        assert_eq!(pairs(properties), wanted, "{case}");
        for name in input["find"].as_array().unwrap() {
            let name = name.as_str().unwrap();
            let wanted = case["out"]["find"][name].as_str();
            let found = properties.get(&decoded(name)).map(|value| value.unwrap().raw());
            assert_eq!(found, wanted, "{name} in {case}");
        }
    }
}

#[test]
fn property_bags() {
    for case in cases(TELEMETRY, "property_bag") {
        check_bag(&case, &Properties::new(text(&case["in"], "bag")));
    }
    // Where that library stops or mixes fields up:
    let some = |value: &str| Some(value.to_string());
    let expected: &[(&str, Pairs)] = &[
        ("", vec![]),
        ("a=", vec![("a".into(), some(""))]),
        ("a", vec![("a".into(), None)]),
        ("=b", vec![(String::new(), some("b"))]),
        ("a&b=c", vec![("a".into(), None), ("b".into(), some("c"))]),
        ("a=b&", vec![("a".into(), some("b"))]),
        ("&a=b", vec![("a".into(), some("b"))]),
        ("a==b", vec![("a".into(), some("=b"))]),
        ("a=b=c", vec![("a".into(), some("b=c"))]),
    ];
    for (bag, wanted) in expected {
        assert_eq!(pairs(&Properties::new(bag)), *wanted);
    }
}

#[test]
fn cloud_to_device_topics() {
    for case in cases(C2D, "c2d_parse") {
        let topic = text(&case["in"], "topic");
        match Message::parse(topic, b"body") {
            Ok(message) => {
                assert_eq!((message.input, message.payload), (None, &b"body"[..]));
                check_bag(&case, &message.properties);
                if is_normative(&case) {
                    assert_eq!(message.properties.raw(), text(&case["out"], "bag"));
                }
            }
            Err(error) => {
                assert!(matches!(error, Error::BadTopic(_)));
                assert!(!is_normative(&case), "{case}");
            }
        }
    }
    // The rule of the documents: a bare name is null, `name=` is empty.
    let message =
        Message::parse("devices/d/messages/devicebound/?prop1&prop2=&prop3=a%20string", b"").unwrap();
    assert!(message.properties.get("prop1").unwrap().is_none());
    assert_eq!(message.properties.get("prop2").unwrap().unwrap(), "");
    assert_eq!(message.properties.get("prop3").unwrap().unwrap(), "a string");
    for other in [
        "",
        "devices",
        "devices/",
        "devices/d",
        "devices/d/messages/deviceboundx",
        "xdevices/d/messages/devicebound/",
        "x/messages/devicebound/a=b",
        "devices//messages/devicebound/a=b",
        "devices/d/x/messages/devicebound/a=b",
        "devices/d/modules/m/messages/devicebound/a=b",
        "devices/d/modules//inputs/i/",
        "devices/d/modules/a/b/inputs/i/",
        "devices/d/modules/m/inputs/",
        "devices/d/modules/m/inputs//a=b",
    ] {
        assert!(matches!(Message::parse(other, b""), Err(Error::BadTopic(_))), "{other}");
    }
    assert_eq!(Message::parse("devices/d/messages/devicebound", b"x").unwrap().properties.raw(), "");
    let message = Message::parse("devices/d/modules/m/inputs/in1/a=b&%24.cdid=d", b"").unwrap();
    assert_eq!(message.input, Some("in1"));
    assert_eq!(message.properties.get("$.cdid").unwrap().unwrap(), "d");
    assert_eq!(Message::parse("devices/d/modules/m/inputs/in1", b"").unwrap().properties.raw(), "");
}

#[test]
fn hostile_percent_encoding() {
    let mut out = [0; 32];
    for bad in ["%", "%2", "a%", "%zz", "%2g", "%%20", "% 2"] {
        let bag = format!("{bad}=1&k={bad}");
        let properties = Properties::new(&bag);
        let value = properties.get("k").unwrap().unwrap();
        assert!(matches!(value.decode(&mut out), Err(Error::Invalid { .. })), "{bad}");
        assert_ne!(value, bad);
        assert!(properties.get(bad).is_none());
    }
    // not UTF-8
    let properties = Properties::new("k=%ff");
    let value = properties.get("k").unwrap().unwrap();
    assert_eq!(value.decode(&mut out), Err(Error::Invalid { what: "UTF-8", at: 0 }));
    assert!(value.bytes().eq([Ok(0xFF)]));
    // a plus is a plus
    assert_eq!(Properties::new("k=a+b").get("k").unwrap().unwrap().decode(&mut out), Ok("a+b"));
    assert_eq!(
        Properties::new("k=abc").get("k").unwrap().unwrap().decode(&mut out[..2]),
        Err(Error::BufferTooSmall { needed: 3 })
    );
}
