//! External interrupts (RM0402 §10): the edges of pins, by line. Only lines 0 to 15 are there, which are pins.

const IMR: u32 = 0x00;
const EMR: u32 = 0x04;
const RTSR: u32 = 0x08;
const FTSR: u32 = 0x0C;
const SWIER: u32 = 0x10;
const PR: u32 = 0x14;

/// Lines that are pins.
const PINS: u32 = 0xFFFF;

/// The controller.
#[derive(Default)]
pub(crate) struct Exti {
    mask: u32,
    event_mask: u32,
    rising: u32,
    falling: u32,
    pending: u32,
    /// The lines' levels when they were last looked at.
    levels: u32,
}

impl Exti {
    /// After a reset; the levels outside stay.
    pub(crate) fn reset(&mut self) {
        *self = Self { levels: self.levels, ..Self::default() };
    }

    pub(crate) fn read(&self, offset: u32) -> u32 {
        match offset {
            IMR => self.mask,
            EMR => self.event_mask,
            RTSR => self.rising,
            FTSR => self.falling,
            PR => self.pending,
            _ => 0,
        }
    }

    pub(crate) fn write(&mut self, offset: u32, value: u32) {
        match offset {
            IMR => self.mask = value,
            EMR => self.event_mask = value,
            RTSR => self.rising = value,
            FTSR => self.falling = value,
            SWIER => self.pending |= value & self.mask & PINS,
            PR => self.pending &= !value,
            _ => {}
        }
    }

    /// Takes note of a line's level.
    pub(crate) fn set_level(&mut self, line: u8, is_high: bool) {
        let bit = 1 << line;
        let was_high = self.levels & bit != 0;
        if is_high && !was_high {
            self.pending |= self.rising & bit;
        } else if !is_high && was_high {
            self.pending |= self.falling & bit;
        }
        self.levels = self.levels & !bit | u32::from(is_high) << line;
    }

    /// Whether an interrupt of lines 0 to 4, each of which has one of its own, is up.
    pub(crate) fn line(&self, line: u8) -> bool {
        self.pending & self.mask & 1 << line != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_stays_until_it_is_cleared() {
        let mut exti = Exti::default();
        exti.set_level(0, true);
        assert_eq!(exti.read(PR), 0, "nobody has asked for it");
        exti.write(RTSR, 1);
        exti.set_level(0, false);
        exti.set_level(0, true);
        assert_eq!((exti.read(PR), exti.line(0)), (1, false), "masked");
        exti.write(IMR, 1);
        assert!(exti.line(0));
        exti.set_level(0, false);
        assert!(exti.line(0));
        exti.write(PR, 1);
        assert_eq!((exti.read(PR), exti.line(0)), (0, false));
        exti.write(FTSR, 1);
        exti.set_level(0, true);
        exti.write(PR, 1);
        exti.set_level(0, false);
        assert!(exti.line(0));
        exti.reset();
        assert_eq!((exti.read(IMR), exti.line(0)), (0, false));
    }
}
