//! The random number generator (RM0402 §18), repeatable from a seed.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

/// Registers and source.
pub(crate) struct Rng {
    control: u32,
    source: SmallRng,
}

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self { control: 0, source: SmallRng::seed_from_u64(seed) }
    }

    /// After a reset; the source goes on.
    pub(crate) fn reset(&mut self) {
        self.control = 0;
    }

    pub(crate) fn read(&mut self, offset: u32) -> u32 {
        let on = self.control & 4 != 0;
        match offset {
            0x0 => self.control,
            0x4 => u32::from(on),
            0x8 if on => self.source.random(),
            _ => 0,
        }
    }

    pub(crate) fn write(&mut self, offset: u32, value: u32) {
        if offset == 0 {
            self.control = value;
        }
    }

    /// The interrupt line.
    pub(crate) fn line(&self) -> bool {
        self.control & 0b1100 == 0b1100
    }
}
