//! What a hub's tier does not have, and what becomes of a device when the day's quota is used up.

use std::time::Duration;

use local_cloud::{CommandError, Config, Credential, Endpoint, Event, Properties, Tier};
use mqtt_protocol_core::mqtt::packet::Qos;
use serde_json::{Map, Value, json};

use crate::client::{Connect, Received};
use crate::flow::open;
use crate::https::Answer;
use crate::hub_faults::{HUB, connected, device, service, with_device};

const EVENTS: &str = "devices/d/messages/events/";
const SECOND: Duration = Duration::from_secs(1);

/// The number in an error that has one.
fn code(answer: &Answer) -> Value {
    let error: Value = serde_json::from_str(answer.body["Message"].as_str().unwrap()).unwrap();
    assert!(error["trackingId"].is_string() && error["timestampUtc"].is_string(), "{error}");
    error["errorCode"].clone()
}

#[tokio::test]
async fn the_basic_tier_sends_nothing_to_devices() {
    let (cloud, identity) = with_device(Config { tier: Tier::Basic, ..Config::default() }).await;
    let mut events = cloud.events();
    let mut client = connected(&cloud, &identity).await;
    for filter in ["devices/d/messages/devicebound/#", "$iothub/methods/POST/#", "$iothub/twin/res/#"] {
        assert_eq!(client.subscribe(filter, Qos::AtLeastOnce).await, Some(vec![0x80]), "{filter}");
    }
    assert!(client.publish_acked(EVENTS, b"telemetry is what it has").await);
    assert_eq!(events.telemetry().await.unwrap().body, b"telemetry is what it has");
    assert_eq!(device(&cloud, &identity, "POST", "messages/events", "over HTTPS, too").await.status, 204);
    let answer = device(&cloud, &identity, "GET", "messages/devicebound", "").await;
    assert_eq!((answer.status, code(&answer)), (403, json!(403_010)));
    client.publish("$iothub/twin/GET/?$rid=1", b"", Qos::AtMostOnce).await;
    assert_eq!(client.recv().await, Received::Closed);
    let reason = events.find(|event| match event {
        Event::Disconnected { reason, .. } => Some(reason),
        _ => None,
    });
    assert!(reason.await.unwrap().contains("403010"));
    // No modules.
    cloud.add_device("d/m", Credential::Keys(vec![vec![7; 32]]));
    let mut module = open(&cloud, Endpoint::Hub, None).await;
    assert_eq!(module.connect(&Connect::hub(HUB, "d/m")).await, Some(5));
    // The back end is told the same, in the library and over REST.
    let none = Properties::new();
    let not_in_tier = CommandError::NotInTier;
    assert_eq!(cloud.send_c2d("d", "x", &none), Err(not_in_tier.clone()));
    assert_eq!(cloud.invoke_method("d", "m", "", SECOND).await, Err(not_in_tier.clone()));
    assert_eq!(cloud.patch_desired("d", &Map::new()), Err(not_in_tier));
    let method = r#"{"methodName": "m"}"#;
    for (method, path, body) in [
        ("POST", "/devices/d/messages/deviceBound", "x"),
        ("DELETE", "/devices/d/commands", ""),
        ("POST", "/twins/d/methods", method),
        ("GET", "/twins/d", ""),
        ("PATCH", "/twins/d", "{}"),
    ] {
        let answer = service(&cloud, method, path, body).await;
        assert_eq!((answer.status, code(&answer)), (403, json!(403_010)), "{method} {path}");
    }
    assert_eq!(service(&cloud, "GET", "/devices/d", "").await.status, 200, "it has a registry");
}

#[tokio::test]
async fn a_quota_that_is_used_up() {
    let (cloud, identity) = with_device(Config { tier: Tier::Free, ..Config::default() }).await;
    let mut events = cloud.events();
    let mut client = connected(&cloud, &identity).await;
    // 8,000 messages a day, and each half a kilobyte counts as one: fifteen of these are 7,680, and 320 are left.
    let large = vec![b'x'; 512 * 512];
    for _ in 0..15 {
        assert!(client.publish_acked(EVENTS, &large).await);
    }
    assert!(client.publish_acked(EVENTS, &large[..318 * 512]).await);
    cloud.send_c2d("d", "counts as well", &Properties::new()).unwrap();
    assert!(client.publish_acked(EVENTS, b"the last one").await);
    assert!(!client.publish_acked(EVENTS, b"one too many").await);
    let reason = events.find(|event| match event {
        Event::Disconnected { reason, .. } => Some(reason),
        _ => None,
    });
    let reason = reason.await.unwrap();
    assert!(reason.contains("403002"), "{reason}");
    // It may connect, and the next message closes the connection again.
    let mut client = connected(&cloud, &identity).await;
    assert!(!client.publish_acked(EVENTS, b"again").await);
    let answer = device(&cloud, &identity, "POST", "messages/events", "over HTTPS").await;
    assert_eq!((answer.status, code(&answer)), (403, json!(403_002)));
    assert_eq!(answer.headers["iothub-errorcode"], "IotHubQuotaExceeded");
    assert_eq!(cloud.send_c2d("d", "x", &Properties::new()), Err(CommandError::QuotaExceeded));
    let answer = service(&cloud, "POST", "/devices/d/messages/deviceBound", "x").await;
    assert_eq!((answer.status, code(&answer)), (403, json!(403_002)));
    let refused = events.find(|event| match event {
        Event::Telemetry(telemetry) => panic!("{:?} was delivered", telemetry.body),
        Event::Refused { reason, .. } => Some(reason),
        _ => None,
    });
    assert!(refused.await.unwrap().contains("IotHubQuotaExceeded"));
}
