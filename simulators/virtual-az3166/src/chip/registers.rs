//! Registers that read back what was written: peripherals whose effects nobody on the board can see.

use std::collections::BTreeMap;

/// A block of registers.
#[derive(Default)]
pub(crate) struct Registers {
    words: BTreeMap<u32, u32>,
}

impl Registers {
    pub(crate) fn read(&self, offset: u32) -> u32 {
        self.words.get(&offset).copied().unwrap_or_default()
    }

    pub(crate) fn write(&mut self, offset: u32, value: u32) {
        self.words.insert(offset, value);
    }
}
