//! What is there again after a restart, and what is not.

use local_cloud::{Attestation, Config, Credential, Endpoint, Enrollment, Handle, Properties};
use mqtt_protocol_core::mqtt::packet::Qos;
use serde_json::json;

use crate::client::{Connect, Identity};
use crate::flow::{open, register, start};

const HUB: &str = "local-hub.azure-devices.net";

async fn begin(folder: &std::path::Path, fresh: bool) -> Handle {
    start(Config { state: Some(folder.to_owned()), fresh, ..Config::default() }).await
}

#[tokio::test]
async fn everything_survives_a_restart_and_fresh_forgets() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let device = Identity::self_signed("d");
    let connect = Connect::dps("0ne00000000", "d");
    let cloud = begin(&state, false).await;
    let root = cloud.root_pem();
    cloud.enrollments().put_individual(Enrollment::new("d", Attestation::certificate(device.leaf())));
    cloud.enrollments().put_group(Enrollment::new("g", Attestation::key([7; 32])));
    cloud.enrollments().put_individual(Enrollment::new("gone", Attestation::key([8; 32])));
    cloud.enrollments().remove_individual("gone");
    assert_eq!(register(&cloud, &connect, Some(&device)).await.0, 200);
    cloud.add_device("other", Credential::Keys(vec![vec![1; 32]]));
    cloud.add_device("deleted", Credential::Keys(vec![vec![1; 32]]));
    cloud.remove_device("deleted").unwrap();
    let mut client = open(&cloud, Endpoint::Hub, Some(&device)).await;
    assert_eq!(client.connect(&Connect::hub(HUB, "d")).await, Some(0));
    client.subscribe("devices/d/messages/devicebound/#", Qos::AtLeastOnce).await.unwrap();
    client.subscribe("$iothub/twin/res/#", Qos::AtLeastOnce).await.unwrap();
    assert!(client.publish_acked("$iothub/twin/PATCH/properties/reported/?$rid=1", b"{\"r\":1}").await);
    client.message().await;
    cloud.patch_desired("d", json!({"a": {"b": 1}}).as_object().unwrap()).unwrap();
    cloud.set_enabled("other", false).unwrap();
    let twin = cloud.twin("d").unwrap();
    let registration = cloud.registration("d").unwrap();
    // Delivered and not acknowledged, and waiting.
    let properties = Properties::new().with("k", "v").with_null("bare").with("a", "1");
    cloud.send_c2d("d", [0, 255], &properties).unwrap();
    client.message().await;
    drop(client);
    let enrollments = (cloud.enrollments().individuals(), cloud.enrollments().own_groups());
    drop(cloud);

    let cloud = begin(&state, false).await;
    assert_eq!(cloud.root_pem(), root);
    assert_eq!((cloud.enrollments().individuals(), cloud.enrollments().own_groups()), enrollments);
    assert_eq!(cloud.devices(), ["d", "other"]);
    assert_eq!(cloud.twin("d").unwrap(), twin);
    assert_eq!(cloud.registration("d"), Some(registration));
    assert_eq!(cloud.waiting_c2d("d"), Ok(1));
    let mut client = open(&cloud, Endpoint::Hub, Some(&device)).await;
    client.send_connect(&Connect::hub(HUB, "d")).await;
    let connack = client.recv().await;
    assert_eq!(connack, crate::client::Received::Connack { session_present: true, code: 0 });
    // The subscription is still there, and the message comes again.
    let (topic, payload, id) = client.message().await;
    assert!(topic.ends_with("&k=v&bare&a=1"), "{topic}");
    assert_eq!(payload, [0, 255]);
    client.puback(id.unwrap()).await;
    client.ping().await;
    drop(client);
    drop(cloud);

    let cloud = begin(&state, false).await;
    assert_eq!(cloud.waiting_c2d("d"), Ok(0), "what was completed does not come back");
    drop(cloud);
    let cloud = begin(&state, true).await;
    assert_ne!(cloud.root_pem(), root);
    assert!(cloud.devices().is_empty() && cloud.enrollments().individuals().is_empty());
}

/// Whatever moment the process ends at, what is on the disk is one of the states it went through.
#[tokio::test]
async fn a_killed_process_leaves_a_whole_state() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let cloud = begin(&state, false).await;
    cloud.add_device("d", Credential::Keys(vec![vec![1; 32]]));
    cloud.flush();
    let mut version = 1;
    for n in 0..40 {
        version = cloud.patch_desired("d", json!({"n": n, "m": n}).as_object().unwrap()).unwrap();
        if n % 8 == 0 {
            // The file as a process that is gone now would have left it.
            let copy = folder.path().join(format!("copy {n}"));
            std::fs::create_dir(&copy).unwrap();
            std::fs::copy(state.join("state.redb"), copy.join("state.redb")).unwrap();
            let left = begin(&copy, false).await;
            let twin = left.twin("d").unwrap();
            assert_eq!(twin["desired"]["n"], twin["desired"]["m"]);
            assert!(twin["desired"]["$version"].as_u64().unwrap() <= version);
        }
    }
    drop(cloud);
    let cloud = begin(&state, false).await;
    assert_eq!(cloud.twin("d").unwrap()["desired"]["$version"], version);
}
