//! Reset and clock control (RM0402 §6): every clock that is switched on is ready at once.

use super::registers::Registers;

const CR: u32 = 0x00;
const CFGR: u32 = 0x08;
const BDCR: u32 = 0x70;
const CSR: u32 = 0x74;

/// Why the chip started (bits of `RCC_CSR`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResetCause {
    /// The power came.
    PowerOn,
    /// The reset button.
    Pin,
    /// The firmware asked for it.
    Software,
    /// The independent watchdog.
    Watchdog,
}

impl ResetCause {
    /// The pin is pulled low by every internal reset, too.
    fn flags(self) -> u32 {
        let own = match self {
            Self::PowerOn => 1 << 27 | 1 << 25,
            Self::Pin => 0,
            Self::Software => 1 << 28,
            Self::Watchdog => 1 << 29,
        };
        own | 1 << 26
    }
}

/// The registers.
pub(crate) struct Rcc {
    registers: Registers,
    flags: u32,
}

impl Rcc {
    /// The clocks as the boot loader leaves them: crystal and PLL (M 13, N 192, P 4, Q 8) running.
    pub(crate) fn handed_off(cause: ResetCause, flags_kept: u32) -> Self {
        let mut registers = Registers::default();
        registers.write(CR, 0x0101_0081);
        registers.write(0x04, 0x0841_300D);
        registers.write(CFGR, 0x0000_100A);
        Self { registers, flags: flags_kept | cause.flags() }
    }

    /// The causes of earlier resets, kept until the firmware clears them or the power goes.
    pub(crate) fn flags(&self) -> u32 {
        self.flags
    }

    pub(crate) fn read(&self, offset: u32) -> u32 {
        let value = self.registers.read(offset);
        match offset {
            // HSI, HSE, PLL and PLLI2S: the ready bit is above the on bit.
            CR => [0, 16, 24, 26]
                .into_iter()
                .fold(value, |value, on| (value & !(2 << on)) | (value & 1 << on) << 1),
            CFGR => value & !0xC | (value & 3) << 2,
            BDCR => value & !2 | (value & 1) << 1,
            CSR => value & 1 | (value & 1) << 1 | self.flags,
            _ => value,
        }
    }

    pub(crate) fn write(&mut self, offset: u32, value: u32) {
        if offset == CSR && value & 1 << 24 != 0 {
            self.flags = 0;
        }
        self.registers.write(offset, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_ready_when_switched_on_and_not_before() {
        let mut rcc = Rcc::handed_off(ResetCause::PowerOn, 0);
        assert_eq!(rcc.read(CR) & 0x0303_0003, 0x0303_0003);
        assert_eq!(rcc.read(CFGR) & 0xF, 0b1010, "the PLL drives the core");
        rcc.write(CR, 1);
        assert_eq!(rcc.read(CR), 3);
        rcc.write(CFGR, 0);
        assert_eq!(rcc.read(CFGR), 0);
        rcc.write(CSR, 1);
        assert_eq!(rcc.read(CSR) & 3, 3);
    }

    #[test]
    fn causes_add_up_until_they_are_cleared() {
        let mut rcc = Rcc::handed_off(ResetCause::Watchdog, Rcc::handed_off(ResetCause::Software, 0).flags());
        assert_eq!(rcc.read(CSR) >> 24, 0b0011_0100);
        rcc.write(CSR, 1 << 24);
        assert_eq!(rcc.read(CSR) >> 24, 0);
    }
}
