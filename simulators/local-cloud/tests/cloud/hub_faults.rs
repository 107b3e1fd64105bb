//! Silence, slowness and throttling as a device at the hub meets them, asked for in each way there is but the page,
//! which has a test of its own.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use local_cloud::program::command::carry_out;
use local_cloud::{Attestation, Config, Credential, Endpoint, Enrollment, Fault, Handle};
use mqtt_protocol_core::mqtt::packet::Qos;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::client::{Client, Connect, Identity, connect_tls};
use crate::dps::token;
use crate::flow::{ANSWERS, ask, open, start};
use crate::https::{Answer, raw_at};

pub(crate) const HUB: &str = "local-hub.azure-devices.net";
const EVENTS: &str = "devices/d/messages/events/";
/// Long enough for an answer that comes; short enough to wait for one that does not.
const MOMENT: Duration = Duration::from_millis(400);
const FAR: u64 = 4_000_000_000;

/// How a fault is asked for.
#[derive(Debug, Clone, Copy)]
enum Way {
    Library,
    Console,
    Rest,
}

const WAYS: [Way; 3] = [Way::Library, Way::Console, Way::Rest];

/// A request of the service side, as the owner of the hub.
pub(crate) async fn service(cloud: &Handle, method: &str, path: &str, body: &str) -> Answer {
    let policies = cloud.policies();
    let owner = policies.iter().find(|policy| policy.name == "iothubowner").unwrap();
    let key = owner.connection_string.rsplit("SharedAccessKey=").next().unwrap();
    let token = token(HUB, &BASE64_STANDARD.decode(key).unwrap(), FAR, "&skn=iothubowner");
    let request = format!(
        "{method} {path}?api-version=2021-04-12 HTTP/1.1\r\nHost: {HUB}\r\nAuthorization: {token}\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    raw_at(cloud, HUB, None, &request).await
}

/// A request of device `d`.
pub(crate) async fn device(
    cloud: &Handle,
    device: &Identity,
    method: &str,
    rest: &str,
    body: &str,
) -> Answer {
    let request = format!(
        "{method} /devices/d/{rest}?api-version=2021-04-12 HTTP/1.1\r\nHost: {HUB}\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    raw_at(cloud, HUB, Some(device), &request).await
}

async fn play(cloud: &Handle, way: Way, fault: Value) {
    match way {
        Way::Library => cloud.play(&serde_json::from_value::<Fault>(fault).unwrap()).unwrap(),
        Way::Console => drop(carry_out(cloud, &format!("fault {fault}")).await.unwrap()),
        Way::Rest => assert_eq!(service(cloud, "POST", "/faults", &fault.to_string()).await.status, 204),
    }
}

/// A cloud that knows device `d`, and what the device shows.
pub(crate) async fn with_device(config: Config) -> (Handle, Identity) {
    let cloud = start(config).await;
    let identity = Identity::self_signed("d");
    let thumbprint = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(identity.leaf()));
    cloud.add_device("d", Credential::Thumbprints(vec![thumbprint]));
    (cloud, identity)
}

pub(crate) async fn connected(cloud: &Handle, identity: &Identity) -> Client {
    let mut client = open(cloud, Endpoint::Hub, Some(identity)).await;
    assert_eq!(client.connect(&Connect::hub(HUB, "d")).await, Some(0));
    client
}

#[tokio::test]
async fn silence() {
    for way in WAYS {
        let (cloud, identity) = with_device(Config::default()).await;
        let mut client = connected(&cloud, &identity).await;
        assert!(client.publish_acked(EVENTS, b"1").await);
        play(&cloud, way, json!({"fault": "silence"})).await;
        client.publish(EVENTS, b"2", Qos::AtLeastOnce).await;
        let answer = timeout(MOMENT, client.recv()).await;
        assert!(answer.is_err(), "{way:?}: neither an answer nor an end: {answer:?}");
        // A new connection is taken, and its handshake never ends; nor does a request over HTTPS.
        let root = cloud.root_der();
        let again = connect_tls(cloud.hub_address(), HUB, root, Some(&identity), rustls::ALL_VERSIONS);
        assert!(timeout(MOMENT, again).await.is_err(), "{way:?}: a handshake ended");
        let request = device(&cloud, &identity, "POST", "messages/events", "3");
        assert!(timeout(MOMENT, request).await.is_err(), "{way:?}: a request was answered");
        // Whoever watches over the cloud is still answered, and can take the fault back.
        let health = format!("GET /health HTTP/1.1\r\nHost: {HUB}\r\nConnection: close\r\n\r\n");
        assert_eq!(raw_at(&cloud, HUB, None, &health).await.status, 200);
        play(&cloud, way, json!({"fault": "silence", "on": false})).await;
        assert!(timeout(MOMENT, client.recv()).await.is_err(), "{way:?}: the old connection stays dead");
        let mut client = connected(&cloud, &identity).await;
        assert!(client.publish_acked(EVENTS, b"4").await);
        assert_eq!(device(&cloud, &identity, "POST", "messages/events", "5").await.status, 204);
    }
}

#[tokio::test]
async fn slowness() {
    const DELAY: Duration = Duration::from_millis(250);
    for way in WAYS {
        let (cloud, identity) = with_device(Config::default()).await;
        let mut client = connected(&cloud, &identity).await;
        play(&cloud, way, json!({"fault": "slow", "milliseconds": 250})).await;
        let begin = Instant::now();
        assert!(client.publish_acked(EVENTS, b"1").await);
        assert!(
            begin.elapsed() >= 2 * DELAY,
            "{way:?}: there and back, each packet is late: {:?}",
            begin.elapsed()
        );
        let begin = Instant::now();
        let mut second = connected(&cloud, &identity).await;
        assert!(begin.elapsed() >= 3 * DELAY, "{way:?}: so are handshakes: {:?}", begin.elapsed());
        play(&cloud, way, json!({"fault": "slow", "milliseconds": 0})).await;
        // The best of a few, because this machine may be slow itself.
        let mut best = Duration::MAX;
        for _ in 0..5 {
            let begin = Instant::now();
            assert!(second.publish_acked(EVENTS, b"2").await);
            best = best.min(begin.elapsed());
        }
        assert!(best < 2 * DELAY, "{way:?}: no longer: {best:?}");
    }
}

#[tokio::test]
async fn throttling() {
    for way in WAYS {
        let (cloud, identity) = with_device(Config::default()).await;
        cloud.enrollments().put_individual(Enrollment::new("d", Attestation::certificate(identity.leaf())));
        let mut client = connected(&cloud, &identity).await;
        assert_eq!(client.subscribe("$iothub/twin/res/#", Qos::AtMostOnce).await, Some(vec![0]));
        play(&cloud, way, json!({"fault": "throttle", "count": 2, "retryAfter": 7})).await;
        // At the hub: the next two requests, over MQTT and HTTPS together; telemetry over MQTT has no answer to give.
        assert!(client.publish_acked(EVENTS, b"1").await);
        client.publish("$iothub/twin/GET/?$rid=1", b"", Qos::AtMostOnce).await;
        let (topic, body, _) = client.message().await;
        assert_eq!(topic, "$iothub/twin/res/429/?$rid=1");
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["errorCode"], 429_004);
        let answer = device(&cloud, &identity, "POST", "messages/events", "2").await;
        assert_eq!((answer.status, answer.headers["retry-after"].as_str()), (429, "7"), "{way:?}");
        assert_eq!(answer.headers["iothub-errorcode"], "ThrottlingException");
        assert_eq!(device(&cloud, &identity, "POST", "messages/events", "3").await.status, 204);
        client.publish("$iothub/twin/GET/?$rid=2", b"", Qos::AtMostOnce).await;
        assert_eq!(client.message().await.0, "$iothub/twin/res/200/?$rid=2");
        // At DPS: two of its own.
        let mut dps = open(&cloud, Endpoint::Dps, Some(&identity)).await;
        assert_eq!(dps.connect(&Connect::dps("0ne00000000", "d")).await, Some(0));
        dps.subscribe(ANSWERS, Qos::AtLeastOnce).await.unwrap();
        let put = "$dps/registrations/PUT/iotdps-register/?$rid=1";
        for _ in 0..2 {
            let (status, query, answer) = ask(&mut dps, put, b"{}").await;
            assert_eq!(
                (status, query.as_str(), &answer["errorCode"]),
                (429, "$rid=1&retry-after=7", &json!(429_001))
            );
        }
        assert_eq!(ask(&mut dps, put, b"{}").await.0, 202, "{way:?}");
    }
}
