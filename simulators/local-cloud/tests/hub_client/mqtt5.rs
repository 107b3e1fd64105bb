//! The same device at a hub of the new generation: its own code does not change, the hub is what DPS says.

use std::time::Duration;

use dps_client::API_VERSION_CONNECTION_PROFILE;
use iothub_mqtt::runner::Settings;
use local_cloud::{Attestation, CommandError, Config, Enrollment, Event, Properties, TlsVersions};
use serde_json::json;

use super::bench::{Bench, Booted, Do};

const HUB: &str = "local-hub5.device.azure-devices.net";

async fn bench(tls: TlsVersions) -> Bench {
    let bench = Bench::start(Config { mqtt5_hubs: vec![HUB.to_owned()], ..super::cloud(tls) }).await;
    assign(&bench, HUB);
    bench
}

/// Has the device assigned to this hub from its next registration on.
fn assign(bench: &Bench, hub: &str) {
    let mut enrollment = Enrollment::new("device-1", Attestation::certificate(bench.identity.der().to_vec()));
    enrollment.hubs = vec![hub.to_owned()];
    bench.cloud.enrollments().put_individual(enrollment);
}

/// A device that asks what its hub speaks.
fn boot(bench: &Bench) -> Booted {
    bench.boot(|settings: &mut Settings<'static>| {
        let registration = settings.registration.with_api_version(API_VERSION_CONNECTION_PROFILE);
        settings.registration = registration.unwrap();
    })
}

#[tokio::test]
async fn the_same_story() {
    for tls in super::BOTH {
        let bench = bench(tls).await;
        let mut cloud_events = bench.cloud.events();
        let mut device = boot(&bench);
        device.expect(&format!("registered {HUB} device-1")).await;
        device.expect("SubscriptionRefused(Messages)").await;
        device.expect("connected").await;
        device.expect("twin 1").await;

        super::telemetry_arrives(&mut device, &mut cloud_events).await;

        let refused = bench.cloud.send_c2d("device-1", "hello", &Properties::new());
        assert!(matches!(refused, Err(CommandError::Refused(_))), "{refused:?}");

        let call = |method: &'static str, payload: &'static str| {
            bench.cloud.invoke_method("device-1", method, payload, Duration::from_secs(10))
        };
        let done = call("double", "21").await.unwrap();
        assert_eq!((done.status, done.body.as_slice()), (200, &b"42"[..]));
        assert_eq!(call("c*none", "").await.unwrap().status, 404);
        let four =
            tokio::join!(call("double", "1"), call("double", "2"), call("double", "3"), call("double", "4"));
        for (call, body) in [(four.0, "2"), (four.1, "4"), (four.2, "6"), (four.3, "8")] {
            // Three at once are taken; the fourth may be one too many.
            match call {
                Ok(done) => assert_eq!(done.body, body.as_bytes()),
                Err(CommandError::Refused(why)) => assert!(why.contains("busy"), "{why}"),
                Err(other) => panic!("{other}"),
            }
        }
        let short = bench.cloud.invoke_method("device-1", "double", "1", Duration::from_secs(1)).await;
        assert!(matches!(short, Err(CommandError::Refused(why)) if why.contains("time")));

        let patch = json!({"led": {"on": true}});
        bench.cloud.patch_desired("device-1", patch.as_object().unwrap()).unwrap();
        device.expect("desired 2 {\"led\":{\"on\":true}}").await;
        // One behind the other, each for the version that the one before makes.
        device.order(Do::Report(r#"{"led":{"value":true,"ac":200,"av":2}}"#));
        device.order(Do::Report(r#"{"n":1}"#));
        device.order(Do::Report("[]"));
        device.expect("reported 2").await;
        device.expect("reported 3").await;
        device.expect("refused 400").await;
        assert_eq!(bench.cloud.twin("device-1").unwrap()["reported"]["led"]["ac"], 200);

        device.order(Do::Stop);
        assert_eq!(device.end().await, Ok(()));
    }
}

/// Away and back: what was under way arrives, what was missed is fetched, and the hub says why it ends a connection.
#[tokio::test]
async fn away_and_back_and_moved() {
    let bench = bench(TlsVersions::Both).await;
    let mut cloud_events = bench.cloud.events();
    let mut device = boot(&bench);
    device.expect("twin 1").await;
    bench.cloud.drop_connections();
    device.expect("retrying").await;
    bench.cloud.patch_desired("device-1", json!({"n": 7}).as_object().unwrap()).unwrap();
    device.expect_all(&["connected", "twin 2"]).await;
    device.order(Do::Send("1"));
    device.expect("delivered").await;
    assert_eq!(cloud_events.telemetry().await.unwrap().body, b"1");

    // Properties that somebody else has changed meanwhile are not overwritten; the second time they are.
    bench.cloud.faults().fail_twin_requests(500, 1);
    device.order(Do::Report(r#"{"n":7}"#));
    device.expect("refused 500").await;
    device.order(Do::Report(r#"{"n":7}"#));
    device.expect("reported 2").await;

    // Another device with the same identity.
    let mut other = boot(&bench);
    other.expect("connected").await;
    device.expect("retrying disconnected by the server: session taken over (0x8e)").await;
    other.order(Do::Stop);
    drop(other);
    device.expect("connected").await;

    // Assigned to a classic hub from now on: the device speaks to it as that wants it, and the twin has come along.
    assign(&bench, "local-hub.azure-devices.net");
    bench.cloud.remove_device("device-1").unwrap();
    device.expect("registered local-hub.azure-devices.net device-1").await;
    device.expect("connected").await;
    device.order(Do::Send("2"));
    device.expect("delivered").await;
    device.order(Do::Stop);
}

/// A device whose registration does not ask for the profile takes the hub for a classic one, and is told so.
#[tokio::test]
async fn an_old_device_is_refused() {
    let bench = bench(TlsVersions::Both).await;
    let mut cloud_events = bench.cloud.events();
    let mut device = bench.boot(|_| {});
    device.expect("retrying connection refused: not authorized").await;
    let reason = cloud_events
        .find(|event| match event {
            Event::Refused { reason, .. } => Some(reason),
            _ => None,
        })
        .await;
    assert_eq!(reason.as_deref(), Some("this hub speaks MQTT 5 only"));
}
