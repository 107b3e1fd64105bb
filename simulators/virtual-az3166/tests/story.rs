//! The story on the simulated AZ3166: the very image that is flashed goes through the tutorial over its radio, and
//! through everything that can go wrong, that of the radio and of its network included.
//!
//! The image is what the environment variable `AZ3166_IMAGE` names, or what `tools/firmware az3166` builds.

#[path = "firmware/device.rs"]
#[allow(dead_code, reason = "shared with the tests of the firmware")]
mod device;

use std::time::Duration;

use access_point::Hosts;
use anyhow::{Context as _, Result, ensure};
use local_cloud::Config;
use peripherals::{Air, AirNetwork, AirSecurity, Lamp, SdioFault};
use stories::lamps::{self, expect};
use stories::{Bench, Narrator, Running, faults, line, operation, tutorial};
use virtual_az3166::{PASSPHRASE, SSID, VirtualDevice, cloud};

use device::{chip, image_path};

/// Power cuts of each kind.
const CUTS: u32 = 3;
/// A device whose association is ended is online again after this time at the latest.
const BACK_ONLINE: Duration = Duration::from_secs(10);

type Story = Bench<VirtualDevice>;

/// A device that is not switched on, and what it needs.
async fn bench(folder: &tempfile::TempDir) -> Result<Story> {
    let out = folder.path().join("out");
    let version = env!("CARGO_PKG_VERSION");
    let made = Bench::new(Config::default(), image_path(), folder.path(), &out, |cloud, image| {
        VirtualDevice::new(chip(), image, version, cloud.root_der(), Hosts::new(cloud::hosts(cloud)))
    });
    made.await
}

fn settings() -> Vec<String> {
    ["scan".to_owned(), format!("set_wifissid {SSID}"), format!("set_wifipwd {PASSPHRASE}")].into()
}

fn air(bench: &Story) -> Result<Air> {
    bench.device.air().context("the device was never switched on")
}

/// The tutorial, up to the buttons; then the radio's network fails in each way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tutorial_over_wifi_and_a_network_that_fails() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (mut narrator, mut bench) = (Narrator::new(), bench(&folder).await?);
    let mut running = tutorial::configure(&mut narrator, &mut bench, &settings()).await?;
    let shown = running.terminal.received();
    ensure!(shown.contains(SSID) && !shown.contains(PASSPHRASE), "the scan, or the password: {shown}");
    tutorial::leave_console(&mut running).await?;
    tutorial::go_online(&mut narrator, &mut bench, &mut running).await?;
    tutorial::command(&mut narrator, &mut bench, &running).await?;
    narrator.step("Everything else its user can try");
    narrator.in_step(operation::run(&mut bench, &running).await)?;

    narrator.step("The access point ends the association in the middle of a TLS session");
    narrator.in_step(deauthentication(&mut bench, &running).await)?;
    narrator.step("The access point goes out of reach, and comes back");
    narrator.in_step(out_of_reach(&mut bench, &running).await)?;
    narrator.step("The passphrase is changed, and changed back");
    narrator.in_step(wrong_passphrase(&mut bench, &running).await)?;
    narrator.step("The radio's firmware stops");
    narrator.in_step(halted_firmware(&mut bench, &running).await)?;
    running.cut_power().await
}

/// The device's cloud and its power fail, as on the other boards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_cuts_lost_keys_and_untrusted_servers_over_wifi() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (mut narrator, mut bench) = (Narrator::new(), bench(&folder).await?);
    let further = [settings(), vec!["enable_secure 3".to_owned()]].concat();
    let mut running = tutorial::configure(&mut narrator, &mut bench, &further).await?;
    tutorial::leave_console(&mut running).await?;
    tutorial::go_online(&mut narrator, &mut bench, &mut running).await?;
    narrator.step("The cloud goes down, and comes back");
    let bench = narrator.in_step(faults::restart(bench, &running).await)?;
    narrator.step("Clouds that speak one TLS version only");
    let (mut bench, running) = narrator.in_step(faults::tls_versions(bench, running).await)?;
    narrator.step("Power cuts: while joining, registering, and online");
    narrator.in_step(faults::cuts_while_starting(CUTS, 1, &mut bench, running).await)?;
    narrator.step("Power cuts while a setting is stored");
    narrator.in_step(faults::cuts_while_storing(CUTS, 2, &mut bench).await)?;
    narrator.step("The host keys are lost, and restored");
    narrator.in_step(faults::lost_keys(&mut bench).await)?;
    narrator.step("One bit of the firmware is changed");
    narrator.in_step(faults::changed_firmware(&mut bench).await)?;
    narrator.step("The cloud is not to be trusted");
    narrator.in_step(faults::untrusted_servers(bench).await)
}

async fn deauthentication(bench: &mut Story, running: &Running) -> Result<()> {
    for reason in [1, 7] {
        bench.uninterrupted_telemetry(running).await?;
        lamps::forget(&running.panel);
        let from = bench.device.now();
        ensure!(air(bench)?.deauthenticate(reason), "the device is in no network");
        bench.events = bench.cloud.events();
        expect(&running.panel, &[(Lamp::Wifi, false), (Lamp::Wifi, true)]).await?;
        bench.telemetry(running).await?;
        let took = bench.device.now().saturating_sub(from);
        ensure!(took < BACK_ONLINE, "online again after {took:?}");
        line(&format!("reason {reason}: online again after {:.1} s", took.as_secs_f64()));
    }
    Ok(())
}

/// The only network there is.
fn network(bench: &Story) -> Result<AirNetwork> {
    air(bench)?.networks().first().cloned().context("there is no network")
}

async fn out_of_reach(bench: &mut Story, running: &Running) -> Result<()> {
    let network = network(bench)?;
    lamps::forget(&running.panel);
    ensure!(air(bench)?.remove(network.bssid).is_some(), "the network was not there");
    expect(&running.panel, &[(Lamp::Wifi, false)]).await?;
    bench.display(running, "out-of-reach.png", |rows| rows[1] == "SSID not found").await?;
    air(bench)?.add(network);
    bench.events = bench.cloud.events();
    expect(&running.panel, &[(Lamp::Wifi, true)]).await?;
    bench.telemetry(running).await?;
    line("in reach again: telemetry");
    Ok(())
}

async fn wrong_passphrase(bench: &mut Story, running: &Running) -> Result<()> {
    let network = network(bench)?;
    let other = AirNetwork { security: AirSecurity::Wpa2("another one".to_owned()), ..network.clone() };
    lamps::forget(&running.panel);
    air(bench)?.add(other);
    ensure!(air(bench)?.deauthenticate(2), "the device is in no network");
    bench.display(running, "wrong-passphrase.png", |rows| rows[1] == "Wrong password").await?;
    air(bench)?.add(network);
    bench.events = bench.cloud.events();
    bench.telemetry(running).await?;
    line("the right one again: telemetry");
    Ok(())
}

async fn halted_firmware(bench: &mut Story, running: &Running) -> Result<()> {
    let radio = bench.device.radio().context("the device was never switched on")?;
    let now = radio.lock().map_or(0, |radio| radio.now_ns());
    if let Ok(mut radio) = radio.lock() {
        radio.inject(SdioFault::HaltedFirmware(now));
    }
    lamps::forget(&running.panel);
    expect(&running.panel, &[(Lamp::Wifi, false)]).await?;
    if let Ok(mut radio) = radio.lock() {
        radio.heal();
    }
    bench.events = bench.cloud.events();
    bench.telemetry(running).await?;
    line("the radio was started anew: telemetry");
    Ok(())
}

/// Without the radio's settings the device says what is missing, and the radio stays in reset.
#[test]
fn without_its_settings_the_radio_stays_silent() {
    let mut device = device::Device::new(&chip(), 50);
    device.start_console();
    device.set(&format!("set_dps_uds {}", device::UDS));
    for setting in ["set_dps_idscope 0ne00000000", "set_wifissid any", "set_wifipwd eight-or-more"] {
        device.set(setting);
    }
    let answer = device.command("scan");
    assert!(answer.contains("ERROR"), "{answer}");
    device.hold_a(false);
    device.type_line("exit");
    device.wait_for("tools/radio-nvram");
    device.board.run_for(Duration::from_millis(300)).unwrap();
    assert_eq!(device.screen()[1..], ["No radio NVRAM", "Make it with", " radio-nvram"]);
    assert_eq!(device.board.parts().radio.lock().unwrap().commands(), 0, "nothing is asked of the card");
}
