//! The secure element on the bus.

use stsafe_a100::sim::{VirtualChip, VirtualPins};

use crate::bus::I2cSlave;

/// The address the chip leaves the factory with.
const ADDRESS: u8 = 0x20;

/// An STSAFE-A100. Behind it is the driver crate's [`VirtualChip`], through whose other handles power is cut, faults
/// are injected and the state is kept in a file.
///
/// While it works it does not acknowledge its address: with [`stsafe_a100::sim::Busy::Time`] until
/// [`I2cSlave::elapse`] has brought it the command's time.
#[derive(Debug)]
pub struct Stsafe {
    chip: VirtualChip,
    pins: VirtualPins,
}

impl Stsafe {
    /// The 7-bit address.
    pub const ADDRESS: u8 = ADDRESS;

    /// Puts a virtual chip on a bus.
    #[must_use]
    pub fn new(chip: &VirtualChip) -> Self {
        Self { chip: chip.clone(), pins: chip.pins() }
    }
}

impl I2cSlave for Stsafe {
    fn start(&mut self, read: bool) -> bool {
        self.pins.start(ADDRESS, read).is_ok()
    }

    fn write(&mut self, byte: u8) -> bool {
        self.pins.put(byte).is_ok()
    }

    fn read(&mut self) -> u8 {
        self.pins.get()
    }

    fn stop(&mut self) {
        self.pins.stop();
    }

    fn deselect(&mut self) {
        // The chip takes a command at a STOP condition only; it forgets this one with the next START.
    }

    fn elapse(&mut self, nanoseconds: u64) {
        self.chip.elapse(nanoseconds);
    }
}
