//! The configuration console on a board: button A, the terminal, the vault in the secure element.

use devkit_app::End;
use devkit_host::{AccessPoint, Terminal, User, screen};
use proptest::prelude::*;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::bench::{Bench, ID, UDS, cloud_for, shows, until};

/// Starts the device with button A held and types these commands; gives what each shows.
pub(crate) async fn session(bench: &Bench, commands: &[&str]) -> Vec<String> {
    let (mut board, mut user) = bench.offline();
    user.panel.press(|buttons| buttons.a = true);
    let typing = async {
        user.terminal.prompt().await.unwrap();
        let mut shown = Vec::new();
        for command in commands {
            shown.push(user.terminal.command(command).await.unwrap());
        }
        exit(&mut user.terminal).await;
        shown
    };
    let (end, shown) = tokio::join!(bench.run(&mut board), typing);
    assert!(matches!(end, End::Restart));
    shown
}

async fn exit(terminal: &mut Terminal) {
    terminal.type_keys(b"exit\r").await.unwrap();
    terminal.until("Reboot\r\n").await.unwrap();
}

fn uds_digits() -> String {
    hex::encode(UDS)
}

#[tokio::test]
async fn configured_on_the_console_a_device_goes_online() {
    let mut bench = Bench::new();
    bench.access_points =
        vec![AccessPoint { ssid: b"HomeAP 5G".to_vec(), password: b"correct-horse-9".to_vec() }];
    let uds = format!("set_dps_uds {}", uds_digits());
    let shown = session(
        &bench,
        &[
            &uds,
            "set_wifissid \"HomeAP 5G\"",
            "set_wifipwd correct-horse-9",
            "set_dps_idscope 0ne00000000",
            "show",
        ],
    )
    .await;
    assert!(shown[..4].iter().all(|text| text.contains(" successfully.")), "{shown:?}");
    assert!(shown[4].contains("DPS UDS: (set)") && shown[4].contains("Wi-Fi SSID: HomeAP 5G"), "{shown:?}");
    assert!(!shown.concat().contains("horse") && !shown.concat().contains(&uds_digits()[..8]));

    let cloud = cloud_for(&bench).await;
    let (mut board, user) = bench.online(&cloud);
    let mut events = cloud.events();
    let story = async {
        assert_eq!(events.telemetry().await.unwrap().device, ID);
        shows(&user, ["IoT DevKit", "127.0.0.1", "Running...", "22.51C 44.99%"]).await;
    };
    bench.during(&mut board, story).await;
}

#[tokio::test]
async fn the_screen_of_the_console_and_its_commands() {
    let mut bench = Bench::configured();
    let names = ["HomeAP", "Lab 2", "caf\u{e9}"];
    bench.access_points = names
        .iter()
        .map(|name| AccessPoint { ssid: name.as_bytes().to_vec(), password: Vec::new() })
        .collect();
    let (mut board, mut user) = bench.offline();
    user.panel.press(|buttons| buttons.a = true);
    let story = async {
        let start = user.terminal.prompt().await.unwrap();
        assert!(start.contains("IoT Developer Kit") && start.contains(" - set_dps_uds: "), "{start}");
        shows(&user, ["IoT DevKit", "id:c89346f8a1b2", "Configuration", ""]).await;
        assert!(user.panel.take_changes().is_empty(), "all lamps are dark");
        let shown = user.terminal.command("version").await.unwrap();
        assert!(shown.starts_with("version\r\nfirmware 2.0.0\r\ndevkit-app "), "{shown}");
        assert!(shown.ends_with("board host\r\n"), "{shown}");
        let shown = user.terminal.command("scan").await.unwrap();
        assert_eq!(shown, "scan\r\nAvailable networks:\r\n  HomeAP\r\n  Lab 2\r\n  caf\u{e9}\r\n");
        let long = format!("set_registration_id {}", "a".repeat(65));
        assert!(
            user.terminal
                .command(&long)
                .await
                .unwrap()
                .contains("longer than this firmware's certificate allows")
        );
        exit(&mut user.terminal).await;
        assert!(bench.memory().watchdog_feeds > 0, "the watchdog is fed while the console waits");
    };
    let (end, ()) = tokio::join!(bench.run(&mut board), story);
    assert!(matches!(end, End::Restart));
    assert!(!bench.has_event("Started"));
}

#[tokio::test]
async fn the_certificate_on_the_console_is_the_one_to_enrol() {
    let bench = Bench::configured();
    let shown = session(&bench, &["cert"]).await.remove(0);
    let pem = shown.strip_prefix("cert\r\n").unwrap().replace("\r\n", "\n");
    assert_eq!(pem.matches("-----BEGIN CERTIFICATE-----").count(), 2, "the leaf and its DeviceID");
    let cloud = cloud_for(&bench).await;
    let (mut board, _user) = bench.online(&cloud);
    bench.during(&mut board, until(|| bench.has_event("IdentityDerived"))).await;
    let events = bench.events.lock().unwrap().join("\n");
    let leaf = CertificateDer::pem_slice_iter(pem.as_bytes()).next().unwrap().unwrap();
    assert!(events.contains(&format!("certificate: {:?}", &*leaf)));

    let nothing = session(&Bench::new(), &["cert"]).await.remove(0);
    assert_eq!(nothing, "cert\r\nERROR: Failed to carry out the command: no UDS is stored.\r\n");
}

#[tokio::test]
async fn a_uds_made_in_the_chip_works_and_is_never_shown() {
    let bench = Bench::new();
    let shown = session(&bench, &["gen_uds", "gen_uds", "set_dps_idscope 0ne00000000", "cert", "show"]).await;
    assert!(shown[0].contains("Made DPS UDS") && shown[1].contains("stored already"), "{shown:?}");
    assert!(shown[3].contains("BEGIN CERTIFICATE"), "{shown:?}");
    let chip = stsafe_a100::blocking::Stsafe::new(bench.chip.bus(), bench.chip.delay());
    let mut uds = [0; 32];
    let mut vault = stsafe_a100::blocking::Vault::open(chip).unwrap();
    assert_eq!(vault.get(devkit_settings::Setting::Uds, &mut uds), Ok(Some(32)));
    assert!(!shown.concat().to_lowercase().contains(&hex::encode(uds)));
}

#[tokio::test]
async fn a_paired_device_goes_online_with_sealed_settings() {
    let bench = Bench::configured();
    let shown = session(&bench, &["enable_secure 3", "enable_secure 3", "show"]).await;
    assert!(shown[0].contains("INFO: Enable secure channel successfully."), "{shown:?}");
    assert!(shown[1].contains("already been enabled") && shown[2].contains("Secure channel: enabled"));
    let kept = bench.memory().key_flash.contents();
    assert!(kept.starts_with(b"SAHK"));
    let cloud = cloud_for(&bench).await;
    let (mut board, _user) = bench.online(&cloud);
    bench.during(&mut board, until(|| bench.has_event("TelemetryDelivered"))).await;

    // A device that lost its keys cannot read its settings, and says so.
    bench.memory().key_flash.erase_all().unwrap();
    let (mut board, user) = bench.online(&cloud);
    let End::Failed(failure) = bench.run(&mut board).await else { panic!("it restarts") };
    assert!(failure.to_string().contains("sealed"), "{failure}");
    assert_eq!(screen::rows(&user.display)[2..], ["Failed!", " > Settings"]);
}

#[tokio::test]
async fn without_its_chip_the_console_still_answers() {
    let bench = Bench::new();
    bench.chip.power_off();
    let uds = format!("set_dps_uds {}", uds_digits());
    let shown = session(&bench, &["show", &uds, "cert", "help"]).await;
    assert!(shown[..3].iter().all(|text| text.contains("the secure chip does not answer")), "{shown:?}");
    assert!(shown[3].contains(" - set_dps_uds: "));
}

#[tokio::test]
async fn exit_restarts_the_device() {
    let bench = Bench::configured();
    let cloud = cloud_for(&bench).await;
    let (mut board, mut user) = bench.online(&cloud);
    user.panel.press(|buttons| buttons.a = true);
    let story = async {
        user.terminal.prompt().await.unwrap();
        user.panel.press(|buttons| buttons.a = false);
        exit(&mut user.terminal).await;
        user.terminal.until("IoT Hub connected").await.unwrap();
        bench.memory().resets
    };
    let resets = tokio::select! {
        never = devkit_app::run_forever(&mut board, &bench.options) => never,
        resets = story => resets,
    };
    assert_eq!(resets, 1);
}

#[tokio::test]
async fn a_terminal_that_is_unplugged_ends_the_console() {
    let bench = Bench::new();
    let (mut board, user) = bench.offline();
    let User { terminal, panel, .. } = user;
    panel.press(|buttons| buttons.a = true);
    let unplug = async {
        until(|| bench.has_event("Configuring")).await;
        drop(terminal);
    };
    let (end, ()) = tokio::join!(bench.run(&mut board), unplug);
    assert!(matches!(end, End::Restart));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn whatever_is_typed_the_console_goes_on(noise in proptest::collection::vec(any::<u8>(), 0..600)) {
        // `exit` ends the session, as it should.
        prop_assume!(!noise.windows(4).any(|window| window == b"exit"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let bench = Bench::configured();
            let (mut board, mut user) = bench.offline();
            user.panel.press(|buttons| buttons.a = true);
            let typing = async {
                user.terminal.prompt().await.unwrap();
                user.terminal.type_keys(&noise).await.unwrap();
                // Ends an escape sequence, an open quote and a long line.
                user.terminal.type_keys(b"\r\x1b\x1b[A\r\r").await.unwrap();
                user.terminal.type_keys(b"set_wifissid proof\rshow\r").await.unwrap();
                user.terminal.until("Wi-Fi SSID: proof").await.unwrap();
                exit(&mut user.terminal).await;
            };
            let (end, ()) = tokio::join!(bench.run(&mut board), typing);
            assert!(matches!(end, End::Restart));
        });
    }
}
