//! Timers that make the RGB lamp's light (RM0402 §17): only how long each channel is high in a period.

use super::registers::Registers;

/// The registers of a general-purpose timer.
#[derive(Default)]
pub(crate) struct Timer {
    registers: Registers,
}

impl Timer {
    pub(crate) fn read(&self, offset: u32) -> u32 {
        self.registers.read(offset)
    }

    pub(crate) fn write(&mut self, offset: u32, value: u32) {
        // Flags are cleared by writing 0, and the update generation reads as zero.
        if offset != 0x10 && offset != 0x14 {
            self.registers.write(offset, value);
        }
    }

    /// The share of time a channel (1 to 4) is high, from 0 to 255.
    pub(crate) fn brightness(&self, channel: u32) -> u8 {
        let runs = self.read(0x00) & 1 != 0;
        let enabled = self.read(0x20) >> (4 * (channel - 1)) & 1 != 0;
        if !runs || !enabled {
            return 0;
        }
        let period = u64::from(self.read(0x2C)) + 1;
        let high = u64::from(self.read(0x30 + 4 * channel)).min(period);
        u8::try_from((high * 255 + period / 2) / period).unwrap_or(u8::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brightness_is_the_duty_cycle_of_a_running_channel() {
        let mut timer = Timer::default();
        timer.write(0x2C, 999);
        timer.write(0x38, 500);
        assert_eq!(timer.brightness(2), 0);
        timer.write(0x20, 1 << 4);
        timer.write(0x00, 1);
        assert_eq!((timer.brightness(2), timer.brightness(1)), (128, 0));
        timer.write(0x38, 5000);
        assert_eq!(timer.brightness(2), 255);
    }
}
