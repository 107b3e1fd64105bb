//! Registration over a stream, against a server that plays the provisioning service.
#![allow(clippy::cast_possible_truncation)]

use dps_client::{Backoff, Config, Fault, Registration, Timing, Transport};
use iothub_mqtt::Error;
use iothub_mqtt::provision::{Buffers, MIN_BODY, register};
use iothub_mqtt_test_support::{Packet, Server, pair};

const ASSIGNING: &[u8] = br#"{"operationId":"5.a1.b2","status":"assigning"}"#;
const ASSIGNED: &[u8] = br#"{"operationId":"5.a1.b2","status":"assigned","registrationState":
    {"assignedHub":"contoso.azure-devices.net","deviceId":"dev-1","status":"assigned"}}"#;

fn config() -> Config<'static> {
    Config::new("0ne00000001", "dev-1").unwrap().with_timing(Timing {
        connect_ms: 500,
        request_ms: 500,
        poll_ms: 20,
        backoff: Backoff { min_ms: 10, max_ms: 20, jitter_ms: 0 },
        ..Timing::DEFAULT
    })
}

/// Takes a request and acknowledges it; gives the request id.
async fn request(server: &mut Server, kind: &str) -> String {
    let Packet::Publish { id, topic, qos: 1, .. } = server.packet().await else { panic!() };
    assert!(topic.contains(kind), "{topic}");
    server.puback(id).await;
    topic.split("$rid=").nth(1).unwrap().split('&').next().unwrap().to_string()
}

async fn answer(server: &mut Server, status: u16, rid: &str, more: &str, body: &[u8]) {
    let topic = format!("$dps/registrations/res/{status}/?$rid={rid}{more}");
    server.publish(0, &topic, body).await;
}

async fn greet(server: &mut Server) -> Packet {
    let connect = server.accept(false).await;
    assert_eq!(server.grant().await, [("$dps/registrations/res/#".to_string(), 1)]);
    connect
}

struct Memory {
    rx: [u8; 2048],
    tx: [u8; 1024],
    body: [u8; MIN_BODY],
}

impl Memory {
    fn new() -> Self {
        Self { rx: [0; 2048], tx: [0; 1024], body: [0; MIN_BODY] }
    }
    fn buffers(&mut self) -> Buffers<'_> {
        Buffers { rx: &mut self.rx, tx: &mut self.tx, body: &mut self.body }
    }
}

#[tokio::test]
async fn register_poll_assigned() {
    let (stream, mut server) = pair();
    let mut registration = Registration::new(config(), 7);
    let mut memory = Memory::new();
    let mut buffers = memory.buffers();
    let service = async {
        let Packet::Connect { flags, fields, .. } = greet(&mut server).await else { panic!() };
        assert_eq!(flags, 0b1000_0010, "user name, clean session, no password");
        assert_eq!(fields[0], b"dev-1");
        assert_eq!(fields[1], b"0ne00000001/registrations/dev-1/api-version=2019-03-31");
        let rid = request(&mut server, "PUT/iotdps-register").await;
        // not this one, and not that one
        answer(&mut server, 200, "nobody", "", ASSIGNED).await;
        server.publish(0, "$dps/registrations/res/abc/?$rid=1", b"").await;
        answer(&mut server, 202, &rid, "", ASSIGNING).await;
        let rid = request(&mut server, "operationId=5.a1.b2").await;
        answer(&mut server, 200, &rid, "", ASSIGNED).await;
        assert_eq!(server.packet().await, Packet::Disconnect);
    };
    let (result, ()) = tokio::join!(register(&mut registration, stream, None, &mut buffers), service);
    let assignment = result.unwrap();
    assert_eq!((assignment.hub(), assignment.device_id()), ("contoso.azure-devices.net", "dev-1"));
    // Asked again, it knows without a connection.
    let (stream, _server) = pair();
    assert_eq!(register(&mut registration, stream, None, &mut buffers).await.unwrap(), assignment);
}

#[tokio::test]
async fn a_lost_connection_is_taken_up_where_it_was() {
    let mut registration = Registration::new(config(), 7);
    let mut memory = Memory::new();
    let mut buffers = memory.buffers();
    let (stream, mut server) = pair();
    let service = async {
        greet(&mut server).await;
        let rid = request(&mut server, "PUT/").await;
        answer(&mut server, 202, &rid, "", ASSIGNING).await;
        drop(server);
    };
    let (result, ()) =
        tokio::join!(register(&mut registration, stream, Some(b"token"), &mut buffers), service);
    assert!(result.unwrap_err().is_retriable());

    let (stream, mut server) = pair();
    let service = async {
        let Packet::Connect { flags, fields, .. } = greet(&mut server).await else { panic!() };
        assert_eq!((flags, &fields[2][..]), (0b1100_0010, &b"token"[..]));
        // It goes on polling the same operation.
        let rid = request(&mut server, "operationId=5.a1.b2").await;
        answer(&mut server, 200, &rid, "", ASSIGNED).await;
        server.packet().await
    };
    let (result, packet) =
        tokio::join!(register(&mut registration, stream, Some(b"token"), &mut buffers), service);
    assert_eq!(packet, Packet::Disconnect);
    assert!(result.is_ok());
}

#[tokio::test]
async fn silence_is_a_fault() {
    let mut registration = Registration::new(config(), 7);
    let mut memory = Memory::new();
    let mut buffers = memory.buffers();
    // no CONNACK
    let (stream, _server) = pair();
    let error = register(&mut registration, stream, None, &mut buffers).await.unwrap_err();
    assert_eq!(error, Error::Timeout("CONNACK"));
    // no SUBACK
    let (stream, mut server) = pair();
    let (result, _) =
        tokio::join!(register(&mut registration, stream, None, &mut buffers), server.accept(false));
    assert_eq!(result.unwrap_err(), Error::RegistrationInterrupted(Fault::RequestTimeout));
    // no answer
    let (stream, mut server) = pair();
    let service = async {
        greet(&mut server).await;
        request(&mut server, "PUT/").await;
    };
    let (result, ()) = tokio::join!(register(&mut registration, stream, None, &mut buffers), service);
    assert_eq!(result.unwrap_err(), Error::RegistrationInterrupted(Fault::RequestTimeout));
    assert_eq!(registration.attempts(), 3);
}

#[tokio::test]
async fn refusals() {
    let mut memory = Memory::new();
    let mut buffers = memory.buffers();
    // CONNACK 5 is final, 3 is not.
    for (code, finally) in [(5, true), (4, true), (3, false)] {
        let mut registration = Registration::new(config(), 7);
        let (stream, mut server) = pair();
        let service = async {
            server.packet().await;
            server.send(&[0x20, 2, 0, code]).await;
        };
        let (result, ()) = tokio::join!(register(&mut registration, stream, None, &mut buffers), service);
        let error = result.unwrap_err();
        if finally {
            assert_eq!(error, Error::Registration(dps_client::Error::ConnectionRefused { code }));
        } else {
            assert_eq!(error, Error::RegistrationInterrupted(Fault::ConnectionRefused(3)));
        }
        assert_eq!(error.is_retriable(), !finally);
    }
    // the subscription
    let mut registration = Registration::new(config(), 7);
    let (stream, mut server) = pair();
    let service = async {
        server.accept(false).await;
        let Packet::Subscribe { id, .. } = server.packet().await else { panic!() };
        server.send(&[0x90, 3, 0, id as u8, 0x80]).await;
    };
    let (result, ()) = tokio::join!(register(&mut registration, stream, None, &mut buffers), service);
    assert_eq!(result.unwrap_err(), Error::RegistrationInterrupted(Fault::SubscribeRefused));
    // the request
    let mut registration = Registration::new(config(), 7);
    let (stream, mut server) = pair();
    let service = async {
        greet(&mut server).await;
        let rid = request(&mut server, "PUT/").await;
        answer(&mut server, 401, &rid, "", br#"{"errorCode":401002,"message":"no"}"#).await;
    };
    let (result, ()) = tokio::join!(register(&mut registration, stream, None, &mut buffers), service);
    assert_eq!(
        result.unwrap_err(),
        Error::Registration(dps_client::Error::Service { status: 401, code: Some(401_002) })
    );
    // and a hub this crate cannot talk to
    let mut registration = Registration::new(config(), 7);
    let (stream, mut server) = pair();
    let service = async {
        greet(&mut server).await;
        let rid = request(&mut server, "PUT/").await;
        let body = br#"{"operationId":"5","status":"assigned","registrationState":{"assignedHub":"h.net",
            "deviceId":"d","connectionProfile":"Pigeon"}}"#;
        answer(&mut server, 200, &rid, "", body).await;
    };
    let (result, ()) = tokio::join!(register(&mut registration, stream, None, &mut buffers), service);
    assert!(result.unwrap_err().to_string().contains("Pigeon"));
}

#[tokio::test]
async fn a_registration_over_https_does_not_belong_here() {
    let mut registration = Registration::new(config().with_transport(Transport::Https), 7);
    let mut memory = Memory::new();
    let (stream, _server) = pair();
    let error = register(&mut registration, stream, None, &mut memory.buffers()).await.unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }));
}
