//! The state machine, situation by situation.
mod support;

use dps_client::json::Value;
use dps_client::{
    Answer, AnswerError, Backoff, Config, ConnectionProfile, Error, Fault, Progress, Registration,
    RegistrationEvent, Status, Substatus, Timing, TpmKeys, Transport, mqtt,
};
use support::{ASSIGNED, ASSIGNING, Device, Did, Meant, config, device};

fn error_body(code: u32) -> String {
    format!(r#"{{"errorCode":{code},"trackingId":"8ad0463c","message":"no"}}"#)
}

fn final_body(status: &str, code: u32) -> String {
    format!(
        r#"{{"operationId":"5.a.b","status":"{status}","registrationState":
        {{"registrationId":"device-1","status":"{status}","errorCode":{code},"errorMessage":"why"}}}}"#
    )
}

fn timing() -> Timing {
    Timing { backoff: Backoff { min_ms: 1000, max_ms: 8000, jitter_ms: 0 }, ..Timing::DEFAULT }
}

#[test]
fn the_whole_way_over_mqtt() {
    let (mut device, rid) = Device::polling(config());
    assert_eq!(device.answer(rid, 202, None, ASSIGNING), Meant::Assigning);
    let before = device.now;
    let rid = device.poll();
    assert_eq!(device.now, before + 2000, "two seconds when the service does not say");
    assert_eq!(device.answer(rid, 200, None, ASSIGNED), Meant::Assigned);
    device.assert_finished();
    let assignment = device.registration.assignment().unwrap();
    assert_eq!(assignment.profile(), ConnectionProfile::Classic);
    assert_eq!(assignment.substatus(), Some(Substatus::InitialAssignment));
}

#[test]
fn the_first_answer_may_be_final() {
    let mut device = device();
    device.connect();
    let rid = device.register();
    assert_eq!(device.answer(rid, 200, None, ASSIGNED), Meant::Assigned);
    device.assert_finished();
}

#[test]
fn an_assignment_brings_its_payload_and_certificates() {
    let body = r#"{"status":"assigned","registrationState":{"assignedHub":"h","deviceId":"d",
        "payload":{"a":[1,{"deviceId":"not this"}]},"issuedCertificateChain":["MIIB","MII\/"],
        "connectionProfile":"MQTTv5","substatus":"somethingNew"}}"#;
    let mut registration = Registration::new(config().with_transport(Transport::Https), 0);
    registration.next(0);
    registration.handle(RegistrationEvent::Connected, 0);
    registration.next(0);
    let answer = Answer { status: 200, rid: None, retry_after_s: None, body: body.as_bytes() };
    let Progress::Assigned(state) = registration.handle(RegistrationEvent::Answer(answer), 0) else {
        panic!()
    };
    assert!(
        matches!(state.payload(), Ok(Value::Object(o)) if o.raw() == r#"{"a":[1,{"deviceId":"not this"}]}"#)
    );
    let chain = state.issued_certificate_chain().unwrap().unwrap();
    let chain: Vec<_> = chain.elements().map(|value| value.as_str().unwrap().to_string()).collect();
    assert_eq!(chain, ["MIIB", "MII/"]);
    let assignment = registration.assignment().unwrap();
    assert_eq!((assignment.hub(), assignment.device_id()), ("h", "d"));
    assert_eq!(assignment.profile(), ConnectionProfile::MqttV5);
    assert_eq!(assignment.substatus(), Some(Substatus::Other));
}

#[test]
fn a_profile_nobody_knows_is_an_error_that_shows_it() {
    let body = r#"{"status":"assigned","registrationState":{"assignedHub":"h","deviceId":"d",
        "connectionProfile":"quicV1-\u00e9-and-much-more-than-anybody-wants-to-read"}}"#;
    let mut device = device();
    device.connect();
    let rid = device.register();
    assert_eq!(device.answer(rid, 200, None, body), Meant::Unusable);
    let Did::Failed(error) = device.act() else { panic!() };
    assert!(
        matches!(&error, Error::UnknownConnectionProfile(word) if word.as_str().starts_with("quicV1-é-and"))
    );
    assert!(error.to_string().contains("quicV1-é-and-much-more"), "{error}");
    assert!(!error.is_retriable());
}

#[test]
fn retry_after_is_waited_for() {
    for (retry_after, wait) in
        [(None, 2000), (Some(0), 2000), (Some(1), 1000), (Some(7), 7000), (Some(9999), 9_999_000)]
    {
        let mut device = device();
        device.connect();
        let rid = device.register();
        let before = device.now;
        device.answer(rid, 202, retry_after, ASSIGNING);
        device.poll();
        assert_eq!(device.now - before, wait);
    }
}

#[test]
fn answers_to_other_requests_are_dropped() {
    let (mut device, rid) = Device::polling(config());
    for other in [rid.wrapping_sub(1), rid.wrapping_add(1), 0, 1] {
        assert_eq!(device.answer(other, 200, None, ASSIGNED), Meant::Ignored);
    }
    for odd in [format!("0{rid}"), format!("{rid} "), format!("+{rid}"), format!("%3{rid}"), "x".to_owned()] {
        let answer = Answer { status: 200, rid: Some(&odd), retry_after_s: None, body: ASSIGNED.as_bytes() };
        assert_eq!(device.handle(RegistrationEvent::Answer(answer)), Meant::Ignored, "{odd}");
    }
    // Over MQTT an answer without an id belongs to nothing.
    let answer = Answer { status: 200, rid: None, retry_after_s: None, body: ASSIGNED.as_bytes() };
    assert_eq!(device.handle(RegistrationEvent::Answer(answer)), Meant::Ignored);
    assert_eq!(device.answer(rid, 202, None, ASSIGNING), Meant::Assigning);
    // The same answer twice: the second comes when nothing is asked.
    assert_eq!(device.answer(rid, 200, None, ASSIGNED), Meant::Ignored);
    let next = device.poll();
    assert_ne!(next, rid);
    assert_eq!(device.answer(rid, 500, None, "{}"), Meant::Ignored);
    assert_eq!(device.answer(next, 200, None, ASSIGNED), Meant::Assigned);
    assert_eq!(device.answer(next, 200, None, ASSIGNED), Meant::Ignored);
    device.assert_finished();
}

#[test]
fn final_statuses_without_a_hub() {
    for (word, status, retriable) in [
        ("failed", Status::Failed, true),
        ("disabled", Status::Disabled, false),
        ("unassigned", Status::Unassigned, true),
    ] {
        let (mut device, rid) = Device::polling(config());
        assert_eq!(device.answer(rid, 200, None, &final_body(word, 400_208)), Meant::NotAssigned);
        let Did::Failed(error) = device.act() else { panic!() };
        assert_eq!(error, Error::NotAssigned { status, code: Some(400_208) });
        assert_eq!(error.is_retriable(), retriable);
        assert!(error.to_string().contains(word) && error.to_string().contains("400208"), "{error}");
        assert_eq!(device.handle(RegistrationEvent::Disconnected), Meant::Ignored);
        assert_eq!(device.act(), Did::Failed(error));
    }
    let (mut device, rid) = Device::polling(config());
    assert_eq!(device.answer(rid, 200, None, r#"{"status":"unassigned"}"#), Meant::NotAssigned);
    assert_eq!(device.act(), Did::Failed(Error::NotAssigned { status: Status::Unassigned, code: None }));
}

#[test]
fn refusals_that_are_final() {
    for status in [100, 304, 400, 401, 403, 404, 405, 412, 413, 415, 418] {
        let mut device = device();
        device.connect();
        let rid = device.register();
        let code = u32::from(status) * 1000 + 2;
        assert_eq!(device.answer(rid, status, Some(1), &error_body(code)), Meant::Refused(status));
        let Did::Failed(error) = device.act() else { panic!() };
        assert_eq!(error, Error::Service { status, code: Some(code) });
        assert!(!error.is_retriable());
        assert!(error.to_string().contains(&code.to_string()));
    }
    // A body that is not the service's leaves the status.
    let mut device = device();
    device.connect();
    let rid = device.register();
    device.answer(rid, 401, None, "<html>");
    assert_eq!(device.act(), Did::Failed(Error::Service { status: 401, code: None }));
}

#[test]
fn refusals_that_are_not_final_climb_the_ladder_and_keep_the_operation() {
    for status in [408, 429, 500, 501, 502, 503, 504, 599] {
        let (mut device, mut rid) = Device::polling(config().with_timing(timing()));
        for delay in [1000, 2000, 4000, 8000, 8000, 8000] {
            let before = device.now;
            assert_eq!(device.answer(rid, status, None, ""), Meant::Refused(status));
            rid = device.poll();
            assert_eq!(device.now - before, delay, "{status}");
        }
        // A success starts the ladder anew.
        device.answer(rid, 202, None, ASSIGNING);
        rid = device.poll();
        let before = device.now;
        device.answer(rid, status, None, "");
        device.poll();
        assert_eq!(device.now - before, 1000);
    }
}

#[test]
fn retry_after_of_a_refusal_is_a_floor_above_the_maximum() {
    let (mut device, rid) = Device::polling(config());
    let before = device.now;
    device.answer(rid, 429, Some(600), &error_body(429_001));
    // The connection may break meanwhile; the floor stays.
    assert_eq!(device.handle(RegistrationEvent::Disconnected), Meant::Fault(Fault::ConnectionLost));
    assert!(matches!(device.act(), Did::Connect(0)));
    assert!((600_000..=605_000).contains(&(device.now - before)), "{}", device.now - before);
}

#[test]
fn a_poll_that_is_not_found_registers_again_once() {
    let (mut device, rid) = Device::polling(config());
    assert_eq!(device.answer(rid, 404, None, &error_body(404_208)), Meant::Refused(404));
    let before = device.now;
    let rid = device.register();
    assert!(device.now - before >= 1000, "never at once");
    device.answer(rid, 202, None, ASSIGNING);
    let rid = device.poll();
    device.answer(rid, 404, None, &error_body(404_208));
    let Did::Failed(error) = device.act() else { panic!() };
    assert_eq!(error, Error::OperationLost);
    assert!(error.is_retriable());
}

#[test]
fn a_conflict_waits_and_registers_again() {
    let (mut device, rid) = Device::polling(config().with_timing(timing()));
    let before = device.now;
    assert_eq!(device.answer(rid, 409, Some(5), &error_body(409_001)), Meant::Refused(409));
    device.register();
    assert_eq!(device.now - before, 5000);
}

/// Anything a writer may put where nobody looks, or where a hint could have stood.
const ODD: [&str; 14] = [
    "null",
    "true",
    "-1",
    "1e999",
    "NaN",
    "-Infinity",
    "\"\"",
    "\"\\ud800\"",
    "[]",
    "{}",
    "[[[{\"deviceId\":\"no\"}]]]",
    "18446744073709551616",
    "\"401\"",
    "1.50",
];

#[test]
fn what_is_not_needed_costs_nothing() {
    let optional = [
        "substatus",
        "etag",
        "lastUpdatedDateTimeUtc",
        "createdDateTimeUtc",
        "x509",
        "tpm",
        "payload",
        "errorCode",
        "errorMessage",
        "issuedCertificateChain",
        "registrationId",
        "status",
        "symmetricKey",
        "new",
    ];
    let deep = format!("{}1{}", "[{\"deviceId\":".repeat(500), "}]".repeat(500));
    for name in optional {
        for odd in ODD.into_iter().chain([deep.as_str()]) {
            let body = format!(
                "\u{feff}{{\"{name}\":{odd},\"status\":\"assigned\",\"registrationState\":{{\"{name}\":{odd},\"assignedHub\":\"h\",\
                 \"{name}\":7,\"deviceId\":\"d\",\"{name}\":{odd}}}}}"
            );
            // The operation's own status is needed.
            let body =
                if name == "status" { body.replacen(&format!("\"status\":{odd},"), "", 1) } else { body };
            let mut device = device();
            device.connect();
            let rid = device.register();
            assert_eq!(device.answer(rid, 200, None, &body), Meant::Assigned, "{body}");
            assert_eq!(device.act(), Did::Finished { hub: "h".into(), device_id: "d".into() });
            assert_eq!(device.registration.assignment().unwrap().profile(), ConnectionProfile::Classic);
        }
    }
    for odd in ODD.into_iter().filter(|odd| !odd.starts_with('"') || *odd == "\"\"") {
        // No word at all is no unknown word.
        let body = format!(
            r#"{{"status":"assigned","registrationState":{{"connectionProfile":{odd},"assignedHub":"h","deviceId":"d"}}}}"#
        );
        let mut device = device();
        device.connect();
        let rid = device.register();
        assert_eq!(device.answer(rid, 200, None, &body), Meant::Assigned, "{body}");
    }
}

#[test]
fn an_operation_that_is_known_goes_on_whatever_its_id_is_said_to_be() {
    for odd in ["null", "7", "\"\"", "\"a/b\"", "[]"] {
        let (mut device, rid) = Device::polling(config());
        let body = format!(r#"{{"operationId":{odd},"status":"assigning"}}"#);
        assert_eq!(device.answer(rid, 202, None, &body), Meant::Assigning, "{body}");
        let rid = device.poll();
        assert_eq!(device.answer(rid, 200, None, ASSIGNED), Meant::Assigned);
    }
}

#[test]
fn refusals_keep_their_status_whatever_the_body_is() {
    for (body, code) in [
        (r#"{"errorCode":"404201"}"#, Some(404_201)),
        (r#"{"ErrorCode":404201.0,"Message":7}"#, Some(404_201)),
        (r#"{"errorCode":404201,"errorCode":404201}"#, Some(404_201)),
        (r#"{"ERRORCODE":1,"errorCode":4.04201e5}"#, Some(404_201)),
        (r#"{"errorCode":1,"errorCode":2}"#, Some(2)),
        (r#"{"errorCode":[]}"#, None),
        ("<html>", None),
        ("", None),
    ] {
        let mut device = device();
        device.connect();
        let rid = device.register();
        assert_eq!(device.answer(rid, 404, None, body), Meant::Refused(404));
        assert_eq!(device.act(), Did::Failed(Error::Service { status: 404, code }), "{body}");
    }
}

#[test]
fn answers_that_cannot_be_used() {
    let cases = [
        ("", "JSON ends too early at byte 0"),
        ("[]", "not a JSON object"),
        ("{}", "no status"),
        (r#"{"status":"assigning"}"#, "no operationId"),
        (r#"{"status":"assigning","operationId":""}"#, "operationId is not acceptable"),
        (r#"{"status":"assigning","operationId":"a&b"}"#, "operationId is not acceptable"),
        (r#"{"status":"assigning","operationId":"a/b"}"#, "operationId is not acceptable"),
        (r#"{"status":"assigning","operationId":7}"#, "operationId is not acceptable"),
        (r#"{"status":"Assigned"}"#, "unknown registration status \"Assigned\""),
        (r#"{"status":"assigned"}"#, "no registrationState"),
        (r#"{"status":"assigned","registrationState":[]}"#, "registrationState is not acceptable"),
        (r#"{"status":"assigned","registrationState":{"deviceId":"d"}}"#, "no assignedHub"),
        (r#"{"status":"assigned","registrationState":{"assignedHub":"h"}}"#, "no deviceId"),
        (r#"{"status":"assigned","registrationState":{"assignedHub":"h","deviceId":""}}"#, "deviceId is not"),
        (
            r#"{"status":"assigned","registrationState":{"assignedHub":"h/x","deviceId":"d"}}"#,
            "assignedHub is not",
        ),
        (
            r#"{"status":"assigned","registrationState":{"assignedHub":"h","deviceId":"a/b"}}"#,
            "deviceId is not",
        ),
        (
            r#"{"status":"assigned","registrationState":{"payload":{"assignedHub":"h","deviceId":"d"}}}"#,
            "no assignedHub",
        ),
    ];
    for (body, message) in cases {
        let mut device = device();
        device.connect();
        let rid = device.register();
        assert_eq!(device.answer(rid, 200, None, body), Meant::Unusable, "{body}");
        let Did::Failed(error) = device.act() else { panic!("{body}") };
        assert!(error.to_string().contains(message), "{body}: {error}");
        assert!(!error.is_retriable());
    }
    for (member, length) in [("assignedHub", 129), ("deviceId", 129)] {
        let (hub, id) = if member == "deviceId" { (1, length) } else { (length, 1) };
        let body = format!(
            r#"{{"status":"assigned","registrationState":{{"assignedHub":"{}","deviceId":"{}"}}}}"#,
            "h".repeat(hub),
            "d".repeat(id)
        );
        let mut device = device();
        device.connect();
        let rid = device.register();
        device.answer(rid, 200, None, &body);
        assert_eq!(device.act(), Did::Failed(Error::Answer(AnswerError::TooLong(member))));
    }
}

#[test]
fn the_longest_operation_id_fits() {
    let id = "f".repeat(dps_client::MAX_OPERATION_ID);
    let mut registration = Registration::new(config().with_transport(Transport::Https), 0);
    let body = format!(r#"{{"status":"assigning","operationId":"{id}"}}"#);
    registration.next(0);
    registration.handle(RegistrationEvent::Connected, 0);
    registration.next(0);
    let answer = Answer { status: 202, rid: None, retry_after_s: None, body: body.as_bytes() };
    assert!(matches!(registration.handle(RegistrationEvent::Answer(answer), 0), Progress::Assigning));
    let dps_client::Action::Send(request) = registration.next(2000) else { panic!() };
    let mut exact = [0; mqtt::MAX_TOPIC];
    let topic = mqtt::topic(&request, &mut exact).unwrap();
    assert!(topic.ends_with(&id));
    let needed = topic.len();
    for short in 0..needed {
        assert_eq!(mqtt::topic(&request, &mut vec![0; short]), Err(Error::BufferTooSmall { needed }));
    }
}

#[test]
fn refused_connections() {
    for code in [1, 2, 4, 5, 6, 255] {
        let mut device = device();
        device.act();
        assert_eq!(device.handle(RegistrationEvent::ConnectionRefused { code }), Meant::Accepted);
        let Did::Failed(error) = device.act() else { panic!() };
        assert_eq!(error, Error::ConnectionRefused { code });
        assert!(!error.is_retriable());
    }
    let mut device = device();
    device.act();
    assert_eq!(
        device.handle(RegistrationEvent::ConnectionRefused { code: mqtt::CONNACK_UNAVAILABLE }),
        Meant::Fault(Fault::ConnectionRefused(3))
    );
    let before = device.now;
    assert_eq!(device.act(), Did::Connect(0));
    assert!(device.now - before >= 1000);
}

#[test]
fn the_other_credential_is_tried() {
    let mut device = Device::new(config().with_credentials(3));
    assert_eq!(device.act(), Did::Connect(0));
    assert_eq!(
        device.handle(RegistrationEvent::ConnectionRefused { code: 5 }),
        Meant::Fault(Fault::ConnectionRefused(5))
    );
    assert_eq!(device.act(), Did::Connect(1));
    device.handle(RegistrationEvent::Connected);
    device.act();
    device.handle(RegistrationEvent::Subscribed);
    let rid = device.register();
    assert_eq!(device.answer(rid, 401, None, &error_body(401_002)), Meant::Refused(401));
    assert_eq!(device.act(), Did::Disconnect(Fault::Service(401)));
    assert_eq!(device.handle(RegistrationEvent::Disconnected), Meant::Ignored);
    assert_eq!(device.act(), Did::Connect(2));
    assert_eq!(device.handle(RegistrationEvent::ConnectionRefused { code: 4 }), Meant::Accepted);
    assert_eq!(device.act(), Did::Failed(Error::ConnectionRefused { code: 4 }));
}

#[test]
fn a_refused_subscription_starts_over() {
    let mut device = device();
    device.act();
    device.handle(RegistrationEvent::Connected);
    assert_eq!(device.act(), Did::Subscribe);
    assert_eq!(device.handle(RegistrationEvent::SubscribeRefused), Meant::Fault(Fault::SubscribeRefused));
    assert_eq!(device.registration.attempts(), 1);
    // The service closes by itself; that is not a second fault.
    assert_eq!(device.handle(RegistrationEvent::Disconnected), Meant::Accepted);
    assert_eq!(device.registration.attempts(), 1);
    assert_eq!(device.act(), Did::Connect(0));
}

#[test]
fn everything_has_a_time_limit() {
    let mut device = device();
    let start = device.now;
    assert_eq!(device.act(), Did::Connect(0));
    assert_eq!(device.act(), Did::Disconnect(Fault::ConnectTimeout));
    assert_eq!(device.now - start, 60_000);
    assert_eq!(device.act(), Did::Connect(0));
    // The connection that came too late is not there any more.
    device.handle(RegistrationEvent::Connected);
    assert_eq!(device.act(), Did::Subscribe);
    let start = device.now;
    assert_eq!(device.act(), Did::Disconnect(Fault::RequestTimeout));
    assert_eq!(device.now - start, 30_000);
    assert_eq!(device.handle(RegistrationEvent::Subscribed), Meant::Ignored);
    device.connect();
    let rid = device.register();
    let start = device.now;
    assert_eq!(device.act(), Did::Disconnect(Fault::RequestTimeout));
    assert_eq!(device.now - start, 30_000);
    assert_eq!(device.answer(rid, 200, None, ASSIGNED), Meant::Ignored);
    device.connect();
    let rid = device.register();
    device.answer(rid, 202, None, ASSIGNING);
    device.poll();
    assert_eq!(device.act(), Did::Disconnect(Fault::RequestTimeout));
    device.connect();
    let rid = device.poll();
    device.answer(rid, 200, None, ASSIGNED);
    device.assert_finished();
}

#[test]
fn an_answer_at_the_last_moment_counts() {
    let (mut device, rid) = Device::polling(config());
    device.now += 40_000;
    assert_eq!(device.answer(rid, 200, None, ASSIGNED), Meant::Assigned);
}

#[test]
fn a_broken_connection_goes_on_where_it_was() {
    // Before each step of the way...
    for config in [config(), config().with_transport(Transport::Https)] {
        for at in 0..6 {
            let (mut device, mut known) = (Device::new(config), false);
            for step in 0.. {
                if step == at {
                    device.handle(RegistrationEvent::Disconnected);
                }
                match device.act() {
                    Did::Connect(_) => {
                        assert_eq!(device.handle(RegistrationEvent::Connected), Meant::Accepted);
                    }
                    Did::Subscribe => {
                        assert_eq!(device.handle(RegistrationEvent::Subscribed), Meant::Accepted);
                    }
                    Did::Register { rid, .. } => {
                        assert!(!known, "an operation that is known is not begun again");
                        known = true;
                        device.answer(rid, 202, Some(3), ASSIGNING);
                    }
                    Did::Poll { rid, .. } => {
                        assert_eq!(device.answer(rid, 200, None, ASSIGNED), Meant::Assigned);
                    }
                    Did::Finished { .. } => break,
                    other => panic!("{other:?}"),
                }
            }
        }
    }
    // ... and while one is under way.
    for stop in 0..4 {
        let mut device = device();
        for step in 0..=stop {
            match device.act() {
                _ if step == stop => {}
                Did::Connect(_) => drop(device.handle(RegistrationEvent::Connected)),
                Did::Subscribe => drop(device.handle(RegistrationEvent::Subscribed)),
                Did::Register { rid, .. } => drop(device.answer(rid, 202, None, ASSIGNING)),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(
            device.handle(RegistrationEvent::Disconnected),
            Meant::Fault(Fault::ConnectionLost),
            "{stop}"
        );
        assert_eq!(device.handle(RegistrationEvent::Disconnected), Meant::Ignored);
        let before = device.now;
        device.connect();
        assert!(device.now - before >= 1000, "never at once");
        let rid = if stop == 3 { device.poll() } else { device.register() };
        device.answer(rid, 200, None, ASSIGNED);
        device.assert_finished();
    }
}

#[test]
fn a_clock_set_back_does_not_lengthen_waits() {
    let mut device = device();
    device.connect();
    let rid = device.register();
    device.answer(rid, 202, Some(10), ASSIGNING);
    device.now -= 900_000;
    let before = device.now;
    device.poll();
    assert_eq!(device.now - before, 10_000);
    device.now = 0;
    assert_eq!(device.act(), Did::Disconnect(Fault::RequestTimeout));
    assert_eq!(device.now, 30_000);
}

#[test]
fn a_clock_that_leaps_ends_waits_but_not_the_registration() {
    let (mut device, _) = Device::polling(config());
    device.now += 86_400_000;
    assert_eq!(device.act(), Did::Disconnect(Fault::RequestTimeout));
    device.connect();
    let rid = device.poll();
    device.answer(rid, 200, None, ASSIGNED);
    device.assert_finished();
    // At the end of time nothing overflows.
    let mut device = Device::polling(config()).0;
    device.now = u64::MAX;
    assert_eq!(device.next(), Did::Disconnect(Fault::RequestTimeout));
    assert_eq!(device.next(), Did::Connect(0));
}

#[test]
fn it_gives_up_when_asked_to() {
    let timing = Timing { max_attempts: 3, ..timing() };
    let mut device = Device::new(config().with_timing(timing));
    for attempt in 1..=3 {
        assert_eq!(device.act(), Did::Connect(0));
        assert_eq!(device.handle(RegistrationEvent::Disconnected), Meant::Fault(Fault::ConnectionLost));
        assert_eq!(device.registration.attempts(), attempt);
    }
    let Did::Failed(error) = device.act() else { panic!() };
    assert_eq!(error, Error::GaveUp { attempts: 3, last: Fault::ConnectionLost });
    assert!(error.is_retriable());
    assert_eq!(error.to_string(), "gave up after 3 attempts: no connection, or the connection was lost");
}

#[test]
fn a_fleet_is_spread() {
    let timing = Timing { spread_ms: 60_000, ..Timing::DEFAULT };
    let mut counts = [0; 6];
    for seed in 0..6000 {
        let mut device =
            Device { registration: Registration::new(config().with_timing(timing), seed), now: 0 };
        device.act();
        assert!(device.now <= 60_000);
        counts[usize::try_from(device.now.min(59_999)).unwrap() / 10_000] += 1;
    }
    assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
    // And after a common fault no two in a thousand act in step.
    let mut delays: Vec<_> = (0..1000)
        .map(|seed| {
            let mut device = Device { registration: Registration::new(config(), seed), now: 0 };
            device.act();
            device.handle(RegistrationEvent::Disconnected);
            device.act();
            device.now
        })
        .collect();
    assert!(delays.iter().all(|delay| (1000..=6000).contains(delay)));
    delays.sort_unstable();
    delays.dedup();
    assert!(delays.len() > 800, "{}", delays.len());
}

#[test]
fn request_ids_differ_between_boots_and_requests() {
    let mut first: Vec<_> = (0..1000)
        .map(|seed| {
            let mut device = Device { registration: Registration::new(config(), seed), now: 0 };
            device.connect();
            device.register()
        })
        .collect();
    first.sort_unstable();
    first.dedup();
    assert_eq!(first.len(), 1000);
}

#[test]
fn https_needs_no_subscription_and_may_be_closed_between_requests() {
    let mut device = Device::new(config().with_transport(Transport::Https));
    device.connect();
    let rid = device.register();
    device.answer(rid, 202, Some(3), ASSIGNING);
    assert_eq!(device.handle(RegistrationEvent::Disconnected), Meant::Accepted);
    assert_eq!(device.registration.attempts(), 0);
    let before = device.now;
    device.connect();
    assert_eq!(device.now - before, 3000, "not before the request is due");
    device.poll();
    // In the middle of a request it is a fault.
    assert_eq!(device.handle(RegistrationEvent::Disconnected), Meant::Fault(Fault::ConnectionLost));
}

#[test]
fn a_tpm_is_challenged_first() {
    let keys = TpmKeys { endorsement_key: &[1, 2, 3], storage_root_key: &[4, 5] };
    let challenge = r#"{"message":"m","authenticationKey":"AAEC\/w==","unencryptedAuthenticationKey":null}"#;
    let config = config().with_tpm(keys).with_transport(Transport::Mqtt);
    assert_eq!(config.transport(), Transport::Https, "the service offers TPM over HTTPS only");
    let mut device = Device::new(config);
    device.connect();
    assert!(matches!(device.act(), Did::Register { authorized: false, .. }));
    assert_eq!(device.answer(0, 401, None, challenge), Meant::Challenge("AAEC/w==".to_owned()));
    assert_eq!(device.next(), Did::Wait(u64::MAX));
    assert_eq!(device.handle(RegistrationEvent::Activated), Meant::Accepted);
    assert!(matches!(device.act(), Did::Register { authorized: true, .. }));
    assert_eq!(device.handle(RegistrationEvent::Activated), Meant::Ignored);
    device.answer(0, 202, None, ASSIGNING);
    device.poll();
    device.answer(0, 200, None, ASSIGNED);
    device.assert_finished();

    // A second challenge, or one without a key, is a refusal.
    let mut device = Device::new(config);
    device.connect();
    device.act();
    device.answer(0, 401, None, challenge);
    device.handle(RegistrationEvent::Activated);
    device.act();
    assert_eq!(device.answer(0, 401, None, challenge), Meant::Refused(401));
    assert_eq!(device.act(), Did::Failed(Error::Service { status: 401, code: None }));
    let mut device = Device::new(config);
    device.connect();
    device.act();
    assert_eq!(device.answer(0, 401, None, &error_body(401_002)), Meant::Refused(401));
    assert!(matches!(device.act(), Did::Failed(_)));

    // The chip may refuse; and the connection may be lost while it works.
    let mut device = Device::new(config);
    device.connect();
    device.act();
    device.answer(0, 401, None, challenge);
    assert_eq!(device.handle(RegistrationEvent::Disconnected), Meant::Accepted);
    assert_eq!(device.next(), Did::Wait(u64::MAX));
    assert_eq!(device.handle(RegistrationEvent::Activated), Meant::Accepted);
    device.connect();
    assert!(matches!(device.act(), Did::Register { authorized: true, .. }));
    let mut device = Device::new(config);
    device.connect();
    device.act();
    device.answer(0, 401, None, challenge);
    assert_eq!(device.handle(RegistrationEvent::ActivationFailed), Meant::Accepted);
    assert_eq!(device.act(), Did::Failed(Error::ActivationFailed));
}

#[test]
fn a_challenge_to_a_device_without_tpm_is_a_refusal() {
    let mut device = Device::new(config().with_transport(Transport::Https));
    device.connect();
    device.act();
    assert_eq!(device.answer(0, 401, None, r#"{"authenticationKey":"AAEC"}"#), Meant::Refused(401));
    assert!(matches!(device.act(), Did::Failed(Error::Service { status: 401, code: None })));
}

#[test]
fn bodies_with_everything() {
    let keys = TpmKeys { endorsement_key: &[0xff; 49], storage_root_key: &[0x00] };
    let csr: Vec<u8> = (0..=255).collect();
    let config = config().with_tpm(keys).with_csr(&csr).unwrap().with_payload(br#" {"a":1} "#).unwrap();
    let mut registration = Registration::new(config, 0);
    registration.next(0);
    registration.handle(RegistrationEvent::Connected, 0);
    let dps_client::Action::Send(request) = registration.next(0) else { panic!() };
    let mut out = [0; 1024];
    let body = request.body(&mut out).unwrap();
    let needed = body.len();
    let value: serde_json::Value = serde_json::from_slice(body).unwrap();
    assert_eq!(value["registrationId"], "device-1");
    assert_eq!(value["payload"]["a"], 1);
    assert_eq!(value["tpm"]["endorsementKey"], format!("{}/w==", "/".repeat(64)));
    assert_eq!(value["tpm"]["storageRootKey"], "AA==");
    let text = value["csr"].as_str().unwrap();
    assert!(text.starts_with("AAECAwQF") && text.ends_with("+/w==") && text.len() == 344, "{text}");
    for short in [0, 1, needed / 2, needed - 1] {
        assert_eq!(request.body(&mut vec![0; short]), Err(Error::BufferTooSmall { needed }));
    }
}

#[test]
fn configurations_that_break_the_rules() {
    for scope in ["", "a/b", "a b", "a%", "ä", &"x".repeat(65)] {
        assert!(matches!(Config::new(scope, "d"), Err(Error::Invalid { what: "id scope", .. })), "{scope}");
    }
    for (id, at) in [("", 0), ("a b", 1), ("a/b", 1), ("dé", 1), ("ab.", 2), ("a_", 1), ("a:", 1), ("a\"", 1)]
    {
        assert_eq!(Config::new("x", id).err(), Some(Error::Invalid { what: "registration id", at }), "{id}");
    }
    assert!(Config::new("x", &"r".repeat(129)).is_err());
    for id in ["a", "-", "a-", "A.b_c:d-9", "0", &"r".repeat(128)] {
        assert!(Config::new("x", id).is_ok(), "{id}");
    }
    for version in ["", "2019&x=1", "2019 ", &"1".repeat(33)] {
        assert!(config().with_api_version(version).is_err(), "{version}");
    }
    assert!(config().with_product("").is_err() && config().with_product(&"p".repeat(65)).is_err());
    assert!(config().with_csr(&[]).is_err());
    for payload in ["", "{", "{}x", "nul", "\u{feff}{}"] {
        assert!(matches!(config().with_payload(payload.as_bytes()), Err(Error::Json(_))), "{payload}");
    }
    // Everything at its longest fits the constant.
    let (scope, id, product) = ("s".repeat(64), "r".repeat(128), "ä".repeat(32));
    let version = "v".repeat(32);
    let longest =
        Config::new(&scope, &id).unwrap().with_product(&product).unwrap().with_api_version(&version);
    let mut out = [0; mqtt::MAX_USER_NAME];
    assert_eq!(mqtt::user_name(&longest.unwrap(), &mut out).unwrap().len(), mqtt::MAX_USER_NAME);
}
