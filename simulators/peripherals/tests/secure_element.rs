//! The secure element's driver and vault over the bus model, byte by byte.

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::{I2c as _, Operation};
use peripherals::{Bus, Ssd1306, Stsafe};
use stsafe_a100::blocking::Stsafe as Driver;
use stsafe_a100::sim::{Busy, Outage, Profile, VirtualChip};

fn chip() -> (VirtualChip, Bus) {
    let chip = VirtualChip::new(Profile::az3166(), [5; 32]);
    let mut bus = Bus::new();
    bus.attach(Stsafe::ADDRESS, Stsafe::new(&chip));
    bus.attach(Ssd1306::ADDRESS, Ssd1306::new());
    (chip, bus)
}

#[test]
fn the_driver_works_and_the_chip_is_busy_until_time_has_passed() {
    let (chip, bus) = chip();
    chip.set_busy(Busy::Time);
    let mut driver = Driver::new(bus, chip.delay());
    let mut random = [0; 32];
    driver.random(&mut random).unwrap();
    assert_eq!(driver.product_data().unwrap().mask_id, [0, 0x40, 0]);
    let (mut bus, _) = driver.release();

    // Echo of AA, by hand.
    let mut answer = [0; 6];
    bus.write(Stsafe::ADDRESS, &[0x00, 0xAA, 0x05, 0x17]).unwrap();
    assert!(bus.read(Stsafe::ADDRESS, &mut answer).is_err());
    bus.elapse(20_000_000);
    bus.read(Stsafe::ADDRESS, &mut answer).unwrap();
    assert_eq!(answer[..4], [0x00, 0x00, 0x03, 0xAA]);
}

#[test]
fn a_command_counts_at_its_stop_only() {
    let (chip, mut bus) = chip();
    let echo = [0x00, 0xA4, 0xEC, 0x69];
    let mut answer = [0; 6];
    // A repeated START, to itself or to another slave, loses it.
    assert!(bus.write_read(Stsafe::ADDRESS, &echo, &mut answer).is_err());
    assert!(bus.start(Stsafe::ADDRESS, false));
    assert!(echo.iter().all(|byte| bus.put(*byte)));
    assert!(bus.start(Ssd1306::ADDRESS, false));
    bus.stop();
    assert!(bus.read(Stsafe::ADDRESS, &mut answer).is_err());
    bus.transaction(Stsafe::ADDRESS, &mut [Operation::Write(&echo[..1]), Operation::Write(&echo[1..])])
        .unwrap();
    bus.read(Stsafe::ADDRESS, &mut answer).unwrap();
    assert_eq!(answer[..4], [0x00, 0x00, 0x03, 0xA4]);
    assert!(chip.is_powered());
}

#[test]
fn power_can_go_between_any_two_bytes() {
    let (chip, mut bus) = chip();
    let echo = [0x00, 0xA4, 0xEC, 0x69];
    for steps in 0..16 {
        chip.power_on();
        chip.outage_after(steps, Outage::PowerCut);
        let mut answer = [0; 6];
        let done = bus.write(Stsafe::ADDRESS, &echo).and_then(|()| bus.read(Stsafe::ADDRESS, &mut answer));
        assert_eq!(done.is_ok() && answer[5] != 0xFF, chip.is_powered(), "after {steps}");
        chip.clear_faults();
    }
}

#[test]
fn delays_of_the_driver_can_be_the_bus_time() {
    /// A delay that lets time pass on the bus of another handle.
    struct OnChip(VirtualChip);
    impl DelayNs for OnChip {
        fn delay_ns(&mut self, ns: u32) {
            self.0.elapse(ns.into());
        }
    }
    let (chip, bus) = chip();
    chip.set_busy(Busy::Time);
    let mut driver = Driver::new(bus, OnChip(chip.clone()));
    let before = chip.now_ns();
    driver.random(&mut [0; 8]).unwrap();
    assert!(chip.now_ns() - before >= 1_000_000);
}
