//! The client at a hub that speaks MQTT 5, against a server that does what the test says, byte by byte.

use embedded_io_adapters::tokio_1::FromTokio;
use iothub_mqtt::endpoint::MAX_CLIENT_ID;
use iothub_mqtt::mqtt5::{self, MAX_USER_NAME, nonce};
use iothub_mqtt::session::{Mqtt, Options, Protocol, Session};
use iothub_mqtt::translate::Connect;
use iothub_mqtt::twin::Timing;
use iothub_mqtt::{
    Announcement, Backoff, Client, ClientOptions, DisconnectReason, Endpoint, Error, Generation, HubEvent,
    Refusal, Telemetry,
};
use iothub_mqtt_test_support::packet::{Properties, Version, publish5, suback};
use iothub_mqtt_test_support::{Packet, Server, pair_of};
use tokio::io::DuplexStream;

const SEED: u32 = 11;

fn options() -> Options {
    Options { protocol: Protocol::V5, keep_alive_s: 60, ..Options::default() }
}

fn client_options() -> ClientOptions {
    ClientOptions {
        messages: false,
        subscribe_ms: 300,
        twin_timing: Timing { answer_ms: 300, backoff: Backoff { min_ms: 30, max_ms: 60, jitter_ms: 0 } },
        ..ClientOptions::new(SEED)
    }
}

fn endpoint() -> Endpoint<'static> {
    Endpoint::new("hub", "dev").unwrap().with_generation(Generation::Mqtt5)
}

const CONNECT: Connect<'static> = Connect { client_id: "dev", user_name: "u", password: None, will: None };

fn pair() -> (FromTokio<DuplexStream>, Server) {
    pair_of(Version::V5)
}

/// A PUBLISH to the device: its kind, correlation data, and QoS 1 with an id.
fn publish(
    topic: &str,
    kind: &str,
    correlation: &[u8],
    expiry_s: Option<u32>,
    id: Option<u16>,
    body: &[u8],
) -> Vec<u8> {
    let properties = Properties { expiry_s, ..Properties::new(kind, correlation) };
    publish5(id, topic, &properties, body)
}

/// A PUBLISH of the device: topic, packet id (0 with QoS 0), kind, correlation data, body.
#[derive(Debug, PartialEq)]
struct Published {
    topic: String,
    id: u16,
    kind: String,
    correlation: Vec<u8>,
    body: Vec<u8>,
}

/// The next PUBLISH that is no question about the twin.
async fn published(server: &mut Server) -> Published {
    loop {
        match server.packet().await {
            Packet::Puback(_) => {}
            Packet::Publish { properties, .. } if properties.kind() == "get:1" => {}
            Packet::Publish { topic, id, payload, properties, .. } => {
                assert_eq!(properties.content_type.as_deref(), Some("application/protobuf"));
                assert!(properties.user.iter().all(|(name, _)| name == "type"), "{properties:?}");
                let kind = properties.kind().to_owned();
                return Published { topic, id, kind, correlation: properties.correlation, body: payload };
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Telemetry with QoS 1: its packet id.
async fn telemetry(server: &mut Server, payload: &[u8], again: bool) -> u16 {
    loop {
        match server.packet().await {
            Packet::Publish { topic, id, payload: sent, qos: 1, dup, .. }
                if sent == payload && dup == again =>
            {
                assert_eq!(topic, "ih/dev/srv/telemetry");
                return id;
            }
            packet => assert!(again, "{packet:?}"),
        }
    }
}

/// CONNACK, SUBACK, and the acknowledgement of the birth.
async fn admit(server: &mut Server) {
    server.accept(false).await;
    let Packet::Subscribe { id, filters } = server.packet().await else { panic!("no SUBSCRIBE") };
    assert_eq!(filters, [("ih/dev/dev/#".to_owned(), 1)]);
    // An answer to the birth of an earlier connection, and a call that comes before the birth: neither counts.
    server.send(&publish("ih/dev/dev/presence", "birth-ack:1", &[7; 16], None, None, b"")).await;
    server.send(&publish("ih/dev/dev/methods", "probe:1", &[7; 16], None, Some(1), b"\x0a\x01x")).await;
    server.send(&suback(Version::V5, id, &filters)).await;
    let birth = published(server).await;
    assert_eq!((birth.topic.as_str(), birth.kind.as_str(), birth.id), ("ih/dev/srv/presence", "birth:1", 0));
    assert_eq!(birth.correlation, nonce(SEED));
    let ack =
        publish("ih/dev/dev/presence", "birth-ack:1", &birth.correlation, None, None, b"\x50\x03\x58\x05");
    server.send(&ack).await;
}

macro_rules! event {
    ($client:expr) => {
        loop {
            match $client.poll().await.unwrap() {
                Some(HubEvent::Other { .. }) | None => {}
                Some(event) => break event,
            }
        }
    };
}

#[tokio::test]
async fn connect_says_all_of_the_device() {
    let id = "d".repeat(128);
    let endpoint = Endpoint::new("hub", &id).unwrap().with_generation(Generation::Mqtt5);
    let (mut client_id, mut user_name) = ([0; MAX_CLIENT_ID], [0; MAX_USER_NAME]);
    let announcement = Announcement::default().with_product_info("a/ü").unwrap().with_seed(SEED);
    let connect = Connect {
        client_id: endpoint.client_id(&mut client_id).unwrap(),
        user_name: endpoint.user_name(&announcement, &mut user_name).unwrap(),
        password: None,
        will: None,
    };
    let digits = hex::encode(nonce(SEED));
    assert_eq!(connect.user_name, format!("correlationId={digits}&clientVersion=a%2F%C3%BC"));
    let (stream, mut server) = pair();
    let (mut rx, mut tx) = ([0; 300], [0; 512]);
    // A stage smaller than the packet.
    let mut session: Session<'_, 64> = Session::new(options(), &mut rx, &mut tx);
    let (refused, packet) =
        tokio::join!(async { session.connect(stream, &connect).await.map(drop) }, async {
            let connect = server.packet().await;
            server.send(&[0x20, 3, 0, 0x87, 0]).await;
            connect
        });
    assert_eq!(refused, Err(Error::ConnectionRefused(Refusal::NotAuthorized)));
    // User name, no clean start; keep-alive 60; packets of 300 bytes, session for an hour, and how many at once.
    let Packet::Connect { flags: 0x80, keep_alive: 60, properties, fields } = packet else {
        panic!("{packet:?}")
    };
    assert!(properties.windows(5).any(|property| property == [0x27, 0, 0, 1, 44]));
    assert!(properties.windows(5).any(|property| property == [0x11, 0, 0, 14, 16]));
    assert_eq!(fields, [id.as_bytes(), connect.user_name.as_bytes()]);
}

#[tokio::test]
async fn what_a_forgotten_session_has_not_acknowledged_is_sent_again() {
    let (mut rx, mut tx) = ([0; 512], [0; 1024]);
    let mut session: Session = Session::new(options(), &mut rx, &mut tx);
    for turn in 0..2 {
        let (stream, mut server) = pair();
        let device = async {
            let link = session.connect(stream, &CONNECT).await.unwrap();
            let mut client: Client<'_, _> =
                Client::new(link, endpoint(), ClientOptions { twin: false, ..client_options() });
            client.start().await.unwrap();
            if turn == 0 {
                assert!(matches!(event!(client), HubEvent::Connected));
                assert!(client.send(&Telemetry::new(b"once")).await.unwrap().is_some());
                return;
            }
            loop {
                match event!(client) {
                    HubEvent::Delivered(_) => return,
                    HubEvent::Connected => {}
                    other => panic!("{other:?}"),
                }
            }
        };
        let hub = async {
            if turn == 0 {
                admit(&mut server).await;
                telemetry(&mut server, b"once", false).await;
                // Not acknowledged; what else comes before the end does not matter.
                return;
            }
            let Packet::Connect { flags, .. } = server.accept(false).await else { panic!("no CONNECT") };
            // The session was to be kept; it is not.
            assert_eq!(flags, 0x80);
            let id = telemetry(&mut server, b"once", true).await;
            server.puback(id).await;
        };
        tokio::join!(device, hub);
    }
}

#[tokio::test]
async fn what_an_earlier_connection_brought_is_not_acknowledged() {
    let (mut rx, mut tx) = ([0; 512], [0; 1024]);
    let mut session: Session = Session::new(options(), &mut rx, &mut tx);
    let message = publish("t", "exec:1", &[7; 16], None, Some(9), b"");
    for turn in 0..2 {
        let (stream, mut server) = pair();
        let device = async {
            let mut link = session.connect(stream, &CONNECT).await.unwrap();
            link.subscribe(&["t"]).await.unwrap();
            // The connection ends before the acknowledgement is written; the second time it is written.
            while link.poll().await.unwrap().is_none() {}
            if turn > 0 {
                let _ = link.poll().await;
            }
        };
        let hub = async {
            // The session is forgotten.
            server.accept(false).await;
            assert_eq!(server.grant().await.len(), 1);
            server.send(&message).await;
            server
        };
        let ((), mut server) = tokio::join!(device, hub);
        assert_eq!(server.packet().await, if turn == 0 { Packet::End } else { Packet::Puback(9) });
    }
}

#[tokio::test]
async fn refusals_and_reasons() {
    let (stream, mut server) = pair();
    let (mut rx, mut tx) = ([0; 512], [0; 512]);
    let mut session: Session = Session::new(options(), &mut rx, &mut tx);
    let device = async {
        let link = session.connect(stream, &CONNECT).await.unwrap();
        let mut client: Client<'_, _> =
            Client::new(link, endpoint(), ClientOptions { twin: false, ..client_options() });
        client.start().await.unwrap();
        assert_eq!(client.report("{}").await, Err(Error::Busy), "the version is not known before the birth");
        assert!(matches!(event!(client), HubEvent::Connected));
        let taken = client.send(&Telemetry::new(b"taken")).await.unwrap().unwrap();
        assert!(matches!(event!(client), HubEvent::Delivered(ticket) if ticket == taken));
        let refused = client.send(&Telemetry::new(b"refused")).await.unwrap().unwrap();
        assert!(
            matches!(event!(client), HubEvent::Rejected { ticket, reason: 0x97 } if ticket == refused),
            "quota"
        );
        assert_eq!(
            client.send(&Telemetry::new(b"").with_properties(&[("type", "x")])).await.err(),
            Some(Error::Invalid { what: "property name", at: 0 })
        );
        let many = [("a", "b"); 21];
        assert_eq!(
            client.send(&Telemetry::new(b"").with_properties(&many)).await.err(),
            Some(Error::TooLarge)
        );
        client.poll().await.unwrap_err()
    };
    let hub = async {
        admit(&mut server).await;
        for (payload, reason) in [(&b"taken"[..], 0), (b"refused", 0x97)] {
            let [high, low] = telemetry(&mut server, payload, false).await.to_be_bytes();
            server.send(&[0x40, 3, high, low, reason]).await;
        }
        // In two pieces.
        server.send(&[0xE0, 2]).await;
        tokio::task::yield_now().await;
        server.send(&[0x8E, 0]).await;
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    let (ended, ()) = tokio::join!(device, hub);
    assert_eq!(ended, Error::DisconnectedBy(DisconnectReason::SESSION_TAKEN_OVER));
    assert!(ended.is_retriable() && !ended.is_refusal() && !ended.is_local());
}

#[tokio::test]
async fn a_method_runs_once() {
    let (stream, mut server) = pair();
    let (mut rx, mut tx) = ([0; 512], [0; 1024]);
    let mut session: Session = Session::new(options(), &mut rx, &mut tx);
    let request = [9; 16];
    let methods = "ih/dev/dev/methods";
    let device = async {
        let link = session.connect(stream, &CONNECT).await.unwrap();
        let mut client: Client<'_, _> =
            Client::new(link, endpoint(), ClientOptions { twin: false, ..client_options() });
        client.start().await.unwrap();
        assert!(matches!(event!(client), HubEvent::Connected));
        let to = match event!(client) {
            HubEvent::Method(call) => {
                assert_eq!(
                    (call.name, call.payload, call.request_id),
                    ("x", &b"{}"[..], "09".repeat(16).as_str())
                );
                call.reply_to()
            }
            other => panic!("{other:?}"),
        };
        client.respond(&to, -1, b"[]").await.unwrap();
        // Once more is not sent.
        client.respond(&to, 200, b"").await.unwrap();
        let end = client.poll().await;
        assert!(end.is_ok());
        loop {
            match client.poll().await {
                Ok(None) => {}
                Ok(Some(event)) => panic!("{event:?}"),
                Err(error) => return error,
            }
        }
    };
    let hub = async {
        admit(&mut server).await;
        // A probe, and again: one answer.
        let probe = publish(methods, "probe:1", &request, Some(30), Some(2), b"\x0a\x01x\x10\x1e");
        server.send(&probe).await;
        server.send(&probe).await;
        let ready = published(&mut server).await;
        assert_eq!(
            (ready.kind.as_str(), ready.correlation.as_slice(), ready.body.len()),
            ("probe-ack:1", &request[..], 20)
        );
        let id = &ready.body[4..];
        // Another ready id, then the right one twice: it runs once.
        let exec = |id: &[u8]| {
            let body = [&[0x0A, 16][..], id, &[0x12, 2], b"{}"].concat();
            publish(methods, "exec:1", &request, Some(30), Some(3), &body)
        };
        server.send(&exec(&[1; 16])).await;
        server.send(&exec(id)).await;
        server.send(&exec(id)).await;
        let result = published(&mut server).await;
        assert_eq!((result.kind.as_str(), result.correlation.as_slice()), ("result:1", &request[..]));
        assert_eq!(result.body, [&[0x08][..], &[0xFF; 9], &[1, 0x12, 2], b"[]"].concat());
        server.send(&exec(id)).await;
        // Too little time to be answered: turned away at once; a method without a name there is not.
        server.send(&publish(methods, "probe:1", &[5; 16], Some(1), Some(4), b"\x0a\x01x\x10\x01")).await;
        let answer = published(&mut server).await;
        assert_eq!((answer.correlation[0], answer.body.as_slice()), (5, &[0x12, 2, 0x08, 2][..]));
        server.send(&publish(methods, "probe:1", &[6; 16], None, Some(5), b"")).await;
        assert_eq!(published(&mut server).await.body, [0x12, 2, 0x08, 1]);
        // Released, but with too little time left.
        server.send(&publish(methods, "probe:1", &[8; 16], Some(30), Some(6), b"\x0a\x01x\x10\x1e")).await;
        let ready = published(&mut server).await;
        let body = [&[0x0A, 16][..], &ready.body[4..]].concat();
        server.send(&publish(methods, "exec:1", &[8; 16], Some(3), Some(7), &body)).await;
        let abandoned = published(&mut server).await;
        assert_eq!((abandoned.kind.as_str(), abandoned.correlation[0]), ("abandon:1", 8));
        assert_eq!(abandoned.body, [&body[..], &[0x10, 2]].concat());
        server.send(&[0xE0, 0]).await;
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    let (ended, ()) = tokio::join!(device, hub);
    assert_eq!(ended, Error::DisconnectedBy(DisconnectReason(0)));
}

/// Any bytes as a body, any property: an error or nothing, never a panic, and what is whole is read.
#[test]
fn bodies_of_any_bytes() {
    use mqtt5::{method, presence, twin};
    let good: [&[u8]; 6] = [
        b"\x50\x03\x58\x05",
        b"\x08\x03\x10\x05\x1a\x02{}\x22\x02{}",
        b"\x0a\x06\x08\x02\x12\x02{}",
        b"\x08\x02\x12\x02{}",
        b"\x0a\x01x\x10\x1e",
        b"\x0a\x10abcdefghijklmnop\x12\x02{}\x1a\x02\x08\x01",
    ];
    for body in good {
        for at in 0..body.len() {
            for value in [0, 1, 0x7F, 0x80, 0xFF, body[at] ^ 8] {
                let mut bytes = body.to_vec();
                bytes[at] = value;
                for bytes in [&bytes[..], &bytes[..at], &bytes[at..]] {
                    let _ = presence::BirthAck::parse(bytes);
                    let _ = twin::GetResponse::parse(bytes);
                    let _ = twin::Push::parse(bytes);
                    let _ = twin::DesiredPatch::parse(bytes);
                    let _ = twin::PatchResponse::parse(bytes);
                    let _ = method::Probe::parse(bytes);
                    let _ = method::Exec::parse(bytes);
                }
            }
        }
    }
    let ack = presence::BirthAck::parse(good[0]).unwrap();
    assert_eq!((ack.desired_version, ack.reported_version), (3, 5));
    let twin = twin::GetResponse::parse(good[1]).unwrap();
    assert_eq!((twin.desired.version, twin.desired.payload, twin.reported.version), (3, Some(&b"{}"[..]), 5));
    assert_eq!(twin::Push::parse(good[2]).unwrap().desired.unwrap().version, 2);
    let patch = twin::PatchResponse::parse(b"\x08\x02\x10\x09").unwrap();
    assert_eq!((patch.status(), patch.version), (412, 9));
    assert_eq!(method::Probe::parse(good[4]).unwrap().response_timeout_s, 30);
    assert_eq!(&method::Exec::parse(good[5]).unwrap().ready, b"abcdefghijklmnop");
}
