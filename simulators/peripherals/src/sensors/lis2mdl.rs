//! LIS2MDL: magnetic field.

use super::registers::{Registers, Sampler, Sensor};

const WHO_AM_I: u8 = 0x4F;
const CFG_REG_A: u8 = 0x60;
const CFG_REG_B: u8 = 0x61;
const CFG_REG_C: u8 = 0x62;
const STATUS: u8 = 0x67;
const OUT: u8 = 0x68;
const TEMP_OUT: u8 = 0x6E;

const MODE: u8 = 0x03;
const CONTINUOUS: u8 = 0x00;
const SINGLE: u8 = 0x01;
const IDLE: u8 = 0x03;
const SOFTWARE_RESET: u8 = 0x20;
const REBOOT: u8 = 0x40;
/// All axes and each of them; each is taken back when its upper byte is read.
const READY: u8 = 0x0F;

/// Millihertz by ODR.
const RATES: [u64; 4] = [10_000, 20_000, 50_000, 100_000];

/// The magnetometer.
#[derive(Debug)]
pub struct Lis2mdl {
    registers: Registers,
    sampler: Sampler,
    field: [i32; 3],
}

impl Lis2mdl {
    /// The 7-bit address.
    pub const ADDRESS: u8 = 0x1E;

    /// A sensor after power-up, in a field as that of the earth in the north of Europe.
    #[must_use]
    pub fn new() -> Self {
        Self { registers: reset(), sampler: Sampler::default(), field: [180, 0, 450] }
    }

    /// Power goes and comes back; what is around the sensor stays.
    pub fn power_cycle(&mut self) {
        *self = Self { field: self.field, ..Self::new() };
    }

    /// Sets the field along x, y and z in thousandths of a gauss. Beyond 49 gauss the nearest value is measured.
    pub fn set(&mut self, field: [i32; 3]) {
        self.field = field;
    }
}

fn reset() -> Registers {
    Registers::new(&[(WHO_AM_I, 0x40), (CFG_REG_A, IDLE)])
}

impl Default for Lis2mdl {
    fn default() -> Self {
        Self::new()
    }
}

impl Sensor for Lis2mdl {
    fn registers(&mut self) -> &mut Registers {
        &mut self.registers
    }

    fn increments(&self, _sub_address: u8) -> bool {
        true
    }

    fn write_register(&mut self, at: u8, value: u8) {
        match at {
            CFG_REG_A if value & SOFTWARE_RESET != 0 => {
                self.registers = reset();
                self.sampler = Sampler::default();
            }
            CFG_REG_A => {
                self.registers.set(at, value & !REBOOT);
                match value & MODE {
                    CONTINUOUS => self.sampler.set_rate_mhz(RATES[usize::from(value >> 2 & 3)]),
                    SINGLE => self.sampler.once(10_000_000),
                    _ => self.sampler = Sampler::default(),
                }
            }
            // Offsets, other configuration, interrupts.
            0x45..=0x4A | CFG_REG_B | CFG_REG_C | 0x63 | 0x65 | 0x66 => self.registers.set(at, value),
            _ => {}
        }
    }

    fn after_read(&mut self, at: u8) {
        let axis = match at {
            0x69 => 1,
            0x6B => 2,
            0x6D => 4,
            _ => return,
        };
        self.registers.change(STATUS, 0, axis | 8);
    }

    fn sampler(&mut self) -> &mut Sampler {
        &mut self.sampler
    }

    fn sample(&mut self) {
        // A step is 1.5 milligauss.
        for (at, value) in (OUT..).step_by(2).zip(self.field) {
            self.registers.set_i16(at, value.saturating_mul(2) / 3);
        }
        // 8 steps in a degree, from 25 degrees.
        self.registers.set_i16(TEMP_OUT, 0);
        self.registers.change(STATUS, READY, 0);
        if self.registers.get(CFG_REG_A) & MODE == SINGLE {
            self.registers.change(CFG_REG_A, IDLE, 0);
        }
    }
}
