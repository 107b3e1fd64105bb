//! Faults on request, as a device sees them.

use std::time::{Duration, Instant};

use local_cloud::{
    Config, Credential, Direction, Endpoint, Event, FaultAction, Handle, PacketInfo, PacketKind,
    ServerCertificate, TlsVersions,
};
use mqtt_protocol_core::mqtt::packet::Qos;

use crate::client::{Client, Connect, Identity, Received, connect_tls};
use crate::flow::{open, start};

const EVENTS: &str = "devices/d/messages/events/";

/// A cloud with device `d`, and `d`'s client, connected.
async fn pair() -> (Handle, Client) {
    let cloud = start(Config::default()).await;
    let identity = Identity::self_signed("d");
    let thumbprint = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(identity.leaf()));
    cloud.add_device("d", Credential::Thumbprints(vec![thumbprint]));
    let mut client = open(&cloud, Endpoint::Hub, Some(&identity)).await;
    assert_eq!(client.connect(&Connect::hub("local-hub.azure-devices.net", "d")).await, Some(0));
    (cloud, client)
}

/// Does `action` to the first packet of this kind and direction.
fn once(cloud: &Handle, direction: Direction, kind: PacketKind, action: FaultAction) {
    let mut action = Some(action);
    cloud.faults().set_script(move |packet: &PacketInfo<'_>| {
        assert_eq!(packet.endpoint, Endpoint::Hub);
        if packet.direction == direction && packet.kind == kind {
            action.take().unwrap_or_default()
        } else {
            FaultAction::Pass
        }
    });
}

#[tokio::test]
async fn acknowledgements_lost_doubled_and_out_of_order() {
    let (cloud, mut client) = pair().await;
    once(&cloud, Direction::ToDevice, PacketKind::Puback, FaultAction::Swallow);
    client.publish(EVENTS, b"1", Qos::AtLeastOnce).await;
    client.publish(EVENTS, b"2", Qos::AtLeastOnce).await;
    assert_eq!(client.recv().await, Received::Puback(2));
    once(&cloud, Direction::ToDevice, PacketKind::Puback, FaultAction::Duplicate);
    client.publish(EVENTS, b"3", Qos::AtLeastOnce).await;
    assert_eq!([client.recv().await, client.recv().await], [Received::Puback(3), Received::Puback(3)]);
    once(&cloud, Direction::ToDevice, PacketKind::Puback, FaultAction::Hold);
    client.publish(EVENTS, b"4", Qos::AtLeastOnce).await;
    client.publish(EVENTS, b"5", Qos::AtLeastOnce).await;
    assert_eq!([client.recv().await, client.recv().await], [Received::Puback(5), Received::Puback(4)]);
    once(&cloud, Direction::ToDevice, PacketKind::Puback, FaultAction::Inject(b"\xd0\0".to_vec()));
    client.publish(EVENTS, b"6", Qos::AtLeastOnce).await;
    assert_eq!([client.recv().await, client.recv().await], [Received::Pingresp, Received::Puback(6)]);
    cloud.faults().clear();
    assert!(client.publish_acked(EVENTS, b"7").await);
}

#[tokio::test]
async fn messages_lost_doubled_and_out_of_order() {
    let (cloud, mut client) = pair().await;
    let mut events = cloud.events();
    for (action, expected) in [
        (FaultAction::Swallow, &["b"][..]),
        (FaultAction::Duplicate, &["a", "a", "b"]),
        (FaultAction::Hold, &["b", "a"]),
        (FaultAction::Delay(Duration::from_millis(20)), &["a", "b"]),
        (FaultAction::Inject(b"\xd0\0".to_vec()), &["a", "b"]),
    ] {
        once(&cloud, Direction::FromDevice, PacketKind::Publish, action.clone());
        for body in ["a", "b"] {
            client.publish(EVENTS, body.as_bytes(), Qos::AtMostOnce).await;
        }
        for body in expected {
            assert_eq!(events.telemetry().await.unwrap().body, body.as_bytes(), "{action:?}");
        }
    }
    assert_eq!(client.recv().await, Received::Pingresp, "what was injected");
    client.ping().await;
}

#[tokio::test]
async fn connections_that_end_or_freeze() {
    for direction in [Direction::FromDevice, Direction::ToDevice] {
        let (cloud, mut client) = pair().await;
        let kind = if direction == Direction::FromDevice { PacketKind::Publish } else { PacketKind::Puback };
        once(&cloud, direction, kind, FaultAction::Close);
        assert!(!client.publish_acked(EVENTS, b"1").await);
    }
    let (cloud, mut client) = pair().await;
    let mut events = cloud.events();
    once(&cloud, Direction::FromDevice, PacketKind::Pingreq, FaultAction::Freeze);
    client.send_raw(b"\xc0\0").await;
    let silent = tokio::time::timeout(Duration::from_millis(100), client.recv()).await;
    assert!(silent.is_err(), "neither an answer nor an end: {silent:?}");
    assert!(cloud.is_connected("d"));
    cloud.drop_connections();
    assert_eq!(client.recv().await, Received::Closed);
    assert!(matches!(events.next().await, Some(Event::Disconnected { .. })));
}

#[tokio::test]
async fn slow_handshakes() {
    let cloud = start(Config::default()).await;
    let delay = Duration::from_millis(100);
    cloud.faults().delay_connections(Some(delay));
    let begin = Instant::now();
    open(&cloud, Endpoint::Dps, None).await;
    assert!(begin.elapsed() >= delay);
}

#[tokio::test]
async fn certificates_that_must_be_refused() {
    let good = start(Config::default()).await;
    for (kind, names_cause) in [
        (ServerCertificate::OtherAuthority, "BadSignature"),
        (ServerCertificate::WrongHost, "not valid for name"),
        (ServerCertificate::Expired, "expired"),
        (ServerCertificate::NotYetValid, "not valid yet"),
        (ServerCertificate::MissingIssuer, "UnknownIssuer"),
    ] {
        let authority = Some(good.authority().clone());
        let cloud = start(Config { certificate: kind, authority, ..Config::default() }).await;
        let mut events = cloud.events();
        assert_eq!(cloud.root_der(), good.root_der());
        let result =
            connect_tls(cloud.hub_address(), "localhost", good.root_der(), None, rustls::ALL_VERSIONS).await;
        let error = result.err().unwrap_or_else(|| panic!("{kind:?} was taken")).to_string();
        assert!(error.contains(names_cause), "{kind:?}: {error}");
        let refused = events.next().await;
        assert!(
            matches!(&refused, Some(Event::Refused { reason, .. }) if reason.starts_with("TLS: ")),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn versions_of_tls() {
    for (tls, taken, refused) in [
        (TlsVersions::Tls12, &rustls::version::TLS12, &rustls::version::TLS13),
        (TlsVersions::Tls13, &rustls::version::TLS13, &rustls::version::TLS12),
    ] {
        let cloud = start(Config { tls, ..Config::default() }).await;
        let address = cloud.dps_address();
        assert!(connect_tls(address, "localhost", cloud.root_der(), None, &[taken]).await.is_ok());
        assert!(connect_tls(address, "localhost", cloud.root_der(), None, &[refused]).await.is_err());
    }
}

/// The certificate's owner must hold its key.
#[tokio::test]
async fn stolen_certificate_without_its_key() {
    let cloud = start(Config::default()).await;
    let victim = Identity::self_signed("d");
    let thief = Identity::self_signed("d").with_leaf(&victim);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut events = cloud.events();
        let tls =
            connect_tls(cloud.hub_address(), "localhost", cloud.root_der(), Some(&thief), &[version]).await;
        if let Ok(tls) = tls {
            // In TLS 1.3 the client is done before the server has judged it.
            let mut client = Client::new(tls);
            let connect = Connect::hub("local-hub.azure-devices.net", "d");
            assert_eq!(client.connect(&connect).await, None);
        }
        let refused = events.next().await;
        assert!(
            matches!(&refused, Some(Event::Refused { reason, .. }) if reason.contains("BadSignature")),
            "{refused:?}"
        );
    }
}
