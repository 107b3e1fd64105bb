//! What ST's sensors have in common: a sub-address, then registers one after the other; samples that come at a rate.

use crate::bus::I2cSlave;

/// The registers of one sensor and where the bus is in them.
#[derive(Debug)]
pub(super) struct Registers {
    cells: [u8; 128],
    sub_address: u8,
    /// The next written byte is a sub-address.
    addressing: bool,
}

impl Registers {
    /// Registers with these values, all others 0.
    pub(super) fn new(values: &[(u8, u8)]) -> Self {
        let mut registers = Self { cells: [0; 128], sub_address: 0, addressing: true };
        for (at, value) in values {
            registers.set(*at, *value);
        }
        registers
    }

    pub(super) fn get(&self, at: u8) -> u8 {
        self.cells.get(usize::from(at)).copied().unwrap_or_default()
    }

    pub(super) fn set(&mut self, at: u8, value: u8) {
        if let Some(cell) = self.cells.get_mut(usize::from(at)) {
            *cell = value;
        }
    }

    /// Sets bits and clears others.
    pub(super) fn change(&mut self, at: u8, set: u8, clear: u8) {
        self.set(at, (self.get(at) | set) & !clear);
    }

    /// A number of two bytes, the low one first; what is out of range becomes the nearest value.
    pub(super) fn set_i16(&mut self, at: u8, value: i32) {
        let nearest = i16::try_from(value).unwrap_or(if value < 0 { i16::MIN } else { i16::MAX });
        for (at, byte) in (at..).zip(nearest.to_le_bytes()) {
            self.set(at, byte);
        }
    }
}

/// A sensor, as seen through its registers.
pub(super) trait Sensor {
    fn registers(&mut self) -> &mut Registers;

    /// Whether the register address moves on after each byte, given the sub-address as it was sent.
    fn increments(&self, sub_address: u8) -> bool;

    /// A register that its driver may write takes a value.
    fn write_register(&mut self, at: u8, value: u8);

    /// A register was read.
    fn after_read(&mut self, at: u8);

    fn sampler(&mut self) -> &mut Sampler;

    /// Takes a sample.
    fn sample(&mut self);
}

impl<S: Sensor> I2cSlave for S {
    fn start(&mut self, read: bool) -> bool {
        self.registers().addressing = !read;
        true
    }

    fn write(&mut self, byte: u8) -> bool {
        let registers = self.registers();
        if core::mem::take(&mut registers.addressing) {
            registers.sub_address = byte;
        } else {
            let at = registers.sub_address;
            self.write_register(at & 0x7F, byte);
            advance(self, at);
        }
        true
    }

    fn read(&mut self) -> u8 {
        let registers = self.registers();
        let at = registers.sub_address;
        let value = registers.get(at & 0x7F);
        self.after_read(at & 0x7F);
        advance(self, at);
        value
    }

    fn stop(&mut self) {}

    fn elapse(&mut self, nanoseconds: u64) {
        if self.sampler().elapse(nanoseconds) {
            self.sample();
        }
    }
}

fn advance(sensor: &mut impl Sensor, sub_address: u8) {
    if sensor.increments(sub_address) {
        // The top bit is not part of the address.
        sensor.registers().sub_address = sub_address & 0x80 | sub_address.wrapping_add(1) & 0x7F;
    }
}

/// When samples are due.
#[derive(Debug, Default)]
pub(super) struct Sampler {
    period_ns: Option<u64>,
    once: bool,
    waited_ns: u64,
}

impl Sampler {
    /// At this rate in millihertz from now on; 0 stops.
    pub(super) fn set_rate_mhz(&mut self, rate: u64) {
        self.period_ns = 1_000_000_000_000_u64.checked_div(rate);
        self.once = false;
        self.waited_ns = 0;
    }

    /// Once, after this time.
    pub(super) fn once(&mut self, after_ns: u64) {
        *self = Self { period_ns: Some(after_ns), once: true, waited_ns: 0 };
    }

    /// Lets time pass; whether a sample is due.
    fn elapse(&mut self, nanoseconds: u64) -> bool {
        let Some(period) = self.period_ns else { return false };
        self.waited_ns = self.waited_ns.saturating_add(nanoseconds);
        let due = self.waited_ns >= period;
        self.waited_ns %= period;
        if due && self.once {
            self.period_ns = None;
        }
        due
    }
}
