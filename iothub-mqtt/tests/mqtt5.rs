//! The client at a hub that speaks MQTT 5, against a server that does what the test says, byte by byte.

use embedded_io_adapters::tokio_1::FromTokio;
use iothub_mqtt::endpoint::MAX_CLIENT_ID;
use iothub_mqtt::mqtt5::{self, MAX_USER_NAME, nonce};
use iothub_mqtt::session::{Options, Protocol, Session};
use iothub_mqtt::translate::Connect;
use iothub_mqtt::twin::Timing;
use iothub_mqtt::{
    Announcement, Backoff, Client, ClientOptions, DisconnectReason, Endpoint, Error, Generation, HubEvent,
    Refusal, Telemetry,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

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

/// The server's end of a connection.
struct Server {
    stream: DuplexStream,
}

fn pair() -> (FromTokio<DuplexStream>, Server) {
    let (client, stream) = tokio::io::duplex(1 << 16);
    (FromTokio::new(client), Server { stream })
}

/// A packet: its first byte and what follows its length.
async fn packet(server: &mut Server) -> (u8, Vec<u8>) {
    let header = server.stream.read_u8().await.unwrap();
    let (mut length, mut shift) = (0, 0);
    loop {
        let byte = server.stream.read_u8().await.unwrap();
        length |= usize::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            break;
        }
        shift += 7;
    }
    let mut body = vec![0; length];
    server.stream.read_exact(&mut body).await.unwrap();
    (header, body)
}

async fn send(server: &mut Server, bytes: &[u8]) {
    server.stream.write_all(bytes).await.unwrap();
}

fn text(text: &str) -> Vec<u8> {
    [&u16::try_from(text.len()).unwrap().to_be_bytes()[..], text.as_bytes()].concat()
}

/// A PUBLISH to the device: its kind, correlation data, and QoS 1 with an id.
fn publish(
    topic: &str,
    kind: &str,
    correlation: &[u8],
    expiry: Option<u8>,
    id: Option<u8>,
    body: &[u8],
) -> Vec<u8> {
    let mut properties = [&[0x26][..], &text("type"), &text(kind)].concat();
    properties.extend([0x09, 0, u8::try_from(correlation.len()).unwrap()]);
    properties.extend(correlation);
    properties.extend(expiry.into_iter().flat_map(|seconds| [0x02, 0, 0, 0, seconds]));
    let mut packet = text(topic);
    packet.extend(id.into_iter().flat_map(|id| [0, id]));
    packet.push(u8::try_from(properties.len()).unwrap());
    packet.extend(properties);
    packet.extend(body);
    let length = packet.len();
    let (low, high) = (u8::try_from(length % 128).unwrap(), u8::try_from(length / 128).unwrap());
    let length = if high > 0 { vec![low | 0x80, high] } else { vec![low] };
    let head = [&[0x30 | u8::from(id.is_some()) << 1][..], &length].concat();
    [&head[..], &packet].concat()
}

/// A PUBLISH of the device: topic, packet id, kind, correlation data, body.
#[derive(Debug, PartialEq)]
struct Published {
    topic: String,
    id: Option<u16>,
    kind: String,
    correlation: Vec<u8>,
    body: Vec<u8>,
}

fn parse(header: u8, mut body: &[u8]) -> Published {
    fn take<'a>(body: &mut &'a [u8], n: usize) -> &'a [u8] {
        body.split_off(..n).unwrap()
    }
    fn bytes<'a>(body: &mut &'a [u8]) -> &'a [u8] {
        let n = take(body, 2);
        take(body, usize::from(n[0]) << 8 | usize::from(n[1]))
    }
    assert_eq!(header & 0xF0, 0x30);
    let topic = String::from_utf8(bytes(&mut body).to_vec()).unwrap();
    let id = (header & 6 != 0).then(|| take(&mut body, 2)).map(|id| u16::from_be_bytes([id[0], id[1]]));
    let length = usize::from(take(&mut body, 1)[0]);
    assert!(length < 128);
    let (mut kind, mut correlation) = (String::new(), Vec::new());
    let mut properties = take(&mut body, length);
    while let [what, rest @ ..] = properties {
        properties = rest;
        match what {
            0x26 => {
                assert_eq!(bytes(&mut properties), b"type");
                kind = String::from_utf8(bytes(&mut properties).to_vec()).unwrap();
            }
            0x09 => correlation = bytes(&mut properties).to_vec(),
            0x03 => assert_eq!(bytes(&mut properties), b"application/protobuf"),
            0x02 => assert_eq!(take(&mut properties, 4).len(), 4),
            other => panic!("property {other}"),
        }
    }
    Published { topic, id, kind, correlation, body: body.to_vec() }
}

/// The next PUBLISH that is no question about the twin.
async fn published(server: &mut Server) -> Published {
    loop {
        match packet(server).await {
            (0x40, _) => {}
            (header, body) => {
                let published = parse(header, &body);
                if published.kind != "get:1" {
                    return published;
                }
            }
        }
    }
}

/// CONNACK, SUBACK, and the acknowledgement of the birth.
async fn admit(server: &mut Server) {
    let (header, _) = packet(server).await;
    assert_eq!(header, 0x10);
    send(server, &[0x20, 3, 0, 0, 0]).await;
    let (header, body) = packet(server).await;
    assert_eq!((header, &body[2..]), (0x82, &[&[0][..], &text("ih/dev/dev/#"), &[1]].concat()[..]));
    // An answer to the birth of an earlier connection, and a call that comes before the birth: neither counts.
    send(server, &publish("ih/dev/dev/presence", "birth-ack:1", &[7; 16], None, None, b"")).await;
    send(server, &publish("ih/dev/dev/methods", "probe:1", &[7; 16], None, Some(1), b"\x0a\x01x")).await;
    send(server, &[0x90, 4, body[0], body[1], 0, 1]).await;
    let birth = published(server).await;
    assert_eq!(
        (birth.topic.as_str(), birth.kind.as_str(), birth.id),
        ("ih/dev/srv/presence", "birth:1", None)
    );
    assert_eq!(birth.correlation, nonce(SEED));
    send(
        server,
        &publish("ih/dev/dev/presence", "birth-ack:1", &birth.correlation, None, None, b"\x50\x03\x58\x05"),
    )
    .await;
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
    let (refused, (header, body)) =
        tokio::join!(async { session.connect(stream, &connect).await.map(drop) }, async {
            let connect = packet(&mut server).await;
            send(&mut server, &[0x20, 3, 0, 0x87, 0]).await;
            connect
        });
    assert_eq!(refused, Err(Error::ConnectionRefused(Refusal::NotAuthorized)));
    // User name, no clean start; keep-alive 60; packets of 300 bytes, session for an hour, and how many at once.
    let head = [&[0, 4][..], b"MQTT", &[5, 0x80, 0, 60]].concat();
    assert_eq!((header, &body[..10]), (0x10, &head[..]));
    let properties = &body[11..11 + usize::from(body[10])];
    assert!(properties.windows(5).any(|property| property == [0x27, 0, 0, 1, 44]));
    assert!(properties.windows(5).any(|property| property == [0x11, 0, 0, 14, 16]));
    assert_eq!(body[11 + properties.len()..], [text(&id), text(connect.user_name)].concat());
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
                let (header, body) = packet(&mut server).await;
                assert_eq!(header, 0x32);
                assert!(body.ends_with(b"once"));
                // Not acknowledged; what else comes before the end does not matter.
                return;
            }
            let (_, connect) = packet(&mut server).await;
            assert_eq!(connect[7], 0x80, "the session is to be kept");
            // It is not.
            send(&mut server, &[0x20, 3, 0, 0, 0]).await;
            loop {
                let (header, body) = packet(&mut server).await;
                if header == 0x3A && body.ends_with(b"once") {
                    let at = 2 + "ih/dev/srv/telemetry".len();
                    send(&mut server, &[0x40, 2, body[at], body[at + 1]]).await;
                    return;
                }
            }
        };
        tokio::join!(device, hub);
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
        for reason in [0, 0x97] {
            let (header, body) = packet(&mut server).await;
            assert_eq!(header, 0x32);
            let at = 2 + "ih/dev/srv/telemetry".len();
            send(&mut server, &[0x40, 3, body[at], body[at + 1], reason]).await;
        }
        // In two pieces.
        send(&mut server, &[0xE0, 2]).await;
        tokio::task::yield_now().await;
        send(&mut server, &[0x8E, 0]).await;
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
        send(&mut server, &probe).await;
        send(&mut server, &probe).await;
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
        send(&mut server, &exec(&[1; 16])).await;
        send(&mut server, &exec(id)).await;
        send(&mut server, &exec(id)).await;
        let result = published(&mut server).await;
        assert_eq!((result.kind.as_str(), result.correlation.as_slice()), ("result:1", &request[..]));
        assert_eq!(result.body, [&[0x08][..], &[0xFF; 9], &[1, 0x12, 2], b"[]"].concat());
        send(&mut server, &exec(id)).await;
        // Too little time to be answered: turned away at once; a method without a name there is not.
        send(&mut server, &publish(methods, "probe:1", &[5; 16], Some(1), Some(4), b"\x0a\x01x\x10\x01"))
            .await;
        let answer = published(&mut server).await;
        assert_eq!((answer.correlation[0], answer.body.as_slice()), (5, &[0x12, 2, 0x08, 2][..]));
        send(&mut server, &publish(methods, "probe:1", &[6; 16], None, Some(5), b"")).await;
        assert_eq!(published(&mut server).await.body, [0x12, 2, 0x08, 1]);
        // Released, but with too little time left.
        send(&mut server, &publish(methods, "probe:1", &[8; 16], Some(30), Some(6), b"\x0a\x01x\x10\x1e"))
            .await;
        let ready = published(&mut server).await;
        let body = [&[0x0A, 16][..], &ready.body[4..]].concat();
        send(&mut server, &publish(methods, "exec:1", &[8; 16], Some(3), Some(7), &body)).await;
        let abandoned = published(&mut server).await;
        assert_eq!((abandoned.kind.as_str(), abandoned.correlation[0]), ("abandon:1", 8));
        assert_eq!(abandoned.body, [&body[..], &[0x10, 2]].concat());
        send(&mut server, &[0xE0, 0]).await;
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
