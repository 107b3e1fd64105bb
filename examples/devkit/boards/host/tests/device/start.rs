//! How a device starts: buttons, settings, the secure element, the network.

use std::time::Duration;

use devkit_app::{End, Failure};
use devkit_host::{AccessPoint, screen};
use devkit_settings::Setting;
use peripherals::I2cSlave;
use stsafe_a100::sim::Fault;

use crate::bench::{Bench, UDS, cloud_for, shows, until};

#[tokio::test]
async fn a_device_nobody_has_configured_says_so() {
    for (setting, row) in [(None, " no UDS"), (Some(Setting::Uds), " no ID scope")] {
        let bench = Bench::new();
        if let Some(setting) = setting {
            bench.store(setting, &UDS);
        }
        let (mut board, mut user) = bench.offline();
        let End::Failed(Failure::Missing(_)) = bench.run(&mut board).await else { panic!("it went on") };
        assert_eq!(screen::rows(&user.display), ["IoT DevKit", "No Wi-Fi", "Not configured", row]);
        let log = user.terminal.until("Failed: no ").await.unwrap();
        let banner: Vec<_> = log.split("\r\n").skip(1).take(4).collect();
        assert!(banner[0].chars().all(|c| c == '*') && banner[2] == banner[0], "{log}");
        assert!(banner[1].contains("MXChip") && banner[1].contains("IoT Developer Kit"), "{log}");
        assert!(banner[3].contains("button A"), "{log}");
    }
}

/// Most of a board's RAM for one task: what grows here grows there. 21 KiB of it are for issued certificates, which
/// this board always has and a firmware only with that feature.
#[tokio::test]
async fn the_main_task_fits_a_small_board() {
    let bench = Bench::new();
    let (mut board, _user) = bench.offline();
    let size = size_of_val(&devkit_app::run_forever(&mut board, &bench.options));
    assert!(size <= 54 * 1024, "{size} bytes");
}

#[tokio::test]
async fn without_its_secure_element_a_device_stops() {
    let bench = Bench::configured();
    bench.chip.inject(Fault::StuckBusy);
    let (mut board, user) = bench.offline();
    let End::Failed(Failure::Vault(_)) = bench.run(&mut board).await else { panic!("it went on") };
    assert_eq!(screen::rows(&user.display)[2..], ["Failed!", " > Secure chip"]);
}

#[tokio::test]
async fn button_b_shows_that_there_is_no_access_point() {
    let bench = Bench::configured();
    let cloud = cloud_for(&bench).await;
    let (mut board, mut user) = bench.online(&cloud);
    user.panel.press(|buttons| buttons.b = true);
    let story = async {
        shows(&user, ["IoT DevKit", "No AP mode.", "Reset with A", "to configure."]).await;
        user.panel.press(|buttons| buttons.b = false);
        user.terminal.until("There is no AP mode").await.unwrap();
        // It goes on.
        user.terminal.until("IoT Hub connected").await.unwrap();
    };
    bench.during(&mut board, story).await;
}

#[tokio::test]
async fn a_radio_needs_name_and_password() {
    let mut bench = Bench::configured();
    bench.access_points =
        vec![AccessPoint { ssid: b"HomeAP".to_vec(), password: b"correct-horse-9".to_vec() }];
    let (mut board, user) = bench.offline();
    let End::Failed(Failure::Network(_)) = bench.run(&mut board).await else { panic!("no SSID is stored") };
    assert_eq!(screen::rows(&user.display)[1..], ["No Wi-Fi", "Failed!", " > WiFi"]);

    bench.store(Setting::WifiSsid, b"HomeAP");
    bench.store(Setting::WifiPassword, b"wrong-horse-9");
    let (mut board, mut user) = bench.offline();
    let story = async {
        shows(&user, ["IoT DevKit", "No Wi-Fi", "Connecting...", " > WiFi"]).await;
        for _ in 0..2 {
            user.terminal.until("no network with this name and password; trying again in").await.unwrap();
        }
        assert_eq!(user.panel.lamp(peripherals::Lamp::Wifi), 0);
    };
    bench.during(&mut board, story).await;

    bench.store(Setting::WifiPassword, b"correct-horse-9");
    let cloud = cloud_for(&bench).await;
    let (mut board, mut user) = bench.online(&cloud);
    let story = async {
        user.terminal.until("IoT Hub connected").await.unwrap();
        user.terminal.received()
    };
    let log = bench.during(&mut board, story).await;
    assert!(log.contains("Network is up: 127.0.0.1") && !log.contains("horse"), "{log}");
}

/// Acknowledges nothing.
struct Missing;

impl I2cSlave for Missing {
    fn start(&mut self, _: bool) -> bool {
        false
    }

    fn write(&mut self, _: u8) -> bool {
        false
    }

    fn read(&mut self) -> u8 {
        0xFF
    }

    fn stop(&mut self) {}
}

#[tokio::test]
async fn display_and_sensors_may_be_missing() {
    let bench = Bench::configured();
    let cloud = cloud_for(&bench).await;
    let (mut board, mut user) = bench.online(&cloud);
    for address in [0x3C, 0x5F, 0x5C] {
        user.bus.attach(address, Missing);
    }
    let mut events = cloud.events();
    let story = async {
        user.terminal.until("Message sent, without a reading").await.unwrap();
        let body = events.telemetry().await.unwrap().body;
        assert!(String::from_utf8(body).unwrap().ends_with(r#""messageId":1}"#));
    };
    bench.during(&mut board, story).await;
}

#[tokio::test]
async fn the_watchdog_is_fed_while_all_goes_well() {
    let bench = Bench::configured();
    let cloud = cloud_for(&bench).await;
    let (mut board, _user) = bench.online(&cloud);
    bench.during(&mut board, until(|| bench.memory().watchdog_feeds >= 3)).await;
}

#[tokio::test]
async fn a_task_that_hangs_starves_the_watchdog() {
    let bench = Bench::configured();
    let cloud = cloud_for(&bench).await;
    let (mut board, user) = bench.online(&cloud);
    let story = async {
        until(|| bench.memory().watchdog_feeds > 0).await;
        user.bus.set_stuck(true);
        // Screen and sensors may take ten seconds; the rest of the device works on.
        tokio::time::sleep(Duration::from_millis(10_500)).await;
        let watchdog_feeds = bench.memory().watchdog_feeds;
        assert!(watchdog_feeds > 5, "{watchdog_feeds}");
        assert!(cloud.is_connected(crate::bench::ID));
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert_eq!(bench.memory().watchdog_feeds, watchdog_feeds);
    };
    bench.during(&mut board, story).await;
}

#[tokio::test]
async fn a_terminal_nobody_reads_does_not_hold_the_device_up() {
    let bench = Bench::configured();
    let cloud = cloud_for(&bench).await;
    let (mut board, user) = bench.online(&cloud);
    // The other end of the line is gone.
    drop(user.terminal);
    let mut events = cloud.events();
    let story = async {
        for _ in 0..2 {
            events.telemetry().await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    bench.during(&mut board, story).await;
}
