//! LSM6DSL: acceleration and rotation.

use super::registers::{Registers, Sampler, Sensor};

const WHO_AM_I: u8 = 0x0F;
const CTRL1_XL: u8 = 0x10;
const CTRL2_G: u8 = 0x11;
const CTRL3_C: u8 = 0x12;
const STATUS: u8 = 0x1E;
const OUT_TEMP: u8 = 0x20;
const OUT_G: u8 = 0x22;
const OUT_XL: u8 = 0x28;

const SOFTWARE_RESET: u8 = 0x01;
const INCREMENT: u8 = 0x04;
const BOOT: u8 = 0x80;
const ACCELERATION_READY: u8 = 0x01;
const ROTATION_READY: u8 = 0x02;
const TEMPERATURE_READY: u8 = 0x04;

/// Millihertz by ODR.
const RATES: [u64; 16] = [
    0, 12_500, 26_000, 52_000, 104_000, 208_000, 416_000, 833_000, 1_660_000, 3_330_000, 6_660_000, 1_600, 0,
    0, 0, 0,
];

/// The accelerometer and gyroscope. Both deliver at the faster of their two rates.
#[derive(Debug)]
pub struct Lsm6dsl {
    registers: Registers,
    sampler: Sampler,
    acceleration: [i32; 3],
    rotation: [i32; 3],
    temperature: i16,
}

impl Lsm6dsl {
    /// The 7-bit address.
    pub const ADDRESS: u8 = 0x6A;

    /// A sensor after power-up, lying still on a table at 25 degrees.
    #[must_use]
    pub fn new() -> Self {
        Self {
            registers: reset(),
            sampler: Sampler::default(),
            acceleration: [0, 0, 1000],
            rotation: [0; 3],
            temperature: 25_00,
        }
    }

    /// Power goes and comes back; what is around the sensor stays.
    pub fn power_cycle(&mut self) {
        *self = Self {
            acceleration: self.acceleration,
            rotation: self.rotation,
            temperature: self.temperature,
            ..Self::new()
        };
    }

    /// Sets its motion: acceleration along x, y and z in thousandths of the earth's, rotation around them in
    /// thousandths of a degree per second. Beyond the range a driver has chosen, the nearest value is measured.
    pub fn set(&mut self, acceleration: [i32; 3], rotation: [i32; 3]) {
        self.acceleration = acceleration;
        self.rotation = rotation;
    }

    /// Micro-g in a step.
    fn acceleration_step(&self) -> i64 {
        [61, 488, 122, 244][usize::from(self.registers.get(CTRL1_XL) >> 2 & 3)]
    }

    /// Microdegrees per second in a step.
    fn rotation_step(&self) -> i64 {
        let control = self.registers.get(CTRL2_G);
        if control & 2 != 0 { 4375 } else { [8750, 17_500, 35_000, 70_000][usize::from(control >> 2 & 3)] }
    }
}

fn reset() -> Registers {
    Registers::new(&[(WHO_AM_I, 0x6A), (CTRL3_C, INCREMENT)])
}

/// A value in thousandths, in steps of so many millionths.
fn steps(value: i32, step: i64) -> i32 {
    let steps = i64::from(value) * 1000 / step;
    i32::try_from(steps).unwrap_or(if value < 0 { i32::MIN } else { i32::MAX })
}

impl Default for Lsm6dsl {
    fn default() -> Self {
        Self::new()
    }
}

impl Sensor for Lsm6dsl {
    fn registers(&mut self) -> &mut Registers {
        &mut self.registers
    }

    fn increments(&self, _sub_address: u8) -> bool {
        self.registers.get(CTRL3_C) & INCREMENT != 0
    }

    fn write_register(&mut self, at: u8, value: u8) {
        match at {
            CTRL1_XL | CTRL2_G => {
                self.registers.set(at, value);
                let rates = [CTRL1_XL, CTRL2_G].map(|at| RATES[usize::from(self.registers.get(at) >> 4)]);
                self.sampler.set_rate_mhz(rates.into_iter().max().unwrap_or_default());
            }
            CTRL3_C if value & SOFTWARE_RESET != 0 => {
                self.registers = reset();
                self.sampler = Sampler::default();
            }
            CTRL3_C => self.registers.set(at, value & !BOOT),
            // Function access, FIFO, interrupts, other controls, wake-up, offsets.
            0x01..=0x0E | 0x13..=0x1A | 0x58..=0x5F | 0x73..=0x75 => self.registers.set(at, value),
            _ => {}
        }
    }

    fn after_read(&mut self, at: u8) {
        let done = match at {
            0x21 => TEMPERATURE_READY,
            0x27 => ROTATION_READY,
            0x2D => ACCELERATION_READY,
            _ => return,
        };
        self.registers.change(STATUS, 0, done);
    }

    fn sampler(&mut self) -> &mut Sampler {
        &mut self.sampler
    }

    fn sample(&mut self) {
        let on = |control| self.registers.get(control) & 0xF0 != 0;
        let mut ready = TEMPERATURE_READY;
        let (accelerometer, gyroscope) = (on(CTRL1_XL), on(CTRL2_G));
        if accelerometer {
            ready |= ACCELERATION_READY;
            let step = self.acceleration_step();
            for (at, value) in (OUT_XL..).step_by(2).zip(self.acceleration) {
                self.registers.set_i16(at, steps(value, step));
            }
        }
        if gyroscope {
            ready |= ROTATION_READY;
            let step = self.rotation_step();
            for (at, value) in (OUT_G..).step_by(2).zip(self.rotation) {
                self.registers.set_i16(at, steps(value, step));
            }
        }
        // 256 steps in a degree, from 25 degrees.
        self.registers.set_i16(OUT_TEMP, (i32::from(self.temperature) - 25_00) * 256 / 100);
        self.registers.change(STATUS, ready, 0);
    }
}
