//! The independent watchdog (RM0402 §21): once started, only a reset stops it.

use crate::time::{CORE_HZ, Cycles};

/// The slow oscillator's nominal frequency.
const LSI_HZ: u64 = 32_000;

/// The registers and the counter.
pub(crate) struct Watchdog {
    prescaler: u32,
    reload: u32,
    unlocked: bool,
    bites_at: Option<Cycles>,
}

impl Watchdog {
    pub(crate) fn new() -> Self {
        Self { prescaler: 0, reload: 0xFFF, unlocked: false, bites_at: None }
    }

    pub(crate) fn read(&self, offset: u32) -> u32 {
        match offset {
            0x4 => self.prescaler,
            0x8 => self.reload,
            _ => 0,
        }
    }

    pub(crate) fn write(&mut self, offset: u32, value: u32, now: Cycles) {
        match (offset, value) {
            (0x0, 0x5555) => self.unlocked = true,
            (0x0, key) => {
                self.unlocked = false;
                let runs = self.bites_at.is_some();
                if key == 0xCCCC || key == 0xAAAA && runs {
                    self.bites_at = Some(now + self.period());
                }
            }
            (0x4, value) if self.unlocked => self.prescaler = value & 7,
            (0x8, value) if self.unlocked => self.reload = value & 0xFFF,
            _ => {}
        }
    }

    fn period(&self) -> Cycles {
        let divider = 4 << self.prescaler.min(6);
        Cycles::from(self.reload + 1) * divider * CORE_HZ / LSI_HZ
    }

    pub(crate) fn bites_at(&self) -> Option<Cycles> {
        self.bites_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bites_unless_fed() {
        let mut dog = Watchdog::new();
        dog.write(0, 0xAAAA, 0);
        assert_eq!(dog.bites_at(), None, "feeding does not start it");
        dog.write(0x4, 6, 0);
        assert_eq!(dog.read(0x4), 0, "locked");
        dog.write(0, 0x5555, 0);
        dog.write(0x4, 4, 0);
        dog.write(0x8, 999, 0);
        dog.write(0, 0xCCCC, 7);
        // 1000 counts of 64 periods of 32 kHz: two seconds.
        assert_eq!(dog.bites_at(), Some(7 + 2 * CORE_HZ));
        dog.write(0, 0xAAAA, CORE_HZ);
        assert_eq!(dog.bites_at(), Some(3 * CORE_HZ));
    }
}
