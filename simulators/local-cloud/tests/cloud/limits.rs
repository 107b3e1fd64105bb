//! What others may do to the cloud's patience and to the machine's limits.

use std::time::Duration;

use local_cloud::{Attestation, Config, Credential, Endpoint, Enrollment, Event, Properties};
use mqtt_protocol_core::mqtt::packet::Qos;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client::{Client, Connect, Identity, connect_tls};
use crate::flow::{open, register, start};

const LONG: Duration = Duration::from_mins(1);

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let cloud = start(Config { patience: Duration::from_millis(300), ..Config::default() }).await;
    let host = "global.azure-devices-provisioning.net";
    let mut tls =
        connect_tls(cloud.https_address(), host, cloud.root_der(), None, rustls::ALL_VERSIONS).await.unwrap();
    let head = "PUT /0ne00000000/registrations/d/register?api-version=2021-06-01 HTTP/1.1\r\nHost: x\r\n\
                Content-Type: application/json\r\nConnection: close\r\nContent-Length: 100\r\n\r\n{";
    tls.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = timeout(LONG, tls.read_to_end(&mut answer)).await.unwrap();
    assert!(String::from_utf8_lossy(&answer).starts_with("HTTP/1.1 408 "));
    // Nor are a head, a handshake or a CONNECT.
    for (address, tls) in
        [(cloud.https_address(), false), (cloud.https_address(), true), (cloud.hub_address(), true)]
    {
        let mut events = cloud.events();
        let mut rest = Vec::new();
        if tls {
            let mut stream =
                connect_tls(address, host, cloud.root_der(), None, rustls::ALL_VERSIONS).await.unwrap();
            let _ = timeout(LONG, stream.read_to_end(&mut rest)).await.unwrap();
        } else {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let _ = timeout(LONG, stream.read_to_end(&mut rest)).await.unwrap();
            assert!(matches!(events.next().await, Some(Event::Refused { .. })));
        }
    }
}

/// More clients than connections: they wait, and each one gets its answer.
#[tokio::test]
async fn whoever_finds_no_place_waits() {
    let cloud = start(Config { max_connections: Some(3), assigning_polls: 0, ..Config::default() }).await;
    cloud.enrollments().put_group(Enrollment::new("g", Attestation::key([7; 32])));
    let mut tasks = Vec::new();
    let cloud = std::sync::Arc::new(cloud);
    for n in 0..12 {
        let cloud = cloud.clone();
        tasks.push(tokio::spawn(async move {
            let id = format!("d{n}");
            let connect = crate::dps::with_group_key(&id, &[7; 32]);
            register(&cloud, &connect, None).await.0
        }));
    }
    for task in tasks {
        assert_eq!(timeout(LONG, task).await.unwrap().unwrap(), 200);
    }
}

/// A folder that cannot be read now is no proof that a device is unknown.
#[cfg(unix)]
#[tokio::test]
async fn this_machines_trouble_is_not_the_devices() {
    let folder = tempfile::tempdir().unwrap();
    // A file in the place of the folder: reading it fails, for a reason other than that there is none.
    let path = folder.path().join("loop");
    std::os::unix::fs::symlink(&path, &path).unwrap();
    let cloud = start(Config { enrollments: Some(path.clone()), ..Config::default() }).await;
    let device = Identity::self_signed("d");
    let connect = Connect::dps("0ne00000000", "d");
    let (status, answer) = register(&cloud, &connect, Some(&device)).await;
    assert_eq!((status, &answer["errorCode"]), (503, &json!(503_001)));
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert_eq!(register(&cloud, &connect, Some(&device)).await.1["errorCode"], json!(401_002));
}

/// What the service would not send is refused, and what has expired is not delivered.
#[tokio::test]
async fn only_what_the_service_would_send() {
    let cloud = start(Config { c2d_ttl: Duration::from_millis(1), ..Config::default() }).await;
    let device = Identity::self_signed("d");
    let thumbprint = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(device.leaf()));
    cloud.add_device("d", Credential::Thumbprints(vec![thumbprint]));
    let mut events = cloud.events();
    let id = cloud.send_c2d("d", "too late", &Properties::new()).unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    let properties = Properties::new().with("$.exp", "2100-01-01T00:00:00Z").with("iothub-ack", "full");
    cloud.send_c2d("d", "in time", &properties).unwrap();
    for bad in [
        Properties::new().with("$.exp", "2020-01-01T00:00:00Z"),
        Properties::new().with("$.exp", "soon"),
        Properties::new().with("a\nb", "x"),
        Properties::new().with("a", "\u{202e}"),
    ] {
        assert!(cloud.send_c2d("d", "x", &bad).is_err(), "{bad:?}");
    }
    let mut client: Client = open(&cloud, Endpoint::Hub, Some(&device)).await;
    assert_eq!(client.connect(&Connect::hub("local-hub.azure-devices.net", "d")).await, Some(0));
    for filter in ["$iothub/methods/POST/#", "devices/d/messages/devicebound/#"] {
        client.subscribe(filter, Qos::AtLeastOnce).await.unwrap();
    }
    assert_eq!(client.message().await.1, b"in time");
    let expired = Event::C2dExpired { device: "d".into(), message_id: id };
    assert!(events.find(|event| (event == expired).then_some(())).await.is_some());
    for (name, payload) in [("a b", ""), ("x", "{"), ("", ""), ("a/b", "1")] {
        assert!(cloud.invoke_method("d", name, payload, LONG).await.is_err(), "{name}");
    }
}
