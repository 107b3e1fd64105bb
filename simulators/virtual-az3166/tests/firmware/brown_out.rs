//! The power goes away at any instruction: while settings are written, while the secret is, during the start, and on
//! the way to the hub.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use stsafe_a100::sim::VirtualChip;
use virtual_az3166::time::CORE_HZ;

use crate::device::{Device, UDS, chip};
use crate::online::{Online, configure, enrolled, telemetry};

/// Power cuts while settings are written, and while the secret is.
const CUTS: u64 = 18;
const SECRET_CUTS: u64 = 8;
/// A command is over after so many cycles: about six tenths of a second.
const COMMAND: u64 = 60_000_000;
/// Power cuts of a device on its way to the hub: within the first second, and later.
const EARLY_CUTS: u64 = 3;
const LATE_CUTS: u64 = 3;

/// Types a command on a device that was just switched on, and cuts the power somewhere within.
fn cut_within(chip: &VirtualChip, seed: u64, line: &str, random: &mut SmallRng) {
    let mut device = Device::new(chip, seed);
    device.start_console();
    for byte in line.bytes() {
        device.board.type_on_console(&[byte]);
        device.board.run_for(Duration::from_millis(2)).unwrap();
    }
    device.board.type_on_console(b"\r");
    device.board.cut_power_after(random.random_range(0..COMMAND));
    device.board.run_for(Duration::from_secs(2)).unwrap();
    assert!(!device.board.is_powered());
}

/// What a command shows on a device that was just switched on.
fn shown(chip: &VirtualChip, seed: u64, command: &str) -> String {
    let mut device = Device::new(chip, seed);
    device.start_console();
    let shown = device.command(command);
    device.board.power_off();
    shown
}

#[test]
fn every_setting_is_the_old_or_the_new_one_whenever_the_power_goes() {
    let chip = chip();
    configure(&chip, 10, "id-0");
    let certificate = shown(&chip, 11, "cert");
    let mut random = SmallRng::seed_from_u64(77);
    let commands = ["set_registration_id", "set_dps_idscope", "set_wifissid"];
    let mut stored = [Some("id-0".to_owned()), Some("0ne00000000".to_owned()), None];
    let (mut old, mut new) = (0, 0);
    for cut in 1..=CUTS {
        let index = random.random_range(0..commands.len());
        let wanted = format!("value-{cut}.");
        cut_within(&chip, cut, &format!("{} {wanted}", commands[index]), &mut random);
        let shown = shown(&chip, 1000 + cut, "show");
        let is_new = shown.contains(&wanted);
        if is_new {
            new += 1;
            stored[index] = Some(wanted);
        } else {
            old += 1;
        }
        for value in stored.iter().flatten() {
            assert!(shown.contains(value), "{value} is gone after cut {cut} of {}: {shown}", commands[index]);
        }
    }
    assert!(old > 2 && new > 2, "the cuts do not hit the writing: {old} before, {new} after");

    // The secret is the same as ever: with the first id again, so is the certificate.
    let mut device = Device::new(&chip, 99);
    device.start_console();
    device.set("set_registration_id id-0");
    assert_eq!(device.command("cert"), certificate);
}

#[test]
fn the_secret_is_the_old_or_the_new_one_whenever_the_power_goes() {
    let chip = chip();
    configure(&chip, 12, "id-0");
    let secrets = [UDS.to_owned(), "7b6c".repeat(16)];
    let mut device = Device::new(&chip, 13);
    device.start_console();
    device.set(&format!("set_dps_uds {}", secrets[1]));
    let other = device.command("cert");
    device.set(&format!("set_dps_uds {}", secrets[0]));
    let certificates = [device.command("cert"), other];
    assert_ne!(certificates[0], certificates[1]);
    device.board.power_off();

    let mut random = SmallRng::seed_from_u64(78);
    let (mut stored, mut old, mut new) = (0, 0, 0);
    for cut in 1..=SECRET_CUTS {
        let wanted = 1 - stored;
        cut_within(&chip, cut, &format!("set_dps_uds {}", secrets[wanted]), &mut random);
        let shown = shown(&chip, 1000 + cut, "cert");
        let found = certificates.iter().position(|certificate| *certificate == shown);
        let found = found.unwrap_or_else(|| panic!("another secret after cut {cut}: {shown}"));
        if found == wanted {
            new += 1;
        } else {
            old += 1;
        }
        stored = found;
    }
    assert!(old > 0 && new > 0, "the cuts do not hit the writing: {old} before, {new} after");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_on_the_way_to_the_hub_is_followed_by_the_whole_way() {
    let id = "az3166-without-power";
    let (cloud, _folder) = enrolled(id).await;
    let chip = chip();
    configure(&chip, 14, id);
    let mut random = SmallRng::seed_from_u64(79);
    let moments = (0..EARLY_CUTS + LATE_CUTS).map(|cut| {
        let seconds = if cut < EARLY_CUTS { 0..CORE_HZ } else { CORE_HZ..4 * CORE_HZ };
        random.random_range(seconds)
    });
    for (seed, cut) in (50..).zip(moments) {
        let device = Online::start(&chip, seed, &cloud, Some(cut));
        assert!(tokio::task::spawn_blocking(|| device.end()).await.unwrap(), "the power was not cut");
    }
    let mut events = cloud.events();
    let device = Online::start(&chip, 60, &cloud, None);
    let telemetry = telemetry(&mut events).await;
    assert_eq!(telemetry.device, id);
    device.stop();
    assert!(shown(&chip, 61, "show").contains(id));
}
