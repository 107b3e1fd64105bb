//! Against a real broker, mosquitto, over TCP: MQTT 3.1.1 as somebody else reads it.
//!
//! Needs the program `mosquitto` (Debian and Ubuntu: `apt-get install mosquitto`; set `MOSQUITTO` to its
//! path if it is somewhere unusual). Each test starts its own on a free port of the loopback interface.
#![allow(clippy::cast_possible_truncation)]

use embassy_time::{Duration, with_timeout};
use iothub_mqtt::session::{Mqtt, Options, QoS, Session};
use iothub_mqtt::telemetry::Telemetry;
use iothub_mqtt::translate::{Connect, Will};
use iothub_mqtt::{Client, ClientOptions, Endpoint, Error, HubEvent, Refusal};
use iothub_mqtt_test_support::Broker;
use minimq::{Buffers, ConfigBuilder, Property, Publication, TopicFilter};

const ANYBODY: &str = "allow_anonymous true";

fn connect(client_id: &str) -> Connect<'_> {
    Connect { client_id, user_name: "hub/device/?api-version=2021-04-12", password: None, will: None }
}

fn messages_only() -> ClientOptions {
    ClientOptions { methods: false, twin: false, ..ClientOptions::new(1) }
}

/// The next message; fails when none comes in time.
macro_rules! message {
    ($link:expr) => {
        loop {
            let polled = with_timeout(Duration::from_secs(10), $link.poll()).await;
            if let Some(message) = polled.expect("no message").unwrap() {
                break message;
            }
        }
    };
}

#[tokio::test]
async fn everything_over_mqtt_3_1_1() {
    let broker = Broker::start(ANYBODY).await;
    let (mut rx, mut tx) = ([0; 4096], [0; 4096]);
    let mut session: Session = Session::new(Options::default(), &mut rx, &mut tx);
    // as long as a device id can be
    let client_id = "d".repeat(128);
    let connect = connect(&client_id);
    let mut link = session.connect(broker.connect().await, &connect).await.unwrap();
    link.subscribe(&["a/#", "b/+"]).await.unwrap();
    link.publish("a/0", b"most", QoS::AtMostOnce).await.unwrap();
    let message = message!(link);
    assert_eq!((message.topic, message.payload), ("a/0", &b"most"[..]));
    let ticket = link.publish("a/1", b"least", QoS::AtLeastOnce).await.unwrap().unwrap();
    let message = message!(link);
    assert_eq!((message.topic, message.payload), ("a/1", &b"least"[..]));
    let settled = loop {
        if let Some(settled) = link.next_settled() {
            break settled.0;
        }
        assert!(with_timeout(Duration::from_secs(10), link.poll()).await.unwrap().unwrap().is_none());
    };
    assert_eq!(settled, ticket);
    // empty and large payloads, a long topic
    let long = format!("a/{}", "t".repeat(900));
    link.publish(&long, b"", QoS::AtLeastOnce).await.unwrap();
    assert_eq!(message!(link).topic, long);
    let large: Vec<u8> = (0..3000u32).map(|n| n as u8).collect();
    link.publish("b/large", &large, QoS::AtLeastOnce).await.unwrap();
    assert_eq!(message!(link).payload, large);
    // after the end of a subscription nothing comes any more
    link.unsubscribe(&["a/#"]).await.unwrap();
    link.publish("a/silent", b"", QoS::AtLeastOnce).await.unwrap();
    link.publish("b/loud", b"", QoS::AtLeastOnce).await.unwrap();
    assert_eq!(message!(link).topic, "b/loud");
    link.disconnect().await.unwrap();
    drop(link);
    // p2: MQTT 3.1.1; c0: CleanSession 0
    broker.logged(&format!("as {client_id} (p2, c0, k240, u'hub/device/?api-version=2021-04-12')")).await;
    broker.logged(&format!("Received DISCONNECT from {client_id}")).await;
}

#[tokio::test]
async fn a_kept_session_and_unacknowledged_messages_survive_a_reconnect() {
    let broker = Broker::start(ANYBODY).await;
    let (mut rx, mut tx) = ([0; 1024], [0; 1024]);
    let mut session: Session = Session::new(Options::default(), &mut rx, &mut tx);
    let (c1, c2) = (connect("keeper"), connect("other"));
    let mut link = session.connect(broker.connect().await, &c1).await.unwrap();
    let ticket = link.subscribe(&["to/keeper"]).await.unwrap();
    while link.progress(ticket) == iothub_mqtt::session::Progress::Pending {
        let _ = with_timeout(Duration::from_secs(10), link.poll()).await.unwrap().unwrap();
    }
    // Sent, but not heard: the acknowledgement is not read before the connection is gone.
    link.publish("from/keeper", b"unheard", QoS::AtLeastOnce).await.unwrap();
    drop(link);
    assert_eq!(session.in_flight(), 1);

    // meanwhile
    let (mut rx2, mut tx2) = ([0; 1024], [0; 1024]);
    let mut other: Session = Session::new(Options::default(), &mut rx2, &mut tx2);
    let mut other = other.connect(broker.connect().await, &c2).await.unwrap();
    other.subscribe(&["from/keeper"]).await.unwrap();
    let sent = other.publish("to/keeper", b"waiting", QoS::AtLeastOnce).await.unwrap();
    while other.next_settled().map(|(ticket, _)| ticket) != sent {
        let _ = with_timeout(Duration::from_secs(10), other.poll()).await.unwrap().unwrap();
    }

    let mut link = session.connect(broker.connect().await, &c1).await.unwrap();
    assert_eq!(message!(link).payload, b"waiting");
    while link.next_settled().is_none() {
        let _ = with_timeout(Duration::from_secs(10), link.poll()).await.unwrap().unwrap();
    }
    assert_eq!(message!(other).payload, b"unheard");
    link.disconnect().await.unwrap();
}

#[tokio::test]
async fn the_will_is_sent_unless_goodbye_was_said() {
    let broker = Broker::start(ANYBODY).await;
    let (mut rx, mut tx) = ([0; 512], [0; 512]);
    let mut watcher: Session = Session::new(Options::default(), &mut rx, &mut tx);
    let c = connect("watcher");
    let mut watcher = watcher.connect(broker.connect().await, &c).await.unwrap();
    let ticket = watcher.subscribe(&["wills/#"]).await.unwrap();
    while watcher.progress(ticket) == iothub_mqtt::session::Progress::Pending {
        let _ = with_timeout(Duration::from_secs(10), watcher.poll()).await.unwrap().unwrap();
    }
    for (client_id, goodbye) in [("polite", true), ("rude", false)] {
        let topic = format!("wills/{client_id}");
        let will = Will { topic: &topic, payload: b"gone", qos: 1, retain: false };
        let connect = Connect { will: Some(will), ..connect(client_id) };
        let (mut rx, mut tx) = ([0; 512], [0; 512]);
        let mut session: Session = Session::new(Options::default(), &mut rx, &mut tx);
        let mut link = session.connect(broker.connect().await, &connect).await.unwrap();
        if goodbye {
            link.disconnect().await.unwrap();
        }
    }
    let message = message!(watcher);
    assert_eq!((message.topic, message.payload), ("wills/rude", &b"gone"[..]));
}

#[tokio::test]
async fn refused_and_taken_over() {
    let broker = Broker::start("allow_anonymous false").await;
    let (mut rx, mut tx) = ([0; 512], [0; 512]);
    let mut session: Session = Session::new(Options::default(), &mut rx, &mut tx);
    let c = connect("nobody");
    let error = session.connect(broker.connect().await, &c).await.unwrap_err();
    assert_eq!(error, Error::ConnectionRefused(Refusal::NotAuthorized));

    // A second connection with the same id ends the first.
    let broker = Broker::start(ANYBODY).await;
    let mut first = session.connect(broker.connect().await, &c).await.unwrap();
    let (mut rx2, mut tx2) = ([0; 512], [0; 512]);
    let mut second: Session = Session::new(Options::default(), &mut rx2, &mut tx2);
    let mut second = second.connect(broker.connect().await, &c).await.unwrap();
    let error = loop {
        if let Err(error) = with_timeout(Duration::from_secs(10), first.poll()).await.unwrap() {
            break error;
        }
    };
    assert!(error.is_retriable(), "{error}");
    second.disconnect().await.unwrap();
}

#[tokio::test]
async fn the_client_with_telemetry_and_messages() {
    let broker = Broker::start(ANYBODY).await;
    let endpoint = Endpoint::new("contoso.azure-devices.net", "dev-1").unwrap();
    let (mut rx, mut tx) = ([0; 2048], [0; 2048]);
    let mut session: Session = Session::new(Options::default(), &mut rx, &mut tx);
    let (c1, c2) = (connect("dev-1"), connect("hub"));
    let link = session.connect(broker.connect().await, &c1).await.unwrap();
    let mut client: Client<'_, _> = Client::new(link, endpoint, messages_only());
    client.start().await.unwrap();
    macro_rules! event {
        () => {
            loop {
                let polled = with_timeout(Duration::from_secs(10), client.poll()).await;
                if let Some(event) = polled.expect("no event").unwrap() {
                    break event;
                }
            }
        };
    }
    assert!(matches!(event!(), HubEvent::Connected));

    let (mut rx2, mut tx2) = ([0; 2048], [0; 2048]);
    let mut hub: Session = Session::new(Options::default(), &mut rx2, &mut tx2);
    let mut hub = hub.connect(broker.connect().await, &c2).await.unwrap();
    let ticket = hub.subscribe(&["devices/+/messages/events/#"]).await.unwrap();
    while hub.progress(ticket) == iothub_mqtt::session::Progress::Pending {
        let _ = with_timeout(Duration::from_secs(10), hub.poll()).await.unwrap().unwrap();
    }

    let telemetry = Telemetry::json(br#"{"t":1}"#).with_properties(&[("where", "up & away")]);
    let sent = client.send(&telemetry).await.unwrap().unwrap();
    assert!(matches!(event!(), HubEvent::Delivered(ticket) if ticket == sent));
    let message = message!(hub);
    assert_eq!(
        message.topic,
        "devices/dev-1/messages/events/%24.ct=application%2Fjson&%24.ce=utf-8&where=up%20%26%20away"
    );
    assert_eq!(message.payload, br#"{"t":1}"#);

    let topic = "devices/dev-1/messages/devicebound/%24.to=%2Fdevices%2Fdev-1&empty=&null";
    hub.publish(topic, b"hello", QoS::AtLeastOnce).await.unwrap();
    let HubEvent::Message(message) = event!() else { panic!() };
    assert_eq!(message.payload, b"hello");
    assert_eq!(message.properties.get("$.to").unwrap().unwrap(), "/devices/dev-1");
    assert_eq!(message.properties.get("empty").unwrap().unwrap(), "");
    assert!(message.properties.get("null").unwrap().is_none());
    assert!(message.properties.get("absent").is_none());
    client.disconnect().await.unwrap();
}

/// One broker, two generations: the device speaks 3.1.1, the back end 5.
#[tokio::test]
async fn with_a_back_end_that_speaks_mqtt_5() {
    let broker = Broker::start(ANYBODY).await;
    let (mut rx, mut tx) = ([0; 1024], [0; 1024]);
    let config = ConfigBuilder::new(Buffers::new(&mut rx, &mut tx)).client_id("back-end").unwrap();
    let mut back_end = minimq::Session::new(config);
    let mut back_end = back_end.connect(broker.connect().await).await.unwrap();
    let filters = [TopicFilter::new("devices/+/messages/events/#")];
    let subscribed = back_end.subscribe(&filters, &[]).await.unwrap();
    while back_end.is_pending(&subscribed) {
        assert!(with_timeout(Duration::from_secs(10), back_end.poll()).await.unwrap().unwrap().is_none());
    }

    let endpoint = Endpoint::new("contoso.azure-devices.net", "dev-1").unwrap();
    let (mut rx, mut tx) = ([0; 1024], [0; 1024]);
    let mut session: Session = Session::new(Options::default(), &mut rx, &mut tx);
    let c = connect("dev-1");
    let link = session.connect(broker.connect().await, &c).await.unwrap();
    let mut client: Client<'_, _> = Client::new(link, endpoint, messages_only());
    client.start().await.unwrap();
    assert!(matches!(message!(client), HubEvent::Connected));
    let sent = client.send(&Telemetry::json(b"{}")).await.unwrap().unwrap();
    let heard = message!(back_end);
    assert_eq!(heard.payload(), b"{}");
    assert_eq!(heard.topic(), "devices/dev-1/messages/events/%24.ct=application%2Fjson&%24.ce=utf-8");
    assert!(matches!(message!(client), HubEvent::Delivered(ticket) if ticket == sent));

    // Properties of MQTT 5 do not reach a 3.1.1 device, the message does.
    let properties = [Property::UserProperty("a", "b"), Property::ContentType("text/plain")];
    let publication = Publication::bytes("devices/dev-1/messages/devicebound/%24.mid=7", b"hello")
        .properties(&properties)
        .qos(minimq::QoS::AtLeastOnce);
    let published = back_end.publish(publication).await.unwrap().unwrap();
    let HubEvent::Message(heard) = message!(client) else { panic!() };
    assert_eq!(heard.payload, b"hello");
    assert_eq!(heard.message_id().unwrap(), "7");
    while back_end.is_pending(&published) {
        assert!(with_timeout(Duration::from_secs(10), back_end.poll()).await.unwrap().unwrap().is_none());
    }
    client.disconnect().await.unwrap();
    broker.logged("as back-end (p5").await;
    broker.logged("as dev-1 (p2").await;
}
