//! The power goes away at any instruction while settings are written.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::device::{Device, UDS, chip};

/// Power cuts of the test.
const CUTS: u64 = 24;
/// A command is over after so many cycles: about a third of a second.
const COMMAND: u64 = 30_000_000;

#[test]
fn no_setting_is_lost_whenever_the_power_goes() {
    let chip = chip();
    let mut device = Device::new(&chip, 10);
    device.start_console();
    device.set(&format!("set_dps_uds {UDS}"));
    device.set("set_dps_idscope 0ne0scope");
    device.set("set_registration_id id-0");
    let certificate = |device: &mut Device| device.command("cert");
    let mut ids = vec![(String::from("id-0"), certificate(&mut device))];
    device.board.power_off();

    let mut random = SmallRng::seed_from_u64(77);
    let (mut old, mut new) = (0, 0);
    for cut in 1..=CUTS {
        let mut device = Device::new(&chip, cut);
        device.start_console();
        let wanted = format!("id-{cut}");
        device.text.clear();
        for byte in format!("set_registration_id {wanted}").bytes() {
            device.board.type_on_console(&[byte]);
            device.board.run_for(Duration::from_millis(2)).unwrap();
        }
        device.board.type_on_console(b"\r");
        device.board.cut_power_after(random.random_range(0..COMMAND));
        device.board.run_for(Duration::from_secs(2)).unwrap();
        assert!(!device.board.is_powered());

        let mut device = Device::new(&chip, 1000 + cut);
        device.start_console();
        let shown = device.command("show");
        assert!(shown.contains("0ne0scope"), "the id scope is gone after cut {cut}: {shown}");
        let (before, _) = ids.last().unwrap();
        let is_new = shown.contains(&wanted);
        assert!(is_new || shown.contains(before), "neither {before} nor {wanted} after cut {cut}: {shown}");
        if is_new {
            new += 1;
            ids.push((wanted, String::new()));
        } else {
            old += 1;
        }
        device.board.power_off();
    }
    assert!(old > 2 && new > 2, "the cuts do not hit the writing: {old} before, {new} after");

    // The secret is the same as ever: with the first id again, so is the certificate.
    let mut device = Device::new(&chip, 99);
    device.start_console();
    device.set("set_registration_id id-0");
    assert_eq!(certificate(&mut device), ids[0].1);
}
