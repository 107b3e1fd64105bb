//! The shortest way through a registration, over MQTT with X.509.
use dps_client::{Action, Config, Event, Progress, Registration, Transport, mqtt};

const ASSIGNED: &[u8] = br#"{"operationId":"5.a.b","status":"assigned","registrationState":{
    "assignedHub":"contoso.azure-devices.net","deviceId":"Device-1","payload":{"a":[1]}}}"#;

/// Drives a registration up to its first request and gives that request's id.
fn first_request(registration: &mut Registration<'_>) -> u32 {
    assert!(matches!(registration.next(0), Action::Connect { credential: 0 }));
    registration.handle(Event::Connected, 0);
    if registration.config().transport() == Transport::Mqtt {
        assert!(matches!(registration.next(0), Action::Subscribe));
        registration.handle(Event::Subscribed, 0);
    }
    match registration.next(0) {
        Action::Send(request) => request.rid(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_first_answer_may_be_final() {
    let mut registration = Registration::new(Config::new("0ne1", "device-1").unwrap(), 1);
    let topic = format!("$dps/registrations/res/200/?$rid={}", first_request(&mut registration));
    let answer = mqtt::parse_answer(&topic, ASSIGNED).unwrap();
    let Progress::Assigned(state) = registration.handle(Event::Answer(answer), 5) else { panic!() };
    assert!(matches!(state.payload(), Ok(dps_client::json::Value::Object(o)) if o.raw() == r#"{"a":[1]}"#));
    let Action::Finished(assignment) = registration.next(5) else { panic!() };
    assert_eq!((assignment.hub(), assignment.device_id()), ("contoso.azure-devices.net", "Device-1"));
}

#[test]
fn polls_wait_as_long_as_the_service_says() {
    let mut registration = Registration::new(Config::new("0ne1", "device-1").unwrap(), 1);
    let rid = first_request(&mut registration);
    let topic = format!("$dps/registrations/res/202/?retry-after=7&$rid={rid}");
    let body = br#"{"operationId":"5.a.b","status":"assigning"}"#;
    registration.handle(Event::Answer(mqtt::parse_answer(&topic, body).unwrap()), 100);
    assert!(matches!(registration.next(100), Action::Wait { until_ms: 7100 }));
    let Action::Send(request) = registration.next(7100) else { panic!() };
    let mut buffer = [0; mqtt::MAX_TOPIC];
    let rid = rid.wrapping_add(1);
    assert_eq!(
        mqtt::topic(&request, &mut buffer).unwrap(),
        format!("$dps/registrations/GET/iotdps-get-operationstatus/?$rid={rid}&operationId=5.a.b")
    );
    assert_eq!(request.body(&mut []).unwrap(), b"");
}
