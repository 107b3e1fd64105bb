//! What a session does when the network or the hub lets it down: acknowledgements that come late or never, streams that
//! take no bytes, connections that break before the subscriptions stand.
#![allow(clippy::cast_possible_truncation)]

use embassy_time::{Duration, Instant};
use embedded_io_adapters::tokio_1::FromTokio;
use iothub_mqtt::session::{Mqtt, Options, QoS, Session};
use iothub_mqtt::translate::Connect;
use iothub_mqtt::{Client, ClientOptions, Endpoint, Error, HubEvent, Telemetry};
use iothub_mqtt_test_support::{Packet, Server, pair};

const CONNECT: Connect<'static> =
    Connect { client_id: "dev", user_name: "hub/dev/?api-version=2021-04-12", password: None, will: None };

fn endpoint() -> Endpoint<'static> {
    Endpoint::new("hub", "dev").unwrap()
}

fn options() -> ClientOptions {
    ClientOptions { subscribe_ms: 200, twin: false, ..ClientOptions::new(1) }
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

/// Takes packets until a PUBLISH, whose id it gives.
async fn publish_id(server: &mut Server) -> (u16, bool) {
    loop {
        if let Packet::Publish { id, dup, .. } = server.packet().await {
            return (id, dup);
        }
    }
}

/// A connection that never gets its SUBACK leaves nothing behind that would block the ones after it.
#[tokio::test]
async fn subscriptions_that_are_never_granted_do_not_pile_up() {
    let (mut rx, mut tx) = ([0; 512], [0; 512]);
    let mut session: Session = Session::new(Options::default(), &mut rx, &mut tx);
    for round in 0..20 {
        let (stream, mut server) = pair();
        let device = async {
            let link = session.connect(stream, &CONNECT).await.unwrap();
            let mut client: Client<'_, _> = Client::new(link, endpoint(), options());
            client.start().await.unwrap();
            if round == 19 {
                assert!(matches!(event!(client), HubEvent::Connected));
                return;
            }
            while client.poll().await.is_ok() {}
        };
        let hub = async {
            server.accept(false).await;
            if round == 19 {
                let filters = server.grant().await;
                assert_eq!(filters.len(), 2);
            } else if round % 2 == 0 {
                assert!(matches!(server.packet().await, Packet::Subscribe { .. }));
            }
            if round < 19 {
                drop(server);
            } else {
                let more = tokio::time::timeout(std::time::Duration::from_millis(50), server.packet()).await;
                assert!(matches!(more, Err(_) | Ok(Packet::End)), "one SUBSCRIBE is enough: {more:?}");
            }
        };
        tokio::join!(device, hub);
    }
}

/// Every place for messages on their way is taken when the connection breaks: the next one delivers them, then
/// subscribes.
#[tokio::test]
async fn a_full_session_subscribes_when_its_messages_are_through() {
    let (mut rx, mut tx) = ([0; 512], [0; 2048]);
    let mut session: Session = Session::new(Options::default(), &mut rx, &mut tx);
    let (stream, mut server) = pair();
    let device = async {
        let mut link = session.connect(stream, &CONNECT).await.unwrap();
        while link.room() > 0 {
            link.publish("devices/dev/messages/events/", b"x", QoS::AtLeastOnce).await.unwrap();
        }
    };
    tokio::join!(device, server.accept(false));

    let (stream, mut server) = pair();
    let device = async {
        let link = session.connect(stream, &CONNECT).await.unwrap();
        let mut client: Client<'_, _> = Client::new(link, endpoint(), options());
        client.start().await.unwrap();
        let mut delivered = 0;
        loop {
            match event!(client) {
                HubEvent::Delivered(_) => delivered += 1,
                HubEvent::Connected => break,
                other => panic!("{other:?}"),
            }
        }
        assert!(delivered >= 1);
        while delivered < 8 {
            assert!(matches!(event!(client), HubEvent::Delivered(_)));
            delivered += 1;
        }
        client.disconnect().await.unwrap();
    };
    let hub = async {
        server.accept(false).await;
        let mut ids = Vec::new();
        for _ in 0..8 {
            let (id, dup) = publish_id(&mut server).await;
            assert!(dup);
            ids.push(id);
        }
        server.puback(ids[0]).await;
        server.grant().await;
        for id in &ids[1..] {
            server.puback(*id).await;
        }
    };
    tokio::join!(device, hub);

    // And if nothing is ever acknowledged, the connection is given up in time.
    let (stream, mut server) = pair();
    let device = async {
        let mut link = session.connect(stream, &CONNECT).await.unwrap();
        while link.room() > 0 {
            link.publish("devices/dev/messages/events/", b"x", QoS::AtLeastOnce).await.unwrap();
        }
        let mut client: Client<'_, _> = Client::new(link, endpoint(), options());
        client.start().await.unwrap();
        let error = loop {
            if let Err(error) = client.poll().await {
                break error;
            }
        };
        assert_eq!(error, Error::Timeout("room to subscribe"));
        assert!(error.is_retriable() && !error.is_local());
    };
    tokio::join!(device, server.accept(false));
}

/// A hub that throttles answers late: that is waited for. One that never answers is left, and the message sent again.
#[tokio::test]
async fn acknowledgements_that_come_late_or_never() {
    let (mut rx, mut tx) = ([0; 512], [0; 512]);
    let mut session: Session = Session::new(Options { ack_ms: 400, ..Options::default() }, &mut rx, &mut tx);
    let (stream, mut server) = pair();
    let device = async {
        let link = session.connect(stream, &CONNECT).await.unwrap();
        let mut client: Client<'_, _> = Client::new(link, endpoint(), options());
        client.start().await.unwrap();
        assert!(matches!(event!(client), HubEvent::Connected));
        let first = client.send(&Telemetry::new(b"1")).await.unwrap().unwrap();
        assert!(matches!(event!(client), HubEvent::Delivered(ticket) if ticket == first));
        client.send(&Telemetry::new(b"2")).await.unwrap();
        let begin = Instant::now();
        let error = loop {
            if let Err(error) = client.poll().await {
                break error;
            }
        };
        assert_eq!(error, Error::Timeout("acknowledgement"));
        assert!(error.is_retriable() && !error.is_local());
        assert!(begin.elapsed() >= Duration::from_millis(390));
        assert!(client.poll().await.is_err() && client.send(&Telemetry::new(b"3")).await.is_err());
    };
    let hub = async {
        server.accept(false).await;
        server.grant().await;
        let (id, _) = publish_id(&mut server).await;
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        server.puback(id).await;
        publish_id(&mut server).await;
        // Whatever else it says meanwhile does not count.
        loop {
            server.publish(0, "devices/dev/messages/devicebound/", b"hello").await;
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
    };
    tokio::select! {
        () = device => {}
        () = hub => {}
    }
    assert_eq!(session.in_flight(), 1);

    // The next connection has its own time for it.
    let (stream, mut server) = pair();
    let device = async {
        let mut link = session.connect(stream, &CONNECT).await.unwrap();
        while link.next_settled().is_none() {
            link.poll().await.unwrap();
        }
    };
    let hub = async {
        server.accept(false).await;
        let (id, dup) = publish_id(&mut server).await;
        assert!(dup);
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        server.puback(id).await;
    };
    tokio::join!(device, hub);
}

/// A peer that vanished while its window was shut: writing never ends by itself.
#[tokio::test]
async fn a_stream_that_takes_no_bytes_is_left() {
    let (mut rx, mut tx) = ([0; 512], [0; 8192]);
    let options = Options { write_ms: 200, connack_ms: 5000, ..Options::default() };
    let mut session: Session = Session::new(options, &mut rx, &mut tx);
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
        let (client, server) = tokio::io::duplex(1024);
        let mut server = Server::new(server);
        let device = async {
            let mut link = session.connect(FromTokio::new(client), &CONNECT).await.unwrap();
            let topic = "devices/dev/messages/events/";
            let error = match link.publish(topic, &[0; 4096], qos).await {
                Err(error) => error,
                // Kept, and written when polled.
                Ok(_) => loop {
                    if let Err(error) = link.poll().await {
                        break error;
                    }
                },
            };
            assert_eq!(error, Error::Timeout("room to write"));
            assert!(error.is_retriable() && !error.is_local());
        };
        tokio::join!(device, server.accept(false));
    }
}
