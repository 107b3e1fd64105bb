//! The story on the simulated AZ3166: the very image that is flashed goes through the tutorial over its radio, and
//! through everything that can go wrong, that of the radio and of its network included.
//!
//! The image is what the environment variable `AZ3166_IMAGE` names, or what `tools/firmware az3166` builds.

#[path = "firmware/device.rs"]
#[allow(dead_code, reason = "shared with the tests of the firmware")]
mod device;

use std::sync::PoisonError;
use std::time::Duration;

use access_point::Hosts;
use anyhow::{Context as _, Result, ensure};
use local_cloud::Config;
use peripherals::{Air, AirNetwork, AirSecurity, Direction, Lamp, SdioCard, SdioFault, Shared};
use stories::lamps::{self, expect};
use stories::{Bench, Narrator, Running, faults, generation, line, operation, tutorial};
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
    let config = generation::with_mqtt5_hub(Config::default());
    let made = Bench::new(config, image_path(), folder.path(), &out, |cloud, image| {
        VirtualDevice::new(chip(), image, version, cloud.root_der(), Hosts::new(cloud::hosts(cloud)))
    });
    made.await
}

/// What the network's passphrase and name make (PBKDF2, by Python's hashlib): it opens the network as well.
const KEY: &str = "2a5d7ff6e63c165c03f523ae25bcbceba7d89ace7a20fe0f610e04937a752a0b";

fn settings(password: &str) -> Vec<String> {
    ["scan".to_owned(), format!("set_wifissid {SSID}"), format!("set_wifipwd {password}")].into()
}

fn air(bench: &Story) -> Result<Air> {
    bench.device.air().context("the device was never switched on")
}

/// The tutorial, up to the buttons; then the radio's network fails in each way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tutorial_over_wifi_and_a_network_that_fails() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (mut narrator, mut bench) = (Narrator::new(), bench(&folder).await?);
    let mut running = tutorial::configure(&mut narrator, &mut bench, &settings(PASSPHRASE)).await?;
    let shown = running.terminal.received();
    ensure!(shown.contains(SSID) && !shown.contains(PASSPHRASE), "the scan, or the password: {shown}");
    tutorial::leave_console(&mut running).await?;
    tutorial::go_online(&mut narrator, &mut bench, &mut running).await?;
    tutorial::command(&mut narrator, &mut bench, &running).await?;
    narrator.step("Everything else its user can try");
    narrator.in_step(operation::run(&mut bench, &running).await)?;
    narrator.step("A hub that speaks MQTT 5, at which the device stays");
    running = narrator.in_step(generation::mqtt5(&mut bench, running).await)?;

    narrator.step("The access point ends the association in the middle of a TLS session");
    narrator.in_step(deauthentication(&mut bench, &running).await)?;
    narrator.step("The access point goes out of reach, and comes back");
    narrator.in_step(out_of_reach(&mut bench, &running).await)?;
    narrator.step("The passphrase is changed, and changed back");
    narrator.in_step(wrong_passphrase(&mut bench, &running).await)?;
    narrator.step("The network becomes an old, hidden one, beside another one of its name");
    narrator.in_step(old_hidden_network(&mut bench, &running).await)?;
    narrator.step("Frames are lost, doubled, damaged and late; credits are withheld");
    narrator.in_step(bad_frames(&mut bench, &running).await)?;
    narrator.step("The radio falls silent for a while");
    narrator.in_step(radio_fails(&bench, &running, Failure::Silence).await)?;
    narrator.step("The radio's firmware stops");
    narrator.in_step(radio_fails(&bench, &running, Failure::Halt).await)?;
    bench.events = bench.cloud.events();
    bench.telemetry(&running).await?;
    running.cut_power().await
}

/// The device's cloud and its power fail, as on the other boards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_cuts_lost_keys_and_untrusted_servers_over_wifi() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (mut narrator, mut bench) = (Narrator::new(), bench(&folder).await?);
    let further = [settings(KEY), vec!["enable_secure 3".to_owned()]].concat();
    let mut running = tutorial::configure(&mut narrator, &mut bench, &further).await?;
    tutorial::leave_console(&mut running).await?;
    tutorial::go_online(&mut narrator, &mut bench, &mut running).await?;
    narrator.step("The cloud goes down, and comes back");
    let bench = narrator.in_step(faults::restart(bench, &running).await)?;
    narrator.step("Clouds that speak one TLS version only");
    let (bench, running) = narrator.in_step(faults::tls_versions(bench, running).await)?;
    narrator.step("A key in the secure element, over each TLS version, and a chip that fails");
    let (mut bench, running) = narrator.in_step(faults::slot_key(bench, running).await)?;
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

/// The access point is set to WPA and hides its name; an open network that is louder takes the name.
async fn old_hidden_network(bench: &mut Story, running: &Running) -> Result<()> {
    let network = network(bench)?;
    let mut impostor = AirNetwork::new(SSID, AirSecurity::Open);
    (impostor.bssid[5], impostor.rssi) = (0xEE, -20);
    let security = AirSecurity::Wpa(PASSPHRASE.to_owned());
    lamps::forget(&running.panel);
    air(bench)?.add(AirNetwork { security, is_hidden: true, ..network.clone() });
    air(bench)?.add(impostor);
    ensure!(air(bench)?.deauthenticate(7), "the device is in no network");
    bench.events = bench.cloud.events();
    expect(&running.panel, &[(Lamp::Wifi, false), (Lamp::Wifi, true)]).await?;
    bench.telemetry(running).await?;
    ensure!(air(bench)?.joined() == Some(network.bssid), "the device is in another network");
    line("telemetry; the open network is left alone");
    Ok(())
}

/// The radio of a device that is switched on.
fn radio(bench: &Story) -> Result<Shared<SdioCard>> {
    bench.device.radio().context("the device was never switched on")
}

/// Every fourth of the next frames, each way, goes wrong in one of four ways; in between the radio gives no credit.
async fn bad_frames(bench: &mut Story, running: &Running) -> Result<()> {
    let radio = radio(bench)?;
    let inject = |faults: &[SdioFault]| {
        let mut radio = radio.lock().unwrap_or_else(PoisonError::into_inner);
        for fault in faults {
            radio.inject(*fault);
        }
    };
    let (now, frames) = {
        let radio = radio.lock().unwrap_or_else(PoisonError::into_inner);
        (radio.now_ns(), radio.frames())
    };
    for (direction, from) in [(Direction::ToHost, frames[0]), (Direction::FromHost, frames[1])] {
        for number in (from..from + 64).step_by(16) {
            inject(&[
                SdioFault::LostFrame(direction, number + 4),
                SdioFault::DoubleFrame(direction, number + 8),
                SdioFault::DamagedFrame { direction, number: number + 12, at: 0, mask: 0x10 },
            ]);
            if direction == Direction::ToHost {
                inject(&[SdioFault::LateFrame(number + 16, 300_000_000)]);
            }
        }
    }
    let second = 1_000_000_000;
    inject(&[SdioFault::NoCredit { from: now + second, until: now + 3 * second }]);
    for _ in 0..3 {
        bench.events = bench.cloud.events();
        bench.telemetry(running).await?;
    }
    radio.lock().unwrap_or_else(PoisonError::into_inner).heal();
    bench.events = bench.cloud.events();
    bench.telemetry(running).await?;
    line("telemetry goes on");
    Ok(())
}

/// What the radio's firmware does.
enum Failure {
    /// It says nothing for a while.
    Silence,
    /// It stops, and says so.
    Halt,
}

async fn radio_fails(bench: &Story, running: &Running, failure: Failure) -> Result<()> {
    let radio = radio(bench)?;
    lamps::forget(&running.panel);
    let from = bench.device.now();
    {
        let mut radio = radio.lock().unwrap_or_else(PoisonError::into_inner);
        let from = radio.now_ns();
        radio.inject(match failure {
            Failure::Silence => SdioFault::SilentRadio { from, until: u64::MAX },
            Failure::Halt => SdioFault::HaltedFirmware(from),
        });
    }
    expect(&running.panel, &[(Lamp::Wifi, false)]).await?;
    radio.lock().unwrap_or_else(PoisonError::into_inner).heal();
    expect(&running.panel, &[(Lamp::Wifi, true)]).await?;
    let took = bench.device.now().saturating_sub(from);
    line(&format!("the radio was started anew: an address after {:.1} s", took.as_secs_f64()));
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
