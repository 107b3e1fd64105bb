//! The whole way of a device: register, connect, telemetry, cloud-to-device message.

use local_cloud::{
    Attestation, Config, Endpoint, Enrollment, Event, Handle, LocalCloud, Properties, TlsVersion,
};
use mqtt_protocol_core::mqtt::packet::Qos;
use rustls::SupportedProtocolVersion;
use serde_json::Value;

use crate::client::{Client, Connect, Identity, Received, connect_tls};

pub(crate) const ANSWERS: &str = "$dps/registrations/res/#";

pub(crate) async fn start(config: Config) -> Handle {
    LocalCloud::start(config).await.unwrap()
}

/// A TLS connection to a service, for an MQTT client.
pub(crate) async fn open(cloud: &Handle, endpoint: Endpoint, identity: Option<&Identity>) -> Client {
    let address = match endpoint {
        Endpoint::Dps => cloud.dps_address(),
        Endpoint::DpsHttps | Endpoint::HubHttps => cloud.https_address(),
        Endpoint::Hub => cloud.hub_address(),
    };
    let tls = connect_tls(address, "localhost", cloud.root_der(), identity, rustls::ALL_VERSIONS).await;
    Client::new(tls.unwrap())
}

/// One request to DPS: status, query of the answer's topic, JSON.
pub(crate) async fn ask(client: &mut Client, topic: &str, body: &[u8]) -> (u16, String, Value) {
    assert!(client.publish_acked(topic, body).await, "closed after {topic}");
    let (topic, payload, id) = client.message().await;
    assert_eq!(id, None);
    let (status, query) = topic.strip_prefix("$dps/registrations/res/").unwrap().split_once("/?").unwrap();
    (status.parse().unwrap(), query.to_owned(), serde_json::from_slice(&payload).unwrap())
}

/// Registers over MQTT up to the final answer.
pub(crate) async fn register(cloud: &Handle, connect: &Connect, identity: Option<&Identity>) -> (u16, Value) {
    let mut client = open(cloud, Endpoint::Dps, identity).await;
    assert_eq!(client.connect(connect).await, Some(0));
    assert_eq!(client.subscribe(ANSWERS, Qos::AtLeastOnce).await, Some(vec![1]));
    let body = format!("{{\"registrationId\":\"{}\"}}", connect.client_id);
    let put = "$dps/registrations/PUT/iotdps-register/?$rid=1";
    let (mut status, _, mut answer) = ask(&mut client, put, body.as_bytes()).await;
    while status == 202 {
        let operation = answer["operationId"].as_str().unwrap();
        let get =
            format!("$dps/registrations/GET/iotdps-get-operationstatus/?$rid=2&operationId={operation}");
        (status, _, answer) = ask(&mut client, &get, b" ").await;
    }
    client.disconnect().await;
    (status, answer)
}

async fn whole_way(version: &'static SupportedProtocolVersion, agreed: TlsVersion) {
    let versions = &[version];
    let folder = tempfile::tempdir().unwrap();
    let cloud = start(Config { enrollments: Some(folder.path().to_owned()), ..Config::default() }).await;
    let mut events = cloud.events();
    let device = Identity::self_signed("my-device");
    std::fs::write(folder.path().join("anything.pem"), device.leaf_pem()).unwrap();

    let host = "global.azure-devices-provisioning.net";
    let tls =
        connect_tls(cloud.dps_address(), host, cloud.root_der(), Some(&device), versions).await.unwrap();
    let mut client = Client::new(tls);
    assert_eq!(client.connect(&Connect::dps("0ne00000000", "my-device")).await, Some(0));
    assert_eq!(client.subscribe(ANSWERS, Qos::AtLeastOnce).await, Some(vec![1]));
    let put = "$dps/registrations/PUT/iotdps-register/?$rid=a1";
    let (status, query, answer) = ask(&mut client, put, b"{\"registrationId\":\"my-device\"}").await;
    assert_eq!((status, query.as_str()), (202, "$rid=a1&retry-after=3"));
    assert_eq!(answer["status"], "assigning");
    let operation = answer["operationId"].as_str().unwrap();
    let get = format!("$dps/registrations/GET/iotdps-get-operationstatus/?operationId={operation}&$rid=a2");
    let (status, query, answer) = ask(&mut client, &get, b"").await;
    assert_eq!((status, query.as_str()), (200, "$rid=a2"));
    assert_eq!(answer["status"], "assigned");
    let state = &answer["registrationState"];
    assert_eq!(state["assignedHub"], "local-hub.azure-devices.net");
    assert_eq!(state["deviceId"], "my-device");
    assert_eq!(state["registrationId"], "my-device");
    assert_eq!(state["substatus"], "initialAssignment");
    assert_eq!(state["x509"]["certificateInfo"]["subjectName"], "CN=my-device");
    for field in ["createdDateTimeUtc", "lastUpdatedDateTimeUtc", "etag"] {
        assert!(state[field].is_string(), "{field}");
    }
    client.disconnect().await;
    let registered = Event::Registered {
        registration_id: "my-device".into(),
        device: "my-device".into(),
        hub: "local-hub.azure-devices.net".into(),
        tls: agreed,
    };
    assert_eq!(events.next().await, Some(registered));

    let host = "local-hub.azure-devices.net";
    let tls =
        connect_tls(cloud.hub_address(), host, cloud.root_der(), Some(&device), versions).await.unwrap();
    let mut client = Client::new(tls);
    assert_eq!(client.connect(&Connect::hub(host, "my-device")).await, Some(0));
    let c2d = "devices/my-device/messages/devicebound/#";
    assert_eq!(client.subscribe(c2d, Qos::AtLeastOnce).await, Some(vec![1]));
    let topic = "devices/my-device/messages/events/%24.ct=application%2Fjson&temperatureAlert=true";
    assert!(client.publish_acked(topic, b"{\"t\":21}").await);
    assert_eq!(events.next().await, Some(Event::Connected { device: "my-device".into(), tls: agreed }));
    let telemetry = events.telemetry().await.unwrap();
    assert_eq!(telemetry.device, "my-device");
    assert_eq!(telemetry.body, b"{\"t\":21}");
    assert_eq!(telemetry.qos, 1);
    assert_eq!(telemetry.properties.get("$.ct"), Some("application/json"));
    assert_eq!(telemetry.properties.get("temperatureAlert"), Some("true"));
    let line = Event::Telemetry(telemetry).to_string();
    assert!(line.contains("> Device: [my-device], Data:[{\"t\":21}], Properties: '$.ct':"), "{line}");

    let properties = Properties::new().with("colour", "dark blue").with_null("bare").with("$.mid", "m-1");
    assert_eq!(cloud.send_c2d("my-device", "hello", &properties).as_deref(), Ok("m-1"));
    let (topic, payload, id) = client.message().await;
    assert_eq!(
        topic,
        "devices/my-device/messages/devicebound/%24.to=%2Fdevices%2Fmy-device%2Fmessages%2Fdevicebound\
         &colour=dark%20blue&bare&%24.mid=m-1"
    );
    assert_eq!(payload, b"hello");
    client.puback(id.unwrap()).await;
    let completed = Event::C2dCompleted { device: "my-device".into(), message_id: "m-1".into() };
    assert_eq!(events.next().await, Some(completed));
    client.ping().await;
    client.disconnect().await;
    let reason = "by the device".to_owned();
    assert_eq!(events.next().await, Some(Event::Disconnected { device: "my-device".into(), reason }));
    cloud.stop().await;
}

#[tokio::test]
async fn whole_way_over_tls_1_2() {
    whole_way(&rustls::version::TLS12, TlsVersion::Tls12).await;
}

#[tokio::test]
async fn whole_way_over_tls_1_3() {
    whole_way(&rustls::version::TLS13, TlsVersion::Tls13).await;
}

#[tokio::test]
async fn stop_and_resume_on_the_same_ports() {
    let cloud = start(Config::default()).await;
    let device = Identity::self_signed("d");
    cloud.enrollments().put_individual(Enrollment::new("d", Attestation::certificate(device.leaf())));
    let connect = Connect::dps("0ne00000000", "d");
    assert_eq!(register(&cloud, &connect, Some(&device)).await.0, 200);
    let mut events = cloud.events();
    let mut client = open(&cloud, Endpoint::Hub, Some(&device)).await;
    let hub = Connect::hub("local-hub.azure-devices.net", "d");
    assert_eq!(client.connect(&hub).await, Some(0));
    let (dps_address, hub_address, root) =
        (cloud.dps_address(), cloud.hub_address(), cloud.root_der().to_vec());

    let paused = cloud.stop().await;
    assert_eq!(client.recv().await, Received::Closed);
    let refused = connect_tls(hub_address, "localhost", &root, Some(&device), rustls::ALL_VERSIONS).await;
    assert!(refused.is_err());

    let cloud = paused.resume().await.unwrap();
    assert_eq!((cloud.dps_address(), cloud.hub_address()), (dps_address, hub_address));
    assert_eq!(cloud.root_der(), root);
    let mut client = open(&cloud, Endpoint::Hub, Some(&device)).await;
    assert_eq!(client.connect(&hub).await, Some(0), "the device is still known");
    let kinds: Vec<_> = [events.next().await, events.next().await, events.next().await].into();
    assert!(
        matches!(
            &kinds[..],
            [Some(Event::Connected { .. }), Some(Event::Disconnected { .. }), Some(Event::Connected { .. })]
        ),
        "{kinds:?}"
    );

    cloud.drop_connections();
    assert_eq!(client.recv().await, Received::Closed);
    let mut client = open(&cloud, Endpoint::Hub, Some(&device)).await;
    assert_eq!(client.connect(&hub).await, Some(0), "new connections are taken");
}
