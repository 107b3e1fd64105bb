//! What the firmware does when something is broken.

use std::time::Duration;

use stsafe_a100::sim::Fault;
use virtual_az3166::ResetCause;

use crate::device::{Device, chip};

#[test]
fn a_board_without_settings_says_so_and_the_watchdog_is_fed() {
    let mut device = Device::new(&chip(), 20);
    device.board.power_on().unwrap();
    assert!(device.appears("Reset with button A held", Duration::from_secs(5)), "{}", device.text);
    device.board.run_for(Duration::from_mins(1)).unwrap();
    assert_eq!(device.board.resets().len(), 1, "{:?}", device.board);
    assert_eq!(device.board.lockup(), None);
}

#[test]
fn a_hanging_secure_element_hangs_nothing_else() {
    let chip = chip();
    chip.inject(Fault::StuckBusy);
    let mut device = Device::new(&chip, 21);
    device.hold_a(true);
    device.board.power_on().unwrap();
    assert!(device.appears("secure element", Duration::from_secs(20)), "{}", device.text);
    device.board.run_for(Duration::from_secs(40)).unwrap();
    let causes: Vec<_> = device.board.resets().iter().map(|(_, cause)| *cause).collect();
    assert!(!causes.contains(&ResetCause::Watchdog), "{causes:?}");
    assert_eq!(device.board.lockup(), None);
}
