//! What the device does while it is connected.

use std::time::{Duration, Instant};

use devkit_host::{User, screen};
use dice_core::Uds;
use local_cloud::{CommandError, Events, Handle, Properties};
use peripherals::{Change, Lamp};
use serde_json::{Value, json};

use crate::bench::{Bench, ID, UDS, cloud_for, shows, slow_cloud_for, until};

pub(crate) fn patch(cloud: &Handle, patch: &Value) {
    cloud.patch_desired(ID, patch.as_object().unwrap()).unwrap();
}

pub(crate) fn reported(cloud: &Handle) -> Value {
    cloud.twin(ID).map(|mut twin| twin["reported"].take()).unwrap_or_default()
}

/// Waits until the device reports this.
pub(crate) async fn reports(cloud: &Handle, name: &str, wanted: Value) {
    let wait = until(|| reported(cloud)[name] == wanted);
    if tokio::time::timeout(Duration::from_secs(30), wait).await.is_err() {
        assert_eq!(reported(cloud)[name], wanted);
    }
}

pub(crate) async fn call(cloud: &Handle, method: &str) -> i32 {
    cloud.invoke_method(ID, method, b"null", Duration::from_secs(10)).await.unwrap().status
}

/// Waits until this part of the RGB lamp has been lit and is dark again.
pub(crate) async fn flash(user: &User, lamp: Lamp) {
    for value in [255, 0] {
        let wanted = Change { lamp, value };
        let mut changes = Vec::new();
        until(|| {
            changes.extend(user.panel.take_changes());
            changes.contains(&wanted)
        })
        .await;
        if changes.contains(&Change { lamp, value: 0 }) {
            return;
        }
    }
}

/// The time from the next message to the one after.
pub(crate) async fn interval(events: &mut Events) -> Duration {
    events.telemetry().await.unwrap();
    let first = Instant::now();
    events.telemetry().await.unwrap();
    first.elapsed()
}

#[tokio::test]
async fn screens_lamps_and_messages() {
    let bench = Bench::configured();
    let cloud = cloud_for(&bench).await;
    let (mut board, user) = bench.online(&cloud);
    let mut events = cloud.events();
    let running = ["IoT DevKit", "127.0.0.1", "Running...", "22.51C 44.99%"];
    let story = async {
        shows(&user, running).await;
        assert_eq!([Lamp::Wifi, Lamp::Azure, Lamp::User].map(|lamp| user.panel.lamp(lamp)), [255; 3]);
        let message = events.telemetry().await.unwrap();
        let body: Value = serde_json::from_slice(&message.body).unwrap();
        assert_eq!(body["deviceId"], ID);
        assert_eq!(
            (&body["temperature"], &body["humidity"], &body["pressure"]),
            (&json!(22.51), &json!(44.99), &json!(1013.25))
        );
        assert_eq!(message.properties.get("temperatureAlert"), Some("false"));
        flash(&user, Lamp::Blue).await;

        user.climate.lock().unwrap().set(31_50, 60_00);
        until(|| screen::rows(&user.display)[3].starts_with("31.")).await;
        loop {
            let message = events.telemetry().await.unwrap();
            if message.properties.get("temperatureAlert") == Some("true") {
                break;
            }
        }

        cloud.send_c2d(ID, "Hello, device\u{7}", &Properties::new()).unwrap();
        flash(&user, Lamp::Red).await;
        shows(&user, ["IoT DevKit", "127.0.0.1", "Hello, device?", ""]).await;
        until(|| cloud.waiting_c2d(ID).unwrap() == 0).await;

        // Held, button B tells who the device is.
        user.panel.press(|buttons| buttons.b = true);
        shows(&user, ["IoT DevKit", "az-c89346f8a1b2v", "2v0v0", "local-hub.azure-"]).await;
        user.panel.press(|buttons| buttons.b = false);
        until(|| screen::rows(&user.display)[3].starts_with("31.")).await;
    };
    bench.during(&mut board, story).await;
}

#[tokio::test]
async fn the_screens_on_the_way() {
    let bench = Bench::configured();
    let cloud = slow_cloud_for(&bench).await;
    let (mut board, user) = bench.online(&cloud);
    let mut seen: Vec<[String; 4]> = Vec::new();
    let watch = until(|| {
        let rows = screen::rows(&user.display);
        if seen.last() != Some(&rows) {
            seen.push(rows);
        }
        seen.last().is_some_and(|rows| rows[3].contains("C "))
    });
    bench.during(&mut board, watch).await;
    // What is faster than the display is not shown; what is shown comes in this order.
    let order = ["", "Initializing...", " > WiFi", " > Sensors", " > DPS", " > IoT Hub(DPS)", "%"];
    let place = |rows: &[String; 4]| {
        let stands = |text: &&str| rows.iter().any(|row| row.contains(text));
        order.iter().rposition(|text| !text.is_empty() && stands(text)).unwrap_or(0)
    };
    assert!(seen.iter().map(place).is_sorted(), "{seen:?}");
    for rows in [["Running...", " > DPS"], ["Running...", "22.51C 44.99%"]] {
        assert!(
            seen.iter().any(|seen| seen[..2] == ["IoT DevKit", "127.0.0.1"] && seen[2..] == rows),
            "{seen:?}"
        );
    }
}

#[tokio::test]
async fn the_twin_sets_the_interval() {
    let bench = Bench::configured();
    let cloud = cloud_for(&bench).await;
    let (mut board, _user) = bench.online(&cloud);
    let mut events = cloud.events();
    let story = async {
        reports(&cloud, "interval", json!({ "value": 1000, "ac": 203, "av": 0 })).await;
        assert_eq!(reported(&cloud)["firmwareVersion"], "2.0.0");
        // On a busy machine a message may come late, and the next one early; not all of them.
        while interval(&mut events).await < Duration::from_millis(900) {}

        patch(&cloud, &json!({ "interval": 501 }));
        reports(&cloud, "interval", json!({ "value": 501, "ac": 200, "av": 2 })).await;
        while interval(&mut events).await > Duration::from_millis(800) {}

        for refused in [json!(500), json!("1000"), json!(-1), json!(1e12), json!({ "ms": 1000 })] {
            patch(&cloud, &json!({ "interval": refused }));
            let version = cloud.twin(ID).unwrap()["desired"]["$version"].clone();
            let ack = json!({ "value": 501, "ac": 400, "av": version, "ad": "milliseconds, more than 500" });
            reports(&cloud, "interval", ack).await;
        }

        // A change that comes while the device is away is in the twin it fetches.
        cloud.drop_connections();
        patch(&cloud, &json!({ "interval": 700 }));
        until(|| reported(&cloud)["interval"]["value"] == 700).await;
    };
    bench.during(&mut board, story).await;
}

#[tokio::test]
async fn methods_start_and_stop_telemetry() {
    let bench = Bench::configured();
    let cloud = cloud_for(&bench).await;
    let (mut board, user) = bench.online(&cloud);
    let mut events = cloud.events();
    let story = async {
        events.telemetry().await.unwrap();
        assert_eq!(call(&cloud, "stop").await, 200);
        until(|| user.panel.lamp(Lamp::User) == 0).await;
        // One may have been on its way.
        let _ = tokio::time::timeout(Duration::from_millis(200), events.telemetry()).await;
        let silence = tokio::time::timeout(Duration::from_millis(1500), events.telemetry()).await;
        assert!(silence.is_err(), "{silence:?}");

        // Button A asks for a message all the same.
        user.panel.press(|buttons| buttons.a = true);
        events.telemetry().await.unwrap();
        user.panel.press(|buttons| buttons.a = false);

        assert_eq!(call(&cloud, "reboot").await, 404);
        assert_eq!(call(&cloud, "start").await, 200);
        events.telemetry().await.unwrap();
        until(|| user.panel.lamp(Lamp::User) == 255).await;
        let large = vec![b' '; 5000];
        let answer = cloud.invoke_method(ID, "stop", large, Duration::from_secs(10)).await.unwrap();
        assert_eq!(answer.status, 413, "and it is not stopped");
        events.telemetry().await.unwrap();
        // Calls at once are all answered.
        let (a, b, c) = tokio::join!(call(&cloud, "stop"), call(&cloud, "nothing"), call(&cloud, "start"));
        assert_eq!((a, b, c), (200, 404, 200));
    };
    bench.during(&mut board, story).await;
}

#[tokio::test]
async fn a_crash_is_reported_once() {
    let bench = Bench::configured();
    let cloud = cloud_for(&bench).await;
    let crash = "panic at \"main.rs\":7:\n\u{1}bad";
    bench.memory().crash = Some(crash.try_into().unwrap());
    for wanted in [json!(crash), Value::Null] {
        let (mut board, user) = bench.online(&cloud);
        let story = async {
            until(|| bench.has_event("Reported")).await;
            until(|| reported(&cloud)["lastCrash"] == wanted).await;
            until(|| bench.memory().crash.is_none()).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
            user.terminal.received()
        };
        let log = bench.during(&mut board, story).await;
        let line = "The last run ended with: panic at \"main.rs\":7:??bad\r\n";
        assert_eq!(log.contains(line), wanted != Value::Null, "{log}");
        bench.events.lock().unwrap().clear();
    }
}

#[tokio::test]
async fn a_crash_that_could_not_be_reported_is_kept() {
    let bench = Bench::configured();
    bench.memory().crash = Some("watchdog".try_into().unwrap());
    let (mut board, _user) = bench.offline();
    bench.during(&mut board, until(|| bench.has_event("Retrying"))).await;
    assert!(bench.memory().crash.is_some());
}

#[tokio::test]
async fn another_firmware_is_another_identity_and_refused() {
    let mut bench = Bench::configured();
    let cloud = cloud_for(&bench).await;
    *bench.image.last_mut().unwrap() ^= 1;
    let (mut board, user) = bench.online(&cloud);
    let end = bench.run(&mut board).await;
    assert!(format!("{end:?}").contains("401002"), "{end:?}");
    assert_eq!(screen::rows(&user.display), ["IoT DevKit", "127.0.0.1", "DPS Failed!", " > DPS"]);
    assert_eq!([Lamp::Wifi, Lamp::Azure].map(|lamp| user.panel.lamp(lamp)), [255, 0]);
}

#[tokio::test]
async fn the_device_comes_back_after_every_loss() {
    let bench = Bench::configured();
    let cloud = cloud_for(&bench).await;
    let (mut board, user) = bench.online(&cloud);
    let story = async {
        for _ in 0..3 {
            until(|| user.panel.lamp(Lamp::Azure) == 255).await;
            cloud.drop_connections();
            until(|| user.panel.lamp(Lamp::Azure) == 0).await;
        }
        until(|| user.panel.lamp(Lamp::Azure) == 255).await;
        let paused = cloud.stop().await;
        shows(&user, ["IoT DevKit", "127.0.0.1", "Connecting...", " > IoT Hub(DPS)"]).await;
        let cloud = paused.resume().await.unwrap();
        until(|| user.panel.lamp(Lamp::Azure) == 255).await;
        assert!(cloud.is_connected(ID));
    };
    bench.during(&mut board, story).await;
}

#[tokio::test]
async fn nothing_secret_is_shown() {
    let bench = Bench::configured();
    bench.store(devkit_settings::Setting::WifiPassword, b"correct-horse-9");
    let cloud = cloud_for(&bench).await;
    let (mut board, mut user) = bench.online(&cloud);
    let story = async {
        user.terminal.until("Message sent").await.unwrap();
        user.terminal.received()
    };
    let log = bench.during(&mut board, story).await;
    let events = bench.events.lock().unwrap().join("\n");
    let key = {
        let id = dice_core::RegistrationId::new(ID).unwrap();
        let uds = Uds::from_bytes(UDS).unwrap();
        let identity =
            devkit_app::Identity::derive(&bench.options.profile, &uds, &bench.image, "2.0.0", id, None)
                .unwrap();
        identity.secret_key().unwrap().as_bytes().to_vec()
    };
    for secret in [&UDS[..], &key, b"correct-horse-9"] {
        let forms = [
            hex::encode(secret),
            hex::encode_upper(secret),
            format!("{secret:?}"),
            String::from_utf8_lossy(secret).into_owned(),
        ];
        for form in forms {
            assert!(!log.contains(&form) && !events.contains(&form), "{form}");
        }
    }
    assert!(log.contains("Registration id az-c89346f8a1b2v2v0v0, firmware "), "{log}");
    assert_eq!(cloud.remove_device("nobody"), Err(CommandError::UnknownDevice));
}
