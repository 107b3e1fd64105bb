//! The core's own peripherals: SysTick, interrupt controller with its priorities, system control block.

use std::collections::BTreeMap;

use crate::time::Cycles;

/// Exception numbers (Armv7-M Architecture Reference Manual, B1.5.2).
pub(crate) mod exception {
    pub(crate) const HARD_FAULT: u16 = 3;
    /// The first one with a priority that can be set.
    pub(super) const MEM_MANAGE: u16 = 4;
    pub(crate) const PEND_SV: u16 = 14;
    pub(crate) const SYS_TICK: u16 = 15;
    /// The first interrupt of the chip.
    pub(crate) const FIRST_INTERRUPT: u16 = 16;
}

/// In SysTick's control register: it has counted through since this was read.
const COUNTED: u32 = 1 << 16;

/// The chip's interrupts, one bit each.
pub(crate) type Lines = u128;

/// The chip has four bits of priority.
const PRIORITY_BITS: u8 = 0xF0;

/// An exception's urgency, or that of what runs: smaller is more urgent. Those that cannot be set are below zero.
pub(crate) type Priority = i16;
/// What runs when no exception is handled.
pub(crate) const THREAD: Priority = 256;
/// A hard fault's, and that of a core whose faults are masked.
pub(crate) const HARD_FAULT: Priority = -1;

/// What masks exceptions: the core's special registers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Masks {
    /// All whose priority can be set.
    pub(crate) all: bool,
    /// The hard fault, too.
    pub(crate) faults: bool,
    /// Those of this priority and less urgent ones; 0 masks none.
    pub(crate) base: u8,
}

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
    /// By exception number, those that are not 0.
    priorities: BTreeMap<u16, u8>,
    /// How many low bits of a priority decide only between exceptions that wait.
    group: u8,
    /// The exceptions being handled, the innermost last.
    active: Vec<u16>,
    reset_requested: bool,
    fault: Fault,
    debug_control: u32,
    counter_control: u32,
    debug_freeze: [u32; 3],
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

    /// What a register holds; `None` if it is not simulated.
    pub(crate) fn read(&mut self, offset: u32, now: Cycles) -> Option<u32> {
        Some(match offset {
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
                u32::from(self.active())
                    | u32::from(self.active.len() < 2) << 11
                    | u32::from(self.tick_pending) << 26
                    | u32::from(self.pend_sv) << 28
                    | u32::from(self.pended & self.enabled != 0) << 22
            }
            0xED08 => self.vector_table,
            0xED0C => 0xFA05_0000 | u32::from(self.group) << 8,
            0xE400..0xE464 | 0xED18..0xED24 => {
                u32::from_le_bytes([0, 1, 2, 3].map(|byte| {
                    self.priorities.get(&of_priority(offset + byte)).copied().unwrap_or_default()
                }))
            }
            // Sleep, stack alignment and debugger are as after a reset; no fault has a handler of its own.
            0xED10 | 0xED24 | 0xEDF0 => 0,
            0xED14 => 0x200,
            0xED28 => self.fault.configurable,
            0xED2C => self.fault.hard,
            0xED34 | 0xED38 => self.fault.address,
            0xED88 => 0x00F0_0000,
            // Floating-point registers are kept by exceptions.
            0xEF34 => 0xC000_0000,
            0xEDFC => self.debug_control,
            // The cycle counter.
            0x1000 => self.counter_control,
            #[allow(clippy::cast_possible_truncation, reason = "a counter of 32 bits that wraps")]
            0x1004 => now as u32,
            // Debugging of the chip in its low-power modes.
            0x4_2000 => 0x1000_0441,
            0x4_2004..0x4_2010 => self.debug_freeze[(offset as usize - 0x4_2004) / 4],
            _ => return None,
        })
    }

    /// Writes a register. Gives whether it is simulated.
    pub(crate) fn write(&mut self, offset: u32, value: u32, now: Cycles) -> bool {
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
            0xED0C => {
                if value >> 16 == 0x05FA {
                    self.group = (value >> 8 & 7) as u8;
                    self.reset_requested |= value & 4 != 0;
                }
            }
            0xE400..0xE464 | 0xED18..0xED24 => {
                for (at, byte) in (offset..).zip(value.to_le_bytes()) {
                    self.write_byte(at, byte);
                }
            }
            // Nothing else than what a reset leaves.
            0xED10 | 0xED24 => return value == 0,
            0xED14 => return value == 0x200,
            0xED88 => return value & 0x00F0_0000 == 0x00F0_0000,
            0xED28 => self.fault.configurable &= !value,
            0xED2C => self.fault.hard &= !value,
            0xEDFC => self.debug_control = value,
            0x1000 => self.counter_control = value,
            0x4_2004..0x4_2010 => self.debug_freeze[(offset as usize - 0x4_2004) / 4] = value,
            _ => return false,
        }
        true
    }

    /// Writes one byte. Gives whether it may be written alone: priorities may.
    pub(crate) fn write_byte(&mut self, offset: u32, value: u8) -> bool {
        let is_priority = matches!(offset, 0xE400..0xE464 | 0xED18..0xED24);
        if is_priority {
            self.priorities.insert(of_priority(offset), value & PRIORITY_BITS);
        }
        is_priority
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

    /// The most urgent exception that waits, if it is more urgent than those being handled; masks are not asked.
    pub(crate) fn pending(&self, lines: Lines) -> Option<u16> {
        self.preempting(lines, Masks::default())
    }

    /// The exception that is to be handled now: the most urgent one, if it is more urgent than what runs.
    pub(crate) fn preempting(&self, lines: Lines, masks: Masks) -> Option<u16> {
        let waiting = [(self.pend_sv, exception::PEND_SV), (self.tick_pending, exception::SYS_TICK)];
        let waiting = waiting.into_iter().filter_map(|(waits, number)| waits.then_some(number));
        let mut interrupts = self.enabled & (self.pended | lines);
        let interrupts = std::iter::from_fn(|| {
            let number = u16::try_from(interrupts.trailing_zeros()).unwrap_or_default();
            interrupts &= interrupts.checked_sub(1)?;
            Some(exception::FIRST_INTERRUPT + number)
        });
        let first = waiting.chain(interrupts).min_by_key(|number| (self.priority(*number), *number))?;
        (self.group_of(self.priority(first)) < self.running(masks)).then_some(first)
    }

    /// The priority of what runs: the most urgent of what is being handled and of the masks.
    pub(crate) fn running(&self, masks: Masks) -> Priority {
        let handled = self.active.iter().map(|number| self.group_of(self.priority(*number))).min();
        let base = (masks.base != 0).then(|| self.group_of(masks.base.into()));
        let masked = if masks.faults { Some(HARD_FAULT) } else { masks.all.then_some(0) };
        [handled, base, masked].into_iter().flatten().min().unwrap_or(THREAD)
    }

    fn priority(&self, number: u16) -> Priority {
        match number {
            exception::HARD_FAULT => HARD_FAULT,
            number => self.priorities.get(&number).copied().unwrap_or_default().into(),
        }
    }

    /// The part of a priority that decides who interrupts whom.
    fn group_of(&self, priority: Priority) -> Priority {
        if priority < 0 { priority } else { priority & -(2 << self.group) }
    }

    /// Begins to handle an exception.
    pub(crate) fn enter(&mut self, number: u16) {
        self.active.push(number);
        match number {
            exception::SYS_TICK => self.tick_pending = false,
            exception::PEND_SV => self.pend_sv = false,
            exception::FIRST_INTERRUPT.. => {
                self.pended &= !(1 << (number - exception::FIRST_INTERRUPT));
            }
            _ => {}
        }
    }

    /// Ends it. Gives what is being handled then; 0 if nothing is.
    pub(crate) fn leave(&mut self) -> u16 {
        self.active.pop();
        self.active()
    }

    /// The exception being handled, the innermost one; 0 if none is.
    pub(crate) fn active(&self) -> u16 {
        self.active.last().copied().unwrap_or_default()
    }

    /// How many exceptions are being handled, one within the other.
    pub(crate) fn depth(&self) -> usize {
        self.active.len()
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

/// The exception whose priority stands at this offset.
fn of_priority(offset: u32) -> u16 {
    let number = match offset {
        0xE400..0xED00 => offset - 0xE400 + u32::from(exception::FIRST_INTERRUPT),
        _ => offset - 0xED18 + u32::from(exception::MEM_MANAGE),
    };
    u16::try_from(number).unwrap_or_default()
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
        assert_eq!(system.read(0xE018, 1360), Some(40));
        system.enter(exception::SYS_TICK);
        assert_eq!((system.pending(0), system.read(0xED04, 0).map(|word| word & 0x1FF)), (None, Some(15)));
        assert_eq!(system.read(0xE010, 0), Some(7 | 1 << 16));
        assert_eq!(system.read(0xE010, 0), Some(7), "the flag is read once");
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
        assert_eq!((system.pending(0), system.read(0xE288, 0)), (Some(87), Some(1 << 7)));
        system.enter(87);
        assert_eq!(system.pending(0), None, "handling it clears what software has set");
        system.write(0xE188, 1 << 7, 0);
        assert_eq!((system.pending(usart6), system.read(0xE108, 0)), (None, Some(0)));
    }

    #[test]
    fn reset_needs_the_key() {
        let mut system = System::default();
        system.write(0xED0C, 4, 0);
        assert!(!system.wants_reset());
        system.write(0xED0C, 0x05FA_0004, 0);
        assert!(system.take_reset_request() && !system.wants_reset());
    }

    #[test]
    fn the_more_urgent_one_is_handled_first_and_interrupts_the_other() {
        let mut system = System::default();
        let (one, other) = (1 << 37, 1 << 71);
        system.write(0xE104, 1 << 5, 0);
        system.write(0xE108, 1 << 7, 0);
        assert_eq!(system.pending(one | other), Some(16 + 37), "of equals the first");
        assert!(system.write_byte(0xE400 + 37, 0x8F) && system.write_byte(0xE400 + 71, 0x40));
        assert_eq!(system.read(0xE424, 0), Some(0x8000), "four bits of priority");
        assert_eq!(system.pending(one | other), Some(16 + 71));
        system.enter(16 + 37);
        assert_eq!((system.pending(one), system.pending(one | other)), (None, Some(16 + 71)));
        system.enter(16 + 71);
        assert_eq!((system.pending(one | other), system.depth()), (None, 2));
        assert_eq!((system.leave(), system.leave()), (16 + 37, 0));

        // With two bits to say who interrupts whom, 0x40 and 0x70 are of one group.
        system.write(0xED0C, 0x05FA_0500, 0);
        system.write_byte(0xE400 + 37, 0x70);
        assert_eq!(system.pending(one | other), Some(16 + 71));
        system.enter(16 + 37);
        assert_eq!(system.pending(one | other), None);
    }

    #[test]
    fn masks_let_through_what_is_more_urgent() {
        let mut system = System::default();
        system.write(0xE104, 1 << 5, 0);
        system.write_byte(0xE400 + 37, 0x50);
        let taken = |all, faults, base| system.preempting(1 << 37, Masks { all, faults, base }).is_some();
        assert!(taken(false, false, 0) && taken(false, false, 0x60));
        assert!(!taken(false, false, 0x50) && !taken(false, false, 0x40));
        assert!(!taken(true, false, 0) && !taken(false, true, 0));
        assert_eq!(system.running(Masks { all: true, faults: true, base: 1 }), HARD_FAULT);
        assert_eq!(system.running(Masks::default()), THREAD);
        system.enter(exception::HARD_FAULT);
        assert_eq!((system.running(Masks::default()), system.pending(1 << 37)), (HARD_FAULT, None));
    }

    #[test]
    fn what_is_not_simulated_is_reported() {
        let mut system = System::default();
        for offset in [0xED94, 0xE000, 0x2000, 0xF000] {
            assert_eq!((system.read(offset, 0), system.write(offset, 1, 0)), (None, false), "{offset:#x}");
        }
        assert!(!system.write(0xED24, 1 << 16, 0), "faults with handlers of their own");
        assert!(!system.write_byte(0xE100, 1));
    }
}
