//! Exceptions, which Unicorn does not have: what a Cortex-M4 pushes, where it goes, and how it comes back
//! (Armv7-M Architecture Reference Manual, B1.5).

use anyhow::{Context as _, Result, ensure};
use unicorn_engine::RegisterARM;

use crate::cpu::{Cpu, is_ram};
use crate::system::{HARD_FAULT, Masks, exception};

/// Jumps to these addresses and above end a handler.
const RETURNS: u32 = 0xFFFF_FFE0;
/// A return address without what is to be told: where to, and with which frame.
const RETURN: u32 = 0xFFFF_FFE1;
/// In a return address: to the thread, otherwise to another handler.
const TO_THREAD: u32 = 1 << 3;
/// In a return address: the frame has no floating-point registers.
const SHORT_FRAME: u32 = 1 << 4;
/// In a return address: to the process stack, which is not simulated.
const PROCESS_STACK: u32 = 1 << 2;

/// In `CONTROL`: floating-point registers are in use.
const FLOATING_POINT: u32 = 1 << 2;
/// In the status: Thumb code.
const THUMB: u32 = 1 << 24;
/// In a frame's status: the stack was not aligned to eight bytes.
const PADDED: u32 = 1 << 9;
/// In the status: the exception being handled.
const NUMBER: u32 = 0x1FF;

/// What every exception pushes, before return address and status.
const FRAME: [RegisterARM; 6] =
    [RegisterARM::R0, RegisterARM::R1, RegisterARM::R2, RegisterARM::R3, RegisterARM::R12, RegisterARM::LR];
/// Words of a frame.
const SHORT: u32 = 8;
/// Words of one with floating-point registers, their status and a reserved word.
const LONG: u32 = 26;
/// The floating-point registers of a frame.
const FLOATS: [RegisterARM; 16] = [
    RegisterARM::S0,
    RegisterARM::S1,
    RegisterARM::S2,
    RegisterARM::S3,
    RegisterARM::S4,
    RegisterARM::S5,
    RegisterARM::S6,
    RegisterARM::S7,
    RegisterARM::S8,
    RegisterARM::S9,
    RegisterARM::S10,
    RegisterARM::S11,
    RegisterARM::S12,
    RegisterARM::S13,
    RegisterARM::S14,
    RegisterARM::S15,
];

/// Whether the program counter stands where only the end of a handler leads.
pub(crate) fn is_return(pc: u32) -> bool {
    pc >= RETURNS
}

impl Cpu {
    /// What the core's special registers mask.
    pub(crate) fn masks(&self) -> Masks {
        Masks {
            all: self.register(RegisterARM::PRIMASK) & 1 != 0,
            faults: self.register(RegisterARM::FAULTMASK) & 1 != 0,
            base: self.register(RegisterARM::BASEPRI).to_le_bytes()[0],
        }
    }

    /// An interrupt is taken. Without a stack for it, the core stands still.
    pub(crate) fn interrupt(&mut self, number: u16) {
        if let Err(error) = self.enter(number) {
            self.state_mut().system.note_fault(None);
            self.lock_up(format!("exception {number}: {error:#}"));
        }
    }

    /// A fault goes to the hard fault's handler, unless that is where it happened.
    pub(crate) fn fault(&mut self, what: &str) {
        let masks = self.masks();
        let pc = self.pc;
        let state = self.state_mut();
        let address = state.fault_address.take();
        state.system.note_fault(address);
        let is_fatal = state.system.running(masks) <= HARD_FAULT;
        let what = match address {
            Some(address) => format!("{what} of {address:#010x} at {pc:#010x}"),
            None => format!("{what} at {pc:#010x}"),
        };
        let entered = if is_fatal { Ok(()) } else { self.enter(exception::HARD_FAULT) };
        // Without a stack there is no handler.
        if is_fatal || entered.is_err() {
            self.lock_up(what);
        }
    }

    /// Pushes the frame and goes to the handler.
    fn enter(&mut self, number: u16) -> Result<()> {
        let control = self.register(RegisterARM::CONTROL);
        let is_long = control & FLOATING_POINT != 0;
        let stack = self.register(RegisterARM::SP);
        let padded = if stack & 4 == 0 { 0 } else { PADDED };
        let status = self.register(RegisterARM::XPSR) | THUMB;
        let mut words: Vec<u32> = FRAME.iter().map(|register| self.register(*register)).collect();
        words.extend([self.pc, status & !PADDED | padded]);
        if is_long {
            words.extend(FLOATS.iter().map(|register| self.register(*register)));
            words.extend([self.register(RegisterARM::FPSCR), 0]);
        }
        let size = 4 * if is_long { LONG } else { SHORT };
        let frame = stack.wrapping_sub(size) & !7;
        let bytes: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
        ensure!(is_ram(frame, bytes.len()), "no memory for a frame at {frame:#010x}");
        self.write_ram(frame, &bytes)?;
        self.set_register(RegisterARM::SP, frame)?;
        let system = &mut self.state_mut().system;
        let to = if system.depth() == 0 { TO_THREAD } else { 0 };
        let vector = system.vector_table() + 4 * u32::from(number);
        system.enter(number);
        self.state_mut().event = true;
        self.set_register(RegisterARM::LR, RETURN | to | if is_long { 0 } else { SHORT_FRAME })?;
        self.set_register(RegisterARM::CONTROL, control & !FLOATING_POINT)?;
        self.set_register(RegisterARM::XPSR, THUMB | u32::from(number))?;
        self.pc = self.word(vector).context("fetching an exception vector")? & !1;
        self.sleeping = None;
        Ok(())
    }

    /// The end of a handler: pops the frame. A return that does not fit what was interrupted is a fault.
    pub(crate) fn leave(&mut self) -> Result<()> {
        let how = self.pc;
        // The fetch from there was none.
        self.state_mut().fault_address = None;
        let depth = self.state().system.depth();
        let fits = how & PROCESS_STACK == 0 && (how & TO_THREAD != 0) == (depth == 1);
        if depth == 0 || !fits {
            self.fault("a return from no exception");
            return Ok(());
        }
        let is_long = how & SHORT_FRAME == 0;
        let size = 4 * if is_long { LONG } else { SHORT };
        let frame = self.register(RegisterARM::SP);
        let Ok(words) = (frame..frame.saturating_add(size))
            .step_by(4)
            .map(|at| self.word(at))
            .collect::<Result<Vec<_>>>()
        else {
            self.fault("popping an exception frame");
            return Ok(());
        };
        let word = |index: usize| words.get(index).copied().unwrap_or_default();
        let status = word(7);
        let outer = self.state_mut().system.leave();
        if status & NUMBER != u32::from(outer) {
            self.fault("a return to another exception");
            return Ok(());
        }
        for (register, value) in FRAME.into_iter().zip(&words) {
            self.set_register(register, *value)?;
        }
        self.pc = word(6) & !1;
        let control = self.register(RegisterARM::CONTROL) & !FLOATING_POINT;
        if is_long {
            for (register, value) in FLOATS.into_iter().zip(words.iter().skip(SHORT as usize)) {
                self.set_register(register, *value)?;
            }
            self.set_register(RegisterARM::FPSCR, word(24))?;
        }
        self.set_register(RegisterARM::CONTROL, control | if is_long { FLOATING_POINT } else { 0 })?;
        self.set_register(RegisterARM::XPSR, status & !PADDED)?;
        let padding = if status & PADDED == 0 { 0 } else { 4 };
        self.set_register(RegisterARM::SP, (frame + size) | padding)?;
        self.set_register(RegisterARM::FAULTMASK, 0)?;
        self.state_mut().event = true;
        Ok(())
    }
}
