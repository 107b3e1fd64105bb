//! The core's own peripherals: SysTick, interrupt controller and system control block, as far as firmware without
//! nested interrupts needs them.

use crate::time::Cycles;

/// Exception numbers (Armv7-M Architecture Reference Manual, B1.5.2).
pub(crate) mod exception {
    pub(crate) const HARD_FAULT: u16 = 3;
    pub(crate) const PEND_SV: u16 = 14;
    pub(crate) const SYS_TICK: u16 = 15;
    /// The first interrupt of the chip.
    pub(crate) const FIRST_INTERRUPT: u16 = 16;
}

/// In SysTick's control register: it has counted through since this was read.
const COUNTED: u32 = 1 << 16;

/// The chip's interrupts, one bit each.
pub(crate) type Lines = u128;

/// System control space and debug registers.
#[derive(Default)]
pub(crate) struct System {
    enabled: Lines,
    /// Set by software.
    pended: Lines,
    tick_control: u32,
    tick_reload: u32,
    next_tick: Option<Cycles>,
    tick_pending: bool,
    pend_sv: bool,
    vector_table: u32,
    /// The exception being handled; 0 if none.
    active: u16,
    reset_requested: bool,
    fault: Fault,
    debug_control: u32,
}

#[derive(Default)]
struct Fault {
    configurable: u32,
    hard: u32,
    address: u32,
}

impl System {
    /// As the boot loader leaves it: SysTick stopped, interrupts off, the vector table in RAM.
    pub(crate) fn handed_off(vector_table: u32) -> Self {
        Self { vector_table, ..Self::default() }
    }

    pub(crate) fn read(&mut self, offset: u32, now: Cycles) -> u32 {
        match offset {
            0xE010 => {
                let control = self.tick_control;
                self.tick_control &= !COUNTED;
                control
            }
            0xE014 => self.tick_reload,
            0xE018 => {
                let left = self.next_tick.map_or(0, |next| next.saturating_sub(now));
                u32::try_from(left).unwrap_or(u32::MAX).min(self.tick_reload)
            }
            0xE100..0xE110 | 0xE180..0xE190 => word(self.enabled, offset),
            0xE200..0xE210 | 0xE280..0xE290 => word(self.pended, offset),
            // Cortex-M4 r0p1.
            0xED00 => 0x410F_C241,
            0xED04 => {
                u32::from(self.active)
                    | u32::from(self.tick_pending) << 26
                    | u32::from(self.pend_sv) << 28
                    | u32::from(self.pended & self.enabled != 0) << 22
            }
            0xED08 => self.vector_table,
            0xED0C => 0xFA05_0000,
            0xED28 => self.fault.configurable,
            0xED2C => self.fault.hard,
            0xED34 | 0xED38 => self.fault.address,
            0xED88 => 0x00F0_0000,
            0xEDFC => self.debug_control,
            // DWT CYCCNT.
            #[allow(clippy::cast_possible_truncation, reason = "a counter of 32 bits that wraps")]
            0x1004 => now as u32,
            _ => 0,
        }
    }

    pub(crate) fn write(&mut self, offset: u32, value: u32, now: Cycles) {
        match offset {
            0xE010 => {
                let started = value & !self.tick_control & 1 != 0;
                self.tick_control = (self.tick_control & COUNTED) | value & 7;
                if value & 1 == 0 {
                    self.next_tick = None;
                } else if started {
                    self.next_tick = Some(now + self.tick_period());
                }
            }
            0xE014 => self.tick_reload = value & 0x00FF_FFFF,
            0xE018 => {
                self.tick_control &= !COUNTED;
                self.next_tick = self.next_tick.map(|_| now + self.tick_period());
            }
            0xE100..0xE110 => self.enabled |= lines(value, offset),
            0xE180..0xE190 => self.enabled &= !lines(value, offset),
            0xE200..0xE210 => self.pended |= lines(value, offset),
            0xE280..0xE290 => self.pended &= !lines(value, offset),
            0xED04 => {
                self.pend_sv = (self.pend_sv || value & 1 << 28 != 0) && value & 1 << 27 == 0;
                self.tick_pending = (self.tick_pending || value & 1 << 26 != 0) && value & 1 << 25 == 0;
            }
            0xED08 => self.vector_table = value & !0x7F,
            0xED0C if value >> 16 == 0x05FA && value & 4 != 0 => self.reset_requested = true,
            0xED28 => self.fault.configurable &= !value,
            0xED2C => self.fault.hard &= !value,
            0xEDFC => self.debug_control = value,
            _ => {}
        }
    }

    fn tick_period(&self) -> Cycles {
        Cycles::from(self.tick_reload) + 1
    }

    /// When something happens here next.
    pub(crate) fn next_event(&self) -> Option<Cycles> {
        self.next_tick
    }

    /// Lets time pass.
    pub(crate) fn advance(&mut self, now: Cycles) {
        let Some(next) = self.next_tick.filter(|next| *next <= now) else { return };
        let period = self.tick_period();
        self.next_tick = Some(next + (now - next) / period * period + period);
        self.tick_control |= COUNTED;
        self.tick_pending |= self.tick_control & 2 != 0;
    }

    /// The exception that wants to be handled, given the interrupt lines of the chip.
    pub(crate) fn pending(&self, lines: Lines) -> Option<u16> {
        if self.tick_pending {
            return Some(exception::SYS_TICK);
        }
        let interrupts = self.enabled & (self.pended | lines);
        if interrupts != 0 {
            let number = u16::try_from(interrupts.trailing_zeros()).unwrap_or_default();
            return Some(exception::FIRST_INTERRUPT + number);
        }
        self.pend_sv.then_some(exception::PEND_SV)
    }

    /// Begins to handle an exception.
    pub(crate) fn enter(&mut self, number: u16) {
        self.active = number;
        match number {
            exception::SYS_TICK => self.tick_pending = false,
            exception::PEND_SV => self.pend_sv = false,
            exception::FIRST_INTERRUPT.. => {
                self.pended &= !(1 << (number - exception::FIRST_INTERRUPT));
            }
            _ => {}
        }
    }

    /// Ends it; `outer` was being handled before.
    pub(crate) fn leave(&mut self, outer: u16) {
        self.active = outer;
    }

    /// The exception being handled; 0 if none.
    pub(crate) fn active(&self) -> u16 {
        self.active
    }

    pub(crate) fn vector_table(&self) -> u32 {
        self.vector_table
    }

    /// Notes a fault for the firmware to read: a bus fault at `address`, or an undefined instruction.
    pub(crate) fn note_fault(&mut self, address: Option<u32>) {
        self.fault.hard |= 1 << 30;
        self.fault.configurable |= if address.is_some() { 0x8200 } else { 0x0001_0000 };
        self.fault.address = address.unwrap_or(self.fault.address);
    }

    /// Whether the firmware has asked for a reset; forgets it.
    pub(crate) fn take_reset_request(&mut self) -> bool {
        std::mem::take(&mut self.reset_requested)
    }

    /// Whether the firmware has asked for a reset.
    pub(crate) fn wants_reset(&self) -> bool {
        self.reset_requested
    }
}

/// The word of a set that the register at this offset shows.
#[allow(clippy::cast_possible_truncation, reason = "a register shows 32 of the lines")]
fn word(set: Lines, offset: u32) -> u32 {
    (set >> (8 * (offset & 0xC))) as u32
}

fn lines(word: u32, offset: u32) -> Lines {
    Lines::from(word) << (8 * (offset & 0xC))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sys_tick_ticks_until_stopped() {
        let mut system = System::default();
        system.write(0xE014, 99, 0);
        system.write(0xE010, 7, 1000);
        assert_eq!(system.next_event(), Some(1100));
        system.advance(1099);
        assert_eq!(system.pending(0), None);
        system.advance(1350);
        assert_eq!(system.pending(0), Some(exception::SYS_TICK));
        assert_eq!(system.next_event(), Some(1400));
        assert_eq!(system.read(0xE018, 1360), 40);
        system.enter(exception::SYS_TICK);
        assert_eq!((system.pending(0), system.read(0xED04, 0) & 0x1FF), (None, 15));
        assert_eq!(system.read(0xE010, 0), 7 | 1 << 16);
        assert_eq!(system.read(0xE010, 0), 7, "the flag is read once");
        system.write(0xE010, 0, 1390);
        assert_eq!(system.next_event(), None);
    }

    #[test]
    fn interrupts_are_enabled_pended_and_cleared_by_bit() {
        let mut system = System::default();
        let usart6 = 1 << 71;
        assert_eq!(system.pending(usart6), None);
        system.write(0xE108, 1 << 7, 0);
        assert_eq!(system.pending(usart6), Some(16 + 71));
        assert_eq!(system.pending(0), None);
        system.write(0xE208, 1 << 7, 0);
        assert_eq!((system.pending(0), system.read(0xE288, 0)), (Some(87), 1 << 7));
        system.enter(87);
        assert_eq!(system.pending(0), None, "handling it clears what software has set");
        system.write(0xE188, 1 << 7, 0);
        assert_eq!((system.pending(usart6), system.read(0xE108, 0)), (None, 0));
    }

    #[test]
    fn reset_needs_the_key() {
        let mut system = System::default();
        system.write(0xED0C, 4, 0);
        assert!(!system.wants_reset());
        system.write(0xED0C, 0x05FA_0004, 0);
        assert!(system.take_reset_request() && !system.wants_reset());
    }
}
