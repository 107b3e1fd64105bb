//! LPS22HB: air pressure.

use super::registers::{Registers, Sampler, Sensor};

const WHO_AM_I: u8 = 0x0F;
const CTRL_REG1: u8 = 0x10;
const CTRL_REG2: u8 = 0x11;
const STATUS: u8 = 0x27;
const PRESS_OUT: u8 = 0x28;
const TEMP_OUT: u8 = 0x2B;

const ONE_SHOT: u8 = 0x01;
const SOFTWARE_RESET: u8 = 0x04;
const INCREMENT: u8 = 0x10;
const BOOT: u8 = 0x80;
const PRESSURE_READY: u8 = 0x01;
const TEMPERATURE_READY: u8 = 0x02;

/// Millihertz by ODR.
const RATES: [u64; 8] = [0, 1000, 10_000, 25_000, 50_000, 75_000, 0, 0];

/// The pressure sensor.
#[derive(Debug)]
pub struct Lps22hb {
    registers: Registers,
    sampler: Sampler,
    pressure: u32,
    temperature: i16,
}

impl Lps22hb {
    /// The 7-bit address.
    pub const ADDRESS: u8 = 0x5C;

    /// A sensor after power-up, at 1013.25 hPa and 22.5 degrees.
    #[must_use]
    pub fn new() -> Self {
        Self { registers: reset(), sampler: Sampler::default(), pressure: 101_325, temperature: 22_50 }
    }

    /// Power goes and comes back; what is around the sensor stays.
    pub fn power_cycle(&mut self) {
        *self = Self { pressure: self.pressure, temperature: self.temperature, ..Self::new() };
    }

    /// Sets the air around it: Pascal (26,000 to 126,000; what is beyond becomes the nearest value) and hundredths of a
    /// degree Celsius.
    pub fn set(&mut self, pressure: u32, temperature: i16) {
        self.pressure = pressure.clamp(26_000, 126_000);
        self.temperature = temperature;
    }
}

fn reset() -> Registers {
    Registers::new(&[(WHO_AM_I, 0xB1), (CTRL_REG2, INCREMENT)])
}

impl Default for Lps22hb {
    fn default() -> Self {
        Self::new()
    }
}

impl Sensor for Lps22hb {
    fn registers(&mut self) -> &mut Registers {
        &mut self.registers
    }

    fn increments(&self, _sub_address: u8) -> bool {
        self.registers.get(CTRL_REG2) & INCREMENT != 0
    }

    fn write_register(&mut self, at: u8, value: u8) {
        match at {
            CTRL_REG1 => {
                self.registers.set(at, value);
                self.sampler.set_rate_mhz(RATES[usize::from(value >> 4 & 7)]);
            }
            CTRL_REG2 if value & SOFTWARE_RESET != 0 => {
                self.registers = reset();
                self.sampler = Sampler::default();
            }
            CTRL_REG2 => {
                self.registers.set(at, value & !BOOT);
                if value & ONE_SHOT != 0 && self.registers.get(CTRL_REG1) & 0x70 == 0 {
                    self.sampler.once(15_000_000);
                }
            }
            // Interrupts, FIFO, reference, offset, resolution.
            0x0B..=0x0D | 0x12 | 0x14..=0x1A => self.registers.set(at, value),
            _ => {}
        }
    }

    fn after_read(&mut self, at: u8) {
        if at == PRESS_OUT + 2 {
            self.registers.change(STATUS, 0, PRESSURE_READY | PRESSURE_READY << 4);
        }
        if at == TEMP_OUT + 1 {
            self.registers.change(STATUS, 0, TEMPERATURE_READY | TEMPERATURE_READY << 4);
        }
    }

    fn sampler(&mut self) -> &mut Sampler {
        &mut self.sampler
    }

    fn sample(&mut self) {
        // 4096 steps in a hectopascal, 100 in a degree.
        let [xl, l, h, _] = ((self.pressure * 1024 + 12) / 25).to_le_bytes();
        for (at, byte) in (PRESS_OUT..).zip([xl, l, h]) {
            self.registers.set(at, byte);
        }
        self.registers.set_i16(TEMP_OUT, self.temperature.into());
        let unread = self.registers.get(STATUS) & (PRESSURE_READY | TEMPERATURE_READY);
        self.registers.change(STATUS, PRESSURE_READY | TEMPERATURE_READY | unread << 4, 0);
        self.registers.change(CTRL_REG2, 0, ONE_SHOT);
    }
}
