//! The hub: who is let in, what is delivered, and what closes a connection.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use local_cloud::{CommandError, Config, Credential, Endpoint, Event, Handle, Properties};
use mqtt_protocol_core::mqtt::packet::Qos;
use rcgen::{CertifiedIssuer, KeyPair};
use serde_json::{Value, json};

use crate::client::{Client, Connect, Identity, Received, authority_params, leaf_params};
use crate::dps::token;
use crate::flow::{open, start};

const HUB: &str = "local-hub.azure-devices.net";
const C2D: &str = "devices/d/messages/devicebound/#";
const METHODS: &str = "$iothub/methods/POST/#";
const TWIN: &str = "$iothub/twin/res/#";
const DESIRED: &str = "$iothub/twin/PATCH/properties/desired/#";
const KEY: [u8; 32] = [7; 32];
const GET: &str = "$iothub/twin/GET/?$rid=g";
const PATCH: &str = "$iothub/twin/PATCH/properties/reported/?$rid=p";
const FAR: u64 = 4_000_000_000;
/// Long enough for any machine; nothing waits for it to pass unless something is broken.
const LONG: Duration = Duration::from_mins(2);

fn with_token(id: &str) -> Connect {
    let resource = format!("{HUB}%2Fdevices%2F{}", id.replace('/', "%2Fmodules%2F"));
    Connect { password: Some(token(&resource, &KEY, FAR, "")), ..Connect::hub(HUB, id) }
}

/// A cloud with device `d`, known by key.
async fn cloud() -> Handle {
    cloud_with(Config::default()).await
}

async fn cloud_with(config: Config) -> Handle {
    let cloud = start(config).await;
    cloud.add_device("d", Credential::Keys(vec![KEY.to_vec()]));
    cloud
}

async fn connected(cloud: &Handle, connect: &Connect) -> Client {
    let mut client = open(cloud, Endpoint::Hub, None).await;
    assert_eq!(client.connect(connect).await, Some(0));
    client
}

async fn device(cloud: &Handle) -> Client {
    connected(cloud, &with_token("d")).await
}

fn object(value: Value) -> serde_json::Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn who_is_let_in() {
    let cloud = cloud().await;
    let attempt = async |connect: &Connect, identity: Option<&Identity>| {
        open(&cloud, Endpoint::Hub, identity).await.connect(connect).await
    };
    let plain = |id: &str| Connect::hub(HUB, id);
    let own = Identity::self_signed("x");
    let sha256 = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(own.leaf()));
    let sha1 = hex::encode(<sha1::Sha1 as sha1::Digest>::digest(own.leaf()));
    cloud.add_device("by-sha256", Credential::Thumbprints(vec!["00".into(), sha256]));
    cloud.add_device("by-sha1", Credential::Thumbprints(vec![sha1.to_uppercase()]));
    let issuer =
        CertifiedIssuer::self_signed(authority_params("ca", 0), KeyPair::generate().unwrap()).unwrap();
    cloud.add_device("by-ca", Credential::Authority(issuer.der().to_vec()));
    let mut params = leaf_params("by-ca");
    let issued = Identity::issued(&params, &issuer);
    params.not_before = (SystemTime::now() + Duration::from_hours(1)).into();
    let too_early = Identity::issued(&params, &issuer);

    assert_eq!(attempt(&plain("by-sha256"), Some(&own)).await, Some(0));
    assert_eq!(attempt(&plain("by-sha1"), Some(&own)).await, Some(0));
    assert_eq!(attempt(&plain("by-ca"), Some(&issued)).await, Some(0));
    assert_eq!(attempt(&with_token("d"), None).await, Some(0));
    assert_eq!(attempt(&plain("by-sha256"), None).await, Some(5), "no certificate");
    assert_eq!(attempt(&plain("by-sha256"), Some(&Identity::self_signed("x"))).await, Some(5));
    assert_eq!(attempt(&plain("by-ca"), Some(&Identity::self_signed("by-ca"))).await, Some(5));
    assert_eq!(attempt(&plain("by-ca"), Some(&Identity::issued(&leaf_params("d"), &issuer))).await, Some(5));
    assert_eq!(attempt(&plain("by-ca"), Some(&too_early)).await, Some(5));
    assert_eq!(attempt(&plain("d"), Some(&own)).await, Some(5), "no token");
    assert_eq!(attempt(&plain("nobody"), Some(&own)).await, Some(5));
    assert_eq!(attempt(&Connect { client_id: "D".into(), ..with_token("D") }, None).await, Some(5), "case");

    let password = |password: String| Connect { password: Some(password), ..plain("d") };
    let resource = format!("{HUB}%2Fdevices%2Fd");
    for (what, bad) in [
        ("wrong key", token(&resource, &[8; 32], FAR, "")),
        ("expired", token(&resource, &KEY, 1_600_000_000, "")),
        ("token of DPS", token("0ne00000000%2fregistrations%2fd", &KEY, FAR, "")),
        ("another device's", token(&format!("{HUB}%2Fdevices%2Fe"), &KEY, FAR, "")),
        ("no token", "secret".into()),
    ] {
        assert_eq!(attempt(&password(bad), None).await, Some(5), "{what}");
    }
    for bad in [
        "",
        "d",
        "local-hub.azure-devices.net/d",
        "local-hub.azure-devices.net/d/api-version=2021-04-12",
        "local-hub.azure-devices.net/d/?api-version=",
        "local-hub.azure-devices.net/d/?api-version=latest",
        "local-hub.azure-devices.net/e/?api-version=2021-04-12",
        "other-hub.azure-devices.net/d/?api-version=2021-04-12",
        "local-hub.azure-devices.net/d/?api-version=2019-10-01&model-id=dtmi%3Aa%3B1",
    ] {
        let connect = Connect { user_name: Some(bad.into()), ..with_token("d") };
        assert_eq!(attempt(&connect, None).await, Some(4), "{bad}");
    }
    assert_eq!(attempt(&Connect { user_name: None, password: None, ..with_token("d") }, None).await, Some(4));
    let foreign_will =
        Connect { will: Some(("devices/e/messages/events/".into(), vec![])), ..with_token("d") };
    assert_eq!(attempt(&foreign_will, None).await, Some(5));

    cloud.set_enabled("d", false).unwrap();
    assert_eq!(attempt(&with_token("d"), None).await, Some(5), "disabled");
    cloud.set_enabled("d", true).unwrap();
    cloud.faults().refuse_connects(Endpoint::Hub, 3, 1);
    cloud.faults().refuse_connects(Endpoint::Dps, 5, 1);
    assert_eq!(attempt(&with_token("d"), None).await, Some(3));
    let full =
        "LOCAL-hub.azure-devices.net/d/?api-version=2020-09-30&DeviceClientType=x%2F1&model-id=dtmi%3Aa%3B1";
    let connect = Connect { user_name: Some(full.into()), ..with_token("d") };
    assert_eq!(attempt(&connect, None).await, Some(0));
}

#[tokio::test]
async fn abuse_closes() {
    let cloud = cloud().await;
    for filter in ["#", "devices/e/messages/devicebound/#", "$dps/registrations/res/#"] {
        assert_eq!(device(&cloud).await.subscribe(filter, Qos::AtLeastOnce).await, None, "{filter}");
    }
    for topic in ["x", "devices/e/messages/events/", "devices/d/messages/events/%", "$iothub/twin/GET/?"] {
        let mut client = device(&cloud).await;
        client.publish(topic, b"", Qos::AtMostOnce).await;
        assert_eq!(client.recv().await, Received::Closed, "{topic}");
    }
    let mut client = device(&cloud).await;
    client.publish("devices/d/messages/events/", b"", Qos::ExactlyOnce).await;
    assert_eq!(client.recv().await, Received::Closed, "QoS 2");
    let mut client = device(&cloud).await;
    assert!(
        client.publish_acked("devices/d/messages/events/", &vec![b'x'; 262_144]).await,
        "just small enough"
    );
    client.publish("devices/d/messages/events/a=b", &vec![b'x'; 262_143], Qos::AtMostOnce).await;
    assert_eq!(client.recv().await, Received::Closed, "too large");
}

#[tokio::test]
async fn silence_closes_and_the_will_is_published() {
    let cloud = cloud().await;
    let mut events = cloud.events();
    let will = Some(("devices/d/messages/events/why=dead".to_owned(), b"gone".to_vec()));
    let mut client = connected(&cloud, &Connect { keep_alive: 1, will, ..with_token("d") }).await;
    assert_eq!(client.recv().await, Received::Closed);
    let last = events.telemetry().await.unwrap();
    assert_eq!(last.body, b"gone");
    assert_eq!(last.properties.get("why"), Some("dead"));
    assert_eq!(last.properties.get("iothub-MessageType"), Some("Will"));
    let reason =
        events.find(|e| if let Event::Disconnected { reason, .. } = e { Some(reason) } else { None });
    assert_eq!(reason.await.as_deref(), Some("nothing within 1.5 times the keep-alive"));
    assert!(!cloud.is_connected("d"));
    // DISCONNECT takes the will back.
    let will = Some(("devices/d/messages/events/".to_owned(), b"not sent".to_vec()));
    connected(&cloud, &Connect { will, ..with_token("d") }).await.disconnect().await;
    let next = events.find(|e| matches!(e, Event::Telemetry(_) | Event::Disconnected { .. }).then_some(e));
    assert!(matches!(next.await, Some(Event::Disconnected { reason, .. }) if reason == "by the device"));
}

#[tokio::test]
async fn token_expiry_deletion_and_disabling_close() {
    let cloud = cloud().await;
    // A slow machine may need more seconds than the first token has.
    let mut closed = false;
    for seconds in [2, 15, 60] {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let short = token(&format!("{HUB}%2Fdevices%2Fd"), &KEY, now + seconds, "");
        let mut client = open(&cloud, Endpoint::Hub, None).await;
        if client.connect(&Connect { password: Some(short), ..with_token("d") }).await == Some(0) {
            closed = client.recv().await == Received::Closed;
            break;
        }
    }
    assert!(closed);

    let mut client = device(&cloud).await;
    cloud.set_enabled("d", false).unwrap();
    assert_eq!(client.recv().await, Received::Closed);
    cloud.set_enabled("d", true).unwrap();
    let mut client = device(&cloud).await;
    cloud.remove_device("d").unwrap();
    assert_eq!(client.recv().await, Received::Closed);
    assert_eq!(cloud.remove_device("d"), Err(CommandError::UnknownDevice));
    assert_eq!(cloud.devices(), Vec::<String>::new());
}

#[tokio::test]
async fn newer_connection_takes_over() {
    let cloud = cloud().await;
    let mut older = device(&cloud).await;
    older.subscribe(C2D, Qos::AtLeastOnce).await.unwrap();
    cloud.send_c2d("d", "one", &Properties::new()).unwrap();
    assert_eq!(older.message().await.1, b"one");
    let mut newer = device(&cloud).await;
    assert_eq!(older.recv().await, Received::Closed);
    let Received::Publish { payload, dup: true, .. } = newer.recv().await else {
        panic!("not delivered again")
    };
    assert_eq!(payload, b"one");
    assert!(cloud.is_connected("d"));
}

#[tokio::test]
async fn sessions_and_waiting_messages() {
    let cloud = cloud().await;
    let mut events = cloud.events();
    let none = Properties::new();
    assert_eq!(cloud.send_c2d("nobody", "", &none), Err(CommandError::UnknownDevice));
    assert_eq!(cloud.send_c2d("d", vec![0; 65_537], &none), Err(CommandError::TooLarge));
    cloud.send_c2d("d", "waiting", &none).unwrap();

    // The message waits for the subscription, and comes again until it is acknowledged.
    let mut client = device(&cloud).await;
    client.ping().await;
    client.subscribe("devices/+/messages/devicebound/#", Qos::AtLeastOnce).await.unwrap();
    let (_, payload, first_id) = client.message().await;
    assert_eq!(payload, b"waiting");
    drop(client);
    let mut client = open(&cloud, Endpoint::Hub, None).await;
    client.connect(&with_token("d")).await.unwrap();
    let Received::Publish { payload, id, dup, .. } = client.recv().await else {
        panic!("not delivered again")
    };
    assert_eq!((payload.as_slice(), id, dup), (&b"waiting"[..], first_id, true));
    client.puback(id.unwrap()).await;
    client.puback(999).await;
    client.ping().await;
    assert_eq!(cloud.waiting_c2d("d"), Ok(0));
    assert!(events.find(|e| matches!(e, Event::C2dCompleted { .. }).then_some(())).await.is_some());
    client.unsubscribe("devices/+/messages/devicebound/#").await;
    for n in 0..50 {
        cloud.send_c2d("d", n.to_string(), &none).unwrap();
    }
    assert_eq!(cloud.send_c2d("d", "", &none), Err(CommandError::QueueFull));
    client.disconnect().await;

    // A clean session throws them away and keeps nothing; the one before had a session to resume.
    let session_present = async |clean_session| {
        let mut client = open(&cloud, Endpoint::Hub, None).await;
        let connect = Connect { clean_session, ..with_token("d") };
        client.send_connect(&connect).await;
        let Received::Connack { session_present, code: 0 } = client.recv().await else { panic!("refused") };
        client.disconnect().await;
        session_present
    };
    assert!(session_present(false).await);
    assert_eq!(cloud.waiting_c2d("d"), Ok(50));
    assert!(!session_present(true).await);
    assert_eq!(cloud.waiting_c2d("d"), Ok(0));
    assert!(!session_present(false).await);

    // QoS 0: complete when sent.
    let mut client = device(&cloud).await;
    assert_eq!(client.subscribe(C2D, Qos::AtMostOnce).await, Some(vec![0]));
    cloud.send_c2d("d", "fire", &none).unwrap();
    assert_eq!(client.message().await.2, None);
    client.ping().await;
    assert_eq!(cloud.waiting_c2d("d"), Ok(0));
    assert_eq!(client.subscribe(C2D, Qos::ExactlyOnce).await, Some(vec![1]), "QoS 2 is granted as 1");
}

#[tokio::test]
async fn locks_run_out_and_messages_die() {
    let c2d_lock = Duration::from_millis(50);
    let cloud = cloud_with(Config { c2d_lock, c2d_max_deliveries: 3, ..Config::default() }).await;
    let mut events = cloud.events();
    let mut client = device(&cloud).await;
    client.subscribe(C2D, Qos::AtLeastOnce).await.unwrap();
    let id = cloud.send_c2d("d", "take me", &Properties::new()).unwrap();
    for delivery in 0..3 {
        let Received::Publish { dup, .. } = client.recv().await else { panic!("no delivery {delivery}") };
        assert_eq!(dup, delivery > 0);
    }
    let dead = Event::C2dDeadLettered { device: "d".into(), message_id: id };
    assert!(events.find(|e| (e == dead).then_some(())).await.is_some());
}

#[tokio::test]
async fn methods() {
    let cloud = cloud().await;
    let call = async |payload: &'static str| cloud.invoke_method("d", "reboot-now", payload, LONG).await;
    assert_eq!(call("").await, Err(CommandError::NotListening), "not connected");
    let mut client = device(&cloud).await;
    assert_eq!(call("").await, Err(CommandError::NotListening), "not subscribed");
    assert_eq!(cloud.invoke_method("e", "x", "", LONG).await, Err(CommandError::UnknownDevice));
    client.subscribe(METHODS, Qos::AtMostOnce).await.unwrap();
    let mut events = cloud.events();
    let answering = async {
        let (topic, payload, _) = client.message().await;
        assert_eq!(payload, b"{\"in\":1}");
        let rid = topic.strip_prefix("$iothub/methods/POST/reboot-now/?$rid=").unwrap().to_owned();
        let answer = format!("$iothub/methods/res/200/?$rid={rid}");
        client.publish("$iothub/methods/res/200/?$rid=unknown", b"lost", Qos::AtMostOnce).await;
        client.publish(&answer, b"{}", Qos::AtMostOnce).await;
        // A second answer goes nowhere.
        assert!(client.publish_acked(&answer, b"again").await);
    };
    let (answer, ()) = tokio::join!(call("{\"in\":1}"), answering);
    let answer = answer.unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"{}"[..]));
    let (device, method) = ("d".to_owned(), "reboot-now".to_owned());
    let answered = Event::MethodAnswered { device, method, status: 200, body: b"{}".to_vec() };
    assert_eq!(events.next().await, Some(answered));
    let late = cloud.invoke_method("d", "slow", "", Duration::from_millis(20)).await;
    assert_eq!(late, Err(CommandError::TimedOut));
    assert_eq!(cloud.invoke_method("d", "x", vec![0; 131_073], LONG).await, Err(CommandError::TooLarge));
}

async fn twin_request(client: &mut Client, topic: &str, body: &[u8]) -> (String, Value) {
    assert!(client.publish_acked(topic, body).await, "closed after {topic}");
    let (topic, payload, _) = client.message().await;
    let answer = topic.strip_prefix("$iothub/twin/res/").unwrap().to_owned();
    (answer, serde_json::from_slice(&payload).unwrap_or(Value::Null))
}

#[tokio::test]
async fn twins() {
    let cloud = cloud().await;
    let mut events = cloud.events();
    let mut client = device(&cloud).await;
    assert!(client.publish_acked(GET, b"").await, "not subscribed: taken, but no answer");
    client.ping().await;
    client.subscribe(TWIN, Qos::AtMostOnce).await.unwrap();
    // Microsoft's SDKs send one blank as the body.
    let (answer, twin) = twin_request(&mut client, GET, b" ").await;
    assert_eq!(answer, "200/?$rid=g");
    assert_eq!(twin, json!({ "desired": { "$version": 1 }, "reported": { "$version": 1 } }));

    let patch = br#"{"a":{"b":1,"c":null},"d":"x"}"#;
    assert_eq!(twin_request(&mut client, PATCH, patch).await.0, "204/?$rid=p&$version=2");
    let patch: Value = serde_json::from_slice(patch).unwrap();
    let reported = Event::TwinReported { device: "d".into(), patch, version: 2 };
    assert!(events.find(|e| (e == reported).then_some(())).await.is_some());
    for bad in ["", "[]", "{", "{\"a.b\":1}"] {
        let (answer, error) = twin_request(&mut client, PATCH, bad.as_bytes()).await;
        assert_eq!((answer.as_str(), error["errorCode"].is_u64()), ("400/?$rid=p", true), "{bad}");
    }
    cloud.faults().fail_twin_requests(429, 1);
    assert_eq!(twin_request(&mut client, GET, b"").await.0, "429/?$rid=g");

    // Changed before the device listens, then while it does.
    assert_eq!(cloud.patch_desired("d", &object(json!({ "led": 1, "gone": 1 }))), Ok(2));
    client.subscribe(DESIRED, Qos::AtLeastOnce).await.unwrap();
    assert_eq!(cloud.patch_desired("d", &object(json!({ "gone": null, "deep": { "x": 1 } }))), Ok(3));
    let (topic, payload, _) = client.message().await;
    assert_eq!(topic, "$iothub/twin/PATCH/properties/desired/?$version=3");
    let patch: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(patch, json!({ "gone": null, "deep": { "x": 1 }, "$version": 3 }));
    let refused = cloud.patch_desired("d", &object(json!({ "a b": 1 })));
    assert!(matches!(refused, Err(CommandError::Refused(_))), "{refused:?}");
    let (_, twin) = twin_request(&mut client, GET, b"").await;
    let expected = json!({
        "desired": { "led": 1, "deep": { "x": 1 }, "$version": 3 },
        "reported": { "a": { "b": 1 }, "d": "x", "$version": 2 },
    });
    assert_eq!(twin, expected);
    assert_eq!(cloud.twin("d"), Ok(expected));
}

#[tokio::test]
async fn modules() {
    let cloud = cloud().await;
    cloud.add_device("d/m", Credential::Keys(vec![KEY.to_vec()]));
    let mut events = cloud.events();
    let mut client = connected(&cloud, &with_token("d/m")).await;
    let properties = Properties::new().with("p", "1");
    let send = |input| cloud.send_to_input("d/m", input, "body", &properties);
    assert_eq!(send("in 1"), Err(CommandError::NotListening));
    client.subscribe("devices/d/modules/m/#", Qos::AtLeastOnce).await.unwrap();
    assert!(client.publish_acked("devices/d/modules/m/messages/events/%24.on=out", b"hi").await);
    let telemetry = events.telemetry().await.unwrap();
    assert_eq!((telemetry.device.as_str(), telemetry.properties.get("$.on")), ("d/m", Some("out")));
    send("in 1").unwrap();
    let (topic, payload, _) = client.message().await;
    assert_eq!((topic.as_str(), payload.as_slice()), ("devices/d/modules/m/inputs/in%201/p=1", &b"body"[..]));
    assert_eq!(cloud.send_c2d("d/m", "", &Properties::new()), Err(CommandError::UnknownDevice));
    client.publish("devices/d/messages/events/", b"", Qos::AtMostOnce).await;
    assert_eq!(client.recv().await, Received::Closed, "the device's topic is not the module's");
}

#[tokio::test]
async fn retained_messages_are_marked() {
    let cloud = cloud().await;
    let mut events = cloud.events();
    let mut client = device(&cloud).await;
    // PUBLISH, QoS 0, RETAIN, topic of 26 bytes.
    client.send_raw(b"\x31\x1e\0\x1adevices/d/messages/events/ok").await;
    let telemetry = events.telemetry().await.unwrap();
    assert_eq!((telemetry.body.as_slice(), telemetry.qos), (&b"ok"[..], 0));
    assert_eq!(telemetry.properties.get("mqtt-retain"), Some("true"));
}
