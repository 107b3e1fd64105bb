//! The hubs of the new generation, which speak MQTT 5 (preview): the same application, assigned to one by its
//! enrolment.

use std::time::Duration;

use devkit_host::screen;
use local_cloud::{CommandError, Properties};
use peripherals::Lamp;
use serde_json::{Value, json};

use crate::bench::{Bench, ID, MQTT5_HUB, assigned_cloud_for, until};
use crate::cloud::{call, flash, interval, patch, reported, reports};

#[tokio::test]
async fn at_a_hub_that_speaks_mqtt_5_the_device_does_the_same() {
    let bench = Bench::configured();
    let cloud = assigned_cloud_for(&bench, MQTT5_HUB).await;
    let (mut board, user) = bench.online(&cloud);
    let mut events = cloud.events();
    let story = async {
        let message = events.telemetry().await.unwrap();
        assert_eq!(cloud.hub_of(ID).as_deref(), Some(MQTT5_HUB));
        assert_eq!(cloud.registration(ID).unwrap()["assignedHub"], MQTT5_HUB);
        let body: Value = serde_json::from_slice(&message.body).unwrap();
        assert_eq!((&body["deviceId"], &body["temperature"]), (&json!(ID), &json!(22.51)));
        assert_eq!(message.properties.get("temperatureAlert"), Some("false"));
        flash(&user, Lamp::Blue).await;

        reports(&cloud, "interval", json!({ "value": 1000, "ac": 203, "av": 0 })).await;
        assert_eq!(reported(&cloud)["firmwareVersion"], "2.0.0");
        patch(&cloud, &json!({ "interval": 501 }));
        reports(&cloud, "interval", json!({ "value": 501, "ac": 200, "av": 2 })).await;
        while interval(&mut events).await > Duration::from_millis(800) {}
        patch(&cloud, &json!({ "interval": 500 }));
        let ack = json!({ "value": 501, "ac": 400, "av": 3, "ad": "milliseconds, more than 500" });
        reports(&cloud, "interval", ack).await;

        assert_eq!((call(&cloud, "stop").await, call(&cloud, "reboot").await), (200, 404));
        until(|| user.panel.lamp(Lamp::User) == 0).await;
        assert_eq!(call(&cloud, "start").await, 200);
        let (a, b, c) = tokio::join!(call(&cloud, "stop"), call(&cloud, "nothing"), call(&cloud, "start"));
        assert_eq!((a, b, c), (200, 404, 200));

        let refused = cloud.send_c2d(ID, "Hello", &Properties::new());
        assert!(matches!(refused, Err(CommandError::Refused(_))), "{refused:?}");
        let log = user.terminal.received();
        assert!(log.contains("WARN:  The hub does not offer cloud-to-device messages"), "{log}");

        // A change that comes while the device is away is in the twin it fetches.
        cloud.drop_connections();
        patch(&cloud, &json!({ "interval": 700 }));
        until(|| reported(&cloud)["interval"]["value"] == 700).await;
        events.telemetry().await.unwrap();

        // The classic hub of the same cloud: the twin moves with the device.
        let classic = cloud.config().hub_name.clone();
        cloud.move_device(ID, &classic).unwrap();
        until(|| cloud.is_connected(ID) && cloud.hub_of(ID).as_ref() == Some(&classic)).await;
        cloud.send_c2d(ID, "Hello", &Properties::new()).unwrap();
        until(|| screen::rows(&user.display)[2] == "Hello").await;
        patch(&cloud, &json!({ "interval": 800 }));
        until(|| reported(&cloud)["interval"]["value"] == 800).await;
    };
    bench.during(&mut board, story).await;
}
