//! The secure channel on the board: host keys in flash, and power cuts at any instruction of the pairing.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use stsafe_a100::sim::VirtualChip;
use virtual_az3166::{FLASH_ADDRESS, KEY_ADDRESS, KEY_SECTOR_LEN};

use crate::device::{Device, UDS, chip, enrolment_certificate, image_path};

/// Power cuts of the test.
const CUTS: u64 = 8;
/// `enable_secure` is over after so many cycles, most of which the secure element takes.
const COMMAND: u64 = 260_000_000;

/// A board whose secure element has a secret and an id, at its console.
fn configured(chip: &VirtualChip, seed: u64) -> Device {
    let mut device = Device::new(chip, seed);
    device.start_console();
    device.set(&format!("set_dps_uds {UDS}"));
    device.set("set_registration_id my-devkit");
    device
}

fn sector(device: &Device) -> &[u8] {
    let at = (KEY_ADDRESS - FLASH_ADDRESS) as usize;
    &device.board.flash()[at..at + KEY_SECTOR_LEN]
}

/// Off, and on again with button A held.
fn power_cycle(device: &mut Device) {
    device.board.power_off();
    device.board.run_for(Duration::from_millis(100)).unwrap();
    device.start_console();
}

/// Whether the device is paired; its identity is the one of its secret in any case.
fn is_whole(device: &mut Device, certificate: &str) -> bool {
    let shown = device.command("cert").replace("\r\n", "\n");
    assert!(shown.contains(certificate), "{shown}");
    device.command("show").contains("Secure channel: enabled")
}

#[test]
fn the_secure_channel_is_there_after_a_restart_and_the_identity_is_the_same() {
    let chip = chip();
    let mut device = configured(&chip, 40);
    let before = device.board.flash().to_vec();
    device.set("enable_secure 3");
    assert!(device.command("enable_secure 3").contains("already been enabled"));
    assert!(sector(&device).starts_with(b"SAHK"));
    let at = (KEY_ADDRESS - FLASH_ADDRESS) as usize;
    let changed: Vec<_> = (0..before.len()).filter(|i| before[*i] != device.board.flash()[*i]).collect();
    // The keys, and behind them the counters of the commands that followed.
    let records = at..at + 4 * 64;
    assert!(changed.iter().all(|i| records.contains(i)), "nothing else is written: {changed:x?}");

    device.type_line("exit");
    device.wait_for(crate::device::PROMPT);
    let certificate = enrolment_certificate(image_path(), "my-devkit");
    assert!(is_whole(&mut device, certificate.trim_end()));
    power_cycle(&mut device);
    assert!(is_whole(&mut device, certificate.trim_end()));
    assert!(chip.host_counter().is_some_and(|counter| counter > 0), "the channel is used");

    // A board without the keys, such as one whose whole flash was erased, says so, and touches nothing.
    let mut other = Device::new(&chip, 41);
    other.start_console();
    assert!(other.command("cert").contains("ERROR"));
    assert!(other.command("show").contains("its key is missing"), "{}", other.text);
    assert!(other.command("enable_secure 3").contains("paired with other keys"), "{}", other.text);
    other.board.power_off();
    other.hold_a(false);
    other.board.power_on().unwrap();
    assert!(
        other.appears("is sealed and cannot be opened without the host keys", Duration::from_secs(20)),
        "{}",
        other.text
    );
    other.board.power_off();
    power_cycle(&mut device);
    assert!(is_whole(&mut device, certificate.trim_end()));
}

#[test]
fn no_secret_is_lost_whenever_the_power_goes_during_the_pairing() {
    let prepared = chip();
    configured(&prepared, 42).board.power_off();
    let certificate = enrolment_certificate(image_path(), "my-devkit");
    let mut random = SmallRng::seed_from_u64(4711);
    let mut paired = [0; 2];
    for cut in 0..CUTS {
        let chip = prepared.fork();
        chip.power_on();
        let mut device = Device::new(&chip, 100 + cut);
        device.start_console();
        // Half of them while the keys are written: at the beginning.
        let span = if cut % 2 == 0 { COMMAND / 8 } else { COMMAND };
        for byte in b"enable_secure 3" {
            device.board.type_on_console(&[*byte]);
            device.board.run_for(Duration::from_millis(2)).unwrap();
        }
        device.board.type_on_console(b"\r");
        device.board.cut_power_after(random.random_range(0..span));
        device.board.run_for(Duration::from_secs(4)).unwrap();
        assert!(!device.board.is_powered());
        // What the last run has still said.
        device.board.take_console();
        device.start_console();
        let is_paired = is_whole(&mut device, certificate.trim_end());
        assert_eq!(is_paired, chip.host_counter().is_some(), "cut {cut}");
        assert!(!is_paired || sector(&device).starts_with(b"SAHK"), "cut {cut}");
        paired[usize::from(is_paired)] += 1;
        if !is_paired {
            device.set("enable_secure 3");
            power_cycle(&mut device);
            assert!(is_whole(&mut device, certificate.trim_end()), "cut {cut}");
        }
    }
    assert!(paired[0] > 1 && paired[1] > 1, "the cuts do not hit the pairing: {paired:?}");
}

/// A sector that is full is erased first: the processor stands still for two seconds, and the watchdog does not bite.
#[test]
fn a_full_sector_is_erased_and_a_cut_meanwhile_loses_no_secret() {
    let prepared = chip();
    configured(&prepared, 43).board.power_off();
    let certificate = enrolment_certificate(image_path(), "my-devkit");
    for cut in [None, Some(20_000_000), Some(120_000_000)] {
        let chip = prepared.fork();
        chip.power_on();
        let mut device = Device::new(&chip, 44);
        device.board.write_flash(KEY_ADDRESS, &vec![0x5A; KEY_SECTOR_LEN]).unwrap();
        device.start_console();
        device.type_line("enable_secure 3");
        let erasing = |board: &mut virtual_az3166::VirtualBoard| board.is_erasing();
        assert!(device.board.run_until(Duration::from_secs(5), erasing).unwrap(), "{:?}", device.board);
        if let Some(cycles) = cut {
            device.board.cut_power_after(cycles);
            device.board.run_for(Duration::from_secs(3)).unwrap();
            assert!(!device.board.is_powered());
            let left = sector(&device).iter().filter(|byte| **byte != 0xFF).count();
            assert!(left > 1000, "half erased: {left}");
            device.start_console();
            assert!(!is_whole(&mut device, certificate.trim_end()));
            device.set("enable_secure 3");
        } else {
            device.wait_for("Enable secure channel successfully");
        }
        power_cycle(&mut device);
        assert!(is_whole(&mut device, certificate.trim_end()), "{cut:?}");
        assert!(device.board.resets().iter().all(|(_, cause)| *cause == virtual_az3166::ResetCause::PowerOn));
    }
}
