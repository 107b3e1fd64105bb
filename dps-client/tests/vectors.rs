//! The published test vectors of the device side (`tests/vectors`): what Azure's embedded C library answers to the same
//! inputs. `normative` cases must agree; on `peer` cases (malformed input, habits of that library) we must not panic,
//! and where we differ, the list in the test says how.
use dps_client::json::{self, JsonStr};
use dps_client::{
    Action, Assignment, Backoff, Config, Error, OperationStatus, Progress, Registration, RegistrationEvent,
    ServiceError, Status, StatusClass, Transport, mqtt, percent,
};
use serde_json::Value;

fn cases(file: &str) -> Vec<Value> {
    let path = format!("{}/tests/vectors/{file}.json", env!("CARGO_MANIFEST_DIR"));
    let set: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let cases = set["cases"].as_array().unwrap().clone();
    assert_eq!(set["count"], cases.len());
    cases
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn is_normative(case: &Value) -> bool {
    case["class"] == "normative"
}

fn is_ok(case: &Value) -> bool {
    case["out"]["result"] == "OK"
}

/// The number of cases of an operation; guards against a loop that runs over nothing.
fn expect_count(cases: &[Value], op: &str, count: usize) {
    assert_eq!(cases.iter().filter(|case| case["op"] == op).count(), count, "{op}");
}

/// The operations that the tests below run; each counts its cases.
const OPERATIONS: [&str; 13] = [
    "derive_device_key",
    "dps_client_id",
    "dps_parse_response",
    "dps_password",
    "dps_query_topic",
    "dps_register_payload",
    "dps_register_topic",
    "dps_string_to_sign",
    "dps_username",
    "hub_password",
    "hub_string_to_sign",
    "retry_delay",
    "status_class",
];

#[test]
fn no_operation_is_left_out() {
    let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors")).unwrap();
    let files = folder
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "json"));
    let found: std::collections::BTreeSet<String> = files
        .flat_map(|path| cases(path.file_stem().unwrap().to_str().unwrap()))
        .map(|case| text(&case["op"]).to_owned())
        .collect();
    assert!(found.iter().eq(&OPERATIONS), "{found:?}");
}

#[test]
fn user_name_and_client_id() {
    let cases = cases("dps_connect");
    expect_count(&cases, "dps_username", 16);
    expect_count(&cases, "dps_client_id", 8);
    for case in &cases {
        let input = &case["in"];
        let id = &case["id"];
        match text(&case["op"]) {
            "dps_username" => {
                let Ok(config) = Config::new(text(&input["id_scope"]), text(&input["registration_id"]))
                else {
                    assert!(!is_normative(case), "{id}");
                    continue;
                };
                let config = config.with_api_version(text(&input["api_version"])).unwrap();
                // The C library takes the product already encoded.
                let mut product = [0; 64];
                let product = percent::decode(text(&input["client_version"]), &mut product).unwrap();
                let product = core::str::from_utf8(product).unwrap();
                let config = if product.is_empty() { config } else { config.with_product(product).unwrap() };
                let mut out = [0; mqtt::MAX_USER_NAME];
                let name = mqtt::user_name(&config, &mut out).unwrap();
                if is_normative(case) {
                    assert_eq!(name, text(&case["out"]["value"]), "{id}");
                } else {
                    // That library lets a product through unencoded.
                    assert_eq!(name, text(&case["out"]["value"]).replace("raw/ua 1", "raw%2Fua%201"), "{id}");
                }
            }
            "dps_client_id" => match Config::new("0ne1", text(&input["registration_id"])) {
                Ok(config) => assert_eq!(config.registration_id(), text(&case["out"]["value"]), "{id}"),
                Err(error) => {
                    assert!(!is_normative(case), "{id}");
                    assert!(matches!(error, Error::Invalid { what: "registration id", .. }));
                }
            },
            _ => {}
        }
    }
}

/// A registration, driven to the request that follows the given operation id (or the first one).
fn with_request<T>(
    operation_id: Option<&str>,
    check: impl FnOnce(&dps_client::Request<'_>) -> T,
) -> Option<T> {
    let config = Config::new("0ne1", "d").unwrap().with_transport(Transport::Https);
    let mut registration = Registration::new(config, 0);
    registration.next(0);
    registration.handle(RegistrationEvent::Connected, 0);
    if let Some(operation_id) = operation_id {
        registration.next(0);
        let body = serde_json::json!({ "status": "assigning", "operationId": operation_id }).to_string();
        let answer =
            dps_client::Answer { status: 202, rid: None, retry_after_s: None, body: body.as_bytes() };
        registration.handle(RegistrationEvent::Answer(answer), 0);
    }
    match registration.next(1_000_000) {
        Action::Send(request) => Some(check(&request)),
        _ => None,
    }
}

#[test]
fn topics() {
    let cases = cases("dps_connect");
    expect_count(&cases, "dps_register_topic", 1);
    expect_count(&cases, "dps_query_topic", 4);
    for case in &cases {
        let operation_id = match text(&case["op"]) {
            "dps_register_topic" => None,
            "dps_query_topic" => Some(text(&case["in"]["operation_id"])),
            _ => continue,
        };
        let topic = with_request(operation_id, |request| {
            let topic = mqtt::topic(request, &mut [0; mqtt::MAX_TOPIC]).unwrap().to_owned();
            // Our request ids are our own; that library always says 1.
            topic.replace(&format!("$rid={}", request.rid()), "$rid=1")
        });
        match topic {
            Some(topic) => assert_eq!(topic, text(&case["out"]["value"]), "{}", case["id"]),
            // An operation id that would break the topic is refused.
            None => assert_eq!(case["id"], "dps_connect/dps_query_topic/028"),
        }
    }
}

#[test]
fn register_bodies() {
    let cases = cases("dps_connect");
    expect_count(&cases, "dps_register_payload", 22);
    for case in cases.iter().filter(|case| case["op"] == "dps_register_payload") {
        let payload = text(&case["in"]["custom_payload_json"]);
        let config = Config::new("0ne1", text(&case["in"]["registration_id"]));
        let config = config.and_then(|config| {
            if payload.is_empty() { Ok(config) } else { config.with_payload(payload.as_bytes()) }
        });
        let Ok(config) = config else {
            assert!(!is_normative(case) || !is_ok(case), "{}", case["id"]);
            continue;
        };
        assert!(is_ok(case), "{}", case["id"]);
        let mut registration = Registration::new(config.with_transport(Transport::Https), 0);
        registration.next(0);
        registration.handle(RegistrationEvent::Connected, 0);
        let Action::Send(request) = registration.next(0) else { panic!() };
        let mut out = [0; 512];
        let body: Value = serde_json::from_slice(request.body(&mut out).unwrap()).unwrap();
        assert_eq!(
            body,
            serde_json::from_str::<Value>(text(&case["out"]["value"])).unwrap(),
            "{}",
            case["id"]
        );
    }
}

/// A string of an answer as the C library hands it out, still escaped; empty when absent.
fn raw(text: Result<Option<JsonStr<'_>>, dps_client::AnswerError>) -> String {
    text.unwrap().map_or(String::new(), |text| text.raw().to_owned())
}

/// What a well-formed answer must have been read as.
fn check_answer(case: &Value, answer: &dps_client::Answer<'_>) {
    let (out, id) = (&case["out"], &case["id"]);
    assert_eq!(u64::from(answer.status), out["status"], "{id}");
    assert_eq!(u64::from(answer.retry_after_s.unwrap_or(0)), out["retry_after"], "{id}");
    if StatusClass::of(answer.status) != StatusClass::Success {
        let error = ServiceError::parse(answer.body).unwrap();
        assert_eq!(u64::from(error.code().unwrap().unwrap()), out["extended_error_code"], "{id}");
        assert_eq!(raw(error.message()), text(&out["error_message"]), "{id}");
        assert_eq!(raw(error.tracking_id()), text(&out["error_tracking_id"]), "{id}");
        assert_eq!(raw(error.timestamp_utc()), text(&out["error_timestamp"]), "{id}");
        return;
    }
    let operation = OperationStatus::parse(answer.body).unwrap();
    let status = operation.status().unwrap();
    assert_eq!(status.as_str(), text(&out["operation_status"]), "{id}");
    assert_eq!(raw(operation.operation_id()), text(&out["operation_id"]), "{id}");
    let Some(state) = operation.state().unwrap() else { return };
    assert_eq!(raw(state.assigned_hub()), text(&out["assigned_hub"]), "{id}");
    assert_eq!(raw(state.device_id()), text(&out["device_id"]), "{id}");
    assert_eq!(u64::from(state.error_code().unwrap().unwrap_or(0)), out["extended_error_code"], "{id}");
    assert_eq!(raw(state.error_message()), text(&out["error_message"]), "{id}");
    assert_eq!(raw(state.last_updated_utc()), text(&out["error_timestamp"]), "{id}");
    let payload = match state.payload().unwrap() {
        json::Value::Object(object) => object.raw(),
        _ => "",
    };
    assert_eq!(payload, text(&out["payload"]), "{id}");
    if status == Status::Assigned {
        let assignment = Assignment::from_state(&state).unwrap();
        assert_eq!(assignment.hub(), text(&out["assigned_hub"]));
        assert_eq!(assignment.device_id(), text(&out["device_id"]));
    }
}

/// What the state machine makes of an answer: whether the registration goes on or ends well.
fn accepted(answer: dps_client::Answer<'_>) -> bool {
    let config = Config::new("0ne1", "d").unwrap().with_transport(Transport::Https);
    let mut registration = Registration::new(config, 0);
    registration.next(0);
    registration.handle(RegistrationEvent::Connected, 0);
    registration.next(0);
    let progress =
        registration.handle(RegistrationEvent::Answer(dps_client::Answer { rid: None, ..answer }), 0);
    !matches!(progress, Progress::Unusable | Progress::Ignored)
}

#[test]
fn answers() {
    // Refused by the C library. A retry time that cannot be read is no reason; payloads that are no objects are the
    // application's to judge; an escaped status word is the same word; a refusal is one whatever its body.
    const LAXER: [&str; 17] = [
        "037", "038", "039", "040", "043", "069", "070", "077", "078", "079", "080", "081", "082", "083",
        "084", "085", "086",
    ];
    // Malformed, but taken by the C library.
    const STRICTER: [&str; 9] = [
        "033", // no query, so no request id
        "058", // empty operation id in a status that needs it
        "062", "063", "068", // assigned to nowhere
        "071", "072", // truncated
        "075", "076", // something after the end
    ];
    let cases = cases("dps_responses");
    expect_count(&cases, "dps_parse_response", 86);
    for case in &cases {
        let (id, number) = (text(&case["id"]), text(&case["id"]).rsplit('/').next().unwrap());
        let answer = match &case["in"]["payload"] {
            Value::String(payload) => mqtt::parse_answer(text(&case["in"]["topic"]), payload.as_bytes()),
            other => panic!("{id}: {other}"),
        };
        let ours = answer.as_ref().is_ok_and(|answer| accepted(*answer));
        if is_normative(case) {
            assert!(is_ok(case) && ours, "{id}");
            check_answer(case, &answer.unwrap());
        } else {
            let differs = LAXER.contains(&number) || STRICTER.contains(&number);
            assert_eq!(ours, is_ok(case) != differs, "{id}");
        }
    }
}

#[test]
fn back_off() {
    let cases = cases("retry");
    expect_count(&cases, "retry_delay", 20);
    for case in cases.iter().filter(|case| case["op"] == "retry_delay") {
        let number = |name: &str| u32::try_from(case["in"][name].as_u64().unwrap()).unwrap();
        let backoff = Backoff {
            min_ms: number("min_delay_msec"),
            max_ms: number("max_delay_msec"),
            jitter_ms: number("jitter_msec"),
        };
        let delay =
            backoff.delay_after_ms(number("operation_msec"), number("attempt"), number("jitter_msec"));
        assert_eq!(u64::from(delay), case["out"]["delay"], "{}", case["id"]);
    }
}

#[test]
fn status_classes() {
    let cases = cases("retry");
    expect_count(&cases, "status_class", 31);
    for case in cases.iter().filter(|case| case["op"] == "status_class") {
        let status = u16::try_from(case["in"]["status"].as_u64().unwrap()).unwrap();
        let class = StatusClass::of(status);
        // That library repeats 500 only and takes everything below 400 for a success.
        let more = matches!(status, 408 | 501..=599);
        assert_eq!(
            class == StatusClass::Retriable,
            case["out"]["retriable"] == true || more,
            "{}",
            case["id"]
        );
        if is_normative(case) {
            assert_eq!(class == StatusClass::Success, case["out"]["succeeded"], "{}", case["id"]);
        }
    }
}

#[cfg(feature = "sas")]
mod sas {
    use dps_client::auth::sas::{
        MAX_DPS_STRING_TO_SIGN, MAX_DPS_TOKEN, Resource, SymmetricKey, string_to_sign,
    };

    use super::{cases, expect_count, is_normative, text};

    #[test]
    fn texts_tokens_and_keys() {
        let cases = cases("sas");
        for (op, count) in [
            ("hub_string_to_sign", 18),
            ("hub_password", 18),
            ("dps_string_to_sign", 18),
            ("dps_password", 18),
            ("derive_device_key", 32),
        ] {
            expect_count(&cases, op, count);
        }
        for case in &cases {
            let (input, id) = (&case["in"], &case["id"]);
            if case["op"] == "derive_device_key" {
                let group = SymmetricKey::from_base64(text(&input["group_key_base64"])).unwrap();
                let device = SymmetricKey::from_base64(text(&case["out"]["value"])).unwrap();
                assert_eq!(group.derive(text(&input["registration_id"])), device, "{id}");
                continue;
            }
            let dps = input["id_scope"].is_string();
            let resource = if dps {
                Resource::Dps {
                    id_scope: text(&input["id_scope"]),
                    registration_id: text(&input["registration_id"]),
                }
            } else {
                Resource::Hub {
                    host: text(&input["hostname"]),
                    device_id: text(&input["device_id"]),
                    module_id: Some(text(&input["module_id"])).filter(|module| !module.is_empty()),
                }
            };
            let expiry = text(&input["expiry"]).parse().unwrap();
            let mut out = [0; 1024];
            if text(&case["op"]).ends_with("string_to_sign") {
                let found = string_to_sign(&resource, expiry, &mut out).unwrap();
                assert_eq!(found, text(&case["out"]["value"]), "{id}");
                assert!(!dps || !is_normative(case) || found.len() <= MAX_DPS_STRING_TO_SIGN);
            } else {
                let key = SymmetricKey::from_base64(text(&input["key_base64"])).unwrap();
                let policy = Some(text(&input["key_name"])).filter(|policy| !policy.is_empty());
                let found = key.token(&resource, expiry, policy, &mut out).unwrap();
                // That library inserts the policy's name as it is.
                let found = found.replace("skn=a%20b", "skn=a b");
                assert_eq!(found, text(&case["out"]["value"]), "{id}");
                assert!(!dps || !is_normative(case) || found.len() <= MAX_DPS_TOKEN);
            }
        }
    }
}
