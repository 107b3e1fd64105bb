//! Session and client against a server that does what the test says.
#![allow(clippy::cast_possible_truncation)]

use embassy_time::Duration;
use iothub_mqtt::session::{Mqtt, Options, Progress, QoS, Session};
use iothub_mqtt::telemetry::Telemetry;
use iothub_mqtt::translate::{Connect, Fault, Will};
use iothub_mqtt::{Client, ClientOptions, Endpoint, Error, HubEvent, Refusal};
use iothub_mqtt_test_support::{Packet, Server, pair};

const HUB: &str = "contoso.azure-devices.net";

const CONNECT: Connect<'static> = Connect {
    client_id: "my-device",
    user_name: "contoso.azure-devices.net/my-device/?api-version=2021-04-12",
    password: None,
    will: None,
};

fn options() -> Options {
    Options { connack_ms: 200, ..Options::default() }
}

fn messages_only() -> ClientOptions {
    ClientOptions { methods: false, twin: false, ..ClientOptions::new(1) }
}

/// The next event that concerns the application.
macro_rules! event {
    ($client:expr) => {
        loop {
            if let Some(event) = $client.poll().await.unwrap() {
                break event;
            }
        }
    };
}

#[tokio::test]
async fn connect_says_what_it_should() {
    let (stream, mut server) = pair();
    let (mut rx, mut tx) = ([0; 256], [0; 256]);
    let mut session: Session = Session::new(options(), &mut rx, &mut tx);
    let client_id = "x".repeat(257);
    let connect = Connect {
        client_id: &client_id,
        password: Some(b"SharedAccessSignature sr=..."),
        will: Some(Will { topic: "devices/x/messages/events/", payload: b"gone", qos: 1, retain: false }),
        ..CONNECT
    };
    let (link, packet) = tokio::join!(session.connect(stream, &connect), server.accept(false));
    link.unwrap().disconnect().await.unwrap();
    let Packet::Connect { flags, keep_alive, fields, .. } = packet else { unreachable!() };
    assert_eq!((flags, keep_alive), (0b1100_1100, 240));
    assert_eq!(
        fields,
        [
            client_id.as_bytes(),
            b"devices/x/messages/events/",
            b"gone",
            CONNECT.user_name.as_bytes(),
            b"SharedAccessSignature sr=..."
        ]
    );
    assert_eq!(server.packet().await, Packet::Disconnect);
}

#[tokio::test]
async fn clean_session_without_password() {
    let (stream, mut server) = pair();
    let (mut rx, mut tx) = ([0; 256], [0; 256]);
    let options = Options { clean: true, keep_alive_s: 30, ..options() };
    let mut session: Session = Session::new(options, &mut rx, &mut tx);
    let (_link, packet) = tokio::join!(session.connect(stream, &CONNECT), server.accept(false));
    let Packet::Connect { flags, keep_alive, fields, .. } = packet else { unreachable!() };
    assert_eq!((flags, keep_alive, fields.len()), (0b1000_0010, 30, 2));
}

#[tokio::test]
async fn refusals_and_a_silent_server() {
    let (mut rx, mut tx) = ([0; 256], [0; 256]);
    let mut session: Session = Session::new(options(), &mut rx, &mut tx);
    for (code, refusal) in [
        (1, Refusal::ProtocolVersion),
        (2, Refusal::ClientId),
        (3, Refusal::Unavailable),
        (4, Refusal::Credentials),
        (5, Refusal::NotAuthorized),
    ] {
        let (stream, mut server) = pair();
        let refuse = async {
            server.packet().await;
            server.send(&[0x20, 2, 0, code]).await;
        };
        let (result, ()) = tokio::join!(session.connect(stream, &CONNECT), refuse);
        let error = result.unwrap_err();
        assert_eq!(error, Error::ConnectionRefused(refusal));
        assert_eq!(refusal.code(), code);
        assert_eq!(error.is_retriable(), code == 3);
        assert_eq!(error.is_refusal(), matches!(code, 2 | 4 | 5));
        assert!(!error.is_local());
    }
    // no CONNACK
    let (stream, _server) = pair();
    assert_eq!(session.connect(stream, &CONNECT).await.unwrap_err(), Error::Timeout("CONNACK"));
    // closed
    let (stream, server) = pair();
    drop(server);
    assert!(session.connect(stream, &CONNECT).await.unwrap_err().is_retriable());
    // something else than CONNACK, and garbage
    for answer in [&[0xD0, 0][..], b"HTTP/1.1 400 Bad Request\r\n"] {
        let (stream, mut server) = pair();
        let reply = async {
            server.packet().await;
            server.send(answer).await;
        };
        let (result, ()) = tokio::join!(session.connect(stream, &CONNECT), reply);
        let Err(Error::Malformed(fault)) = result else { panic!() };
        assert!(matches!(fault.fault, Fault::Order | Fault::PacketType | Fault::Flags), "{fault}");
    }
    // and the session is none the worse
    let (stream, mut server) = pair();
    let (result, _) = tokio::join!(session.connect(stream, &CONNECT), server.accept(true));
    assert!(result.is_ok());
}

async fn start(server: &mut Server) {
    server.accept(false).await;
    assert_eq!(server.grant().await[0], ("devices/my-device/messages/devicebound/#".into(), 1));
}

#[tokio::test]
async fn connected_means_subscribed() {
    let (stream, mut server) = pair();
    let (mut rx, mut tx) = ([0; 512], [0; 512]);
    let mut session: Session = Session::new(options(), &mut rx, &mut tx);
    let endpoint = Endpoint::new(HUB, "my-device").unwrap();
    let device = async {
        let link = session.connect(stream, &CONNECT).await.unwrap();
        let mut client: Client<'_, _> = Client::new(link, endpoint, messages_only());
        client.start().await.unwrap();
        // A waiting message may come before SUBACK: it is not lost.
        assert!(matches!(event!(client), HubEvent::Message(m) if m.payload == b"early"));
        assert!(matches!(event!(client), HubEvent::Connected));
        assert!(matches!(event!(client), HubEvent::Message(m) if m.payload == b"late"));
        client.disconnect().await.unwrap();
    };
    let hub = async {
        server.accept(true).await;
        let Packet::Subscribe { id, .. } = server.packet().await else { panic!() };
        server.publish(9, "devices/my-device/messages/devicebound/", b"early").await;
        assert_eq!(server.packet().await, Packet::Puback(9));
        server.send(&[0x90, 3, 0, id as u8, 1]).await;
        server.publish(10, "devices/my-device/messages/devicebound/a=b", b"late").await;
        assert_eq!(server.packet().await, Packet::Puback(10));
        assert_eq!(server.packet().await, Packet::Disconnect);
    };
    tokio::join!(device, hub);
}

#[tokio::test]
async fn a_refused_subscription_leaves_the_connection_standing() {
    use iothub_mqtt::session::{Mqtt, Progress, QoS};
    let (stream, mut server) = pair();
    let (mut rx, mut tx) = ([0; 512], [0; 512]);
    let mut session: Session = Session::new(options(), &mut rx, &mut tx);
    let device = async {
        let mut link = session.connect(stream, &CONNECT).await.unwrap();
        link.subscribe(&["a/#"]).await.unwrap();
        assert_eq!(link.poll().await.map(|_| ()), Err(Error::SubscriptionRefused));
        assert!(Error::SubscriptionRefused.is_local());
        let ticket = link.publish("t", b"x", QoS::AtLeastOnce).await.unwrap().unwrap();
        while link.progress(ticket) != Progress::Done {
            link.poll().await.unwrap();
        }
    };
    let hub = async {
        server.accept(false).await;
        let Packet::Subscribe { id, .. } = server.packet().await else { panic!() };
        server.send(&[0x90, 3, 0, id as u8, 0x80]).await;
        let Packet::Publish { id, .. } = server.packet().await else { panic!() };
        server.puback(id).await;
        server.packet().await
    };
    let ((), packet) = tokio::join!(device, hub);
    assert_eq!(packet, Packet::End);
}

const TOPIC: &str = "devices/my-device/messages/devicebound/%24.mid=1";

#[tokio::test]
async fn a_message_is_acknowledged_only_after_it_was_taken() {
    let (mut rx, mut tx) = ([0; 512], [0; 512]);
    let mut session: Session = Session::new(options(), &mut rx, &mut tx);
    let endpoint = Endpoint::new(HUB, "my-device").unwrap();
    {
        let (stream, mut server) = pair();
        let hub = async {
            start(&mut server).await;
            server.publish(5, TOPIC, b"do not lose me").await;
        };
        let device = async {
            let link = session.connect(stream, &CONNECT).await.unwrap();
            let mut client: Client<'_, _> = Client::new(link, endpoint, messages_only());
            client.start().await.unwrap();
            assert!(matches!(event!(client), HubEvent::Connected));
            let HubEvent::Message(message) = event!(client) else { panic!() };
            assert_eq!(message.message_id().unwrap(), "1");
            // The application fails here; the client goes with the message.
        };
        tokio::join!(device, hub);
        assert_eq!(server.packet().await, Packet::End, "acknowledged too early");
    }
    // Connected again: no stale acknowledgement, the message comes again, and now it is taken.
    let (stream, mut server) = pair();
    let hub = async {
        server.accept(true).await;
        assert_eq!(server.grant().await.len(), 1);
        server.publish(5, TOPIC, b"do not lose me").await;
        assert_eq!(server.packet().await, Packet::Puback(5));
    };
    let device = async {
        let link = session.connect(stream, &CONNECT).await.unwrap();
        let mut client: Client<'_, _> = Client::new(link, endpoint, messages_only());
        client.start().await.unwrap();
        assert!(matches!(event!(client), HubEvent::Connected));
        let HubEvent::Message(message) = event!(client) else { panic!() };
        assert_eq!(message.payload, b"do not lose me");
        let _ = embassy_time::with_timeout(Duration::from_millis(50), client.poll()).await;
    };
    tokio::join!(device, hub);
}

#[tokio::test]
async fn telemetry_is_delivered_once_acknowledged_also_across_a_reconnect_without_session() {
    let (mut rx, mut tx) = ([0; 512], [0; 1024]);
    let mut session: Session = Session::new(options(), &mut rx, &mut tx);
    let endpoint = Endpoint::new(HUB, "my-device").unwrap();
    let first;
    let second;
    {
        let (stream, mut server) = pair();
        let hub = async {
            start(&mut server).await;
            let Packet::Publish { id, topic, payload, qos: 1, dup: false, .. } = server.packet().await else {
                panic!()
            };
            assert_eq!(
                (topic.as_str(), &payload[..]),
                ("devices/my-device/messages/events/n=1", &b"one"[..])
            );
            server.puback(id).await;
            // The second gets no answer.
            let Packet::Publish { payload, .. } = server.packet().await else { panic!() };
            assert_eq!(payload, b"two");
        };
        let device = async {
            let link = session.connect(stream, &CONNECT).await.unwrap();
            let mut client: Client<'_, _> = Client::new(link, endpoint, messages_only());
            client.start().await.unwrap();
            assert!(matches!(event!(client), HubEvent::Connected));
            let ticket = client.send(&Telemetry::new(b"one").with_properties(&[("n", "1")])).await;
            let first = ticket.unwrap().unwrap();
            assert!(matches!(event!(client), HubEvent::Delivered(t) if t == first));
            (first, client.send(&Telemetry::new(b"two")).await.unwrap().unwrap())
        };
        ((first, second), ()) = tokio::join!(device, hub);
    }
    assert_ne!(first, second);
    assert_eq!(session.in_flight(), 1);
    let (stream, mut server) = pair();
    let hub = async {
        // The hub has forgotten the session, but not everything else.
        let Packet::Connect { flags, .. } = server.accept(false).await else { panic!() };
        assert_eq!(flags & 2, 0, "CleanSession");
        let mut filters = 0;
        let mut id = 0;
        for _ in 0..2 {
            match server.packet().await {
                Packet::Publish { payload, dup: true, id: again, .. } => {
                    assert_eq!(payload, b"two");
                    id = again;
                }
                Packet::Subscribe { id, .. } => {
                    filters += 1;
                    server.send(&[0x90, 3, 0, id as u8, 1]).await;
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(filters, 1);
        server.puback(id).await;
    };
    let device = async {
        let link = session.connect(stream, &CONNECT).await.unwrap();
        let mut client: Client<'_, _> = Client::new(link, endpoint, messages_only());
        client.start().await.unwrap();
        assert!(matches!(event!(client), HubEvent::Connected));
        assert!(matches!(event!(client), HubEvent::Delivered(t) if t == second));
    };
    tokio::join!(device, hub);
    assert_eq!(session.in_flight(), 0);
}

#[tokio::test]
async fn busy_and_too_large_harm_nothing() {
    let (stream, mut server) = pair();
    let (mut rx, mut tx) = ([0; 256], [0; 2048]);
    let mut session: Session<'_, 128> = Session::new(options(), &mut rx, &mut tx);
    let hub = async {
        server.accept(false).await;
        let mut ids = Vec::new();
        for _ in 0..8 {
            let Packet::Publish { id, .. } = server.packet().await else { panic!() };
            ids.push(id);
        }
        for id in ids {
            server.puback(id).await;
        }
        server.packet().await
    };
    let device = async {
        let mut link = session.connect(stream, &CONNECT).await.unwrap();
        assert_eq!(link.publish(&"t".repeat(120), b"", QoS::AtLeastOnce).await, Err(Error::TooLarge));
        assert_eq!(link.publish("t", &[0; 2048], QoS::AtLeastOnce).await, Err(Error::TooLarge));
        assert_eq!(link.publish("t", &[0; 2048], QoS::AtMostOnce).await, Err(Error::TooLarge));
        let mut tickets = Vec::new();
        for _ in 0..8 {
            assert!((link.room() > 0));
            tickets.push(link.publish("t", b"x", QoS::AtLeastOnce).await.unwrap().unwrap());
        }
        assert_eq!(link.room(), 0);
        assert_eq!(link.publish("t", b"x", QoS::AtLeastOnce).await, Err(Error::Busy));
        assert_eq!(link.subscribe(&["a"]).await, Err(Error::Busy));
        assert_eq!(link.progress(tickets[7]), Progress::Pending);
        for ticket in &tickets {
            let settled = loop {
                match link.next_settled() {
                    Some(settled) => break settled,
                    None => assert!(link.poll().await.unwrap().is_none()),
                }
            };
            assert_eq!(settled, (*ticket, Progress::Done));
        }
        assert_eq!(link.next_settled(), None);
        assert!((link.room() > 0));
        link.disconnect().await.unwrap();
    };
    let ((), packet) = tokio::join!(device, hub);
    assert_eq!(packet, Packet::Disconnect);
}

#[tokio::test]
async fn an_oversized_message_is_reported_and_not_acknowledged() {
    let (stream, mut server) = pair();
    let (mut rx, mut tx) = ([0; 256], [0; 256]);
    let mut session: Session = Session::new(options(), &mut rx, &mut tx);
    let topic = "devices/my-device/messages/devicebound/";
    let hub = async {
        start(&mut server).await;
        server.publish(3, topic, &vec![7; 60_000]).await;
        server.publish(4, topic, b"small").await;
        assert_eq!(server.packet().await, Packet::Puback(4));
    };
    let device = async {
        let link = session.connect(stream, &CONNECT).await.unwrap();
        let mut client: Client<'_, _> =
            Client::new(link, Endpoint::new(HUB, "my-device").unwrap(), messages_only());
        client.start().await.unwrap();
        assert!(matches!(event!(client), HubEvent::Connected));
        assert!(matches!(event!(client), HubEvent::Oversized { topic: t, size: 60_047 } if t == topic));
        assert!(matches!(event!(client), HubEvent::Message(m) if m.payload == b"small"));
        let _ = embassy_time::with_timeout(Duration::from_millis(50), client.poll()).await;
    };
    tokio::join!(device, hub);
}

#[tokio::test]
async fn pings_keep_the_connection_and_their_absence_ends_it() {
    let (stream, mut server) = pair();
    let (mut rx, mut tx) = ([0; 256], [0; 256]);
    // A ping is due after half of this.
    let options = Options { keep_alive_s: 1, ..options() };
    let mut session: Session = Session::new(options, &mut rx, &mut tx);
    let hub = async {
        server.accept(false).await;
        assert_eq!(server.packet().await, Packet::Ping);
        server.send(&[0xD0, 0]).await;
        assert_eq!(server.packet().await, Packet::Ping);
        drop(server);
    };
    let device = async {
        let mut link = session.connect(stream, &CONNECT).await.unwrap();
        loop {
            if let Err(error) = link.poll().await {
                assert!(matches!(error, Error::Disconnected | Error::Transport(_)), "{error}");
                break;
            }
        }
        // Nothing works on a dead connection.
        assert!(link.publish("t", b"", QoS::AtLeastOnce).await.is_err());
    };
    tokio::join!(device, hub);
}
