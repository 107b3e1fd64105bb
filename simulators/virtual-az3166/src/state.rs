//! What the callbacks of the simulated core see: peripherals, time, and when to stop.

use crate::blocks::Blocks;
use crate::chip::Chip;
use crate::not_simulated::NotSimulated;
use crate::system::System;
use crate::time::Cycles;

/// The core's own peripherals begin here.
pub(crate) const PRIVATE: u32 = 0xE000_0000;

/// Which blocks of instructions may pass the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// The first one, so that there is progress.
    FirstMayPass,
    /// None.
    Strict,
    /// It is Unicorn that counts, instruction by instruction.
    Counted,
}

/// What the callbacks of the simulation see.
pub(crate) struct State {
    pub(crate) chip: Chip,
    pub(crate) system: System,
    pub(crate) now: Cycles,
    /// No block is begun that ends behind this time.
    pub(crate) limit: Cycles,
    pub(crate) pace: Pace,
    /// The core was stopped at the begin of a block.
    pub(crate) stopped: bool,
    /// The event register: `SEV` or an exception was there since the last `WFE`.
    pub(crate) event: bool,
    pub(crate) fault_address: Option<u32>,
    /// The block of instructions that is being executed begins here.
    block: u32,
    /// The run cannot go on.
    pub(crate) not_simulated: Option<NotSimulated>,
    pub(crate) flash: Vec<u8>,
    pub(crate) blocks: Blocks,
}

impl State {
    pub(crate) fn new(chip: Chip, flash: Vec<u8>) -> Self {
        Self {
            chip,
            system: System::default(),
            now: 0,
            limit: 0,
            pace: Pace::Strict,
            stopped: false,
            event: false,
            fault_address: None,
            block: 0,
            not_simulated: None,
            blocks: Blocks::new(),
            flash,
        }
    }

    /// A block begins. Gives whether it may.
    pub(crate) fn enter(&mut self, address: u64, size: u32) -> bool {
        self.block = u32::try_from(address).unwrap_or_default();
        if self.pace == Pace::Counted {
            return true;
        }
        let end = self.now + self.blocks.instructions(&self.flash, address, size);
        let first = std::mem::replace(&mut self.pace, Pace::Strict) == Pace::FirstMayPass;
        if end > self.limit && !first {
            self.stopped = true;
            return false;
        }
        self.now = end;
        true
    }

    pub(crate) fn read(&mut self, address: u32) -> u32 {
        let value = match address.checked_sub(PRIVATE) {
            Some(offset) => self.system.read(offset & !3, self.now),
            None => self.chip.read(address & !3, self.now),
        };
        if value.is_none() {
            self.stop(NotSimulated::Read { address, code: self.block });
        }
        self.look();
        value.unwrap_or_default() >> (8 * (address & 3))
    }

    pub(crate) fn write(&mut self, address: u32, value: u32, size: usize) {
        #[allow(clippy::cast_possible_truncation, reason = "a byte")]
        let known = match (address.checked_sub(PRIVATE), size) {
            (Some(offset), 4) => self.system.write(offset, value, self.now),
            (Some(offset), _) => size == 1 && self.system.write_byte(offset, value as u8),
            (None, 4) => self.chip.write(address, value, self.now),
            (None, _) => self.chip.write_part(address, value, size, self.now),
        };
        if !known {
            self.stop(NotSimulated::Write { address, value, size, code: self.block });
        }
        self.look();
    }

    /// The first thing that is not simulated ends the run.
    fn stop(&mut self, what: NotSimulated) {
        self.not_simulated.get_or_insert(what);
        self.limit = self.limit.min(self.now);
    }

    /// The processor writes to the flash at this offset.
    pub(crate) fn program(&mut self, offset: usize, size: usize, value: u64) {
        if self.chip.flash.program(offset, size, value, self.now) {
            self.look();
        }
    }

    /// After an access: what has to happen at once ends the slice, and so does what happens earlier than was foreseen.
    fn look(&mut self) {
        if self.system.wants_reset()
            || self.chip.flash.ends_at().is_some()
            || self.system.pending(self.chip.lines()).is_some()
        {
            self.limit = self.limit.min(self.now);
        }
        if let Some(next) = self.next_event() {
            self.limit = self.limit.min(next);
        }
    }

    /// Interrupts are let through: one that waits is taken at once.
    pub(crate) fn unmasked(&mut self) {
        if self.system.pending(self.chip.lines()).is_some() {
            self.limit = self.limit.min(self.now);
        }
    }

    pub(crate) fn next_event(&self) -> Option<Cycles> {
        [self.chip.next_event(), self.system.next_event()].into_iter().flatten().min()
    }
}
