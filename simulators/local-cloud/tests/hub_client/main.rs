//! The hub client with its runner and its TLS adapter against the local cloud, over TLS 1.2 and 1.3: registration,
//! telemetry, cloud-to-device messages, methods, twin, modules, an edge gateway, takeover, throttling, and a hub that
//! does not want the device any more.

mod bench;
mod mqtt5;

use std::time::Duration;

use bench::{Bench, Booted, Do};
use iothub_mqtt::runner::{Failure, Settings};
use local_cloud::{Config, Credential, Endpoint, Event, Events, Properties, TlsVersions};
use serde_json::json;

const BOTH: [TlsVersions; 2] = [TlsVersions::Tls12, TlsVersions::Tls13];

fn cloud(tls: TlsVersions) -> Config {
    Config { tls, assigning_polls: 1, retry_after: Some(1), ..Config::default() }
}

/// The device sends a message, and the cloud has it with everything that the device says of it.
async fn telemetry_arrives(device: &mut Booted, cloud_events: &mut Events) {
    device.order(Do::Send("{\"t\":1}"));
    device.expect("sent").await;
    device.expect("delivered").await;
    let telemetry = cloud_events.telemetry().await.unwrap();
    assert_eq!((telemetry.body.as_slice(), telemetry.qos), (&b"{\"t\":1}"[..], 1));
    let expected = Properties::new()
        .with("$.ct", "application/json")
        .with("$.ce", "utf-8")
        .with("where", "up & away=ü+%");
    assert_eq!(telemetry.properties, expected);
}

#[tokio::test]
async fn from_registration_to_messages_both_ways() {
    for tls in BOTH {
        let bench = Bench::start(cloud(tls)).await;
        let mut cloud_events = bench.cloud.events();
        let mut device = bench.boot(|_| {});
        device.expect("registering").await;
        device.expect("registered local-hub.azure-devices.net device-1").await;
        device.expect("connected").await;
        device.expect("twin 1").await;

        telemetry_arrives(&mut device, &mut cloud_events).await;

        let properties = Properties::new().with("a-b", "c&d").with_null("nothing").with("empty", "");
        let id = bench.cloud.send_c2d("device-1", "hello", &properties).unwrap();
        device.expect("message hello {a-b=c&d, nothing, empty=}").await;
        let completed = cloud_events
            .find(|event| match event {
                Event::C2dCompleted { message_id, .. } => Some(message_id),
                _ => None,
            })
            .await;
        assert_eq!(completed, Some(id));
        assert_eq!(bench.cloud.waiting_c2d("device-1").unwrap(), 0);

        let call =
            bench.cloud.invoke_method("device-1", "double", "21", Duration::from_secs(10)).await.unwrap();
        assert_eq!((call.status, call.body.as_slice()), (200, &b"42"[..]));
        let call =
            bench.cloud.invoke_method("device-1", "c*none", "", Duration::from_secs(10)).await.unwrap();
        assert_eq!(call.status, 404);
        device.expect("method double").await;
        device.expect("method c*none").await;

        let patch = json!({"led": {"on": true}});
        bench.cloud.patch_desired("device-1", patch.as_object().unwrap()).unwrap();
        device.expect("desired 2 {\"$version\":2,\"led\":{\"on\":true}}").await;
        device.order(Do::Report(r#"{"led":{"value":true,"ac":200,"av":2}}"#));
        device.expect("reported 2").await;
        assert_eq!(bench.cloud.twin("device-1").unwrap()["reported"]["led"]["ac"], 200);
        device.order(Do::Report("[]"));
        device.expect("refused 400").await;

        device.order(Do::Stop);
        assert_eq!(device.end().await, Ok(()));
        let reason = cloud_events
            .find(|event| match event {
                Event::Disconnected { reason, .. } => Some(reason),
                _ => None,
            })
            .await;
        assert_eq!(reason.as_deref(), Some("by the device"));
    }
}

/// What happened while the device was away, it finds when it is back; what was under way arrives.
#[tokio::test]
async fn away_and_back() {
    for tls in BOTH {
        let bench = Bench::start(cloud(tls)).await;
        let mut cloud_events = bench.cloud.events();
        let mut device = bench.boot(|_| {});
        device.expect("twin 1").await;
        bench.cloud.faults().refuse_connects(Endpoint::Hub, 3, 2);
        bench.cloud.drop_connections();
        device.expect("retrying").await;
        bench.cloud.send_c2d("device-1", "meanwhile", &Properties::new()).unwrap();
        bench.cloud.patch_desired("device-1", json!({"n": 7}).as_object().unwrap()).unwrap();
        device.expect("retrying connection refused: the service is not available").await;
        // The hub has kept the subscriptions, so the message may come before they are made anew.
        device.expect_all(&["connected", "message meanwhile {}", "twin 2"]).await;
        device.order(Do::Send("1"));
        device.expect("delivered").await;
        assert_eq!(cloud_events.telemetry().await.unwrap().body, b"1");

        // Throttled: asked again, as late as the ladder says.
        bench.cloud.faults().fail_twin_requests(429, 2);
        bench.cloud.drop_connections();
        device.expect("twin 2").await;

        // Somebody else with the same identity takes over; the device takes it back.
        let mut other = bench.boot(|_| {});
        other.expect("connected").await;
        device.expect("retrying").await;
        device.expect("connected").await;
        other.order(Do::Stop);
        drop(other);
        device.order(Do::Stop);
    }
}

/// The hub has forgotten the device: after the third refusal it registers again.
#[tokio::test]
async fn a_device_the_hub_does_not_know_registers_again() {
    let bench = Bench::start(cloud(TlsVersions::Both)).await;
    let mut device = bench.boot(|_| {});
    device.expect("connected").await;
    bench.cloud.remove_device("device-1").unwrap();
    for _ in 0..3 {
        device.expect("retrying connection refused: not authorized").await;
    }
    device.expect("registering").await;
    device.expect("registered").await;
    device.expect("connected").await;
    device.order(Do::Stop);
    assert_eq!(device.end().await, Ok(()));

    // The enrolment is gone too: that ends it, with the reason.
    let mut device = bench.boot(|_| {});
    device.expect("connected").await;
    bench.cloud.enrollments().remove_individual("device-1");
    bench.cloud.remove_device("device-1").unwrap();
    let Err(Failure::Registration(error)) = device.end().await else { panic!() };
    assert!(error.to_string().contains("CONNACK 5") || error.to_string().contains("401"), "{error}");
}

/// Device ids as long as the service takes them: twice as long as the MQTT engine does.
#[tokio::test]
async fn a_device_id_of_128_characters() {
    let id = format!("{}-:.!*?(),=@$'", "d".repeat(115));
    assert_eq!(id.len(), 128);
    for tls in BOTH {
        let bench = Bench::start_as(&id, cloud(tls)).await;
        let mut cloud_events = bench.cloud.events();
        let mut device = bench.boot_at_hub(&id, |_| {});
        device.expect("connected").await;
        device.expect("twin 1").await;
        device.order(Do::Send("{}"));
        device.expect("delivered").await;
        assert_eq!(cloud_events.telemetry().await.unwrap().device, id);
        bench.cloud.send_c2d(&id, "hello", &Properties::new()).unwrap();
        device.expect("message hello {}").await;
        device.order(Do::Stop);
        assert_eq!(device.end().await, Ok(()));
    }
}

/// Through an edge gateway: the connection goes to its name, everything else is the hub's.
#[tokio::test]
async fn through_a_gateway() {
    let config = Config { names: vec!["gateway.local".to_owned()], ..cloud(TlsVersions::Both) };
    let bench = Bench::start(config).await;
    let mut device = bench.boot(|settings: &mut Settings<'static>| settings.gateway = Some("gateway.local"));
    device.expect("connecting local-hub.azure-devices.net at gateway.local").await;
    device.expect("connected").await;
    device.order(Do::Stop);
    assert_eq!(device.end().await, Ok(()));
}

/// A module: its own name, inputs, outputs, methods and twin.
#[tokio::test]
async fn a_module() {
    use iothub_mqtt::session::{Options, Session};
    use iothub_mqtt::translate::Connect;
    use iothub_mqtt::{Client, ClientOptions, Endpoint, HubEvent, Telemetry};

    let bench = Bench::start(cloud(TlsVersions::Both)).await;
    let mut cloud_events = bench.cloud.events();
    bench.cloud.add_device("device-1/module-a", Credential::Thumbprints(vec![bench.identity.thumbprint()]));
    let hub = bench.cloud.config().hub_name.clone();
    let endpoint = Endpoint::new(&hub, "device-1").unwrap().with_module("module-a").unwrap();
    let tls = bench.tls(bench.cloud.hub_address(), &hub).await.unwrap();
    let (mut rx, mut tx) = (vec![0; 4096], vec![0; 4096]);
    let mut session: Session = Session::new(Options::default(), &mut rx, &mut tx);
    let (mut id, mut name) = ([0; 257], [0; 512]);
    let connect = Connect {
        client_id: endpoint.client_id(&mut id).unwrap(),
        user_name: endpoint.user_name(&iothub_mqtt::Announcement::default(), &mut name).unwrap(),
        password: None,
        will: None,
    };
    let link = session.connect(tls, &connect).await.unwrap();
    let mut client: Client<'_, _> = Client::new(link, endpoint, ClientOptions::new(5));
    client.start().await.unwrap();
    let mut seen = 0;
    while seen < 4 {
        let mut answer = None;
        match client.poll().await.unwrap() {
            Some(HubEvent::Connected) => {
                let telemetry = Telemetry { output: Some("out1"), ..Telemetry::new(b"x") };
                client.send(&telemetry).await.unwrap();
                bench.cloud.send_to_input("device-1/module-a", "in1", "to in1", &Properties::new()).unwrap();
            }
            Some(HubEvent::Message(message)) => {
                assert_eq!((message.input, message.payload), (Some("in1"), &b"to in1"[..]));
                seen += 1;
                let cloud = bench.cloud.clone();
                tokio::spawn(async move {
                    cloud.invoke_method("device-1/module-a", "m", "", Duration::from_secs(10)).await
                });
            }
            Some(HubEvent::Method(request)) => {
                answer = Some(request.reply_to());
                seen += 1;
            }
            Some(HubEvent::Twin(_) | HubEvent::Delivered(_)) => seen += 1,
            _ => {}
        }
        if let Some(to) = answer {
            client.respond(&to, 200, b"").await.unwrap();
        }
    }
    client.disconnect().await.unwrap();
    let telemetry = cloud_events.telemetry().await.unwrap();
    assert_eq!(telemetry.device, "device-1/module-a");
    assert_eq!(telemetry.properties.get("$.on"), Some("out1"));
}
