//! Against a real broker, mosquitto, over TCP: MQTT 3.1.1 as somebody else reads it.
//!
//! Needs the program `mosquitto` (Debian and Ubuntu: `apt-get install mosquitto`; set `MOSQUITTO` to its
//! path if it is somewhere unusual). Each test starts its own on a free port of the loopback interface.
#![allow(clippy::cast_possible_truncation)]

use embassy_time::{Duration, with_timeout};
use embedded_io_adapters::tokio_1::FromTokio;
use iothub_mqtt::session::{Mqtt, Options, QoS, Session};
use iothub_mqtt::telemetry::Telemetry;
use iothub_mqtt::translate::{Connect, Will};
use iothub_mqtt::{Client, ClientOptions, Endpoint, Error, Event, Refusal};
use std::io::Write;
use std::process::{Child, Command, Stdio};
use tokio::net::TcpStream;

struct Broker {
    child: Child,
    port: u16,
    directory: tempfile::TempDir,
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> String {
    std::env::var("MOSQUITTO").unwrap_or_else(|_| {
        let usual = "/usr/sbin/mosquitto";
        if std::path::Path::new(usual).exists() { usual.into() } else { "mosquitto".into() }
    })
}

impl Broker {
    async fn start(extra: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let path = directory.path().join("mosquitto.conf");
        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        let mut config = std::fs::File::create(&path).unwrap();
        write!(
            config,
            "listener {port} 127.0.0.1\nlog_type all\nlog_dest stderr\nmax_inflight_messages 0\n{extra}\n",
        )
        .unwrap();
        drop(config);
        let child = Command::new(program())
            .arg("-c")
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|e| {
                panic!("cannot start `{}` ({e}): install it with `apt-get install mosquitto`", program())
            });
        let mut broker = Self { child, port, directory };
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            if let Some(status) = broker.child.try_wait().unwrap() {
                panic!("mosquitto ended with {status}: {}", broker.log());
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        broker
    }

    async fn connect(&self) -> FromTokio<TcpStream> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        FromTokio::new(stream)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Waits until the broker has written `line`.
    async fn logged(&self, line: &str) {
        for _ in 0..500 {
            if self.log().contains(line) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        panic!("no `{line}` in:\n{}", self.log());
    }
}

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
    assert!(matches!(event!(), Event::Connected));

    let (mut rx2, mut tx2) = ([0; 2048], [0; 2048]);
    let mut hub: Session = Session::new(Options::default(), &mut rx2, &mut tx2);
    let mut hub = hub.connect(broker.connect().await, &c2).await.unwrap();
    let ticket = hub.subscribe(&["devices/+/messages/events/#"]).await.unwrap();
    while hub.progress(ticket) == iothub_mqtt::session::Progress::Pending {
        let _ = with_timeout(Duration::from_secs(10), hub.poll()).await.unwrap().unwrap();
    }

    let telemetry = Telemetry::json(br#"{"t":1}"#).with_properties(&[("where", "up & away")]);
    let sent = client.send(&telemetry).await.unwrap().unwrap();
    assert!(matches!(event!(), Event::Delivered(ticket) if ticket == sent));
    let message = message!(hub);
    assert_eq!(
        message.topic,
        "devices/dev-1/messages/events/%24.ct=application%2Fjson&%24.ce=utf-8&where=up%20%26%20away"
    );
    assert_eq!(message.payload, br#"{"t":1}"#);

    let topic = "devices/dev-1/messages/devicebound/%24.to=%2Fdevices%2Fdev-1&empty=&null";
    hub.publish(topic, b"hello", QoS::AtLeastOnce).await.unwrap();
    let Event::Message(message) = event!() else { panic!() };
    assert_eq!(message.payload, b"hello");
    assert_eq!(message.properties.get("$.to").unwrap().unwrap(), "/devices/dev-1");
    assert_eq!(message.properties.get("empty").unwrap().unwrap(), "");
    assert!(message.properties.get("null").unwrap().is_none());
    assert!(message.properties.get("absent").is_none());
    client.disconnect().await.unwrap();
}
