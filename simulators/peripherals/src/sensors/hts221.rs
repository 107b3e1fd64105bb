//! HTS221: humidity and temperature, with calibration points.

use super::registers::{Registers, Sampler, Sensor};

const WHO_AM_I: u8 = 0x0F;
const AV_CONF: u8 = 0x10;
const CTRL_REG1: u8 = 0x20;
const CTRL_REG2: u8 = 0x21;
const CTRL_REG3: u8 = 0x22;
const STATUS: u8 = 0x27;
const HUMIDITY_OUT: u8 = 0x28;
const TEMP_OUT: u8 = 0x2A;

const POWERED: u8 = 0x80;
const ONE_SHOT: u8 = 0x01;
const TEMPERATURE_READY: u8 = 0x01;
const HUMIDITY_READY: u8 = 0x02;

/// A straight line through two calibration points: a physical value and what the converter makes of it.
struct Line {
    value: [i32; 2],
    output: [i32; 2],
}

impl Line {
    /// What the converter makes of a value, rounded.
    const fn output(&self, value: i32) -> i32 {
        let [v0, v1] = self.value;
        let [o0, o1] = self.output;
        let (numerator, denominator) = ((value - v0) * (o1 - o0), v1 - v0);
        o0 + (numerator + if numerator < 0 { -denominator } else { denominator } / 2) / denominator
    }
}

/// Hundredths of a percent: 25 % and 70 %.
const HUMIDITY: Line = Line { value: [25_00, 70_00], output: [-2000, -13_500] };
/// Hundredths of a degree: 17.5 and 37.5 degrees.
const TEMPERATURE: Line = Line { value: [17_50, 37_50], output: [90, 760] };

/// The calibration as the chip keeps it: twice the percents, eight times the degrees. Those of the second point are
/// 300 = 0x12C; the ninth and tenth bits of both are in a register of their own.
const CALIBRATION: [(u8, u8); 5] =
    [(0x30, 2 * 25), (0x31, 2 * 70), (0x32, 140), (0x33, 0x2C), (0x35, 1 << 2)];

/// The humidity and temperature sensor.
#[derive(Debug)]
pub struct Hts221 {
    registers: Registers,
    sampler: Sampler,
    temperature: i16,
    humidity: u16,
}

impl Hts221 {
    /// The 7-bit address.
    pub const ADDRESS: u8 = 0x5F;

    /// A sensor after power-up, in a room of 22.5 degrees and 45 % relative humidity.
    #[must_use]
    pub fn new() -> Self {
        let mut registers = Registers::new(&[(WHO_AM_I, 0xBC), (AV_CONF, 0x1B)]);
        for (at, value) in CALIBRATION {
            registers.set(at, value);
        }
        let [h0, h1] = HUMIDITY.output;
        let [t0, t1] = TEMPERATURE.output;
        for (at, output) in [(0x36, h0), (0x3A, h1), (0x3C, t0), (0x3E, t1)] {
            registers.set_i16(at, output);
        }
        Self { registers, sampler: Sampler::default(), temperature: 22_50, humidity: 45_00 }
    }

    /// Power goes and comes back; what is around the sensor stays.
    pub fn power_cycle(&mut self) {
        *self = Self { temperature: self.temperature, humidity: self.humidity, ..Self::new() };
    }

    /// Sets the air around it: hundredths of a degree Celsius (-40 to 120 degrees), hundredths of a percent (0 to 100
    /// %). What is beyond becomes the nearest value.
    pub fn set(&mut self, temperature: i16, humidity: u16) {
        self.temperature = temperature.clamp(-4000, 12_000);
        self.humidity = humidity.min(10_000);
    }
}

impl Default for Hts221 {
    fn default() -> Self {
        Self::new()
    }
}

impl Sensor for Hts221 {
    fn registers(&mut self) -> &mut Registers {
        &mut self.registers
    }

    fn increments(&self, sub_address: u8) -> bool {
        sub_address & 0x80 != 0
    }

    fn write_register(&mut self, at: u8, value: u8) {
        match at {
            CTRL_REG1 => {
                self.registers.set(at, value);
                let rate =
                    if value & POWERED == 0 { 0 } else { [0, 1000, 7000, 12_500][usize::from(value & 3)] };
                self.sampler.set_rate_mhz(rate);
            }
            CTRL_REG2 => {
                // Reading the calibration again is done at once.
                self.registers.set(at, value & 0x03);
                if value & ONE_SHOT != 0 && self.registers.get(CTRL_REG1) & (POWERED | 3) == POWERED {
                    self.sampler.once(10_000_000);
                }
            }
            AV_CONF | CTRL_REG3 => self.registers.set(at, value),
            _ => {}
        }
    }

    fn after_read(&mut self, at: u8) {
        if at == HUMIDITY_OUT + 1 {
            self.registers.change(STATUS, 0, HUMIDITY_READY);
        }
        if at == TEMP_OUT + 1 {
            self.registers.change(STATUS, 0, TEMPERATURE_READY);
        }
    }

    fn sampler(&mut self) -> &mut Sampler {
        &mut self.sampler
    }

    fn sample(&mut self) {
        self.registers.set_i16(HUMIDITY_OUT, HUMIDITY.output(self.humidity.into()));
        self.registers.set_i16(TEMP_OUT, TEMPERATURE.output(self.temperature.into()));
        self.registers.change(STATUS, HUMIDITY_READY | TEMPERATURE_READY, 0);
        self.registers.change(CTRL_REG2, 0, ONE_SHOT);
    }
}
